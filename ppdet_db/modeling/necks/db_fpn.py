"""The feature pyramid of DBNet, with adaptive scale fusion for DBNet++."""

import paddle
from paddle import nn

from ppdet_db.modeling.necks.pyramid import Pyramid, add_top_down, at_finest_size, conv, quarter
from ppdet_db.registry import NECKS


class ASFBlock(nn.Layer):
    """Adaptive scale fusion: every pixel weighs the pyramid's levels against each other.

    Source: Liao et al., Real-Time Scene Text Detection with Differentiable Binarization and Adaptive Scale Fusion,
    arXiv 2202.10304, section 3.2.

    Args:
        in_channels: channels of the concatenated levels.
        inter_channels: channels of the hidden layer.
        out_features_num: number of levels.
    """

    def __init__(self, in_channels: int, inter_channels: int, out_features_num: int = 4):
        super().__init__()
        self.conv = nn.Conv2D(in_channels, inter_channels, 3, padding=1)
        self.spatial_scale = nn.Sequential(conv(1, 1, 3), nn.ReLU(), conv(1, 1, 1), nn.Sigmoid())
        self.channel_scale = nn.Sequential(conv(inter_channels, out_features_num, 1), nn.Sigmoid())

    def forward(self, fused: paddle.Tensor, levels: list[paddle.Tensor]) -> paddle.Tensor:
        """Concatenated levels (N, C, H, W), and the levels (N, C/4, H, W) themselves -> weighed (N, C, H, W)."""
        fused = self.conv(fused)
        scores = self.spatial_scale(fused.mean(axis=1, keepdim=True)) + fused
        scores = self.channel_scale(scores)
        return paddle.concat([scores[:, i : i + 1] * level for i, level in enumerate(levels)], axis=1)


@NECKS.register
class DBFPN(Pyramid):
    """Feature pyramid: levels to one width, added top down, a quarter of the width each, concatenated at stride 4.

    Four features at strides 4, 8, 16, 32 -> `fused` (N, out_channels, H/4, W/4), the coarsest level first.

    Source: Liao et al., Real-time Scene Text Detection with Differentiable Binarization, arXiv 1911.08947, figure 3.

    Args:
        in_channels: channels of the four features.
        out_channels: width of the pyramid, a multiple of 4.
        use_asf: adaptive scale fusion, which makes it DBNet++.
    """

    def __init__(self, in_channels: list[int], out_channels: int = 256, use_asf: bool = False):
        super().__init__()
        width = quarter(out_channels)
        self.out_channels = out_channels
        self.in2_conv = conv(in_channels[0], out_channels, 1)
        self.in3_conv = conv(in_channels[1], out_channels, 1)
        self.in4_conv = conv(in_channels[2], out_channels, 1)
        self.in5_conv = conv(in_channels[3], out_channels, 1)
        self.p5_conv = conv(out_channels, width, 3)
        self.p4_conv = conv(out_channels, width, 3)
        self.p3_conv = conv(out_channels, width, 3)
        self.p2_conv = conv(out_channels, width, 3)
        self.asf = ASFBlock(out_channels, width) if use_asf else None

    def forward(self, features: list[paddle.Tensor]) -> dict[str, paddle.Tensor]:
        c2, c3, c4, c5 = features
        in2, in3, in4, in5 = add_top_down([self.in2_conv(c2), self.in3_conv(c3), self.in4_conv(c4), self.in5_conv(c5)])
        levels = [self.p2_conv(in2), self.p3_conv(in3), self.p4_conv(in4), self.p5_conv(in5)]
        if self.asf is None:
            return self.joined(levels)
        levels = at_finest_size(levels)
        return {"fused": self.asf(paddle.concat(levels, axis=1), levels)}
