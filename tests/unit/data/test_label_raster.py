"""Both label maps against a float64 brute force, and one test for each defect found in other implementations.

All of it twice: drawn by the compiled kernel and by NumPy.
"""

import math

import cv2
import numpy as np
import pytest

from ppdet_db.data.transforms.border_map import MakeBorderMap
from ppdet_db.data.transforms.label_raster import check_ratio, ratio_at
from ppdet_db.data.transforms.shrink_map import MakeShrinkMap

pytestmark = pytest.mark.usefixtures("each_raster")

SHAPE = (72, 96)  # h, w


def make_sample(*polys, ignored=()):
    longest = max((len(poly) for poly in polys), default=4)
    padded = [[*poly, *[poly[-1]] * (longest - len(poly))] for poly in polys]
    return {
        "image": np.zeros((*SHAPE, 3), np.uint8),
        "polys": np.array(padded, np.float32).reshape(len(polys), longest, 2),
        "ignore_tags": np.array([i in ignored for i in range(len(polys))], bool),
    }


def brute_force(poly, ratio=0.4):
    """Distance to the outline, membership and D, from every pixel to every edge in float64."""
    poly = np.asarray(poly, np.float32).astype(np.float64)  # the corners that a sample can hold
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float64)
    distance, crossings = np.full(SHAPE, np.inf), np.zeros(SHAPE, int)
    twice_area = perimeter = 0.0
    for (ax, ay), (bx, by) in zip(poly, np.roll(poly, -1, axis=0), strict=True):
        length = np.hypot(bx - ax, by - ay)
        t = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length**2, 0, 1) if length > 0 else 0.0
        distance = np.minimum(distance, np.hypot(x - (ax + t * (bx - ax)), y - (ay + t * (by - ay))))
        if ay != by:
            crossings += ((ay < y) != (by < y)) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
        twice_area += ax * by - bx * ay
        perimeter += length
    inside = (crossings % 2 == 1) | (distance < 1e-9)
    return distance, inside, abs(twice_area) / 2 * (1 - ratio**2) / perimeter


def expected_threshold(*polys, ratio=0.4):
    value, mask = np.full(SHAPE, 0.3), np.zeros(SHAPE, bool)
    for poly in polys:
        distance, inside, reach = brute_force(poly, ratio)
        value = np.maximum(value, 0.3 + 0.4 * np.clip(1 - distance / reach, 0, 1))
        mask |= inside | (distance <= reach + 1e-9)
    return value, mask


def rotated(width, height, angle, centre):
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return corners @ [[cosine, sine], [-sine, cosine]] + centre


def curved(centre, radius, thickness):
    angle = np.radians(np.linspace(200, 340, 7))
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([centre + (radius + thickness) * arc, (centre + radius * arc)[::-1]])


# two 20 px squares joined by a bar 3 px high: D(0.4) = 3.3 cuts the bar away, D(0.8) = 1.4 would not
DUMBBELL = [
    (8, 20), (28, 20), (28, 28.5), (60, 28.5), (60, 20), (80, 20),
    (80, 40), (60, 40), (60, 31.5), (28, 31.5), (28, 40), (8, 40),
]  # fmt: skip

POLYGONS = {
    "integer corners, pixels on the outline": [(10, 20), (70, 20), (70, 44), (10, 44)],
    "slanted edge through pixels": [(10, 20), (70, 30), (66, 54), (6, 44)],
    "float corners": rotated(60.3, 17.7, 23, (47.31, 35.77)),
    "anticlockwise": rotated(60.3, 17.7, 23, (47.31, 35.77))[::-1],
    "repeated vertices": [(10, 20), (10, 20), (70.5, 20), (70.5, 44), (70.5, 44), (10, 44), (10, 44), (10, 44)],
    "curved, 14 points": curved((48, 60), 30, 14.3),
    "concave": [(10, 10), (80, 12), (78, 60), (50.5, 30.25), (12, 58)],
    "partly off, left and top": rotated(60, 20, 30, (3.2, 4.9)),
    "partly off, right and bottom": rotated(60, 20, -30, (93.2, 70.9)),
    "across the whole canvas": rotated(4000, 30, 17, (50, 30)),
    "round the whole canvas": rotated(300, 300, 10, (50, 30)),
    "off, its band reaches in": rotated(60, 20, 0, (-31.5, 30)),
    "off, far away": rotated(60, 20, 0, (-310, 5000)),
    "splits when shrunk": DUMBBELL,
    "thinner than a pixel": rotated(60, 0.4, 11, (45.4, 33.3)),
    "thinner than a pixel, between rows": [(10, 20.2), (70, 20.2), (70, 20.7), (10, 20.7)],
    "crosses itself": [(10, 10), (70, 60), (70, 10), (10, 40)],
    "triangle with a sharp corner": [(5, 5), (90, 30), (5, 20)],
}


