"""The moving average: of a constant, of what changes, of running statistics; going on; leaving the network alone."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.engine.ema import ModelEMA, decay_at

TYPES = ("threshold", "exponential", "normal")


def network() -> nn.Layer:
    return nn.Sequential(("conv", nn.Conv2D(1, 3, 1)), ("norm", nn.BatchNorm2D(3)))


def arrays(model: nn.Layer) -> dict[str, list]:
    return {name: value.numpy().tolist() for name, value in model.state_dict().items()}


def shake(model: nn.Layer, number: int) -> None:
    """New numbers everywhere, running statistics included."""
    for name, value in model.state_dict().items():
        value.set_value(np.random.default_rng([number, len(name)]).normal(size=value.shape).astype("float32"))


@pytest.mark.parametrize(
    ("decay_type", "decays"),
    [
        ("threshold", {0: 1 / 10, 1: 2 / 11, 90: 91 / 100, 10**6: 0.9998}),
        ("exponential", {0: 0.9998 * (1 - np.exp(-1 / 2000)), 1999: 0.9998 * (1 - 1 / np.e), 10**6: 0.9998}),
        ("normal", {0: 0.9998, 7: 0.9998}),
    ],
)
def test_decay(decay_type, decays):
    assert {step: decay_at(step, 0.9998, 2000, decay_type) for step in decays} == pytest.approx(decays)


@pytest.mark.parametrize("decay_type", TYPES)
def test_of_a_constant_is_that_constant_at_every_step_to_the_last_bit(decay_type):
    model = network()
    ema = ModelEMA(model, decay_type=decay_type)
    shake(model, 0)
    for _ in range(60):
        ema.update(model)
        assert arrays(ema.model) == arrays(model)


@pytest.mark.parametrize("decay_type", TYPES)
def test_shares_of_past_weights(decay_type):
    model, decay, gamma = network(), 0.9, 5
    ema = ModelEMA(model, decay, gamma, decay_type)
    past = []
    for step in range(12):
        shake(model, step)
        ema.update(model)
        past.append(model.norm._variance.numpy().astype(float))

        decays = [decay_at(s, decay, gamma, decay_type) for s in range(step + 1)]
        shares = [(1 - decays[s]) * np.prod(decays[s + 1 :]) for s in range(step + 1)]
        expected = np.average(past, axis=0, weights=shares)
        np.testing.assert_allclose(ema.model.norm._variance.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_before_the_first_step_it_is_the_weights():
    model = network()
    assert arrays(ModelEMA(model).model) == arrays(model)


def test_whole_numbers_are_taken_over():
    model = network()
    model.register_buffer("seen", paddle.to_tensor([3]))
    ema = ModelEMA(model)
    for number in (8, 9):
        model.seen.set_value(paddle.to_tensor([number]))
        ema.update(model)
        assert ema.model.seen.tolist() == [number]


@pytest.mark.parametrize("filter_no_grad", [False, True])
def test_what_has_no_gradient(filter_no_grad):
    model = network()
    model.conv.weight.stop_gradient = True
    before = model.conv.weight.numpy()
    ema = ModelEMA(model, filter_no_grad=filter_no_grad)
    for number in range(3):
        shake(model, number)
        model.conv.weight.set_value(before)
        ema.update(model)
    assert ema.model.conv.weight.numpy().tolist() == before.tolist()
    assert ema.left_out == ({"conv.weight"} if filter_no_grad else set())
    assert ema.model.norm._mean.numpy().tolist() != ModelEMA(network()).model.norm._mean.numpy().tolist()


def test_network_and_average_share_nothing():
    model = network()
    ema = ModelEMA(model)
    ema.update(model)
    shake(model, 1)
    ours = arrays(model)
    ema.update(model)
    assert arrays(model) == ours
    assert arrays(ema.model) != ours
    assert (model.training, ema.model.training, ema.model.norm.training) == (True, False, False)
    assert model.conv.weight.grad is None


def test_goes_on_as_without_a_stop():
    model = network()
    whole = ModelEMA(model)
    for number in range(6):
        shake(model, number)
        whole.update(model)
        if number == 3:
            state = whole.state_dict()
            averages = {name: value.clone() for name, value in whole.averages.items()}
    resumed = ModelEMA(network())
    resumed.set_state_dict(state, averages)
    for number in (4, 5):
        shake(model, number)
        resumed.update(model)
    assert arrays(resumed.model) == arrays(whole.model)
    assert resumed.state_dict() == whole.state_dict()
