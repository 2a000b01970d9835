"""The feature pyramid of PP-OCRv6's tiny and small detectors: RSEFPN with larger, depthwise kernels."""

from paddle import Tensor, nn

from ppdet_db.modeling.layers import SEModule
from ppdet_db.modeling.necks.intracl import add_intracl, apply_intracl
from ppdet_db.modeling.necks.pyramid import Pyramid, add_top_down, conv, each, squeezed_quarter
from ppdet_db.modeling.necks.rse_fpn import RSELayer
from ppdet_db.modeling.reparam import DilatedReparamBlock
from ppdet_db.registry import NECKS


@NECKS.register
class RepLKFPN(Pyramid):
    """Feature pyramid: levels to one width, added top down, a quarter of the width each, concatenated at stride 4.

    Four features at strides 4, 8, 16, 32 -> `fused` (N, out_channels, H/4, W/4), the coarsest level first; and, for
    auxiliary maps, the sums at strides 4, 8, 16 as `p2`, `p3`, `p4`, each out_channels wide.

    Source: PaddleOCR's PP-OCRv6; DilatedReparamBlock for the kernels.

    Args:
        in_channels: channels of the four features.
        out_channels: width of the pyramid, a multiple of 4, at least 16.
        dilated_kernel_size: of the depthwise convolutions: 5, 7, 9, 11 or 13.
        shortcut: add each convolution to what its squeeze and excitation makes of it.
        intracl: each level also looks along and across texts, see IntraCLBlock.
    """

    def __init__(
        self,
        in_channels: list[int],
        out_channels: int = 256,
        dilated_kernel_size: int = 7,
        shortcut: bool = True,
        intracl: bool = False,
    ):
        super().__init__()
        width = squeezed_quarter(out_channels)
        if dilated_kernel_size not in DilatedReparamBlock.OTHERS:
            sizes = ", ".join(map(str, DilatedReparamBlock.OTHERS))
            raise ValueError(f"dilated_kernel_size must be one of {sizes}, got {dilated_kernel_size}")
        self.out_channels = out_channels
        self.shortcut = shortcut
        self.intracl = intracl
        self.ins_conv = nn.LayerList([RSELayer(channels, out_channels, 1, shortcut) for channels in in_channels])
        self.inp_conv_dw = nn.LayerList([DilatedReparamBlock(out_channels, dilated_kernel_size) for _ in in_channels])
        self.inp_conv_pw = nn.LayerList([conv(out_channels, width, 1) for _ in in_channels])
        self.inp_conv_se = nn.LayerList([SEModule(width) for _ in in_channels])
        if intracl:
            add_intracl(self, width)

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        sums = add_top_down(each(self.ins_conv, features))
        levels = []
        for x, large, narrow, se in zip(sums, self.inp_conv_dw, self.inp_conv_pw, self.inp_conv_se, strict=True):
            x = narrow(large(x))
            levels.append(x + se(x) if self.shortcut else se(x))
        if self.intracl:
            levels = apply_intracl(self, levels)
        p2, p3, p4, _ = sums
        return {**self.joined(levels), "p2": p2, "p3": p3, "p4": p4}
