"""What both label maps share: which texts are drawn, with which ratio, and the exact raster of one polygon.

A pixel is the point with its integer coordinates. It belongs to a polygon when it is inside (even-odd) or on it, and
its distance to the outline is Euclidean, so the corners of every band are round.
"""

from dataclasses import dataclass

import numpy as np

from ppdet_db.geometry import polygon_area

TOLERANCE = 1e-9
"""Pixels this near to a border count as on it: rounding in float64 must not decide on which side they are."""


def is_drawable(poly: np.ndarray) -> bool:
    """Whether a polygon can be a text: it covers a square pixel. The wings of a bow-tie cancel, so it may not."""
    return polygon_area(poly) >= 1


def check_ratio(shrink_ratio: float, total_epoch: int | None) -> None:
    """Raises ValueError for a ratio that is, or grows, out of (0, 1)."""
    if not 0 < shrink_ratio < 1:
        raise ValueError(f"shrink_ratio must be in (0, 1), got {shrink_ratio}")
    if total_epoch is not None:
        if total_epoch < 1:
            raise ValueError(f"total_epoch must be at least 1, got {total_epoch}")
        if shrink_ratio + 0.2 >= 1:
            raise ValueError(f"shrink_ratio must be below 0.8 when total_epoch raises it by 0.2, got {shrink_ratio}")


def ratio_at(shrink_ratio: float, epoch: int, total_epoch: int | None) -> float:
    """The ratio in an epoch: it grows by 0.2 until `total_epoch` and then stays, or is constant without one."""
    if total_epoch is None:
        return shrink_ratio
    return shrink_ratio + 0.2 * min(epoch, total_epoch) / total_epoch


@dataclass(frozen=True)
class OutlineBand:
    """The surroundings of one polygon on the canvas.

    Args:
        window: rows and columns of the canvas that the arrays cover.
        inside: (h, w) bool, True inside or on the polygon.
        distance: (h, w) float64, pixels to the outline; right up to the reach asked for, beyond it too large.
    """

    window: tuple[slice, slice]
    inside: np.ndarray
    distance: np.ndarray


def outline_band(poly: np.ndarray, reach: float, shape: tuple[int, int]) -> OutlineBand:
    """Rasters a polygon (P, 2) and the band of `reach` pixels on both sides of its outline.

    Each edge visits its own bounding box grown by `reach` only, so the cost follows the length of the outline, not
    the size of the canvas (h, w).
    """
    reach += TOLERANCE
    points = np.asarray(poly, np.float64)
    (left, right), (top, bottom) = (
        _pixels(values.min() - reach, values.max() + reach, size)
        for values, size in zip(points.T, shape[::-1], strict=True)
    )
    points = points - (left, top)
    height, width = bottom - top, right - left
    squared = np.full((height, width), np.inf)
    for (x, y), (end_x, end_y) in zip(points, np.roll(points, -1, axis=0), strict=True):
        x0, x1 = _pixels(min(x, end_x) - reach, max(x, end_x) + reach, width)
        y0, y1 = _pixels(min(y, end_y) - reach, max(y, end_y) + reach, height)
        box = squared[y0:y1, x0:x1]
        step_x, step_y = end_x - x, end_y - y
        np.minimum(
            box, _squared_distance(np.arange(x0, x1) - x, np.arange(y0, y1)[:, None] - y, step_x, step_y), out=box
        )
    distance = np.sqrt(squared)
    inside = _even_odd(points, height, width) | (distance <= TOLERANCE)
    return OutlineBand((slice(top, bottom), slice(left, right)), inside, distance)


def _pixels(low: float, high: float, size: int) -> tuple[int, int]:
    """Range of the integers in [low, high] and [0, size)."""
    first = min(max(int(np.ceil(low)), 0), size)
    return first, max(min(int(np.floor(high)) + 1, size), first)


def _squared_distance(x: np.ndarray, y: np.ndarray, step_x: float, step_y: float) -> np.ndarray:
    """From pixels (y (h, 1), x (w,)) to the segment from the origin to (step_x, step_y)."""
    length = step_x * step_x + step_y * step_y
    if length == 0:  # a repeated vertex
        return x * x + y * y
    along = np.clip(x * (step_x / length) + y * (step_y / length), 0, 1)
    return (x - along * step_x) ** 2 + (y - along * step_y) ** 2


def _even_odd(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) bool: pixels with an odd number of outline crossings on their left."""
    rows = np.arange(height)[:, None]
    x, y = points.T
    end_x, end_y = np.roll(points, -1, axis=0).T
    row, edge = np.nonzero((y <= rows) != (end_y <= rows))
    crossing = x[edge] + (row - y[edge]) * (end_x - x)[edge] / (end_y - y)[edge]
    column = np.clip(np.ceil(crossing), 0, width).astype(np.int64)
    flips = np.bincount(row * (width + 1) + column, minlength=height * (width + 1)).reshape(height, width + 1)
    return np.cumsum(flips[:, :width], axis=1) % 2 == 1
