"""A page that is printed from top to bottom, with the labels of what is on it."""

import cv2
import numpy as np

from ppdet_db.data.synthetic.backgrounds import smooth_noise
from ppdet_db.data.synthetic.chance import happens, pick, weighted
from ppdet_db.data.synthetic.fonts import Face, faces_for, installed_languages, text_width
from ppdet_db.data.synthetic.patch import IGNORED, Box, Patch, Pen, label_box, spoil, write
from ppdet_db.data.synthetic.text import Phrases

PAPERS = ((252, 252, 252), (255, 255, 255), (254, 254, 254), (235, 240, 242), (215, 230, 240), (225, 225, 225),
          (200, 205, 205), (190, 220, 235))  # fmt: skip
INKS = ((20, 20, 20), (0, 0, 0), (40, 35, 35), (60, 60, 60), (90, 40, 30), (70, 40, 80))
PENS = ((30, 30, 30), (70, 70, 70), (150, 60, 40), (60, 50, 160))
"""All BGR. The palest ink on the darkest paper still differs by more than 130 grey levels."""


class Page:
    """A sheet that is being printed, from top to bottom.

    Args:
        rng: of the picture.
        width, height: in pixels.
        sizes: smallest and largest font size for its body.
        ignore_ratio: share of texts that are made illegible.
    """

    def __init__(self, rng: np.random.Generator, width: int, height: int, sizes: tuple[int, int], ignore_ratio: float):
        self.rng, self.width, self.height, self.ignore_ratio = rng, width, height, ignore_ratio
        self.ink = np.zeros((height, width), np.uint8)
        self.lettering = np.zeros((height, width), bool)  # the rectangles of the texts; rules and boxes left out
        self.texts: list[tuple[Box, str]] = []
        self.strokes: list[np.ndarray] = []
        language = weighted(rng, {**installed_languages(), "english": 30})
        self.say = Phrases(rng, language)
        self.size = round(sizes[0] * (sizes[1] / sizes[0]) ** (rng.random() ** 1.4))
        style = weighted(rng, {"mono": 4, "sans": 4, "narrow": 2, "serif": 1})
        self.face: Face = pick(rng, faces_for(language, (style,)))
        self.stretch = (rng.uniform(0.85, 1.1), rng.uniform(1, 1.5) if style == "mono" else 1.0)
        self.spacing = rng.uniform(1.2, 1.7)
        self.left = round(width * rng.uniform(0.03, 0.12))
        self.right = width - 1 - round(width * rng.uniform(0.03, 0.12))
        self.bottom = height - round(height * 0.03)
        self.y = round(height * rng.uniform(0.02, 0.06))

    def pen(self, larger: float = 1.0, wide: float = 1.0) -> Pen:
        """The body's pen, or one for headings: `larger` times the size, `wide` times the width."""
        return Pen(self.face, round(self.size * larger), (self.stretch[0] * wide, self.stretch[1]))

    def width_of(self, text: str, pen: Pen) -> float:
        return text_width(text, pen.face, pen.size) * pen.stretch[0]

    @property
    def line_height(self) -> int:
        return round(self.size * self.stretch[1] * self.spacing)

    @property
    def full(self) -> bool:
        return self.y + self.line_height > self.bottom

    def put(self, text: str, x: float, pen: Pen | None = None, align: float = 0.0, y: int | None = None) -> bool:
        """Prints a text and labels it, unless there is no room for it.

        Args:
            x: its left end, centre or right end, for `align` 0, 0.5 or 1.
            y: top of the line; default: where the page has come to.
        """
        pen, y = pen or self.pen(), self.y if y is None else y
        ink, below = write(text, pen)
        h, w = ink.shape
        x0, y0 = round(x - align * w), y + below
        if not ink.size or x0 < self.left - 2 or x0 + w > self.right + 2 or y0 < 2 or y0 + h > self.height - 2:
            return False
        clear = max(3, round(0.8 * pen.size))  # less of a gap, and it would be the same text
        if self.lettering[y0 : y0 + h, max(0, x0 - clear) : x0 + w + clear].any():
            return False
        if self.ink[y0 - 1 : y0 + h + 1, max(0, x0 - 2) : x0 + w + 2].any():
            return False
        if happens(self.rng, self.ignore_ratio):
            ink, text = spoil(self.rng, ink), IGNORED
        self.ink[y0 : y0 + h, x0 : x0 + w] = ink
        self.lettering[y0 : y0 + h, x0 : x0 + w] = True
        self.texts.append((label_box(x0, y0, w, h), text))
        return True

    def feed(self, lines: float = 1.0) -> None:
        self.y += round(self.line_height * lines)

    def line(self, text: str, align: float = 0.0, pen: Pen | None = None) -> None:
        """A text on a line of its own, shortened by words where it is too long."""
        pen = pen or self.pen()
        while self.width_of(text, pen) > self.right - self.left and len(text) > 1:
            text = text.rsplit(" ", 1)[0] if " " in text else text[: len(text) // 2]
        self.put(text, self.left + align * (self.right - self.left), pen, align)
        self.y += round(self.line_height * pen.size / self.size)

    def rule(self) -> None:
        """A line across the page: drawn, or typed of dashes, equals signs or stars. It is no text to anybody."""
        if self.full:
            return
        y, look = self.y + self.line_height // 3, pick(self.rng, ("solid", "-", "-", "=", "*", "dotted", "_"))
        if look == "solid":
            self.ink[y : y + int(self.rng.integers(1, 3)), self.left : self.right] = 255
        elif look == "dotted":
            self.ink[y, self.left : self.right : 3] = 255
        else:
            count = int((self.right - self.left) / max(1, self.width_of(look, self.pen())))
            ink = write(look * count, self.pen())[0][: self.line_height // 2, : self.right - self.left]
            self.ink[y : y + ink.shape[0], self.left : self.left + ink.shape[1]] = ink
        self.feed(self.rng.uniform(0.7, 1.1))

    def box(self, x0: float, y0: float, x1: float, y1: float, thick: int = 1) -> None:
        cv2.rectangle(self.ink, (round(x0), round(y0)), (round(x1), round(y1)), 255, thick)

    def invert_row(self) -> None:
        """The current line white on a dark bar, if there is room for the bar."""
        y0, y1 = self.y - 2, self.y + round(1.3 * self.size * self.stretch[1])
        if y0 > 0 and not self.ink[y0 - 1].any() and y1 < self.height and not self.ink[y1].any():
            self.ink[y0:y1, self.left - 2 : self.right + 3] = 255 - self.ink[y0:y1, self.left - 2 : self.right + 3]

    def barcode(self) -> None:
        """Bars or a square of cells, which a detector likes to take for letters."""
        side = round(self.line_height * self.rng.uniform(1.2, 3))
        if self.y + side > self.bottom or self.ink[self.y - 2 : self.y + side].any():
            return
        cell = int(self.rng.integers(1, 4))
        if happens(self.rng, 0.6):
            cells = self.rng.random((1, int(self.rng.integers(40, 90)))) < 0.5
        else:
            cells = self.rng.random((side // (2 * cell) + 1,) * 2) < 0.5
        columns = min(cells.shape[1] * cell, self.right - self.left)
        code = cv2.resize(cells.astype(np.uint8) * 255, (columns, side), interpolation=cv2.INTER_NEAREST)
        x = int(self.rng.integers(self.left, self.right - columns + 1))
        self.ink[self.y : self.y + side, x : x + columns] = code
        self.y += side + 4

    def scribble(self) -> None:
        """A stroke of a pen somewhere: a signature, a tick, a number nobody labels."""
        steps = np.linspace(0, self.rng.uniform(2, 6) * np.pi, 60)
        loop = self.size * self.rng.uniform(0.4, 1.2)
        x = steps * loop * self.rng.uniform(0.1, 0.5) + loop * self.rng.uniform(0.3, 1) * np.sin(steps)
        y = loop * np.sin(steps * self.rng.uniform(0.8, 1.6) + 1) * self.rng.uniform(0.3, 1, 60).cumsum() / 30
        start = self.rng.uniform(0, 1, 2) * [self.width * 0.8, self.height]
        self.strokes.append(np.round((np.stack([x, y], -1) + start) * 8).astype(np.int32))

    def printed(self) -> Patch:
        """The page with paper and ink in their colours, as worn as printers and scanners leave it."""
        ink = weighted(self.rng, {_clean: 4, _worn: 4, _fat: 1.5, _two_tone: 2.5})(self.rng, self.ink)
        strength = self.rng.uniform(0.65, 1)
        paper, dark = (np.array(pick(self.rng, colours), np.float32) for colours in (PAPERS, INKS))
        if happens(self.rng, 0.06):
            paper, dark = dark, paper
        picture = paper + (dark - paper) * (ink.astype(np.float32) * np.float32(strength / 255))[..., None]
        picture = picture.round().astype(np.uint8)
        for stroke in self.strokes:
            cv2.polylines(picture, [stroke], False, pick(self.rng, PENS), int(self.rng.integers(1, 3)), cv2.LINE_AA, 3)
        return Patch(picture, np.full(self.ink.shape, 255, np.uint8), self.texts)


def _clean(rng: np.random.Generator, ink: np.ndarray) -> np.ndarray:
    return ink


def _worn(rng: np.random.Generator, ink: np.ndarray) -> np.ndarray:
    """A dry ribbon or a tired thermal head: paler in places, in spots or in whole rows."""
    height, width = ink.shape
    fade = smooth_noise(rng, width, height, rng.uniform(3, 80))
    if happens(rng, 0.3):
        fade = np.broadcast_to(fade[:, :1], fade.shape)
    return (ink * (1 - np.float32(rng.uniform(0.1, 0.4)) * fade)).astype(np.uint8)


def _fat(rng: np.random.Generator, ink: np.ndarray) -> np.ndarray:
    """Too much ink: it runs a little."""
    return cv2.convertScaleAbs(cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.4, 0.8)), alpha=rng.uniform(1.2, 1.8))


def _two_tone(rng: np.random.Generator, ink: np.ndarray) -> np.ndarray:
    """A fax or a black-and-white scan: ragged edges, small gaps, specks."""
    grain = rng.random(ink.shape, np.float32)
    threshold = 60 + rng.uniform(20, 90) * grain  # thin strokes of small letters cover half a pixel
    sharp = np.where(ink > threshold, np.uint8(255), np.uint8(0))
    if happens(rng, 0.5):
        sharp[grain > 1 - 10 ** rng.uniform(-4.5, -3)] = 255
    return sharp
