"""Medians of losses, and the name and step of what is not finite."""

from pathlib import Path

import paddle
import pytest
from paddle import nn

from ppdet_db.engine.divergence import finite_medians, refuse_bad_weights
from ppdet_db.errors import DetError


def losses(**rows: list[float]) -> list[dict[str, paddle.Tensor]]:
    return [dict(zip(rows, map(paddle.to_tensor, row), strict=True)) for row in zip(*rows.values(), strict=True)]


def test_medians():
    assert finite_medians(losses(loss=[1.0, 9.0, 2.0], loss_a=[4.0, 5.0, 7.0]), 3, Path()) == {"loss": 2, "loss_a": 5}
    assert finite_medians([], 0, Path()) == {}


def test_the_first_bad_step_is_named_and_the_part_goes_before_the_sum():
    recent = losses(loss=[1.0, float("nan"), float("inf")], loss_a=[1.0, float("nan"), 1.0])
    with pytest.raises(DetError, match=r"^loss_a is nan at step 9: .* the checkpoints in run are from before"):
        finite_medians(recent, 10, Path("run"))


def test_weights():
    model = nn.Linear(2, 2)
    refuse_bad_weights(model, 7, Path("run"))
    model.bias.set_value(paddle.to_tensor([0.0, float("inf")]))
    with pytest.raises(DetError, match=r"^the weight bias is not finite after step 7: "):
        refuse_bad_weights(model, 7, Path("run"))
