import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ppdet_db.modeling.backbones.resnet import BasicBlock, DeformableConv, ResNet


@pytest.mark.parametrize(
    ("layers", "blocks", "channels"),
    [
        (18, 8, [64, 128, 256, 512]),
        (34, 16, [64, 128, 256, 512]),
        (50, 16, [256, 512, 1024, 2048]),
        (101, 33, [256, 512, 1024, 2048]),
        (152, 50, [256, 512, 1024, 2048]),
    ],
)
def test_depth_is_what_the_name_says(layers, blocks, channels):
    net = ResNet(layers=layers)
    names = [name for name, _ in net.named_parameters() if name.endswith("_conv.weight")]
    assert len({name.split(".")[0] for name in names} - {"conv"}) == blocks
    assert net.out_channels == channels
    # the name counts the stem and the classifier, and leaves the projections out
    assert len([name for name in names if ".short." not in name]) + 1 == layers


def test_long_third_stages_are_numbered_and_all_others_have_letters():
    """PaddleOCR's names; the ninth block of 152 layers' second stage would be the first that letters do not cover."""
    names = ResNet(layers=101).stages
    assert names[1] == ["res3a", "res3b", "res3c", "res3d"]
    assert names[2] == ["res4a", *(f"res4b{i}" for i in range(1, 23))]
    assert ResNet(layers=50).stages[2] == ["res4a", "res4b", "res4c", "res4d", "res4e", "res4f"]


def test_projection_of_a_strided_shortcut_takes_every_other_pixel():
    """With the residual off and an identity projection, the block is relu of those pixels."""
    block = BasicBlock(1, 1, stride=2, project=True, average=False)
    block.eval()
    block.conv1._conv.weight.set_value(paddle.zeros([1, 1, 3, 3]))
    block.short._conv.weight.set_value(paddle.ones([1, 1, 1, 1]))
    x = paddle.arange(16, dtype="float32").reshape([1, 1, 4, 4])
    np.testing.assert_allclose(block(x).numpy()[0, 0], [[0, 2], [8, 10]], rtol=1e-4)  # the batch norm's epsilon


def deformable(groups: int = 1) -> tuple[DeformableConv, paddle.Tensor]:
    paddle.seed(0)
    return DeformableConv(4, 6, 3, stride=1, deformable_groups=groups), paddle.randn([2, 4, 7, 9])


@pytest.mark.parametrize("groups", [1, 2])
def test_deformable_convolution_starts_as_half_of_a_plain_one(groups):
    """No offsets, and masks of sigmoid(0)."""
    layer, x = deformable(groups)
    plain = F.conv2d(x, layer.conv_dcn.weight, padding=1)
    np.testing.assert_allclose(layer(x).numpy(), plain.numpy() / 2, atol=1e-6)


def test_offsets_are_down_and_right_for_each_tap_and_masks_come_last():
    layer, x = deformable()
    bias = np.zeros(27, np.float32)
    bias[1:18:2] = 1  # right by one pixel
    bias[18:] = 100  # masks of 1
    layer.conv_offset.bias.set_value(bias)
    moved = F.conv2d(x, layer.conv_dcn.weight, padding=1)[:, :, :, 1:]
    np.testing.assert_allclose(layer(x)[:, :, :, :-1].numpy(), moved.numpy(), atol=1e-5)


def test_each_deformable_group_moves_its_own_channels():
    layer, x = deformable(groups=2)
    bias = np.zeros(54, np.float32)
    bias[18:36:2] = 1  # the second group's, down by one pixel
    bias[36:] = 100
    layer.conv_offset.bias.set_value(bias)
    weight = layer.conv_dcn.weight
    still = F.conv2d(x[:, :2], weight[:, :2], padding=1)[:, :, :-1]
    moved = F.conv2d(x[:, 2:], weight[:, 2:], padding=1)[:, :, 1:]
    np.testing.assert_allclose(layer(x)[:, :, :-1].numpy(), (still + moved).numpy(), atol=1e-5)


def test_gradient_of_an_offset_is_what_moving_it_changes():
    layer, x = deformable()
    start = np.random.default_rng(0).uniform(0.2, 0.8, 27).astype(np.float32)  # between pixels: no kinks
    layer.conv_offset.bias.set_value(start)
    coef = paddle.randn([2, 6, 7, 9])
    (layer(x) * coef).sum().backward()
    for i in (0, 5, 17, 20):  # three offsets and a mask
        values = []
        for step in (-1e-2, 1e-2):
            layer.conv_offset.bias.set_value(start + step * np.eye(27, dtype=np.float32)[i])
            values.append((layer(x) * coef).sum().item())
        gradient = layer.conv_offset.bias.grad[i].item()
        assert gradient == pytest.approx((values[1] - values[0]) / 2e-2, rel=5e-3, abs=5e-3)
    assert layer.conv_offset.weight.grad.abs().max().item() > 0.1


def test_dcn_stage_chooses_the_stages():
    names = ResNet(layers=50, dcn_stage=[False, True, False, True]).state_dict()
    with_offsets = {name.split(".")[0] for name in names if "conv_offset" in name}
    assert with_offsets == {"res3a", "res3b", "res3c", "res3d", "res5a", "res5b", "res5c"}
    assert all(".conv1." in name for name in names if "conv_dcn" in name)


def test_blocks_of_two_convolutions_are_never_deformable():
    """PaddleOCR's ResNet of 18 layers takes dcn_stage and stays as it is; so do the weights trained with it."""
    assert list(ResNet(layers=18, dcn_stage=[True] * 4).state_dict()) == list(ResNet(layers=18).state_dict())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"layers": 200}, "layers must be one of 18, 34, 50, 101, 152, got 200"),
        ({"dcn_stage": [True]}, "dcn_stage must have one entry for each of the four stages, got [True]"),
    ],
)
def test_values_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match="must") as caught:
        ResNet(**kwargs)
    assert str(caught.value) == message
