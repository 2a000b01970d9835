"""The neck of PP-OCRv6's medium detector: LKPAN with depthwise kernels that are several in training."""

import paddle
from paddle import nn

from ppdet_db.modeling.necks.lk_pan import PathAggregation
from ppdet_db.modeling.necks.pyramid import conv
from ppdet_db.modeling.reparam import DilatedReparamBlock
from ppdet_db.registry import NECKS


class DilatedReparamConv(nn.Layer):
    """9x9 depthwise block, then a pointwise convolution and a batch norm.

    (N, in_channels, H, W) -> (N, out_channels, H, W)
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.dw = DilatedReparamBlock(in_channels, 9)
        self.pw = conv(in_channels, out_channels, 1)
        self.bn = nn.BatchNorm2D(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.bn(self.pw(self.dw(x)))


@NECKS.register
class RepLKPAN(PathAggregation):
    """Path aggregation with 9x9 depthwise kernels, four features -> `fused` (N, out_channels, H/4, W/4).

    See PathAggregation, and DilatedReparamBlock for the kernels. Source: PaddleOCR's PP-OCRv6.

    Args:
        in_channels: channels of the four features.
        out_channels: width of the pyramid, a multiple of 4.
        intracl: each level also looks along and across texts, see IntraCLBlock; out_channels is at least 8 then.
    """

    def __init__(self, in_channels: list[int], out_channels: int = 256, intracl: bool = False):
        super().__init__(in_channels, out_channels, DilatedReparamConv, intracl)
