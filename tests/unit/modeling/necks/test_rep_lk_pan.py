import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.modeling import reparam
from ppdet_db.modeling.cpu import Conv2D
from ppdet_db.modeling.necks.rep_lk_pan import DilatedReparamConv, RepLKPAN


def test_levels_are_added_top_down_then_bottom_up():
    """Features 1, 10, 100, 1000; top down each gains the coarser ones, which the head gets too; then bottom up."""
    neck = RepLKPAN([1, 1, 1, 1], out_channels=4)
    neck.eval()
    with paddle.no_grad():
        for parameter in neck.parameters():
            if parameter.ndim == 4:
                parameter.zero_()
        for layer in neck.ins_conv:
            layer.weight[:] = 1.0
        for layer in (*neck.inp_conv, *neck.pan_lat_conv):
            layer.dw.lk_origin.weight[:, :, 4, 4] = 1.0
            layer.pw.weight[:, 0] = 1.0
        for layer in neck.pan_head_conv:
            layer.weight[:, :, 1, 1] = 1.0
    outputs = neck([paddle.full([1, 1, 16 // 2**i, 24 // 2**i], 10.0**i) for i in range(4)])
    outputs = {name: level.numpy() for name, level in outputs.items()}
    assert {name: level.shape for name, level in outputs.items()} == {
        "fused": (1, 4, 16, 24),
        "p2": (1, 4, 16, 24),
        "p3": (1, 4, 8, 12),
        "p4": (1, 4, 4, 6),
    }
    for name, total in {"p2": 1111, "p3": 1110, "p4": 1100}.items():
        assert (outputs[name] == total).all()
    for channel, total in enumerate([4321, 3321, 2221, 1111]):
        np.testing.assert_allclose(outputs["fused"][0, channel], total, rtol=1e-4)  # as much as the norms' epsilons


def test_batch_norm_is_behind_the_pointwise_convolution():
    layer = DilatedReparamConv(3, 2)
    layer.bn.bias.set_value(paddle.to_tensor([5.0, -7.0]))
    y = layer(paddle.randn([2, 3, 12, 16]))
    np.testing.assert_allclose(y.mean([0, 2, 3]).numpy(), [5, -7], atol=1e-5)
    np.testing.assert_allclose(y.std([0, 2, 3]).numpy(), 1, rtol=0.01)


def test_fusing_leaves_a_large_and_a_pointwise_convolution():
    layer = DilatedReparamConv(8, 2)
    reparam.fuse(layer)
    assert [(type(part), part.weight.shape) for part in layer.children()] == [
        (Conv2D, [8, 1, 9, 9]),
        (Conv2D, [2, 8, 1, 1]),
        (nn.BatchNorm2D, [2]),
    ]


def test_pointwise_convolutions_start_uniform():
    paddle.seed(0)
    neck = RepLKPAN([64, 128, 256, 512], out_channels=256)
    for layer, fan_in in ((neck.ins_conv[3], 512), (neck.inp_conv[0].pw, 256), (neck.pan_lat_conv[0].pw, 64)):
        weight, bound = layer.weight.numpy(), (6 / fan_in) ** 0.5
        assert 0.99 * bound < np.abs(weight).max() <= bound


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"out_channels": 30}, "out_channels must be a multiple of 4 (four levels share them), got 30"),
        ({"out_channels": 4, "intracl": True}, "out_channels must be at least 8 with intracl, got 4"),
    ],
)
def test_values_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match="must be") as caught:
        RepLKPAN([8, 8, 8, 8], **kwargs)
    assert str(caught.value) == message
