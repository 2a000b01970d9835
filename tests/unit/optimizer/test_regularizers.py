"""Factors, as numbers and as PaddleOCR's files spell them, and those that change with the step."""

import math

import paddle
import pytest

from ppdet_db.optimizer.regularizers import L1, L2, CosineL2Decay
from ppdet_db.optimizer.schedules import Const
from ppdet_db.registry import REGULARIZERS


def test_both_spellings_of_a_name_are_one_class():
    assert REGULARIZERS.get("L1") is REGULARIZERS.get("L1Decay") is L1
    assert REGULARIZERS.get("L2") is REGULARIZERS.get("L2Decay") is L2
    assert REGULARIZERS.get("CosineL2") is REGULARIZERS.get("CosineL2Decay") is CosineL2Decay
    assert issubclass(L1, paddle.regularizer.L1Decay)
    assert issubclass(L2, paddle.regularizer.L2Decay)


@pytest.mark.parametrize(("factor", "number"), [(0, 0.0), (1e-4, 1e-4), ("1e-6", 1e-6), ("0.1", 0.1)])
def test_a_factor_may_be_text(factor, number):
    assert L1(factor).factor == L2(factor).factor == number


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ("5.0-05", "factor must be a number, got '5.0-05'"),  # stands in an official file
        (-0.1, "factor must not be negative or infinite, got -0.1"),
        ("nan", "factor must not be negative or infinite, got nan"),
    ],
)
def test_refuses_what_is_no_strength(factor, message):
    with pytest.raises(ValueError, match="factor") as caught:
        L2(factor)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "factors"),
    [
        ({"factor": 8}, {0: 8, 5: 4 * (1 + math.sqrt(0.5)), 10: 4, 20: 0, 99: 0}),
        ({"factor": "8", "end_factor": "2"}, {0: 8, 10: 5, 20: 2, 99: 2}),
        ({"factor": 0, "end_factor": 2}, {0: 0, 10: 1, 20: 2}),
        ({"factor": 8, "warmup_epoch": 2}, {0: 8, 10: 8, 15: 4, 20: 0}),
        ({"factor": 8, "warmup_epoch": 1.5}, {8: 8, 14: 4, 20: 0}),  # 7.5 steps are 8, as a warm-up of the rate has
        ({"factor": 8, "warmup_epoch": 9}, {0: 8, 20: 8}),  # longer than the run
    ],
)
def test_cosine_goes_from_one_factor_to_the_other_over_the_run(settings, factors):
    regularizer = CosineL2Decay(**settings)
    schedule = Const(0.1, epochs=4, step_each_epoch=5)
    regularizer.follow(schedule)
    assert {step: regularizer.factor_at(step) for step in factors} == pytest.approx(factors, abs=1e-15)
    schedule.step(10)
    assert regularizer.factor == regularizer.factor_at(10)
    penalty = regularizer(paddle.to_tensor([1.0, -3.0]), None, None)
    assert penalty.tolist() == pytest.approx([regularizer.factor, -3 * regularizer.factor])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"end_factor": -1}, "end_factor must not be negative or infinite, got -1"),
        ({"factor": "5.0-05"}, "factor must be a number, got '5.0-05'"),
        ({"warmup_epoch": -1}, "warmup_epoch must not be negative, got -1"),
    ],
)
def test_cosine_refuses_what_is_out_of_range(settings, message):
    with pytest.raises(ValueError, match="must") as caught:
        CosineL2Decay(**settings)
    assert str(caught.value) == message
