"""ResNet-D: three 3x3 convolutions as stem, and average pooling before the projection of a strided shortcut.

Source: He et al., Bag of Tricks for Image Classification with CNNs, arXiv 1812.01187, figure 2 (the D variant).
"""

from typing import Literal

import paddle
import paddle.nn.functional as F

from ppdet_db.modeling.backbones.resnet import DEPTHS, ConvBN, ResidualStages
from ppdet_db.registry import BACKBONES


@BACKBONES.register
class ResNet_vd(ResidualStages):
    """ResNet-D, (N, in_channels, H, W) -> features at strides 4, 8, 16, 32.

    Convolutions start from N(0, sqrt(2 / fan_in)), batch norms as the identity, those that give offsets at zero.

    Args:
        in_channels: channels of the picture.
        layers: depth.
        dcn_stage: for each of the four stages, whether its 3x3 convolutions are deformable; null for none. Without
            effect at 18 and 34 layers, whose blocks never are.
    """

    depths = DEPTHS | {200: (3, 12, 48, 3)}
    average_shortcut = True
    deformable_groups = 2

    def __init__(
        self,
        in_channels: int = 3,
        layers: Literal[18, 34, 50, 101, 152, 200] = 50,
        dcn_stage: list[bool] | None = None,
    ):
        super().__init__(in_channels, layers, dcn_stage)

    def make_stem(self, in_channels: int) -> int:
        self.conv1_1 = ConvBN(in_channels, 32, 3, stride=2)
        self.conv1_2 = ConvBN(32, 32, 3)
        self.conv1_3 = ConvBN(32, 64, 3)
        return 64

    def stem(self, x: paddle.Tensor) -> paddle.Tensor:
        for conv in (self.conv1_1, self.conv1_2, self.conv1_3):
            x = F.relu(conv(x))
        return x

    def block_name(self, layers: int, stage: int, i: int) -> str:
        return f"bb_{stage}_{i}"
