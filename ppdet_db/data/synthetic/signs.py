"""Sparse scenes: lettering straight on things, and on boards of one to three lines."""

import cv2
import numpy as np

from ppdet_db.data.synthetic.backgrounds import muted
from ppdet_db.data.synthetic.chance import happens, pick, weighted
from ppdet_db.data.synthetic.fonts import Face, faces_for, installed_languages, text_width
from ppdet_db.data.synthetic.patch import (
    IGNORED,
    Patch,
    Pen,
    label_box,
    legible_colour,
    luminance,
    margin,
    spoil,
    write,
)
from ppdet_db.data.synthetic.placement import Placement, paste, placement_of_sign, translation
from ppdet_db.data.synthetic.text import SPACELESS, Phrases

CELL = 4
"""Pixels of the picture per cell, each way, of the map of what is taken."""


class Street:
    """A picture that is being hung with signs.

    Args:
        rng: of the picture.
        picture: background (H, W, 3) BGR uint8; drawn on in place.
        kinds: how signs may hang.
        sizes: smallest and largest font size, in pixels.
        ignore_ratio: share of texts that are made illegible.
    """

    def __init__(
        self, rng: np.random.Generator, picture: np.ndarray, kinds: list[str], sizes: list[int], ignore_ratio: float
    ):
        self.rng, self.picture, self.kinds, self.sizes, self.ignore_ratio = rng, picture, kinds, sizes, ignore_ratio
        height, width = picture.shape[:2]
        self.taken = np.zeros((height // CELL + 1, width // CELL + 1), np.uint8)
        self.labels: list[tuple[np.ndarray, str]] = []

    def hang(self, count: int) -> list[tuple[np.ndarray, str]]:
        """Tries `count` signs, drops those without room; returns polygon (P, 2) and transcription of every text."""
        for _ in range(count):
            bare = happens(self.rng, 0.5)
            patch = self._lettering(lines=1 if bare else int(self.rng.integers(1, 4)))
            kind = pick(self.rng, self.kinds)
            placement = placement_of_sign(self.rng, kind, *patch.alpha.shape[::-1])
            spot = self._free_spot(patch, placement)
            if spot is None:
                continue
            if bare:
                self._letter(patch, spot)
            else:
                self._board(patch)
            paste(self.picture, patch, spot)
            self.labels += [(spot.polygon(box), text) for box, text in patch.texts]
        return self.labels

    def _lettering(self, lines: int) -> Patch:
        """One to three lines below each other: coverage of the ink only, no colour yet."""
        phrases, face = self._language_and_face()
        size = self._size()
        written = [self._line(phrases, face, size)]
        for _ in range(lines - 1):
            if happens(self.rng, 0.4):  # a second language below the first
                phrases, face = self._language_and_face()
            written.append(self._line(phrases, face, max(self.sizes[0], round(size * self.rng.uniform(0.4, 1)))))
        return self._stacked(written)

    def _language_and_face(self) -> tuple[Phrases, Face]:
        language = weighted(self.rng, installed_languages())
        style = weighted(self.rng, {"sans": 5, "serif": 2, "narrow": 2, "display": 1, "hand": 1.5, "mono": 0.5})
        return Phrases(self.rng, language), pick(self.rng, faces_for(language, (style,)))

    def _size(self) -> int:
        """Log-uniform, as things are seen from near and far."""
        low, high = np.log(self.sizes)
        return round(float(np.exp(self.rng.uniform(low, high))))

    def _line(self, phrases: Phrases, face: Face, size: int) -> tuple[np.ndarray, str]:
        """Ink and transcription of one line that is not wider than the picture."""
        text = phrases.sign()
        room = 0.9 * self.picture.shape[1]
        if text_width(text, face, size) > room:
            text = phrases.words(1, 1)
            size = max(self.sizes[0], min(size, int(size * room / text_width(text, face, size))))
        if happens(self.rng, self.ignore_ratio):
            if happens(self.rng, 0.3):
                return write(text, Pen(face, int(self.rng.integers(4, 7))))[0], IGNORED
            return spoil(self.rng, write(text, Pen(face, size))[0]), IGNORED
        pen = Pen(face, size, (self.rng.uniform(0.85, 1.2), 1.0))
        if phrases.language in SPACELESS and happens(self.rng, 0.12):
            return _upright(text, pen), text
        return write(text, pen)[0], text

    def _stacked(self, written: list[tuple[np.ndarray, str]]) -> Patch:
        """Lines below each other, flush left or centred, with room around them for a board or an outline."""
        widest, gap = max(ink.shape[1] for ink, _ in written), 3 + 2 * max(margin(ink.shape[0]) for ink, _ in written)
        border = int(4 + 0.35 * written[0][0].shape[0])
        height = sum(ink.shape[0] for ink, _ in written) + int(gap * self.rng.uniform(1, 2)) * (len(written) - 1)
        alpha = np.zeros((height + 2 * border, widest + 2 * border), np.uint8)
        centred, y, texts = happens(self.rng, 0.6), border, []
        step = (height - sum(ink.shape[0] for ink, _ in written)) // max(1, len(written) - 1)
        for ink, text in written:
            h, w = ink.shape
            x = border + (widest - w) // 2 * centred
            alpha[y : y + h, x : x + w] = ink
            texts.append((label_box(x, y, w, h), text))
            y += h + step
        return Patch(np.zeros(3, np.uint8), alpha, texts)

    def _free_spot(self, patch: Patch, placement: Placement) -> Placement | None:
        """The placement moved to where it is wholly in the picture and covers no other sign; None: not found."""
        x0, y0, x1, y1 = placement.bounds(patch)
        height, width = self.picture.shape[:2]
        if x1 - x0 > width or y1 - y0 > height:
            return None
        h, w = patch.alpha.shape
        outline = placement.polygon((0, 0, w - 1, h - 1))
        for _ in range(6):
            move = int(self.rng.integers(-x0, width - x1 + 1)), int(self.rng.integers(-y0, height - y1 + 1))
            footprint = np.zeros_like(self.taken)
            cv2.fillPoly(footprint, [np.round((outline + move) / CELL).astype(np.int32)], 1)
            if not (footprint & self.taken).any():
                self.taken |= footprint
                return placement.then(translation(*move))
        return None

    def _letter(self, patch: Patch, spot: Placement) -> None:
        """Colours lettering that stands on the background itself, with an outline where that is too lively."""
        x0, y0, x1, y1 = spot.bounds(patch)
        under = luminance(self.picture[max(y0, 0) : y1 : 2, max(x0, 0) : x1 : 2])
        around, spread = float(under.mean()), float(under.std())
        colour = legible_colour(self.rng, around, min(110, 75 + spread))
        if spread < 35 and happens(self.rng, 0.7):
            patch.colour = colour
            return
        rim = cv2.dilate(patch.alpha, np.ones((3, 3), np.uint8), iterations=1 if patch.alpha.shape[0] < 60 else 2)
        self._mix(patch, colour, legible_colour(self.rng, float(luminance(colour)), 120))
        patch.alpha = rim

    def _board(self, patch: Patch) -> None:
        """Puts the lettering on a board: plain, framed or round-cornered."""
        board = muted(self.rng).astype(np.uint8)
        if happens(self.rng, 0.35):
            board = np.full(3, pick(self.rng, (15, 40, 215, 240, 252)), np.uint8)
        colour = legible_colour(self.rng, float(luminance(board)))
        self._mix(patch, colour, board)
        h, w = patch.alpha.shape
        if happens(self.rng, 0.4):
            cv2.rectangle(patch.colour, (2, 2), (w - 3, h - 3), colour.tolist(), int(self.rng.integers(1, 3)))
        patch.alpha = np.full((h, w), 255, np.uint8)

    @staticmethod
    def _mix(patch: Patch, ink: np.ndarray, ground: np.ndarray) -> None:
        """Colours the patch: `ink` where there is ink, `ground` elsewhere; (3,) each."""
        levels = np.linspace(0, 1, 256)[:, None] * (ink.astype(float) - ground) + ground
        patch.colour = levels.round().astype(np.uint8)[patch.alpha]


def _upright(text: str, pen: Pen) -> np.ndarray:
    """Ink of a line that runs from top to bottom, character below character."""
    characters = [ink for ink, _ in (write(character, pen) for character in text) if ink.size]
    gap, widest = 1 + pen.size // 8, max(ink.shape[1] for ink in characters)
    rows = []
    for ink in characters:
        left = (widest - ink.shape[1]) // 2
        rows.append(np.pad(ink, ((0, gap), (left, widest - ink.shape[1] - left))))
    return np.concatenate(rows)[:-gap]
