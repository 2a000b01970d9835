"""The ways for a CPU against Paddle's layers: results, gradients, and who gets one."""

import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from ppdet_db.modeling import cpu
from ppdet_db.modeling.layers import LearnableAffine, upsample_nearest

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def tensor(*shape: int) -> paddle.Tensor:
    x = paddle.randn(shape)
    x.stop_gradient = False
    return x


def assert_same(ours, plain, inputs: list[paddle.Tensor]) -> None:
    """Outputs, and the gradients of a sum in which every output pixel has a weight of its own."""
    assert ours.shape == plain.shape
    assert paddle.allclose(ours, plain, **CLOSE)
    weights = paddle.randn(plain.shape)
    for mine, theirs in zip(gradients(ours, inputs, weights), gradients(plain, inputs, weights), strict=True):
        assert paddle.allclose(mine, theirs, **CLOSE), (mine - theirs).abs().max()


def gradients(output, inputs: list[paddle.Tensor], weights) -> list[paddle.Tensor]:
    """As training gets them; `paddle.grad` prunes the graph first."""
    for x in inputs:
        x.clear_gradient()
    output.backward(weights)
    return [x.grad.clone() for x in inputs]


def test_channel_affine():
    x, scale, shift = tensor(2, 3, 5, 4), tensor(3), tensor(3)
    plain = x * scale.reshape([3, 1, 1]) + shift.reshape([3, 1, 1])
    assert_same(cpu.channel_affine(x, scale, shift), plain, [x, scale, shift])


@pytest.mark.parametrize("frozen", [(), ("scale",), ("shift",), ("scale", "shift")])
def test_channel_affine_gives_gradients_to_whoever_is_trained(frozen):
    x, parameters = tensor(2, 3, 5, 4), {"scale": tensor(3), "shift": tensor(3)}
    for name in frozen:
        parameters[name].stop_gradient = True
    cpu.channel_affine(x, **parameters).sum().backward()
    for name, parameter in parameters.items():
        assert (parameter.grad is None) == (name in frozen), name
    assert x.grad is not None
    if "shift" not in frozen:
        assert parameters["shift"].grad.tolist() == [2 * 5 * 4] * 3


@pytest.mark.parametrize("scale", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_convolution_of_a_map_that_is_upsampled(scale, size):
    x, weight = tensor(2, 4, 5, 6), tensor(3, 4, size, size)
    plain = F.conv2d(upsample_nearest(x, scale), weight, padding=size // 2)
    assert_same(cpu.conv_upsampled(x, weight, scale), plain, [x, weight])


def test_what_a_pixel_gives_to_its_neighbours():
    """A row kernel (1, 2, 4) over a pixel that is two wide after upsampling: 4 to its left, then 6, 3, and 1."""
    kernel = paddle.to_tensor([[[[0.0, 0, 0], [1, 2, 4], [0, 0, 0]]]])
    row = paddle.to_tensor([[[[0.0, 1, 0]]]])
    assert cpu.conv_upsampled(row, kernel, 2)[0, 0, 0].tolist() == [0, 4, 6, 3, 1, 0]


CONVOLUTIONS = {
    "narrowing": (8, 3, 3, {"padding": 1}, True),
    "narrowing, 9x9": (8, 2, 9, {"padding": 4}, True),
    "narrowing, without bias": (8, 3, 3, {"padding": 1, "bias_attr": False}, True),
    "as wide": (4, 4, 3, {"padding": 1}, False),
    "strided": (8, 3, 3, {"padding": 1, "stride": 2}, False),
    "dilated": (8, 3, 3, {"padding": 2, "dilation": 2}, False),
    "smaller, for want of padding": (8, 3, 3, {}, False),
    "in groups": (8, 4, 3, {"padding": 1, "groups": 2}, False),
    "pointwise": (8, 3, 1, {}, False),
    "not square": (8, 3, (3, 1), {"padding": (1, 0)}, False),
    "even": (8, 3, 2, {"padding": 1}, False),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case, monkeypatch):
    inputs, outputs, size, options, narrows = CONVOLUTIONS[case]
    transposed = []
    conv_upsampled = cpu.conv_upsampled
    monkeypatch.setattr(cpu, "conv_upsampled", lambda *args: transposed.append(1) or conv_upsampled(*args))
    layer = cpu.Conv2D(inputs, outputs, size, **options)
    x = tensor(2, inputs, 12, 10)
    parameters = layer.parameters()
    assert_same(layer(x), nn.Conv2D.forward(layer, x), [x, *parameters])
    assert bool(transposed) == narrows


def test_transposed_convolution():
    layer = cpu.Conv2DTranspose(4, 3, 2, stride=2)
    x = tensor(2, 4, 5, 6)
    assert_same(layer(x), nn.Conv2DTranspose.forward(layer, x), [x, *layer.parameters()])


def test_learnable_affine():
    layer = LearnableAffine()
    layer.scale.set_value(paddle.to_tensor([1.5]))
    layer.bias.set_value(paddle.to_tensor([-0.25]))
    x = tensor(2, 3, 4, 4)
    assert_same(layer(x), 1.5 * x - 0.25, [x])
    layer.clear_gradients()
    x.clear_gradient()
    layer(x).sum().backward()
    assert layer.bias.grad.tolist() == [2 * 3 * 4 * 4]
    assert layer.scale.grad.item() == pytest.approx(x.sum().item(), rel=1e-4)


def test_frozen_bias_and_evaluation():
    layer = cpu.Conv2D(4, 2, 3, padding=1)
    layer.bias.stop_gradient = True
    x = tensor(1, 4, 6, 6)
    x.clear_gradient()
    layer(x).sum().backward()
    assert layer.bias.grad is None
    assert layer.weight.grad is not None
    with paddle.no_grad():
        assert paddle.allclose(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1), **CLOSE)


@pytest.mark.parametrize("dtype", ["float64"])
def test_other_precisions_keep_paddles_kernels(dtype):
    layer = cpu.Conv2D(4, 2, 3, padding=1).to(dtype=dtype)
    x = paddle.randn([1, 4, 6, 6], dtype)
    assert not cpu.is_faster_here(x)
    assert (layer(x) == nn.Conv2D.forward(layer, x)).all()
