import paddle
import pytest

from ppdet_db.modeling.backbones.pp_hgnet_v2 import LightConv, PPHGNetV2_B4


@pytest.fixture(scope="module")
def net() -> PPHGNetV2_B4:
    paddle.seed(0)
    return PPHGNetV2_B4(lr_mult_list=[0.0, 0.05, 0.1, 0.2, 0.5])


def test_later_stages_have_light_convolutions(net):
    assert net.out_channels == [128, 512, 1024, 2048]
    light = [{type(layer) is LightConv for block in stage.blocks for layer in block.layers} for stage in net.stages]
    assert light == [{False}, {False}, {True}, {True}]
    assert [len(stage.blocks) for stage in net.stages] == [1, 1, 3, 1]
    assert net.stages[3].blocks[0].layers[0].conv2.conv.weight.shape == [384, 1, 5, 5]


def test_first_convolution_of_a_light_pair_is_linear():
    pair = LightConv(2, 2, 3, lr_mult=1.0)
    assert pair.conv1.act is None
    assert pair.conv2(paddle.randn([1, 2, 8, 8])).min().item() == 0


def test_every_weight_of_a_part_has_the_factor_of_that_part(net):
    factors: dict[str, set[float]] = {}
    for name, parameter in net.named_parameters():
        part = name[:8] if name.startswith("stages") else name.split(".")[0]
        if parameter.trainable:
            factors.setdefault(part, set()).add(parameter.optimize_attr["learning_rate"])
    assert factors == {
        "stem": {0.0},
        "stages.0": {0.05},
        "stages.1": {0.1},
        "stages.2": {0.2},
        "stages.3": {0.5},
        "last_conv": {1.0},
    }


def test_starts_kaiming_and_spares_batch_norms_the_decay(net):
    layer = net.stages[3].blocks[0].layers[1]
    assert layer.conv2.conv.weight.numpy().std() == pytest.approx((2 / 25) ** 0.5, rel=0.03)
    assert layer.conv1.conv.weight.numpy().std() == pytest.approx((2 / 384) ** 0.5, rel=0.02)
    norms = [norm for norm in net.sublayers() if isinstance(norm, paddle.nn.BatchNorm2D)]
    assert {value._coeff for norm in norms for value in (norm.weight.regularizer, norm.bias.regularizer)} == {0}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"det": False}, "det must be true: the layout for text recognition is not here, got False"),
        ({"lr_mult_list": [1.0]}, "lr_mult_list must have five factors of at least 0, got [1.0]"),
        ({"lr_mult_list": [1, 1, 1, 1, -1]}, "lr_mult_list must have five factors of at least 0, got [1, 1, 1, 1, -1]"),
    ],
)
def test_values_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match="must") as caught:
        PPHGNetV2_B4(**kwargs)
    assert str(caught.value) == message
