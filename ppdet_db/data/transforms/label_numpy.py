"""Drawing texts into label maps with NumPy, all of them at once: the reference for `label_kernel`.

Everything is runs of pixels, so that only those are touched that a text writes. What lies within r of an edge is a
capsule; `label_kernel` derives which columns of a row that is.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ppdet_db.data.transforms.label_raster import TOLERANCE

LEAST_SINE = 1e-300
"""In place of 0 for a level edge."""

BLOCK = 2**16
"""About so many pixels are computed together, which bounds the memory."""


def draw_filled(polys: np.ndarray, value: int, canvas: np.ndarray) -> None:
    """Sets the pixels inside or on the outline.

    Args:
        polys: (K, P, 2) float64, finite; a polygon may be a line or a dot.
        value: to set.
        canvas: (H, W) uint8.
    """
    edges = Edges.of(polys)
    for runs in (inside(edges, canvas.shape), near(edges, np.full(len(polys), TOLERANCE), canvas.shape)):
        for _, _, at in pixels(runs, canvas.shape[1]):
            canvas.reshape(-1)[at] = value


def draw_bands(
    polys: np.ndarray, reaches: np.ndarray, low: float, high: float, values: np.ndarray, mask: np.ndarray
) -> None:
    """Raises values near the outlines and marks the texts with their bands.

    Args:
        polys: (K, P, 2) float64, finite, with an area.
        reaches: (K,) float64, positive: how far from its outline a text raises values.
        low, high: what the distance `reach` and the distance 0 are raised to; between them it is linear.
        values: (H, W) float32, nowhere below `low`; a higher value stays.
        mask: (H, W) uint8; 1 is set inside, and up to `reach` from the outline.
    """
    edges, width = Edges.of(polys), values.shape[1]
    flat_values, flat_mask = values.reshape(-1), mask.reshape(-1)
    for _, _, at in pixels(inside(edges, mask.shape), width):
        flat_mask[at] = 1
    slopes = ((high - low) / reaches)[edges.text]  # lengths are in units of 1 / slope, so that they are values
    c, s, half = slopes * edges.cosine, slopes * edges.sine, slopes * edges.length / 2
    runs = near(edges, reaches + TOLERANCE, values.shape)
    for block, lengths, at in pixels(runs, width):
        edge, row = runs.owner[block], runs.row[block]
        x, h = row * width + edges.x[edge], row - edges.y[edge]
        across = at * np.repeat(s[edge], lengths) - np.repeat(x * s[edge] + h * c[edge], lengths)
        along = at * np.repeat(c[edge], lengths) - np.repeat(x * c[edge] - h * s[edge] + half[edge], lengths)
        beyond = np.maximum(np.abs(along) - np.repeat(half[edge], lengths), 0)  # `along` is from the middle
        distance = np.sqrt((across * across + beyond * beyond).astype(np.float32))
        np.maximum.at(flat_values, at, np.float32(high) - distance)
        flat_mask[at] = 1


def draw_cores(polys: np.ndarray, reaches: np.ndarray, canvas: np.ndarray, has_pixels: np.ndarray) -> None:
    """Sets 1 in the pixels inside that are at least `reach` from the outline of their text.

    Args:
        polys, reaches: as in `draw_bands`.
        canvas: (H, W) uint8.
        has_pixels: (K,) bool; True is set for the texts with such a pixel.
    """
    (height, width), edges = canvas.shape, Edges.of(polys)
    text, edge = inside(edges, canvas.shape), near(edges, np.maximum(reaches - TOLERANCE, 0), canvas.shape)
    # each text has lines of its own, as long as the canvas; a run inside adds 1 to it, what is too near takes more away
    line = np.concatenate([text.owner, edges.text[edge.owner]]) * height + np.concatenate([text.row, edge.row])
    first, stop = np.concatenate([text.first, edge.first]), np.concatenate([text.stop, edge.stop])
    step = np.repeat([1, -polys.shape[1]], [len(text.row), len(edge.row)])
    at = np.concatenate([line * (width + 1) + first, line * (width + 1) + stop])
    order = np.argsort(at)
    at, is_core = at[order], np.cumsum(np.concatenate([step, -step])[order])[:-1] > 0
    line, first = np.divmod(at[:-1][is_core], width + 1)
    stop = at[1:][is_core] - line * (width + 1)
    has_pixels[line[stop > first] // height] = True
    for _, _, at in pixels(Runs(line // height, line % height, first, stop), width):
        canvas.reshape(-1)[at] = 1


@dataclass(frozen=True)
class Edges:
    """The edges of all polygons, downwards, all arrays (E,). Those of no length are left out, but for a polygon's
    first, because a dot is drawn as well.

    Args:
        text: whose edge it is.
        x, y, end_x, end_y: its ends, y <= end_y.
        cosine, sine, length: of the step from one to the other.
    """

    text: np.ndarray
    x: np.ndarray
    y: np.ndarray
    end_x: np.ndarray
    end_y: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, polys: np.ndarray) -> "Edges":
        start, end = polys.reshape(-1, 2), np.roll(polys, -1, axis=1).reshape(-1, 2)
        text, number = np.divmod(np.arange(len(start)), polys.shape[1])
        kept = (start != end).any(axis=1) | (number == 0)
        start, end, text = start[kept], end[kept], text[kept]
        is_upwards = start[:, 1:] > end[:, 1:]
        (x, y), (end_x, end_y) = np.where(is_upwards, end, start).T, np.where(is_upwards, start, end).T
        length = np.hypot(end_x - x, end_y - y)
        divisor = np.where(length > 0, length, 1)
        cosine = np.where(length > 0, end_x - x, 1) / divisor
        return cls(text, x, y, end_x, end_y, cosine, (end_y - y) / divisor, length)


@dataclass(frozen=True)
class Runs:
    """Columns [first, stop) of a row, and what they belong to, an edge or a text; all arrays (R,) of integers."""

    owner: np.ndarray
    row: np.ndarray
    first: np.ndarray
    stop: np.ndarray


def near(edges: Edges, reaches: np.ndarray, shape: tuple[int, int]) -> Runs:
    """Where the rows of the canvas are within reach (K,) of each edge."""
    height, width = shape
    reach = reaches[edges.text]
    rows, row = ranges(whole(np.ceil(edges.y - reach), height), whole(np.floor(edges.end_y + reach) + 1, height))
    edge = np.repeat(np.arange(len(rows)), rows)
    x, c, s, length, reach = (values[edge] for values in (edges.x, edges.cosine, edges.sine, edges.length, reach))
    h, divisor, ends = row - edges.y[edge], np.maximum(s, LEAST_SINE), []
    for side in (-1, 1):
        t = np.minimum(np.maximum((h + side * reach * c) / divisor, 0), length)
        ends.append(x + t * c + side * np.sqrt(np.maximum(reach * reach - (h - t * s) ** 2, 0)))
    first, stop = whole(np.ceil(ends[0]), width), whole(np.floor(ends[1]) + 1, width)
    return Runs(edge, row, first, np.maximum(stop, first))  # where the row only touches, rounding may cross the ends


def inside(edges: Edges, shape: tuple[int, int]) -> Runs:
    """Where the rows of the canvas are inside each text: from odd crossings with its outline to even ones."""
    height, width = shape
    rows, row = ranges(whole(np.ceil(edges.y), height), whole(np.ceil(edges.end_y), height))
    edge = np.repeat(np.arange(len(rows)), rows)
    text, x, y = edges.text[edge], edges.x[edge], edges.y[edge]
    crossing = x + (row - y) * (edges.end_x[edge] - x) / (edges.end_y[edge] - y)
    order = np.lexsort((crossing, text * height + row))
    odd, even = order[::2], order[1::2]
    first, stop = whole(np.ceil(crossing[odd]), width), whole(np.floor(crossing[even]) + 1, width)
    return Runs(text[odd], row[odd], first, stop)


def pixels(runs: Runs, width: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """The pixels of all runs, in blocks: which runs, how many pixels each has, their places in the flat canvas."""
    ends = np.cumsum(runs.stop - runs.first)
    cuts = np.searchsorted(ends, np.arange(0, ends[-1] if len(ends) else 0, BLOCK), side="right")
    for begin, end in itertools.pairwise([*np.unique(cuts), len(ends)]):
        block = slice(begin, end)
        start = runs.row[block] * width
        yield block, *ranges(start + runs.first[block], start + runs.stop[block])


def ranges(first: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many integers each of many ranges [first, stop) has, and all these integers."""
    lengths = stop - first
    return lengths, np.arange(lengths.sum()) + np.repeat(first - np.cumsum(lengths) + lengths, lengths)


def whole(values: np.ndarray, size: int) -> np.ndarray:
    """Rounded numbers as integers, cut to [0, size]."""
    return np.minimum(np.maximum(values, 0), size).astype(np.intp)
