"""The head of the PP-OCRv4 and v5 servers: DBNet's, and a look at full size at what it has found."""

from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppdet_db.modeling.heads.db_head import (
    DBHead,
    Features,
    approximate_binary_map,
    fused_or_levels,
    probability,
    stack_maps,
)
from ppdet_db.modeling.layers import ConvBNLayer, upsample_nearest
from ppdet_db.registry import HEADS


class LocalModule(nn.Layer):
    """Features (N, C, H/2, W/2) and a shrink map (N, 1, H, W) -> a better one before its sigmoid, (N, 1, H, W).

    Args:
        in_channels: C.
        mid_channels: width of the hidden layer, at full size.
    """

    def __init__(self, in_channels: int, mid_channels: int):
        super().__init__()
        self.last_3 = ConvBNLayer(in_channels + 1, mid_channels, 3, act=F.relu)
        self.last_1 = nn.Conv2D(mid_channels, 1, 1)

    def forward(self, features: paddle.Tensor, shrink: paddle.Tensor) -> paddle.Tensor:
        x = paddle.concat([shrink.astype(features.dtype), upsample_nearest(features, 2)], axis=1)
        return self.last_1(self.last_3(x))


@HEADS.register
class PFHeadLocal(DBHead):
    """`fused` (N, in_channels, H/4, W/4) -> `maps`: refined shrink, threshold and approximate binary map (N, 3, H, W)
    in training, the mean of the shrink map and the refined one (N, 1, H, W) in evaluation.

    The binary map is made of the shrink map as it was before. Training gives two of the three once more, for losses
    that weigh them apart: `distance_maps`, the refined shrink map, and `cbn_maps`, the binary map.

    Source: PaddleOCR, PP-OCRv4.

    Args:
        in_channels: channels of the neck's output.
        k: see DBHead.
        mode: width of the hidden layer at full size: `large` a quarter of in_channels, `small` an eighth.
        kernel_list: see DBHead.
        fix_nan: see DBHead.
    """

    def __init__(
        self,
        in_channels: int,
        k: float = 50,
        mode: Literal["large", "small"] = "small",
        kernel_list: tuple[int, int, int] = (3, 2, 2),
        fix_nan: bool = False,
    ):
        super().__init__(in_channels, k, kernel_list, fix_nan)
        if in_channels < 8:
            raise ValueError(f"in_channels must be at least 8 (the refinement is an eighth as wide), got {in_channels}")
        self.cbn_layer = LocalModule(in_channels // 4, in_channels // (4 if mode == "large" else 8))

    def forward(self, features: dict[str, Features]) -> dict[str, paddle.Tensor]:
        fused = fused_or_levels(features)
        half_size = self.binarize.features(fused)
        shrink = probability(self.binarize.conv3(half_size))
        refined = probability(self.cbn_layer(half_size, shrink))
        if not self.training:
            with paddle.amp.auto_cast(enable=False):
                return {"maps": 0.5 * (shrink + refined)}
        threshold = probability(self.thresh(fused))
        binary = approximate_binary_map(shrink, threshold, self.k)
        return {"maps": stack_maps(refined, threshold, binary), "distance_maps": refined, "cbn_maps": binary}
