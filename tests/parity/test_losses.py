"""Losses and gradients recorded from PaddleOCR 2.10 and main for ten batches, some of them without text or all ignored.

Every record of the folder is compared, or it is one of three defects of the peer, for each of which there is a test.
"""

import json

import numpy as np
import paddle
import pytest

from ppdet_db.config import check_section
from ppdet_db.contract import SHRINK
from ppdet_db.errors import ConfigError
from ppdet_db.losses.db_loss import DBLoss

CBN_TOO = ("loss", "loss_shrink_maps", "loss_threshold_maps", "loss_binary_maps", "loss_cbn")


def run(inputs, record):
    """Losses as floats and the gradient (N, 3, H, W) of `loss` in the maps."""
    case = record["case"]
    maps = paddle.to_tensor(inputs[f"{case}/maps"], stop_gradient=False)
    preds = {"maps": maps}
    if record["with_cbn"]:
        preds |= {"distance_maps": maps, "cbn_maps": paddle.to_tensor(inputs[f"{case}/cbn_maps"])}
    batch = {key: paddle.to_tensor(inputs[f"{case}/{key}"]) for key in DBLoss.needs}
    losses = check_section("Loss", record["settings"]).build()(preds, batch)
    losses["loss"].backward()
    return {key: float(value) for key, value in losses.items()}, maps.grad.numpy()


def assert_equal(inputs, record):
    losses, gradient = run(inputs, record)
    assert set(losses) == {*CBN_TOO} - ({"loss_cbn"} if not record["with_cbn"] else set())
    for part, (expected,) in record["losses"].items():  # the peer reports a loss_cbn of 0 where there is none
        np.testing.assert_allclose(losses.get(part, 0.0), expected, rtol=2e-6, atol=1e-6, err_msg=f"{part} {record}")
    norms = np.sqrt((gradient.astype(np.float64) ** 2).sum((0, 2, 3)))
    np.testing.assert_allclose(norms, record["grad_l2"], rtol=2e-5, atol=1e-9, err_msg=str(record))
    sums = gradient.astype(np.float64).sum((0, 2, 3))
    np.testing.assert_allclose(sums, record["grad_sum"], rtol=2e-5, atol=2e-5 * norms.max(), err_msg=str(record))


@pytest.fixture(scope="module")
def inputs(shared):
    return np.load(shared / "parity/loss/inputs.npz")


@pytest.fixture(scope="module")
def records(shared):
    return [r for file in sorted((shared / "parity/loss").glob("*.json")) for r in json.loads(file.read_text())]


def main_loss(record):
    return record["settings"]["main_loss_type"]


def is_unreduced(record):
    """BCELoss without balance is one number a pixel, of ignored pixels too."""
    return main_loss(record) == "BCELoss" and not record["settings"]["balance_loss"]


def is_refused_too(record):
    """Losses that crash there (Euclidean), or that nobody has made work (CrossEntropy)."""
    return main_loss(record) in ("Euclidean", "CrossEntropy")


def test_losses_and_gradients_equal_the_recorded_ones(inputs, records):
    compared = [r for r in records if "error" not in r and not is_unreduced(r) and not is_refused_too(r)]
    for record in compared:
        assert_equal(inputs, record)
    assert {main_loss(r) for r in compared} == {"BCELoss", "DiceFocalLoss", "DiceLoss", "MaskL1Loss"}
    assert {r["with_cbn"] for r in compared} == {True, False}


def test_bce_without_balance_is_one_number_that_honours_the_mask(inputs, records):
    """Where the peer's is unreduced: ours is the mean over the mask, and ignored pixels have no gradient."""
    compared = [r for r in records if is_unreduced(r)]
    for record in compared:
        losses, gradient = run(inputs, record)
        mask = inputs[f"{record['case']}/shrink_mask"]

        def expected(key, mask=mask, record=record):
            pred, gt = (inputs[f"{record['case']}/{name}"].astype(np.float64) for name in (key, "shrink_map"))
            with np.errstate(divide="ignore"):
                logarithms = [np.maximum(np.log(p), -100) for p in (pred[:, SHRINK], 1 - pred[:, SHRINK])]
            return -((gt * logarithms[0] + (1 - gt) * logarithms[1]) * mask).sum() / max(mask.sum(), 1)

        alpha = record["settings"].get("alpha", 5)
        np.testing.assert_allclose(losses["loss_shrink_maps"], alpha * expected("maps"), rtol=1e-5)
        if record["with_cbn"]:
            np.testing.assert_allclose(losses["loss_cbn"], expected("cbn_maps"), rtol=1e-5)
        assert np.all(gradient[:, SHRINK][mask == 0] == 0)
    assert {r["with_cbn"] for r in compared} == {True, False}


def test_what_only_one_release_refuses_is_computed(inputs, records):
    """BCELoss and MaskL1Loss on main, with which its own DB++ files cannot train; DiceFocalLoss did not exist in 2.10.

    Where the other release has the numbers, `test_losses_and_gradients_equal_the_recorded_ones` compares them.
    """
    refused = [r for r in records if "error" in r and not is_refused_too(r)]
    for record in refused:
        losses, gradient = run(inputs, record)
        parts = sum(value for name, value in losses.items() if name != "loss")
        assert losses["loss"] == pytest.approx(parts, rel=1e-6), record
        assert np.isfinite(losses["loss"]), record
        assert np.isfinite(gradient).all(), record
    assert {main_loss(r) for r in refused} == {"BCELoss", "DiceFocalLoss", "MaskL1Loss"}


def test_what_no_release_computes_is_refused_by_the_config(records):
    refused = [r for r in records if is_refused_too(r)]
    for record in refused:
        with pytest.raises(ConfigError, match="main_loss_type: must be"):
            check_section("Loss", record["settings"])
    assert refused
