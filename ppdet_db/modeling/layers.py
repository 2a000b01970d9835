"""Blocks that several networks share. Attribute names are PaddleOCR's: they are the keys in a weights file."""

from collections.abc import Callable

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, nn
from paddle.nn.initializer import Constant, KaimingNormal
from paddle.regularizer import L2Decay

from ppdet_db.modeling.cpu import channel_affine, is_faster_here

Activation = Callable[[paddle.Tensor], paddle.Tensor]

PADDLE_SLOPE = 0.1666667
"""Of Paddle's hard sigmoid, with which PP-LCNet's weights were trained: not quite 1/6."""


class ConvBNLayer(nn.Layer):
    """Convolution without bias, batch norm, and an activation if there is one. Odd kernels keep the size at stride 1.

    Args:
        padding: pixels on each side, or "SAME", which keeps the size with an even kernel too; None for half a kernel.
        act: a function such as `F.relu`; None for a linear layer.
        lr_mult: factor on the learning rate of its weights.
        decay_norm: False spares the batch norm's weights the regularizer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        act: Activation | None = None,
        padding: int | str | None = None,
        lr_mult: float = 1.0,
        decay_norm: bool = True,
    ):
        super().__init__()
        self.act = act
        self.conv = nn.Conv2D(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2 if padding is None else padding,
            groups=groups,
            weight_attr=ParamAttr(learning_rate=lr_mult),
            bias_attr=False,
        )
        self.bn = batch_norm(out_channels, lr_mult, decay_norm)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.bn(self.conv(x))
        return x if self.act is None else self.act(x)


def batch_norm(channels: int, lr_mult: float = 1.0, decay: bool = True) -> nn.BatchNorm2D:
    """Batch norm whose weights learn `lr_mult` times as fast and, if not `decay`, are spared the regularizer."""

    def attr() -> ParamAttr:
        return ParamAttr(learning_rate=lr_mult, regularizer=None if decay else L2Decay(0.0))

    return nn.BatchNorm2D(channels, weight_attr=attr(), bias_attr=attr())


class LearnableAffine(nn.Layer):
    """scale * x + bias with one learned number each.

    Args:
        lr_mult: factor on the learning rate of both.
    """

    def __init__(self, lr_mult: float = 1.0):
        super().__init__()
        attr = ParamAttr(learning_rate=lr_mult)
        self.scale = self.create_parameter([1], attr=attr, default_initializer=Constant(1.0))
        self.bias = self.create_parameter([1], attr=attr, default_initializer=Constant(0.0))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if not is_faster_here(x):
            return self.scale * x + self.bias
        channels = [x.shape[1]]
        return channel_affine(x, self.scale.expand(channels), self.bias.expand(channels))


class SEModule(nn.Layer):
    """Squeeze and excitation: each channel is scaled by a weight in [0, 1] computed from the means of all channels.

    Args:
        reduction: how many times narrower the hidden layer is.
        slope: of the hard sigmoid; 0.2 is MobileNetV3's and the necks', PADDLE_SLOPE that of PP-LCNet.
        lr_mult: factor on the learning rate of its weights.
    """

    def __init__(self, in_channels: int, reduction: int = 4, slope: float = 0.2, lr_mult: float = 1.0):
        super().__init__()
        self.slope = slope

        def conv(inputs: int, outputs: int) -> nn.Conv2D:
            attr = ParamAttr(learning_rate=lr_mult)
            return nn.Conv2D(inputs, outputs, 1, weight_attr=attr, bias_attr=ParamAttr(learning_rate=lr_mult))

        self.conv1 = conv(in_channels, in_channels // reduction)
        self.conv2 = conv(in_channels // reduction, in_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        weights = F.relu(self.conv1(F.adaptive_avg_pool2d(x, 1)))
        return x * F.hardsigmoid(self.conv2(weights), slope=self.slope, offset=0.5)


class StemBlock(nn.Layer):
    """Two beginnings side by side, a maximum and two 2x2 convolutions: (N, C, H, W) -> (N, out_channels, H/4, W/4).

    Source: PaddleDetection's PP-HGNetV2; PP-LCNetV4 starts with the same.

    Args:
        mid_channels: channels at stride 2.
        lr_mult: factor on the learning rate of its weights.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, lr_mult: float = 1.0):
        super().__init__()

        def block(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> ConvBNLayer:
            padding = "SAME" if kernel_size == 2 else None
            return ConvBNLayer(
                inputs, outputs, kernel_size, stride, act=F.relu, padding=padding, lr_mult=lr_mult, decay_norm=False
            )

        self.stem1 = block(in_channels, mid_channels, 3, stride=2)
        self.stem2a = block(mid_channels, mid_channels // 2, 2)
        self.stem2b = block(mid_channels // 2, mid_channels, 2)
        self.stem3 = block(2 * mid_channels, mid_channels, 3, stride=2)
        self.stem4 = block(mid_channels, out_channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.stem1(x)
        maximum = F.max_pool2d(x, 2, stride=1, padding="SAME")
        x = paddle.concat([maximum, self.stem2b(self.stem2a(x))], axis=1)
        return self.stem4(self.stem3(x))


def kaiming_normal(network: nn.Layer) -> None:
    """Starts every convolution from N(0, sqrt(2 / fan_in)); Paddle's default counts the inputs of other groups too."""
    for layer in network.sublayers():
        if isinstance(layer, nn.Conv2D):
            KaimingNormal()(layer.weight)


def require_detection(det: bool) -> None:
    """PaddleOCR's files say `det: true`; its other layout, which keeps the width of a text line, is not here."""
    if not det:
        raise ValueError(f"det must be true: the layout for text recognition is not here, got {det}")


def round_channels(channels: float, multiple: int = 8) -> int:
    """The multiple of `multiple` nearest to `channels`, at least one of it, and never under 90 % of `channels`."""
    rounded = max(multiple, int(channels + multiple / 2) // multiple * multiple)
    return rounded + multiple if rounded < 0.9 * channels else rounded


def upsample_nearest(x: paddle.Tensor, scale: int) -> paddle.Tensor:
    """(N, C, H, W) -> (N, C, scale H, scale W), every pixel repeated.

    Equal to `F.interpolate(x, scale_factor=scale)`, which neither oneDNN nor the ONNX converter accepts
    (Paddle 3.3.1), and faster. Sizes are never read, so that exported graphs keep height and width free.
    """
    return x.unsqueeze([3, 5]).tile([1, 1, 1, scale, 1, scale]).flatten(4, 5).flatten(2, 3)
