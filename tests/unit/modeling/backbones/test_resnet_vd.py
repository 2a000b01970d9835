import numpy as np
import paddle
import pytest

from ppdet_db.modeling.backbones.resnet import BasicBlock
from ppdet_db.modeling.backbones.resnet_vd import ResNet_vd


@pytest.mark.parametrize(
    ("layers", "blocks", "channels", "weights"),
    [
        (18, 8, [64, 128, 256, 512], 18),
        (34, 16, [64, 128, 256, 512], 34),
        (50, 16, [256, 512, 1024, 2048], 50),
        (101, 33, [256, 512, 1024, 2048], 101),
        (152, 50, [256, 512, 1024, 2048], 152),
        (200, 66, [256, 512, 1024, 2048], 200),
    ],
)
def test_depth_is_what_the_name_says(layers, blocks, channels, weights):
    net = ResNet_vd(layers=layers)
    names = [name for name, _ in net.named_parameters() if name.endswith("_conv.weight")]
    assert len({name.split(".")[0] for name in names if name.startswith("bb_")}) == blocks
    assert net.out_channels == channels
    # the name counts the stem as one layer and the classifier as another, and leaves the projections out
    residual = [name for name in names if name.startswith("bb_") and ".short." not in name]
    assert len(residual) + 2 == weights


def test_strided_shortcut_is_average_pooled_before_its_projection():
    """The D of ResNet-D: with the residual off and an identity projection, the block is relu of the 2x2 means."""
    block = BasicBlock(1, 1, stride=2, project=True, average=True)
    block.eval()
    for parameter in (block.conv1._conv.weight, block.short._conv.weight):
        parameter.set_value(paddle.zeros_like(parameter))
    block.short._conv.weight.set_value(paddle.ones([1, 1, 1, 1]))
    x = paddle.arange(16, dtype="float32").reshape([1, 1, 4, 4])
    means = [[2.5, 4.5], [10.5, 12.5]]
    np.testing.assert_allclose(block(x).numpy()[0, 0], means, rtol=1e-4)  # 1e-5 of it is the batch norm's epsilon


def test_convolutions_start_normal_and_batch_norms_as_identity():
    paddle.seed(0)
    net = ResNet_vd(layers=18)
    weight = net.bb_3_1.conv0._conv.weight.numpy()
    std = (2 / (512 * 9)) ** 0.5
    assert weight.std() == pytest.approx(std, rel=0.01)
    assert abs(weight.mean()) < 0.01 * std
    assert np.abs(weight).max() > 3.5 * std  # not uniform, which ends at 1.73
    norm = net.bb_3_1.conv0._batch_norm
    for value, start in ((norm.weight, 1), (norm.bias, 0), (norm._mean, 0), (norm._variance, 1)):
        assert (value == start).all()


def test_deformable_convolutions_of_the_variant_have_two_groups():
    names = ResNet_vd(dcn_stage=[False, False, False, True]).state_dict()
    assert {name.split(".")[0] for name in names if "conv_offset" in name} == {"bb_3_0", "bb_3_1", "bb_3_2"}
    assert names["bb_3_0.conv1._conv.conv_offset.bias"].shape == [2 * 3 * 9]


def test_unknown_depth_is_refused():
    with pytest.raises(ValueError, match="layers must be one of") as caught:
        ResNet_vd(layers=20)
    assert str(caught.value) == "layers must be one of 18, 34, 50, 101, 152, 200, got 20"
