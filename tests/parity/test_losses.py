"""Losses and gradients recorded from PaddleOCR 2.10 for ten batches, among them ones without text and all ignored."""

import json

import numpy as np
import paddle
import pytest

from ppdet_db.contract import SHRINK
from ppdet_db.losses.db_loss import DBLoss

PARTS = ("loss", "loss_shrink_maps", "loss_threshold_maps", "loss_binary_maps")
MAIN_LOSSES = ("DiceLoss", "BCELoss", "MaskL1Loss")


def run(inputs, case, settings):
    """Losses as floats and the gradient (N, 3, H, W) of `loss` in the maps."""
    maps = paddle.to_tensor(inputs[f"{case}/maps"], stop_gradient=False)
    batch = {key: paddle.to_tensor(inputs[f"{case}/{key}"]) for key in DBLoss.needs}
    losses = DBLoss(**{key: value for key, value in settings.items() if key != "name"})({"maps": maps}, batch)
    losses["loss"].backward()
    return {key: float(value) for key, value in losses.items()}, maps.grad.numpy()


@pytest.fixture(scope="module")
def inputs(shared):
    return np.load(shared / "parity/loss/inputs.npz")


@pytest.fixture(scope="module")
def records(shared):
    """Those without auxiliary maps (`cbn_maps`), which this loss does not read."""
    records = json.loads((shared / "parity/loss/dbloss_v2.10.json").read_text())
    return [r for r in records if not r["with_cbn"] and r["settings"]["main_loss_type"] in MAIN_LOSSES]


def is_unreduced(record):
    """The peer's defect: BCELoss without balance is one number a pixel, of ignored pixels too."""
    return record["settings"]["main_loss_type"] == "BCELoss" and not record["settings"]["balance_loss"]


def test_losses_and_gradients_equal_the_recorded_ones(inputs, records):
    compared = 0
    for record in records:
        if is_unreduced(record):
            continue
        losses, gradient = run(inputs, record["case"], record["settings"])
        for part in PARTS:
            np.testing.assert_allclose(
                losses[part], record["losses"][part][0], rtol=2e-6, atol=1e-6, err_msg=str(record)
            )
        norms = np.sqrt((gradient.astype(np.float64) ** 2).sum((0, 2, 3)))
        np.testing.assert_allclose(norms, record["grad_l2"], rtol=2e-5, atol=1e-9, err_msg=str(record))
        compared += 1
    assert compared > 60


def test_bce_without_balance_is_one_number_that_honours_the_mask(inputs, records):
    """Where the peer's is unreduced: ours is the mean over the mask, and ignored pixels have no gradient."""
    compared = 0
    for record in filter(is_unreduced, records):
        losses, gradient = run(inputs, record["case"], record["settings"])
        pred, gt = (inputs[f"{record['case']}/{key}"].astype(np.float64) for key in ("maps", "shrink_map"))
        mask = inputs[f"{record['case']}/shrink_mask"]
        pred = pred[:, SHRINK]
        with np.errstate(divide="ignore"):
            pixels = -gt * np.maximum(np.log(pred), -100) - (1 - gt) * np.maximum(np.log(1 - pred), -100)
        expected = record["settings"].get("alpha", 5) * (pixels * mask).sum() / max(mask.sum(), 1)
        np.testing.assert_allclose(losses["loss_shrink_maps"], expected, rtol=1e-5)
        assert np.all(gradient[:, SHRINK][mask == 0] == 0)
        compared += 1
    assert compared > 10
