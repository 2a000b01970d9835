"""DBPostProcess on one map of 736 x 1280: `postprocess.py`.

The maps are drawn: filled outlines with soft edges, as a trained network gives them.
"""

import math
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from alternate import Case, compare
from training_sample import text_outline

HEIGHT, WIDTH = 736, 1280
SHAPE = np.array([[HEIGHT, WIDTH, 1, 1]], np.float32)
SETTINGS = {"thresh": 0.3, "box_thresh": 0.7, "max_candidates": 1000, "unclip_ratio": 1.5}
BENT = {"box_type": "poly", "bend": 1.5}

CASES = [
    Case("quad: 5 texts of about 200 x 50", {"texts": 5, "size": (200, 50)}, 2),
    Case("quad: 300 texts of about 36 x 12", {"texts": 300, "size": (36, 12)}, 3.3),
    Case("quad: 1000 texts of about 20 x 7", {"texts": 1000, "size": (20, 7)}, 3.3),
    Case("poly: 5 curved texts of about 200 x 50", {"texts": 5, "size": (200, 50), **BENT}, 1.6),
    Case("poly: 60 curved texts of about 80 x 20", {"texts": 60, "size": (80, 20), **BENT}, 1.6),
    Case("poly: 300 curved texts of about 36 x 12", {"texts": 300, "size": (36, 12), **BENT}, 1.6),
]


def map_of(texts: int, size: tuple[int, int], bend: float = 0.0) -> np.ndarray:
    """(1, 1, HEIGHT, WIDTH): texts in a grid, each turned by up to 0.15."""
    rng = np.random.default_rng(0)
    shrink_map = np.zeros((HEIGHT, WIDTH), np.float32)
    columns = math.ceil(math.sqrt(texts * WIDTH / HEIGHT))
    rows = math.ceil(texts / columns)
    for i in range(texts):
        centre = np.array([i % columns + 0.5, i // columns + 0.5]) * (WIDTH / columns, HEIGHT / rows)
        points = centre + text_outline(*size * rng.uniform(0.8, 1.2, 2), bend, rng.uniform(-0.15, 0.15))
        cv2.fillPoly(shrink_map, [np.rint(points).astype(np.int32)], rng.uniform(0.9, 1))
    return cv2.GaussianBlur(shrink_map, (0, 0), 0.7)[None, None]


def find_in(postprocess, shrink_map: np.ndarray):
    """A call on the map; it tells how many texts were found and the mean of their corners."""
    found = {}

    def run():
        points = postprocess({"maps": shrink_map}, SHAPE)[0]["points"]
        if not found:
            found.update({"texts": len(points), "mean corner": float(np.concatenate(points).mean())})
        return found

    return run


def ours(box_type: str = "quad", **texts):
    from ppdet_db.postprocess.db_postprocess import DBPostProcess

    return find_in(DBPostProcess(**SETTINGS, box_type=box_type), map_of(**texts))


def peer(box_type: str = "quad", **texts):
    from ppocr.postprocess.db_postprocess import DBPostProcess

    return find_in(DBPostProcess(**SETTINGS, box_type=box_type), map_of(**texts))


if __name__ == "__main__":
    sys.exit(compare("Postprocess: one map of 736 x 1280", CASES, ours, peer))
