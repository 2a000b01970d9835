"""Which text found is which labelled text, in one picture: the ICDAR 2015 IoU protocol."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from ppdet_db.geometry import valid_regions

IOU_LIMIT = 0.5
"""A labelled text is found when IoU exceeds this; at exactly one half it is not."""

IGNORE_LIMIT = 0.5
"""A polygon found does not count when more than this part of its area lies in one ignored text."""

ROUNDING = 1e-9
"""Far more than areas are rounded by: what stays this part below a limit in exact arithmetic is below it in ours."""


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

    Only pairs whose bounding boxes have enough in common for one of these rules are intersected.

    Args:
        gt_polys: the labelled texts, (P, 2) each, in any number of points; the last ones may repeat.
        gt_ignore: for each, whether it is ignored.
        det_polys: the texts found, (P, 2) each, in the same pixels.

    Source: the rule as in MhLiao/DB @65ca77a, concern/icdar2015_eval/detection/iou.py.
    """
    ignored = np.array([bool(tag) for tag in gt_ignore], bool)
    if len(ignored) != len(gt_polys):
        raise ValueError(f"{len(gt_polys)} labelled texts, but {len(ignored)} ignore tags")
    regions = valid_regions([*gt_polys, *det_polys])
    texts, found = regions[: len(gt_polys)], regions[len(gt_polys) :]
    text, det = _meeting(texts, found, ignored)
    common = shapely.area(shapely.intersection(texts[text], found[det]))
    overlap = _overlap(common, texts[text], found[det], ignored[text])

    is_excused = np.zeros(len(found), bool)
    is_excused[det[ignored[text] & (overlap > IGNORE_LIMIT)]] = True
    pairs: dict[int, tuple[int, float]] = {}
    is_taken = np.zeros(len(found), bool)
    for a, b, iou in zip(text.tolist(), det.tolist(), overlap.tolist(), strict=True):
        if iou > IOU_LIMIT and a not in pairs and not (ignored[a] or is_excused[b] or is_taken[b]):
            pairs[a] = b, iou
            is_taken[b] = True

    is_valid_text, is_valid_found = ~shapely.is_missing(texts), ~shapely.is_missing(found)
    return Match(
        pairs=[(a, b) for a, (b, _) in pairs.items()],
        ious=[iou for _, iou in pairs.values()],
        missed=[a for a in np.flatnonzero(is_valid_text & ~ignored).tolist() if a not in pairs],
        spurious=np.flatnonzero(is_valid_found & ~is_excused & ~is_taken).tolist(),
        excused=np.flatnonzero(is_excused).tolist(),
        dropped_texts=np.flatnonzero(~is_valid_text).tolist(),
        dropped_found=np.flatnonzero(~is_valid_found).tolist(),
    )


def _meeting(texts: np.ndarray, found: np.ndarray, ignored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (M,), (M,) of the pairs that may exceed their limit, by text and then by polygon found.

    What two polygons have in common is no larger than either of them, nor than what their bounding boxes share.
    """
    det, text = shapely.STRtree(texts).query(found)
    order = np.lexsort((det, text))
    text, det = text[order], det[order]
    box, other = shapely.bounds(texts)[text], shapely.bounds(found)[det]
    width, height = (np.minimum(box[:, 2:], other[:, 2:]) - np.maximum(box[:, :2], other[:, :2])).T
    most = np.minimum(width * height, np.minimum(shapely.area(texts)[text], shapely.area(found)[det]))
    limit = np.where(ignored[text], IGNORE_LIMIT, IOU_LIMIT)
    may = _overlap(most, texts[text], found[det], ignored[text]) > limit * (1 - ROUNDING)
    return text[may], det[may]


def _overlap(common: np.ndarray, texts: np.ndarray, found: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """What a limit is set to, of M pairs with so much area in common: (M,). For an ignored text the part of the polygon
    found that lies in it, for another the IoU."""
    text_area, det_area = shapely.area(texts), shapely.area(found)
    return np.where(ignored, common / det_area, common / (text_area + det_area - common))
