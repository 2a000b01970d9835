"""MakeShrinkMap: options, what is ignored and the ratios it tries. Its exactness is in test_label_raster.py."""

import numpy as np
import pytest

from ppdet_db.data.transforms.shrink_map import MakeShrinkMap

pytestmark = pytest.mark.usefixtures("each_raster")

BOX = [(20, 10), (70, 10), (70, 34), (20, 34)]  # A = 1200, L = 148, D(0.4) = 6.81


def make_sample(*polys, ignored=(), **more):
    return {
        "image": np.zeros((48, 96, 3), np.uint8),
        "polys": np.array(polys, np.float32).reshape(len(polys), 4, 2),
        "ignore_tags": np.array([i in ignored for i in range(len(polys))], bool),
        **more,
    }


def extent(shrink_map):
    """First and last column, first and last row of the ones, which fill that rectangle."""
    columns, rows = np.flatnonzero(shrink_map.any(axis=0)), np.flatnonzero(shrink_map.any(axis=1))
    assert shrink_map.sum() == len(columns) * len(rows)
    return [int(v) for v in (columns[0], columns[-1], rows[0], rows[-1])]


def test_worked_example():
    """26.81 ... 63.19 by 16.81 ... 27.19."""
    sample = MakeShrinkMap()(make_sample(BOX))
    assert extent(sample["shrink_map"]) == [27, 63, 17, 27]
    assert sample["shrink_mask"].min() == 1


def test_a_pixel_on_the_shrunk_outline_is_in():
    """A 25 px square at r = 0.6: D = 25 * 0.64 / 4 = 4."""
    square = np.array([(10, 10), (35, 10), (35, 35), (10, 35)])
    transform = MakeShrinkMap(shrink_ratio=0.6)
    assert extent(transform(make_sample(square))["shrink_map"]) == [14, 31, 14, 31]
    assert extent(transform(make_sample(square - 0.25))["shrink_map"]) == [14, 30, 14, 30]  # 13.75 ... 30.75


def test_picture_without_text():
    sample = MakeShrinkMap()(make_sample())
    assert sample["shrink_map"].max() == 0
    assert sample["shrink_mask"].min() == 1
    assert sample["ignore_tags"].shape == (0,)


def test_types_and_untouched_input():
    sample = make_sample(BOX, [(20, 40), (70, 40), (70, 44), (20, 44)])
    kept = {key: sample[key].copy() for key in MakeShrinkMap.needs}
    out = MakeShrinkMap()(dict(sample))
    for key in MakeShrinkMap.gives:
        assert (out[key].dtype, out[key].shape) == (np.float32, (48, 96))
    for key, value in kept.items():
        np.testing.assert_array_equal(sample[key], value)
    assert out["ignore_tags"].tolist() == [False, True]


@pytest.mark.parametrize(("height", "is_ignored"), [(7.9, True), (8, False), (8.1, False)])
def test_small_text_is_masked_and_ignored(height, is_ignored):
    poly = [(20, 10), (70, 10), (70, 10 + height), (20, 10 + height)]
    sample = MakeShrinkMap(min_text_size=8)(make_sample(poly))
    assert sample["ignore_tags"].tolist() == [is_ignored]
    assert sample["shrink_map"].max() == 1 - is_ignored
    assert sample["shrink_mask"].sum() == 48 * 96 - is_ignored * 51 * 8  # 51 columns, rows 10 ... 17


def test_a_text_that_vanishes_is_tried_again_with_a_larger_ratio():
    """A text 2 px high between the rows: D(0.4) = 0.806 leaves 10.906 ... 11.294 with row 11 in it; moved down by 0.4
    nothing is left, while D(0.8) = 0.345 leaves rows 11 and 12. That is PaddleOCR's [0.4, 0.8]."""
    poly, down = np.array([(20, 10.1), (70, 10.1), (70, 12.1), (20, 12.1)]), np.array([0, 0.4])
    first = MakeShrinkMap(min_text_size=0)(make_sample(poly))
    assert extent(first["shrink_map"]) == [21, 69, 11, 11]
    second = MakeShrinkMap(min_text_size=0)(make_sample(poly + down))
    assert extent(second["shrink_map"]) == [21, 69, 11, 12]
    assert second["ignore_tags"].tolist() == [False]


@pytest.mark.parametrize("ratio", [0.4, 0.5])
def test_a_text_that_vanishes_at_every_ratio_is_masked(ratio):
    """0.8 px high, row 10 alone is in it, 0.1 px from its edge. Ratios stay below 1, which would leave the polygon as
    it is and draw row 10: 0.4 and 0.8, or 0.5 alone. (PaddleOCR's code appends 1 and throws the result away.)"""
    poly = [(20, 9.9), (70, 9.9), (70, 10.7), (20, 10.7)]
    sample = MakeShrinkMap(min_text_size=0, shrink_ratio=ratio)(make_sample(poly))
    assert sample["ignore_tags"].tolist() == [True]
    assert sample["shrink_map"].max() == 0
    assert np.flatnonzero((sample["shrink_mask"] == 0).any(axis=1)).tolist() == [10]


def test_a_text_without_extent_is_masked_where_it_is():
    sample = MakeShrinkMap(min_text_size=0)(make_sample([(30, 20)] * 4, [(40, 20), (50, 20), (50, 20), (40, 20)]))
    assert sample["ignore_tags"].tolist() == [True, True]
    assert np.argwhere(sample["shrink_mask"] == 0).tolist() == [[20, x] for x in (30, *range(40, 51))]


def test_a_text_whose_core_lies_off_the_canvas_has_not_vanished():
    """4 px of it are visible, D = 7.5: those belong to the margin, which is background as for any other text."""
    sample = MakeShrinkMap()(make_sample([(20, -20), (90, -20), (90, 4), (20, 4)]))
    assert sample["ignore_tags"].tolist() == [False]
    assert sample["shrink_map"].max() == 0
    assert sample["shrink_mask"].min() == 1


@pytest.mark.parametrize(("epoch", "ratio"), [(0, 0.4), (50, 0.5), (99, 0.598), (100, 0.598), (250, 0.598)])
def test_ratio_grows_with_the_epoch_and_stays(epoch, ratio):
    grown = MakeShrinkMap(shrink_ratio=0.4, total_epoch=100)(make_sample(BOX, epoch=epoch))
    np.testing.assert_array_equal(
        grown["shrink_map"], MakeShrinkMap(shrink_ratio=ratio)(make_sample(BOX))["shrink_map"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shrink_ratio": 4}, "shrink_ratio must be in (0, 1), got 4"),
        ({"min_text_size": -1}, "min_text_size must not be negative, got -1"),
        ({"total_epoch": -5}, "total_epoch must be at least 1, got -5"),
        (
            {"shrink_ratio": 0.81, "total_epoch": 500},
            "shrink_ratio must stay below 1, got 0.81, which total_epoch raises to 1.01",
        ),
    ],
)
def test_refused_options(arguments, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        MakeShrinkMap(**arguments)
    assert str(caught.value) == message
