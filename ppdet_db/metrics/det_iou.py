"""Which text found is which labelled text, in one picture: the ICDAR 2015 IoU protocol."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from ppdet_db.geometry import is_valid

IOU_LIMIT = 0.5
"""A labelled text is found when IoU exceeds this; at exactly one half it is not."""

IGNORE_LIMIT = 0.5
"""A polygon found does not count when more than this part of its area lies in one ignored text."""


@dataclass(frozen=True)
class Match:
    """The outcome for one picture. Numbers are positions in the given lists; each position is in one field only,
    but for labelled texts that are ignored, which are in none unless invalid.

    Args:
        pairs: (labelled text, polygon found) that belong together, in the order of the labels.
        ious: their IoU.
        missed: labelled texts that count and were not found.
        spurious: polygons found that count and belong to no text.
        excused: polygons found that lie in an ignored text, so do not count.
        dropped_texts: labelled texts, ignored or not, whose polygon is invalid (crosses itself, or has no area).
        dropped_found: the same of the polygons found.
    """

    pairs: list[tuple[int, int]]
    ious: list[float]
    missed: list[int]
    spurious: list[int]
    excused: list[int]
    dropped_texts: list[int]
    dropped_found: list[int]


def match(gt_polys: Sequence[np.ndarray], gt_ignore: Sequence[bool], det_polys: Sequence[np.ndarray]) -> Match:
    """Matches one picture's polygons by the ICDAR 2015 IoU protocol.

    1. Invalid polygons are dropped on both sides: they count neither for nor against.
    2. A polygon found does not count when more than half of its area lies in one ignored text.
    3. The labelled texts that count are gone through in order; each takes the first polygon found that counts, is not
       yet taken and has IoU > 0.5 with it. First, not best: this is the official evaluation, whose numbers papers give.

    Only pairs whose bounding boxes meet are intersected.

    Args:
        gt_polys: the labelled texts, (P, 2) each, in any number of points; the last ones may repeat.
        gt_ignore: for each, whether it is ignored.
        det_polys: the texts found, (P, 2) each, in the same pixels.

    Source: the rule as in MhLiao/DB @65ca77a, concern/icdar2015_eval/detection/iou.py.
    """
    ignored = np.array([bool(tag) for tag in gt_ignore], bool)
    if len(ignored) != len(gt_polys):
        raise ValueError(f"{len(gt_polys)} labelled texts, but {len(ignored)} ignore tags")
    texts, found = _regions(gt_polys), _regions(det_polys)
    text, det = _meeting(texts, found)
    common = shapely.area(shapely.intersection(texts[text], found[det]))
    text_area, det_area = shapely.area(texts)[text], shapely.area(found)[det]

    is_excused = np.zeros(len(found), bool)
    is_excused[det[ignored[text] & (common / det_area > IGNORE_LIMIT)]] = True
    iou = common / (text_area + det_area - common)
    pairs: dict[int, tuple[int, float]] = {}
    is_taken = np.zeros(len(found), bool)
    for a, b, overlap in zip(text.tolist(), det.tolist(), iou.tolist(), strict=True):
        if overlap > IOU_LIMIT and a not in pairs and not (ignored[a] or is_excused[b] or is_taken[b]):
            pairs[a] = b, overlap
            is_taken[b] = True

    is_valid_text, is_valid_found = ~shapely.is_missing(texts), ~shapely.is_missing(found)
    return Match(
        pairs=[(a, b) for a, (b, _) in pairs.items()],
        ious=[overlap for _, overlap in pairs.values()],
        missed=[a for a in np.flatnonzero(is_valid_text & ~ignored).tolist() if a not in pairs],
        spurious=np.flatnonzero(is_valid_found & ~is_excused & ~is_taken).tolist(),
        excused=np.flatnonzero(is_excused).tolist(),
        dropped_texts=np.flatnonzero(~is_valid_text).tolist(),
        dropped_found=np.flatnonzero(~is_valid_found).tolist(),
    )


def _regions(polys: Sequence[np.ndarray]) -> np.ndarray:
    """The polygons for shapely, None where one is invalid: shapely's functions pass over None."""
    regions = np.full(len(polys), None, object)
    for i, poly in enumerate(polys):
        points = np.asarray(poly, np.float64).reshape(-1, 2)
        if is_valid(points):
            regions[i] = shapely.polygons(points)
    return regions


def _meeting(texts: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (M,), (M,) of the pairs whose bounding boxes meet, by text and then by polygon found."""
    det, text = shapely.STRtree(texts).query(found)
    order = np.lexsort((det, text))
    return text[order], det[order]
