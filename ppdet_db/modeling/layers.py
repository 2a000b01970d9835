"""Blocks that several networks share. Attribute names are PaddleOCR's: they are the keys in a weights file."""

from collections.abc import Callable

import paddle
import paddle.nn.functional as F
from paddle import nn

Activation = Callable[[paddle.Tensor], paddle.Tensor]


class ConvBNLayer(nn.Layer):
    """Convolution without bias, batch norm, and an activation if there is one. Odd kernels keep the size at stride 1.

    Args:
        act: a function such as `F.relu`; None for a linear layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        act: Activation | None = None,
    ):
        super().__init__()
        self.act = act
        self.conv = nn.Conv2D(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias_attr=False
        )
        self.bn = nn.BatchNorm2D(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.bn(self.conv(x))
        return x if self.act is None else self.act(x)


class SEModule(nn.Layer):
    """Squeeze and excitation: each channel is scaled by a weight in [0, 1] computed from the means of all channels.

    Args:
        reduction: how many times narrower the hidden layer is.
    """

    def __init__(self, in_channels: int, reduction: int = 4):
        super().__init__()
        self.conv1 = nn.Conv2D(in_channels, in_channels // reduction, 1)
        self.conv2 = nn.Conv2D(in_channels // reduction, in_channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        weights = F.relu(self.conv1(F.adaptive_avg_pool2d(x, 1)))
        # the slope 0.2, not Paddle's 1/6, is what published weights were trained with
        return x * F.hardsigmoid(self.conv2(weights), slope=0.2, offset=0.5)


def upsample_nearest(x: paddle.Tensor, scale: int) -> paddle.Tensor:
    """(N, C, H, W) -> (N, C, scale H, scale W), every pixel repeated.

    Equal to `F.interpolate(x, scale_factor=scale)`, which neither oneDNN nor the ONNX converter accepts
    (Paddle 3.3.1), and faster. Sizes are never read, so that exported graphs keep height and width free.
    """
    return x.unsqueeze([3, 5]).tile([1, 1, 1, scale, 1, scale]).flatten(4, 5).flatten(2, 3)
