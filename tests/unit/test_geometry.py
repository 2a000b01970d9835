"""Polygon geometry: hand-checkable numbers, and what happens to degenerate and self-crossing polygons."""

import math

import cv2
import numpy as np
import pytest

from ppdet_db.geometry import (
    clip_polygon,
    join_polygons,
    min_area_quad,
    min_area_quads,
    offset_distance,
    offset_polygon,
    order_quad,
    polygon_area,
    polygon_iou,
    polygon_perimeter,
    sizes,
    valid_regions,
)

BOX = [(10, 10), (25, 10), (25, 20), (10, 20)]
RECTANGLE = [(100, 100), (250, 100), (250, 200), (100, 200)]
BOW_TIE = [(0, 0), (10, 10), (10, 0), (0, 10)]
DUMBBELL = [
    (0, 0), (20, 0), (20, 8), (40, 8), (40, 0), (60, 0), (60, 20), (40, 20), (40, 12), (20, 12), (20, 20), (0, 20),
]  # fmt: skip


def rotated(poly, degrees, centre=(0, 0)):
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray(poly) @ [[cosine, sine], [-sine, cosine]] + centre


@pytest.mark.parametrize(
    ("poly", "area", "perimeter", "reason"),
    [
        (BOX, 150, 50, "15 x 10"),
        (BOX[::-1], 150, 50, "the other orientation"),
        ([*BOX, BOX[-1], BOX[-1]], 150, 50, "repeated vertices"),
        ([(0, 0), (3, 0), (0, 4)], 6, 12, "3-4-5 triangle"),
        (np.array(BOX) + 1e9, 150, 50, "far from the origin"),
        (BOW_TIE, 0, 20 + 2 * math.hypot(10, 10), "the wings cancel"),
        ([(5, 5)] * 4, 0, 0, "a dot"),
        ([(0, 0), (10, 0), (10, 0), (0, 0)], 0, 20, "a line, there and back"),
    ],
)
def test_area_and_perimeter(poly, area, perimeter, reason):
    assert polygon_area(poly) == pytest.approx(area, abs=1e-9), reason
    assert polygon_perimeter(poly) == pytest.approx(perimeter), reason
    (areas, perimeters) = sizes([np.array(BOX), np.array(poly), np.array(BOX)])
    assert areas == pytest.approx([150, area, 150], abs=1e-9), reason
    assert perimeters == pytest.approx([50, perimeter, 50]), reason


def test_join_polygons():
    """Of any length, one point alone and none among them; the type of the points stays."""
    polys = [np.array(BOX, np.int32), np.array([(5, 5)], np.int32), np.empty((0, 2), np.int32)]
    points, bounds = join_polygons(polys)
    assert points.tolist() == [*map(list, BOX), [5, 5]]
    assert points.dtype == np.int32
    assert bounds.tolist() == [0, 4, 5, 5]


def test_of_no_polygon():
    points, bounds = join_polygons([])
    assert (points.shape, bounds.tolist()) == ((0, 2), [0])
    assert [result.shape for result in (*sizes([]), *min_area_quads([]), valid_regions([]))] == [
        (0,), (0,), (0, 4, 2), (0,), (0,),
    ]  # fmt: skip


def test_valid_regions_stand_at_the_places_of_their_polygons():
    lost, nan = [(0, 0), (5, 5)], [(np.nan, 0), (5, 5), (5, 0)]
    regions = valid_regions([lost, BOX, BOW_TIE, nan, DUMBBELL, np.empty((0, 2))])
    areas = [None if region is None else region.area for region in regions]
    assert areas == [None, 150, None, None, 880, None]


@pytest.mark.parametrize(
    ("poly", "ratio", "distance"),
    [
        (RECTANGLE, 0.4, 25.2),  # 15000 * 0.84 / 500
        (BOX, 0.4, 2.52),  # 150 * 0.84 / 50
        ([(0, 0), (20, 0), (20, 10), (0, 10)], 0.4, 2.8),  # 200 * 0.84 / 60
        (RECTANGLE, 0.5, 22.5),
        ([(5, 5)] * 4, 0.4, 0.0),
    ],
)
def test_offset_distance(poly, ratio, distance):
    assert offset_distance(poly, ratio) == pytest.approx(distance)


