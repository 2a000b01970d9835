"""RepSVTR, the mobile backbone of RepSVTRv2: RepViT cut for text detection.

Source: Wang et al., RepViT: Revisiting Mobile CNN From ViT Perspective, arXiv 2307.09283, section 3; the widths and
depths are PaddleOCR's.
"""

import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.nn.initializer import Constant

from ppdet_db.modeling.layers import round_channels
from ppdet_db.modeling.reparam import RepDWConv
from ppdet_db.registry import BACKBONES

STAGES = ((48, 2), (96, 3), (192, 5), (384, 3))  # channels, blocks; the first block of a later stage halves the size


def conv_bn(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    padding = kernel_size // 2
    conv = nn.Conv2D(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias_attr=False)
    return nn.Sequential(("c", conv), ("bn", nn.BatchNorm2D(out_channels)))


class SigmoidSE(nn.Layer):
    """Squeeze and excitation with a sigmoid and a hidden layer of a quarter, rounded to a multiple of 8."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = round_channels(channels / 4)
        self.fc1 = nn.Conv2D(channels, hidden, 1)
        self.fc2 = nn.Conv2D(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = F.relu(self.fc1(x.mean([2, 3], keepdim=True)))
        return x * F.sigmoid(self.fc2(weights))


class ChannelMixer(nn.Layer):
    """x + two 1x1 convolutions of it, twice as wide between them; they start at zero."""

    def __init__(self, channels: int):
        super().__init__()
        self.m = nn.Sequential(conv_bn(channels, 2 * channels, 1), nn.GELU(), conv_bn(2 * channels, channels, 1))
        Constant(0.0)(self.m[2].bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.m(x)


class RepViTBlock(nn.Layer):
    """A depthwise convolution mixes pixels, then two 1x1 convolutions mix channels.

    Args:
        use_se: squeeze and excitation after the depthwise convolution.
        halves: half the height and width, and perhaps another number of channels.
    """

    def __init__(self, in_channels: int, out_channels: int, use_se: bool, halves: bool):
        super().__init__()
        depthwise = conv_bn(in_channels, in_channels, 3, 2 if halves else 1, groups=in_channels)
        se = SigmoidSE(in_channels) if use_se else nn.Identity()
        if halves:
            self.token_mixer = nn.Sequential(depthwise, se, conv_bn(in_channels, out_channels, 1))
        else:
            self.token_mixer = nn.Sequential(RepDWConv(in_channels, depthwise, bias=True), se)
        self.channel_mixer = ChannelMixer(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.channel_mixer(self.token_mixer(x))


@BACKBONES.register
class RepSVTR_det(nn.Layer):
    """RepSVTR for detection, (N, in_channels, H, W) -> features at strides 4, 8, 16, 32.

    Convolutions start from N(0, sqrt(2 / fan_in)), batch norms as the identity, but see ChannelMixer.

    Args:
        in_channels: channels of the picture.
    """

    def __init__(self, in_channels: int = 3):
        super().__init__()
        channels = STAGES[0][0]
        layers: list[nn.Layer] = [
            nn.Sequential(conv_bn(in_channels, channels // 2, 3, 2), nn.GELU(), conv_bn(channels // 2, channels, 3, 2))
        ]
        self.ends = []
        for stage, (width, count) in enumerate(STAGES):
            for i in range(count):
                halves = stage > 0 and i == 0
                use_se = i % 2 == int(stage > 0)  # every other block that keeps its size, from the first such one
                layers.append(RepViTBlock(channels, width, use_se, halves))
                channels = width
            self.ends.append(len(layers) - 1)
        self.features = nn.LayerList(layers)
        self.out_channels = [width for width, _ in STAGES]

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.ends:
                features.append(x)
        return features
