"""PP-LCNetV3, the backbone of PP-OCRv4's and PP-OCRv5's mobile detectors: PP-LCNet with re-parameterised convolutions.

Source: PaddleOCR's PP-OCRv4 report; PP-LCNet is Cui et al., arXiv 2109.15099.
"""

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ppdet_db.modeling.cpu import Conv2D, channel_affine, is_faster_here
from ppdet_db.modeling.layers import (
    PADDLE_SLOPE,
    ConvBNLayer,
    LearnableAffine,
    SEModule,
    batch_norm,
    kaiming_normal,
    require_detection,
    round_channels,
)
from ppdet_db.modeling.parallel import have_batch_statistics, sum_of_parallel
from ppdet_db.modeling.reparam import fold, identity_kernel, pad_kernel, plain_conv
from ppdet_db.registry import BACKBONES

BLOCKS = {  # kernel size, output channels, stride, squeeze and excitation
    "blocks2": ((3, 32, 1, False),),
    "blocks3": ((3, 64, 2, False), (3, 64, 1, False)),
    "blocks4": ((3, 128, 2, False), (3, 128, 1, False)),
    "blocks5": ((3, 256, 2, False), *[(5, 256, 1, False)] * 4),
    "blocks6": ((5, 512, 2, True), (5, 512, 1, True), *[(5, 512, 1, False)] * 2),
}
FEATURES = (16, 24, 56, 480)  # as wide as MobileNetV3's, so that necks stay light


class AffineHardswish(nn.Layer):
    """Hardswish, then scale and shift.

    Args:
        lr_mult: factor on the learning rate of the two numbers.
    """

    def __init__(self, lr_mult: float = 1.0):
        super().__init__()
        self.lab = LearnableAffine(lr_mult)

    def forward(self, x: Tensor) -> Tensor:
        return self.lab(F.hardswish(x))


class LearnableRepConv(nn.Layer):
    """Several k x k convolutions, one 1x1 where k > 1, and the input where the shape stays, each with its batch norm;
    their sum is scaled and shifted, and activated if the stride is not 2. One convolution afterwards.

    Args:
        branches: number of k x k convolutions.
        lr_mult: factor on the learning rate of all weights.
        lab_lr: further factor on that of scales and shifts.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        branches: int = 4,
        lr_mult: float = 1.0,
        lab_lr: float = 0.1,
    ):
        super().__init__()
        self.in_channels, self.groups, self.kernel_size, self.stride = in_channels, groups, kernel_size, stride

        def conv(size: int) -> ConvBNLayer:
            return ConvBNLayer(in_channels, out_channels, size, stride, groups, lr_mult=lr_mult, decay_norm=False)

        keeps_shape = in_channels == out_channels and stride == 1
        self.identity = batch_norm(in_channels, lr_mult) if keeps_shape else None
        self.conv_kxk = nn.LayerList([conv(kernel_size) for _ in range(branches)])
        self.conv_1x1 = conv(1) if kernel_size > 1 else None
        self.lab = LearnableAffine(lr_mult * lab_lr)
        self.act = AffineHardswish(lr_mult * lab_lr)  # unused at stride 2, but there in every weights file

    def forward(self, x: Tensor) -> Tensor:
        y = self.lab(self._sum_of_branches(x))
        return y if self.stride == 2 else self.act(y)

    def fused(self) -> "FusedRepConv":
        folded = [self._folded(branch) for branch in self._branches()]
        kernel = paddle.add_n([pad_kernel(kernel, self.kernel_size) for kernel, _ in folded])
        bias = paddle.add_n([bias for _, bias in folded])
        conv = plain_conv(kernel, bias, self.stride, self.groups)
        return FusedRepConv(conv, self.lab, None if self.stride == 2 else self.act)

    def _sum_of_branches(self, x: Tensor) -> Tensor:
        branches = self._branches()
        norms = [self._norm(branch) for branch in branches]
        if self.kernel_size > 1 and is_faster_here(x) and have_batch_statistics(norms):
            kernels = [pad_kernel(self._kernel(branch), self.kernel_size) for branch in branches]
            return sum_of_parallel(x, kernels, norms, self.stride, self.groups)
        return sum(branch(x) for branch in branches)

    def _branches(self) -> list[nn.Layer]:
        return [b for b in (self.identity, self.conv_1x1, *self.conv_kxk) if b is not None]

    def _folded(self, branch: nn.Layer) -> tuple[Tensor, Tensor]:
        return fold(self._kernel(branch), self._norm(branch))

    def _kernel(self, branch: nn.Layer) -> Tensor:
        return identity_kernel(self.in_channels, self.groups) if branch is self.identity else branch.conv.weight

    def _norm(self, branch: nn.Layer) -> nn.BatchNorm2D:
        return branch if branch is self.identity else branch.bn


class FusedRepConv(nn.Layer):
    """What a LearnableRepConv becomes: one convolution, scaled and shifted, and activated if there is an activation."""

    def __init__(self, conv: Conv2D, lab: LearnableAffine, act: AffineHardswish | None):
        super().__init__()
        self.reparam_conv = conv
        self.lab = lab
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        conv, lab = self.reparam_conv, self.lab
        if is_faster_here(x):  # scale (conv + bias) + shift, in one go
            scale = lab.scale.expand_as(conv.bias)
            y = channel_affine(conv.without_bias(x), scale, scale * conv.bias + lab.bias)
        else:
            y = lab(conv(x))
        return y if self.act is None else self.act(y)


class LCNetV3Block(nn.Layer):
    """Depthwise convolution, then a 1x1 convolution, both re-parameterised.

    Args:
        use_se: squeeze and excitation between the two.
        branches: see LearnableRepConv.
        lr_mult: see LearnableRepConv.
        lab_lr: see LearnableRepConv.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        use_se: bool,
        branches: int,
        lr_mult: float,
        lab_lr: float,
    ):
        super().__init__()
        self.dw_conv = LearnableRepConv(
            in_channels, in_channels, kernel_size, stride, in_channels, branches, lr_mult, lab_lr
        )
        self.se = SEModule(in_channels, slope=PADDLE_SLOPE, lr_mult=lr_mult) if use_se else None
        self.pw_conv = LearnableRepConv(in_channels, out_channels, 1, 1, 1, branches, lr_mult, lab_lr)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dw_conv(x)
        if self.se is not None:
            x = self.se(x)
        return self.pw_conv(x)


