"""The loss that DBNet is trained with."""

from typing import Literal

import paddle
from paddle import Tensor, nn

from ppdet_db.contract import BINARY, SHRINK, THRESHOLD
from ppdet_db.losses.basic import BalanceLoss, DiceFocalLoss, DiceLoss, MaskL1Loss
from ppdet_db.registry import LOSSES


@LOSSES.register
class DBLoss(nn.Layer):
    """alpha x L_s + beta x L_t + L_b: shrink map, threshold map and the binary map made of both.

    The paper (arXiv 1911.08947, eq. 6) has L = L_s + alpha x L_b + beta x L_t with alpha = 1 and beta = 10. The
    authors' code and PaddleOCR, whose parameters these are, put alpha on the shrink map instead, and 5 of it; the
    binary map has no weight. So alpha here is not the paper's, beta is.

    L_s is `main_loss_type`, balanced as `BalanceLoss` says: with `BCELoss` by hard negatives, with `DiceLoss` without
    effect. L_t is the mean of |prediction - label| inside the grown texts. L_b is the dice loss. With `DiceFocalLoss`
    both L_s and L_b are that, and nothing is balanced.

    A head may give more maps. `PFHeadLocal` gives its binary map again, as cbn_maps: it adds L_s of that, without
    alpha. Auxiliary maps (PP-OCRv6) add the whole loss of each, times its `aux_weight`; what is reported of them is
    before that weight, as in PaddleOCR's log.

    A balanced batch without text gives exactly 1, all of it from the binary map, with a gradient of 0: a picture
    without text teaches something only beside one with text, but for the focal part of `DiceFocalLoss`. The maps are
    taken to float32 first, also under AMP.

    Reads:  maps (N, 3, H, W) of preds, and where they are there cbn_maps (N, 1, H, W), aux_maps_p2 to aux_maps_p4
            (N, 3, H, W); shrink_map, shrink_mask, threshold_map, threshold_mask (N, H, W) of the batch
    Gives:  loss, loss_shrink_maps, loss_threshold_maps, loss_binary_maps (), the parts with their weights; loss_cbn,
            loss_aux_maps_p2 to loss_aux_maps_p4 for the further maps

    Args:
        balance_loss: balance text and background in L_s.
        main_loss_type: L_s.
        alpha: weight of the shrink map.
        beta: weight of the threshold map.
        ohem_ratio: with BCELoss, hard negatives a text pixel.
        eps: added to the denominators of L_t and L_b, and with DiceFocalLoss of L_s, which else keeps 1e-6, as in
            PaddleOCR.
        focal_alpha: with DiceFocalLoss, weight of text against 1 - focal_alpha of background.
        focal_gamma: with DiceFocalLoss, how little pixels add that are right already.
        dice_weight: with DiceFocalLoss, weight of its dice loss.
        focal_weight: with DiceFocalLoss, weight of its focal loss.
        aux_weight_p2: weight of the auxiliary maps from the neck's finest level; 0 leaves them untrained.
        aux_weight_p3: of those from the next coarser one.
        aux_weight_p4: of those from the next coarser one.
    """

    needs = ("shrink_map", "shrink_mask", "threshold_map", "threshold_mask")

    def __init__(
        self,
        balance_loss: bool = True,
        main_loss_type: Literal["DiceLoss", "BCELoss", "MaskL1Loss", "DiceFocalLoss"] = "DiceLoss",
        alpha: float = 5,
        beta: float = 10,
        ohem_ratio: float = 3,
        eps: float = 1e-6,
        focal_alpha: float = 0.25,
        focal_gamma: float = 2.0,
        dice_weight: float = 1.0,
        focal_weight: float = 1.0,
        aux_weight_p2: float = 0.0,
        aux_weight_p3: float = 0.0,
        aux_weight_p4: float = 0.0,
    ):
        aux_weights = {"aux_weight_p2": aux_weight_p2, "aux_weight_p3": aux_weight_p3, "aux_weight_p4": aux_weight_p4}
        focal = {"focal_gamma": focal_gamma, "dice_weight": dice_weight, "focal_weight": focal_weight}
        for name, value in {"alpha": alpha, "beta": beta, "ohem_ratio": ohem_ratio, **focal, **aux_weights}.items():
            if value < 0:
                raise ValueError(f"{name} must not be negative, got {value}")
        if not 0 <= focal_alpha <= 1:
            raise ValueError(f"focal_alpha must be in [0, 1], got {focal_alpha}")
        if eps <= 0:
            raise ValueError(f"eps must be above 0, got {eps}")
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.aux_weights = {name.replace("weight", "maps"): weight for name, weight in aux_weights.items()}
        self.threshold_loss = MaskL1Loss(eps)
        if main_loss_type == "DiceFocalLoss":
            self.shrink_loss = self.binary_loss = DiceFocalLoss(
                dice_weight, focal_weight, focal_alpha, focal_gamma, eps
            )
        else:
            self.shrink_loss = BalanceLoss(balance_loss, main_loss_type, ohem_ratio)
            self.binary_loss = DiceLoss(eps)

    def forward(self, preds: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        with paddle.amp.auto_cast(enable=False):
            gt = {key: batch[key].astype("float32") for key in self.needs}
            parts = self._parts(preds["maps"], gt)
            if "cbn_maps" in preds:
                again = preds["cbn_maps"].astype("float32").squeeze(1)
                parts["loss_cbn"] = self.shrink_loss(again, gt["shrink_map"], gt["shrink_mask"])
            losses = {"loss": sum(parts.values()), **parts}
            for key, weight in self.aux_weights.items():
                if weight and key in preds:
                    losses[f"loss_{key}"] = sum(self._parts(preds[key], gt).values())
                    losses["loss"] = losses["loss"] + weight * losses[f"loss_{key}"]
            return losses

    def _parts(self, maps: Tensor, gt: dict[str, Tensor]) -> dict[str, Tensor]:
        """The three losses of (N, 3, H, W) maps, with their weights."""
        # Unbound, not indexed: the gradient of an index fills all three maps with zeros, three times.
        maps = maps.astype("float32").unbind(axis=1)
        shrink = self.shrink_loss(maps[SHRINK], gt["shrink_map"], gt["shrink_mask"])
        threshold = self.threshold_loss(maps[THRESHOLD], gt["threshold_map"], gt["threshold_mask"])
        binary = self.binary_loss(maps[BINARY], gt["shrink_map"], gt["shrink_mask"])
        return {
            "loss_shrink_maps": self.alpha * shrink,
            "loss_threshold_maps": self.beta * threshold,
            "loss_binary_maps": binary,
        }
