import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.modeling import reparam
from ppdet_db.modeling.cpu import Conv2D
from ppdet_db.modeling.necks.rep_lk_fpn import RepLKFPN


class Add(nn.Layer):
    def __init__(self, number: float):
        super().__init__()
        self.number = number

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x + self.number


def adding_neck(**kwargs) -> RepLKFPN:
    """Convolutions hand on their first input; squeeze and excitation of zeros halves; features are 1 wide."""
    neck = RepLKFPN([1, 1, 1, 1], out_channels=16, dilated_kernel_size=5, **kwargs)
    neck.eval()
    with paddle.no_grad():
        for parameter in neck.parameters():
            if parameter.ndim == 4:
                parameter.zero_()
        for i in range(4):
            neck.ins_conv[i].in_conv.weight[:] = 1.0
            neck.inp_conv_dw[i].lk_origin.weight[:, :, 2, 2] = 1.0
            neck.inp_conv_pw[i].weight[:, 0] = 1.0
    return neck


FEATURES = [paddle.full([1, 1, 16 // 2**i, 24 // 2**i], 10.0**i) for i in range(4)]  # 1, 10, 100, 1000
SUMS = [1111, 1110, 1100, 1000]  # of a level and the coarser ones


@pytest.mark.parametrize(("shortcut", "factor"), [(True, 1.5), (False, 0.5)])
def test_levels_are_added_top_down_then_concatenated_coarsest_first(shortcut, factor):
    """Half, or one and a half of it, twice: on the way in and on the way out."""
    outputs = {name: level.numpy() for name, level in adding_neck(shortcut=shortcut)(FEATURES).items()}
    assert {name: level.shape for name, level in outputs.items()} == {
        "fused": (1, 16, 16, 24),
        "p2": (1, 16, 16, 24),
        "p3": (1, 16, 8, 12),
        "p4": (1, 16, 4, 6),
    }
    for name, total in zip(("p2", "p3", "p4"), SUMS, strict=False):
        np.testing.assert_allclose(outputs[name], factor * total, rtol=1e-4)
    for i, total in enumerate(reversed(SUMS)):
        np.testing.assert_allclose(outputs["fused"][0, 4 * i : 4 * i + 4], factor**2 * total, rtol=1e-4)


def test_intracl_blocks_are_the_last_on_each_level():
    neck, plain = adding_neck(intracl=True), adding_neck()
    for i in range(1, 5):
        setattr(neck, f"incl{i}", Add(i))
    added = (neck(FEATURES)["fused"] - plain(FEATURES)["fused"]).numpy()
    np.testing.assert_allclose(added[0, ::4, 0, 0], [4, 3, 2, 1], rtol=1e-3)


def test_fusing_leaves_one_large_convolution_a_level():
    neck = RepLKFPN([8, 8, 8, 8], out_channels=16, dilated_kernel_size=9)
    reparam.fuse(neck)
    assert [(type(layer), layer.weight.shape) for layer in neck.inp_conv_dw] == [(Conv2D, [16, 1, 9, 9])] * 4


def test_pointwise_convolutions_start_uniform_and_depthwise_ones_normal():
    paddle.seed(0)
    neck = RepLKFPN([64, 128, 256, 512], out_channels=256)
    for layer, fan_in in ((neck.ins_conv[3].in_conv, 512), (neck.inp_conv_pw[0], 256)):
        weight, bound = layer.weight.numpy(), (6 / fan_in) ** 0.5
        assert 0.99 * bound < np.abs(weight).max() <= bound
    weight = neck.inp_conv_dw[0].lk_origin.weight.numpy()
    assert weight.std() == pytest.approx((2 / (256 * 49)) ** 0.5, rel=0.03)
    assert np.abs(weight).max() > 3 * weight.std()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"out_channels": 30}, "out_channels must be a multiple of 4 (four levels share them), got 30"),
        ({"out_channels": 12}, "out_channels must be at least 16 (squeezed to a 16th), got 12"),
        ({"dilated_kernel_size": 3}, "dilated_kernel_size must be one of 5, 7, 9, 11, 13, got 3"),
    ],
)
def test_values_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match="must be") as caught:
        RepLKFPN([8, 8, 8, 8], **kwargs)
    assert str(caught.value) == message
