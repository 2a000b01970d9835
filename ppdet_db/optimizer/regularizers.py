"""Penalties on the size of the weights. They act on every parameter, normalisation and biases included."""

from paddle.regularizer import L1Decay, L2Decay

from ppdet_db.registry import REGULARIZERS


def _parse_factor(factor: float | str) -> float:
    """PaddleOCR's files hold factors that YAML 1.1 reads as text, such as `1e-6` or, quoted, `"1e-1"`."""
    try:
        number = float(factor)
    except ValueError:
        raise ValueError(f"factor must be a number, got '{factor}'") from None
    if not 0 <= number < float("inf"):
        raise ValueError(f"factor must not be negative or infinite, got {factor}")
    return number


@REGULARIZERS.register(aliases=("L1Decay",))
class L1(L1Decay):
    """Adds factor * sign(weight) to each gradient.

    Args:
        factor: strength; 0 switches it off.
    """

    def __init__(self, factor: float | str = 0.0):
        self.factor = _parse_factor(factor)
        super().__init__(self.factor)


@REGULARIZERS.register(aliases=("L2Decay",))
class L2(L2Decay):
    """Adds factor * weight to each gradient (coupled decay); for AdamW the factor is its own, decoupled decay.

    Args:
        factor: strength; 0 switches it off.
    """

    def __init__(self, factor: float | str = 0.0):
        self.factor = _parse_factor(factor)
        super().__init__(self.factor)
