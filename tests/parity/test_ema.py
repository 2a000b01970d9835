"""The average of a constant, recorded of PaddleOCR: a defect where the decay varies, which ours does not have."""

import json
from pathlib import Path

import paddle
from paddle import nn

from ppdet_db.engine.ema import ModelEMA


def test_of_a_constant(shared: Path) -> None:
    for case in json.loads((shared / "parity/labels/ema_constant.json").read_text()):
        model = nn.Linear(1, 1)
        ema, recorded = ModelEMA(model, case["decay"], decay_type=case["type"]), dict(case["applied"])
        model.weight.set_value(paddle.full([1, 1], case["constant_weight"]))
        for step in range(1, max(recorded) + 1):
            ema.update(model)
            if step in recorded:
                assert ema.model.weight.item() == case["constant_weight"], case["type"]
        if case["type"] == "threshold":  # the peer divides by 1 - decay ** step, as if the last decay were all of them
            assert recorded[2] > 1.015
            assert recorded[2000] > 1.0001
