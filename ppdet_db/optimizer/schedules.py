"""Learning rates as a function of the step.

`Optimizer.lr` names one of these; without a name it is `Const`. A schedule is advanced once a training step.
"""

import math
from bisect import bisect_right
from typing import Literal

from paddle.optimizer.lr import LRScheduler

from ppdet_db.registry import SCHEDULES


class Schedule(LRScheduler):
    """A rate that depends on the step alone: linear warm-up, then what the subclass's `decayed` says.

    The state is the step (`last_epoch`, as Paddle calls it), so resuming is `schedule.step(n)`, and the whole curve is
    `[schedule.lr_at(n) for n in range(schedule.total_steps)]`.

    As in PaddleOCR, the decay starts to count when the warm-up is over but still takes all steps of the run, so with
    a warm-up the last steps of `Cosine`, `Linear` and `OneCycle` do not arrive at the final rate.

    Args:
        learning_rate: the rate after warm-up, before any decay.
        epochs: length of the run.
        step_each_epoch: batches an epoch.
        warmup_epoch: epochs, or a fraction of one, over which the rate rises from 0.
    """

    start_lr = 0.0
    """Where the warm-up begins."""

    def __init__(self, learning_rate: float, epochs: int, step_each_epoch: int, warmup_epoch: float = 0.0):
        if learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
        if warmup_epoch < 0:
            raise ValueError(f"warmup_epoch must not be negative, got {warmup_epoch}")
        self.step_each_epoch = step_each_epoch
        self.total_steps = epochs * step_each_epoch
        self.warmup_steps = round(warmup_epoch * step_each_epoch)
        super().__init__(learning_rate)

    def lr_at(self, step: int) -> float:
        """The rate of the 0-based training step."""
        if step < self.warmup_steps:
            return self.start_lr + (self.base_lr - self.start_lr) * step / self.warmup_steps
        return self.decayed(step - self.warmup_steps)

    def decayed(self, step: int) -> float:
        """The rate `step` steps after the warm-up."""
        raise NotImplementedError

    def get_lr(self) -> float:
        return self.lr_at(self.last_epoch)

    def state_keys(self) -> None:
        self.keys = ["last_epoch"]

    def set_state_dict(self, state_dict: dict) -> None:
        self.step(state_dict["last_epoch"])

    set_dict = set_state_dict


@SCHEDULES.register
class Const(Schedule):
    """The same rate throughout."""

    def decayed(self, step: int) -> float:
        return self.base_lr


@SCHEDULES.register
class Linear(Schedule):
    """From `learning_rate` to `end_lr` along (1 - step / total_steps) ^ power: a line, or Paddle's PolynomialDecay.

    Args:
        learning_rate: the rate at the start.
        epochs: length of the run.
        step_each_epoch: batches an epoch.
        end_lr: the rate at the end and after it.
        power: 1 for a line; 0.9 is the "poly" schedule of the DB paper.
        warmup_epoch: epochs over which the rate rises from 0.
    """

    def __init__(
        self,
        learning_rate: float,
        epochs: int,
        step_each_epoch: int,
        end_lr: float = 0.0,
        power: float = 1.0,
        warmup_epoch: float = 0.0,
    ):
        if end_lr < 0:
            raise ValueError(f"end_lr must not be negative, got {end_lr}")
        if power <= 0:
            raise ValueError(f"power must be above 0, got {power}")
        self.end_lr = end_lr
        self.power = power
        super().__init__(learning_rate, epochs, step_each_epoch, warmup_epoch)

    def decayed(self, step: int) -> float:
        left = 1 - min(step, self.total_steps) / self.total_steps
        return self.end_lr + (self.base_lr - self.end_lr) * left**self.power


@SCHEDULES.register
class Cosine(Schedule):
    """Half a cosine from `learning_rate` to 0 over the run (SGDR, arXiv 1608.03983, without restarts).

    Steps past the end climb the cosine's other half.
    """

    def decayed(self, step: int) -> float:
        return self.base_lr * (1 + math.cos(math.pi * step / self.total_steps)) / 2


