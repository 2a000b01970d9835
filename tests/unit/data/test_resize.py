"""DetResizeForTest: sizes, options that exclude each other, padding of tiny pictures; recorded sizes: tests/parity."""

import numpy as np
import pytest

from ppdet_db.data.transforms import DetResizeForTest


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
