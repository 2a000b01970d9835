import numpy as np
import paddle
import pytest

from ppdet_db.modeling.backbones.rep_svtr import ChannelMixer, RepSVTR_det, RepViTBlock, SigmoidSE
from ppdet_db.modeling.reparam import RepDWConv


def test_stages_have_their_depths_and_widths():
    net = RepSVTR_det()
    assert net.out_channels == [48, 96, 192, 384]
    assert len(net.features) == 1 + 2 + 3 + 5 + 3
    assert net.ends == [2, 5, 10, 13]


def test_every_other_block_that_keeps_its_size_squeezes_and_excites():
    blocks = list(RepSVTR_det().features)[1:]
    halving = [i for i, block in enumerate(blocks, 1) if not isinstance(block.token_mixer[0], RepDWConv)]
    squeezing = [i for i, block in enumerate(blocks, 1) if isinstance(block.token_mixer[1], SigmoidSE)]
    assert halving == [3, 6, 11]
    assert squeezing == [1, 4, 7, 9, 12]


@pytest.mark.parametrize(
    ("channels", "hidden", "reason"),
    [(48, 16, "12 is a tie between 8 and 16"), (96, 24, "a quarter"), (8, 8, "never under 8")],
)
def test_hidden_layer_of_squeeze_and_excitation_is_a_multiple_of_8(channels, hidden, reason):
    assert SigmoidSE(channels).fc1.weight.shape[0] == hidden, reason


def test_channels_are_weighed_by_a_sigmoid_of_their_means():
    """fc1 hands the mean on to hidden 0; fc2 makes it the logit of channel 1, and 0 that of channel 0."""
    se = SigmoidSE(2)
    for p in se.parameters():
        p.set_value(paddle.zeros(p.shape))
    with paddle.no_grad():
        se.fc1.weight[0, 0] = 1.0
        se.fc2.weight[1, 0] = 1.0
    x = np.zeros((1, 2, 2, 2), np.float32)
    x[0, 0], x[0, 1] = [[0, 0], [4, 8]], 1  # mean of channel 0: 3
    y = se(paddle.to_tensor(x)).numpy()[0]
    np.testing.assert_allclose(y[0], x[0, 0] / 2, rtol=1e-6)
    np.testing.assert_allclose(y[1], 1 / (1 + np.exp(-3)), rtol=1e-6)


def test_second_half_of_a_block_starts_at_zero():
    x = paddle.randn([2, 4, 5, 7])
    mixer = ChannelMixer(4)
    assert np.array_equal(mixer(x).numpy(), x.numpy())
    block = RepViTBlock(4, 4, use_se=False, halves=False)
    block.eval()
    assert np.array_equal(block(x).numpy(), block.token_mixer(x).numpy())


def test_second_half_of_a_block_is_added_to_what_enters_it():
    """expand hands channel 0 on, compress hands it to channel 1: x1 + gelu(x0), x0 + 0."""
    mixer = ChannelMixer(2)
    mixer.eval()
    with paddle.no_grad():
        for conv, out, into in ((mixer.m[0].c, 3, 0), (mixer.m[2].c, 1, 3)):
            conv.weight.zero_()
            conv.weight[out, into] = 1.0
        mixer.m[2].bn.weight.fill_(1.0)
    y = mixer(paddle.to_tensor([[[[1.0]], [[10.0]]]])).numpy().ravel()
    np.testing.assert_allclose(y, [1, 10 + 0.841345], rtol=1e-4)  # the normal distribution's share below 1
