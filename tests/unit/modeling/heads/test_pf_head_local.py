import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.contract import BINARY, SHRINK, THRESHOLD
from ppdet_db.modeling.heads.pf_head_local import LocalModule, PFHeadLocal


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v.astype(np.float64)))


def test_refinement_sees_the_shrink_map_first_and_each_feature_twice_as_large():
    """10 x shrink map + 1 x first feature + 100 x second feature, through two hidden channels."""
    module = LocalModule(2, 2)
    kernel = np.zeros((2, 3, 3, 3), np.float32)
    kernel[0, :, 1, 1] = [10, 1, 0]
    kernel[1, :, 1, 1] = [0, 0, 100]
    module.last_3.conv.weight.set_value(kernel)
    module.last_3.bn = nn.Identity()
    module.last_1.weight.set_value(np.ones((1, 2, 1, 1), np.float32))
    module.last_1.bias.set_value(np.full(1, 1000, np.float32))
    features = paddle.to_tensor(np.arange(1, 5, dtype=np.float32).reshape(1, 2, 1, 2))  # 1, 2 and 3, 4
    shrink = paddle.to_tensor(np.arange(8, dtype=np.float32).reshape(1, 1, 2, 4))
    logits = module(features, shrink).numpy()[0, 0]
    assert np.array_equal(logits, [[1301, 1311, 1422, 1432], [1341, 1351, 1462, 1472]])


def test_negative_hidden_values_are_cut():
    module = LocalModule(1, 1)
    module.last_3.bn.bias.set_value(np.full(1, -100, np.float32))
    module.last_1.bias.set_value(np.full(1, 7, np.float32))
    assert (module(paddle.rand([1, 1, 2, 2]), paddle.rand([1, 1, 4, 4])) == 7).all()


def test_training_gives_the_refined_map_and_the_binary_map_of_the_unrefined():
    paddle.seed(0)
    head = PFHeadLocal(16, k=20)
    features = {"fused": paddle.rand([2, 16, 8, 12])}
    outputs = {key: value.numpy() for key, value in head(features).items()}
    assert list(outputs) == ["maps", "distance_maps", "cbn_maps"]
    maps = outputs["maps"]
    assert maps.shape == (2, 3, 32, 48)

    fused = features["fused"]
    half_size, shrink = head.binarize.features(fused), sigmoid(head.binarize(fused).numpy())
    refined = sigmoid(head.cbn_layer(half_size, paddle.to_tensor(shrink.astype(np.float32))).numpy())
    threshold = sigmoid(head.thresh(fused).numpy())
    np.testing.assert_allclose(maps[:, [SHRINK]], refined, atol=1e-5)
    np.testing.assert_allclose(maps[:, [THRESHOLD]], threshold, atol=1e-5)
    np.testing.assert_allclose(maps[:, [BINARY]], sigmoid(20 * (shrink - threshold)), atol=1e-5)
    assert np.array_equal(outputs["distance_maps"], maps[:, [SHRINK]])
    assert np.array_equal(outputs["cbn_maps"], maps[:, [BINARY]])


def test_evaluation_gives_the_mean_of_both_shrink_maps():
    head = PFHeadLocal(16)
    head.eval()
    head.binarize.conv3.weight.set_value(paddle.zeros(head.binarize.conv3.weight.shape))
    head.binarize.conv3.bias.set_value(paddle.full([1], 2.0))
    head.cbn_layer.last_1.weight.set_value(paddle.zeros(head.cbn_layer.last_1.weight.shape))
    head.cbn_layer.last_1.bias.set_value(paddle.full([1], -1.0))
    outputs = head({"fused": paddle.rand([2, 16, 8, 12])})
    assert list(outputs) == ["maps"]
    assert outputs["maps"].shape == [2, 1, 32, 48]
    mean = (sigmoid(np.array(2)) + sigmoid(np.array(-1))) / 2
    np.testing.assert_allclose(outputs["maps"].numpy(), mean, rtol=1e-6)


@pytest.mark.parametrize(("mode", "width"), [("large", 16), ("small", 8)])
def test_mode_is_the_width_of_the_refinement(mode, width):
    assert PFHeadLocal(64, mode=mode).cbn_layer.last_3.conv.weight.shape == [width, 17, 3, 3]


def test_branches_take_the_settings_of_dbhead():
    head = PFHeadLocal(16, kernel_list=[7, 2, 2], fix_nan=True)
    assert head.binarize.conv1.weight.shape == head.thresh.conv1.weight.shape == [4, 16, 7, 7]
    assert head.binarize.fix_nan
    assert head.thresh.fix_nan


class Half(nn.Layer):
    """A layer whose output is in half precision, as under AMP."""

    def __init__(self, layer: nn.Layer):
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: paddle.Tensor) -> paddle.Tensor:
        return self.layer(*inputs).astype("bfloat16")


def test_maps_are_float32_for_half_precision_logits():
    head = PFHeadLocal(16)
    head.binarize.conv3, head.thresh, head.cbn_layer = (
        Half(head.binarize.conv3),
        Half(head.thresh),
        Half(head.cbn_layer),
    )
    features = {"fused": paddle.rand([1, 16, 8, 8])}
    assert [value.dtype for value in head(features).values()] == [paddle.float32] * 3
    head.eval()
    assert head(features)["maps"].dtype == paddle.float32


def test_refinement_keeps_the_precision_of_the_features():
    module = LocalModule(1, 1)
    module.last_3, module.last_1 = nn.Identity(), nn.Identity()
    assert module(paddle.rand([1, 1, 2, 2]).astype("float16"), paddle.rand([1, 1, 4, 4])).dtype == paddle.float16


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"in_channels": 7}, "in_channels must be at least 8 (the refinement is an eighth as wide), got 7"),
        ({"k": -1}, "k must be positive, got -1"),
    ],
)
def test_values_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match="must be") as caught:
        PFHeadLocal(**{"in_channels": 16, **kwargs})
    assert str(caught.value) == message
