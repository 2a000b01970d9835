"""ResNet, and what its variants share: residual blocks in four stages, with deformable convolutions where wanted.

Source: He et al., Deep Residual Learning for Image Recognition, arXiv 1512.03385, with the stride of a bottleneck on
its 3x3 convolution; Zhu et al., Deformable ConvNets v2, arXiv 1811.11168.
"""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, nn
from paddle.nn.initializer import Constant
from paddle.vision.ops import DeformConv2D

from ppdet_db.registry import BACKBONES

DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
WIDTHS = (64, 128, 256, 512)


class DeformableConv(nn.Layer):
    """Modulated deformable convolution: each tap of the kernel is moved by an offset and weighed by a mask in [0, 1].

    Another convolution computes both from the input. It starts at zero: no offsets, every mask 1/2.
    ONNX has it as DeformConv from opset 19 on; not every converter and runtime does (Paddle2ONNX issue 1183).

    Args:
        deformable_groups: groups of input channels with offsets and masks of their own.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, deformable_groups: int):
        super().__init__()
        padding = kernel_size // 2
        taps = deformable_groups * kernel_size**2
        self.sections = [2 * taps, taps]
        self.conv_dcn = DeformConv2D(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            deformable_groups=deformable_groups,
            bias_attr=False,
        )
        self.conv_offset = nn.Conv2D(
            in_channels, 3 * taps, kernel_size, stride, padding, weight_attr=ParamAttr(initializer=Constant(0.0))
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        offset, mask = self.conv_offset(x).split(self.sections, axis=1)
        return self.conv_dcn(x, offset, F.sigmoid(mask))


class ConvBN(nn.Layer):
    """Convolution and batch norm, under the attribute names that PaddleOCR's ResNets have.

    Args:
        deformable_groups: above 0, the convolution is deformable, with so many groups.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, deformable_groups: int = 0
    ):
        super().__init__()
        if deformable_groups:
            self._conv = DeformableConv(in_channels, out_channels, kernel_size, stride, deformable_groups)
        else:
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
        stride: 1 or 2.
        project: True for the first block of a stage, whose shortcut is a 1x1 convolution; else the input itself.
        average: a strided shortcut averages 2x2 pixels before its projection; else the projection leaves out pixels.
        deformable_groups: see ConvBN; only bottlenecks have deformable convolutions.
    """

    expansion = 1

    def __init__(
        self, in_channels: int, width: int, stride: int, project: bool, average: bool, deformable_groups: int = 0
    ):
        super().__init__()
        self.stride = stride
        self.average = average
        self.make_convolutions(in_channels, width, deformable_groups)
        stride = 1 if average else stride
        self.short = ConvBN(in_channels, width * self.expansion, 1, stride) if project else None

    def make_convolutions(self, in_channels: int, width: int, deformable_groups: int) -> None:
        raise NotImplementedError

    def residual(self, x: paddle.Tensor) -> paddle.Tensor:
        raise NotImplementedError

    def shortcut(self, x: paddle.Tensor) -> paddle.Tensor:
        if self.short is None:
            return x
        return self.short(F.avg_pool2d(x, 2, 2) if self.average and self.stride == 2 else x)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions: 18 and 34 layers."""

    def make_convolutions(self, in_channels: int, width: int, deformable_groups: int) -> None:
        self.conv0 = ConvBN(in_channels, width, 3, self.stride)
        self.conv1 = ConvBN(width, width, 3)

    def residual(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv1(F.relu(self.conv0(x)))


class BottleneckBlock(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions: 50 layers and more. The 3x3 one carries the stride and may be deformable."""

    expansion = 4

    def make_convolutions(self, in_channels: int, width: int, deformable_groups: int) -> None:
        self.conv0 = ConvBN(in_channels, width, 1)
        self.conv1 = ConvBN(width, width, 3, self.stride, deformable_groups)
        self.conv2 = ConvBN(width, width * self.expansion, 1)

    def residual(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.conv2(F.relu(self.conv1(F.relu(self.conv0(x)))))


class ResidualStages(nn.Layer):
    """A stem, maximum pooling and four stages of residual blocks. A variant makes the stem and names the blocks.

    Args:
        in_channels: channels of the picture.
        layers: one of the variant's `depths`.
        dcn_stage: for each stage, whether its 3x3 convolutions are deformable; None for none.
    """

    depths = DEPTHS
    average_shortcut: bool
    deformable_groups: int

    def __init__(self, in_channels: int, layers: int, dcn_stage: list[bool] | None):
        super().__init__()
        if layers not in self.depths:
            raise ValueError(f"layers must be one of {', '.join(map(str, self.depths))}, got {layers}")
        deformable = [False] * len(WIDTHS) if dcn_stage is None else dcn_stage
        if len(deformable) != len(WIDTHS):
            raise ValueError(f"dcn_stage must have one entry for each of the four stages, got {deformable}")
        block = BottleneckBlock if layers >= 50 else BasicBlock
        self.out_channels = [width * block.expansion for width in WIDTHS]
        self.stages: list[list[str]] = []

        channels = self.make_stem(in_channels)
        for stage, (width, depth) in enumerate(zip(WIDTHS, self.depths[layers], strict=True)):
            groups = self.deformable_groups if deformable[stage] else 0
            self.stages.append([self.block_name(layers, stage, i) for i in range(depth)])
            for i, name in enumerate(self.stages[-1]):
                stride = 2 if i == 0 and stage > 0 else 1
                self.add_sublayer(name, block(channels, width, stride, i == 0, self.average_shortcut, groups))
                channels = width * block.expansion

    def make_stem(self, in_channels: int) -> int:
        """Makes the layers of `stem`; returns its number of channels."""
        raise NotImplementedError

    def stem(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, in_channels, H, W) -> stride 2."""
        raise NotImplementedError

    def block_name(self, layers: int, stage: int, i: int) -> str:
        raise NotImplementedError

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = F.max_pool2d(self.stem(x), 3, 2, padding=1)
        features = []
        for names in self.stages:
            for name in names:
                x = getattr(self, name)(x)
            features.append(x)
        return features


@BACKBONES.register
class ResNet(ResidualStages):
    """ResNet with its 7x7 stem, (N, in_channels, H, W) -> features at strides 4, 8, 16, 32.

    Convolutions start from N(0, sqrt(2 / fan_in)), batch norms as the identity, those that give offsets at zero.

    Args:
        in_channels: channels of the picture.
        layers: depth.
        dcn_stage: for each of the four stages, whether its 3x3 convolutions are deformable; null for none. Without
            effect at 18 and 34 layers, whose blocks never are.
    """

    average_shortcut = False
    deformable_groups = 1

    def __init__(
        self, in_channels: int = 3, layers: Literal[18, 34, 50, 101, 152] = 50, dcn_stage: list[bool] | None = None
    ):
        super().__init__(in_channels, layers, dcn_stage)

    def make_stem(self, in_channels: int) -> int:
        self.conv = ConvBN(in_channels, 64, 7, stride=2)
        return 64

    def stem(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(self.conv(x))

    def block_name(self, layers: int, stage: int, i: int) -> str:
        """Letters; numbers where the alphabet might not do."""
        if layers > 50 and stage == 2:
            return f"res{stage + 2}a" if i == 0 else f"res{stage + 2}b{i}"
        return f"res{stage + 2}{chr(ord('a') + i)}"
