"""What a JPEG's headers tell, compared with what OpenCV makes of the file."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ppdet_db.data.transforms.image import DecodeImage
from ppdet_db.data.transforms.jpeg import JpegFile, is_truncated, orientation, read_header
from ppdet_db.errors import SampleError


def picture(width=33, height=21):
    """Grey; its upper left quarter is white and the lower right one black."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[: height // 2, : width // 2], pixels[height // 2 :, width // 2 :] = 255, 0
    return pixels


def encode(pixels, turn=None, **options):
    exif = Image.Exif()
    if turn is not None:
        exif[0x0112] = turn
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, exif=exif, **options)
    return stream.getvalue()


def opened(data, flags=cv2.IMREAD_COLOR):
    return JpegFile(data, read_header(data), DecodeImage(img_mode="BGR").decode, flags)


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (encode(picture()), (21, 33, 1)),
        (encode(picture(), progressive=True), (21, 33, 1)),
        (encode(picture(), turn=6), (21, 33, 6)),
        (encode(picture()[..., 0]), (21, 33, 1)),
        (encode(picture())[:2] + b"\xff" * 5 + encode(picture())[2:], (21, 33, 1)),  # fill bytes
        (encode(picture())[:2] + b"\xff\xe2\0\x12" + encode(picture())[:16] + encode(picture())[2:], (21, 33, 1)),
        (b"\xff\xd8\xff\xd9", None),
        (b"\xff\xd8\xff\xc0\0\x08\x08", None),  # ends within the frame header
        (b"\xff\xd8 no segment", None),
    ],
    ids=["baseline", "progressive", "turned", "grey", "fill bytes", "a picture in a header", "empty", "cut", "none"],
)
def test_header(data, header):
    assert read_header(data) == header


@pytest.mark.parametrize("turn", [None, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("size", [(33, 21), (48, 32)])
@pytest.mark.parametrize("ignore", [0, cv2.IMREAD_IGNORE_ORIENTATION])
def test_every_orientation_has_the_shape_and_the_pixels_that_opencv_gives(turn, size, ignore):
    data, flags = encode(picture(*size), turn), cv2.IMREAD_COLOR | ignore
    file, expected = opened(data, flags), cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    assert file.shape == expected.shape
    np.testing.assert_array_equal(file.pixels(), expected)
    for by in (2, 4, 8):
        assert file.pixels(by).shape == (-(-file.shape[0] // by), -(-file.shape[1] // by), 3)
        if file.can_shrink(by):
            whole = np.pad(expected, [(0, -file.shape[0] % by), (0, -file.shape[1] % by), (0, 0)], mode="edge")
            means = cv2.resize(whole, None, fx=1 / by, fy=1 / by, interpolation=cv2.INTER_AREA)
            assert np.abs(file.pixels(by).astype(int) - means).mean() < 4, by


def test_a_turned_picture_shrinks_only_in_whole_blocks():
    """21 = 5 x 4 + 1: upside down, the block of one row would come first and move all others by three pixels."""
    assert opened(encode(picture())).can_shrink(4)
    assert not opened(encode(picture(), turn=3)).can_shrink(4)
    assert opened(encode(picture(64, 32), turn=3)).can_shrink(4)
    assert opened(encode(picture(), turn=3), cv2.IMREAD_IGNORE_ORIENTATION).can_shrink(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "value", "turn"),
    [(3, 6, 6), (3, 8, 8), (3, 0, 1), (3, 9, 1), (4, 6, 1)],
    ids=["6", "8", "0", "9", "a long"],
)
def test_orientation_in_either_byte_order(order, kind, value, turn):
    def number(n, length):
        return n.to_bytes(length, "little" if order == "<" else "big")

    other = number(0x010F, 2) + number(2, 2) + number(4, 4) + b"abc\0"
    entry = number(0x0112, 2) + number(kind, 2) + number(1, 4) + number(value, 2) + b"\0\0"
    exif = (b"II" if order == "<" else b"MM") + number(42, 2) + number(8, 4) + number(2, 2) + other + entry
    assert orientation(exif) == turn
    assert orientation(exif[:-8]) == 1  # ends within the entry


@pytest.mark.parametrize("exif", [b"", b"II", b"XX*\0\x08\0\0\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08"])
def test_broken_exif_says_upright(exif):
    assert orientation(exif) == 1


def test_truncated():
    data = encode(picture())
    assert not is_truncated(data)
    assert not is_truncated(data + b"\0" * 50)
    assert is_truncated(data[:-2])
    thumbnail = data[:2] + b"\xff\xe2" + (len(data) + 2).to_bytes(2, "big") + data + data[2:]
    assert not is_truncated(thumbnail)
    assert is_truncated(thumbnail[:-2])


def test_pixels_of_another_size_than_the_header_tells_are_refused():
    data = encode(picture())
    file = JpegFile(data, read_header(data)._replace(height=25), DecodeImage().decode, cv2.IMREAD_COLOR)
    with pytest.raises(SampleError) as error:
        file.pixels(2)
    assert str(error.value) == "the JPEG's headers tell of (13, 17) pixels, but (11, 17) are in it"
