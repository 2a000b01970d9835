"""Factors, as numbers and as PaddleOCR's files spell them."""

import paddle
import pytest

from ppdet_db.optimizer.regularizers import L1, L2
from ppdet_db.registry import REGULARIZERS


def test_both_spellings_of_a_name_are_one_class():
    assert REGULARIZERS.get("L1") is REGULARIZERS.get("L1Decay") is L1
    assert REGULARIZERS.get("L2") is REGULARIZERS.get("L2Decay") is L2
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
