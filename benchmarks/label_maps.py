"""MakeBorderMap and MakeShrinkMap on the same texts, at 640 x 640: `label_maps.py`.

The texts are outlines alone, of sizes that leave most of the picture free, as labels do. Ours is measured twice: with
the kernel that numba compiles, and as it is where numba is not installed. Measured is what a loader's worker does: it
leaves the three maps of 0 and 1 as bytes, which the main process makes float32; `training_sample.py` has both.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from alternate import Case, compare
from training_sample import text_outline

SIDE = 640
TEXTS = {
    "5 quads of about 160 x 45": {"texts": 5, "size": (160, 45)},
    "60 quads of about 100 x 30": {"texts": 60, "size": (100, 30)},
    "300 quads of about 60 x 16": {"texts": 300, "size": (60, 16)},
    "60 curved texts of 14 points, about 100 x 30": {"texts": 60, "size": (100, 30), "bend": 0.9},
    "5 huge quads, about 450 x 180": {"texts": 5, "size": (450, 180)},
}
CASES = [Case(f"{name}; compiled", {**texts, "numba": True}, 30) for name, texts in TEXTS.items()]
CASES += [Case(f"{name}; NumPy alone", {**texts, "numba": False}, 5) for name, texts in TEXTS.items()]


def sample_of(texts: int, size: tuple[int, int], bend: float = 0.0) -> dict:
    """What a crop hands on: texts anywhere, some across the border, turned by up to 0.15."""
    rng = np.random.default_rng(0)
    outlines = [
        text_outline(*size * rng.uniform(0.7, 1.3, 2), bend, rng.uniform(-0.15, 0.15)) + rng.uniform(0, SIDE, 2)
        for _ in range(texts)
    ]
    return {
        "image": np.zeros((SIDE, SIDE, 3), np.uint8),
        "polys": np.array(outlines, np.float32),
        "ignore_tags": np.zeros(texts, bool),
    }


def maps_of(border, shrink, sample: dict, arrays=lambda made: made):
    """A call of both, on copies of what PaddleOCR's write into; beside it stands the mean of each map.

    Args:
        arrays: what is made -> maps that have a mean.
    """
    np.ones((8, SIDE, SIDE), np.float32)  # freed at once, like a batch: from now on glibc keeps the memory of maps

    def make():
        return shrink(border({**sample, "polys": sample["polys"].copy(), "ignore_tags": sample["ignore_tags"].copy()}))

    made = arrays(make())
    means = {name: float(made[name].mean()) for name in ("threshold_map", "threshold_mask", "shrink_map")}
    return lambda: make() and means


def ours(numba: bool, **texts):
    from ppdet_db.data.transforms import border_map, label_kernel, label_numpy, shrink_map
    from ppdet_db.data.transforms.deferring import drawn

    border_map.raster = shrink_map.raster = lambda: label_kernel if numba else label_numpy
    border, shrink = border_map.MakeBorderMap(), shrink_map.MakeShrinkMap()
    return maps_of(border.packed, shrink.packed, sample_of(**texts), drawn)


def peer(numba: bool, **texts):
    from ppocr.data.imaug import MakeBorderMap, MakeShrinkMap

    return maps_of(MakeBorderMap(), MakeShrinkMap(), sample_of(**texts))


if __name__ == "__main__":
    sys.exit(compare("Label maps, 640 x 640", CASES, ours, peer))
