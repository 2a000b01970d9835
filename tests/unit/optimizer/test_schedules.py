"""Learning rates at steps that can be done by hand: 4 epochs of 5 steps."""

import inspect
import math

import pytest

from ppdet_db.optimizer.schedules import (
    Const,
    Cosine,
    CyclicalCosine,
    DecayLearningRate,
    Linear,
    LinearWarmupCosine,
    MultiStepDecay,
    OneCycle,
    Piecewise,
    Step,
    TwoStepCosine,
)
from ppdet_db.registry import SCHEDULES

RUN = {"epochs": 4, "step_each_epoch": 5}
MINIMAL = {
    "Const": {"learning_rate": 0.1},
    "Linear": {"learning_rate": 0.1},
    "Cosine": {"learning_rate": 0.1},
    "Piecewise": {"decay_epochs": [1], "values": [0.1, 0.01]},
    "Step": {"learning_rate": 0.1, "step_size": 1},
    "MultiStepDecay": {"learning_rate": 0.1, "milestones": [1, 3]},
    "DecayLearningRate": {"learning_rate": 0.1},
    "CyclicalCosine": {"learning_rate": 0.1, "cycle": 2},
    "OneCycle": {"max_lr": 0.1},
    "LinearWarmupCosine": {"learning_rate": 0.1, "warmup_steps": 5},
    "TwoStepCosine": {"learning_rate": 0.1},
}
OURS = [name for name in SCHEDULES.names() if SCHEDULES.get(name).__module__.startswith("ppdet_db.")]
HALF, QUARTER = 0.5, 0.5 * (1 + math.sqrt(0.5))
"""What is left half and a quarter of a cosine's way down."""


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (Const(0.1, **RUN), {0: 0.1, 19: 0.1, 100: 0.1}),
        (Linear(0.1, **RUN), {0: 0.1, 10: 0.05, 20: 0, 25: 0}),
        (Linear(0.1, **RUN, end_lr=0.02, power=2.0), {0: 0.1, 10: 0.04, 20: 0.02, 99: 0.02}),
        (Cosine(0.1, **RUN), {0: 0.1, 5: 0.05 * (1 + math.sqrt(0.5)), 10: 0.05, 20: 0, 30: 0.05}),
        (Piecewise(**RUN, decay_epochs=[1, 3], values=[3, 2, 1]), {0: 3, 4: 3, 5: 2, 14: 2, 15: 1, 99: 1}),
        (Step(0.1, **RUN, step_size=2, gamma=0.5), {0: 0.1, 9: 0.1, 10: 0.05, 19: 0.05, 20: 0.025}),
        (Const(0.1, **RUN, warmup_epoch=2), {0: 0, 1: 0.01, 9: 0.09, 10: 0.1, 11: 0.1}),
        (Const(0.1, **RUN, warmup_epoch=0.5), {0: 0, 1: 0.05, 2: 0.1}),  # 2.5 steps are 2: Python rounds to even
        (Const(0.1, **RUN, warmup_epoch=0.7), {1: 0.025, 4: 0.1}),  # and 3.5 are 4
        (Linear(0.1, **RUN, warmup_epoch=2), {0: 0, 5: 0.05, 10: 0.1, 20: 0.05, 30: 0}),  # counts after the warm-up
        (Piecewise(**RUN, decay_epochs=[1], values=[3, 2], warmup_epoch=1), {0: 0, 4: 2.4, 5: 3, 9: 3, 10: 2}),
        (MultiStepDecay(8, **RUN, milestones=[1, 3], gamma=0.5), {0: 8, 4: 8, 5: 4, 14: 4, 15: 2, 99: 2}),
        (MultiStepDecay(8, **RUN, milestones=[0.4], gamma=0.5, warmup_epoch=1), {1: 1.6, 5: 8, 6: 8, 7: 4}),
        (DecayLearningRate(0.1, **RUN, factor=2.0), {0: 0.1, 10: 0.025, 20: 0, 99: 0}),
        (DecayLearningRate(0.1, **RUN), {10: 0.1 * 0.5**0.9}),
        (CyclicalCosine(8, **RUN, cycle=1.6), {0: 8, 2: 8 * QUARTER, 4: 8 * HALF, 8: 8, 12: 8 * HALF, 24: 8}),
        (CyclicalCosine(8, **RUN, cycle=2, warmup_epoch=1), {0: 0, 5: 8, 10: 8 * HALF, 15: 8}),
        # up until 0.3 x 20 - 1 = 5, down until 19
        (OneCycle(1.0, **RUN), {0: 0.04, 2.5: 0.52, 5: 1, 12: 0.500002, 19: 4e-6, 99: 4e-6}),
        (OneCycle(1.0, **RUN, anneal_strategy="linear"), {0: 0.04, 1: 0.232, 5: 1, 12: 0.500002, 19: 4e-6}),
        (OneCycle(1.0, **RUN, three_phase=True), {0: 0.04, 5: 1, 7.5: 0.52, 10: 0.04, 14.5: 0.020002, 19: 4e-6}),
        (OneCycle(1.0, **RUN, warmup_epoch=1), {0: 0, 4: 0.8, 5: 0.04, 10: 1}),
        (OneCycle(1.0, epochs=1, step_each_epoch=1), {0: 4e-6}),
        (LinearWarmupCosine(8, **RUN, warmup_steps=4, start_lr=4, min_lr=2), {0: 4, 1: 5, 4: 8, 14: 5, 24: 2}),
        (LinearWarmupCosine(8, **RUN, warmup_steps=0, min_lr=0), {0: 8, 10: 4, 20: 0}),
        (LinearWarmupCosine(1, **RUN), {0: 1e-5, 2500: 0.500005, 5000: 1, 5020: 1e-8}),
        (TwoStepCosine(8, **RUN), {0: 8, 250: 8 * QUARTER, 500: 4}),
        # PaddleOCR's recursion would stay at 0 from epoch 200 on
        (
            TwoStepCosine(8, epochs=400, step_each_epoch=5),
            {500: 4, 1000: 0, 1001: 4 * (1 - math.sin(math.pi / 2000)), 1500: 8 - 8 * QUARTER, 2000: 0},
        ),
    ],
)
def test_rate_at_a_step(schedule, rates):
    assert {step: schedule.lr_at(step) for step in rates} == pytest.approx(rates, abs=1e-15)


