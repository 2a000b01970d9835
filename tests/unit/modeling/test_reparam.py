import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.modeling.reparam import DilatedReparamBlock, dilate_kernel


def randomize(layer: nn.Layer) -> None:
    """Weights and running statistics of a trained layer: none at its start, variances away from 1."""
    for name, value in layer.state_dict().items():
        noise = paddle.randn(value.shape)
        value.set_value(noise.abs() + 0.5 if name.endswith("_variance") else noise)


def test_dilated_kernel_has_zeros_between_its_values():
    kernel = paddle.arange(1, 10, dtype="float32").reshape([1, 1, 3, 3])
    rows = [[1, 0, 2, 0, 3], [0] * 5, [4, 0, 5, 0, 6], [0] * 5, [7, 0, 8, 0, 9]]
    assert dilate_kernel(kernel, 2)[0, 0].tolist() == rows
    assert dilate_kernel(kernel, 4).shape == [1, 1, 9, 9]
    assert (dilate_kernel(kernel, 1) == kernel).all()


@pytest.mark.parametrize("kernel_size", [5, 7, 9, 11, 13])
def test_large_kernel_takes_the_dilated_ones_up(kernel_size):
    paddle.seed(0)
    block = DilatedReparamBlock(3, kernel_size)
    randomize(block)
    block.eval()
    with paddle.no_grad():
        fused = block.fused()
    x = paddle.randn([2, 3, 20, 14])
    expected = block(x).numpy()
    assert fused.weight.shape == [3, 1, kernel_size, kernel_size]
    assert [type(layer) for layer in fused.sublayers(include_self=True)] == [nn.Conv2D]
    np.testing.assert_allclose(fused(x).numpy(), expected, atol=1e-5 * np.abs(expected).max())


def test_dilated_branches_look_far_and_are_added():
    """Of 5x5: the branch (3, 2) hands on the pixel 2 up and 2 left, (3, 1) that 1 down, the large one that 2 right."""
    block = DilatedReparamBlock(1, 5)
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
