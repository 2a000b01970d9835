"""Fusing: values of the pieces, then every registered network that has blocks to fuse."""

import importlib
import pkgutil
import sys

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from ppdet_db.modeling import backbones, necks, reparam
from ppdet_db.modeling.backbones.mobilenet_v3 import MobileNetV3
from ppdet_db.modeling.cpu import Conv2D
from ppdet_db.modeling.heads.db_head import DBHead
from ppdet_db.modeling.layers import ConvBNLayer
from ppdet_db.modeling.model import DetModel
from ppdet_db.modeling.necks.db_fpn import DBFPN
from ppdet_db.registry import BACKBONES, NECKS, Spec

for package in (backbones, necks):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)


def randomize(layer: nn.Layer) -> None:
    """Weights and running statistics of a trained layer: none at its start, variances away from 1."""
    for name, value in layer.state_dict().items():
        noise = paddle.randn(value.shape)
        value.set_value(noise.abs() + 0.5 if name.endswith("_variance") else noise)


def pretend_training(network: nn.Layer) -> None:
    """Weights of batch norms and scales that are neither 0 nor 1, and running statistics that belong to them."""
    paddle.seed(0)
    with paddle.no_grad():
        for name, p in network.named_parameters():
            if p.trainable and p.ndim == 1:  # running statistics are not
                p.set_value(0.1 * paddle.randn(p.shape) + (0.0 if name.endswith("bias") else 1.0))
        norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D)]
        for norm in norms:
            norm._momentum = 0.3  # so that few pictures are enough
        network.train()
        for i in range(5):
            network((1 + 0.1 * i) * paddle.rand([2, 3, 64, 96]) - 0.5)


