"""The head of DBNet: probability and threshold map, and the differentiable step between them.

Source: Liao et al., Real-time Scene Text Detection with Differentiable Binarization, arXiv 1911.08947, section 3.
"""

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, nn
from paddle.nn.initializer import Constant, KaimingUniform, Uniform

from ppdet_db.modeling.cpu import Conv2D, Conv2DTranspose
from ppdet_db.modeling.necks.pyramid import conv_at_finest_size
from ppdet_db.registry import HEADS

AUX_SCALES = {"p4": 4, "p3": 2, "p2": 1}
"""The levels that auxiliary maps are made of: stride / 4."""


def probability(logits: paddle.Tensor) -> paddle.Tensor:
    """Sigmoid in float32 whatever AMP says: the losses sum over millions of pixels."""
    with paddle.amp.auto_cast(enable=False):
        return F.sigmoid(logits.astype("float32"))


def approximate_binary_map(probability: paddle.Tensor, threshold: paddle.Tensor, k: float) -> paddle.Tensor:
    """B = 1 / (1 + exp(-k (P - T))), DB paper, eq. 2.

    As a sigmoid: exp(-k (P - T)) itself reaches e^50, and its gradient is NaN where that overflows. Not under AMP:
    float16 is too coarse for k (P - T).
    """
    with paddle.amp.auto_cast(enable=False):
        return F.sigmoid(k * (probability - threshold))


def stack_maps(shrink: paddle.Tensor, threshold: paddle.Tensor, binary: paddle.Tensor) -> paddle.Tensor:
    """In the order of contract.SHRINK, THRESHOLD, BINARY: three (N, 1, H, W) -> (N, 3, H, W)."""
    with paddle.amp.auto_cast(enable=False):
        return paddle.concat([shrink, threshold, binary], axis=1)


def batch_norm(channels: int) -> nn.BatchNorm2D:
    return nn.BatchNorm2D(
        channels,
        weight_attr=ParamAttr(initializer=Constant(1.0)),
        bias_attr=ParamAttr(initializer=Constant(1e-4)),
    )


def upscale(in_channels: int, out_channels: int) -> Conv2DTranspose:
    """Transposed convolution to twice the height and width, each output pixel from one input pixel."""
    bound = in_channels**-0.5
    return Conv2DTranspose(
        in_channels,
        out_channels,
        kernel_size=2,
        stride=2,
        weight_attr=ParamAttr(initializer=KaimingUniform()),
        bias_attr=ParamAttr(initializer=Uniform(-bound, bound)),
    )


Features = paddle.Tensor | list[paddle.Tensor]
"""At stride 4 (N, C, H/4, W/4), or the levels that they are made of, see `conv_at_finest_size`."""


