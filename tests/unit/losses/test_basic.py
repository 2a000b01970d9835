"""Losses of one map against 2 x 2 cases that can be done by hand."""

from math import log

import paddle
import pytest

from ppdet_db.losses.basic import BalanceLoss, BCELoss, DiceFocalLoss, DiceLoss, FocalLoss, MaskL1Loss

PRED = [[0.8, 0.2], [0.4, 0.6]]
TEXT = [[1.0, 0.0], [0.0, 0.0]]  # one text pixel
MASK = [[1.0, 1.0], [1.0, 0.0]]  # the pixel that is worst, 0.6 on background, is ignored
POSITIVE, EASY, HARD = -log(0.8), -log(0.8), -log(0.6)  # cross-entropy of the three that count


def tensors(*maps):
    return [paddle.to_tensor(m) for m in maps]


def test_dice_compares_areas_inside_the_mask():
    loss = DiceLoss()(*tensors(PRED, TEXT, MASK))
    assert loss.shape == []
    assert float(loss) == pytest.approx(1 - 2 * 0.8 / (0.8 + 0.2 + 0.4 + 1))


def test_l1_is_the_mean_inside_the_mask():
    loss = MaskL1Loss()(*tensors([[0.5, 0.4], [0.3, 0.9]], [[0.7, 0.3], [0.3, 0.3]], [[1.0, 1.0], [0.0, 0.0]]))
    assert float(loss) == pytest.approx((0.2 + 0.1) / 2)


def test_bce_is_a_number_for_each_pixel_and_finite_at_certain_mistakes():
    loss = BCELoss()(*tensors([[0.8, 1.0], [0.0, 0.6]], [[1.0, 0.0], [1.0, 0.0]], MASK))
    assert loss.flatten().tolist() == pytest.approx([-log(0.8), 100, 100, 0])


@pytest.mark.parametrize(
    ("negative_ratio", "expected", "why"),
    [
        (1, (POSITIVE + HARD) / 2, "the hardest negative first"),
        (1.9, (POSITIVE + HARD) / 2, "1.9 negatives are 1"),
        (2, (POSITIVE + HARD + EASY) / 3, "both"),
        (3, (POSITIVE + HARD + EASY) / 3, "no more than there are: the ignored one never"),
        (0, POSITIVE, "none"),
    ],
)
def test_bce_takes_the_hardest_negatives(negative_ratio, expected, why):
    loss = BalanceLoss(main_loss_type="BCELoss", negative_ratio=negative_ratio)(*tensors(PRED, TEXT, MASK))
    assert loss.shape == []
    assert float(loss) == pytest.approx(expected, rel=1e-5), why


def test_only_text_and_the_chosen_negatives_have_a_gradient():
    pred, gt, mask = tensors(PRED, TEXT, MASK)
    pred.stop_gradient = False
    BalanceLoss(main_loss_type="BCELoss", negative_ratio=1)(pred, gt, mask).backward()
    assert pred.grad.flatten().tolist() == pytest.approx([-1 / 0.8 / 2, 0, 1 / 0.6 / 2, 0], rel=1e-5)


def test_bce_without_balance_is_the_mean_over_the_mask():
    loss = BalanceLoss(balance_loss=False, main_loss_type="BCELoss")(*tensors(PRED, TEXT, MASK))
    assert loss.shape == []
    assert float(loss) == pytest.approx((POSITIVE + HARD + EASY) / 3, rel=1e-5)


@pytest.mark.parametrize("main_loss_type", ["DiceLoss", "MaskL1Loss"])
def test_balancing_a_single_number_has_no_effect(main_loss_type):
    values = [
        float(BalanceLoss(balance, main_loss_type, ratio)(*tensors(PRED, TEXT, MASK)))
        for balance, ratio in ((False, 3), (True, 3), (True, 0.5))
    ]
    assert values[0] == values[1] == values[2] > 0


@pytest.mark.parametrize("main_loss_type", ["DiceLoss", "MaskL1Loss", "BCELoss"])
@pytest.mark.parametrize(
    ("gt", "mask", "why"),
    [([[0.0, 0.0], [0.0, 0.0]], MASK, "no text"), (TEXT, [[0.0, 1.0], [1.0, 1.0]], "the only text is ignored")],
)
def test_balanced_and_without_text_is_0_with_gradient_0(main_loss_type, gt, mask, why):
    pred, gt, mask = tensors(PRED, gt, mask)
    pred.stop_gradient = False
    loss = BalanceLoss(main_loss_type=main_loss_type)(pred, gt, mask)
    loss.backward()
    assert float(loss) == 0, why
    assert float(pred.grad.abs().max()) == 0, why


@pytest.mark.parametrize(
    ("settings", "text", "easy", "hard", "why"),
    [
        ({"alpha": 0.5, "gamma": 0}, 0.5, 0.5, 0.5, "half of cross-entropy"),
        ({"alpha": 0.75, "gamma": 0}, 0.75, 0.25, 0.25, "text counts three times as much"),
        ({"alpha": 0.5, "gamma": 2}, 0.5 * 0.2**2, 0.5 * 0.2**2, 0.5 * 0.4**2, "times the square of what is missing"),
        ({}, 0.25 * 0.2**2, 0.75 * 0.2**2, 0.75 * 0.4**2, "the defaults of PaddleOCR"),
    ],
)
def test_focal_loss_weighs_the_cross_entropy_of_each_pixel(settings, text, easy, hard, why):
    loss = FocalLoss(**settings)(*tensors(PRED, TEXT, MASK))
    assert loss.shape == []
    assert float(loss) == pytest.approx((text * POSITIVE + easy * EASY + hard * HARD) / 3, rel=1e-5), why


def test_focal_loss_of_certain_mistakes_is_finite_and_of_an_empty_mask_0():
    certain, text, nothing = tensors([[0.0, 1.0]], [[1.0, 0.0]], [[0.0, 0.0]])
    certain.stop_gradient = False
    loss = FocalLoss(alpha=0.5, gamma=0, eps=1e-3)(certain, text, paddle.ones([1, 2]))
    loss.backward()
    assert float(loss) == pytest.approx(0.5 * -log(1e-3) * 2 / (2 + 1e-3), rel=1e-4)
    assert certain.grad.tolist() == [[0, 0]]
    assert float(FocalLoss()(certain, text, nothing)) == 0


def test_dice_focal_loss_is_both_with_their_weights():
    maps = tensors(PRED, TEXT, MASK)
    dice, focal = float(DiceLoss(eps=0.5)(*maps)), float(FocalLoss(0.3, 1.5, eps=0.5)(*maps))
    loss = DiceFocalLoss(dice_weight=2, focal_weight=3, focal_alpha=0.3, focal_gamma=1.5, eps=0.5)(*maps)
    assert float(loss) == pytest.approx(2 * dice + 3 * focal)
