"""One hand-computed step of each kind, several against NumPy with what layers say of their own parameters, clipping."""

import logging

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.optimizer.optimizers import Adadelta, Adam, AdamW, Momentum, RMSProp
from ppdet_db.optimizer.regularizers import L1, L2, CosineL2Decay
from ppdet_db.optimizer.schedules import Cosine
from ppdet_db.registry import OPTIMIZERS

OURS = [name for name in OPTIMIZERS.names() if OPTIMIZERS.get(name).__module__.startswith("ppdet_db.")]


def parameter(values, **attributes):
    attributes = paddle.ParamAttr(**attributes)
    initial = nn.initializer.Assign(np.array(values, "float32"))
    return paddle.create_parameter([len(values)], "float32", attr=attributes, default_initializer=initial)


def updates(optimizer, *pairs):
    """What one step adds to each parameter; `pairs` are (parameter, gradient)."""
    before = [p.numpy().copy() for p, _ in pairs]
    sum((p * paddle.to_tensor(gradient)).sum() for p, gradient in pairs).backward()
    optimizer.step()
    return [(p.numpy() - old).tolist() for (p, _), old in zip(pairs, before, strict=True)]


WEIGHT, GRADIENT = [2.0, -4.0], [1.0, 0.5]


@pytest.mark.parametrize(
    ("kind", "settings", "expected", "why"),
    [
        (Momentum, {}, [-0.1, -0.05], "rate x gradient"),
        (Momentum, {"regularizer": L2(0.5)}, [-0.2, 0.15], "gradient + 0.5 x weight"),
        (Momentum, {"weight_decay": 0.5}, [-0.2, 0.15], "the same in one word"),
        (Momentum, {"regularizer": L1(0.5)}, [-0.15, 0.0], "gradient + 0.5 x sign(weight)"),
        (Momentum, {"regularizer": L2(0)}, [-0.1, -0.05], "switched off"),
        (Adam, {}, [-0.1, -0.1], "the first step is the rate times the sign"),
        (Adam, {"regularizer": L2(0.5)}, [-0.1, 0.1], "coupled: the sign of gradient + decay"),
        (AdamW, {"regularizer": L2(0.5)}, [-0.1 - 0.1, -0.1 + 0.2], "decoupled: rate x 0.5 x weight besides"),
        (AdamW, {"weight_decay": 0.5}, [-0.2, 0.1], "the same in one word"),
        (AdamW, {}, [-0.1 - 0.002, -0.1 + 0.004], "0.01 if nothing is said"),
        (AdamW, {"regularizer": L2(0)}, [-0.1, -0.1], "switched off"),
        (AdamW, {"weight_decay": 0.5, "one_dim_param_no_weight_decay": True}, [-0.1, -0.1], "spared"),
        (AdamW, {"weight_decay": 0.5, "no_weight_decay_name": "bn .wei"}, [-0.1, -0.1], "spared by its name"),
        (AdamW, {"weight_decay": 0.5, "no_weight_decay_name": "bn bias"}, [-0.2, 0.1], "no part of its name"),
        (RMSProp, {"rho": 0.75, "epsilon": 0}, [-0.2, -0.2], "rate x gradient / (half of its size)"),
        (RMSProp, {"rho": 0.75, "epsilon": 0.75}, [-0.1, -0.05 / 0.8125**0.5], "the root of mean square + epsilon"),
        (RMSProp, {"rho": 0.75, "epsilon": 0, "regularizer": L2(0.5)}, [-0.2, 0.2], "coupled"),
        (
            Adadelta,
            {"rho": 0.75, "epsilon": 0.75},
            [-0.1 * 0.75**0.5, -0.05 * (0.75 / 0.8125) ** 0.5],
            "rate x gradient x root(epsilon / (mean square + epsilon))",
        ),
    ],
)
def test_one_step(kind, settings, expected, why):
    weight = parameter(WEIGHT)
    optimizer = kind({"c.weight": weight}, learning_rate=0.1, **settings)
    (update,) = updates(optimizer, (weight, GRADIENT))
    assert isinstance(optimizer, paddle.optimizer.Optimizer)
    assert update == pytest.approx(expected, abs=1e-6), why


@pytest.mark.parametrize(
    ("settings", "first", "second", "why"),
    [
        ({}, [-3, -4], [-12], "as they are"),
        ({"clip_norm": 1}, [-0.6, -0.8], [-1], "each of norm 5 and 12 to 1"),
        ({"clip_norm_global": 6.5}, [-1.5, -2], [-6], "both of norm 13 to 6.5"),
        ({"clip_norm_global": 20}, [-3, -4], [-12], "short enough"),
    ],
)
def test_clipping(settings, first, second, why):
    a, b = parameter([0.0, 0.0]), parameter([0.0])
    optimizer = Momentum({"a": a, "b": b}, learning_rate=1.0, **settings)
    changes = updates(optimizer, (a, [3.0, 4.0]), (b, [12.0]))
    assert changes[0] == pytest.approx(first), why
    assert changes[1] == pytest.approx(second), why


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"regularizer": L2(0.1), "weight_decay": 0.1},
            "weight_decay is short for a regularizer L2, and there is a regularizer: give one",
        ),
        ({"clip_norm": 1, "clip_norm_global": 1}, "clip_norm and clip_norm_global exclude each other: give one"),
        ({"clip_norm": 0}, "clip_norm must be above 0, got 0"),
        ({"clip_norm_global": -1}, "clip_norm_global must be above 0, got -1"),
        (
            {"regularizer": CosineL2Decay(0.1)},
            "regularizer CosineL2Decay follows a schedule of the learning rate, and there is only a number",
        ),
    ],
)
def test_refuses_contradictions(name, settings, message):
    weight = parameter(WEIGHT)
    with pytest.raises(ValueError, match=r"give one|must be|follows") as caught:
        OPTIMIZERS.get(name)({"weight": weight}, **settings)
    assert str(caught.value) == message


