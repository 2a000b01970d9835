"""DecodeImage, NormalizeImage, ToCHWImage, KeepKeys."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ppdet_db.data.transforms import DecodeImage, DetLabelEncode, KeepKeys, NormalizeImage, ToCHWImage
from ppdet_db.data.transforms.image import what_is_wrong
from ppdet_db.errors import SampleError

PICTURE = np.zeros((20, 30, 3), np.uint8)  # BGR: left half red, right half blue
PICTURE[:, :15] = (0, 0, 255)
PICTURE[:, 15:] = (255, 0, 0)


def encode(picture, ending=".png", parameters=()):
    return cv2.imencode(ending, picture, list(parameters))[1].tobytes()


def decode(data, **options):
    return DecodeImage(**options)({"image": data})["image"]


def jpeg_with_exif(orientation, with_thumbnail=False):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(PICTURE[..., ::-1]).save(file, "JPEG", quality=95, exif=exif)
    data = file.getvalue()
    if with_thumbnail:  # a small JPEG of its own inside the headers, as cameras write it
        thumbnail = encode(PICTURE[:8, :8], ".jpg")
        segment = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
        data = data[:2] + segment + data[2:]
    return data


@pytest.mark.parametrize(("img_mode", "first_pixel"), [("BGR", (0, 0, 255)), ("RGB", (255, 0, 0)), ("GRAY", (76,) * 3)])
def test_img_mode_is_the_channel_order(img_mode, first_pixel):
    image = decode(encode(PICTURE), img_mode=img_mode)
    assert image.shape == (20, 30, 3)
    assert image.dtype == np.uint8
    assert tuple(image[0, 0]) == first_pixel


def test_default_is_rgb_as_in_paddleocr():
    assert tuple(decode(encode(PICTURE))[0, 0]) == (255, 0, 0)


def test_channel_first():
    assert decode(encode(PICTURE), channel_first=True).shape == (3, 20, 30)


@pytest.mark.parametrize(
    ("picture", "first_pixel"),
    [
        (np.full((20, 30), 77, np.uint8), (77, 77, 77)),  # grey
        (np.full((20, 30, 4), (1, 2, 3, 0), np.uint8), (1, 2, 3)),  # alpha is dropped, even where it is transparent
        (np.full((20, 30, 3), 0x8000, np.uint16), (128, 128, 128)),  # 16 bits
    ],
)
def test_other_pixel_formats_become_three_channels_of_8_bits(picture, first_pixel):
    image = decode(encode(picture), img_mode="BGR")
    assert (image.shape, image.dtype) == ((20, 30, 3), np.uint8)
    assert tuple(image[0, 0]) == first_pixel


def test_exif_orientation_is_applied_unless_ignored():
    data = jpeg_with_exif(orientation=6)  # stored on its side: turned by 90 degrees clockwise for viewing
    upright, stored = decode(data, img_mode="BGR"), decode(data, img_mode="BGR", ignore_orientation=True)
    assert upright.shape == (30, 20, 3)
    assert upright[5, 10].argmax() == 2  # the red left half is on top now
    assert upright[25, 10].argmax() == 0
    assert stored.shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encode(PICTURE, ".jpg"), "JPEG"),
        (encode(PICTURE, ".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)), "JPEG"),
        (jpeg_with_exif(1, with_thumbnail=True), "JPEG"),
        (encode(PICTURE, ".png"), "PNG"),
    ],
    ids=["jpeg", "progressive", "thumbnail with its own end marker", "png"],
)
@pytest.mark.parametrize("lost", [2, 30, 200])
def test_a_truncated_file_is_refused(data, kind, lost):
    assert what_is_wrong(data) == ""
    assert decode(data).shape == (20, 30, 3)
    with pytest.raises(SampleError) as error:
        decode(data[: max(len(data) - lost, 12)])
    assert f"cannot be decoded as an image: truncated {kind}" in str(error.value)


def test_bytes_after_the_end_of_a_jpeg_are_no_fault():
    assert decode(encode(PICTURE, ".jpg") + b"\0" * 100).shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"<html><body>404", "<html><body>"),
        (b"\xff\xd8\xff\xd9", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "truncated PNG"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_it_is(data, words):
    with pytest.raises(SampleError) as error:
        decode(data)
    assert words in str(error.value)


@pytest.mark.parametrize("scale", [1 / 255, "1./255.", "1/255", " 1.0 / 255.0 ", "0.00392156862745098", None])
def test_normalize_by_value(scale):
    image = np.full((2, 2, 3), (0, 128, 255), np.uint8)
    normalize = NormalizeImage(scale=scale, mean=[0.5, 0.25, 0.0], std=[0.5, 0.25, 2.0], order="hwc")
    result = normalize({"image": image})["image"]
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[1, 1], [-1.0, (128 / 255 - 0.25) / 0.25, 0.5], rtol=1e-6)


def test_normalize_default_is_chw_with_imagenet_statistics():
    result = NormalizeImage()({"image": np.zeros((3, 4, 5), np.uint8)})["image"]
    np.testing.assert_allclose(result[:, 0, 0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)


def test_normalize_of_the_wrong_order_is_an_error_not_a_broadcast():
    with pytest.raises(SampleError, match="order: chw got a picture of shape"):
        NormalizeImage()({"image": np.zeros((32, 32, 3), np.uint8)})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": "__import__('os')"}, "scale must be a number or a fraction"),  # never evaluated
        ({"scale": "1/0"}, "scale must be positive"),
        ({"scale": 0}, "scale must be positive"),
        ({"mean": [0.5]}, "three numbers"),
        ({"std": [1, 0, 1]}, "std must not contain 0"),
        ({"order": "cwh"}, "order must be hwc or chw"),
    ],
)
def test_normalize_refuses(options, words):
    with pytest.raises(ValueError) as error:  # noqa: PT011, the words are compared below
        NormalizeImage(**options)
    assert words in str(error.value)


def test_to_chw():
    image = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    result = ToCHWImage()({"image": image})["image"]
    assert result.shape == (3, 2, 4)
    np.testing.assert_array_equal(result[2], image[..., 2])


def test_keep_keys_keeps_the_named_keys_and_the_identity():
    sample = {"image": 1, "polys": 2, "texts": 3, "img_path": "a.jpg", "line": "l.txt:1", "index": 7, "rng": None}
    kept = KeepKeys(["image", "polys"])(sample)
    assert kept == {"image": 1, "polys": 2, "img_path": "a.jpg", "line": "l.txt:1", "index": 7}


def test_keep_keys_names_who_makes_the_missing_key():
    assert "polys" in DetLabelEncode.gives
    with pytest.raises(SampleError) as error:
        KeepKeys(["image", "shrink_map"])({"image": 1})
    assert str(error.value) == "KeepKeys: no 'shrink_map' in the sample (made by MakeShrinkMap)"
    with pytest.raises(SampleError) as error:
        KeepKeys(["shrinkmap"])({"image": 1})
    assert str(error.value) == "KeepKeys: no 'shrinkmap' in the sample (no known transform makes it)"


def test_keep_keys_needs_what_it_keeps():
    assert KeepKeys(["image", "shape"]).needs == ("image", "shape")