def settings_of(name):
    """Those of the table, with a warm-up where there is one."""
    takes_warmup = "warmup_epoch" in inspect.signature(SCHEDULES.get(name)).parameters
    return {**MINIMAL[name], **RUN, **({"warmup_epoch": 1} if takes_warmup else {})}


@pytest.mark.parametrize("name", OURS)
def test_stepping_reads_the_curve_and_asking_does_not_move(name):
    schedule = SCHEDULES.get(name)(**settings_of(name))
    curve = [schedule.lr_at(step) for step in range(schedule.total_steps)]
    stepped = []
    for _ in curve:
        stepped.append(schedule())
        schedule.step()
    assert len(curve) == 20
    assert stepped == curve


@pytest.mark.parametrize("name", OURS)
def test_the_state_is_the_step(name):
    settings = settings_of(name)
    schedule = SCHEDULES.get(name)(**settings)
    for _ in range(7):
        schedule.step()
    restored = SCHEDULES.get(name)(**settings)
    restored.set_state_dict(schedule.state_dict())
    assert schedule.state_dict() == {"last_epoch": 7}
    assert restored() == schedule() == schedule.lr_at(7)
    restored.step()
    assert restored() == schedule.lr_at(8)


def test_the_state_of_a_paddle_scheduler_is_understood():
    schedule = Cosine(0.1, **RUN)
    schedule.set_state_dict({"last_epoch": 10, "last_lr": 123.0})
    assert schedule() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("Piecewise", {"decay_epochs": [1, 3], "values": [0.1, 0.01]},
         "values must have one rate more than decay_epochs, which has 2: got 2"),
        ("Piecewise", {"decay_epochs": [1], "values": [3, 2, 1]},
         "values must have one rate more than decay_epochs, which has 1: got 3"),
        ("Piecewise", {"decay_epochs": [3, 1], "values": [3, 2, 1]}, "decay_epochs must ascend, got [3, 1]"),
        ("Const", {"learning_rate": 0}, "learning_rate must be above 0, got 0"),
        ("Cosine", {"learning_rate": 0.1, "warmup_epoch": -1}, "warmup_epoch must not be negative, got -1"),
        ("Linear", {"learning_rate": 0.1, "power": 0}, "power must be above 0, got 0"),
        ("Linear", {"learning_rate": 0.1, "end_lr": -0.1}, "end_lr must not be negative, got -0.1"),
        (
            "Piecewise",
            {"decay_epochs": [1], "values": [0.0, 0.1]},
            "values must not be negative, nor begin with 0, got [0.0, 0.1]",
        ),
        ("Step", {"learning_rate": 0.1, "step_size": 0}, "step_size must be 1 or more, got 0"),
        ("Step", {"learning_rate": 0.1, "step_size": 1, "gamma": 1.5}, "gamma must be in (0, 1), got 1.5"),
        ("MultiStepDecay", {"learning_rate": 0.1, "milestones": [3, 1]}, "milestones must ascend, got [3, 1]"),
        ("MultiStepDecay", {"learning_rate": 0.1, "milestones": [1], "gamma": 0}, "gamma must be in (0, 1), got 0"),
        ("DecayLearningRate", {"learning_rate": 0.1, "factor": 0}, "factor must be above 0, got 0"),
        ("CyclicalCosine", {"learning_rate": 0.1, "cycle": 0.05},
         "cycle must be a step or more, got 0.05 epochs of 5 steps"),
        ("OneCycle", {"max_lr": 0}, "max_lr must be above 0, got 0"),
        ("LinearWarmupCosine", {"learning_rate": 0.1, "warmup_steps": -1}, "warmup_steps must not be negative, got -1"),
        ("LinearWarmupCosine", {"learning_rate": 0.1, "start_lr": 0.1},
         "start_lr must be in [0, learning_rate 0.1), got 0.1"),
        ("LinearWarmupCosine", {"learning_rate": 0.1, "min_lr": -1},
         "min_lr must be in [0, learning_rate 0.1), got -1"),
    ],
)  # fmt: skip
def test_refuses_what_is_out_of_range(name, settings, message):
    with pytest.raises(ValueError, match="must") as caught:
        SCHEDULES.get(name)(**settings, **RUN)
    assert str(caught.value) == message
