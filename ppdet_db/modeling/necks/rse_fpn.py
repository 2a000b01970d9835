"""The feature pyramid of PP-OCRv3's, v4's and v5's mobile detectors, with squeeze and excitation at every step."""

from paddle import Tensor, nn

from ppdet_db.modeling.layers import SEModule
from ppdet_db.modeling.necks.intracl import add_intracl, apply_intracl
from ppdet_db.modeling.necks.pyramid import Pyramid, add_top_down, conv, each, squeezed_quarter
from ppdet_db.registry import NECKS


class RSELayer(nn.Layer):
    """Convolution, then squeeze and excitation.

    Args:
        shortcut: add the convolution to what it is scaled to.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, shortcut: bool = True):
        super().__init__()
        self.shortcut = shortcut
        self.in_conv = conv(in_channels, out_channels, kernel_size)
        self.se_block = SEModule(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.in_conv(x)
        return x + self.se_block(x) if self.shortcut else self.se_block(x)


@NECKS.register
class RSEFPN(Pyramid):
    """Feature pyramid: levels to one width, added top down, a quarter of the width each, concatenated at stride 4.

    Four features at strides 4, 8, 16, 32 -> `fused` (N, out_channels, H/4, W/4), the coarsest level first.

    Source: Li et al., PP-OCRv3: More Attempts for the Improvement of Ultra Lightweight OCR System, arXiv 2206.03001,
    section 2.1.

    Args:
        in_channels: channels of the four features.
        out_channels: width of the pyramid, a multiple of 4, at least 16.
        shortcut: add each convolution to what its squeeze and excitation makes of it.
        intracl: each level also looks along and across texts, see IntraCLBlock.
    """

    def __init__(self, in_channels: list[int], out_channels: int = 256, shortcut: bool = True, intracl: bool = False):
        super().__init__()
        width = squeezed_quarter(out_channels)
        self.out_channels = out_channels
        self.ins_conv = nn.LayerList([RSELayer(channels, out_channels, 1, shortcut) for channels in in_channels])
        self.inp_conv = nn.LayerList([RSELayer(out_channels, width, 3, shortcut) for _ in in_channels])
        self.intracl = intracl
        if intracl:
            add_intracl(self, width)

    def forward(self, features: list[Tensor]) -> dict[str, Tensor]:
        levels = each(self.inp_conv, add_top_down(each(self.ins_conv, features)))
        if self.intracl:
            levels = apply_intracl(self, levels)
        return self.joined(levels)
