"""PP-HGNet, and the blocks and stages that its second version has too.

Source: PaddleClas's PP-HGNet. The blocks are those of Lee et al., An Energy and GPU-Computation Efficient Backbone
Network for Real-Time Object Detection, arXiv 1904.09730 (VoVNet), and CenterMask, arXiv 1911.06667, section 3.3.
"""

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_db.modeling.layers import ConvBNLayer, kaiming_normal, require_detection
from ppdet_db.registry import BACKBONES

STEM = (64, 64, 128)
STAGES = ((128, 256, 1), (160, 512, 1), (192, 768, 2), (224, 1024, 1))  # channels inside and at the end; blocks
BLOCK_LAYERS = 6


class HGBlock(nn.Layer):
    """Convolutions in a row; the input and the output of each are concatenated, and a subclass aggregates them.

    Args:
        layers: the convolutions.
        has_shortcut: the input is added at the end.
    """

    def __init__(self, layers: list[nn.Layer], has_shortcut: bool):
        super().__init__()
        self.has_shortcut = has_shortcut
        self.layers = nn.LayerList(layers)

    def aggregate(self, x: paddle.Tensor) -> paddle.Tensor:
        raise NotImplementedError

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        outputs = [x]
        for layer in self.layers:
            outputs.append(layer(outputs[-1]))
        y = self.aggregate(paddle.concat(outputs, axis=1))
        return x + y if self.has_shortcut else y


class HGStage(nn.Layer):
    """Blocks, after a strided depthwise convolution if there is one.

    Args:
        in_channels: of the depthwise convolution.
        halves: whether there is one.
        lr_mult: factor on the learning rate of its weights.
    """

    def __init__(self, in_channels: int, blocks: list[HGBlock], halves: bool, lr_mult: float = 1.0):
        super().__init__()
        self.downsample = None
        if halves:
            self.downsample = ConvBNLayer(
                in_channels, in_channels, 3, stride=2, groups=in_channels, lr_mult=lr_mult, decay_norm=False
            )
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.blocks(x if self.downsample is None else self.downsample(x))


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> ConvBNLayer:
    return ConvBNLayer(in_channels, out_channels, kernel_size, stride, act=F.relu, decay_norm=False)


class ESEModule(nn.Layer):
    """Squeeze and excitation with one layer as wide as the input: channels scaled by weights in [0, 1]."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2D(channels, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x * F.sigmoid(self.conv(F.adaptive_avg_pool2d(x, 1)))


class AttentiveBlock(HGBlock):
    """3x3 convolutions, aggregated by a 1x1 convolution with squeeze and excitation."""

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, has_shortcut: bool):
        inputs = [in_channels] + [mid_channels] * (BLOCK_LAYERS - 1)
        super().__init__([conv(channels, mid_channels, 3) for channels in inputs], has_shortcut)
        self.aggregation_conv = conv(in_channels + BLOCK_LAYERS * mid_channels, out_channels, 1)
        self.att = ESEModule(out_channels)

    def aggregate(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.att(self.aggregation_conv(x))


@BACKBONES.register
class PPHGNet_small(nn.Layer):
    """PP-HGNet small for detection, (N, in_channels, H, W) -> features at strides 4, 8, 16, 32.

    Convolutions start from N(0, sqrt(2 / fan_in)), batch norms as the identity; no weight decay on batch norms.

    Args:
        in_channels: channels of the picture.
        det: True; PaddleOCR's other layout, for text recognition, is not here.
    """

    def __init__(self, in_channels: int = 3, det: bool = True):
        super().__init__()
        require_detection(det)
        self.out_channels = [out for _, out, _ in STAGES]
        first, *others = STEM
        self.stem = nn.Sequential(conv(in_channels, first, 3, stride=2))
        for inputs, outputs in zip(STEM, others, strict=False):
            self.stem.append(conv(inputs, outputs, 3))

        self.stages = nn.LayerList()
        channels = STEM[-1]
        for mid, out, count in STAGES:
            blocks: list[HGBlock] = [AttentiveBlock(out if i else channels, mid, out, i > 0) for i in range(count)]
            self.stages.append(HGStage(channels, blocks, halves=len(self.stages) > 0))
            channels = out
        kaiming_normal(self)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = F.max_pool2d(self.stem(x), 3, 2, padding=1)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features
