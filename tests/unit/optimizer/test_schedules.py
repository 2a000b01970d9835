"""Learning rates at steps that can be done by hand: 4 epochs of 5 steps."""

import math

import pytest

from ppdet_db.optimizer.schedules import Const, Cosine, Linear, Piecewise, Step
from ppdet_db.registry import SCHEDULES

RUN = {"epochs": 4, "step_each_epoch": 5}
MINIMAL = {
    "Const": {"learning_rate": 0.1},
    "Linear": {"learning_rate": 0.1},
    "Cosine": {"learning_rate": 0.1},
    "Piecewise": {"decay_epochs": [1], "values": [0.1, 0.01]},
    "Step": {"learning_rate": 0.1, "step_size": 1},
}


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
    ],
)
def test_rate_at_a_step(schedule, rates):
    assert {step: schedule.lr_at(step) for step in rates} == pytest.approx(rates, abs=1e-15)


@pytest.mark.parametrize("name", MINIMAL)
def test_stepping_reads_the_curve_and_asking_does_not_move(name):
    schedule = SCHEDULES.get(name)(**MINIMAL[name], **RUN, warmup_epoch=1)
    curve = [schedule.lr_at(step) for step in range(schedule.total_steps)]
    stepped = []
    for _ in curve:
        stepped.append(schedule())
        schedule.step()
    assert len(curve) == 20
    assert stepped == curve


@pytest.mark.parametrize("name", MINIMAL)
def test_the_state_is_the_step(name):
    settings = {**MINIMAL[name], **RUN, "warmup_epoch": 1}
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
    ],
)  # fmt: skip
def test_refuses_what_is_out_of_range(name, settings, message):
    with pytest.raises(ValueError, match="must") as caught:
        SCHEDULES.get(name)(**settings, **RUN)
    assert str(caught.value) == message