@SCHEDULES.register
class Piecewise(Schedule):
    """One rate after the other.

    Args:
        epochs: length of the run.
        step_each_epoch: batches an epoch.
        decay_epochs: the epochs at which the next rate begins, ascending; they count from the end of the warm-up.
        values: the rates, one more than `decay_epochs`.
        warmup_epoch: epochs over which the rate rises from 0 to the first value.
    """

    def __init__(
        self,
        epochs: int,
        step_each_epoch: int,
        decay_epochs: list[float],
        values: list[float],
        warmup_epoch: float = 0.0,
    ):
        if len(values) != len(decay_epochs) + 1:
            raise ValueError(
                f"values must have one rate more than decay_epochs, which has {len(decay_epochs)}: got {len(values)}"
            )
        if min(values) < 0 or values[0] == 0:
            raise ValueError(f"values must not be negative, nor begin with 0, got {values}")
        if sorted(decay_epochs) != list(decay_epochs):
            raise ValueError(f"decay_epochs must ascend, got {decay_epochs}")
        self.boundaries = [epoch * step_each_epoch for epoch in decay_epochs]
        self.values = values
        super().__init__(values[0], epochs, step_each_epoch, warmup_epoch)

    def decayed(self, step: int) -> float:
        return self.values[bisect_right(self.boundaries, step)]


