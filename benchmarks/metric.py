"""DetMetric on pictures with many or few boxes: `metric.py --peer DIR`.

One call adds all pictures of a case to a metric and asks for the result.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from alternate import Case, compare
from training_sample import text_outline

HEIGHT, WIDTH = 720, 1280

CASES = [
    Case("5 boxes a picture, 20 pictures", {"boxes": (5, 5), "pictures": 20}, 4),
    Case("10 to 30 boxes as in ICDAR 2015, 8 pictures", {"boxes": (10, 30), "pictures": 8}, 15),
    Case("100 boxes, 1 picture", {"boxes": (100, 100), "pictures": 1}, 70),
]


def pictures_of(boxes: tuple[int, int], pictures: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """polys (K, 4, 2) and ignore_tags (K,) of each picture, and points (J, 4, 2): of ten texts one is missed, three are
    ignored, and two boxes more are found beside them."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(pictures):
        polys = np.array([
            text_outline(*rng.uniform((40, 15), (120, 35)), 0, rng.uniform(-0.3, 0.3)) + rng.uniform(0, (WIDTH, HEIGHT))
            for _ in range(rng.integers(boxes[0], boxes[1] + 1))
        ])  # fmt: skip
        found = polys[rng.random(len(polys)) < 0.9]
        beside = found[rng.random(len(found)) < 0.2] + rng.uniform(-100, 100, 2)
        points = np.concatenate([found + rng.normal(0, 2, found.shape), beside])
        made.append((np.rint(polys), rng.random(len(polys)) < 0.3, np.rint(rng.permutation(points)).astype(np.int32)))
    return made


def ours(**case):
    from ppdet_db.metrics.det_metric import DetMetric

    pictures = pictures_of(**case)

    def run():
        metric = DetMetric()
        for polys, ignore_tags, points in pictures:
            metric.update([{"points": points}], {"polys": [polys], "ignore_tags": [ignore_tags]})
        result = metric.compute()
        return {name: result[name] for name in ("precision", "recall", "hmean")}

    return run


def peer(**case):
    from ppocr.metrics.det_metric import DetMetric

    pictures = pictures_of(**case)

    def run():
        metric = DetMetric()
        for polys, ignore_tags, points in pictures:
            metric([{"points": points}], [None, None, [polys], [ignore_tags]])
        return metric.get_metric()

    return run


if __name__ == "__main__":
    sys.exit(compare("Metric", CASES, ours, peer, needs_checkout=True, blocks=5))
