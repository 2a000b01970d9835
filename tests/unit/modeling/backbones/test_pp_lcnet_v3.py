import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ppdet_db.modeling.backbones.pp_lcnet_v3 import LearnableRepConv, PPLCNetV3


@pytest.mark.parametrize(
    ("scale", "features", "widths"),
    [
        (1.0, [16, 24, 56, 480], [32, 64, 128, 256, 512]),
        (0.75, [12, 18, 42, 360], [32, 48, 96, 192, 384]),
        (0.35, [5, 8, 19, 168], [16, 32, 48, 96, 176]),
    ],
    ids=["as in the table", "32 is next to 24, for it is a tie", "features are cut, blocks rounded"],
)
def test_blocks_are_multiples_of_16_and_features_as_wide_as_mobilenet_v3(scale, features, widths):
    net = PPLCNetV3(scale=scale, conv_kxk_num=1)
    stages = net.blocks2, net.blocks3, net.blocks4, net.blocks5, net.blocks6
    assert net.out_channels == features
    assert [stage[-1].pw_conv.conv_kxk[0].conv.weight.shape[0] for stage in stages] == widths


@pytest.mark.parametrize("stride", [1, 2])
def test_block_sums_its_branches_then_scales_and_shifts(stride):
    """Branches double or triple a constant picture; batch norms divide by 1 (epsilon apart) and add their bias."""
    block = LearnableRepConv(1, 1, 3, stride, branches=2)
    block.eval()
    with paddle.no_grad():
        for name, p in block.named_parameters():
            if name.endswith("conv.weight"):
                p.zero_()
                p[0, 0, p.shape[2] // 2, p.shape[3] // 2] = 2.0 if "kxk" in name else 3.0
        block.conv_kxk[1].bn.bias.fill_(10.0)
        block.lab.scale.fill_(0.5)
        block.lab.bias.fill_(-1.0)
        block.act.lab.scale.fill_(7.0)
        block.act.lab.bias.fill_(100.0)
    identity = 1 if stride == 1 else 0
    affine = 0.5 * (4 * (2 + 2 + 3 + identity) + 10) - 1
    expected = 7 * affine + 100 if stride == 1 else affine  # hardswish hands on what is above 3
    y = block(paddle.full([1, 1, 4, 4], 4.0)).numpy()
    assert y.shape == (1, 1, 4 // stride, 4 // stride)
    np.testing.assert_allclose(y, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "branches"),
    [
        ({"in_channels": 4, "out_channels": 4, "kernel_size": 3}, ["identity", "1x1", "kxk", "kxk"]),
        ({"in_channels": 4, "out_channels": 4, "kernel_size": 5, "stride": 2}, ["1x1", "kxk", "kxk"]),
        ({"in_channels": 4, "out_channels": 8, "kernel_size": 1}, ["kxk", "kxk"]),
        ({"in_channels": 4, "out_channels": 4, "kernel_size": 1}, ["identity", "kxk", "kxk"]),
    ],
)
def test_branches_follow_from_the_shape(arguments, branches):
    block = LearnableRepConv(**arguments, branches=2)
    found = ["identity"] * (block.identity is not None) + ["1x1"] * (block.conv_1x1 is not None)
    assert found + ["kxk"] * len(block.conv_kxk) == branches


@pytest.mark.parametrize("stride", [1, 2])
def test_fused_block_has_the_keys_of_paddleocr(stride):
    with paddle.no_grad():
        fused = LearnableRepConv(4, 4, 5, stride, groups=4).fused()
    keys = ["reparam_conv.weight", "reparam_conv.bias", "lab.scale", "lab.bias"]
    assert list(fused.state_dict()) == keys + ["act.lab.scale", "act.lab.bias"] * (stride == 1)
    assert fused.reparam_conv.weight.shape == [4, 1, 5, 5]


RATES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_each_stage_learns_at_its_own_rate_and_affine_layers_slower():
    net = PPLCNetV3(scale=0.35, conv_kxk_num=2, lr_mult_list=RATES, lab_lr=0.15)
    names = ["conv1", "blocks2", "blocks3", "blocks4", "blocks5", "blocks6"]
    stages = dict(zip(names, RATES, strict=True)) | {"layer_list": 1.0}
    seen = set()
    for name, p in net.named_parameters():
        rate = stages[name.split(".")[0]] * (0.15 if ".lab." in name else 1.0)
        if p.trainable:
            assert p.optimize_attr["learning_rate"] == pytest.approx(rate), name
            seen.add(rate)
    assert len(seen) == 6 + 5 + 1


def test_only_batch_norms_behind_convolutions_are_spared_weight_decay():
    net = PPLCNetV3(scale=0.35, conv_kxk_num=1)
    spared = {name for name, p in net.named_parameters() if p.regularizer is not None}
    norms = {name for name, p in net.named_parameters() if ".bn." in name and p.trainable}
    identities = {name for name, p in net.named_parameters() if ".identity." in name and p.trainable}
    assert spared == norms
    assert len(norms) > 80
    assert len(identities) > 20
    assert {p.regularizer._coeff for p in net.parameters() if p.regularizer is not None} == {0.0}


def test_rates_and_decay_reach_a_step_of_the_optimizer():
    """One step of SGD moves a weight by the rate times its gradient and its decay."""
    net = PPLCNetV3(scale=0.35, conv_kxk_num=1, lr_mult_list=RATES, lab_lr=0.15)
    block = net.blocks5[1].dw_conv
    cases = {  # rate, decay
        "kernel": (block.conv_kxk[0].conv.weight, 0.5, 0.01),
        "norm": (block.conv_kxk[0].bn.weight, 0.5, 0.0),
        "identity": (block.identity.weight, 0.5, 0.01),
        "affine": (block.lab.scale, 0.5 * 0.15, 0.01),
    }
    optimizer = paddle.optimizer.Momentum(0.1, momentum=0.0, parameters=net.parameters(), weight_decay=0.01)
    sum(f.square().mean() for f in net(paddle.rand([2, 3, 64, 64]))).backward()
    before = {name: p.numpy().copy() for name, (p, _, _) in cases.items()}
    gradients = {name: p.grad.numpy().copy() for name, (p, _, _) in cases.items()}
    optimizer.step()
    for name, (p, rate, decay) in cases.items():
        step = -0.1 * rate * (gradients[name] + decay * before[name])
        np.testing.assert_allclose(p.numpy() - before[name], step, rtol=1e-3, atol=2e-7, err_msg=name)


def test_depthwise_convolutions_start_as_their_own_fan_in_says():
    """Paddle's default would count the channels of the other groups too: 1/16 of this for 256."""
    paddle.seed(0)
    kernel = PPLCNetV3(scale=1.0, conv_kxk_num=1).blocks5[1].dw_conv.conv_kxk[0].conv.weight.numpy()
    assert kernel.shape == (256, 1, 5, 5)
    assert kernel.std() == pytest.approx((2 / 25) ** 0.5, rel=0.05)


def test_squeeze_and_excitation_has_the_slope_of_paddle():
    se = PPLCNetV3(scale=0.35, conv_kxk_num=1).blocks6[0].se
    se.conv2.weight.set_value(paddle.zeros(se.conv2.weight.shape))
    se.conv2.bias.set_value(paddle.full(se.conv2.bias.shape, 1.5))
    channels = se.conv2.weight.shape[0]
    x = paddle.rand([1, channels, 2, 2])
    np.testing.assert_allclose(se(x).numpy(), x.numpy() * F.hardsigmoid(paddle.to_tensor(1.5)).item(), rtol=1e-5)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"det": False}, "det must be true: the layout for text recognition is not here, got False"),
        ({"scale": 0.06}, "scale must be at least 0.0625, got 0.06"),
        ({"conv_kxk_num": 0}, "conv_kxk_num must be at least 1, got 0"),
        (
            {"lr_mult_list": [1.0] * 5},
            r"lr_mult_list must be six factors, none below 0, got \[1.0, 1.0, 1.0, 1.0, 1.0\]",
        ),
        ({"lr_mult_list": [1.0] * 5 + [-1.0]}, "lr_mult_list must be six factors, none below 0, got"),
        ({"lab_lr": -0.1}, "lab_lr must not be below 0, got -0.1"),
    ],
)
def test_parameters_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        PPLCNetV3(**kwargs)
