"""DBLoss: weights, dtypes, further maps, and the batches that teach nothing."""

import inspect

import numpy as np
import paddle
import pytest

from ppdet_db.contract import BINARY, KEYS, SHRINK, THRESHOLD
from ppdet_db.losses.basic import BCELoss, DiceFocalLoss, DiceLoss
from ppdet_db.losses.db_loss import DBLoss
from ppdet_db.registry import LOSSES

PARTS = ("loss_shrink_maps", "loss_threshold_maps", "loss_binary_maps")

# One picture of 2 x 2: dice of the shrink map 1/3, L1 of the threshold map 0.15, dice of the binary map 0.2.
MAPS = np.array([[[[0.8, 0.2], [0.4, 0.6]], [[0.5, 0.4], [0.3, 0.9]], [[0.8, 0.2], [0.0, 0.7]]]], "float32")
BATCH = {
    "shrink_map": np.array([[[1, 0], [0, 0]]], "float32"),
    "shrink_mask": np.array([[[1, 1], [1, 0]]], "float32"),
    "threshold_map": np.array([[[0.7, 0.3], [0.3, 0.3]]], "float32"),
    "threshold_mask": np.array([[[1, 1], [0, 0]]], "float32"),
}


def random_case(seed=0, n=2, size=8):
    """Maps within (0.05, 0.95) and a batch in which a third is text and a fifth ignored."""
    rng = np.random.default_rng(seed)
    batch = {
        "shrink_map": rng.random((n, size, size)) < 0.3,
        "shrink_mask": rng.random((n, size, size)) < 0.8,
        "threshold_map": rng.uniform(0.3, 0.7, (n, size, size)),
        "threshold_mask": rng.random((n, size, size)) < 0.5,
    }
    return rng.uniform(0.05, 0.95, (n, 3, size, size)).astype("float32"), {
        key: value.astype("float32") for key, value in batch.items()
    }


def run(maps, batch, **settings):
    """Losses, and the gradient of `loss` in the maps."""
    maps = paddle.to_tensor(maps, stop_gradient=False)
    losses = DBLoss(**settings)({"maps": maps}, {key: paddle.to_tensor(value) for key, value in batch.items()})
    losses["loss"].backward()
    return losses, maps.grad


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (5 / 3, 1.5, 0.2)),
        ({"alpha": 1, "beta": 2}, (1 / 3, 0.3, 0.2)),
        ({"alpha": 0, "beta": 0}, (0, 0, 0.2)),
        ({"eps": 1}, (5 / 3, 10 * 0.3 / (2 + 1), 1 - 1.6 / (2 + 1))),
    ],
)
def test_parts_carry_their_weights_and_sum_to_the_loss(settings, expected):
    losses, _ = run(MAPS, BATCH, **settings)
    assert [float(losses[part]) for part in PARTS] == pytest.approx(expected, abs=2e-6)  # eps
    assert float(losses["loss"]) == pytest.approx(sum(expected), abs=2e-6)


def test_gives_scalars_under_the_names_of_the_contract():
    losses, _ = run(MAPS, BATCH)
    assert set(losses) == {"loss", *PARTS}
    assert set(losses) | set(DBLoss.needs) <= set(KEYS)
    assert all(value.shape == [] and value.dtype == paddle.float32 for value in losses.values())


@pytest.mark.parametrize("main_loss_type", ["DiceLoss", "BCELoss", "MaskL1Loss", "DiceFocalLoss"])
@pytest.mark.parametrize("balance_loss", [True, False])
def test_gradient_equals_the_difference_quotient(main_loss_type, balance_loss):
    settings = {"main_loss_type": main_loss_type, "balance_loss": balance_loss}
    maps, batch = random_case()
    _, gradient = run(maps, batch, **settings)
    step = 1e-2
    rng = np.random.default_rng(1)
    directions = [(channel, rng.standard_normal(maps[:, 0].shape)) for channel in (SHRINK, THRESHOLD, BINARY)]
    for channel, direction in directions:
        direction *= step / np.linalg.norm(direction)
        ahead, behind = maps.copy(), maps.copy()
        ahead[:, channel] += direction
        behind[:, channel] -= direction
        change = [float(run(m, batch, **settings)[0]["loss"]) for m in (ahead, behind)]
        predicted = 2 * (gradient.numpy()[:, channel] * direction).sum()
        assert change[0] - change[1] == pytest.approx(predicted, rel=2e-2, abs=2e-6)


