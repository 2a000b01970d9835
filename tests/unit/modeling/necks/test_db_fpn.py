import numpy as np
import paddle
import pytest

from ppdet_db.modeling.necks.db_fpn import DBFPN, ASFBlock


def fill(parameter: paddle.Tensor, value: float) -> None:
    parameter.set_value(paddle.full(parameter.shape, value))


def test_levels_are_added_top_down_and_concatenated_coarsest_first():
    """1x1 convolutions of ones over features 1000, 100, 10, 1 (strides 32 to 4): each level is a running sum."""
    neck = DBFPN([1, 1, 1, 1], out_channels=4)
    for name, parameter in neck.named_parameters():
        fill(parameter, 0.0)
        if name.startswith("in"):
            fill(parameter, 1.0)
        else:  # the middle of the 3x3 kernel, first channel: the level as it is
            weight = parameter.numpy()
            weight[:, 0, 1, 1] = 1
            parameter.set_value(weight)
    features = [paddle.full([1, 1, 16 // 2**i, 24 // 2**i], 10.0**i) for i in range(4)]
    fused = neck(features)["fused"].numpy()
    assert fused.shape == (1, 4, 16, 24)
    for channel, value in enumerate([1000, 1100, 1110, 1111]):
        assert (fused[0, channel] == value).all()


def test_upsampled_pixels_stay_where_they_were():
    """A dot in the coarsest feature covers its own 8x8 pixels at stride 4, and no others."""
    neck = DBFPN([1, 1, 1, 1], out_channels=4)
    neck.p5_conv.weight.set_value(paddle.zeros([1, 4, 3, 3]))
    weight = neck.p5_conv.weight.numpy()
    weight[0, 0, 1, 1] = 1
    neck.p5_conv.weight.set_value(weight)
    fill(neck.in5_conv.weight, 1.0)
    c5 = np.zeros((1, 1, 2, 3), np.float32)
    c5[0, 0, 1, 2] = 7
    features = [paddle.zeros([1, 1, 16, 24]), paddle.zeros([1, 1, 8, 12]), paddle.zeros([1, 1, 4, 6])]
    p5 = neck([*features, paddle.to_tensor(c5)])["fused"].numpy()[0, 0]
    expected = np.zeros((16, 24), np.float32)
    expected[8:, 16:] = 7
    assert np.array_equal(p5, expected)


def test_scale_fusion_weighs_each_level_with_its_own_score():
    """Hidden layer 1 and 2, mean 1.5; spatial attention sigmoid(relu(1.5) * 2) = s; scores sigmoid of s + 1, s + 2,
    2 s + 3 and 0."""
    asf = ASFBlock(4, 2)
    fill(asf.conv.weight, 0.0)
    asf.conv.bias.set_value(np.array([1, 2], np.float32))
    middle = np.zeros((1, 1, 3, 3), np.float32)
    middle[0, 0, 1, 1] = 1
    asf.spatial_scale[0].weight.set_value(middle)
    fill(asf.spatial_scale[2].weight, 2.0)
    asf.channel_scale[0].weight.set_value(np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.float32).reshape(4, 2, 1, 1))
    levels = [paddle.full([1, 1, 2, 3], value) for value in (1.0, 10.0, 100.0, 1000.0)]
    y = asf(paddle.concat(levels, axis=1), levels).numpy()

    def sigmoid(v: float) -> float:
        return 1 / (1 + np.exp(-v))

    s = sigmoid(3)
    for channel, (score, value) in enumerate([(s + 1, 1), (s + 2, 10), (2 * s + 3, 100), (0, 1000)]):
        np.testing.assert_allclose(y[0, channel], sigmoid(score) * value, rtol=1e-6)


def test_scale_fusion_changes_values_and_keeps_the_shape():
    paddle.seed(0)
    plain, fusing = DBFPN([8, 8, 8, 8], 16), DBFPN([8, 8, 8, 8], 16, use_asf=True)
    fusing.set_state_dict({**fusing.state_dict(), **plain.state_dict()})
    features = [paddle.rand([1, 8, 16 // 2**i, 16 // 2**i]) for i in range(4)]
    before, after = plain(features)["fused"].numpy(), fusing(features)["fused"].numpy()
    assert before.shape == after.shape == (1, 16, 16, 16)
    ratio = after / before
    assert ratio.min() > 0
    assert ratio.max() < 1


def test_convolutions_start_uniform():
    paddle.seed(0)
    neck = DBFPN([64, 128, 256, 512], use_asf=True)
    for layer, fan_in in ((neck.in5_conv, 512), (neck.p2_conv, 256 * 9)):
        weight, bound = layer.weight.numpy(), (6 / fan_in) ** 0.5
        assert 0.99 * bound < np.abs(weight).max() <= bound
        assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.01)
    # the first convolution of the fusion is the one left at Paddle's default
    weight = neck.asf.conv.weight.numpy()
    assert weight.std() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    assert np.abs(weight).max() > 3.5 * weight.std()


@pytest.mark.parametrize("out_channels", [0, 2, 30])
def test_width_that_four_levels_cannot_share_is_refused(out_channels):
    with pytest.raises(ValueError, match="out_channels") as caught:
        DBFPN([8, 8, 8, 8], out_channels)
    assert str(caught.value) == f"out_channels must be a multiple of 4 (four levels share them), got {out_channels}"