@pytest.mark.parametrize(("bias", "expected"), [(None, [5 - 2 * 1, 7 - 4]), ([10.0, 20.0], [5 + 2 * 9, 7 + 16])])
def test_batch_norm_is_folded_into_kernel_and_bias(bias, expected):
    norm = nn.BatchNorm2D(2, epsilon=1.0)
    values = {"weight": [4, 3], "bias": [5, 7], "_mean": [1, 4], "_variance": [3, 8]}  # scales 4 / 2 and 3 / 3
    norm.set_state_dict({key: np.array(value, np.float32) for key, value in values.items()})
    kernel = np.arange(2 * 3, dtype=np.float32).reshape(2, 3, 1, 1)
    folded, shift = reparam.fold(paddle.to_tensor(kernel), norm, None if bias is None else paddle.to_tensor(bias))
    np.testing.assert_allclose(folded.numpy(), [kernel[0] * 2, kernel[1]], rtol=1e-6)
    np.testing.assert_allclose(shift.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("groups", [1, 2, 6], ids=["full", "two groups", "depthwise"])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_identity_kernel_hands_its_input_on(groups, size):
    kernel = reparam.pad_kernel(reparam.identity_kernel(6, groups), size)
    x = paddle.rand([2, 6, 5, 7])
    assert kernel.shape == [6, 6 // groups, size, size]
    assert np.array_equal(F.conv2d(x, kernel, padding=size // 2, groups=groups).numpy(), x.numpy())


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 5), (3, 5), (2, 4)])
def test_padding_keeps_the_kernel_in_the_middle(before, after):
    kernel = paddle.rand([2, 3, before, before])
    padded = reparam.pad_kernel(kernel, after).numpy()
    margin = (after - before) // 2
    assert padded.shape == (2, 3, after, after)
    assert np.array_equal(padded[..., margin : margin + before, margin : margin + before], kernel.numpy())
    assert padded.sum() == pytest.approx(kernel.sum().item())


def test_dilated_kernel_has_zeros_between_its_values():
    kernel = paddle.arange(1, 10, dtype="float32").reshape([1, 1, 3, 3])
    rows = [[1, 0, 2, 0, 3], [0] * 5, [4, 0, 5, 0, 6], [0] * 5, [7, 0, 8, 0, 9]]
    assert reparam.dilate_kernel(kernel, 2)[0, 0].tolist() == rows
    assert reparam.dilate_kernel(kernel, 4).shape == [1, 1, 9, 9]
    assert (reparam.dilate_kernel(kernel, 1) == kernel).all()


@pytest.mark.parametrize(("size", "stride", "groups"), [(1, 1, 1), (3, 2, 2), (5, 1, 4)])
def test_plain_convolution_has_the_kernel_and_bias_given(size, stride, groups):
    kernel, bias = paddle.rand([8, 4 // groups, size, size]), paddle.rand([8])
    x = paddle.rand([1, 4, 6, 8])
    conv = reparam.plain_conv(kernel, bias, stride, groups)
    expected = F.conv2d(x, kernel, bias, stride, size // 2, groups=groups)
    assert np.array_equal(conv(x).numpy(), expected.numpy())
    assert conv(x).shape == [1, 8, 6 // stride, 8 // stride]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_depthwise_block_of_three_branches(kernel_size, bias):
    """bn(bn(k x k) + 1 x 1 + x), each written out."""
    paddle.seed(0)
    branch = ConvBNLayer(4, 4, kernel_size, groups=4)
    block = reparam.RepDWConv(4, branch, bias)
    randomize(block)
    block.eval()
    x = paddle.randn([2, 4, 6, 8])
    with paddle.no_grad():
        fused = block.fused()
    expected = block.bn(branch.bn(branch.conv(x)) + block.conv1(x) + x)
    assert (block.conv1.bias is not None) == bias
    assert np.array_equal(block(x).numpy(), expected.numpy())
    np.testing.assert_allclose(fused(x).numpy(), expected.numpy(), atol=1e-5)
    assert sorted(fused.state_dict()) == ["bias", "weight"]


@pytest.mark.parametrize("kernel_size", [5, 7, 9, 11, 13])
def test_large_kernel_takes_the_dilated_ones_up(kernel_size):
    paddle.seed(0)
    block = reparam.DilatedReparamBlock(3, kernel_size)
    randomize(block)
    block.eval()
    with paddle.no_grad():
        fused = block.fused()
    x = paddle.randn([2, 3, 20, 14])
    expected = block(x).numpy()
    assert fused.weight.shape == [3, 1, kernel_size, kernel_size]
    assert [type(layer) for layer in fused.sublayers(include_self=True)] == [Conv2D]
    np.testing.assert_allclose(fused(x).numpy(), expected, atol=1e-5 * np.abs(expected).max())


def test_dilated_branches_look_far_and_are_added():
    """Of 5x5: the branch (3, 2) hands on the pixel 2 up and 2 left, (3, 1) that 1 down, the large one that 2 right."""
    block = reparam.DilatedReparamBlock(1, 5)
    block.eval()
    with paddle.no_grad():
        for name, at in {"dil_conv_k3_2": (0, 0), "dil_conv_k3_1": (2, 1), "lk_origin": (2, 4)}.items():
            weight = getattr(block, name).weight
            weight.zero_()
            weight[0, 0, at[0], at[1]] = 1.0
    x = np.random.default_rng(0).random((7, 9), np.float32)
    padded = np.pad(x, 2)
    expected = padded[:7, :9] + padded[3:10, 2:11] + padded[2:9, 4:]
    y = block(paddle.to_tensor(x[None, None])).numpy()[0, 0]
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-6)


SMALL = {  # the defaults of the others are small enough
    "PPLCNetV3": {"scale": 0.35},
    "PPLCNetV4": {"model_size": "tiny"},
}


def with_blocks_to_fuse(registry) -> list[str]:
    """Names of the components whose module has a layer with `fused`."""
    modules = {name: sys.modules[registry.get(name).__module__] for name in registry.names()}
    return [n for n, m in modules.items() if any(hasattr(value, "fused") for value in vars(m).values())]


def model_with(name: str) -> DetModel:
    if name in BACKBONES:
        parts = Spec(BACKBONES.get(name), SMALL.get(name, {})), Spec(DBFPN, {"out_channels": 16})
    else:
        parts = Spec(MobileNetV3, {"model_name": "small", "scale": 0.35}), Spec(NECKS.get(name), {"out_channels": 16})
    model = DetModel(*parts, Spec(DBHead))
    pretend_training(model)
    return model


def state_of(model: nn.Layer) -> dict[str, np.ndarray]:
    return {key: tensor.numpy().copy() for key, tensor in model.state_dict().items()}


def blocks_of(model: nn.Layer) -> list[nn.Layer]:
    return [layer for layer in model.sublayers() if hasattr(layer, "fused")]


NETWORKS = [*with_blocks_to_fuse(BACKBONES), *with_blocks_to_fuse(NECKS)]


def test_networks_known_to_have_blocks_to_fuse_are_found():
    assert {"PPLCNetV3", "PPLCNetV4", "RepSVTR_det"} <= set(NETWORKS)


@pytest.fixture(params=[("float32", 1e-4), ("float64", 1e-8)], ids=["float32", "float64"])
def tolerance(request):
    """The second shows that what is left in the first is rounding."""
    dtype, tolerance = request.param
    paddle.set_default_dtype(dtype)
    yield tolerance
    paddle.set_default_dtype("float32")


@pytest.mark.parametrize("name", NETWORKS)
def test_fused_network_gives_the_same(name, tolerance):
    model = model_with(name)
    fused = model.fuse()
    model.eval()
    x = paddle.rand([2, 3, 64, 96]) - 0.5
    levels = []
    for network in (model, fused):
        features = network.backbone(x)
        levels.append([*features, network.neck(features)["fused"]])
    for one, other in zip(*levels, strict=True):
        assert one.std().item() > 1e-2
        atol = tolerance * max(1, one.abs().max().item())
        np.testing.assert_allclose(other.numpy(), one.numpy(), atol=atol, rtol=0)
    np.testing.assert_allclose(fused(x)["maps"].numpy(), model(x)["maps"].numpy(), atol=1e-4, rtol=0)
    assert blocks_of(model)
    assert not blocks_of(fused)
    assert len(fused.parameters()) < len(model.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_fusing_leaves_the_original_and_the_random_state_as_they_were(name):
    model = model_with(name)
    x = paddle.rand([2, 3, 64, 64])
    trained = model(x)["maps"].numpy()
    before = state_of(model)
    paddle.seed(7)
    drawn = paddle.rand([4]).numpy()
    paddle.seed(7)

    fused = model.fuse()

    assert np.array_equal(paddle.rand([4]).numpy(), drawn)
    assert model.training
    assert not fused.training
    after = state_of(model)
    assert list(after) == list(before)
    assert all(np.array_equal(after[key], before[key]) for key in before)
    for p in fused.parameters():
        p.set_value(paddle.zeros(p.shape))
    assert np.array_equal(model(x)["maps"].numpy(), trained), "the copy shares weights with the original"


@pytest.mark.parametrize("name", NETWORKS)
def test_fused_network_can_be_trained(name):
    fused = model_with(name).fuse()
    fused.train()
    fused(paddle.rand([2, 3, 64, 64]))["maps"].square().mean().backward()
    assert [n for n, p in fused.named_parameters() if p.trainable and p.grad is None] == []


def test_network_without_such_blocks_is_copied():
    model = DetModel(Spec(MobileNetV3, {"scale": 0.35}), Spec(DBFPN, {"out_channels": 16}), Spec(DBHead))
    pretend_training(model)
    model.eval()
    copied = model.fuse()
    x = paddle.rand([1, 3, 64, 64])
    assert list(copied.state_dict()) == list(model.state_dict())
    assert np.array_equal(copied(x)["maps"].numpy(), model(x)["maps"].numpy())
    assert not {p.name for p in copied.parameters()} & {p.name for p in model.parameters()}


def test_a_network_of_another_precision_fuses_too():
    """Paddle makes new layers in its default precision."""
    block = reparam.RepDWConv(4, ConvBNLayer(4, 4, 3, groups=4), bias=False)
    block.to(dtype="float64")
    block.eval()
    x = paddle.rand([1, 4, 6, 6], dtype="float64")
    np.testing.assert_allclose(block.fused()(x).numpy(), block(x).numpy(), rtol=1e-12, atol=1e-12)
