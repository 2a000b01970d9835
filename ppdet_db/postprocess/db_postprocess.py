"""Shrink map -> outlines of the texts, in pixels of the source picture."""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
import pyclipper

from ppdet_db.contract import SHRINK
from ppdet_db.geometry import join_polygons, min_area_quads, sizes
from ppdet_db.registry import POSTPROCESSES

MIN_SIDE = 3
"""Shorter side in map pixels under which a region is a speck, not a text."""

MIN_GROWN_SIDE = 5
"""The same for the outline after it was grown back."""

POLY_EPSILON = 0.002
"""How far a simplified outline may run from the region's own, as a part of its length."""

DILATION = np.ones((2, 2), np.uint8)


@POSTPROCESSES.register
class DBPostProcess:
    """Finds the texts in a shrink map: binarize, outline every region, score it, grow it back by its unclip distance.

    A text was shrunk by D = A (1 - r^2) / L when it was drawn for training; its region, of area A' and perimeter L',
    is grown back by D' = A' unclip_ratio / L'. One ratio cannot invert every shrink: at r = 0.4 the exact one is 1.45
    for a square, 2.25 for a text 4 times as long as high and 3.8 for 16 times.

    The boxes are PaddleOCR's to the pixel, since they decide what a deployed model's users get: the grown outline has
    whole-pixel corners, and texts come in the order in which OpenCV finds their regions. Four places differ:
    with more regions than `max_candidates`, the largest of those strong enough are kept, not the first of the scan, so
    that specks cannot push out a text; the outline of a hole in a region is no text; `poly` obeys `score_mode`; and
    `poly` keeps a text whose outline closes to a ring when it is grown, its hole filled, instead of losing it.

    Args:
        thresh: a pixel is text where the shrink map exceeds it, in [0, 1].
        box_thresh: texts with a lower score are dropped, in [0, 1].
        max_candidates: at most so many texts a picture, the largest of those that reach `box_thresh`.
        unclip_ratio: the ratio in D', above 0.
        use_dilation: close gaps of one pixel between regions first.
        score_mode: the score is the mean of the shrink map over the min-area quad (`quad`) or simplified outline
            (`poly`), which is `fast`, or over the region inside its exact outline, holes included: `slow`.
        box_type: `quad` gives the four corners of the min-area rectangle, `poly` the outline itself.
    """

    needs = ("shape",)

    def __init__(
        self,
        thresh: float = 0.3,
        box_thresh: float = 0.7,
        max_candidates: int = 1000,
        unclip_ratio: float = 2.0,
        use_dilation: bool = False,
        score_mode: Literal["fast", "slow"] = "fast",
        box_type: Literal["quad", "poly"] = "quad",
    ):
        _check("thresh", thresh, "in [0, 1]", 0 <= thresh <= 1)
        _check("box_thresh", box_thresh, "in [0, 1]", 0 <= box_thresh <= 1)
        _check("max_candidates", max_candidates, "at least 1", max_candidates >= 1)
        _check("unclip_ratio", unclip_ratio, "above 0", unclip_ratio > 0)
        _check("score_mode", score_mode, "'fast' or 'slow'", score_mode in ("fast", "slow"))
        _check("box_type", box_type, "'quad' or 'poly'", box_type in ("quad", "poly"))
        self.thresh = thresh
        self.box_thresh = box_thresh
        self.max_candidates = max_candidates
        self.unclip_ratio = unclip_ratio
        self.use_dilation = use_dilation
        self.score_mode = score_mode
        self.box_type = box_type

    def __call__(self, preds: dict[str, Any], shape: Any) -> list[dict[str, Any]]:
        """One dict a picture: `points`, int32 (K, 4, 2) or for `poly` a list of int32 (P, 2), and `scores` (K,).

        Args:
            preds: `maps` (N, C, H, W), anything `np.asarray` reads; channel SHRINK is used.
            shape: (N, 4) src_h, src_w, ratio_h, ratio_w. Points are clipped to [0, src_w] and [0, src_h].
        """
        maps = np.asarray(preds["maps"], np.float32)[:, SHRINK]
        return [self._find(shrink_map, row) for shrink_map, row in zip(maps, np.asarray(shape), strict=True)]

    def _find(self, shrink_map: np.ndarray, shape: np.ndarray) -> dict[str, Any]:
        """The texts of one picture. All go through each step together: what is done text by text are calls of OpenCV
        and Clipper alone."""
        outlines, scores = self._candidates(shrink_map)
        grown = _unclip(outlines, self.unclip_ratio)
        quads, sides = min_area_quads(grown)
        kept = np.flatnonzero(sides >= MIN_GROWN_SIDE)
        texts = list(quads) if self.box_type == "quad" else grown
        points, bounds = join_polygons([texts[i] for i in kept])
        points = _to_source(points, shrink_map.shape, shape)
        return {
            "points": points.reshape(-1, 4, 2) if self.box_type == "quad" else _split(points, bounds),
            "scores": scores[kept].astype(np.float32),
        }

    def _candidates(self, shrink_map: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Outlines (P, 2) in map pixels and scores of the regions that are large and strong enough, in scan order."""
        regions = self._regions(shrink_map)
        outlines, is_large = self._outlines(regions)
        large = np.flatnonzero(is_large)
        inside = outlines if self.score_mode == "fast" else regions
        scores = _means_inside(shrink_map, [inside[i] for i in large])
        is_strong = scores >= self.box_thresh
        found, scores = [outlines[i] for i in large[is_strong]], scores[is_strong]
        if len(found) > self.max_candidates:
            areas, _ = sizes(found)
            largest = np.sort(np.argsort(-areas, kind="stable")[: self.max_candidates])
            found, scores = [found[i] for i in largest], scores[largest]
        return found, scores

    def _regions(self, shrink_map: np.ndarray) -> list[np.ndarray]:
        """Outer outlines (P, 2) int32 of the connected regions above `thresh`, in scan order."""
        is_text = (shrink_map > self.thresh).view(np.uint8)
        mask = cv2.dilate(is_text, DILATION) if self.use_dilation else is_text
        contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        is_hole = [] if hierarchy is None else (hierarchy[0, :, 3] >= 0).tolist()  # has a parent, the region it is in
        return [contour[:, 0] for contour, hole in zip(contours, is_hole, strict=True) if not hole]

    def _outlines(self, regions: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
        """What stands for each region, corners (4, 2) float32 or a simplified outline (P, 2) int32, and (K,) whether it
        is more than a speck."""
        if self.box_type == "quad":
            quads, sides = min_area_quads(regions)
            return list(quads), sides >= MIN_SIDE
        polys = [_simplify(region) for region in regions]
        return polys, np.array([len(poly) >= 4 for poly in polys], bool)


def _check(name: str, value: Any, rule: str, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{name} must be {rule}, got {value!r}")


def _simplify(region: np.ndarray) -> np.ndarray:
    return cv2.approxPolyDP(region, POLY_EPSILON * cv2.arcLength(region, True), True)[:, 0]


def _means_inside(shrink_map: np.ndarray, outlines: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the map over the pixels in and on each outline (P, 2), whose corners are cut to whole pixels: (K,)."""
    points, bounds = join_polygons(outlines)
    limit = np.array(shrink_map.shape[::-1]) - 1
    low = np.clip(np.floor(np.minimum.reduceat(points, bounds[:-1])), 0, limit).astype(int)
    high = np.clip(np.ceil(np.maximum.reduceat(points, bounds[:-1])), 0, limit).astype(int)
    corners = _split((points - np.repeat(low, np.diff(bounds), axis=0)).astype(np.int32), bounds)
    means = []
    for outline, (left, top), (right, bottom) in zip(corners, low.tolist(), high.tolist(), strict=True):
        window = shrink_map[top : bottom + 1, left : right + 1]
        mask = np.zeros(window.shape, np.uint8)
        cv2.fillPoly(mask, [outline], 1)
        means.append(cv2.mean(window, mask)[0])
    return np.array(means)


def _unclip(outlines: Sequence[np.ndarray], ratio: float) -> list[np.ndarray]:
    """The outlines (P, 2) grown by D' = area x ratio / perimeter, round corners: (Q, 2) int32, one point when it
    vanishes.

    Whole pixels in and out, cut towards zero and not `geometry.offset_polygon`'s exact ones: see the class.
    """
    areas, perimeters = sizes(outlines)
    grown = []
    for outline, distance in zip(outlines, areas * ratio / perimeters, strict=True):
        clipper = pyclipper.PyclipperOffset()
        clipper.AddPath(outline.astype(np.int64).tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
        paths = [np.array(path, np.int32) for path in clipper.Execute(distance)]
        grown.append(max(paths, key=cv2.contourArea, default=np.zeros((1, 2), np.int32)))  # the others are holes in it
    return grown


def _split(points: np.ndarray, bounds: np.ndarray) -> list[np.ndarray]:
    """The polygons that `geometry.join_polygons` joined."""
    return [points[start:end] for start, end in itertools.pairwise(bounds.tolist())]


def _to_source(points: np.ndarray, map_shape: tuple[int, ...], shape: np.ndarray) -> np.ndarray:
    """Map pixels -> whole source pixels, int32.

    A map of width w covers w / ratio_w source pixels, padding included; rounding that to the whole number it is makes
    x / w * covered exact where x / ratio_w would fall on either side of a half pixel.
    """
    src_h, src_w, ratio_h, ratio_w = (float(value) for value in shape)
    map_h, map_w = map_shape
    x = np.round(points[:, 0] / map_w * round(map_w / ratio_w)).clip(0, src_w)
    y = np.round(points[:, 1] / map_h * round(map_h / ratio_h)).clip(0, src_h)
    return np.stack([x, y], axis=1).astype(np.int32)