def test_adamw_has_no_l1():
    weight = parameter(WEIGHT)
    with pytest.raises(ValueError, match="use L2, or Adam"):
        AdamW({"weight": weight}, regularizer=L1(0.1))


class Reference:
    """The rules of the papers in NumPy float64: what each optimizer does to one weight."""

    def __init__(self, name):
        self.rule, self.steps = getattr(self, name), 0
        self.mean = self.square = self.velocity = self.path = 0.0

    def Momentum(self, gradient, rate):
        self.velocity = 0.9 * self.velocity + gradient
        return -rate * self.velocity

    def Adam(self, gradient, rate):
        self.steps += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient**2
        mean, square = self.mean / (1 - 0.9**self.steps), self.square / (1 - 0.999**self.steps)
        return -rate * mean / (np.sqrt(square) + 1e-8)

    AdamW = Adam

    def RMSProp(self, gradient, rate):
        self.square = 0.95 * self.square + 0.05 * gradient**2
        return -rate * gradient / np.sqrt(self.square + 1e-6)

    def Adadelta(self, gradient, rate):
        self.square = 0.95 * self.square + 0.05 * gradient**2
        step = -gradient * np.sqrt((self.path + 1e-8) / (self.square + 1e-8))
        self.path = 0.95 * self.path + 0.05 * step**2
        return rate * step


SAID_BY_LAYERS = {
    "plain": {},
    "scaled": {"learning_rate": 0.25},
    "spared": {"regularizer": paddle.regularizer.L2Decay(0.0)},
    "own_l2": {"regularizer": paddle.regularizer.L2Decay(0.3), "learning_rate": 0.5},
    "own_l1": {"regularizer": paddle.regularizer.L1Decay(0.2)},
}
OWN_PENALTY = {"spared": lambda w: 0 * w, "own_l2": lambda w: 0.3 * w, "own_l1": lambda w: 0.2 * np.sign(w)}


@pytest.mark.parametrize(
    ("make", "penalty"),
    [
        (lambda: None, lambda w, step: 0 * w),
        (lambda: L1(0.4), lambda w, step: 0.4 * np.sign(w)),
        (lambda: L2(0.4), lambda w, step: 0.4 * w),
        (lambda: CosineL2Decay(0.4, 0.1), lambda w, step: (0.25 + 0.15 * np.cos(np.pi * step / 6)) * w),
        (lambda: CosineL2Decay(0.0, 0.4), lambda w, step: (0.2 - 0.2 * np.cos(np.pi * step / 6)) * w),
    ],
    ids=["none", "L1", "L2", "falling L2", "rising L2"],
)
@pytest.mark.parametrize("name", OURS)
def test_what_a_layer_says_of_its_parameter_goes_first(name, make, penalty):
    """Rate multipliers and penalties of `ParamAttr`, beside the optimizer's own penalty."""
    regularizer = make()
    if name == "AdamW" and isinstance(regularizer, L1):
        pytest.skip("refused")
    decay = {"weight_decay": 0.0} if name == "AdamW" and regularizer is None else {}
    parameters = {key: parameter(WEIGHT, **said) for key, said in SAID_BY_LAYERS.items()}
    schedule = Cosine(0.1, epochs=2, step_each_epoch=3)
    optimizer = OPTIMIZERS.get(name)(parameters, learning_rate=schedule, regularizer=regularizer, **decay)
    weights = {key: np.array(WEIGHT) for key in parameters}
    rules = {key: Reference(name) for key in parameters}
    for step in range(5):
        gradient = np.random.default_rng(step).standard_normal(2)
        sum((p * paddle.to_tensor(gradient.astype("float32"))).sum() for p in parameters.values()).backward()
        optimizer.step()
        optimizer.clear_grad()
        for key, w in weights.items():
            rate = 0.05 * (1 + np.cos(np.pi * step / 6)) * SAID_BY_LAYERS[key].get("learning_rate", 1)
            is_decoupled = name == "AdamW" and key not in OWN_PENALTY
            added = OWN_PENALTY[key](w) if key in OWN_PENALTY else penalty(w, step)
            moved = rules[key].rule(gradient + (0 if is_decoupled else added), rate)
            weights[key] = w + moved - (rate * added if is_decoupled else 0)
        schedule.step()
        for key, w in weights.items():
            np.testing.assert_allclose(parameters[key].numpy(), w, rtol=2e-5, atol=2e-6, err_msg=f"{key}, step {step}")


@pytest.mark.parametrize("name", OURS)
def test_paddle_does_not_print_that_the_penalty_has_no_effect(name, caplog):
    caplog.set_level(logging.INFO)
    OPTIMIZERS.get(name)({"own": parameter(WEIGHT, **SAID_BY_LAYERS["own_l2"])}, regularizer=L2(0.4))
    assert not caplog.records


def test_what_a_layer_says_has_an_effect():
    """The weights of the test above part, so it compares what differs."""
    parameters = {key: parameter(WEIGHT, **said) for key, said in SAID_BY_LAYERS.items()}
    optimizer = Momentum(parameters, learning_rate=0.1, regularizer=L2(0.4))
    changes = updates(optimizer, *((p, GRADIENT) for p in parameters.values()))
    assert len({tuple(change) for change in changes}) == len(changes)
