import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ppdet_db.modeling.necks.pyramid import add_top_down, at_finest_size, conv, conv_at_finest_size, quarter


def test_each_level_gains_all_coarser_ones_pixel_under_pixel():
    coarsest = paddle.to_tensor([[[[1.0, 2.0]]]])
    middle, finest = paddle.full([1, 1, 2, 4], 10.0), paddle.full([1, 1, 4, 8], 100.0)
    sums = [level.numpy()[0, 0] for level in add_top_down([finest, middle, coarsest])]
    row = np.array([1.0, 1, 2, 2])
    assert np.array_equal(sums[2], [[1, 2]])
    assert np.array_equal(sums[1], [10 + row] * 2)
    assert np.array_equal(sums[0], [110 + row.repeat(2)] * 4)


def test_levels_come_coarsest_first_at_the_size_of_the_finest():
    levels = [paddle.full([1, 2, 8 // 2**i, 16 // 2**i], float(i)) for i in range(4)]
    enlarged = at_finest_size(levels)
    assert [level.shape for level in enlarged] == [[1, 2, 8, 16]] * 4
    assert [level.mean().item() for level in enlarged] == [3, 2, 1, 0]


@pytest.mark.parametrize("size", [1, 3, 5])
def test_convolution_of_the_levels_is_that_of_their_concatenation(size):
    paddle.seed(0)
    levels = [paddle.randn([2, 3, 16 // 2**i, 24 // 2**i]) for i in range(4)]
    weight = paddle.randn([5, 12, size, size])
    for x in (*levels, weight):
        x.stop_gradient = False
    ways = {
        "at once": conv_at_finest_size(levels, weight),
        "one after the other": F.conv2d(paddle.concat(at_finest_size(levels), axis=1), weight, padding=size // 2),
    }
    pixels = paddle.randn([2, 5, 16, 24])  # so that each output pixel has a weight of its own in the gradients
    found = []
    for output in ways.values():
        found.append([output, *paddle.grad(output, [*levels, weight], pixels)])
    for ours, plain in zip(*found, strict=True):
        assert ours.shape == plain.shape
        np.testing.assert_allclose(ours.numpy(), plain.numpy(), atol=1e-5 * plain.abs().max().item())


def test_convolutions_start_uniform_within_the_fan_in_and_keep_the_size():
    paddle.seed(0)
    layer = conv(8, 64, 3)
    bound = (6 / (8 * 9)) ** 0.5
    weights = layer.weight.numpy()
    assert layer.bias is None
    assert 0.98 * bound < np.abs(weights).max() <= bound
    assert layer(paddle.rand([1, 8, 5, 7])).shape == [1, 64, 5, 7]


@pytest.mark.parametrize("out_channels", [0, 2, 30, -4])
def test_four_levels_share_the_channels(out_channels):
    assert quarter(32) == 8
    with pytest.raises(
        ValueError, match=f"^out_channels must be a multiple of 4 .four levels share them., got {out_channels}"
    ):
        quarter(out_channels)
