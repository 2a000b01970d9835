"""Every rate of the recorded schedules whose component we have. A later schedule is compared without an edit here."""

import json

import ppdet_db.optimizer.schedules  # noqa: F401  (registers)
from ppdet_db.registry import SCHEDULES


def test_rates_equal_the_recorded_ones_past_the_end_too(shared):
    records = json.loads((shared / "parity/sched/lr_schedules.json").read_text())
    compared, wrong = set(), []
    for record in records:
        settings = dict(record["settings"])
        name = settings.pop("name", "Const")
        if name not in SCHEDULES:
            continue
        schedule = SCHEDULES.get(name)(**settings, epochs=record["epochs"], step_each_epoch=record["steps_per_epoch"])
        for step, expected in enumerate(record["lr"]):
            # 1e-12 of the peak: the peer's cosine is a recursion, ours is closed
            if abs(schedule() - expected) > 1e-12 * schedule.base_lr:
                wrong.append((record["settings"], step, schedule(), expected))
            schedule.step()
        compared.add(name)
    assert not wrong
    assert compared >= {"Const", "Linear", "Cosine", "Piecewise", "Step"}
