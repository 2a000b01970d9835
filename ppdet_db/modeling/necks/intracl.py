"""Collaborative learning within a text: long narrow windows beside square ones, for the gaps in a line of letters.

Source: Du et al., I3CL: Intra- and Inter-Instance Collaborative Learning for Arbitrary-shaped Scene Text Detection,
arXiv 2108.01343, section 3.2.
"""

import paddle
import paddle.nn.functional as F
from paddle import nn

SIZES = (7, 5, 3)


class IntraCLBlock(nn.Layer):
    """x + what a narrow bottleneck sees of it through windows of 7, 5 and 3 pixels: (N, C, H, W) -> the same shape.

    At each size the answers of an upright, a lying and a square window are added, and the next size looks at the sum.

    Args:
        in_channels: C, at least `reduce_factor`.
        reduce_factor: how many times narrower the bottleneck is.
    """

    def __init__(self, in_channels: int, reduce_factor: int = 4):
        super().__init__()
        width = in_channels // reduce_factor
        self.conv1x1_reduce_channel = nn.Conv2D(in_channels, width, 1)
        self.conv1x1_return_channel = nn.Conv2D(width, in_channels, 1)
        for prefix, windows in (
            ("v_layer", [(size, 1) for size in SIZES]),
            ("q_layer", [(1, size) for size in SIZES]),
            ("c_layer", [(size, size) for size in SIZES]),
        ):
            for height, breadth in windows:
                conv = nn.Conv2D(width, width, (height, breadth), padding=(height // 2, breadth // 2))
                self.add_sublayer(f"{prefix}_{height}x{breadth}", conv)
        self.bn = nn.BatchNorm2D(in_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.conv1x1_reduce_channel(x)
        for k in SIZES:
            names = f"c_layer_{k}x{k}", f"v_layer_{k}x1", f"q_layer_1x{k}"
            square, upright, lying = (getattr(self, name)(y) for name in names)
            y = square + upright + lying
        return x + F.relu(self.bn(self.conv1x1_return_channel(y)))


def add_intracl(neck: nn.Layer, channels: int) -> None:
    """Gives a neck one block for each level, `incl1` to `incl4`, the finest first; levels are `channels` wide."""
    if channels < 2:
        raise ValueError(f"out_channels must be at least 8 with intracl, got {4 * channels}")
    for i in range(1, 5):
        neck.add_sublayer(f"incl{i}", IntraCLBlock(channels, reduce_factor=2))


def apply_intracl(neck: nn.Layer, levels: list[paddle.Tensor]) -> list[paddle.Tensor]:
    """The levels, the finest first, after the blocks of `add_intracl`."""
    return [getattr(neck, f"incl{i}")(level) for i, level in enumerate(levels, 1)]
