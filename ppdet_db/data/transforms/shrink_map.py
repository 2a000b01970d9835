"""The shrink map: the cores of the texts, which the network predicts as text."""

import math

import numpy as np

from ppdet_db.data.transforms.label_raster import check_ratio, is_drawable, outline_band, ratio_at
from ppdet_db.geometry import min_area_quad, offset_distance
from ppdet_db.registry import TRANSFORMS


@TRANSFORMS.register
class MakeShrinkMap:
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

    def __call__(self, sample: dict) -> dict:
        shape = sample["image"].shape[:2]
        ratio = ratio_at(self.shrink_ratio, sample.get("epoch", 0), self.total_epoch)
        shrink_map = np.zeros(shape, bool)
        shrink_mask = np.ones(shape, bool)
        ignore_tags = np.array(sample["ignore_tags"], bool)
        for i, poly in enumerate(sample["polys"]):
            if not ignore_tags[i] and self._is_large(poly) and draw_shrunk(shrink_map, poly, ratio):
                continue
            ignore_tags[i] = True
            band = outline_band(poly, 0, shape)
            shrink_mask[band.window] &= ~band.inside
        maps = {"shrink_map": shrink_map.astype(np.float32), "shrink_mask": shrink_mask.astype(np.float32)}
        return {**sample, **maps, "ignore_tags": ignore_tags}

    def _is_large(self, poly: np.ndarray) -> bool:
        return is_drawable(poly) and min_area_quad(poly)[1] >= self.min_text_size


def draw_shrunk(shrink_map: np.ndarray, poly: np.ndarray, shrink_ratio: float) -> bool:
    """Adds the pixels of the shrunk polygon to a bool map. False, and nothing written, when the text vanishes.

    Only a polygon that lies on the canvas can vanish: of another one the shrunk part may well be off it.
    """
    height, width = shrink_map.shape
    is_on_canvas = bool(np.all((poly >= 0) & (poly <= (width - 1, height - 1))))
    for multiple in range(1, math.ceil(1 / shrink_ratio)):
        distance = offset_distance(poly, multiple * shrink_ratio)
        band = outline_band(poly, distance, shrink_map.shape)
        core = band.core(distance)
        if core.any() or not is_on_canvas:
            shrink_map[band.window] |= core
            return True
    return False
