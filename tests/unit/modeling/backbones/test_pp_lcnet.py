import numpy as np
import paddle
import pytest

from ppdet_db.modeling.backbones.pp_lcnet import PPLCNet


@pytest.mark.parametrize(
    ("scale", "channels", "reason"),
    [
        (1.0, [64, 128, 256, 512], "the paper's table"),
        (0.25, [16, 32, 64, 128], "all multiples of 8"),
        (0.35, [24, 48, 88, 176], "22.4, 44.8, 89.6 and 179.2, rounded; PaddleOCR's list says 22, 44, 89, 179"),
        (2.5, [160, 320, 640, 1280], "the widest"),
    ],
)
def test_channels_follow_the_scale(scale, channels, reason):
    assert PPLCNet(scale=scale).out_channels == channels, reason


def test_only_the_last_stage_has_squeeze_and_excitation_of_slope_a_sixth():
    net = PPLCNet(scale=0.25)
    blocks = {name.rsplit(".", 3)[0] for name in net.state_dict() if ".se." in name}
    assert blocks == {"blocks6.0", "blocks6.1"}
    assert net.blocks6[0].se.slope == 0.1666667  # 1 / 6 as Paddle writes it


def test_depthwise_convolutions_start_by_their_own_fan_in_and_batch_norms_are_not_decayed():
    paddle.seed(0)
    net = PPLCNet()
    block = net.blocks6[1]
    assert block.dw_conv.conv.weight.shape == [512, 1, 5, 5]
    assert block.dw_conv.conv.weight.numpy().std() == pytest.approx((2 / 25) ** 0.5, rel=0.02)
    assert block.pw_conv.conv.weight.numpy().std() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert np.array_equal(block.se.conv1.bias.numpy(), np.zeros(128, np.float32))
    for norm in (block.dw_conv.bn, block.pw_conv.bn, net.conv1.bn):
        assert norm.weight.regularizer._coeff == 0
        assert norm.bias.regularizer._coeff == 0


def test_a_scale_of_nothing_is_refused():
    with pytest.raises(ValueError, match="scale must be") as caught:
        PPLCNet(scale=0.0)
    assert str(caught.value) == "scale must be above 0, got 0.0"
