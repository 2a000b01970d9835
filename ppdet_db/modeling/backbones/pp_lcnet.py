"""PP-LCNet, a network of depthwise separable convolutions made for CPUs.

Source: Cui et al., PP-LCNet: A Lightweight CPU Convolutional Neural Network, arXiv 2109.15099, table 1.
"""

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_db.modeling.layers import PADDLE_SLOPE, ConvBNLayer, SEModule, kaiming_normal, round_channels
from ppdet_db.registry import BACKBONES

BLOCKS = {  # kernel size, output channels, stride, squeeze and excitation
    "blocks2": ((3, 32, 1, False),),
    "blocks3": ((3, 64, 2, False), (3, 64, 1, False)),
    "blocks4": ((3, 128, 2, False), (3, 128, 1, False)),
    "blocks5": ((3, 256, 2, False), *[(5, 256, 1, False)] * 5),
    "blocks6": ((5, 512, 2, True), (5, 512, 1, True)),
}


class DepthwiseSeparable(nn.Layer):
    """Depthwise convolution, then a 1x1 convolution.

    Args:
        use_se: squeeze and excitation between the two.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, use_se: bool):
        super().__init__()
        self.dw_conv = conv(in_channels, in_channels, kernel_size, stride, groups=in_channels)
        self.se = SEModule(in_channels, slope=PADDLE_SLOPE) if use_se else None
        self.pw_conv = conv(in_channels, out_channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.dw_conv(x)
        if self.se is not None:
            x = self.se(x)
        return self.pw_conv(x)


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> ConvBNLayer:
    return ConvBNLayer(in_channels, out_channels, kernel_size, stride, groups, F.hardswish, decay_norm=False)


@BACKBONES.register
class PPLCNet(nn.Layer):
    """PP-LCNet, (N, in_channels, H, W) -> features at strides 4, 8, 16, 32.

    Convolutions start from N(0, sqrt(2 / fan_in)), batch norms as the identity; no weight decay on batch norms.

    Args:
        in_channels: channels of the picture.
        scale: all channels are multiplied by it and rounded to multiples of 8; published are 0.25, 0.35, 0.5, 0.75,
            1, 1.5, 2 and 2.5.
    """

    def __init__(self, in_channels: int = 3, scale: float = 1.0):
        super().__init__()
        if scale <= 0:
            raise ValueError(f"scale must be above 0, got {scale}")
        channels = round_channels(16 * scale)
        self.conv1 = conv(in_channels, channels, 3, stride=2)
        ends = []
        for name, blocks in BLOCKS.items():
            stage = []
            for kernel_size, width, stride, use_se in blocks:
                in_block, channels = channels, round_channels(width * scale)
                stage.append(DepthwiseSeparable(in_block, channels, kernel_size, stride, use_se))
            self.add_sublayer(name, nn.Sequential(*stage))
            ends.append(channels)
        self.out_channels = ends[1:]
        kaiming_normal(self)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.blocks2(self.conv1(x))
        features = []
        for stage in (self.blocks3, self.blocks4, self.blocks5, self.blocks6):
            x = stage(x)
            features.append(x)
        return features