@SCHEDULES.register
class Step(Schedule):
    """The rate times `gamma` after every `step_size` epochs.

    Args:
        learning_rate: the rate at the start.
        epochs: length of the run.
        step_each_epoch: batches an epoch.
        step_size: epochs between two reductions.
        gamma: factor of each reduction, in (0, 1).
        warmup_epoch: epochs over which the rate rises from 0.
    """

    def __init__(
        self,
        learning_rate: float,
        epochs: int,
        step_each_epoch: int,
        step_size: int,
        gamma: float = 0.1,
        warmup_epoch: float = 0.0,
    ):
        if step_size < 1:
            raise ValueError(f"step_size must be 1 or more, got {step_size}")
        if not 0 < gamma < 1:
            raise ValueError(f"gamma must be in (0, 1), got {gamma}")
        self.step_size = step_size * step_each_epoch
        self.gamma = gamma
        super().__init__(learning_rate, epochs, step_each_epoch, warmup_epoch)

    def decayed(self, step: int) -> float:
        return self.base_lr * self.gamma ** (step // self.step_size)


@SCHEDULES.register
class MultiStepDecay(Schedule):
    """The rate times `gamma` at each milestone.

    Args:
        learning_rate: the rate at the start.
        epochs: length of the run.
        step_each_epoch: batches an epoch.
        milestones: the epochs at which the rate falls, ascending; they count from the end of the warm-up.
        gamma: factor of each reduction, in (0, 1).
        warmup_epoch: epochs over which the rate rises from 0.
    """

    def __init__(
        self,
        learning_rate: float,
        epochs: int,
        step_each_epoch: int,
        milestones: list[float],
        gamma: float = 0.1,
        warmup_epoch: float = 0.0,
    ):
        if sorted(milestones) != list(milestones):
            raise ValueError(f"milestones must ascend, got {milestones}")
        if not 0 < gamma < 1:
            raise ValueError(f"gamma must be in (0, 1), got {gamma}")
        self.milestones = [epoch * step_each_epoch for epoch in milestones]
        self.gamma = gamma
        super().__init__(learning_rate, epochs, step_each_epoch, warmup_epoch)

    def decayed(self, step: int) -> float:
        return self.base_lr * self.gamma ** bisect_right(self.milestones, step)


@SCHEDULES.register
class DecayLearningRate(Linear):
    """From `learning_rate` to 0 along (1 - step / total_steps) ^ factor: `Linear` under other names, without a warm-up.

    Args:
        learning_rate: the rate at the start.
        epochs: length of the run.
        step_each_epoch: batches an epoch.
        factor: the power.
    """

    def __init__(self, learning_rate: float, epochs: int, step_each_epoch: int, factor: float = 0.9):
        if factor <= 0:
            raise ValueError(f"factor must be above 0, got {factor}")
        super().__init__(learning_rate, epochs, step_each_epoch, power=factor)


@SCHEDULES.register
class CyclicalCosine(Schedule):
    """Half a cosine from `learning_rate` towards 0, begun anew with every cycle (SGDR, arXiv 1608.03983).

    Args:
        learning_rate: the rate at the start of each cycle.
        epochs: length of the run.
        step_each_epoch: batches an epoch.
        cycle: epochs, or a fraction of one, of a cycle.
        warmup_epoch: epochs over which the rate rises from 0; the first cycle begins after it.
    """

    def __init__(
        self, learning_rate: float, epochs: int, step_each_epoch: int, cycle: float, warmup_epoch: float = 0.0
    ):
        self.cycle_steps = round(cycle * step_each_epoch)
        if self.cycle_steps < 1:
            raise ValueError(f"cycle must be a step or more, got {cycle} epochs of {step_each_epoch} steps")
        super().__init__(learning_rate, epochs, step_each_epoch, warmup_epoch)

    def decayed(self, step: int) -> float:
        return self.base_lr * (1 + math.cos(math.pi * (step % self.cycle_steps) / self.cycle_steps)) / 2


@SCHEDULES.register
class OneCycle(Schedule):
    """Up to `max_lr` in the first 0.3 of the run, then down, far below where it began (arXiv 1708.07120).

    It begins at max_lr / 25 and ends, at the last step, at max_lr / 250,000.

    Args:
        max_lr: the highest rate.
        epochs: length of the run.
        step_each_epoch: batches an epoch.
        anneal_strategy: the way up and down: half a cosine, or a line.
        three_phase: come down as fast as it went up, to max_lr / 25, and only then to the end.
        warmup_epoch: epochs over which the rate rises from 0 to `max_lr`; the cycle begins after it.
    """

    def __init__(
        self,
        max_lr: float,
        epochs: int,
        step_each_epoch: int,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        three_phase: bool = False,
        warmup_epoch: float = 0.0,
    ):
        if max_lr <= 0:
            raise ValueError(f"max_lr must be above 0, got {max_lr}")
        total = epochs * step_each_epoch
        first, last = max_lr / 25, max_lr / 25 / 1e4
        turns = [(0.0, first), (0.3 * total - 1, max_lr)]
        if three_phase:
            turns.append((0.6 * total - 2, first))
        self.turns = [*turns, (total - 1, last)]
        self.anneal_strategy = anneal_strategy
        super().__init__(max_lr, epochs, step_each_epoch, warmup_epoch)

    def decayed(self, step: int) -> float:
        phase = next((i for i, (end, _) in enumerate(self.turns[1:-1]) if step <= end), len(self.turns) - 2)
        (begin, start), (end, target) = self.turns[phase : phase + 2]
        done = min((step - begin) / (end - begin), 1.0)
        if self.anneal_strategy == "linear":
            return start + (target - start) * done
        return target + (start - target) * (1 + math.cos(math.pi * done)) / 2


@SCHEDULES.register
class LinearWarmupCosine(Schedule):
    """A warm-up counted in steps, then half a cosine from `learning_rate` to `min_lr`.

    The cosine takes as many steps as the run has, counted from the end of the warm-up.

    Args:
        learning_rate: the rate after the warm-up.
        epochs: length of the run.
        step_each_epoch: batches an epoch.
        warmup_steps: steps over which the rate rises from `start_lr`.
        start_lr: the rate of the first step.
        min_lr: the lowest rate of the cosine.
    """

    def __init__(
        self,
        learning_rate: float,
        epochs: int,
        step_each_epoch: int,
        warmup_steps: int = 5000,
        start_lr: float = 1e-5,
        min_lr: float = 1e-8,
    ):
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps must not be negative, got {warmup_steps}")
        for name, value in (("start_lr", start_lr), ("min_lr", min_lr)):
            if not 0 <= value < learning_rate:
                raise ValueError(f"{name} must be in [0, learning_rate {learning_rate}), got {value}")
        self.start_lr = start_lr
        self.min_lr = min_lr
        super().__init__(learning_rate, epochs, step_each_epoch, warmup_epoch=warmup_steps / step_each_epoch)

    def decayed(self, step: int) -> float:
        return self.min_lr + (self.base_lr - self.min_lr) * (1 + math.cos(math.pi * step / self.total_steps)) / 2


@SCHEDULES.register
class TwoStepCosine(Schedule):
    """Half a cosine to 0 over 200 epochs, whatever the length of the run; after them, the cosine of the whole run.

    A run of more than 200 epochs goes on where `Cosine` would be. PaddleOCR computes each rate from the one before and
    so stays at the 0 that epoch 200 reached.
    """

    def decayed(self, step: int) -> float:
        first = 200 * self.step_each_epoch
        length = first if step <= first else self.total_steps
        return self.base_lr * (1 + math.cos(math.pi * step / length)) / 2
