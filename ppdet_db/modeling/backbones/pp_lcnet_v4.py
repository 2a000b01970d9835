"""PP-LCNetV4, the backbone of PP-OCRv6's detectors.

Source: PaddleOCR's PP-OCRv6. The blocks are those of Wang et al., RepViT: Revisiting Mobile CNN From ViT Perspective,
arXiv 2307.09283, section 3.
"""

from typing import Literal

import paddle
from paddle import nn
from paddle.nn.initializer import Constant

from ppdet_db.modeling.layers import PADDLE_SLOPE, ConvBNLayer, SEModule, StemBlock, require_detection
from ppdet_db.modeling.reparam import RepDWConv
from ppdet_db.registry import BACKBONES

CHANNELS = {  # middle of the stem; features at strides 4, 8, 16, 32
    "tiny": (16, (32, 48, 64, 160)),
    "small": (24, (48, 96, 192, 384)),
    "medium": (64, (128, 256, 512, 896)),
}
BLOCKS = (2, 3, 5, 3)  # of each stage; the first of a later stage halves the resolution


class LCNetV4Block(nn.Layer):
    """A depthwise convolution mixes pixels, then two 1x1 convolutions mix channels, twice as many between them.

    A block that keeps its shape has a re-parameterised depthwise convolution and a shortcut around the second half,
    which starts at zero: such a block begins as its depthwise convolution alone.

    Args:
        use_se: squeeze and excitation after the depthwise convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, use_se: bool):
        super().__init__()
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.token_mixer = nn.Sequential()
        depthwise = ConvBNLayer(in_channels, in_channels, 3, stride, groups=in_channels)
        if self.has_shortcut:
            self.token_mixer.add_sublayer("rep_dw", RepDWConv(in_channels, depthwise, bias=False))
        else:
            self.token_mixer.add_sublayer("dw_conv", depthwise)
        if use_se:
            self.token_mixer.add_sublayer("se", SEModule(in_channels, slope=PADDLE_SLOPE))

        self.channel_mixer = nn.Sequential(
            ("expand", ConvBNLayer(in_channels, 2 * in_channels, 1)),
            ("act", nn.GELU()),
            ("compress", ConvBNLayer(2 * in_channels, out_channels, 1)),
        )
        if self.has_shortcut:
            Constant(0.0)(self.channel_mixer.compress.bn.weight)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.token_mixer(x)
        y = self.channel_mixer(x)
        return x + y if self.has_shortcut else y


@BACKBONES.register
class PPLCNetV4(nn.Layer):
    """PP-LCNetV4 for detection, (N, in_channels, H, W) -> features at strides 4, 8, 16, 32.

    Convolutions start from N(0, sqrt(2 / fan_in)), batch norms as the identity, but see LCNetV4Block.

    Args:
        in_channels: channels of the picture.
        det: True; PaddleOCR's other layout, for text recognition, is not here.
        model_size: width; the depth is the same.
    """

    def __init__(
        self, in_channels: int = 3, det: bool = True, model_size: Literal["tiny", "small", "medium"] = "small"
    ):
        super().__init__()
        require_detection(det)
        if model_size not in CHANNELS:
            raise ValueError(f"model_size must be tiny, small or medium, got {model_size}")
        mid_channels, widths = CHANNELS[model_size]
        self.out_channels = list(widths)
        self.stem = StemBlock(in_channels, mid_channels, widths[0])
        channels = widths[0]
        for stage, (width, count) in enumerate(zip(widths, BLOCKS, strict=True), start=1):
            blocks = []
            for i in range(count):
                halves = stage > 1 and i == 0
                use_se = i % 2 == int(stage > 1)  # every other block that keeps its shape, from the first such one
                blocks.append(LCNetV4Block(channels, width, 2 if halves else 1, use_se))
                channels = width
            self.add_sublayer(f"blocks_s{stage}", nn.Sequential(*blocks))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.stem(x)
        features = []
        for stage in (self.blocks_s1, self.blocks_s2, self.blocks_s3, self.blocks_s4):
            x = stage(x)
            features.append(x)
        return features
