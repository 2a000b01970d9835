"""What both label maps share: which texts are drawn, with which ratio, and the raster that draws them.

A pixel is the point with its integer coordinates. It belongs to a polygon when it is inside (even-odd) or on it, and
its distance to the outline is Euclidean, so the corners of every band are round.
"""

import functools
import logging
from types import ModuleType

import numpy as np

from ppdet_db.geometry import polygon_area

TOLERANCE = 1e-9
"""Pixels this near to a border count as on it: rounding in float64 must not decide on which side they are."""

logger = logging.getLogger(__name__)


@functools.cache
def raster() -> ModuleType:
    """`label_kernel` where numba is installed, otherwise `label_numpy`, with a note: they draw the same.

    Called by `prepare` before a loader forks its workers: importing numba takes half a second, and what the parent has
    loaded, and has said, its workers need not. Nothing else imports numba.
    """
    from ppdet_db.data.transforms import label_kernel, label_numpy

    if label_kernel.numba is not None:
        return label_kernel
    logger.info("note: label maps are drawn without numba, several times slower: pip install numba")
    return label_numpy


def polygons(sample: dict) -> np.ndarray:
    """The texts of a sample as float64 (K, P, 2). Raises ValueError where a coordinate is not finite."""
    polys = np.ascontiguousarray(sample["polys"], np.float64)
    if not np.isfinite(polys).all():
        raise ValueError(f"polys must be finite, got {sample['polys']}")
    return polys


def is_drawable(polys: np.ndarray) -> np.ndarray:
    """(K,) bool: whether a polygon can be a text, covering a square pixel. A bow-tie's wings cancel, so it may not."""
    return polygon_area(polys) >= 1


def check_ratio(shrink_ratio: float, total_epoch: int | None) -> None:
    """Raises ValueError for a ratio that is, or grows, out of (0, 1)."""
    if not 0 < shrink_ratio < 1:
        raise ValueError(f"shrink_ratio must be in (0, 1), got {shrink_ratio}")
    if total_epoch is not None and total_epoch < 1:
        raise ValueError(f"total_epoch must be at least 1, got {total_epoch}")
    last = ratio_at(shrink_ratio, total_epoch or 0, total_epoch)
    if last >= 1:
        raise ValueError(f"shrink_ratio must stay below 1, got {shrink_ratio}, which total_epoch raises to {last:.4g}")


def ratio_at(shrink_ratio: float, epoch: int, total_epoch: int | None) -> float:
    """The ratio in a 0-based epoch: it grows up to the last of `total_epoch` epochs and then stays there, just below
    `shrink_ratio` + 0.2; without `total_epoch` it is constant."""
    if total_epoch is None:
        return shrink_ratio
    return shrink_ratio + 0.2 * min(epoch, total_epoch - 1) / total_epoch
