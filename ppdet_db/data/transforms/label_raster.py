"""What both label maps share: which texts are drawn, with which ratio, and the exact raster of one polygon.

A pixel is the point with its integer coordinates. It belongs to a polygon when it is inside (even-odd) or on it, and
its distance to the outline is Euclidean, so the corners of every band are round.
"""

import math
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
    if total_epoch is not None and total_epoch < 1:
        raise ValueError(f"total_epoch must be at least 1, got {total_epoch}")
    last = ratio_at(shrink_ratio, total_epoch or 0, total_epoch)
    if last >= 1:
        raise ValueError(f"shrink_ratio must stay below 1, got {shrink_ratio}, which total_epoch raises to {last:.4g}")


def ratio_at(shrink_ratio: float, epoch: int, total_epoch: int | None) -> float:
    """The ratio in a 0-based epoch: it grows up to the last of `total_epoch` epochs and then stays there, just below
    `shrink_ratio` + 0.2; without `total_epoch` it is constant."""
    if total_epoch is None:
        return shrink_ratio
    return shrink_ratio + 0.2 * min(epoch, total_epoch - 1) / total_epoch


@dataclass(frozen=True)
class OutlineBand:
    """The surroundings of one polygon on the canvas.

    Args:
        window: rows and columns of the canvas that the arrays cover.
        inside: (h, w) bool, True inside or on the polygon.
        squared: (h, w) float64, square of the distance to the outline in pixels: right up to the reach asked for,
            beyond it too large or infinite.
    """

    window: tuple[slice, slice]
    inside: np.ndarray
    squared: np.ndarray

    def within(self, distance: float) -> np.ndarray:
        """(h, w) bool: pixels at most so far from the outline, on either side."""
        return self.squared <= (distance + TOLERANCE) ** 2

    def core(self, distance: float) -> np.ndarray:
        """(h, w) bool: pixels inside and at least so far from the outline, the polygon shrunk by `distance`."""
        return self.inside & (self.squared >= (distance - TOLERANCE) ** 2)


def outline_band(poly: np.ndarray, reach: float, shape: tuple[int, int]) -> OutlineBand:
    """Rasters a polygon (P, 2) and the band of `reach` pixels on both sides of its outline.

    Each edge visits its own bounding box grown by `reach` only, so the cost follows the length of the outline, not
    the size of the canvas (h, w).
    """
    reach += TOLERANCE
    start = np.asarray(poly, np.float64)
    (left, right), (top, bottom) = (
        _span(values.min() - reach, values.max() + reach, size)
        for values, size in zip(start.T, shape[::-1], strict=True)
    )
    start = start - (left, top)
    end = np.concatenate([start[1:], start[:1]])
    has_length = np.any(start != end, axis=1)
    if has_length.any():  # repeated vertices add nothing, unless the polygon is a dot
        start, end = start[has_length], end[has_length]
    height, width = bottom - top, right - left
    columns, rows = np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)
    squared = np.full((height, width), np.inf)
    for (x, y), (end_x, end_y) in zip(start.tolist(), end.tolist(), strict=True):
        x0, x1 = _span(min(x, end_x) - reach, max(x, end_x) + reach, width)
        y0, y1 = _span(min(y, end_y) - reach, max(y, end_y) + reach, height)
        box = squared[y0:y1, x0:x1]
        np.minimum(box, _squared_distance(columns[x0:x1] - x, rows[y0:y1] - y, end_x - x, end_y - y), out=box)
    inside = _even_odd(start, end, columns, rows) | (squared <= TOLERANCE**2)
    return OutlineBand((slice(top, bottom), slice(left, right)), inside, squared)


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """The integers in [low, high] that are also in [0, size), as a range of that kind."""
    first = min(max(math.ceil(low), 0), size)
    return first, max(min(math.floor(high) + 1, size), first)


def _squared_distance(x: np.ndarray, y: np.ndarray, step_x: float, step_y: float) -> np.ndarray:
    """(h, w): from the pixels at x (w,), y (h,) to the segment from the origin to (step_x, step_y)."""
    length = math.hypot(step_x, step_y)
    cosine, sine = (step_x / length, step_y / length) if length > 0 else (1.0, 0.0)  # a dot
    across = np.subtract.outer(y * cosine, x * sine)
    beyond = np.add.outer(y * sine, x * cosine - length / 2)  # along the segment, from its middle
    np.abs(beyond, out=beyond)
    beyond -= length / 2
    np.maximum(beyond, 0, out=beyond)
    beyond *= beyond
    across *= across
    across += beyond
    return across


def _even_odd(start: np.ndarray, end: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(h, w) bool: pixels with an odd number of edges above them."""
    (x, y), (run, rise) = start.T, (end - start).T
    edge, column = np.nonzero((start[:, :1] <= columns) != (end[:, :1] <= columns))
    crossing = y[edge] + (columns[column] - x[edge]) * rise[edge] / run[edge]
    row = np.searchsorted(rows, crossing)  # the first pixel on the edge or below it
    height, width = len(rows), len(columns)
    flips = np.bincount(row * width + column, minlength=(height + 1) * width).reshape(height + 1, width)
    return np.bitwise_xor.accumulate(flips[:height].astype(np.uint8) & 1, axis=0).view(bool)
