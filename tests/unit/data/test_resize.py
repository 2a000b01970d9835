"""DetResizeForTest: sizes, options that exclude each other, padding of tiny pictures; recorded sizes: tests/parity.

Resize and Pad: what comes out, and where the polygons are then.
"""

import numpy as np
import pytest

from ppdet_db.data.transforms import DetResizeForTest, Pad, Resize
from ppdet_db.errors import SampleError


def resize(h, w, **options):
    return DetResizeForTest(**options)({"image": np.full((h, w, 3), 200, np.uint8)})


@pytest.mark.parametrize(
    ("options", "source", "target"),
    [
        ({}, (720, 1280), (736, 1312)),  # short side to 736: 1308.4, to the nearest multiple of 32
        ({}, (800, 1000), (800, 992)),  # 31.25 -> 31
        ({}, (752, 752), (768, 768)),  # 23.5: halves go to the even multiple, 24
        ({}, (784, 784), (768, 768)),  # 24.5: 24 again
        ({"limit_side_len": 960, "limit_type": "max"}, (500, 1920), (256, 960)),
        ({"limit_side_len": 960, "limit_type": "max"}, (5, 100), (32, 96)),  # never under one stride
        ({"limit_side_len": 960, "limit_type": "resize_long"}, (240, 480), (480, 960)),
        ({"resize_long": 960}, (480, 960), (512, 1024)),  # up to multiples of 128
        ({"image_shape": [736, 1280]}, (100, 100), (736, 1280)),
        ({"image_shape": [736, 1280], "keep_ratio": True}, (368, 500), (736, 1024)),  # 1000, rounded up
        ({"limit_side_len": 736, "max_side_limit": 1000}, (500, 5000), (96, 992)),
    ],
)
def test_sizes(options, source, target):
    sample = resize(*source, **options)
    assert sample["image"].shape == (*target, 3)
    assert sample["shape"].dtype == np.float32
    np.testing.assert_allclose(sample["shape"], [*source, target[0] / source[0], target[1] / source[1]], rtol=1e-6)


def test_a_tiny_picture_is_padded_and_shape_tells_of_the_padded_one():
    sample = resize(16, 32, limit_side_len=64)
    assert sample["image"].shape == (64, 64, 3)
    np.testing.assert_array_equal(sample["shape"], [32, 32, 2, 2])
    assert sample["image"][:30].min() == 200  # source pixel (x, y) is at (2x, 2y): nothing is stretched
    assert sample["image"][34:].max() == 0


def test_polygons_stay_in_source_pixels():
    polys = np.ones((1, 4, 2), np.float32)
    assert DetResizeForTest()({"image": np.zeros((64, 64, 3), np.uint8), "polys": polys})["polys"] is polys


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": [736, 1280], "limit_side_len": 960}, "image_shape and limit_side_len exclude each other"),
        ({"limit_side_len": 960, "resize_long": 960}, "limit_side_len and resize_long exclude each other"),
        ({"keep_ratio": True}, "keep_ratio has a meaning with image_shape only"),
        ({"limit_type": "max"}, "limit_type needs limit_side_len"),
        ({"limit_side_len": 960, "limit_type": "long"}, "limit_type must be min, max or resize_long, got 'long'"),
        ({"limit_side_len": 0}, "limit_side_len must be positive, got 0"),
        ({"resize_long": -1}, "resize_long must be positive, got -1"),
        ({"image_shape": [736]}, "image_shape must be [height, width]"),
        (
            {"image_shape": [720, 1280]},
            "positive multiples of 32, got [720, 1280]",
        ),  # the network's levels would not fit
    ],
)
def test_conflicts_are_refused(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011, the words are compared below
        DetResizeForTest(**options)
    assert message in str(error.value)


def test_resize_stretches_and_moves_polygons_by_pixel_centres():
    """40 x 30 px (w x h) to 80 x 15: pixel 10 goes to 10.5 * 2 - 0.5 = 20.5, not to 20."""
    image = np.zeros((30, 40, 3), np.uint8)
    image[10:20, 10:30] = 255
    polys = np.array([[[10, 10], [29, 10], [29, 19], [10, 19]]], np.float32)
    sample = Resize(size=[15, 80])({"image": image, "polys": polys})
    assert sample["image"].shape == (15, 80, 3)
    np.testing.assert_array_equal(sample["polys"][0], [[20.5, 4.75], [58.5, 4.75], [58.5, 9.25], [20.5, 9.25]])
    weight = sample["image"][..., 0].astype(float)
    rows, columns = np.mgrid[:15, :80]
    centre = [(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()]
    np.testing.assert_allclose(sample["polys"][0].mean(axis=0), centre, atol=0.01)


@pytest.mark.parametrize(
    ("options", "source", "target"),
    [
        ({}, (33, 64), (64, 64)),
        ({}, (5, 7), (32, 32)),
        ({"size_div": 10}, (33, 60), (40, 60)),
        ({"size": 64}, (33, 60), (64, 64)),
        ({"size": [40, 100]}, (33, 60), (40, 100)),
        ({"size": [33, 60]}, (33, 60), (33, 60)),  # PaddleOCR refuses a picture that fits exactly
    ],
)
def test_pad(options, source, target):
    image = np.full((*source, 3), 7, np.uint8)
    padded = Pad(**options)({"image": image})["image"]
    assert padded.shape == (*target, 3)
    assert padded.dtype == np.uint8
    assert padded[: source[0], : source[1]].min() == 7
    assert padded.sum() == image.sum()


def test_pad_refuses_a_larger_picture():
    with pytest.raises(SampleError, match=r"Pad to size \[64, 32\] got a larger picture, \[33, 60\]"):
        Pad(size=[64, 32])({"image": np.zeros((33, 60, 3), np.uint8)})


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (Resize, {"size": [640]}, "size must be [height, width] in pixels, got [640]"),
        (Resize, {"size": [640, 0]}, "size must be [height, width] in pixels, got [640, 0]"),
        (Pad, {"size": -1}, "size must be [height, width] in pixels, got [-1, -1]"),
        (Pad, {"size_div": 0}, "size_div must be positive, got 0"),
    ],
)
def test_resize_and_pad_refuse(cls, options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011, the words are compared below
        cls(**options)
    assert str(error.value) == message
