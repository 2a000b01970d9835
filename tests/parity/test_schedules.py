"""Every rate of every recorded schedule, built as a config is: one more record is compared without an edit here."""

import json

import pytest

import ppdet_db.optimizer.optimizers  # noqa: F401  (registers, schedules too)
from ppdet_db.config import check_section
from ppdet_db.errors import ConfigError


def test_rates_equal_the_recorded_ones_past_the_end_too(shared):
    records = [
        record for file in sorted((shared / "parity/sched").glob("*.json")) for record in json.loads(file.read_text())
    ]
    compared, wrong = set(), []
    for record in records:
        section = {"name": "Adam", "lr": record["settings"]}
        run = {"epochs": record["epochs"], "step_each_epoch": record["steps_per_epoch"]}
        if "error" in record:
            with pytest.raises(ConfigError):
                check_section("Optimizer", section).schedule.build(**run)
            continue
        schedule = check_section("Optimizer", section).schedule.build(**run)
        for step, expected in enumerate(record["lr"]):
            # 1e-12 of the peak: the peer's cosine is a recursion, ours is closed
            if abs(schedule() - expected) > 1e-12 * schedule.base_lr:
                wrong.append((record["settings"], step, schedule(), expected))
            schedule.step()
        compared.add(type(schedule).__name__)
    assert not wrong
    assert compared >= {
        "Const", "CyclicalCosine", "Cosine", "DecayLearningRate", "Linear", "LinearWarmupCosine", "MultiStepDecay",
        "OneCycle", "Piecewise", "Step", "TwoStepCosine",
    }  # fmt: skip
