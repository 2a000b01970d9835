import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.modeling.backbones.pp_hgnet import ESEModule, HGBlock, HGStage, PPHGNet_small


class Doubling(nn.Layer):
    def forward(self, x):
        return 2 * x


class Summing(HGBlock):
    def aggregate(self, x):
        return x.sum(axis=1, keepdim=True)


@pytest.mark.parametrize(("has_shortcut", "factor"), [(False, 1 + 2 + 4), (True, 1 + 1 + 2 + 4)])
def test_block_aggregates_its_input_and_what_each_layer_gave(has_shortcut, factor):
    block = Summing([Doubling(), Doubling()], has_shortcut)
    x = paddle.rand([2, 1, 3, 4])
    np.testing.assert_allclose(block(x).numpy(), factor * x.numpy(), rtol=1e-6)


def test_stage_halves_each_channel_by_itself():
    stage = HGStage(2, [Summing([], False)], halves=True)
    stage.eval()
    weight = np.zeros((2, 1, 3, 3), np.float32)
    weight[1, 0, 1, 1] = 3.0
    stage.downsample.conv.weight.set_value(weight)
    x = paddle.randn([1, 2, 4, 6])  # the second channel alone, negative values too: no activation
    np.testing.assert_allclose(stage(x).numpy()[0, 0], 3 * x.numpy()[0, 1, ::2, ::2], rtol=1e-4)


def test_excitation_weighs_with_the_sigmoid_of_the_means():
    se = ESEModule(2)
    se.conv.weight.set_value(paddle.to_tensor([[[[0.0]], [[1.0]]], [[[0.0]], [[0.0]]]]))
    x = np.ones((1, 2, 2, 2), np.float32)
    x[0, 1] = [[0, 0], [0, 4]]
    y = se(paddle.to_tensor(x)).numpy()
    np.testing.assert_allclose(y[0, 0], 1 / (1 + np.exp(-1)), rtol=1e-6)  # the mean of channel 1 is 1
    np.testing.assert_allclose(y[0, 1], x[0, 1] / 2, rtol=1e-6)


def test_small_net_starts_kaiming_and_spares_batch_norms_the_decay():
    paddle.seed(0)
    net = PPHGNet_small()
    assert net.out_channels == [256, 512, 768, 1024]
    assert [len(stage.blocks) for stage in net.stages] == [1, 1, 2, 1]
    assert [block.has_shortcut for block in net.stages[2].blocks] == [False, True]
    depthwise = net.stages[3].downsample
    assert depthwise.conv.weight.numpy().std() == pytest.approx((2 / 9) ** 0.5, rel=0.03)
    block = net.stages[3].blocks[0]
    assert block.layers[1].conv.weight.numpy().std() == pytest.approx((2 / (9 * 224)) ** 0.5, rel=0.02)
    assert block.att.conv.weight.numpy().std() == pytest.approx((2 / 1024) ** 0.5, rel=0.02)
    for norm in [layer for layer in net.sublayers() if isinstance(layer, nn.BatchNorm2D)]:
        assert norm.weight.regularizer._coeff == norm.bias.regularizer._coeff == 0


def test_layout_for_recognition_is_refused():
    with pytest.raises(ValueError, match="det must be") as caught:
        PPHGNet_small(det=False)
    assert str(caught.value) == "det must be true: the layout for text recognition is not here, got False"
