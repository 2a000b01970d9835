"""A patch: a flat piece of picture, such as one word, a sign or a page, that knows the boxes of the texts on it."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from ppdet_db.data.synthetic.chance import happens, pick
from ppdet_db.data.synthetic.fonts import Face, render

IGNORED = "###"
Box = tuple[float, float, float, float]


@dataclass
class Patch:
    """Pixels with coverage, and the texts on them.

    Args:
        colour: (h, w, 3) BGR uint8, or (3,) when it is the same everywhere.
        alpha: (h, w) uint8, 255 where the patch hides what lies under it.
        texts: box (x0, y0, x1, y1) in pixels of the patch, and what it says, of each text.
    """

    colour: np.ndarray
    alpha: np.ndarray
    texts: list[tuple[Box, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Pen:
    """How a line is written.

    Args:
        face: the font.
        size: em in pixels.
        stretch: factors of width and height: tills print letters twice as wide or as high.
    """

    face: Face
    size: int
    stretch: tuple[float, float] = (1.0, 1.0)


def write(text: str, pen: Pen) -> tuple[np.ndarray, int]:
    """Ink of a line (h, w), cut to the ink, and its distance below the top of the line, in pixels."""
    ink, top = render(text, pen.face, pen.size)
    if pen.stretch == (1.0, 1.0) or not ink.size:
        return ink, top
    wide, high = pen.stretch
    size = (max(1, round(ink.shape[1] * wide)), max(1, round(ink.shape[0] * high)))
    return cv2.resize(ink, size, interpolation=cv2.INTER_LINEAR), round(top * high)


def margin(ink_height: float) -> float:
    """How far a label keeps from the ink, in pixels: a tenth of its height, as measured on hand-labelled receipts."""
    return 0.5 + 0.08 * ink_height


def label_box(x: float, y: float, width: int, height: int) -> Box:
    """The box that a person would draw around ink whose upper left pixel is (x, y)."""
    space = margin(min(width, height))
    return x - space, y - space, x + width - 1 + space, y + height - 1 + space


def spoil(rng: np.random.Generator, ink: np.ndarray) -> np.ndarray:
    """The ink of a text that nobody can read: smeared or worn off. Same size as before."""
    if happens(rng, 0.4):
        return cv2.convertScaleAbs(ink, alpha=pick(rng, (0.08, 0.12, 0.16)))
    height, width = ink.shape
    edge = min(height, width) // 8  # for the smear to fade out in
    inner = cv2.resize(ink, (width - 2 * edge, height - 2 * edge), interpolation=cv2.INTER_AREA)
    sigma = min(height, width) * rng.uniform(0.22, 0.35)
    return cv2.GaussianBlur(np.pad(inner, edge), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)


def luminance(colour: np.ndarray) -> np.ndarray:
    """Brightness 0 ... 255 of BGR colours (..., 3)."""
    return colour @ np.array([0.114, 0.587, 0.299])


def legible_colour(rng: np.random.Generator, against: float, contrast: float = 90) -> np.ndarray:
    """A random BGR colour (3,) uint8 whose luminance is at least `contrast` away from `against` (both 0 ... 255)."""
    for _ in range(12):
        colour = rng.integers(0, 256, 3)
        if happens(rng, 0.4):  # letters are often black, white or grey
            colour = np.full(3, colour[0])
        if abs(luminance(colour) - against) >= contrast:
            return colour.astype(np.uint8)
    return np.full(3, 255 if against < 128 else 0, np.uint8)
