"""The threshold map: where the outlines of the texts are, and how near."""

import numpy as np

from ppdet_db.data.transforms.deferring import Packing
from ppdet_db.data.transforms.label_raster import check_ratio, is_drawable, polygons, raster, ratio_at
from ppdet_db.data.transforms.packed import Packed
from ppdet_db.geometry import offset_distance
from ppdet_db.registry import TRANSFORMS


@TRANSFORMS.register
class MakeBorderMap(Packing):
    """Draws the bands around the outlines of the texts that the threshold map is trained on.

    For a text of area A and perimeter L the map falls linearly from `thresh_max` on the outline to `thresh_min` at
    distance D = A (1 - r^2) / L on both sides (DB paper, section 3.4). Overlapping texts take the maximum; ignored
    texts, and those under one square pixel, write nothing. Outside every band the map is `thresh_min`.

    The distance is the true one to the nearest edge, for corners at any place, on the canvas or off it. PaddleOCR
    approximates it; `tests/parity/test_label_maps.py` shows where the two differ.

    Reads:  image (H, W, 3), for its size; polys (K, P, 2), pixels; ignore_tags (K,); epoch
    Writes: threshold_map (H, W) float32; threshold_mask (H, W) float32, 1 inside a text and within D of its outline

    Args:
        shrink_ratio: r in the formula, in (0, 1); the same as in MakeShrinkMap.
        thresh_min: value far from every outline.
        thresh_max: value on an outline.
        total_epoch: if set, r grows by 0.2 * epoch / total_epoch, epochs counted from 0. A longer training keeps the
            ratio of epoch total_epoch - 1. (PaddleOCR's own releases leave the ratio at its start, because the epoch
            does not reach them there.)
    """

    needs = ("image", "polys", "ignore_tags")
    gives = ("threshold_map", "threshold_mask")

    def __init__(
        self,
        shrink_ratio: float = 0.4,
        thresh_min: float = 0.3,
        thresh_max: float = 0.7,
        total_epoch: int | None = None,
    ):
        check_ratio(shrink_ratio, total_epoch)
        if not 0 <= thresh_min < thresh_max <= 1:
            raise ValueError(f"0 <= thresh_min < thresh_max <= 1 must hold, got {thresh_min} and {thresh_max}")
        self.shrink_ratio = shrink_ratio
        self.thresh_min = thresh_min
        self.thresh_max = thresh_max
        self.total_epoch = total_epoch

    def prepare(self) -> None:
        """Loads what draws the maps; see docs/extending.md."""
        raster()

    def packed(self, sample: dict) -> dict:
        shape = sample["image"].shape[:2]
        ratio = ratio_at(self.shrink_ratio, sample.get("epoch", 0), self.total_epoch)
        polys = polygons(sample)
        polys = polys[is_drawable(polys) & ~np.asarray(sample["ignore_tags"], bool)]
        threshold_map, threshold_mask = np.full(shape, self.thresh_min, np.float32), np.zeros(shape, np.uint8)
        distances = offset_distance(polys, ratio)
        raster().draw_bands(polys, distances, self.thresh_min, self.thresh_max, threshold_map, threshold_mask)
        return {**sample, "threshold_map": threshold_map, "threshold_mask": Packed(threshold_mask)}
