import numpy as np
import paddle
import pytest

from ppdet_db.modeling.necks.rse_fpn import RSEFPN, RSELayer


def half_weights(layer: RSELayer) -> None:
    """Squeeze and excitation that weighs every channel with 0.5: the hard sigmoid of 0."""
    for p in layer.se_block.parameters():
        p.set_value(paddle.zeros(p.shape))


@pytest.mark.parametrize(("shortcut", "factor"), [(True, 1.5), (False, 0.5)])
def test_layer_adds_what_it_weighs_where_it_has_a_shortcut(shortcut, factor):
    layer = RSELayer(2, 4, 1, shortcut)
    half_weights(layer)
    x = paddle.rand([1, 2, 3, 5])
    np.testing.assert_allclose(layer(x).numpy(), factor * layer.in_conv(x).numpy(), rtol=1e-6)


@pytest.mark.parametrize("shortcut", [True, False])
def test_levels_are_added_top_down_and_concatenated_coarsest_first(shortcut):
    """Features 1000, 100, 10, 1 (strides 32 to 4) through layers that hand on 1.5 or 0.5 of them, twice."""
    neck = RSEFPN([1, 1, 1, 1], out_channels=16, shortcut=shortcut)
    for layer in [*neck.ins_conv, *neck.inp_conv]:
        half_weights(layer)
        kernel = np.zeros(layer.in_conv.weight.shape, np.float32)
        middle = kernel.shape[-1] // 2
        kernel[:, 0, middle, middle] = 1
        layer.in_conv.weight.set_value(kernel)
    features = [paddle.full([1, 1, 16 // 2**i, 24 // 2**i], 10.0**i) for i in range(4)]
    fused = neck(features)["fused"].numpy()
    assert fused.shape == (1, 16, 16, 24)
    factor = 1.5**2 if shortcut else 0.5**2
    for channel, value in enumerate(np.repeat([1000, 1100, 1110, 1111], 4)):
        np.testing.assert_allclose(fused[0, channel], factor * value, rtol=1e-6)


def test_intracl_blocks_follow_the_levels_finest_first():
    """Their batch norms' biases 1, 2, 3, 4, all else 0: relu hands them on, and they are added to nothing."""
    neck = RSEFPN([1, 1, 1, 1], out_channels=16, intracl=True)
    neck.eval()
    for p in neck.parameters():
        p.set_value(paddle.zeros(p.shape))
    for i, block in enumerate([neck.incl1, neck.incl2, neck.incl3, neck.incl4], 1):
        block.bn.bias.set_value(paddle.full([4], float(i)))
    features = [paddle.rand([1, 1, 16 // 2**i, 24 // 2**i]) for i in range(4)]
    means = neck(features)["fused"].mean([0, 2, 3]).numpy()
    np.testing.assert_allclose(means, np.repeat([4, 3, 2, 1], 4), rtol=1e-6)


@pytest.mark.parametrize(
    ("out_channels", "message"),
    [
        (30, "out_channels must be a multiple of 4 .four levels share them., got 30"),
        (12, "out_channels must be at least 16 .squeezed to a 16th., got 12"),
    ],
)
def test_parameters_out_of_range_are_refused(out_channels, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RSEFPN([1, 1, 1, 1], out_channels)
