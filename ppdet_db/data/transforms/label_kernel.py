"""Drawing texts into label maps, compiled by numba: the functions of `label_numpy`, pixel by pixel.

**Near an outline.** What lies within r of an edge is a capsule, so it meets a row of pixels in one piece, from its
leftmost to its rightmost point. With the edge from (x, y) along the unit vector (c, s), s >= 0, over `length`, every
point of the capsule lies in a disk about (x + t c, y + t s), 0 <= t <= length, and the leftmost point of the row at
height h above y belongs to the disk

    t = (h - r c) / s, cut to [0, length],    at    x + t c - sqrt(r^2 - (h - t s)^2);

the rightmost to t = (h + r c) / s, with + sqrt. So no pixel further away is visited. The distance of one that is:

    |(column - x) s - h c| across the edge,   max(|(column - x) c + h s - length / 2| - length / 2, 0) beyond its ends.

**Inside.** A row is inside between its first and second crossing with the outline, its third and fourth, ... The
crossing rule is half-open, y <= row < end, so that a vertex counts once. Pixels on the outline are within 0 of it.

All functions draw into arrays they are given. The machine code is kept in `__pycache__`, or in numba's cache folder
where that is read-only, for the next process; where neither can be written each process compiles for itself. Without
numba these functions are plain Python and far too slow.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

try:
    import numba
except ImportError:  # or one that refuses this NumPy
    numba = None

from ppdet_db.data.transforms.label_raster import TOLERANCE

LEAST_SINE = 1e-300
"""In place of 0 for a level edge: h - r c is divided by it, and then cut to one end or the other."""


def compiled(*signature: str) -> Callable[[Callable], Any]:
    """Decorator. With a signature the function is compiled, or read from the cache, when the module is imported;
    without one it becomes a part of those that call it."""

    def decorate(function: Callable) -> Any:
        if numba is None:
            return function
        try:
            return numba.njit(*signature, cache=bool(signature), error_model="numpy")(function)
        except RuntimeError:  # no folder for the cache
            return numba.njit(*signature, error_model="numpy")(function)

    return decorate


@compiled()
def edges_of(poly: np.ndarray) -> np.ndarray:
    """The edges of a polygon (P, 2), downwards, as rows (x, y, end_y, c, s, length) of (E, 6). Those of no length are
    left out, but for the first, because a dot is drawn as well."""
    edges, count = np.empty((len(poly), 7)), 0
    for i in range(len(poly)):
        j = i + 1 if i + 1 < len(poly) else 0
        upper, lower = (poly[i], poly[j]) if poly[i, 1] <= poly[j, 1] else (poly[j], poly[i])
        run, rise = lower[0] - upper[0], lower[1] - upper[1]
        length = math.hypot(run, rise)
        if length > 0 or i == 0:
            c, s = (run / length, rise / length) if length > 0 else (1.0, 0.0)
            edges[count] = (upper[0], upper[1], lower[1], c, s, length, 1 / max(s, LEAST_SINE))
            count += 1
    return edges[:count]


@compiled()
def cut(value: float, size: int) -> int:
    """A rounded number as an integer, cut to [0, size]."""
    return int(min(max(value, 0.0), float(size)))


@compiled()
def rows_near(edge: np.ndarray, reach: float, height: int) -> tuple[int, int]:
    """Rows [first, stop) that the capsule of an edge meets."""
    return cut(np.ceil(edge[1] - reach), height), cut(np.floor(edge[2] + reach) + 1, height)


@compiled()
def columns_near(edge: np.ndarray, row: int, reach: float, width: int) -> tuple[int, int]:
    """Columns [first, stop) of such a row that are in the capsule: the formula above."""
    x, y, c, s, length, inverse = edge[0], edge[1], edge[3], edge[4], edge[5], edge[6]
    h = row - y
    t = min(max((h - reach * c) * inverse, 0.0), length)
    left = x + t * c - math.sqrt(max(reach * reach - (h - t * s) ** 2, 0.0))
    t = min(max((h + reach * c) * inverse, 0.0), length)
    right = x + t * c + math.sqrt(max(reach * reach - (h - t * s) ** 2, 0.0))
    return cut(np.ceil(left), width), cut(np.floor(right) + 1, width)


@compiled()
def crossings(poly: np.ndarray, row: int, found: np.ndarray) -> int:
    """Where the outline crosses a row, ascending, in the first places of `found` (P,). Returns how often it does."""
    count = 0
    for i in range(len(poly)):
        j = i + 1 if i + 1 < len(poly) else 0
        if (poly[i, 1] <= row) != (poly[j, 1] <= row):
            column = poly[i, 0] + (row - poly[i, 1]) * (poly[j, 0] - poly[i, 0]) / (poly[j, 1] - poly[i, 1])
            place = count
            while place > 0 and found[place - 1] > column:
                found[place] = found[place - 1]
                place -= 1
            found[place] = column
            count += 1
    return count


@compiled()
def rows_of(poly: np.ndarray, height: int) -> tuple[int, int]:
    """Rows [first, stop) that can be inside."""
    return cut(np.ceil(poly[:, 1].min()), height), cut(np.floor(poly[:, 1].max()) + 1, height)


@compiled()
def fill_inside(poly: np.ndarray, value: int, canvas: np.ndarray) -> None:
    """Sets the pixels of the canvas (H, W) that are inside the polygon (P, 2)."""
    height, width = canvas.shape
    found = np.empty(len(poly))
    top, bottom = rows_of(poly, height)
    for row in range(top, bottom):
        for k in range(0, crossings(poly, row, found), 2):
            canvas[row, cut(np.ceil(found[k]), width) : cut(np.floor(found[k + 1]) + 1, width)] = value


@compiled("void(float64[:, :, ::1], uint8, uint8[:, ::1])")
def draw_filled(polys: np.ndarray, value: int, canvas: np.ndarray) -> None:
    """As `label_numpy.draw_filled`."""
    height, width = canvas.shape
    for poly in polys:
        fill_inside(poly, value, canvas)
        for edge in edges_of(poly):
            top, bottom = rows_near(edge, TOLERANCE, height)
            for row in range(top, bottom):
                first, stop = columns_near(edge, row, TOLERANCE, width)
                canvas[row, first:stop] = value


@compiled("void(float64[:, :, ::1], float64[::1], float64, float64, float32[:, ::1], uint8[:, ::1])")
def draw_bands(
    polys: np.ndarray, reaches: np.ndarray, low: float, high: float, values: np.ndarray, mask: np.ndarray
) -> None:
    """As `label_numpy.draw_bands`."""
    height, width = values.shape
    for k in range(len(polys)):
        fill_inside(polys[k], 1, mask)
        reach, slope = reaches[k] + TOLERANCE, np.float32((high - low) / reaches[k])
        for edge in edges_of(polys[k]):
            c, s, half = edge[3], edge[4], edge[5] / 2
            top, bottom = rows_near(edge, reach, height)
            for row in range(top, bottom):
                first, stop = columns_near(edge, row, reach, width)
                mask[row, first:stop] = 1
                line, x, h = values[row, first:stop], first - edge[0], row - edge[1]
                for i in range(len(line)):
                    across = (x + i) * s - h * c
                    beyond = max(abs((x + i) * c + h * s - half) - half, 0.0)
                    distance = math.sqrt(np.float32(across * across + beyond * beyond))
                    line[i] = max(line[i], np.float32(high) - slope * distance)


@compiled("void(float64[:, :, ::1], float64[::1], uint8[:, ::1], boolean[::1])")
def draw_cores(polys: np.ndarray, reaches: np.ndarray, canvas: np.ndarray, has_pixels: np.ndarray) -> None:
    """As `label_numpy.draw_cores`. Row by row: a line of what is inside, from which the edges erase what is near."""
    height, width = canvas.shape
    found, line = np.empty(polys.shape[1]), np.zeros(width, np.bool_)
    for k in range(len(polys)):
        edges, reach = edges_of(polys[k]), max(reaches[k] - TOLERANCE, 0.0)
        top, bottom = rows_of(polys[k], height)
        for row in range(top, bottom):
            count = crossings(polys[k], row, found)
            for i in range(0, count, 2):
                line[cut(np.ceil(found[i]), width) : cut(np.floor(found[i + 1]) + 1, width)] = True
            for edge in edges:
                if edge[1] - reach <= row <= edge[2] + reach:
                    first, stop = columns_near(edge, row, reach, width)
                    line[first:stop] = False
            if count > 0:
                first, stop = cut(np.ceil(found[0]), width), cut(np.floor(found[count - 1]) + 1, width)
                core, drawn = line[first:stop], canvas[row, first:stop]
                for i in range(len(core)):
                    if core[i]:
                        drawn[i], has_pixels[k], core[i] = 1, True, False
