"""Where a patch lands in the picture. Pixels and polygons go through the same map, so that the labels are exact."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ppdet_db.data.synthetic.chance import happens, pick
from ppdet_db.data.synthetic.patch import Box, Patch

CURVE_POINTS = 7
"""Points on each long side of a curved text: 14 a polygon, as in the curved benchmarks."""


@dataclass(frozen=True)
class Arc:
    """Bends the axis y = 0 to a circle through the origin: ends down for a positive `radius`, up for a negative one."""

    radius: float

    def forward(self, points: np.ndarray) -> np.ndarray:
        angle = points[..., 0] / self.radius
        distance = self.radius - points[..., 1]
        return np.stack([distance * np.sin(angle), self.radius - distance * np.cos(angle)], -1)

    def inverse(self, points: np.ndarray) -> np.ndarray:
        side = np.sign(self.radius)
        x, y = points[..., 0], points[..., 1] - self.radius
        angle = np.arctan2(side * x, -side * y)
        return np.stack([self.radius * angle, self.radius - side * np.hypot(x, y)], -1)


@dataclass(frozen=True)
class Wave:
    """Moves each column up or down by a sine of its x: a flag, a crumpled page. All in pixels, `phase` in radians."""

    height: float
    length: float
    phase: float

    def _shift(self, x: np.ndarray) -> np.ndarray:
        return self.height * np.sin(2 * np.pi * x / self.length + self.phase)

    def forward(self, points: np.ndarray) -> np.ndarray:
        return np.stack([points[..., 0], points[..., 1] + self._shift(points[..., 0])], -1)

    def inverse(self, points: np.ndarray) -> np.ndarray:
        return np.stack([points[..., 0], points[..., 1] - self._shift(points[..., 0])], -1)


@dataclass(frozen=True)
class Placement:
    """Patch pixels to picture pixels: first the bend, where there is one, then the homography.

    Args:
        matrix: (3, 3) from patch (or bent patch) to picture.
        bend: Arc, Wave or None; it works around the patch's centre, (0, 0) to it.
        centre: (x, y) of the patch that the bend takes as origin.
    """

    matrix: np.ndarray
    bend: Arc | Wave | None = None
    centre: tuple[float, float] = (0.0, 0.0)

    def then(self, matrix: np.ndarray) -> "Placement":
        return replace(self, matrix=matrix @ self.matrix)

    def forward(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) of the patch -> (N, 2) of the picture."""
        if self.bend is not None:
            points = self.bend.forward(points - self.centre)
        return _project(self.matrix, points)

    def polygon(self, box: Box) -> np.ndarray:
        """The outline of a box of the patch, clockwise from its upper left corner: (4, 2), or (14, 2) when bent."""
        x0, y0, x1, y1 = box
        if self.bend is None:
            return self.forward(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
        x = np.linspace(x0, x1, CURVE_POINTS)
        upper = self._bulging(np.stack([x, np.full_like(x, y0)], -1), (y1 - y0))
        lower = self._bulging(np.stack([x, np.full_like(x, y1)], -1), (y0 - y1))
        return np.concatenate([self.forward(upper), self.forward(lower)[::-1]])

    def _bulging(self, side: np.ndarray, inwards: float) -> np.ndarray:
        """A side moved outwards until its chords cut off no ink. `inwards` is the way to the opposite side, signed."""
        between = (side[1:] + side[:-1]) / 2
        ends, true = self.forward(side), self.forward(between)
        to_inside = self.forward(between + np.array([0, inwards])) - true
        cut = (((ends[1:] + ends[:-1]) / 2 - true) * to_inside).sum(-1) / (to_inside**2).sum(-1)
        return side - [0, inwards * max(0.0, cut.max())]

    def bounds(self, patch: Patch) -> tuple[int, int, int, int]:
        """The smallest rectangle x0, y0, x1, y1 (x1, y1 excluded) that holds the patch in the picture."""
        height, width = patch.alpha.shape
        x, y = np.linspace(0, width - 1, 13), np.linspace(0, height - 1, 13)
        edges = [np.stack([x, np.full_like(x, v)], -1) for v in (0, height - 1)]
        edges += [np.stack([np.full_like(y, u), y], -1) for u in (0, width - 1)]
        outline = self.forward(np.concatenate(edges))
        low, high = np.floor(outline.min(0)) - 1, np.ceil(outline.max(0)) + 2
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def warp(self, patch: Patch, area: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Colour and coverage of the patch as they are in the picture within `area`, x0, y0, x1, y1."""
        x0, y0, x1, y1 = area
        if self.bend is None:
            matrix, size = translation(-x0, -y0) @ self.matrix, (x1 - x0, y1 - y0)
            alpha = cv2.warpPerspective(patch.alpha, matrix, size, flags=cv2.INTER_LINEAR)
            if patch.colour.ndim == 1:
                return patch.colour, alpha
            # the edge's colour goes on outside, or else the seam would darken where coverage is partial
            return cv2.warpPerspective(patch.colour, matrix, size, None, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE), alpha
        grid = np.stack(np.meshgrid(np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)), -1)
        source = self.bend.inverse(_project(np.linalg.inv(self.matrix).astype(np.float32), grid)) + self.centre
        source = source.astype(np.float32)
        alpha = cv2.remap(patch.alpha, source, None, cv2.INTER_LINEAR)
        if patch.colour.ndim == 1:
            return patch.colour, alpha
        return cv2.remap(patch.colour, source, None, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE), alpha


def _project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return moved[..., :2] / moved[..., 2:]


def translation(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def scaling(factor: float) -> np.ndarray:
    return np.diag([factor, factor, 1.0])


def rotation(degrees: float) -> np.ndarray:
    """Clockwise, as seen, around (0, 0)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def placement_of_sign(rng: np.random.Generator, kind: str, width: int, height: int) -> Placement:
    """Puts the centre of a sign of that size on (0, 0), straight, turned, seen from aside, or curved."""
    centred = Placement(translation(-round(width / 2), -round(height / 2)))
    if kind == "rotated":
        return centred.then(rotation(_angle(rng)))
    if kind == "perspective":
        return centred.then(rotation(rng.uniform(-12, 12)) @ _seen_from_aside(rng, width, height))
    if kind == "curved":
        turn = rotation(rng.uniform(-15, 15) if happens(rng, 0.8) else rng.uniform(-180, 180))
        return Placement(turn, _bend(rng, width, height), (width / 2, height / 2))
    return centred


def placement_of_page(rng: np.random.Generator, kind: str, width: int, height: int) -> Placement:
    """Puts the centre of a page on (0, 0): in the scanner straight or askew, photographed, or rolled up a little."""
    centred = Placement(translation(-round(width / 2), -round(height / 2)))
    if kind == "rotated":
        return centred.then(rotation(rng.normal(0, 2.5) if happens(rng, 0.9) else rng.uniform(-30, 30)))
    if kind == "perspective":
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [width / 2, height / 2]
        moved = corners + rng.uniform(-0.05, 0.05, (4, 2)) * [width, height]
        return centred.then(rotation(rng.normal(0, 3)) @ _homography(corners, moved))
    if kind == "curved":
        wave = Wave(rng.uniform(0.01, 0.03) * width, rng.uniform(0.8, 2) * width, rng.uniform(0, 6.28))
        return Placement(rotation(rng.normal(0, 2)), wave, (width / 2, height / 2))
    return centred


def _angle(rng: np.random.Generator) -> float:
    """Most signs hang nearly straight, some do not, and a few run up or down the wall."""
    if happens(rng, 0.75):
        return rng.uniform(-30, 30)
    return rng.uniform(-80, 80) if happens(rng, 0.7) else pick(rng, (90, -90)) + rng.uniform(-8, 8)


def _seen_from_aside(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """One side is further away, so lower; the width is foreshortened; and the verticals lean a little."""
    far, narrowed = rng.uniform(0.55, 0.9), rng.uniform(0.75, 1)
    left, right = (far, 1.0) if happens(rng, 0.5) else (1.0, far)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [width / 2, height / 2]
    moved = corners * [[narrowed, left], [narrowed, right], [narrowed, right], [narrowed, left]]
    moved[:2, 0] += rng.uniform(-0.25, 0.25) * height
    moved[:, 1] += rng.uniform(-0.08, 0.08) * moved[:, 0]
    return _homography(corners, moved)


def _homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))


def _bend(rng: np.random.Generator, width: int, height: int) -> Arc | Wave:
    if happens(rng, 0.25) and width > 4 * height:
        return Wave(rng.uniform(0.25, 0.6) * height, rng.uniform(0.8, 1.6) * width, rng.uniform(0, 6.28))
    span = np.radians(rng.uniform(40, 150))  # of the whole text; no tighter than letters can stand side by side
    return Arc(pick(rng, (1, 1, -1)) * max(width / span, 1.3 * height))


def paste(picture: np.ndarray, patch: Patch, placement: Placement) -> None:
    """Draws the patch into the picture (H, W, 3) uint8, in place. What lies outside the picture is cut off."""
    x0, y0, x1, y1 = placement.bounds(patch)
    area = max(x0, 0), max(y0, 0), min(x1, picture.shape[1]), min(y1, picture.shape[0])
    if area[0] >= area[2] or area[1] >= area[3]:
        return
    under = picture[area[1] : area[3], area[0] : area[2]]
    colour, alpha = placement.warp(patch, area)
    alpha = alpha[..., None].astype(np.float32) / 255
    under[:] = (under + (colour.astype(np.float32) - under) * alpha + 0.5).astype(np.uint8)
