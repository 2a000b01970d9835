import numpy as np
import pytest

from ppdet_db.config import ConfigError, check_section
from ppdet_db.contract import Ragged
from ppdet_db.metrics.det_metric import DetMetric
from ppdet_db.registry import METRICS

SQUARES = np.array([[0, 0], [5, 0], [5, 5], [0, 5]], np.float32) + 10 * np.arange(8, dtype=np.float32)[:, None, None]
BOW_TIE = np.array([[[0, 0], [5, 5], [5, 0], [0, 5]]], np.float32)
NOTHING = np.zeros((0, 4, 2), np.int32)


def update(metric: DetMetric, *pictures: tuple) -> None:
    """Adds pictures of (polys, ignore_tags, points)."""
    polys, tags, points = zip(*pictures, strict=True)
    batch = {"polys": Ragged(list(polys)), "ignore_tags": Ragged([np.array(item, bool) for item in tags])}
    metric.update([{"points": item, "scores": np.ones(len(item), np.float32)} for item in points], batch)


@pytest.mark.parametrize(
    ("picture", "precision", "recall", "hmean"),
    [
        pytest.param((SQUARES[:4], [False] * 4, SQUARES[:4]), 1, 1, 1, id="all right"),
        pytest.param((SQUARES[:4], [False] * 4, SQUARES[3:5]), 1 / 2, 1 / 4, 1 / 3, id="one of four, one of two"),
        pytest.param((SQUARES[:4], [False] * 4, NOTHING), 0, 0, 0, id="nothing found"),
        pytest.param((NOTHING, [], SQUARES[:4]), 0, 0, 0, id="found where there is no text"),
        pytest.param((NOTHING, [], NOTHING), 0, 0, 0, id="nothing to divide by: 0, not NaN"),
        pytest.param((SQUARES[:2], [True, True], SQUARES[:2]), 0, 0, 0, id="all ignored"),
        pytest.param((SQUARES[:2], [False, True], SQUARES[:3]), 1 / 2, 1, 2 / 3, id="ignored: neither for nor against"),
    ],
)  # fmt: skip
def test_rates(picture, precision, recall, hmean):
    metric = DetMetric()
    update(metric, picture)
    result = metric.compute()
    assert [result["precision"], result["recall"], result["hmean"]] == pytest.approx([precision, recall, hmean])
    assert all(type(result[name]) is float for name in ("precision", "recall", "hmean"))


def test_counts():
    metric = DetMetric()
    polys, tags = np.concatenate([SQUARES[1:4], BOW_TIE]), [False, False, True, False]
    update(metric, (polys, tags, np.concatenate([BOW_TIE, SQUARES[2:6], BOW_TIE])))
    result = metric.compute()
    counts = {name: value for name, value in result.items() if type(value) is int}
    assert counts == {"images": 1, "texts": 2, "found": 3, "matched": 1, "dropped_texts": 1, "dropped_found": 2}


def test_pictures_are_summed_not_averaged():
    """1 of 1 and 1 of 4 texts found: 2 of 5, not (1 + 1/4) / 2. It must not matter how pictures come in batches."""
    pictures = [(SQUARES[:1], [False], SQUARES[:1]), (SQUARES[:4], [False] * 4, SQUARES[:1])]
    together, apart = DetMetric(), DetMetric()
    update(together, *pictures)
    for picture in pictures:
        update(apart, picture)
    assert together.compute()["recall"] == pytest.approx(2 / 5)
    assert together.compute() == apart.compute()
    assert together.compute()["images"] == 2


def test_polygons_of_any_length():
    """What `box_type: poly` gives: a list of arrays; labels padded to the longest text of the picture."""
    octagon = np.array([[3, 0], [6, 0], [9, 3], [9, 6], [6, 9], [3, 9], [0, 6], [0, 3]], np.int32)
    square = np.array([[20, 20], [30, 20], [30, 30], [20, 30]], np.int32)
    padded = np.stack([octagon, np.concatenate([square, np.repeat(square[-1:], 4, axis=0)])]).astype(np.float32)
    metric = DetMetric()
    update(metric, (padded, [False, False], [square, octagon]))
    assert metric.compute()["hmean"] == 1
    assert metric.compute()["dropped_texts"] == 0


def test_reset():
    metric = DetMetric()
    update(metric, (SQUARES[:4], [False] * 4, SQUARES[:2]))
    metric.reset()
    assert metric.compute() == DetMetric().compute()
    assert metric.compute()["images"] == 0


def test_one_prediction_a_picture():
    batch = {"polys": [SQUARES[:1], SQUARES[:1]], "ignore_tags": [[False], [False]]}
    with pytest.raises(ValueError, match="zip"):
        DetMetric().update([{"points": NOTHING}], batch)


def test_main_indicator():
    assert DetMetric("recall").main_indicator == "recall"
    with pytest.raises(ValueError, match="main_indicator must be one of precision, recall, hmean, got 'f1'"):
        DetMetric("f1")


def test_a_misspelt_indicator_gets_a_suggestion():
    with pytest.raises(ConfigError) as caught:
        check_section("Metric", {"name": "DetMetric", "main_indicator": "hmaen"})
    assert str(caught.value).endswith("must be 'precision' or 'recall' or 'hmean', got 'hmaen'. Did you mean 'hmean'?")


def test_is_registered():
    assert METRICS.get("DetMetric") is DetMetric
    assert DetMetric.needs == ("polys", "ignore_tags")
    assert DetMetric().main_indicator == "hmean"
