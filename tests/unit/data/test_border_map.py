"""MakeBorderMap: options, ignored texts and the growing ratio. Its exactness is in test_label_raster.py."""

import numpy as np
import pytest

from ppdet_db.data.transforms.border_map import MakeBorderMap

pytestmark = pytest.mark.usefixtures("each_raster")

BOX = [(20, 10), (70, 10), (70, 34), (20, 34)]  # A = 1200, L = 148, D(0.4) = 6.81


def make_sample(*polys, ignored=(), **more):
    return {
        "image": np.zeros((48, 96, 3), np.uint8),
        "polys": np.array(polys, np.float32).reshape(len(polys), 4, 2),
        "ignore_tags": np.array([i in ignored for i in range(len(polys))], bool),
        **more,
    }


def test_worked_example():
    """5 px below the lower edge, 5 px above it, deep inside and far away."""
    sample = MakeBorderMap()(make_sample(BOX))
    near = 0.3 + 0.4 * (1 - 5 / (1200 * 0.84 / 148))
    assert sample["threshold_map"][[39, 29, 22, 47], 45] == pytest.approx([near, near, 0.3, 0.3], abs=1e-6)
    assert sample["threshold_mask"][[39, 29, 22, 47], 45].tolist() == [1, 1, 1, 0]


def test_the_mask_ends_with_the_pixel_at_distance_d():
    """A 25 px square at r = 0.6: D = 25 * 0.64 / 4 = 4."""
    sample = MakeBorderMap(shrink_ratio=0.6)(make_sample([(10, 10), (35, 10), (35, 35), (10, 35)]))
    assert np.flatnonzero(sample["threshold_mask"][20])[[0, -1]].tolist() == [6, 39]


def test_picture_without_text():
    sample = MakeBorderMap()(make_sample())
    np.testing.assert_array_equal(sample["threshold_map"], np.full((48, 96), np.float32(0.3)))
    np.testing.assert_array_equal(sample["threshold_mask"], np.zeros((48, 96)))


def test_types_and_untouched_input():
    sample = make_sample(BOX)
    kept = {key: sample[key].copy() for key in MakeBorderMap.needs}
    out = MakeBorderMap()(dict(sample))
    for key in MakeBorderMap.gives:
        assert (out[key].dtype, out[key].shape) == (np.float32, (48, 96))
    for key, value in kept.items():
        np.testing.assert_array_equal(sample[key], value)


def test_an_ignored_text_writes_nothing_over_its_neighbour():
    below = [(20, 20), (70, 20), (70, 44), (20, 44)]
    with_ignored = MakeBorderMap()(make_sample(BOX, below, ignored=[1]))
    alone = MakeBorderMap()(make_sample(BOX))
    for key in MakeBorderMap.gives:
        np.testing.assert_array_equal(with_ignored[key], alone[key])


def test_range_of_values():
    sample = MakeBorderMap(thresh_min=0.1, thresh_max=0.9)(make_sample(BOX))
    assert sample["threshold_map"][10, 45] == pytest.approx(0.9)
    assert sample["threshold_map"][22, 45] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("epoch", "ratio", "reason"),
    [
        (0, 0.4, "the start"),
        (50, 0.5, "half way"),
        (99, 0.598, "the last of 100 epochs, counted from 0"),
        (250, 0.598, "training goes on after total_epoch: the last ratio is held"),
    ],
)
def test_ratio_grows_with_the_epoch(epoch, ratio, reason):
    grown = MakeBorderMap(shrink_ratio=0.4, total_epoch=100)(make_sample(BOX, epoch=epoch))
    constant = MakeBorderMap(shrink_ratio=ratio)(make_sample(BOX, epoch=epoch))
    np.testing.assert_allclose(grown["threshold_map"], constant["threshold_map"], atol=1e-6, err_msg=reason)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shrink_ratio": 4}, "shrink_ratio must be in (0, 1), got 4"),
        ({"shrink_ratio": 0}, "shrink_ratio must be in (0, 1), got 0"),
        ({"total_epoch": 0}, "total_epoch must be at least 1, got 0"),
        (
            {"shrink_ratio": 0.9, "total_epoch": 10},
            "shrink_ratio must stay below 1, got 0.9, which total_epoch raises to 1.08",
        ),
        ({"thresh_min": 0.8}, "0 <= thresh_min < thresh_max <= 1 must hold, got 0.8 and 0.7"),
    ],
)
def test_refused_options(arguments, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        MakeBorderMap(**arguments)
    assert str(caught.value) == message
