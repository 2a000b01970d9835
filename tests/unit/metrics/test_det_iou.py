import itertools

import numpy as np
import pytest
import shapely
from shapely.geometry import Polygon

from ppdet_db.metrics.det_iou import Match, match


def box(x: float, y: float, w: float, h: float) -> np.ndarray:
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float32)


TEXT = box(0, 0, 10, 10)
FAR = box(50, 50, 10, 10)
BOW_TIE = np.array([[0, 0], [10, 10], [10, 0], [0, 10]], np.float32)
POINT = np.array([[1, 1]] * 4)
L_SHAPE = np.array([[0, 0], [10, 0], [10, 4], [4, 4], [4, 10], [0, 10]])  # area 64


@pytest.mark.parametrize(
    ("poly", "ious"),
    [
        pytest.param(TEXT, [1.0], id="the same polygon"),
        pytest.param(TEXT[::-1], [1.0], id="orientation does not matter"),
        pytest.param(np.roll(TEXT, 2, axis=0), [1.0], id="nor which corner comes first"),
        pytest.param(np.concatenate([TEXT, TEXT[-1:], TEXT[-1:]]), [1.0], id="padded by repeating the last point"),
        pytest.param(box(0, 0, 10, 5), [], id="IoU 1/2 is not above 1/2"),
        pytest.param(box(0, 0, 10, 5.5), [0.55], id="IoU 0.55"),
        pytest.param(box(2, 0, 10, 10), [80 / 120], id="shifted: union 120, not 100"),
        pytest.param(L_SHAPE, [0.64], id="the polygon's own area counts, not its bounding box"),
        pytest.param(box(10, 0, 10, 10), [], id="touching: no common area"),
        pytest.param(FAR, [], id="far away"),
    ],
)
def test_iou_of_a_pair(poly, ious):
    found = match([TEXT], [False], [poly])
    assert found.ious == pytest.approx(ious)
    assert (found.pairs, found.missed, found.spurious) == (([(0, 0)], [], []) if ious else ([], [0], [0]))
    assert match([poly], [False], [TEXT]).ious == pytest.approx(ious)


@pytest.mark.parametrize(
    "poly",
    [
        pytest.param(BOW_TIE, id="crosses itself"),
        pytest.param(POINT, id="all corners in one point"),
        pytest.param(np.array([[0, 0], [5, 5], [10, 10], [2, 2]]), id="all on a line"),
        pytest.param(TEXT[:2], id="two points"),
        pytest.param(np.empty((0, 2)), id="no point"),
        pytest.param(np.array([[0, 0], [np.nan, 0], [10, 10], [0, 10]]), id="NaN"),
    ],
)
def test_invalid_polygons_are_dropped_and_named(poly):
    found = match([TEXT, poly], [False, False], [poly, TEXT, poly])
    assert found == Match([(0, 1)], [1.0], missed=[], spurious=[], excused=[], dropped_texts=[1], dropped_found=[0, 2])


def test_invalid_ignored_text_excuses_nothing():
    found = match([BOW_TIE], [True], [box(0, 0, 2, 2)])
    assert (found.spurious, found.excused, found.dropped_texts) == ([0], [], [0])


@pytest.mark.parametrize(
    ("ignored", "poly", "is_excused"),
    [
        pytest.param([TEXT], TEXT, True, id="on it"),
        pytest.param([box(0, 0, 100, 100)], TEXT, True, id="a small part of a large ignored region"),
        pytest.param([TEXT], box(0, 0, 10, 20), False, id="half in it is not more than half"),
        pytest.param([TEXT], box(0, 0, 10, 19), True, id="more than half in it"),
        pytest.param([TEXT], box(-50, -50, 110, 110), False, id="covers it, but is mostly elsewhere"),
        pytest.param([box(0, 0, 10, 4), box(0, 6, 10, 4)], TEXT, False, id="two ignored texts do not add up"),
    ],
)
def test_excused_by_an_ignored_text(ignored, poly, is_excused):
    found = match(ignored, [True] * len(ignored), [poly])
    assert (found.excused, found.spurious) == (([0], []) if is_excused else ([], [0]))
    assert (found.pairs, found.missed) == ([], [])


def test_excused_polygon_cannot_be_a_match():
    """A text that counts under an ignored region is missed, as the protocol has it."""
    found = match([TEXT, box(0, 0, 100, 100)], [False, True], [TEXT])
    assert (found.pairs, found.missed, found.excused) == ([], [0], [0])