@pytest.mark.parametrize("ratio", [0.4, 0.7])
@pytest.mark.parametrize("poly", POLYGONS.values(), ids=POLYGONS)
def test_threshold_map_is_the_true_distance(poly, ratio):
    sample = MakeBorderMap(shrink_ratio=ratio)(make_sample(poly))
    value, mask = expected_threshold(poly, ratio=ratio)
    np.testing.assert_allclose(sample["threshold_map"], value, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(sample["threshold_mask"], mask)


@pytest.mark.parametrize("name", [name for name in POLYGONS if "thinner" not in name])  # those vanish: test_shrink_map
def test_shrink_map_holds_the_pixels_at_least_d_inside(name):
    sample = MakeShrinkMap(min_text_size=0)(make_sample(POLYGONS[name]))
    distance, inside, reach = brute_force(POLYGONS[name])
    np.testing.assert_array_equal(sample["shrink_map"], inside & (distance >= reach - 1e-9))
    assert sample["shrink_mask"].min() == 1
    assert not sample["ignore_tags"].any()


@pytest.mark.parametrize("poly", POLYGONS.values(), ids=POLYGONS)
def test_an_ignored_text_is_masked_inside_and_on_its_outline(poly):
    sample = MakeShrinkMap()(make_sample(poly, ignored=[0]))
    np.testing.assert_array_equal(sample["shrink_mask"], ~brute_force(poly)[1])
    assert sample["shrink_map"].max() == 0


def test_overlapping_texts_take_the_maximum():
    polys = [POLYGONS["float corners"], POLYGONS["concave"], POLYGONS["curved, 14 points"]]
    sample = MakeBorderMap()(make_sample(*polys))
    value, mask = expected_threshold(*polys)
    np.testing.assert_allclose(sample["threshold_map"], value, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(sample["threshold_mask"], mask)


def test_a_coordinate_that_is_not_finite_is_refused():
    """The kernel would go on with it."""
    for transform in (MakeBorderMap(), MakeShrinkMap()):
        with pytest.raises(ValueError, match="polys must be finite"):
            transform(make_sample([(10, 20), (70, 20), (70, math.nan), (10, 44)]))


# The numbers are those of the design notes' list of defects found in PaddleOCR, MhLiao/DB, MMOCR and docTR.


def test_defect_1_the_map_peaks_on_the_outline_itself():
    """The law of cosines takes the square root of a slightly negative number there: NaN, or 0.3."""
    value = MakeBorderMap()(make_sample(POLYGONS["integer corners, pixels on the outline"]))["threshold_map"]
    outline = np.concatenate([value[20, 10:71], value[44, 10:71], value[20:45, 10], value[20:45, 70]])
    np.testing.assert_allclose(outline, 0.7, rtol=0, atol=1e-7)


def test_defect_2_the_distance_is_that_to_a_segment_not_to_its_line():
    """Past the end of an edge the nearest point is its corner: hand-computed for (76, 52), 6 and 8 px off (70, 44)."""
    value = MakeBorderMap(shrink_ratio=0.01)(make_sample([(10, 4), (70, 4), (70, 44), (10, 44)]))["threshold_map"]
    reach = 60 * 40 * (1 - 0.01**2) / 200
    assert value[52, 76] == pytest.approx(0.3 + 0.4 * (1 - 10 / reach), abs=1e-6)


def test_defect_3_a_repeated_vertex_changes_nothing():
    plain = [(10.5, 20), (70, 20), (70, 44), (10.5, 44)]
    padded = [*plain, plain[-1], plain[-1]]
    for transform in (MakeBorderMap(), MakeShrinkMap()):
        once, padded_too = transform(make_sample(plain)), transform(make_sample(padded))
        for key in transform.gives:
            np.testing.assert_array_equal(once[key], padded_too[key])


def test_defect_4_corners_are_not_cut_to_integers():
    """Two texts whose corners are equal after truncation have different maps, and a small text raises nothing."""
    low, high = [(10, 20), (70, 20), (70, 44), (10, 44)], [(10.9, 20.9), (70.9, 20.9), (70.9, 44.9), (10.9, 44.9)]
    rows = [np.flatnonzero(MakeShrinkMap()(make_sample(poly))["shrink_map"].any(axis=1)) for poly in (low, high)]
    assert [(found[0], found[-1]) for found in rows] == [(28, 36), (29, 37)]  # D = 7.2: 27.2 ... 36.8 and 28.1 ... 37.7
    tiny = MakeShrinkMap(min_text_size=0)(make_sample([(10, 10), (12, 10), (12, 11), (10, 11)]))
    assert tiny["ignore_tags"].tolist() == [True]


def test_defect_5_a_text_off_the_canvas_neither_fails_nor_marks_the_border_nor_is_deformed():
    for x, y in [(-60, 30), (150, 30), (40, -60), (40, 130)]:
        sample = MakeShrinkMap()(MakeBorderMap()(make_sample(rotated(40, 20, 0, (x, y)))))
        assert sample["threshold_mask"].max() == 0
        assert sample["shrink_mask"].min() == 1
    crossing = MakeShrinkMap()(make_sample(rotated(80, 20, 0, (0, 30))))["shrink_map"]
    assert crossing[30, 0] == 1  # moving the corners to the border would shrink the text away from it


def test_defect_6_a_text_that_splits_keeps_all_its_parts():
    shrink_map = MakeShrinkMap()(make_sample(DUMBBELL))["shrink_map"]
    count, labels = cv2.connectedComponents(shrink_map.astype(np.uint8))
    assert count == 3  # background and both squares
    assert labels[30, 18] != labels[30, 70]
    assert labels[30, 44] == 0


def test_defect_7_text_size_is_the_shorter_side_not_the_upright_box():
    thin = rotated(70, 7, 40, (48, 36))  # its upright box is 58 x 50
    sample = MakeShrinkMap(min_text_size=8)(make_sample(thin, rotated(70, 9, 40, (48, 36))))
    assert sample["ignore_tags"].tolist() == [True, False]


def test_defect_8_both_maps_are_drawn_from_the_same_polygons():
    """In either order: neither transform moves a corner, and both skip the same unusable polygons."""
    polys = [rotated(60, 20, 30, (3.2, 4.9)), [(10, 50), (60, 65), (60, 50), (10, 65)], [(30, 30)] * 4]
    before = make_sample(*polys)
    border_first = MakeShrinkMap(min_text_size=0)(MakeBorderMap()(make_sample(*polys)))
    shrink_first = MakeBorderMap()(MakeShrinkMap(min_text_size=0)(make_sample(*polys)))
    for key in ("threshold_map", "threshold_mask", "shrink_map", "shrink_mask", "ignore_tags"):
        np.testing.assert_array_equal(border_first[key], shrink_first[key])
    np.testing.assert_array_equal(border_first["polys"], before["polys"])
    assert border_first["ignore_tags"].tolist() == [False, True, True]  # the bow-tie's wings cancel, the last is a dot


@pytest.mark.parametrize(
    ("start", "total", "epoch", "ratio"),
    [
        (0.4, 500, 0, 0.4),
        (0.4, 500, 1, 0.4004),
        (0.4, 500, 250, 0.5),
        (0.4, 500, 499, 0.5996),
        (0.4, 500, 500, 0.5996),
        (0.4, 500, 10_000, 0.5996),
        (0.8, 500, 0, 0.8),
        (0.8, 500, 99, 0.8396),  # where PaddleOCR's seal configs, epoch_num: 100, end
        (0.8, 500, 499, 0.9996),
        (0.8, 500, 10_000, 0.9996),
        (0.8, 1, 7, 0.8),
        (0.4, None, 7, 0.4),
    ],
)
def test_ratio_of_an_epoch(start, total, epoch, ratio):
    check_ratio(start, total)
    assert ratio_at(start, epoch, total) == pytest.approx(ratio, abs=1e-12)


@pytest.mark.parametrize("epoch", [0, 99, 499, 10_000])
def test_maps_of_seals_stay_maps_however_high_the_ratio(epoch):
    """At 0.9996 a text is shrunk by 0.007 px: the core is the text, the band its outline."""
    sample = {**make_sample([(10, 10), (80, 10), (80, 50), (10, 50)]), "epoch": epoch}
    sample = MakeBorderMap(0.8, total_epoch=500)(MakeShrinkMap(shrink_ratio=0.8, total_epoch=500)(sample))
    assert np.isfinite(sample["threshold_map"]).all()
    assert sample["threshold_map"][10, 10:81].min() == pytest.approx(0.7)
    reach = 2800 * (1 - ratio_at(0.8, epoch, 500) ** 2) / 220
    side = 2 * math.ceil(reach)  # of the pixels on a line, so many are nearer to its ends
    assert sample["shrink_map"].sum() == (71 - side) * (41 - side)
