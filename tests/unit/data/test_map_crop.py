"""RandomCropImgMask: picture and maps are cut alike, the crop holds text where it should."""

import numpy as np
import pytest

from ppdet_db.data.transforms import RandomCropImgMask
from ppdet_db.errors import SampleError

KEYS = ["image", "shrink_map", "shrink_mask"]


def make_sample(shape=(60, 80), text=(), seed=0):
    """Every pixel of picture and mask tells where it is; `text` are the pixels (row, column) of the shrink map."""
    number = np.arange(shape[0] * shape[1]).reshape(shape)
    shrink_map = np.zeros(shape, np.float32)
    for row, column in text:
        shrink_map[row, column] = 1
    return {
        "image": np.stack([number // 256, number % 256, number % 7], axis=2).astype(np.uint8),
        "shrink_map": shrink_map,
        "shrink_mask": (number + 1).astype(np.float32),
        "polys": np.array([[[10, 20], [40, 20], [40, 30], [10, 30]]], np.float32),
        "rng": np.random.default_rng(seed),
    }


def crop(size=(24, 32), p=0.0, **more):
    return RandomCropImgMask(list(size), "shrink_map", KEYS, p)(make_sample(**more))


def first_pixel(sample, width=80):
    return divmod(int(sample["shrink_mask"][0, 0]) - 1, width)


@pytest.mark.parametrize("seed", range(10))
def test_picture_maps_and_polygons_are_cut_alike(seed):
    sample = crop(seed=seed)
    row, column = first_pixel(sample)
    source = make_sample()
    for key in KEYS:
        np.testing.assert_array_equal(sample[key], source[key][row : row + 24, column : column + 32])
        assert sample[key].dtype == source[key].dtype
    np.testing.assert_array_equal(sample["polys"], source["polys"] - (column, row))


@pytest.mark.parametrize("text", [[(59, 40)], [(0, 0)], [(30, 79)], [(5, 5), (55, 75)]])
def test_the_crop_holds_text(text):
    """PaddleOCR misses a text of a single row at the bottom, and what lies between two texts is text to it."""
    for seed in range(30):
        assert crop(text=text, seed=seed)["shrink_map"].max() == 1


def test_the_text_is_anywhere_in_the_crop():
    places = {tuple(np.argwhere(crop(text=[(30, 40)], seed=seed)["shrink_map"])[0]) for seed in range(400)}
    rows, columns = np.transpose([*places])
    assert [rows.min(), rows.max(), columns.min(), columns.max()] == [0, 23, 0, 31]


def test_p_is_the_share_cut_anywhere():
    """A crop has 24 x 32 of 60 x 80 px: one cut anywhere seldom holds the corner."""
    held = sum(crop(text=[(0, 0)], p=0.75, seed=seed)["shrink_map"].max() for seed in range(400))
    assert 70 <= held <= 130  # 100 expected


def test_without_text_the_crop_is_anywhere():
    starts = np.array([first_pixel(crop(seed=seed)) for seed in range(600)])
    assert starts.min(axis=0).tolist() == [0, 0]
    assert starts.max(axis=0).tolist() == [36, 48]


def test_smaller_pictures_are_padded_and_the_padding_is_masked_out():
    sample = crop(shape=(10, 80), size=(32, 32))
    assert sample["image"].shape == (32, 32, 3)
    assert sample["shrink_map"].shape == sample["shrink_mask"].shape == (32, 32)
    assert sample["shrink_mask"][:10].min() > 0
    assert sample["shrink_mask"][10:].max() == 0


def test_a_picture_with_channels_first():
    sample = make_sample()
    expected = RandomCropImgMask([24, 32], "shrink_map", KEYS)(make_sample())["image"]
    sample["image"] = sample["image"].transpose(2, 0, 1)
    image = RandomCropImgMask([24, 32], "shrink_map", KEYS)(sample)["image"]
    np.testing.assert_array_equal(image, expected.transpose(2, 0, 1))


def test_a_missing_map_is_named():
    sample = make_sample()
    del sample["shrink_mask"]
    with pytest.raises(SampleError, match="RandomCropImgMask: no 'shrink_mask' in the sample"):
        RandomCropImgMask([24, 32], "shrink_map", KEYS)(sample)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": [24]}, "size must be [height, width] in pixels, got [24]"),
        ({"crop_keys": ["shrink_map"]}, "crop_keys must name image, got ['shrink_map']"),
        ({"p": 2}, "p must be in [0, 1], got 2"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011, the words are compared below
        RandomCropImgMask(**{"size": [24, 32], "main_key": "shrink_map", "crop_keys": KEYS, **options})
    assert str(error.value) == message
