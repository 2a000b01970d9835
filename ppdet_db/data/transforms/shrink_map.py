"""The shrink map: the cores of the texts, which the network predicts as text."""

import math

import numpy as np

from ppdet_db.data.transforms.deferring import Packing
from ppdet_db.data.transforms.label_raster import check_ratio, is_drawable, polygons, raster, ratio_at
from ppdet_db.data.transforms.packed import Packed
from ppdet_db.geometry import offset_distance, shorter_side
from ppdet_db.registry import TRANSFORMS


@TRANSFORMS.register
class MakeShrinkMap(Packing):
    """Draws the shrunk text regions that the shrink (probability) map is trained on.

    Each polygon of area A and perimeter L is offset inwards by D = A (1 - r^2) / L pixels (DB paper, eq. 10): what
    remains are its pixels at least D from the outline, in several parts when the polygon splits.
    Texts whose shorter side is under `min_text_size`, that are under one square pixel or that vanish when shrunk are
    masked out and marked ignored, in a new `ignore_tags`, so that transforms after this one leave them alone too.

    A text that vanishes, having no pixel left, is tried again with 2r, 3r, ... below 1: with 0.8 after 0.4, as in
    PaddleOCR. (PaddleOCR does so for a text that splits as well; here its parts at r are the answer.)

    Reads:  image (H, W, 3), for its size; polys (K, P, 2), pixels; ignore_tags (K,); epoch
    Writes: shrink_map (H, W) float32, 0 or 1; shrink_mask (H, W) float32, 0 where the loss must not look: inside or
        on an ignored text; ignore_tags (K,)

    Args:
        min_text_size: shorter side, in pixels, of the smallest rectangle at any angle around a text, below which it
            is ignored.
        shrink_ratio: r in the formula, in (0, 1).
        total_epoch: if set, r grows by 0.2 * epoch / total_epoch, epochs counted from 0. A longer training keeps the
            ratio of epoch total_epoch - 1. (PaddleOCR's own releases leave the ratio at its start, because the epoch
            does not reach them there.)
    """

    needs = ("image", "polys", "ignore_tags")
    gives = ("shrink_map", "shrink_mask")

    def __init__(self, min_text_size: float = 8, shrink_ratio: float = 0.4, total_epoch: int | None = None):
        check_ratio(shrink_ratio, total_epoch)
        if min_text_size < 0:
            raise ValueError(f"min_text_size must not be negative, got {min_text_size}")
        self.min_text_size = min_text_size
        self.shrink_ratio = shrink_ratio
        self.total_epoch = total_epoch

    def prepare(self) -> None:
        """Loads what draws the maps; see docs/extending.md."""
        raster()

    def packed(self, sample: dict) -> dict:
        shape = sample["image"].shape[:2]
        ratio = ratio_at(self.shrink_ratio, sample.get("epoch", 0), self.total_epoch)
        shrink_map, shrink_mask = np.zeros(shape, np.uint8), np.ones(shape, np.uint8)
        polys = polygons(sample)
        is_text = is_drawable(polys) & ~np.asarray(sample["ignore_tags"], bool)
        is_text[is_text] = [shorter_side(poly) >= self.min_text_size for poly in polys[is_text]]
        is_text[is_text] = draw_shrunk(shrink_map, polys[is_text], ratio)
        if not is_text.all():
            raster().draw_filled(polys[~is_text], 0, shrink_mask)
        maps = {"shrink_map": Packed(shrink_map), "shrink_mask": Packed(shrink_mask)}
        return {**sample, **maps, "ignore_tags": ~is_text}


def draw_shrunk(shrink_map: np.ndarray, polys: np.ndarray, shrink_ratio: float) -> np.ndarray:
    """Adds the pixels of the shrunk polygons (K, P, 2) to a map of bytes. Returns (K,) bool: False for a text that
    vanishes.

    Only a polygon that lies on the canvas can vanish: of another one the shrunk part may well be off it.
    """
    height, width = shrink_map.shape
    is_drawn = np.any((polys < 0) | (polys > (width - 1, height - 1)), axis=(1, 2))
    left = np.arange(len(polys))
    for multiple in range(1, math.ceil(1 / shrink_ratio)):
        has_pixels = np.zeros(len(left), bool)
        raster().draw_cores(polys[left], offset_distance(polys[left], multiple * shrink_ratio), shrink_map, has_pixels)
        is_drawn[left] |= has_pixels
        left = left[~is_drawn[left]]
        if len(left) == 0:
            break
    return is_drawn
