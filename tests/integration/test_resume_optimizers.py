"""Every optimizer, schedule and regularizer goes on from a checkpoint bit for bit. A new one is covered by its name.

A schedule without defaults for its parameters needs a line in REQUIRED.
"""

import inspect

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.engine import build_optimizer, checkpoint
from ppdet_db.registry import OPTIMIZERS, REGULARIZERS, SCHEDULES, Registry

RUN = {"epochs": 2, "step_each_epoch": 4}
STOP, END = 3, 7
REQUIRED = {
    "Piecewise": {"decay_epochs": [1], "values": [0.02, 0.01]},
    "Step": {"step_size": 1},
    "MultiStepDecay": {"milestones": [1]},
    "CyclicalCosine": {"cycle": 0.5},
    "OneCycle": {"max_lr": 0.02},
    "LinearWarmupCosine": {"warmup_steps": 2},
}


def names(registry: Registry) -> list[str]:
    """Those of the package; other tests register their own."""
    return [name for name in registry.names() if registry.get(name).__module__.startswith("ppdet_db.")]


def rate(name: str) -> dict:
    """An `lr` section, with a warm-up where there is one."""
    parameters = inspect.signature(SCHEDULES.get(name)).parameters
    common = {"learning_rate": 0.02, "warmup_epoch": 0.5}
    return {"name": name, **{key: common[key] for key in common if key in parameters}, **REQUIRED.get(name, {})}


CASES = [
    *({"name": optimizer, "lr": rate(schedule)} for optimizer in names(OPTIMIZERS) for schedule in names(SCHEDULES)),
    *(
        {"name": optimizer, "lr": rate("Cosine"), "regularizer": {"name": regularizer, "factor": 0.1}}
        for optimizer in names(OPTIMIZERS)
        for regularizer in names(REGULARIZERS)
        if (optimizer, regularizer) not in {("AdamW", "L1"), ("AdamW", "L1Decay")}  # refused
    ),
]


class Run:
    """A tiny network in training."""

    def __init__(self, section: dict):
        own = paddle.ParamAttr(learning_rate=0.5, regularizer=paddle.regularizer.L2Decay(0.0))
        self.model = nn.Sequential(
            nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.ReLU(), nn.Conv2D(4, 1, 1, weight_attr=own)
        )
        parameters = dict(self.model.named_parameters())
        self.optimizer, self.schedule = build_optimizer(section, parameters=parameters, **RUN)

    def steps(self, begin: int, end: int) -> None:
        for step in range(begin, end):
            x = np.random.default_rng(step).standard_normal((2, 3, 6, 6)).astype("float32")
            (self.model(paddle.to_tensor(x)) - 1).square().mean().backward()
            self.optimizer.step()
            self.optimizer.clear_grad()
            self.schedule.step()

    def save(self, folder) -> None:
        checkpoint.save(folder, self.model, self.optimizer, {"schedule": self.schedule.state_dict()})

    def load(self, folder) -> None:
        checkpoint.load_weights(self.model, folder, strict=True)
        checkpoint.load_optimizer(self.model, self.optimizer, folder)
        self.schedule.set_state_dict(checkpoint.load_state(folder)["schedule"])


@pytest.mark.parametrize(
    "section",
    CASES,
    ids=lambda case: "-".join((case["name"], case["lr"]["name"], case.get("regularizer", {}).get("name", "none"))),
)
def test_a_resumed_run_ends_as_one_that_ran_through(section, tmp_path):
    whole = Run(section)
    whole.steps(0, STOP)
    whole.save(tmp_path / "stopped")
    whole.steps(STOP, END)
    whole.save(tmp_path / "whole")

    resumed = Run(section)  # Paddle's counters, by which it names weights and moments, have moved on
    resumed.load(tmp_path / "stopped")
    resumed.steps(STOP, END)
    resumed.save(tmp_path / "resumed")

    for file in (checkpoint.MODEL, checkpoint.OPTIMIZER, checkpoint.STATE):
        ended = [(tmp_path / run / file).read_bytes() for run in ("whole", "resumed")]
        assert ended[0] == ended[1], file
    assert (tmp_path / "whole" / checkpoint.MODEL).read_bytes() != (
        tmp_path / "stopped" / checkpoint.MODEL
    ).read_bytes()
