"""The head of DBNet: probability and threshold map, and the differentiable step between them.

Source: Liao et al., Real-time Scene Text Detection with Differentiable Binarization, arXiv 1911.08947, section 3.
"""

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, nn
from paddle.nn.initializer import Constant, KaimingUniform, Uniform

from ppdet_db.registry import HEADS


def approximate_binary_map(probability: paddle.Tensor, threshold: paddle.Tensor, k: float) -> paddle.Tensor:
    """B = 1 / (1 + exp(-k (P - T))), DB paper, eq. 2.

    As a sigmoid: exp(-k (P - T)) itself reaches e^50, and its gradient is NaN where that overflows.
    """
    return F.sigmoid(k * (probability - threshold))


def batch_norm(channels: int) -> nn.BatchNorm2D:
    return nn.BatchNorm2D(
        channels,
        weight_attr=ParamAttr(initializer=Constant(1.0)),
        bias_attr=ParamAttr(initializer=Constant(1e-4)),
    )


def upscale(in_channels: int, out_channels: int) -> nn.Conv2DTranspose:
    """Transposed convolution to twice the height and width, each output pixel from one input pixel."""
    bound = in_channels**-0.5
    return nn.Conv2DTranspose(
        in_channels,
        out_channels,
        kernel_size=2,
        stride=2,
        weight_attr=ParamAttr(initializer=KaimingUniform()),
        bias_attr=ParamAttr(initializer=Uniform(-bound, bound)),
    )


class MapBranch(nn.Layer):
    """Features at stride 4 -> one map before its sigmoid, at full size: (N, C, H/4, W/4) -> (N, 1, H, W)."""

    def __init__(self, in_channels: int):
        super().__init__()
        width = in_channels // 4
        self.conv1 = nn.Conv2D(in_channels, width, 3, padding=1, bias_attr=False)
        self.conv_bn1 = batch_norm(width)
        self.conv2 = upscale(width, width)
        self.conv_bn2 = batch_norm(width)
        self.conv3 = upscale(width, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu(self.conv_bn1(self.conv1(x)))
        x = F.relu(self.conv_bn2(self.conv2(x)))
        return self.conv3(x)


@HEADS.register
class DBHead(nn.Layer):
    """`fused` (N, in_channels, H/4, W/4) -> `maps`: shrink, threshold and approximate binary map (N, 3, H, W) in
    training, the shrink map alone (N, 1, H, W) in evaluation.

    Args:
        in_channels: channels of the neck's output.
        k: steepness of the differentiable step.
    """

    def __init__(self, in_channels: int, k: float = 50):
        super().__init__()
        if in_channels < 4:
            raise ValueError(f"in_channels must be at least 4 (the branches are a quarter as wide), got {in_channels}")
        if k <= 0:
            raise ValueError(f"k must be positive, got {k}")
        self.k = k
        self.binarize = MapBranch(in_channels)
        self.thresh = MapBranch(in_channels)

    def forward(self, features: dict[str, paddle.Tensor]) -> dict[str, paddle.Tensor]:
        fused = features["fused"]
        logits = [self.binarize(fused), self.thresh(fused)] if self.training else [self.binarize(fused)]
        # float32 whatever AMP says: float16 is too coarse for k (P - T), and the losses sum over millions of pixels
        with paddle.amp.auto_cast(enable=False):
            maps = [F.sigmoid(x.astype("float32")) for x in logits]
            if self.training:  # the order is contract.SHRINK, THRESHOLD, BINARY
                maps.append(approximate_binary_map(*maps, self.k))
            return {"maps": paddle.concat(maps, axis=1)}