@pytest.mark.parametrize(
    ("poly", "shrunk", "grown"),
    [
        (
            RECTANGLE,
            [(125, 125), (225, 125), (225, 175), (125, 175)],
            [(75, 75), (275, 75), (275, 225), (75, 225)],
        ),
        (BOX, [(13, 13), (22, 13), (22, 17), (13, 17)], [(7, 7), (28, 7), (28, 23), (7, 23)]),
    ],
)
def test_worked_examples_of_shrinking_and_growing(poly, shrunk, grown):
    """Corners to the nearest integer, as Clipper gives them when it is fed whole pixels."""
    distance = offset_distance(poly, 0.4)
    for signed, expected in ((-distance, shrunk), (distance, grown)):
        (outline,) = offset_polygon(poly, signed, join="miter")
        assert np.rint(order_quad(outline)).astype(int).tolist() == [list(corner) for corner in expected]


def test_offset_keeps_fractions():
    (outline,) = offset_polygon(BOX, -2.52)
    np.testing.assert_allclose(
        order_quad(outline), [(12.52, 12.52), (22.48, 12.52), (22.48, 17.48), (12.52, 17.48)], atol=2e-5
    )


@pytest.mark.parametrize("poly", [BOX, BOX[::-1], [*BOX, BOX[-1], BOX[-1]]], ids=["plain", "reversed", "padded"])
@pytest.mark.parametrize("distance", [-3.3, 4.7])
def test_offset_does_not_depend_on_orientation_or_repeated_vertices(poly, distance):
    (outline,) = offset_polygon(rotated(poly, 30), distance)
    (expected,) = offset_polygon(rotated(BOX, 30), distance)
    assert polygon_iou(outline, expected) == pytest.approx(1, abs=1e-5)


def test_round_corners_lie_at_the_distance():
    """Area of a grown rectangle: A + L d + pi d^2, short of it by what the chords cut off the arcs."""
    (outline,) = offset_polygon(BOX, 5.0)
    exact = 150 + 50 * 5 + math.pi * 25
    assert exact - 2 * math.pi * 5 * 0.1 < polygon_area(outline) <= exact
    gaps = [math.hypot(max(10 - x, 0, x - 25), max(10 - y, 0, y - 20)) for x, y in outline]
    np.testing.assert_allclose(gaps, 5, atol=5e-5)


def test_mitred_corners_are_cut_when_they_reach_far():
    (outline,) = offset_polygon([(0, 0), (100, 5), (0, 10)], 2.0, join="miter")
    assert outline[:, 0].max() < 105  # the mitre itself would end at 140


@pytest.mark.parametrize(
    ("poly", "distance", "areas", "reason"),
    [
        (DUMBBELL, -3, [196, 196], "the bar of 4 px is gone, two squares of 14 px stay"),
        (BOX, -5.1, [], "it vanishes"),
        ([(0, 0), (10, 0), (10, 0), (0, 0)], -1, [], "nothing to shrink"),
        (BOW_TIE, -0.5, [14.39, 14.39], "both wings, scaled by 1 - 0.5 / 2.07, their inradius"),
        ([(0, 0), (30, 0), (30, 30), (0, 30), (0, 17), (20, 17), (20, 13), (0, 13)], 3, [1281.2], "the bay is filled"),
    ],
)
def test_parts_of_an_offset(poly, distance, areas, reason):
    found = sorted(polygon_area(outline) for outline in offset_polygon(poly, distance))
    assert found == pytest.approx(areas, rel=0.01), reason


def test_a_hole_that_growing_closes_is_filled():
    ring_with_a_gap = [(0, 0), (60, 0), (60, 60), (0, 60), (0, 31), (10, 31), (10, 50), (50, 50), (50, 10), (10, 10),
                       (10, 29), (0, 29)]  # fmt: skip
    (outline,) = offset_polygon(ring_with_a_gap, 3.0)
    assert polygon_area(outline) == pytest.approx(3600 + 240 * 3 + math.pi * 9, rel=0.001)


@pytest.mark.parametrize("angle", [0, 10, -25, 44])
def test_order_quad_starts_top_left_and_goes_clockwise(angle):
    expected = rotated([(-20, -5), (20, -5), (20, 5), (-20, 5)], angle, (50, 50))
    for corners in (np.roll(expected, 1, axis=0), expected[::-1], expected[[2, 0, 3, 1]]):
        np.testing.assert_array_equal(order_quad(corners), expected)


def test_order_quad_of_an_upright_text_follows_paddleocr():
    """Turned by more than 45 degrees the upper of the two leftmost corners is first, whatever the text's direction."""
    corners = rotated([(-20, -5), (20, -5), (20, 5), (-20, 5)], 80)
    np.testing.assert_array_equal(order_quad(corners), corners[[3, 0, 1, 2]])


def test_order_quad_of_many_quads():
    quads = np.stack([rotated([(-20, -5), (20, -5), (20, 5), (-20, 5)], angle) for angle in range(-90, 100, 10)])
    np.testing.assert_array_equal(order_quad(quads[:, ::-1]), [order_quad(quad) for quad in quads])


