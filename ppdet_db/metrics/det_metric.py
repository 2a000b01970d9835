"""Precision, recall and hmean of a detector over many pictures."""

from collections import Counter
from typing import Any, Literal, get_args

from ppdet_db.metrics.det_iou import match
from ppdet_db.registry import METRICS

Indicator = Literal["precision", "recall", "hmean"]
COUNTS = ("images", "texts", "found", "matched", "dropped_texts", "dropped_found")


@METRICS.register
class DetMetric:
    """Text detection by the ICDAR 2015 IoU protocol; `det_iou.match` defines which text found counts as right.

    Counts are summed over all pictures, then divided: precision = matched / found, recall = matched / texts,
    hmean = 2 precision recall / (precision + recall). With nothing to divide by they are 0.0.

    Invalid polygons (self-crossing, without area) are left out on both sides, as the protocol has it, so a missed one
    costs no recall and a wrong one no precision: `compute` says how many there were.

    Args:
        main_indicator: the number that decides which model is best: `precision`, `recall` or `hmean`.
    """

    needs = ("polys", "ignore_tags")

    def __init__(self, main_indicator: Indicator = "hmean"):
        if main_indicator not in get_args(Indicator):
            raise ValueError(f"main_indicator must be one of {', '.join(get_args(Indicator))}, got {main_indicator!r}")
        self.main_indicator = main_indicator
        self.reset()

    def reset(self) -> None:
        """Forgets all pictures."""
        self._counts: Counter[str] = Counter()

    def update(self, preds: list[dict[str, Any]], batch: dict[str, Any]) -> None:
        """Adds the pictures of one batch.

        Args:
            preds: what the postprocess returns, one dict a picture; `points` is read.
            batch: `polys` (K, P, 2) and `ignore_tags` (K,) of each picture, in the same pixels as the points.
        """
        for found, polys, ignore_tags in zip(preds, batch["polys"], batch["ignore_tags"], strict=True):
            result = match(polys, ignore_tags, found["points"])
            self._counts.update(
                images=1,
                texts=len(result.pairs) + len(result.missed),
                found=len(result.pairs) + len(result.spurious),
                matched=len(result.pairs),
                dropped_texts=len(result.dropped_texts),
                dropped_found=len(result.dropped_found),
            )

    def compute(self) -> dict[str, float | int]:
        """precision, recall, hmean (float), and the counts (int) they come from:

        images; texts, the labelled ones that count; found, the polygons found that count; matched, the pairs of both;
        dropped_texts and dropped_found, the invalid polygons on either side, counted in none of the others.
        """
        counts = {name: self._counts[name] for name in COUNTS}
        precision = counts["matched"] / counts["found"] if counts["found"] else 0.0
        recall = counts["matched"] / counts["texts"] if counts["texts"] else 0.0
        hmean = 2 * precision * recall / (precision + recall) if counts["matched"] else 0.0
        return {"precision": precision, "recall": recall, "hmean": hmean, **counts}
