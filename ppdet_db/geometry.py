"""Polygons: size, order of corners, offsetting (shrink and unclip), min-area quad, overlap, clipping.

A polygon is an array (P, 2) of (x, y) in pixels, in either orientation, closed by itself; vertices may repeat.
One that crosses itself is filled by the even-odd rule, as `cv2.fillPoly` does: the two wings of a bow-tie are in.
"""

from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
import pyclipper
import shapely
from numpy.typing import ArrayLike

CLIPPER_SCALE = 2.0**16
"""Clipper computes with integers: coordinates are kept to 1.5e-5 px, and stay in its fast range up to 16,383 px."""

ARC_TOLERANCE = 0.1
"""A rounded corner is a chain of chords that lie this many pixels off the arc at most."""


def polygon_area(poly: ArrayLike) -> Any:
    """Area in square pixels by the shoelace formula, never negative; the wings of a bow-tie cancel.

    Like the next two functions it takes one polygon (P, 2) and returns a number, or many (K, P, 2) and returns (K,).
    """
    start, step = _edges(poly)
    return np.abs((start[..., 0] * step[..., 1] - start[..., 1] * step[..., 0]).sum(axis=-1)) / 2


def polygon_perimeter(poly: ArrayLike) -> Any:
    """Length of the closed outline in pixels."""
    _, step = _edges(poly)
    return np.hypot(step[..., 0], step[..., 1]).sum(axis=-1)


