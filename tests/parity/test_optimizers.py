"""Three steps of a tiny net for every record, built as a config is: one more is compared without an edit here."""

import json
import zlib

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.engine import build_optimizer
from ppdet_db.errors import ConfigError

RUN = {"epochs": 2, "step_each_epoch": 4}
# A bias before batch normalisation has no gradient; Adam makes whole steps of what rounding leaves of it, and the
# running mean follows the bias.
ROUNDING_NOISE = {"c1.bias", "bn._mean"}


class TinyNet(nn.Layer):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2D(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2D(4)
        self.c2 = nn.Conv2D(4, 1, 1)
        self.set_state_dict({key: ruled(key, tensor.shape) for key, tensor in self.state_dict().items()})

    def forward(self, x):
        return self.c2(nn.functional.relu(self.bn(self.c1(x))))


def ruled(key, shape):
    """The weights of the recorded runs: the rule of shared/parity/README.md."""
    normal = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(shape))
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "_variance":
        value = 1 + 0.1 * np.abs(normal)
    elif len(shape) <= 1:
        value = 1 + 0.1 * normal if leaf == "weight" else 0.1 * normal
    else:
        value = normal / np.sqrt(np.prod(shape[1:]))
    return value.astype(np.float32)


def test_three_steps_give_the_recorded_losses_and_weights(shared):
    records = [
        record for file in sorted((shared / "parity/optim").glob("*.json")) for record in json.loads(file.read_text())
    ]
    inputs = np.load(shared / "parity/optim/tiny_inputs.npz")
    x, y = (paddle.to_tensor(inputs[name]) for name in inputs.files)
    compared, refused = set(), set()
    for record in records:
        settings = record["settings"]
        net = TinyNet()
        parameters = dict(net.named_parameters())
        if "error" in record:
            with pytest.raises(ConfigError, match="regularizer"):
                build_optimizer(settings, parameters=parameters, **RUN)
            refused.add(settings["name"])
            continue
        optimizer, schedule = build_optimizer(settings, parameters=parameters, **RUN)
        losses, rates = [], []
        for _ in record["losses"]:
            loss = ((net(x) - y) ** 2).mean()
            loss.backward()
            rates.append(optimizer.get_lr())
            optimizer.step()
            optimizer.clear_grad()
            schedule.step()
            losses.append(float(loss))
        np.testing.assert_allclose(rates, record["lrs"], rtol=1e-12)
        np.testing.assert_allclose(losses, record["losses"], rtol=1e-6, err_msg=str(settings))
        for key in record["weights"].keys() - ROUNDING_NOISE:
            np.testing.assert_allclose(
                net.state_dict()[key].numpy().ravel(),
                record["weights"][key],
                rtol=1e-5,
                atol=1e-6,
                err_msg=f"{settings} {key}",
            )
        compared.add(settings["name"])
    assert compared >= {"Adadelta", "Adam", "AdamW", "Momentum", "RMSProp"}
    assert refused == {"AdamW"}