def test_low_precision_maps_are_compared_in_float32():
    maps, batch = random_case()
    rounded = paddle.to_tensor(maps).astype("bfloat16")
    tensors = {key: paddle.to_tensor(value) for key, value in batch.items()}
    losses = DBLoss(main_loss_type="BCELoss")({"maps": rounded}, tensors)
    exact = DBLoss(main_loss_type="BCELoss")({"maps": rounded.astype("float32")}, tensors)
    for key, value in losses.items():
        assert value.dtype == paddle.float32
        assert float(value) == float(exact[key])


@pytest.mark.parametrize("main_loss_type", ["DiceLoss", "BCELoss", "MaskL1Loss"])
@pytest.mark.parametrize(
    "blank",
    [("shrink_map", "threshold_mask"), ("shrink_mask", "threshold_mask")],
    ids=["no text", "all ignored"],
)
def test_a_batch_without_text_gives_1_and_no_gradient(main_loss_type, blank):
    maps, batch = random_case()
    batch |= {key: np.zeros_like(batch[key]) for key in blank}
    losses, gradient = run(maps, batch, main_loss_type=main_loss_type)
    assert [float(losses[part]) for part in PARTS] == [0, 0, 1]
    assert float(losses["loss"]) == 1
    assert float(gradient.abs().max()) == 0


@pytest.mark.parametrize("main_loss_type", ["DiceLoss", "BCELoss"])
def test_a_picture_without_text_teaches_beside_one_with_text(main_loss_type):
    maps, batch = random_case()
    batch["shrink_map"][1] = 0
    _, gradient = run(maps, batch, main_loss_type=main_loss_type)
    assert float(gradient[1, SHRINK].abs().sum()) > 0


def test_ohem_ratio_acts_with_bce_only():
    maps, batch = random_case()
    by_ratio = {
        kind: [float(run(maps, batch, main_loss_type=kind, ohem_ratio=ratio)[0]["loss"]) for ratio in (0.5, 1)]
        for kind in ("DiceLoss", "BCELoss")
    }
    assert by_ratio["DiceLoss"][0] == by_ratio["DiceLoss"][1]
    assert by_ratio["BCELoss"][0] > by_ratio["BCELoss"][1]  # fewer negatives, harder on average


def test_dice_focal_loss_is_that_of_shrink_and_binary_map():
    focal = {"focal_alpha": 0.3, "focal_gamma": 1.5, "dice_weight": 2.0, "focal_weight": 0.5, "eps": 0.25}
    losses, _ = run(MAPS, BATCH, main_loss_type="DiceFocalLoss", alpha=3, **focal)
    gt = [paddle.to_tensor(BATCH[key]) for key in ("shrink_map", "shrink_mask")]
    of = DiceFocalLoss(**focal)
    assert float(losses["loss_shrink_maps"]) == pytest.approx(3 * float(of(paddle.to_tensor(MAPS[:, SHRINK]), *gt)))
    assert float(losses["loss_binary_maps"]) == pytest.approx(float(of(paddle.to_tensor(MAPS[:, BINARY]), *gt)))
    assert float(losses["loss_threshold_maps"]) == pytest.approx(10 * 0.3 / (2 + 0.25))


def test_dice_focal_loss_teaches_without_text():
    maps, batch = random_case()
    batch |= {key: np.zeros_like(batch[key]) for key in ("shrink_map", "threshold_mask")}
    _, gradient = run(maps, batch, main_loss_type="DiceFocalLoss")
    assert float(gradient[:, SHRINK].min()) >= 0, "less text everywhere"
    assert float(gradient[:, SHRINK].max()) > 0


def further(maps, batch, preds, **settings):
    """Losses where a head gives `preds` beside `maps`, and the gradient in each of them."""
    preds = {key: paddle.to_tensor(value, stop_gradient=False) for key, value in {"maps": maps, **preds}.items()}
    losses = DBLoss(**settings)(preds, {key: paddle.to_tensor(value) for key, value in batch.items()})
    losses["loss"].backward()
    assert set(losses) <= set(KEYS)
    assert all(value.shape == [] and value.dtype == paddle.float32 for value in losses.values())
    return {key: float(value) for key, value in losses.items()}, {key: value.grad for key, value in preds.items()}


