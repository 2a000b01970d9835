import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.modeling.necks.lk_pan import LKPAN, DSConv


def pass_on(conv: nn.Conv2D) -> None:
    """Output channel 0 is input channel 0, under the middle of the kernel."""
    kernel = np.zeros(conv.weight.shape, np.float32)
    kernel[0, 0, kernel.shape[2] // 2, kernel.shape[3] // 2] = 1
    conv.weight.set_value(kernel)


def neck_that_passes_on() -> LKPAN:
    neck = LKPAN([1, 1, 1, 1], out_channels=4)
    for layer in neck.sublayers():
        if isinstance(layer, nn.Conv2D):
            pass_on(layer)
    return neck


def test_levels_are_added_top_down_then_bottom_up():
    """Features 1, 10, 100, 1000 (strides 4 to 32); top down each gains the coarser ones: 1111, 1110, 1100, 1000; bottom
    up each gains the finer ones: 1111, 2221, 3321, 4321."""
    features = [paddle.full([1, 1, 16 // 2**i, 24 // 2**i], 10.0**i) for i in range(4)]
    fused = neck_that_passes_on()(features)["fused"].numpy()
    assert fused.shape == (1, 4, 16, 24)
    for channel, value in enumerate([4321, 3321, 2221, 1111]):
        assert (fused[0, channel] == value).all()


@pytest.mark.parametrize("step", ["inp_conv", "pan_lat_conv"])
def test_kernels_are_9x9(step):
    neck = neck_that_passes_on()
    conv = getattr(neck, step)[0]
    kernel = np.zeros(conv.weight.shape, np.float32)
    kernel[0, 0] = 1
    conv.weight.set_value(kernel)
    features = [paddle.zeros([1, 1, 16 // 2**i, 24 // 2**i]) for i in range(4)]
    features[0][0, 0, 2, 5] = 1
    finest = neck(features)["fused"].numpy()[0, 3]
    expected = np.zeros((16, 24), np.float32)
    expected[0:7, 1:10] = 1  # rows -2 to 6 around row 2
    assert np.array_equal(finest, expected)


def test_way_up_reads_every_second_pixel():
    """The 3x3 kernel of stride 2 with only its middle: pixel (i, j) of stride 8 is pixel (2 i, 2 j) of stride 4."""
    neck = neck_that_passes_on()
    features = [paddle.zeros([1, 1, 16 // 2**i, 24 // 2**i]) for i in range(4)]
    features[0][0, 0] = paddle.arange(16 * 24, dtype="float32").reshape([16, 24])
    stride8 = neck(features)["fused"].numpy()[0, 2, ::2, ::2]
    assert np.array_equal(stride8, features[0][0, 0].numpy()[::2, ::2])


def test_lite_convolution_widens_fourfold_and_has_a_shortcut_only_where_the_width_changes():
    conv = DSConv(4, 2)
    assert conv.conv1.weight.shape == [4, 1, 9, 9]
    assert conv.conv2.weight.shape == [16, 4, 1, 1]
    assert conv.conv3.weight.shape == [2, 16, 1, 1]
    conv.conv3.weight.set_value(paddle.zeros([2, 16, 1, 1]))
    conv.conv_end.weight.set_value(paddle.ones([2, 4, 1, 1]))
    x = paddle.rand([1, 4, 3, 5])
    np.testing.assert_allclose(conv(x).numpy(), x.sum(axis=1, keepdim=True).expand([1, 2, 3, 5]).numpy(), rtol=1e-6)

    conv = DSConv(4, 4)
    conv.conv3.weight.set_value(paddle.zeros([4, 16, 1, 1]))
    assert (conv(x) == 0).all()


def test_lite_convolution_cuts_negative_values_where_it_is_wide_alone():
    conv = DSConv(1, 1)
    conv.bn1, conv.bn2 = nn.Identity(), nn.Identity()
    pass_on(conv.conv1)
    conv.conv2.weight.set_value(np.array([1, -1, 0, 0], np.float32).reshape(4, 1, 1, 1))
    conv.conv3.weight.set_value(np.array([1, 10, 0, 0], np.float32).reshape(1, 4, 1, 1))
    x = paddle.to_tensor([[[[2.0, -3.0]]]])
    assert np.array_equal(conv(x).numpy(), [[[[2, 30]]]])


def test_intracl_follows_each_level():
    neck = LKPAN([1, 1, 1, 1], out_channels=8, intracl=True)
    for conv in neck.pan_lat_conv:
        conv.weight.set_value(paddle.zeros(conv.weight.shape))
    for i, name in enumerate(("incl4", "incl3", "incl2", "incl1")):
        bn = getattr(neck, name).bn
        bn.weight.set_value(paddle.zeros([2]))
        bn.bias.set_value(paddle.full([2], 10.0**i))
    fused = neck([paddle.rand([1, 1, 64 // 2**i, 64 // 2**i]) for i in range(4)])["fused"].numpy()
    assert (fused == np.repeat([1, 10, 100, 1000], 2).reshape(1, 8, 1, 1)).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"out_channels": 30}, "out_channels must be a multiple of 4 (four levels share them), got 30"),
        ({"out_channels": 4, "intracl": True}, "out_channels must be at least 8 with intracl, got 4"),
    ],
)
def test_width_that_the_levels_cannot_share_is_refused(kwargs, message):
    with pytest.raises(ValueError, match="out_channels") as caught:
        LKPAN([8, 8, 8, 8], **kwargs)
    assert str(caught.value) == message
