"""The neck of the PP-OCR servers: large kernels, and a second way through the levels, bottom up."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_db.modeling.necks.intracl import add_intracl, apply_intracl
from ppdet_db.modeling.necks.pyramid import Pyramid, add_top_down, conv, each, quarter
from ppdet_db.registry import NECKS


class DSConv(nn.Layer):
    """9x9 depthwise convolution, then two pointwise ones over four times the width; a linear shortcut around all
    three where the width changes.

    (N, in_channels, H, W) -> (N, out_channels, H, W)
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        wide = 4 * in_channels
        self.conv1 = nn.Conv2D(in_channels, in_channels, 9, padding=4, groups=in_channels, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(in_channels)
        self.conv2 = nn.Conv2D(in_channels, wide, 1, bias_attr=False)
        self.bn2 = nn.BatchNorm2D(wide)
        self.conv3 = nn.Conv2D(wide, out_channels, 1, bias_attr=False)
        if in_channels != out_channels:
            self.conv_end = nn.Conv2D(in_channels, out_channels, 1, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.conv3(F.relu(self.bn2(self.conv2(self.bn1(self.conv1(x))))))
        return y + self.conv_end(x) if hasattr(self, "conv_end") else y


class PathAggregation(Pyramid):
    """Levels added top down, narrowed to a quarter, added bottom up, concatenated.

    Four features at strides 4, 8, 16, 32 -> `fused` (N, out_channels, H/4, W/4), the coarsest level first; and, for
    auxiliary maps, the sums top down at strides 4, 8, 16 as `p2`, `p3`, `p4`, each out_channels wide.

    Source: Liu et al., Path Aggregation Network for Instance Segmentation, arXiv 1803.01534.

    Args:
        in_channels: channels of the four features.
        out_channels: width of the pyramid, a multiple of 4.
        large: (inputs, outputs) -> the layer with a large kernel that narrows a level, or follows its last sum.
        intracl: each level also looks along and across texts, see IntraCLBlock; out_channels is at least 8 then.
    """

    def __init__(self, in_channels: list[int], out_channels: int, large: Callable[[int, int], nn.Layer], intracl: bool):
        super().__init__()
        width = quarter(out_channels)
        self.out_channels = out_channels
        self.intracl = intracl
        self.ins_conv = nn.LayerList([conv(channels, out_channels, 1) for channels in in_channels])
        self.inp_conv = nn.LayerList([large(out_channels, width) for _ in in_channels])
        self.pan_head_conv = nn.LayerList([conv(width, width, 3, stride=2) for _ in in_channels[1:]])
        self.pan_lat_conv = nn.LayerList([large(width, width) for _ in in_channels])
        if intracl:
            add_intracl(self, width)

    def forward(self, features: list[paddle.Tensor]) -> dict[str, paddle.Tensor]:
        sums = add_top_down(each(self.ins_conv, features))
        finest, *coarser = each(self.inp_conv, sums)
        paths = [finest]
        for shrink, level in zip(self.pan_head_conv, coarser, strict=True):
            paths.append(level + shrink(paths[-1]))
        levels = each(self.pan_lat_conv, paths)
        if self.intracl:
            levels = apply_intracl(self, levels)
        p2, p3, p4, _ = sums
        return {**self.joined(levels), "p2": p2, "p3": p3, "p4": p4}


@NECKS.register
class LKPAN(PathAggregation):
    """Path aggregation with 9x9 kernels, four features -> `fused` (N, out_channels, H/4, W/4): see PathAggregation.

    Source: Li et al., PP-OCRv3: More Attempts for the Improvement of Ultra Lightweight OCR System, arXiv 2206.03001,
    section 2.1.

    Args:
        in_channels: channels of the four features.
        out_channels: width of the pyramid, a multiple of 4.
        mode: `large` has full 9x9 convolutions, `lite` depthwise ones.
        intracl: each level also looks along and across texts, see IntraCLBlock; out_channels is at least 8 then.
    """

    def __init__(
        self,
        in_channels: list[int],
        out_channels: int = 256,
        mode: Literal["large", "lite"] = "large",
        intracl: bool = False,
    ):
        large = DSConv if mode == "lite" else partial(conv, kernel_size=9)
        super().__init__(in_channels, out_channels, large, intracl)
