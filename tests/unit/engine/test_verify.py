"""An export that does something else is found out, and one that differs by rounding is not."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppdet_db.config import Plan
from ppdet_db.engine import build_model
from ppdet_db.engine import verify as module
from ppdet_db.engine.export import export
from ppdet_db.engine.verify import Comparison, built_in_picture, verify
from ppdet_db.errors import DetError

BOX = np.array([[10, 10], [110, 10], [110, 30], [10, 30]])
MAP = np.zeros((1, 1, 32, 32), np.float32)


def texts(*boxes: np.ndarray, score: float = 0.9) -> dict:
    return {"points": list(boxes), "scores": [score] * len(boxes)}


def compared(trained: dict, exported: dict, box_thresh: float | None = 0.6) -> Comparison:
    comparison = Comparison()
    comparison.add("a.jpg", "paddle", [MAP, MAP], [trained, exported], box_thresh)
    return comparison


def test_equal_boxes_in_another_order() -> None:
    comparison = compared(texts(BOX, BOX + 200), texts(BOX + 200, BOX))
    assert comparison.faults() == []
    assert (comparison.boxes, comparison.expected, comparison.iou) == (2, 2, 1.0)


def test_a_box_moved_by_a_pixel_is_rounding_and_by_ten_is_not() -> None:
    near = compared(texts(BOX), texts(BOX + np.array([1, 0])))
    assert near.faults() == []
    assert near.iou == pytest.approx(99 / 101)
    assert compared(texts(BOX), texts(BOX + np.array([0, 10]))).faults() == [
        "a.jpg: found by training alone: [[10, 10], [110, 10], [110, 30], [10, 30]], score 0.9000",
        "a.jpg: found by paddle alone: [[10, 20], [110, 20], [110, 40], [10, 40]], score 0.9000",
    ]


def test_two_boxes_on_one_are_not_both_its_partner() -> None:
    assert len(compared(texts(BOX), texts(BOX, BOX)).faults()) == 1


def test_a_box_may_be_alone_where_its_score_is_at_the_threshold() -> None:
    assert compared(texts(BOX, score=0.605), texts()).faults() == []
    assert len(compared(texts(BOX, score=0.62), texts()).faults()) == 1
    assert len(compared(texts(BOX, score=0.605), texts(), box_thresh=None).faults()) == 1


def test_scores_and_maps_have_bounds() -> None:
    comparison = Comparison()
    comparison.add("a", "paddle", [MAP, MAP + 0.002], [texts(BOX), texts(BOX, score=0.88)], 0.6)
    assert comparison.faults() == ["maps differ by 0.002, more than 0.001", "scores differ by 0.02, more than 0.01"]
    comparison = Comparison()
    comparison.add("a", "paddle", [MAP, MAP + 0.0009], [texts(BOX), texts(BOX, score=0.895)], 0.6)
    assert comparison.faults() == []


def test_no_number_is_no_map() -> None:
    comparison = Comparison()
    comparison.add("a", "paddle", [MAP, np.full_like(MAP, np.nan)], [texts(), texts()], 0.6)
    assert comparison.faults() == ["maps differ by nan, more than 0.001"]


def test_another_network_is_found_out(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan()
    model = build_model(made.architecture)
    export(model, tmp_path / "out")
    verify(made, model, tmp_path / "out", [built_in_picture()])
    with pytest.raises(DetError, match=r"does not do what the trained network does:\npaddle: maps differ by"):
        verify(made, build_model(made.architecture), tmp_path / "out", [built_in_picture()])


def test_every_picture_counts(plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan()
    model = build_model(made.architecture)
    export(model, tmp_path / "out")
    opened = module.open_model(tmp_path / "out")
    calls = []

    def wrong_once(images: np.ndarray) -> dict:
        calls.append(images)
        return {"maps": opened(images)["maps"] + (0.5 if len(calls) == 1 else 0)}

    monkeypatch.setattr(module, "open_model", lambda *_: wrong_once)
    with pytest.raises(DetError, match=r"maps differ by 0\.5, more than"):
        verify(made, model, tmp_path / "out", [built_in_picture()] * 2)
    assert len(calls) == 2


def test_a_picture_that_is_none(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan()
    model = build_model(made.architecture)
    export(model, tmp_path / "out")
    with pytest.raises(DetError, match=r"^b.jpg: cannot be decoded"):
        verify(made, model, tmp_path / "out", [("b.jpg", b"no picture")])


def test_the_built_in_picture_has_text_to_find() -> None:
    name, data = built_in_picture()
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert name == "built-in picture"
    assert picture.shape == (500, 700, 3)
    assert 0.02 < (picture.max(axis=2) < 120).mean() < 0.3
