"""A picture that is drawn when its pixels are asked for: what moves it on the way is multiplied into one matrix."""

from collections.abc import Sequence

import cv2
import numpy as np

from ppdet_db.data.transforms.jpeg import JpegFile
from ppdet_db.data.transforms.matrix import EXACT, is_affine, is_upright, project, shift, stretch, stretching

SHRINKS = (8, 4, 2)
"""By how much a picture may be made smaller before it is warped, the largest first."""
RIM = 1.0
"""Pixels. So much of a picture may be cut off all around it without being missed."""
MAGNIFIED = 0.01
"""By so much a picture may be magnified after it was made smaller: crops are rounded to whole pixels."""


class Picture:
    """Where the pixels come from, and where they lie. A step makes a new one in microseconds; `pixels` draws it, once.

    The picture is resampled once, linearly, however many steps have moved it. Where that makes it smaller by 2, 4 or 8
    or more, means of as many pixels are taken first: JPEG files are decoded at this size, which costs less than the
    whole. What a step moves out of the canvas is gone, and what it leaves uncovered is black.

    Args:
        source: pixels (H, W, 3), uint8 or float32, or a file that can give them.
        shape: (h, w, 3), as it will be drawn.
        matrix: (3, 3), from the source's pixels to those of the picture, centres at whole numbers.
        window: corners (x, y) of what may be seen; the rest is black.
        is_turned: whether its edges have been aslant; then the warp draws what is around it.
    """

    def __init__(
        self,
        source: np.ndarray | JpegFile,
        shape: tuple[int, ...] | None = None,
        matrix: np.ndarray = np.eye(3),  # noqa: B008, never changed
        window: np.ndarray | None = None,
        is_turned: bool = False,
    ):
        self.source = source
        self.shape = source.shape if shape is None else shape
        self.matrix = matrix
        self.window = canvas(self.shape[1::-1]) if window is None else window
        self.is_turned = is_turned

    @property
    def size(self) -> np.ndarray:
        """[w, h]"""
        return np.array([self.shape[1], self.shape[0]])

    def moved(self, matrix: np.ndarray, size: Sequence[int], window: np.ndarray | None = None) -> "Picture":
        """The picture with each point (x, y, 1) at `matrix` times this, on a canvas of `size` [w, h].

        Args:
            window: corners (2, 2) of the part of the canvas outside of which all is black; by default there is none.
        """
        turns = not is_upright(matrix)
        picture = self
        if turns and not self._is_whole():
            picture = Picture(self.pixels())  # what is outside the window must not turn into it
        window = canvas(size) if window is None else window
        if not turns:
            corners = np.sort(project(picture.window, matrix), axis=0)
            window = np.minimum(np.maximum(corners, window[0]), window[1])
        shape = (int(size[1]), int(size[0]), 3)
        return Picture(picture.source, shape, matrix @ picture.matrix, window, picture.is_turned or turns)

    def scaled(self, size: Sequence[int]) -> "Picture":
        """Stretched to `size` [w, h] as `cv2.resize` does: a pixel's centre x goes to (x + 0.5) s - 0.5."""
        return self.cropped((0, 0), self.size, size, (0, 0), size)

    def cropped(
        self, low: Sequence[int], high: Sequence[int], target: Sequence[int], place: Sequence[int], size: Sequence[int]
    ) -> "Picture":
        """The pixels from `low` up to, not including, `high`, both (x, y), stretched to `target` [w, h].

        Args:
            place: (x, y) of the first of them.
            size: [w, h] of the black canvas that they are on.
        """
        scale = target / np.subtract(high, low)
        offset = (0.5 - np.asarray(low)) * scale - 0.5 + place
        return self.moved(stretching(scale, offset), size, canvas(target) + place)

    def pixels(self, fill: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
        """(h, w, 3), of the source's type. Raises SampleError where the file cannot be decoded.

        Args:
            fill: colour of what the picture does not cover.
        """
        low = np.ceil(self.window[0] - EXACT).astype(int)
        high = np.floor(self.window[1] + EXACT).astype(int) + 1
        left, top, right, bottom = (*low.tolist(), *(self.size - high).tolist())
        if min(high - low) <= 0:
            return np.full(self.shape, fill, self.source.dtype)
        drawn = self._drawn(np.linalg.inv(self.matrix) @ shift(low), high - low, fill)
        if not (left or top or right or bottom):
            return drawn
        return cv2.copyMakeBorder(drawn, top, bottom, left, right, cv2.BORDER_CONSTANT, value=fill)

    def _is_whole(self) -> bool:
        """Whether nothing of the source has been cut off."""
        corners = project(all_corners(canvas(self.source.shape[1::-1])), self.matrix)
        return bool(np.all((corners >= self.window[0] - RIM) & (corners <= self.window[1] + RIM)))

    def _drawn(self, inverse: np.ndarray, size: np.ndarray, fill: tuple[int, int, int]) -> np.ndarray:
        """(size[1], size[0], 3): a pixel p shows what is at `inverse` times p in the source."""
        by = self._shrink()
        low, high = seen_part(self.source.shape, inverse, size, by)
        if min(high - low) <= 0:
            return np.full((size[1], size[0], 3), fill, self.source.dtype)
        source = part(self.source, low, high, by)
        inverse = stretching((1 / by, 1 / by), (0.5 - low) / by - 0.5) @ inverse
        if not self.is_turned and min(inverse[0, 0], inverse[1, 1]) > EXACT:
            edges = project(canvas(size), inverse) + 0.5
            (left, top), (right, bottom) = np.rint(edges).astype(int).tolist()
            if np.abs(edges - np.rint(edges)).max() < EXACT:
                return resized(source[top:bottom, left:right], size)
        return warped(source, inverse, size, fill if self.is_turned else None)

    def _shrink(self) -> int:
        """By how much the source may be made smaller first without losing anything that will be seen."""
        largest = (1 + MAGNIFIED) / stretch(self.matrix)
        is_array = isinstance(self.source, np.ndarray)
        return next((by for by in SHRINKS if by <= largest and (is_array or self.source.can_shrink(by))), 1)


def seen_part(shape: tuple, inverse: np.ndarray, size: np.ndarray, by: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners (x, y), the second past the last pixel, of what a canvas of `size` [w, h] shows of a source.

    Some pixels more, for the interpolation, and whole blocks of by x by pixels.
    """
    whole = np.array([shape[1], shape[0]])
    if not is_affine(inverse):
        return np.zeros(2, int), whole
    seen = project(all_corners(canvas(size)), inverse) / by
    low = np.floor(seen.min(axis=0) - 1).astype(int) * by
    high = np.ceil(seen.max(axis=0) + 2).astype(int) * by
    return np.clip(low, 0, whole), np.clip(high, 0, whole)


def part(source: np.ndarray | JpegFile, low: np.ndarray, high: np.ndarray, by: int) -> np.ndarray:
    """Means of by x by pixels of the source from `low`, multiples of `by`, to `high`, both (x, y).

    Where the source ends within a block, its last pixels are repeated, as JPEG files do.
    """
    if not isinstance(source, np.ndarray):
        (left, top), (right, bottom) = low // by, -(-high // by)
        return source.pixels(by)[top:bottom, left:right]
    source = source[low[1] : high[1], low[0] : high[0]]
    if by == 1:
        return source
    right, bottom = (int(side) for side in (low - high) % by)
    if right or bottom:
        source = cv2.copyMakeBorder(source, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    size = source.shape[1] // by, source.shape[0] // by
    return cv2.resize(source, size, interpolation=cv2.INTER_AREA)


def resized(pixels: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Stretched to `size` [w, h]; the pixels themselves where they have it."""
    if pixels.shape[1] == size[0] and pixels.shape[0] == size[1]:
        return np.ascontiguousarray(pixels)
    return cv2.resize(pixels, (int(size[0]), int(size[1])))


def warped(pixels: np.ndarray, inverse: np.ndarray, size: np.ndarray, fill: tuple[int, int, int] | None) -> np.ndarray:
    """(size[1], size[0], 3): what is at `inverse` times a pixel, sampled linearly.

    Args:
        fill: the colour around them; None repeats the outermost ones.
    """
    # a fourth channel makes the warp faster: 0.9 instead of 2.2 ms for 640 x 640 (OpenCV 5.0), 1.6 of 1.8 (4.11)
    pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA)
    place = (int(size[0]), int(size[1]))
    border = {"borderMode": cv2.BORDER_REPLICATE} if fill is None else {"borderValue": (*fill, 0)}
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if is_affine(inverse):
        pixels = cv2.warpAffine(pixels, inverse[:2], place, flags=flags, **border)
    else:
        pixels = cv2.warpPerspective(pixels, inverse, place, flags=flags, **border)
    return cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)


def canvas(size: np.ndarray) -> np.ndarray:
    """(2, 2): the corners of the area that the pixels of a picture of `size` [w, h] cover."""
    return np.array([[-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5]])


def all_corners(box: np.ndarray) -> np.ndarray:
    """(2, 2), two opposite corners -> (4, 2)"""
    (left, top), (right, bottom) = box
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