@BACKBONES.register
class PPLCNetV3(nn.Layer):
    """PP-LCNetV3 for detection, (N, in_channels, H, W) -> features at strides 4, 8, 16, 32.

    Convolutions start from N(0, sqrt(2 / fan_in)), batch norms as the identity. The batch norms behind convolutions
    are spared weight decay; those of the identity branches are not.

    Args:
        in_channels: channels of the picture.
        scale: all channels are multiplied by it; those of the blocks are rounded to multiples of 16.
        conv_kxk_num: parallel convolutions in each block while training.
        lr_mult_list: factors on the learning rate of the stem and of the five stages behind it; the four convolutions
            that make the features learn at the full rate.
        lab_lr: further factor on the learning rate of the scales and shifts behind convolutions and activations.
        det: True; PaddleOCR's other layout, for text recognition, is not here.
    """

    def __init__(
        self,
        in_channels: int = 3,
        scale: float = 1.0,
        conv_kxk_num: int = 4,
        lr_mult_list: tuple[float, float, float, float, float, float] = (1.0,) * 6,
        lab_lr: float = 0.1,
        det: bool = True,
    ):
        super().__init__()
        require_detection(det)
        if scale < 1 / FEATURES[0]:
            raise ValueError(f"scale must be at least {1 / FEATURES[0]}, got {scale}")
        if conv_kxk_num < 1:
            raise ValueError(f"conv_kxk_num must be at least 1, got {conv_kxk_num}")
        if len(lr_mult_list) != 1 + len(BLOCKS) or min(lr_mult_list) < 0:
            raise ValueError(f"lr_mult_list must be six factors, none below 0, got {list(lr_mult_list)}")
        if lab_lr < 0:
            raise ValueError(f"lab_lr must not be below 0, got {lab_lr}")
        stem_lr, *stage_lrs = lr_mult_list
        channels = round_channels(16 * scale, 16)
        self.conv1 = ConvBNLayer(in_channels, channels, 3, stride=2, lr_mult=stem_lr, decay_norm=False)
        ends = []
        for (name, blocks), lr_mult in zip(BLOCKS.items(), stage_lrs, strict=True):
            stage = []
            for kernel_size, width, stride, use_se in blocks:
                in_block, channels = channels, round_channels(width * scale, 16)
                stage.append(
                    LCNetV3Block(in_block, channels, kernel_size, stride, use_se, conv_kxk_num, lr_mult, lab_lr)
                )
            self.add_sublayer(name, nn.Sequential(*stage))
            ends.append(channels)
        self.out_channels = [int(width * scale) for width in FEATURES]
        self.layer_list = nn.LayerList(
            [Conv2D(end, width, 1) for end, width in zip(ends[1:], self.out_channels, strict=True)]
        )
        kaiming_normal(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.blocks2(self.conv1(x))
        features = []
        for stage, conv in zip((self.blocks3, self.blocks4, self.blocks5, self.blocks6), self.layer_list, strict=True):
            x = stage(x)
            features.append(conv(x))
        return features
