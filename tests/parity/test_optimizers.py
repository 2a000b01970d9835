"""Three recorded steps of a tiny net for each optimizer and option that we have; a later one is compared without an
edit here."""

import inspect
import json
import zlib

import numpy as np
import paddle
import pytest
from paddle import nn

import ppdet_db.optimizer.optimizers
import ppdet_db.optimizer.schedules  # noqa: F401  (both register)
from ppdet_db.registry import OPTIMIZERS, REGULARIZERS, SCHEDULES

EPOCHS, STEP_EACH_EPOCH = 2, 4
WITHOUT_EFFECT = ("group_lr",)  # recorded as ignored by the peer
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


def make(registry, section, **wired):
    section = dict(section)
    return registry.get(section.pop("name"))(**section, **wired)


def is_ours(settings):
    """Whether the optimizer, its schedule and its regularizer are registered and take every recorded option."""
    sections = [
        (OPTIMIZERS, settings),
        (SCHEDULES, settings["lr"]),
        (REGULARIZERS, settings.get("regularizer", {"name": "L2"})),
    ]
    return all(
        section["name"] in registry
        and set(section) - {"name", "lr", "regularizer"}
        <= set(inspect.signature(registry.get(section["name"])).parameters)
        for registry, section in sections
    )


def build(settings, parameters):
    settings = {key: value for key, value in settings.items() if key not in WITHOUT_EFFECT}
    schedule = make(SCHEDULES, settings.pop("lr"), epochs=EPOCHS, step_each_epoch=STEP_EACH_EPOCH)
    regularizer = settings.pop("regularizer", None)
    if regularizer is not None:
        regularizer = make(REGULARIZERS, regularizer)
    return make(OPTIMIZERS, settings, parameters=parameters, learning_rate=schedule, regularizer=regularizer), schedule


def test_three_steps_give_the_recorded_losses_and_weights(shared):
    records = json.loads((shared / "parity/optim/optimizers.json").read_text())
    inputs = np.load(shared / "parity/optim/tiny_inputs.npz")
    x, y = (paddle.to_tensor(inputs[name]) for name in inputs.files)
    compared, refused = [], []
    for record in records:
        settings = {key: value for key, value in record["settings"].items() if key not in WITHOUT_EFFECT}
        if not is_ours(settings):
            continue
        net = TinyNet()
        if "error" in record:
            with pytest.raises(ValueError, match="regularizer"):
                build(settings, net.parameters())
            refused.append(settings["name"])
            continue
        optimizer, schedule = build(settings, net.parameters())
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
        compared.append(settings["name"])
    assert {"Adam", "AdamW", "Momentum"} <= set(compared)
    assert refused == ["AdamW"]
