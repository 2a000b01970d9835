"""MobileNetV3 as PaddleOCR cuts it for detection: four stages, each ending where the next stride begins.

Source: Howard et al., Searching for MobileNetV3, arXiv 1905.02244, tables 1 and 2 (without the classifier).
"""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_db.modeling.layers import Activation, ConvBNLayer, SEModule, round_channels
from ppdet_db.registry import BACKBONES

SCALES = (0.35, 0.5, 0.75, 1.0, 1.25)

BLOCKS = {  # kernel size, expanded channels, output channels, squeeze and excitation, activation, stride
    "large": (
        (3, 16, 16, False, F.relu, 1),
        (3, 64, 24, False, F.relu, 2),
        (3, 72, 24, False, F.relu, 1),
        (5, 72, 40, True, F.relu, 2),
        (5, 120, 40, True, F.relu, 1),
        (5, 120, 40, True, F.relu, 1),
        (3, 240, 80, False, F.hardswish, 2),
        (3, 200, 80, False, F.hardswish, 1),
        (3, 184, 80, False, F.hardswish, 1),
        (3, 184, 80, False, F.hardswish, 1),
        (3, 480, 112, True, F.hardswish, 1),
        (3, 672, 112, True, F.hardswish, 1),
        (5, 672, 160, True, F.hardswish, 2),
        (5, 960, 160, True, F.hardswish, 1),
        (5, 960, 160, True, F.hardswish, 1),
    ),
    "small": (
        (3, 16, 16, True, F.relu, 2),
        (3, 72, 24, False, F.relu, 2),
        (3, 88, 24, False, F.relu, 1),
        (5, 96, 40, True, F.hardswish, 2),
        (5, 240, 40, True, F.hardswish, 1),
        (5, 240, 40, True, F.hardswish, 1),
        (5, 120, 48, True, F.hardswish, 1),
        (5, 144, 48, True, F.hardswish, 1),
        (5, 288, 96, True, F.hardswish, 2),
        (5, 576, 96, True, F.hardswish, 1),
        (5, 576, 96, True, F.hardswish, 1),
    ),
}
LAST_CHANNELS = {"large": 960, "small": 576}


class ResidualUnit(nn.Layer):
    """Inverted residual: 1x1 expansion, depthwise convolution, 1x1 projection; shortcut where the shape stays.

    Args:
        mid_channels: channels of the depthwise convolution.
        use_se: squeeze and excitation after the depthwise convolution.
        act: activation of expansion and depthwise convolution; the projection is linear.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        use_se: bool,
        act: Activation,
    ):
        super().__init__()
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.expand_conv = ConvBNLayer(in_channels, mid_channels, 1, act=act)
        self.bottleneck_conv = ConvBNLayer(
            mid_channels, mid_channels, kernel_size, stride, groups=mid_channels, act=act
        )
        self.mid_se = SEModule(mid_channels) if use_se else None
        self.linear_conv = ConvBNLayer(mid_channels, out_channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.bottleneck_conv(self.expand_conv(x))
        if self.mid_se is not None:
            y = self.mid_se(y)
        y = self.linear_conv(y)
        return x + y if self.has_shortcut else y


@BACKBONES.register
class MobileNetV3(nn.Layer):
    """MobileNetV3, (N, in_channels, H, W) -> features at strides 4, 8, 16, 32.

    Convolutions start from N(0, sqrt(2 / fan_in)), batch norms as the identity.

    Args:
        in_channels: channels of the picture.
        model_name: which of the paper's two tables.
        scale: all channels are multiplied by it and rounded to multiples of 8; 0.35, 0.5, 0.75, 1 or 1.25.
        disable_se: no squeeze and excitation: faster, a little less accurate.
    """

    def __init__(
        self,
        in_channels: int = 3,
        model_name: Literal["large", "small"] = "large",
        scale: float = 0.5,
        disable_se: bool = False,
    ):
        super().__init__()
        if model_name not in BLOCKS:
            raise ValueError(f"model_name must be large or small, got {model_name}")
        if scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(map(str, SCALES))}, got {scale}")
        channels = round_channels(16 * scale)
        self.conv = ConvBNLayer(in_channels, channels, 3, stride=2, act=F.hardswish)

        stages: list[list[nn.Layer]] = [[]]
        self.out_channels: list[int] = []
        stride_so_far = 2
        for kernel_size, expanded, out, use_se, act, stride in BLOCKS[model_name]:
            if stride == 2 and stride_so_far >= 4:
                stages.append([])
                self.out_channels.append(channels)
            stride_so_far *= stride
            in_block, channels = channels, round_channels(out * scale)
            mid = round_channels(expanded * scale)
            stages[-1].append(
                ResidualUnit(in_block, mid, channels, kernel_size, stride, use_se and not disable_se, act)
            )
        last = round_channels(LAST_CHANNELS[model_name] * scale)
        stages[-1].append(ConvBNLayer(channels, last, 1, act=F.hardswish))
        self.out_channels.append(last)
        for i, blocks in enumerate(stages):
            self.add_sublayer(f"stage{i}", nn.Sequential(*blocks))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.conv(x)
        features = []
        for stage in (self.stage0, self.stage1, self.stage2, self.stage3):
            x = stage(x)
            features.append(x)
        return features
