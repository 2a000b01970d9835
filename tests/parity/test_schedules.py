"""Every rate of every recorded schedule, built as a config is: one more record is compared without an edit here."""

import json
from pathlib import Path

import pytest

from ppdet_db.config import check_section
from ppdet_db.engine import load_plan
from ppdet_db.errors import ConfigError

CONFIG = Path(__file__).parents[2] / "configs/det/det_mv3_db_synthetic.yml"


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


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("lr={name: TwoStepCosine, learning_rate: 0.1, T_max1: [0, 2]}", "lr.T_max1"),
        ("lr={name: TwoStepCosine, learning_rate: 0.1, T_max2: [2, 5]}", "lr.T_max2"),
        ("lr={name: LinearWarmupCosine, learning_rate: 0.1, warmup_epoch: 1}", "lr.warmup_epoch"),
        ("lr={name: DecayLearningRate, learning_rate: 0.1, warmup_epoch: 1}", "lr.warmup_epoch"),
        ("lr={name: DecayLearningRate, learning_rate: 0.1, end_lr: 0.01}", "lr.end_lr"),
        ("group_lr=true", "group_lr"),
    ],
)
def test_what_the_peer_takes_and_does_not_read_is_noted(section, key):
    plan = load_plan(CONFIG, [f"Optimizer.{section}"])
    assert [note for note in plan.notes if f"Optimizer.{key}: ignored: " in note]


@pytest.mark.parametrize(
    "section",
    [
        "lr={name: LinearWarmupCosine, learning_rate: 0.1, warmup_epoch: 0}",
        "lr={name: DecayLearningRate, learning_rate: 0.1, warmup_epoch: 0, end_lr: 0}",
    ],
)
def test_what_asks_for_nothing_is_not_noted(section):
    plan = load_plan(CONFIG, [f"Optimizer.{section}"])
    assert not [note for note in plan.notes if "Optimizer.lr" in note]