@pytest.mark.parametrize(
    ("texts", "polys", "pairs", "missed", "spurious"),
    [
        pytest.param([TEXT], [box(0, 0, 10, 8), TEXT], [(0, 0)], [], [1], id="first above 1/2, not the best"),
        pytest.param([TEXT, TEXT], [TEXT], [(0, 0)], [1], [], id="a polygon found is taken once"),
        pytest.param(
            [TEXT, box(0, 0, 10, 6)], [box(0, 0, 10, 6)], [(0, 0)], [1], [], id="labels' order decides, not the IoU"
        ),
        pytest.param([FAR, TEXT], [TEXT, FAR], [(0, 1), (1, 0)], [], [], id="order of the polygons found is free"),
        pytest.param([], [TEXT], [], [], [0], id="no text"),
        pytest.param([TEXT], [], [], [0], [], id="nothing found"),
        pytest.param([], [], [], [], [], id="neither"),
    ],
)
def test_one_to_one_in_label_order(texts, polys, pairs, missed, spurious):
    found = match(texts, [False] * len(texts), polys)
    assert (found.pairs, found.missed, found.spurious) == (pairs, missed, spurious)


def test_neighbours_that_hardly_overlap_are_not_intersected(monkeypatch):
    """Each of 20 texts in a row shares a sixth of its box with the next one: too little for any rule."""
    polys = [box(10 * x, 0, 12, 10) for x in range(20)]
    intersection, counts = shapely.intersection, []
    monkeypatch.setattr(shapely, "intersection", lambda a, b: counts.append(len(a)) or intersection(a, b))
    found = match(polys, [False, True] * 10, polys)
    assert found.pairs == [(i, i) for i in range(0, 20, 2)]
    assert found.excused == list(range(1, 20, 2))
    assert counts == [20]


def by_the_rule(gt_polys, ignored, det_polys) -> tuple[list, list]:
    """Pairs and excused polygons: every pair intersected, one by one. All polygons are valid."""
    texts, found = [Polygon(poly) for poly in gt_polys], [Polygon(poly) for poly in det_polys]
    excused = [
        b for b, det in enumerate(found)
        if any(tag and text.intersection(det).area / det.area > 0.5 for text, tag in zip(texts, ignored, strict=True))
    ]  # fmt: skip
    pairs: list[tuple[int, int]] = []
    for a, text in enumerate(texts):
        free = [b for b in range(len(found)) if not (ignored[a] or b in excused or b in [taken for _, taken in pairs])]
        hits = (b for b in free if (c := text.intersection(found[b]).area) / (text.area + found[b].area - c) > 0.5)
        pairs += [(a, b) for b in itertools.islice(hits, 1)]
    return pairs, excused


def test_crowded_pictures_by_the_rule():
    """Turned boxes that overlap in many ways, on whole pixels, so that some IoU are at the limit exactly."""
    counts = np.zeros(2, int)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        corners = np.array([[0, 0], [9, 0], [9, 6], [0, 6]])
        turned = corners @ np.array([[[1, 0], [0, 1]], [[2, 1], [-1, 2]], [[1, -1], [1, 1]], [[2, 0], [0, 1]]])
        gt, det = (turned[rng.integers(0, 4, 8)] + rng.integers(0, 16, (8, 1, 2)) for _ in range(2))
        ignored = rng.random(8) < 0.3
        found = match(gt, ignored, det)
        assert (found.pairs, found.excused) == by_the_rule(gt, ignored, det), seed
        counts += len(found.pairs), len(found.excused)
    assert min(counts) > 50


def test_one_tag_a_text():
    with pytest.raises(ValueError, match="2 labelled texts, but 1 ignore tags"):
        match([TEXT, FAR], [False], [])


def test_only_neighbours_are_intersected(monkeypatch):
    """400 texts, 400 found: each meets itself alone, so 400 intersections and not 160,000."""
    polys = [box(20 * x, 20 * y, 10, 10) for x in range(20) for y in range(20)]
    intersection, counts = shapely.intersection, []
    monkeypatch.setattr(shapely, "intersection", lambda a, b: counts.append(len(a)) or intersection(a, b))
    found = match(polys, [False] * 400, polys[::-1])
    assert found.pairs == [(i, 399 - i) for i in range(400)]
    assert counts == [400]