@pytest.mark.parametrize("angle", [0, 17, 45, 90, 133])
def test_min_area_quad(angle):
    corners = rotated([(-20, -4), (20, -4), (20, 4), (-20, 4)], angle, (60, 70))
    quad, side = min_area_quad(np.concatenate([corners, [(60, 70)]]))
    assert (quad.dtype, quad.shape) == (np.float32, (4, 2))
    assert side == pytest.approx(8, abs=1e-4)
    assert polygon_iou(quad, corners) == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(order_quad(quad), quad)


def test_min_area_quad_of_a_contour():
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9, 6:20] = 1
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    quad, side = min_area_quad(contours[0].reshape(-1, 2))
    np.testing.assert_allclose(quad, [(6, 5), (19, 5), (19, 8), (6, 8)])
    assert side == 3


def test_min_area_quads():
    """Of any number of points; one point is a quad without extent."""
    sets = [np.array(BOX, np.int32), np.array([(7, 8)], np.int32), np.array([*RECTANGLE, (120, 130)], np.int32)]
    quads, sides = min_area_quads(sets)
    np.testing.assert_allclose(quads, [BOX, [(7, 8)] * 4, RECTANGLE])
    assert quads.dtype == np.float32
    assert sides.tolist() == [10, 0, 100]


@pytest.mark.parametrize(
    ("poly", "expected", "reason"),
    [
        (BOX, True, ""),
        ([*BOX, BOX[-1]], True, "a repeated vertex"),
        (BOW_TIE, False, "crosses itself"),
        ([(0, 0), (5, 5), (10, 10)], False, "no area"),
        ([(5, 5)] * 4, False, "a dot"),
        ([(0, 0), (5, 5)], False, "two points"),
        ([(0, 0), (10, 0), (5, 5), (10, 10), (0, 10), (5, 5)], False, "touches itself"),
    ],
)
def test_is_valid(poly, expected, reason):
    (region,) = valid_regions([poly])
    assert (region is not None) is expected, reason


@pytest.mark.parametrize(
    ("a", "b", "iou", "reason"),
    [
        (BOX, BOX, 1, "itself"),
        (BOX, BOX[::-1], 1, "the other orientation"),
        (BOX, [(15, 10), (30, 10), (30, 20), (15, 20)], 0.5, "moved by a third"),
        (BOX, [(25, 10), (40, 10), (40, 20), (25, 20)], 0, "a common side"),
        (BOX, [(5, 5)] * 4, 0, "a dot"),
        (BOX, [(0, 0), (50, 50)], 0, "two points"),
        (BOW_TIE, [(0, 0), (10, 0), (10, 10), (0, 10)], 0.5, "even-odd: the two side wings are in"),
    ],
)
def test_overlap(a, b, iou, reason):
    assert polygon_iou(a, b) == pytest.approx(iou), reason
    assert polygon_iou(b, a) == pytest.approx(iou), reason


@pytest.mark.parametrize(
    ("poly", "low", "high", "areas", "reason"),
    [
        (BOX, (0, 0), (50, 50), [150], "inside"),
        (BOX, (15, 0), (50, 50), [100], "10 of 15 px of its width"),
        (BOX[::-1], (15, 0), (50, 15), [50], "the other orientation, a corner"),
        (BOX, (12, 12), (20, 18), [48], "it holds the rectangle"),
        (BOX, (25, 0), (50, 50), [], "they touch along a side"),
        (BOX, (30, 0), (50, 50), [], "outside"),
        (DUMBBELL, (0, 0), (60, 6), [120, 120], "the bar is cut off: two parts"),
        ([(0, 0), (30, 0), (15, 30)], (0, 0), (30, 15), [337.5], "a triangle without its tip, a trapezium"),
        (BOW_TIE, (0, 0), (10, 5), [12.5, 12.5], "even-odd: the upper halves of the two side wings"),
        ([*BOW_TIE, (0, 20), (0, 10)], (-5, 0), (5, 30), [25], "a spike adds nothing"),
        ([(5, 5)] * 4, (0, 0), (10, 10), [], "a dot"),
        ([(0, 5), (20, 5), (20, 5), (20, 5)], (0, 0), (10, 10), [], "a line"),
    ],
)
def test_clip_polygon(poly, low, high, areas, reason):
    parts = clip_polygon(poly, low, high)
    assert sorted(polygon_area(part) for part in parts) == pytest.approx(sorted(areas)), reason
    for part in parts:
        assert part.dtype == np.float64
        assert np.all((part >= low) & (part <= high)), reason
        assert len({tuple(point) for point in part.tolist()}) == len(part), "closed by itself"
