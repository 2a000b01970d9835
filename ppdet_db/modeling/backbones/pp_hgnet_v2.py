"""PP-HGNetV2, whose later stages have light convolutions: 1x1, then depthwise.

Source: PaddleClas's PP-HGNetV2; Zhao et al., DETRs Beat YOLOs on Real-time Object Detection, arXiv 2304.08069, uses
the same as its backbone.
"""

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_db.modeling.backbones.pp_hgnet import HGBlock, HGStage
from ppdet_db.modeling.layers import ConvBNLayer, StemBlock, kaiming_normal, require_detection
from ppdet_db.registry import BACKBONES

STEM = (32, 48)  # channels at stride 2 and at stride 4
STAGES = (  # channels inside and at the end, blocks, light convolutions, kernel size
    (48, 128, 1, False, 3),
    (96, 512, 1, False, 3),
    (192, 1024, 3, True, 5),
    (384, 2048, 1, True, 5),
)
BLOCK_LAYERS = 6
LAST_CHANNELS = 2048


class LightConv(nn.Layer):
    """A linear 1x1 convolution and a depthwise one.

    Args:
        kernel_size: of the depthwise convolution.
        lr_mult: factor on the learning rate of its weights.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, lr_mult: float):
        super().__init__()
        self.conv1 = ConvBNLayer(in_channels, out_channels, 1, lr_mult=lr_mult, decay_norm=False)
        self.conv2 = conv(out_channels, out_channels, kernel_size, lr_mult, groups=out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv2(self.conv1(x))


class SqueezeBlock(HGBlock):
    """Plain or light convolutions, aggregated by two 1x1 convolutions, the first of half the width.

    Args:
        light: light convolutions.
        kernel_size: of the plain convolutions, or of the depthwise part of light ones.
        lr_mult: factor on the learning rate of its weights.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        light: bool,
        kernel_size: int,
        has_shortcut: bool,
        lr_mult: float,
    ):
        layer = LightConv if light else conv
        inputs = [in_channels] + [mid_channels] * (BLOCK_LAYERS - 1)
        super().__init__([layer(channels, mid_channels, kernel_size, lr_mult) for channels in inputs], has_shortcut)
        total = in_channels + BLOCK_LAYERS * mid_channels
        self.aggregation_squeeze_conv = conv(total, out_channels // 2, 1, lr_mult)
        self.aggregation_excitation_conv = conv(out_channels // 2, out_channels, 1, lr_mult)

    def aggregate(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.aggregation_excitation_conv(self.aggregation_squeeze_conv(x))


def conv(in_channels: int, out_channels: int, kernel_size: int, lr_mult: float, groups: int = 1) -> ConvBNLayer:
    return ConvBNLayer(
        in_channels, out_channels, kernel_size, groups=groups, act=F.relu, lr_mult=lr_mult, decay_norm=False
    )


@BACKBONES.register
class PPHGNetV2_B4(nn.Layer):
    """PP-HGNetV2 B4 for detection, (N, in_channels, H, W) -> features at strides 4, 8, 16, 32.

    Convolutions start from N(0, sqrt(2 / fan_in)), batch norms as the identity; no weight decay on batch norms.
    Published weights hold the convolution of a classifier, `last_conv`; it is kept with them and never used.

    Args:
        in_channels: channels of the picture.
        det: True; PaddleOCR's other layout, for text recognition, is not here.
        lr_mult_list: factors on the learning rate of the stem and the four stages; null for 1.
    """

    def __init__(self, in_channels: int = 3, det: bool = True, lr_mult_list: list[float] | None = None):
        super().__init__()
        require_detection(det)
        factors = [1.0] * (1 + len(STAGES)) if lr_mult_list is None else lr_mult_list
        if len(factors) != 1 + len(STAGES) or min(factors) < 0:
            raise ValueError(f"lr_mult_list must have five factors of at least 0, got {lr_mult_list}")
        self.out_channels = [out for _, out, *_ in STAGES]
        self.stem = StemBlock(in_channels, *STEM, lr_mult=factors[0])

        self.stages = nn.LayerList()
        channels = STEM[-1]
        for (mid, out, count, light, kernel_size), lr_mult in zip(STAGES, factors[1:], strict=True):
            blocks: list[HGBlock] = [
                SqueezeBlock(out if i else channels, mid, out, light, kernel_size, i > 0, lr_mult) for i in range(count)
            ]
            self.stages.append(HGStage(channels, blocks, halves=len(self.stages) > 0, lr_mult=lr_mult))
            channels = out
        self.last_conv = nn.Conv2D(channels, LAST_CHANNELS, 1, bias_attr=False)
        kaiming_normal(self)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features