def join_polygons(polys: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """K polygons of any length in one array, for functions that treat all together: points (M, 2), and bounds (K + 1,),
    such that polygon k is `points[bounds[k] : bounds[k + 1]]`."""
    bounds = np.cumsum([0, *map(len, polys)])
    return (np.concatenate(polys) if len(polys) else np.empty((0, 2))), bounds


def sizes(polys: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """`polygon_area` and `polygon_perimeter` of K polygons of any length above 0: (K,) and (K,)."""
    points, bounds = join_polygons(polys)
    first = bounds[:-1]
    start = points.astype(np.float64)
    end = np.roll(start, -1, axis=0)
    end[bounds[1:] - 1] = start[first]
    step = end - start
    areas = np.add.reduceat(start[:, 0] * step[:, 1] - start[:, 1] * step[:, 0], first)
    return np.abs(areas) / 2, np.add.reduceat(np.hypot(step[:, 0], step[:, 1]), first)


def offset_distance(poly: ArrayLike, shrink_ratio: float) -> Any:
    """D = A (1 - r^2) / L (DB paper, eq. 10), in pixels: how far a text's outline moves inwards to become its shrunk
    region, and how wide the band of the threshold map is on both sides. 0.0 for a polygon without extent.

    D < A / L, which is less than the inradius of any simple polygon (Bonnesen): in exact geometry a shrunk text can
    split, yet never vanishes.
    """
    return polygon_area(poly) * (1 - shrink_ratio**2) / np.maximum(polygon_perimeter(poly), np.finfo(float).tiny)


def offset_polygon(poly: ArrayLike, distance: float, join: Literal["round", "miter"] = "round") -> list[np.ndarray]:
    """The polygon grown (distance > 0) or shrunk (distance < 0) by so many pixels.

    Args:
        poly: (P, 2). A self-crossing one is first split into its simple parts.
        distance: in pixels.
        join: `round` keeps every point of the new outline at `distance` from the old one; `miter` keeps corners
            sharp, cut square where they would reach further than twice the distance.

    Returns:
        Outer outlines (P, 2) float64 of all parts, x and y rounded to 1.5e-5 px: several when a shrunk polygon
        splits, none when it vanishes. Holes, as in a C that grows until it closes, are filled.
    """
    points = np.rint(np.asarray(poly, np.float64) * CLIPPER_SCALE).astype(np.int64)
    simple = pyclipper.SimplifyPolygon(points.tolist(), pyclipper.PFT_EVENODD)
    clipper = pyclipper.PyclipperOffset(2.0, ARC_TOLERANCE * CLIPPER_SCALE)
    clipper.AddPaths(simple, pyclipper.JT_ROUND if join == "round" else pyclipper.JT_MITER, pyclipper.ET_CLOSEDPOLYGON)
    outlines = clipper.Execute(distance * CLIPPER_SCALE)
    return [np.array(outline, np.float64) / CLIPPER_SCALE for outline in outlines if pyclipper.Orientation(outline)]


ORDERS = np.array([[[1, 3, 2, 0], [1, 2, 3, 0]], [[0, 3, 2, 1], [0, 2, 3, 1]]])
"""Of corners sorted by x, which go around the quad: by whether the left pair, and the right pair, goes down."""


def order_quad(points: ArrayLike) -> np.ndarray:
    """Four corners (4, 2), or those of K quads (K, 4, 2), clockwise on the screen from the top-left one.

    PaddleOCR's convention, so that equal boxes are equal arrays: of the two leftmost corners the upper comes first and
    the lower last; the two rightmost stand between them.
    """
    quads = np.asarray(points).reshape(-1, 4, 2)
    row = np.arange(len(quads))[:, None]
    by_x = quads[row, quads[:, :, 0].argsort(axis=1, kind="stable")]
    y = by_x[:, :, 1]
    order = ORDERS[(y[:, 1] > y[:, 0]).astype(int), (y[:, 3] > y[:, 2]).astype(int)]
    return by_x[row, order].reshape(np.shape(points))


def min_area_quad(points: ArrayLike) -> tuple[np.ndarray, float]:
    """The smallest rectangle, at any angle, around points (P, 2): its corners (4, 2) float32 as `order_quad` orders
    them, and its shorter side in pixels. (Angle and corner order of `cv2.minAreaRect` change between OpenCV versions.)
    """
    quads, sides = min_area_quads([np.asarray(points, np.float32)])
    return quads[0], float(sides[0])


def min_area_quads(sets: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """`min_area_quad` of K sets of points (P, 2), int32 or float32: (K, 4, 2) float32 and (K,)."""
    rectangles = [cv2.minAreaRect(points) for points in sets]
    corners = np.array([cv2.boxPoints(rectangle) for rectangle in rectangles], np.float32)
    return order_quad(corners.reshape(-1, 4, 2)), np.array([min(size) for _, size, _ in rectangles])


def shorter_side(points: ArrayLike) -> float:
    """The shorter side of the smallest rectangle around points (P, 2), in pixels: a twentieth of `min_area_quad`'s
    time where the corners are not asked for."""
    return float(min(cv2.minAreaRect(np.asarray(points, np.float32))[1]))


def valid_regions(polys: Sequence[ArrayLike]) -> np.ndarray:
    """The K polygons for shapely (K,), None for one without area or whose outline crosses or touches itself."""
    points, bounds = join_polygons([np.asarray(poly, np.float64).reshape(-1, 2) for poly in polys])
    lengths = np.diff(bounds)
    owner = np.repeat(np.arange(len(polys)), lengths)
    is_ring = lengths >= 3
    is_ring[owner[~np.isfinite(points).all(axis=1)]] = False
    used = is_ring[owner]
    regions = np.full(len(polys), None, object)
    shapely.linearrings(points[used], indices=owner[used], out=regions)
    regions[is_ring] = shapely.polygons(regions[is_ring])
    regions[~shapely.is_valid(regions)] = None
    return regions


def polygon_iou(a: ArrayLike, b: ArrayLike) -> float:
    """Intersection over union in [0, 1]; 0.0 for a polygon without extent."""
    region_a, region_b = _region(a), _region(b)
    if region_a is None or region_b is None:
        return 0.0
    common = float(shapely.area(shapely.intersection(region_a, region_b)))
    return common / float(shapely.area(region_a) + shapely.area(region_b) - common)


def clip_polygon(poly: ArrayLike, low: ArrayLike, high: ArrayLike) -> list[np.ndarray]:
    """The parts of a polygon that lie in the rectangle from corner `low` to corner `high`, both (x, y).

    Returns:
        Outlines (P, 2) float64: several when the rectangle cuts the polygon into parts, none when the two only touch.
        Their points begin anywhere and run in either orientation.
    """
    region = _region(poly)
    if region is None:
        return []
    (left, top), (right, bottom) = np.asarray(low), np.asarray(high)
    parts = shapely.get_parts(shapely.intersection(region, shapely.box(left, top, right, bottom)))
    return [shapely.get_coordinates(shapely.get_exterior_ring(part))[:-1] for part in parts if part.area > 0]


def _edges(poly: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Start of each edge and the step to its end, both (..., P, 2) float64."""
    start = np.asarray(poly, np.float64)
    return start, np.concatenate([start[..., 1:, :], start[..., :1, :]], axis=-2) - start


def _region(poly: ArrayLike) -> shapely.Geometry | None:
    """The filled polygon for shapely, or None when it has no area."""
    points = np.asarray(poly, np.float64)
    if len(points) < 3:
        return None
    region = shapely.polygons(points)
    if not shapely.is_valid(region):
        region = shapely.make_valid(region)  # even-odd
    return region if shapely.area(region) > 0 else None
