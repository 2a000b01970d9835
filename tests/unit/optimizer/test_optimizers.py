"""One hand-computed step of each kind, gradient clipping, and 3 + 3 steps = 6 steps."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.optimizer.optimizers import Adam, AdamW, Momentum
from ppdet_db.optimizer.regularizers import L1, L2
from ppdet_db.optimizer.schedules import Cosine
from ppdet_db.registry import OPTIMIZERS


def parameter(values):
    return paddle.create_parameter([len(values)], "float32", default_initializer=nn.initializer.Assign(values))


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
    ],
)
def test_one_step(kind, settings, expected, why):
    weight = parameter(WEIGHT)
    optimizer = kind([weight], learning_rate=0.1, **settings)
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
    optimizer = Momentum([a, b], learning_rate=1.0, **settings)
    changes = updates(optimizer, (a, [3.0, 4.0]), (b, [12.0]))
    assert changes[0] == pytest.approx(first), why
    assert changes[1] == pytest.approx(second), why


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Momentum"])
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
    ],
)
def test_refuses_contradictions(name, settings, message):
    weight = parameter(WEIGHT)
    with pytest.raises(ValueError, match=r"give one|must be") as caught:
        OPTIMIZERS.get(name)([weight], **settings)
    assert str(caught.value) == message


def test_adamw_has_no_l1():
    weight = parameter(WEIGHT)
    with pytest.raises(ValueError, match="use L2, or Adam"):
        AdamW([weight], regularizer=L1(0.1))


def ruled(shape):
    return np.random.default_rng(len(shape)).uniform(0.1, 0.5, shape).astype("float32")


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Momentum"])
def test_three_and_three_steps_are_six(name):
    """Weights, optimizer and schedule restored into fresh objects go on bit for bit."""

    def run(steps, state=()):
        with paddle.utils.unique_name.guard():  # Paddle keeps the state under names that count up otherwise
            net = nn.Sequential(nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.ReLU(), nn.Conv2D(4, 1, 1))
            net.set_state_dict({key: ruled(tensor.shape) for key, tensor in net.state_dict().items()})
            schedule = Cosine(0.01, epochs=2, step_each_epoch=3, warmup_epoch=0.7)
            optimizer = OPTIMIZERS.get(name)(
                net.parameters(), learning_rate=schedule, regularizer=L2(1e-3), clip_norm_global=0.5
            )
            for part, saved in zip((net, optimizer, schedule), state, strict=False):
                part.set_state_dict(saved)
            for step in steps:
                x = np.random.default_rng(step).standard_normal((2, 3, 8, 8)).astype("float32")
                (net(paddle.to_tensor(x)) - 1).square().mean().backward()
                optimizer.step()
                optimizer.clear_grad()
                schedule.step()
        return [part.state_dict() for part in (net, optimizer, schedule)]

    whole = run(range(6))
    resumed = run(range(3, 6), state=run(range(3)))
    for expected, got in zip(whole, resumed, strict=True):
        assert expected.keys() == got.keys()
        assert all(np.array_equal(np.asarray(expected[key]), np.asarray(got[key])) for key in expected)
