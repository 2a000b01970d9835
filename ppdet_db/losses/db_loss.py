"""The loss that DBNet is trained with."""

from typing import Literal

import paddle
from paddle import Tensor, nn

from ppdet_db.contract import BINARY, SHRINK, THRESHOLD
from ppdet_db.losses.basic import BalanceLoss, DiceLoss, MaskL1Loss
from ppdet_db.registry import LOSSES


@LOSSES.register
class DBLoss(nn.Layer):
    """alpha x L_s + beta x L_t + L_b: shrink map, threshold map and the binary map made of both.

    The paper (arXiv 1911.08947, eq. 6) has L = L_s + alpha x L_b + beta x L_t with alpha = 1 and beta = 10. The
    authors' code and PaddleOCR, whose parameters these are, put alpha on the shrink map instead, and 5 of it; the
    binary map has no weight. So alpha here is not the paper's, beta is.

    L_s is `main_loss_type`, balanced as `BalanceLoss` says: with `BCELoss` by hard negatives, with `DiceLoss` without
    effect. L_t is the mean of |prediction - label| inside the grown texts. L_b is the dice loss.

    A balanced batch without text gives exactly 1, all of it from the binary map, with a gradient of 0: a picture
    without text teaches something only beside one with text. The maps are taken to float32 first, also under AMP.

    Reads:  maps (N, 3, H, W) of preds; shrink_map, shrink_mask, threshold_map, threshold_mask (N, H, W) of the batch
    Gives:  loss, loss_shrink_maps, loss_threshold_maps, loss_binary_maps (), the parts with their weights, their sum

    Args:
        balance_loss: balance text and background in L_s.
        main_loss_type: L_s.
        alpha: weight of the shrink map.
        beta: weight of the threshold map.
        ohem_ratio: with BCELoss, hard negatives a text pixel.
        eps: added to the denominators of L_t and L_b; L_s keeps 1e-6, as in PaddleOCR.
    """

    needs = ("shrink_map", "shrink_mask", "threshold_map", "threshold_mask")

    def __init__(
        self,
        balance_loss: bool = True,
        main_loss_type: Literal["DiceLoss", "BCELoss", "MaskL1Loss"] = "DiceLoss",
        alpha: float = 5,
        beta: float = 10,
        ohem_ratio: float = 3,
        eps: float = 1e-6,
    ):
        for name, value in (("alpha", alpha), ("beta", beta), ("ohem_ratio", ohem_ratio)):
            if value < 0:
                raise ValueError(f"{name} must not be negative, got {value}")
        if eps <= 0:
            raise ValueError(f"eps must be above 0, got {eps}")
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.shrink_loss = BalanceLoss(balance_loss, main_loss_type, ohem_ratio)
        self.threshold_loss = MaskL1Loss(eps)
        self.binary_loss = DiceLoss(eps)

    def forward(self, preds: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        with paddle.amp.auto_cast(enable=False):
            # Unbound, not indexed: the gradient of an index fills all three maps with zeros, three times.
            maps = preds["maps"].astype("float32").unbind(axis=1)
            gt = {key: batch[key].astype("float32") for key in self.needs}
            shrink = self.shrink_loss(maps[SHRINK], gt["shrink_map"], gt["shrink_mask"])
            threshold = self.threshold_loss(maps[THRESHOLD], gt["threshold_map"], gt["threshold_mask"])
            binary = self.binary_loss(maps[BINARY], gt["shrink_map"], gt["shrink_mask"])
            parts = {
                "loss_shrink_maps": self.alpha * shrink,
                "loss_threshold_maps": self.beta * threshold,
                "loss_binary_maps": binary,
            }
            return {"loss": sum(parts.values()), **parts}
