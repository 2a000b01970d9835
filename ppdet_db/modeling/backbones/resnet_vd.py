"""ResNet-D: three 3x3 convolutions as stem, and average pooling before the projection of a strided shortcut.

Source: He et al., Bag of Tricks for Image Classification with CNNs, arXiv 1812.01187, figure 2 (the D variant).
"""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_db.registry import BACKBONES

DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 12, 48, 3),
}
WIDTHS = (64, 128, 256, 512)


class ConvBN(nn.Layer):
    """Convolution and batch norm, under the attribute names that PaddleOCR's ResNets have."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1):
        super().__init__()
        self._conv = nn.Conv2D(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias_attr=False
        )
        self._batch_norm = nn.BatchNorm2D(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self._batch_norm(self._conv(x))


class ResidualBlock(nn.Layer):
    """relu(residual + shortcut). A subclass makes the convolutions and implements `residual`.

    Args:
        in_channels: channels of the input.
        width: channels inside the block; the output has `expansion` times as many.
        stride: 1 or 2; at 2 the shortcut is average-pooled before it is projected.
        project: True for the first block of a stage, whose shortcut is a 1x1 convolution; else the input itself.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, project: bool):
        super().__init__()
        self.stride = stride
        self.make_convolutions(in_channels, width)
        self.short = ConvBN(in_channels, width * self.expansion, 1) if project else None

    def make_convolutions(self, in_channels: int, width: int) -> None:
        raise NotImplementedError

    def residual(self, x: paddle.Tensor) -> paddle.Tensor:
        raise NotImplementedError

    def shortcut(self, x: paddle.Tensor) -> paddle.Tensor:
        if self.short is None:
            return x
        return self.short(F.avg_pool2d(x, 2, 2) if self.stride == 2 else x)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions: 18 and 34 layers."""

    def make_convolutions(self, in_channels: int, width: int) -> None:
        self.conv0 = ConvBN(in_channels, width, 3, self.stride)
        self.conv1 = ConvBN(width, width, 3)

    def residual(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv1(F.relu(self.conv0(x)))


class BottleneckBlock(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions: 50 layers and more. The 3x3 one carries the stride."""

    expansion = 4

    def make_convolutions(self, in_channels: int, width: int) -> None:
        self.conv0 = ConvBN(in_channels, width, 1)
        self.conv1 = ConvBN(width, width, 3, self.stride)
        self.conv2 = ConvBN(width, width * self.expansion, 1)

    def residual(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv2(F.relu(self.conv1(F.relu(self.conv0(x)))))


@BACKBONES.register
class ResNet_vd(nn.Layer):
    """ResNet-D, (N, in_channels, H, W) -> features at strides 4, 8, 16, 32.

    Convolutions start from N(0, sqrt(2 / fan_in)), batch norms as the identity.

    Args:
        in_channels: channels of the picture.
        layers: depth.
    """

    def __init__(self, in_channels: int = 3, layers: Literal[18, 34, 50, 101, 152, 200] = 50):
        super().__init__()
        if layers not in DEPTHS:
            raise ValueError(f"layers must be one of {', '.join(map(str, DEPTHS))}, got {layers}")
        self.depths = DEPTHS[layers]
        block = BottleneckBlock if layers >= 50 else BasicBlock
        self.out_channels = [width * block.expansion for width in WIDTHS]

        self.conv1_1 = ConvBN(in_channels, 32, 3, stride=2)
        self.conv1_2 = ConvBN(32, 32, 3)
        self.conv1_3 = ConvBN(32, 64, 3)
        channels = 64
        for stage, width in enumerate(WIDTHS):
            for i in range(self.depths[stage]):
                stride = 2 if i == 0 and stage > 0 else 1
                self.add_sublayer(f"bb_{stage}_{i}", block(channels, width, stride, project=i == 0))
                channels = width * block.expansion

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        for stem in (self.conv1_1, self.conv1_2, self.conv1_3):
            x = F.relu(stem(x))
        x = F.max_pool2d(x, 3, 2, padding=1)
        features = []
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                x = getattr(self, f"bb_{stage}_{i}")(x)
            features.append(x)
        return features