@pytest.mark.parametrize(("main_loss_type", "loss"), [("DiceLoss", DiceLoss()), ("BCELoss", BCELoss())])
def test_further_map_of_pfheadlocal_adds_its_loss_without_alpha(main_loss_type, loss):
    maps, batch = random_case()
    cbn_maps = random_case(seed=1)[0][:, :1]
    settings = {"main_loss_type": main_loss_type, "balance_loss": False}
    without, _ = further(maps, batch, {}, **settings)
    losses, gradients = further(maps, batch, {"distance_maps": maps[:, :1], "cbn_maps": cbn_maps}, **settings)
    gt = [paddle.to_tensor(batch[key]) for key in ("shrink_map", "shrink_mask")]
    expected = loss(paddle.to_tensor(cbn_maps[:, 0]), *gt)
    expected = float(expected if expected.ndim == 0 else expected.sum() / gt[1].sum())
    assert losses["loss_cbn"] == pytest.approx(expected, rel=1e-5)
    assert losses["loss"] == pytest.approx(without["loss"] + expected, rel=1e-5)
    assert float(gradients["cbn_maps"].abs().max()) > 0
    assert gradients["distance_maps"] is None, "a part of `maps` already"


@pytest.mark.parametrize("main_loss_type", ["DiceLoss", "DiceFocalLoss"])
def test_auxiliary_maps_add_the_whole_loss_of_each(main_loss_type):
    maps, batch = random_case()
    extra = {f"aux_maps_p{level}": random_case(seed=level)[0] for level in (2, 3, 4)}
    settings = {"main_loss_type": main_loss_type, "alpha": 3, "beta": 7}
    alone = {key: further(value, batch, {}, **settings)[0]["loss"] for key, value in {"maps": maps, **extra}.items()}
    losses, gradients = further(maps, batch, extra, **settings, aux_weight_p2=0.4, aux_weight_p4=0.2)
    assert losses["loss_aux_maps_p2"] == pytest.approx(alone["aux_maps_p2"])
    assert losses["loss_aux_maps_p4"] == pytest.approx(alone["aux_maps_p4"])
    assert "loss_aux_maps_p3" not in losses, "its weight is 0"
    expected = alone["maps"] + 0.4 * alone["aux_maps_p2"] + 0.2 * alone["aux_maps_p4"]
    assert losses["loss"] == pytest.approx(expected)
    assert gradients["aux_maps_p3"] is None
    assert all(float(gradients[key].abs().max()) > 0 for key in ("maps", "aux_maps_p2", "aux_maps_p4"))


def test_weights_of_maps_that_the_head_does_not_give_have_no_effect():
    maps, batch = random_case()
    assert further(maps, batch, {}, aux_weight_p2=0.4)[0] == further(maps, batch, {})[0]


def test_is_registered_with_the_defaults_of_paddleocr():
    parameters = inspect.signature(LOSSES.get("DBLoss")).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        "balance_loss": True, "main_loss_type": "DiceLoss", "alpha": 5, "beta": 10, "ohem_ratio": 3, "eps": 1e-6,
        "focal_alpha": 0.25, "focal_gamma": 2.0, "dice_weight": 1.0, "focal_weight": 1.0,
        "aux_weight_p2": 0.0, "aux_weight_p3": 0.0, "aux_weight_p4": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1}, "alpha must not be negative, got -1"),
        ({"ohem_ratio": -0.5}, "ohem_ratio must not be negative, got -0.5"),
        ({"eps": 0}, "eps must be above 0, got 0"),
        ({"focal_gamma": -1}, "focal_gamma must not be negative, got -1"),
        ({"focal_alpha": 1.5}, "focal_alpha must be in [0, 1], got 1.5"),
        ({"aux_weight_p3": -0.1}, "aux_weight_p3 must not be negative, got -0.1"),
    ],
)
def test_refuses_what_is_out_of_range(settings, message):
    with pytest.raises(ValueError, match="must") as caught:
        DBLoss(**settings)
    assert str(caught.value) == message
