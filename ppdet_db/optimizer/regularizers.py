"""Penalties on the size of the weights.

They act on every parameter, normalisation and biases included, but for those that bring a penalty of their own
(`ParamAttr(regularizer=...)`).
"""

import math
from typing import Any

import paddle
from paddle.optimizer.lr import LRScheduler
from paddle.regularizer import L1Decay, L2Decay, WeightDecayRegularizer

from ppdet_db.optimizer.schedules import Schedule
from ppdet_db.registry import REGULARIZERS


def _parse_factor(factor: float | str, name: str = "factor") -> float:
    """PaddleOCR's files hold factors that YAML 1.1 reads as text, such as `1e-6` or, quoted, `"1e-1"`."""
    try:
        number = float(factor)
    except ValueError:
        raise ValueError(f"{name} must be a number, got '{factor}'") from None
    if not 0 <= number < float("inf"):
        raise ValueError(f"{name} must not be negative or infinite, got {factor}")
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


@REGULARIZERS.register(aliases=("CosineL2",))
class CosineL2Decay(WeightDecayRegularizer):
    """L2 whose factor goes from `factor` to `end_factor` along half a cosine over the run.

    Like the learning rate it depends on the step alone, which it takes from the schedule that it follows.

    Args:
        factor: strength at the start.
        end_factor: strength at the end and after it.
        warmup_epoch: epochs, or a fraction of one, that keep the first strength.
    """

    def __init__(self, factor: float | str = 5e-5, end_factor: float | str = 0.0, warmup_epoch: float = 0.0):
        if warmup_epoch < 0:
            raise ValueError(f"warmup_epoch must not be negative, got {warmup_epoch}")
        super().__init__()
        self.start_factor = _parse_factor(factor)
        self.end_factor = _parse_factor(end_factor, "end_factor")
        self.warmup_epoch = warmup_epoch
        self.schedule: Schedule | None = None

    def follow(self, schedule: float | LRScheduler) -> None:
        """Takes the step from `schedule` from now on."""
        if not isinstance(schedule, Schedule):
            raise ValueError(
                "regularizer CosineL2Decay follows a schedule of the learning rate, and there is only a number"
            )
        self.schedule = schedule

    def factor_at(self, step: int) -> float:
        """The strength at the 0-based training step."""
        warmup_steps = round(self.warmup_epoch * self.schedule.step_each_epoch)
        left = max(self.schedule.total_steps - warmup_steps, 1)
        done = min(max(step - warmup_steps, 0) / left, 1.0)
        return self.end_factor + (self.start_factor - self.end_factor) * (1 + math.cos(math.pi * done)) / 2

    @property
    def factor(self) -> float:
        return self.factor_at(self.schedule.last_epoch)

    def __call__(self, param: paddle.Tensor, grad: paddle.Tensor, block: Any) -> paddle.Tensor:
        return self.factor * param

    def __str__(self) -> str:
        return f"CosineL2Decay, {self.start_factor:g} to {self.end_factor:g}"
