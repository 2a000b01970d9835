import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ppdet_db.modeling.layers import ConvBNLayer, SEModule, StemBlock, round_channels, upsample_nearest


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_upsampling_repeats_pixels_and_sums_their_gradients(scale):
    x = paddle.arange(2 * 3 * 2 * 3, dtype="float32").reshape([2, 3, 2, 3])
    x.stop_gradient = False
    y = upsample_nearest(x, scale)
    assert np.array_equal(y.numpy(), x.numpy().repeat(scale, 2).repeat(scale, 3))
    upstream = np.random.default_rng(0).standard_normal(y.shape).astype(np.float32)
    (y * paddle.to_tensor(upstream)).sum().backward()
    sums = upstream.reshape(2, 3, 2, scale, 3, scale).sum((3, 5))
    np.testing.assert_allclose(x.grad.numpy(), sums, atol=1e-5)


@pytest.mark.parametrize(
    ("bias", "weight"), [(0.0, 0.5), (1.0, 0.7), (-1.0, 0.3), (3.0, 1.0)], ids=["middle", "slope", "below", "saturated"]
)
def test_squeeze_and_excitation_weighs_with_slope_a_fifth(bias, weight):
    """Published weights were trained with 0.2 x + 0.5; with Paddle's own 1/6 a bias of 1 would give 0.667."""
    se = SEModule(4, reduction=2)
    se.conv2.weight.set_value(paddle.zeros([4, 2, 1, 1]))
    se.conv2.bias.set_value(paddle.full([4], bias))
    x = paddle.rand([2, 4, 3, 5])
    np.testing.assert_allclose(se(x).numpy(), x.numpy() * weight, rtol=1e-6)


def test_squeeze_looks_at_the_mean_of_each_channel():
    se = SEModule(2, reduction=1)
    se.conv1.weight.set_value(
        paddle.to_tensor([[[[0.0]], [[1.0]]], [[[0.0]], [[0.0]]]])
    )  # hidden 0 = mean of channel 1
    se.conv2.weight.set_value(paddle.to_tensor([[[[1.0]], [[0.0]]], [[[0.0]], [[0.0]]]]))  # it weighs channel 0
    x = np.zeros((1, 2, 2, 2), np.float32)
    x[0, 0], x[0, 1] = 1, [[0, 0], [0, 4]]  # mean of channel 1 is 1: 0.2 + 0.5
    y = se(paddle.to_tensor(x)).numpy()
    np.testing.assert_allclose(y[0, 0], 0.7, rtol=1e-6)
    np.testing.assert_allclose(y[0, 1], x[0, 1] / 2, rtol=1e-6)


def test_conv_bn_layer_is_linear_without_an_activation():
    paddle.seed(0)
    layer = ConvBNLayer(2, 3, 3, stride=2)
    relu = ConvBNLayer(2, 3, 3, stride=2, act=F.relu)
    relu.set_state_dict(layer.state_dict())
    layer.eval()
    relu.eval()
    x = paddle.randn([1, 2, 8, 8])
    y = layer(x).numpy()
    assert y.shape == (1, 3, 4, 4)
    assert y.min() < 0
    assert np.array_equal(relu(x).numpy(), y.clip(0))


@pytest.mark.parametrize(("channel", "reduce"), [(0, np.max), (2, np.sum)], ids=["maximum", "convolutions"])
def test_stem_looks_at_a_pixel_and_those_right_of_it_and_below(channel, reduce):
    """Of the picture at stride 2: channels 0, 1 of stem3 are the maximum; 2, 3 a convolution of ones, then a copy."""
    stem = StemBlock(1, 2, 1)
    stem.eval()
    with paddle.no_grad():
        for layer in stem.children():
            layer.conv.weight.zero_()
        stem.stem1.conv.weight[:, 0, 1, 1] = 1.0
        stem.stem2a.conv.weight[:, 0] = 1.0
        stem.stem2b.conv.weight[:, 0, 0, 0] = 1.0
        stem.stem3.conv.weight[0, channel, 1, 1] = 1.0
        stem.stem4.conv.weight[0, 0] = 1.0
    x = np.random.default_rng(0).random((1, 1, 8, 12), np.float32)
    expected = reduce(x[0, 0, ::2, ::2].reshape(2, 2, 3, 2), axis=(1, 3))
    np.testing.assert_allclose(stem(paddle.to_tensor(x)).numpy()[0, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("channels", "multiple", "rounded", "reason"),
    [
        (5.6, 8, 8, "never under 8"),
        (11.9, 8, 16, "8 is nearest, but under 90 %: one more"),
        (20, 8, 24, "ties go up"),
        (28, 8, 32, "ties go up, further on too"),
        (50, 8, 48, "down, as 48 is over 90 % of 50"),
        (120, 8, 120, "a multiple stays"),
        (5.6, 16, 16, "never under 16"),
        (120, 16, 128, "ties go up"),
    ],
)
def test_channels_are_rounded_to_multiples(channels, multiple, rounded, reason):
    assert round_channels(channels, multiple) == rounded, reason
