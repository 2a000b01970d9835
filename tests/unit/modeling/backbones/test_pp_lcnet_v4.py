import paddle
import pytest

from ppdet_db.modeling.backbones.pp_lcnet_v4 import LCNetV4Block, PPLCNetV4


@pytest.mark.parametrize(
    ("model_size", "channels"),
    [("tiny", [32, 48, 64, 160]), ("small", [48, 96, 192, 384]), ("medium", [128, 256, 512, 896])],
)
def test_width_follows_the_size(model_size, channels):
    assert PPLCNetV4(model_size=model_size).out_channels == channels


def test_every_other_block_that_keeps_its_shape_has_squeeze_and_excitation():
    net = PPLCNetV4(model_size="tiny")
    stages = [net.blocks_s1, net.blocks_s2, net.blocks_s3, net.blocks_s4]
    marks = [["rep_dw" in (names := dict(b.token_mixer.named_children())), "se" in names] for s in stages for b in s]
    plain, rep, se = [False, False], [True, False], [True, True]
    assert marks == [se, rep, plain, se, rep, plain, se, rep, se, rep, plain, se, rep]


def test_blocks_with_a_shortcut_start_with_nothing_beside_it():
    paddle.seed(0)
    keeping, widening = LCNetV4Block(8, 8, stride=1, use_se=False), LCNetV4Block(8, 12, stride=2, use_se=False)
    x = paddle.randn([2, 8, 6, 10])
    assert (keeping(x) == keeping.token_mixer(x)).all()
    assert widening(x).abs().max() > 0.1
    assert (widening.channel_mixer.compress.bn.weight == 1).all()


def test_squeeze_and_excitation_has_paddles_slope():
    """Unlike MobileNetV3's and the necks', whose weights were trained with a fifth."""
    se = LCNetV4Block(4, 4, stride=1, use_se=True).token_mixer.se
    se.conv2.weight.set_value(paddle.zeros_like(se.conv2.weight))
    se.conv2.bias.set_value(paddle.full([4], 1.0))
    assert se(paddle.ones([1, 4, 2, 2])).numpy() == pytest.approx(1 / 6 + 0.5)


def test_regularizer_spares_the_norms_of_the_stem_alone():
    spared = {
        name.split(".")[0]
        for name, parameter in PPLCNetV4(model_size="tiny").named_parameters()
        if getattr(parameter, "regularizer", None) is not None
    }
    assert spared == {"stem"}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"det": False}, "det must be true: the layout for text recognition is not here, got False"),
        ({"model_size": "base"}, "model_size must be tiny, small or medium, got base"),
    ],
)
def test_values_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match="must be") as caught:
        PPLCNetV4(**kwargs)
    assert str(caught.value) == message
