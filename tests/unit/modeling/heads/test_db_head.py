import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.contract import BINARY, SHRINK, THRESHOLD
from ppdet_db.modeling.heads import db_head
from ppdet_db.modeling.heads.db_head import DBHead, approximate_binary_map


class Logits(nn.Layer):
    """A branch that answers with given logits."""

    def __init__(self, logits: paddle.Tensor):
        super().__init__()
        self.logits = logits

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.logits


class Pick(nn.Layer):
    """A branch whose logits are the first channel of its features, times a factor."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.factor * nn.functional.interpolate(x[:, :1], scale_factor=4)


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v.astype(np.float64)))


def test_training_gives_three_maps_and_evaluation_the_first():
    paddle.seed(0)
    head = DBHead(16)
    fused = {"fused": paddle.rand([2, 16, 8, 12])}
    maps = head(fused)["maps"].numpy()
    assert maps.shape == (2, 3, 32, 48)
    assert maps.min() >= 0
    assert maps.max() <= 1
    binary = sigmoid(50 * (maps[:, SHRINK].astype(np.float64) - maps[:, THRESHOLD]))
    np.testing.assert_allclose(maps[:, BINARY], binary, atol=1e-5)

    head.eval()
    assert head(fused)["maps"].shape == [2, 1, 32, 48]


def test_shrink_map_comes_from_binarize_and_threshold_map_from_thresh():
    head = DBHead(16)
    head.binarize, head.thresh = Logits(paddle.full([1, 1, 4, 4], 1.0)), Logits(paddle.full([1, 1, 4, 4], -1.0))
    maps = head({"fused": paddle.zeros([1, 16, 1, 1])})["maps"].numpy()
    np.testing.assert_allclose(maps[0, SHRINK], sigmoid(np.array(1)), rtol=1e-6)
    np.testing.assert_allclose(maps[0, THRESHOLD], sigmoid(np.array(-1)), rtol=1e-6)
    head.eval()
    maps = head({"fused": paddle.zeros([1, 16, 1, 1])})["maps"].numpy()
    np.testing.assert_allclose(maps[0, SHRINK], sigmoid(np.array(1)), rtol=1e-6)


@pytest.mark.parametrize(
    ("p", "t", "b", "reason"),
    [
        (0.5, 0.5, 0.5, "equal: undecided"),
        (0.52, 0.5, 0.7310586, "sigmoid(1): two hundredths are one unit at k = 50"),
        (0.48, 0.5, 0.2689414, "the mirror image"),
        (1.0, 0.0, 1.0, "sure text"),
        (0.0, 1.0, 0.0, "sure background, where e^50 stands in the denominator"),
    ],
)
def test_approximate_binary_map(p, t, b, reason):
    value = approximate_binary_map(paddle.to_tensor(p), paddle.to_tensor(t), 50).item()
    assert value == pytest.approx(b, abs=1e-6), reason


@pytest.mark.parametrize(
    ("level", "features", "enlarged"),
    [
        ("p2", [0, 1, 3, 4, 4, 5, 7, 8], [0, 1, 3, 4, 4, 5, 7, 8]),
        ("p3", [0, 4, 4, 8], [0, 1, 3, 4, 4, 5, 7, 8]),
        ("p4", [0, 8], [0, 0, 1, 3, 5, 7, 8, 8]),
    ],
)
def test_auxiliary_maps_are_made_of_their_own_level_enlarged_linearly(level, features, enlarged):
    head = DBHead(16, k=1, aux_in_channels=4)
    setattr(head, f"aux_binarize_{level}", Pick(0.1))
    setattr(head, f"aux_thresh_{level}", Pick(-0.2))
    inputs = {"fused": paddle.zeros([1, 16, 8, 8])}
    inputs |= {f"p{i}": paddle.zeros([1, 4, 32 // 2**i, 32 // 2**i]) for i in (2, 3, 4)}
    inputs[level] += paddle.to_tensor(features, "float32")
    outputs = head(inputs)
    assert {key: value.shape for key, value in outputs.items()} == {
        key: [1, 3, 32, 32] for key in ("maps", "aux_maps_p2", "aux_maps_p3", "aux_maps_p4")
    }
    row = np.repeat(enlarged, 4)
    shrink, threshold = sigmoid(0.1 * row), sigmoid(-0.2 * row)
    expected = np.stack([shrink, threshold, sigmoid(shrink - threshold)])
    np.testing.assert_allclose(outputs[f"aux_maps_{level}"][0, :, 7].numpy(), expected, rtol=1e-5)

    head.eval()
    assert list(head({"fused": inputs["fused"]})) == ["maps"]


def test_first_kernel_can_be_larger():
    head = DBHead(16, kernel_list=[7, 2, 2], aux_in_channels=8)
    for branch in head.children():
        assert [conv.weight.shape[2:] for conv in (branch.conv1, branch.conv2, branch.conv3)] == [
            [7, 7],
            [2, 2],
            [2, 2],
        ]
    head.eval()
    assert head({"fused": paddle.rand([1, 16, 8, 12])})["maps"].shape == [1, 1, 32, 48]


@pytest.mark.parametrize("fix_nan", [True, False])
def test_nan_in_a_branch_is_replaced_in_training_alone(monkeypatch, fix_nan):
    """With the relu of a GPU, which keeps NaN: on a CPU Paddle's makes it 0."""
    monkeypatch.setattr(db_head.F, "relu", lambda x: paddle.where(x < 0, paddle.zeros_like(x), x))
    head = DBHead(16, fix_nan=fix_nan, aux_in_channels=4)
    features = {"fused": paddle.rand([2, 16, 8, 8])}
    features |= {f"p{i}": paddle.rand([2, 4, 32 // 2**i, 32 // 2**i]) for i in (2, 3, 4)}
    for value in features.values():
        value[0, 0, 0, 0] = float("nan")
    for key, maps in head(features).items():
        assert maps.isfinite().all().item() is fix_nan, key

    head.eval()
    assert not head(features)["maps"].isfinite().all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_maps_are_float32_and_gradients_finite_for_half_precision_logits(dtype):
    """e^50 is beyond float16: written as 1 / (1 + exp(...)) in half precision the gradient at P - T = -1 is NaN."""
    shrink = paddle.full([1, 1, 2, 2], -20.0).astype(dtype)
    shrink.stop_gradient = False
    head = DBHead(16)
    head.binarize, head.thresh = Logits(shrink), Logits(paddle.full([1, 1, 2, 2], 20.0).astype(dtype))
    maps = head({"fused": paddle.zeros([1, 16, 1, 1])})["maps"]
    maps.sum().backward()
    assert maps.dtype == paddle.float32
    assert np.isfinite(shrink.grad.astype("float32").numpy()).all()


def test_weights_start_as_in_paddleocr():
    paddle.seed(0)
    branch = DBHead(256).thresh
    conv1 = branch.conv1.weight.numpy()
    assert conv1.std() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    for norm in (branch.conv_bn1, branch.conv_bn2):
        assert (norm.weight == 1).all()
        np.testing.assert_allclose(norm.bias.numpy(), 1e-4, rtol=1e-6)
    # Paddle takes the second axis of a weight as its input, which for a transposed convolution is the output
    for layer, out_channels in ((branch.conv2, 64), (branch.conv3, 1)):
        weight, bound = layer.weight.numpy(), (6 / (out_channels * 4)) ** 0.5
        assert 0.95 * bound < np.abs(weight).max() <= bound
        assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.07)
    bias = branch.conv2.bias.numpy()
    assert 0.1 < np.abs(bias).max() <= 64**-0.5
    assert bias.std() == pytest.approx(64**-0.5 / 3**0.5, rel=0.25)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"in_channels": 3}, "in_channels must be at least 4 (the branches are a quarter as wide), got 3"),
        ({"k": 0}, "k must be positive, got 0"),
        ({"kernel_list": [4, 2, 2]}, "kernel_list must be [odd, 2, 2] to keep the picture's size, got [4, 2, 2]"),
        ({"kernel_list": [3, 3, 2]}, "kernel_list must be [odd, 2, 2] to keep the picture's size, got [3, 3, 2]"),
        ({"kernel_list": [-1, 2, 2]}, "kernel_list must be [odd, 2, 2] to keep the picture's size, got [-1, 2, 2]"),
        ({"aux_in_channels": 3}, "aux_in_channels must be 0 or at least 4, got 3"),
        ({"aux_in_channels": -8}, "aux_in_channels must be 0 or at least 4, got -8"),
    ],
)
def test_values_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match="must be") as caught:
        DBHead(**{"in_channels": 16, **kwargs})
    assert str(caught.value) == message
