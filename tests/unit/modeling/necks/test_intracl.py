import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.modeling.necks.intracl import IntraCLBlock, add_intracl, apply_intracl


def block_of_zeros() -> IntraCLBlock:
    """Two channels in, one inside: the first is handed to the bottleneck, and its answer to the second."""
    block = IntraCLBlock(2, reduce_factor=2)
    for parameter in block.parameters():
        parameter.set_value(paddle.zeros(parameter.shape))
    block.conv1x1_reduce_channel.weight.set_value(np.array([1, 0], np.float32).reshape(1, 2, 1, 1))
    block.conv1x1_return_channel.weight.set_value(np.array([0, 1], np.float32).reshape(2, 1, 1, 1))
    block.bn = nn.Identity()
    return block


def pass_on(block: IntraCLBlock, *names: str) -> None:
    """The middle of these kernels is one."""
    for name in names:
        conv = getattr(block, name)
        kernel = np.zeros(conv.weight.shape, np.float32)
        kernel[0, 0, kernel.shape[2] // 2, kernel.shape[3] // 2] = 1
        conv.weight.set_value(kernel)


def dot() -> paddle.Tensor:
    x = np.zeros((1, 2, 9, 11), np.float32)
    x[0, 0, 4, 5] = 1
    return paddle.to_tensor(x)


@pytest.mark.parametrize(
    ("window", "rows", "columns"),
    [
        ("v_layer_7x1", slice(1, 8), slice(5, 6)),
        ("q_layer_1x7", slice(4, 5), slice(2, 9)),
        ("c_layer_7x7", slice(1, 8), slice(2, 9)),
        ("v_layer_5x1", slice(2, 7), slice(5, 6)),
        ("q_layer_1x5", slice(4, 5), slice(3, 8)),
        ("c_layer_5x5", slice(2, 7), slice(3, 8)),
        ("v_layer_3x1", slice(3, 6), slice(5, 6)),
        ("q_layer_1x3", slice(4, 5), slice(4, 7)),
        ("c_layer_3x3", slice(3, 6), slice(4, 7)),
    ],
)
def test_window_spreads_a_dot_over_its_own_shape(window, rows, columns):
    block = block_of_zeros()
    pass_on(block, *(f"c_layer_{k}x{k}" for k in (7, 5, 3) if str(k) not in window))
    conv = getattr(block, window)
    conv.weight.set_value(paddle.ones(conv.weight.shape))

    y = block(dot()).numpy()[0]
    expected = np.zeros((9, 11), np.float32)
    expected[rows, columns] = 1
    np.testing.assert_allclose(y[1], expected, atol=1e-6)
    assert np.array_equal(y[0], dot()[0, 0].numpy())  # the input itself is added


def test_windows_of_one_size_are_added_and_sizes_follow_each_other():
    """(1 + 1 + 1) per size, three sizes: 27."""
    block = block_of_zeros()
    pass_on(block, *(name for k in (7, 5, 3) for name in (f"v_layer_{k}x1", f"q_layer_1x{k}", f"c_layer_{k}x{k}")))
    np.testing.assert_allclose(block(dot())[0, 1].numpy(), 27 * dot()[0, 0].numpy(), atol=1e-5)


def test_what_is_added_is_normalised_and_never_negative():
    block = block_of_zeros()
    block.bn = nn.BatchNorm2D(2)
    block.bn.bias.set_value(np.array([2, -1], np.float32))
    np.testing.assert_allclose(
        block(dot()).numpy() - dot().numpy(), np.array([2.0, 0.0]).reshape(1, 2, 1, 1) * np.ones((9, 11)), atol=1e-6
    )


def test_neck_has_one_block_a_level_the_finest_first():
    neck = nn.Layer()
    add_intracl(neck, 4)
    assert [name for name, _ in neck.named_children()] == ["incl1", "incl2", "incl3", "incl4"]
    assert neck.incl1.conv1x1_reduce_channel.weight.shape == [2, 4, 1, 1]
    for i, block in enumerate(neck.children()):
        block.bn.weight.set_value(paddle.zeros([4]))
        block.bn.bias.set_value(paddle.full([4], 10.0**i))
    levels = apply_intracl(neck, [paddle.zeros([1, 4, 16 // 2**i, 16 // 2**i]) for i in range(4)])
    assert [level.unique().tolist() for level in levels] == [[1], [10], [100], [1000]]


def test_neck_too_narrow_for_the_block_is_refused():
    with pytest.raises(ValueError, match="out_channels") as caught:
        add_intracl(nn.Layer(), 1)
    assert str(caught.value) == "out_channels must be at least 8 with intracl, got 4"
