"""Parallel convolutions as one against themselves one by one: sums, gradients, running statistics."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.modeling.backbones.pp_lcnet_v3 import LearnableRepConv

BLOCKS = {  # in, out, kernel size, stride, groups
    "depthwise, with the input itself": (6, 6, 3, 1, 6),
    "depthwise, 5 x 5": (6, 6, 5, 1, 6),
    "depthwise, every second pixel": (6, 6, 3, 2, 6),
    "in two groups": (4, 6, 3, 1, 2),
    "of all channels": (4, 6, 3, 2, 1),
}


def block(*arguments: int) -> LearnableRepConv:
    """With batch norms that do something, each another thing."""
    paddle.seed(0)
    block = LearnableRepConv(*arguments)
    for name, weight in block.named_parameters():
        if name.endswith(("identity.weight", "bn.weight", "identity.bias", "bn.bias", "_mean", "_variance")):
            weight.set_value(paddle.rand(weight.shape) + 0.5)
    return block


def step(block: LearnableRepConv, x: paddle.Tensor) -> dict[str, np.ndarray]:
    """All that a training step reads of a block: output, gradients, and what became of the statistics."""
    x = x.detach()
    x.stop_gradient = False
    y = block(x)
    y.backward(paddle.cos(paddle.arange(y.size, dtype=x.dtype)).reshape(y.shape))
    found = {"output": y, "gradient of x": x.grad}
    for name, weight in block.named_parameters():
        found[name] = weight if name.endswith(("_mean", "_variance")) else weight.grad
    return {name: value.numpy().copy() for name, value in found.items() if value is not None}


@pytest.mark.parametrize("arguments", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_step(arguments, mean):
    """Against the same block in float64, whose convolutions stay one by one."""
    x = paddle.randn([3, arguments[0], 8, 10]) + mean
    exact = block(*arguments)
    exact.to(dtype="float64")
    found, expected = step(block(*arguments), x), step(exact, x.astype("float64"))
    assert list(found) == list(expected)
    assert len(found) > 20
    for name, value in expected.items():
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-4 * scale, err_msg=name)


@pytest.mark.parametrize("arguments", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("held", ["evaluation", "all statistics", "those of one branch"])
def test_running_statistics_where_they_are_asked_for(arguments, held):
    network, x = block(*arguments), paddle.randn([2, arguments[0], 8, 8])
    if held == "evaluation":
        network.eval()
    norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    before = [norm._mean.numpy() for norm in norms]
    count = {"evaluation": 0, "all statistics": len(norms), "those of one branch": 1}[held]
    for norm in norms[:count]:
        norm._use_global_stats = True
    found = network(x)
    stayed = [np.array_equal(norm._mean, mean) for norm, mean in zip(norms, before, strict=True)]
    assert stayed == [held == "evaluation" or i < count for i in range(len(norms))]
    expected = block(*arguments)
    expected.set_state_dict(network.state_dict())
    expected.eval()
    assert np.array_equal(found, expected(x)) == (held != "those of one branch")


@pytest.mark.parametrize("arguments", BLOCKS.values(), ids=BLOCKS)
def test_frozen_weights_get_no_gradient(arguments):
    network, x = block(*arguments), paddle.randn([2, arguments[0], 8, 8])
    for name, weight in network.named_parameters():
        weight.stop_gradient = weight.stop_gradient or not name.startswith("conv_kxk.1")
    found = step(network, x)
    gradients = [name for name in found if not name.endswith(("_mean", "_variance"))]
    assert gradients == [
        "output", "gradient of x", *(f"conv_kxk.1.{name}" for name in ("conv.weight", "bn.weight", "bn.bias"))
    ]  # fmt: skip
