import numpy as np
import paddle
import pytest

from ppdet_db.modeling.backbones.mobilenet_v3 import MobileNetV3


@pytest.mark.parametrize(
    ("kwargs", "channels"),
    [
        ({"model_name": "large", "scale": 1.0}, [24, 40, 112, 960]),
        ({"model_name": "large", "scale": 0.5}, [16, 24, 56, 480]),
        ({"model_name": "large", "scale": 0.75}, [24, 32, 88, 720]),
        ({"model_name": "large", "scale": 1.25}, [32, 48, 144, 1200]),
        ({"model_name": "small", "scale": 1.0}, [16, 24, 48, 576]),
        ({"model_name": "small", "scale": 0.35}, [8, 8, 16, 200]),
    ],
)
def test_stages_end_where_the_stride_grows(kwargs, channels):
    """Widths of the paper's tables in front of each stride, and of the last 1x1 convolution."""
    assert MobileNetV3(**kwargs).out_channels == channels


def test_disable_se_removes_every_squeeze_and_excitation():
    assert any("mid_se" in key for key in MobileNetV3().state_dict())
    assert not any("mid_se" in key for key in MobileNetV3(disable_se=True).state_dict())


def test_depthwise_convolutions_start_smaller_than_their_own_fan_in_says():
    """Paddle's default counts all input channels, those of other groups too; PaddleOCR trains from there."""
    paddle.seed(0)
    net = MobileNetV3(scale=1.0)
    block = net.stage3[1]
    depthwise, pointwise = block.bottleneck_conv.conv.weight.numpy(), block.expand_conv.conv.weight.numpy()
    assert depthwise.shape == (960, 1, 5, 5)
    assert depthwise.std() == pytest.approx((2 / (25 * 960)) ** 0.5, rel=0.02)
    assert pointwise.std() == pytest.approx((2 / 160) ** 0.5, rel=0.02)
    assert np.array_equal(block.mid_se.conv1.bias.numpy(), np.zeros(240, np.float32))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"scale": 0.6}, "scale must be one of 0.35, 0.5, 0.75, 1.0, 1.25, got 0.6"),
        ({"model_name": "medium"}, "model_name must be large or small, got medium"),
    ],
)
def test_values_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match="must be") as caught:
        MobileNetV3(**kwargs)
    assert str(caught.value) == message