class MapBranch(nn.Layer):
    """Features -> one map before its sigmoid, at full size (N, 1, H, W).

    Args:
        in_channels: C.
        kernel_list: sizes of the three kernels, see DBHead.
        fix_nan: see DBHead.
    """

    def __init__(self, in_channels: int, kernel_list: Sequence[int] = (3, 2, 2), fix_nan: bool = False):
        super().__init__()
        width = in_channels // 4
        size = kernel_list[0]
        self.fix_nan = fix_nan
        self.conv1 = Conv2D(in_channels, width, size, padding=size // 2, bias_attr=False)
        self.conv_bn1 = batch_norm(width)
        self.conv2 = upscale(width, width)
        self.conv_bn2 = batch_norm(width)
        self.conv3 = upscale(width, 1)

    def features(self, x: Features) -> paddle.Tensor:
        """What the map is made of: (N, C/4, H/2, W/2)."""
        x = conv_at_finest_size(x, self.conv1.weight) if isinstance(x, list) else self.conv1(x)
        x = self._without_nan(F.relu(self.conv_bn1(x)))
        return self._without_nan(F.relu(self.conv_bn2(self.conv2(x))))

    def forward(self, x: Features) -> paddle.Tensor:
        return self.conv3(self.features(x))

    def _without_nan(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.where(x.isnan(), paddle.zeros_like(x), x) if self.fix_nan and self.training else x


def fused_or_levels(features: dict[str, Features]) -> Features:
    return features["levels"] if "levels" in features else features["fused"]


@HEADS.register
class DBHead(nn.Layer):
    """`fused` (N, in_channels, H/4, W/4) -> `maps`: shrink, threshold and approximate binary map (N, 3, H, W) in
    training, the shrink map alone (N, 1, H, W) in evaluation. A neck may give `levels` in the place of `fused`.

    With `aux_in_channels`, training has the same three maps from the neck's `p2`, `p3` and `p4` too, each enlarged to
    stride 4 first: `aux_maps_p2`, `aux_maps_p3`, `aux_maps_p4`. Evaluation does not compute them.

    Args:
        in_channels: channels of the neck's output.
        k: steepness of the differentiable step.
        kernel_list: sizes of a branch's kernels: an odd one, then 2 and 2, which double height and width.
        fix_nan: in training, NaN behind a branch's batch norms becomes 0, as in PaddleOCR 2.10; its newest release
            accepts the parameter and does nothing. There is little to fix: the binary map, a sigmoid here, does not
            overflow, and on a CPU Paddle's relu makes NaN 0 anyway. Nothing is mended either: the loss stays finite,
            while gradients and the batch norms' running statistics are NaN, and saving refuses such weights.
        aux_in_channels: channels of `p2`, `p3` and `p4`; 0 for no auxiliary maps. RepLKFPN, RepLKPAN and LKPAN have
            these levels, `out_channels` wide.
    """

    takes_levels = True

    def __init__(
        self,
        in_channels: int,
        k: float = 50,
        kernel_list: tuple[int, int, int] = (3, 2, 2),
        fix_nan: bool = False,
        aux_in_channels: int = 0,
    ):
        super().__init__()
        if in_channels < 4:
            raise ValueError(f"in_channels must be at least 4 (the branches are a quarter as wide), got {in_channels}")
        if k <= 0:
            raise ValueError(f"k must be positive, got {k}")
        size, *doubling = kernel_list
        if size < 1 or size % 2 == 0 or doubling != [2, 2]:
            raise ValueError(f"kernel_list must be [odd, 2, 2] to keep the picture's size, got {list(kernel_list)}")
        if aux_in_channels != 0 and aux_in_channels < 4:
            raise ValueError(f"aux_in_channels must be 0 or at least 4, got {aux_in_channels}")
        self.k = k
        self.aux_in_channels = aux_in_channels
        self.binarize = MapBranch(in_channels, kernel_list, fix_nan)
        self.thresh = MapBranch(in_channels, kernel_list, fix_nan)
        if aux_in_channels:
            for level in AUX_SCALES:
                for kind in ("binarize", "thresh"):
                    self.add_sublayer(f"aux_{kind}_{level}", MapBranch(aux_in_channels, kernel_list, fix_nan))

    def forward(self, features: dict[str, Features]) -> dict[str, paddle.Tensor]:
        fused = fused_or_levels(features)
        if not self.training:
            return {"maps": probability(self.binarize(fused))}
        outputs = {"maps": self._three_maps(fused, self.binarize, self.thresh)}
        if self.aux_in_channels:
            for level, scale in AUX_SCALES.items():
                x = features[level]
                if scale > 1:
                    x = F.interpolate(x, scale_factor=scale, mode="bilinear")
                branches = (getattr(self, f"aux_{kind}_{level}") for kind in ("binarize", "thresh"))
                outputs[f"aux_maps_{level}"] = self._three_maps(x, *branches)
        return outputs

    def _three_maps(self, x: Features, binarize: MapBranch, thresh: MapBranch) -> paddle.Tensor:
        shrink, threshold = probability(binarize(x)), probability(thresh(x))
        return stack_maps(shrink, threshold, approximate_binary_map(shrink, threshold, self.k))
