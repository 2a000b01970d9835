"""Which layer is which, and what a layer's weights become."""

import numpy as np
import pytest

from ppdet_db.engine.graph import CONV, DECONV, NORM
from ppdet_db.engine.graph_layers import SCALE, SHIFT, Layer, Step
from ppdet_db.engine.import_weights import composed, match, own_layers, parts, source_file, transfer
from ppdet_db.errors import CheckpointError

RNG = np.random.default_rng(0)


def random(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 1.5, shape).astype(np.float32)


def layer(name: str, parents: list[Layer], shape: tuple = (4, 4, 1, 1)) -> Layer:
    return Layer(CONV, frozenset(parents), {"strides": (1, 1), "dilations": (1, 1), "groups": 1}, name, random(*shape))


def pyramid(order: list[int]) -> list[Layer]:
    """A backbone of three layers with a branch on each, all alike, the branches in this order; then their sum."""
    backbone = [layer("0", [])]
    for name in ("1", "2"):
        backbone.append(layer(name, backbone[-1:]))
    branches = {i: layer(f"branch {i}", [backbone[i]]) for i in order}
    return [*backbone, *branches.values(), layer("last", list(branches.values()))]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_branches_in_any_order_find_their_own(order):
    pairs = match(pyramid(order), pyramid([0, 1, 2]), "a.onnx")
    assert [theirs.name for theirs, _ in pairs] == [ours.name for _, ours in pairs]
    assert len(pairs) == 7


def test_layers_that_nothing_tells_apart_go_by_their_order():
    def twins() -> list[Layer]:
        first = layer("first", [])
        both = [layer("a", [first]), layer("b", [first])]
        return [first, *both, layer("last", both)]

    assert [theirs.name for theirs, _ in match(twins(), twins(), "a.onnx")] == ["first", "a", "b", "last"]


def test_what_one_network_alone_has_is_listed():
    theirs = [layer("x", []), layer("y", [], (8, 4, 3, 3))]
    ours = [layer("backbone.conv.weight", []), layer("neck.conv.weight", [], (16, 4, 1, 1))]
    with pytest.raises(CheckpointError) as error:
        match(theirs, ours, "a.onnx")
    assert str(error.value).splitlines() == [
        "a.onnx: belongs to another network. Nothing was written.",
        "  in the file, not in the network: 3x3 convolution, 4 -> 8 channels",
        "  in the network, not in the file: neck.conv.weight: 1x1 convolution, 4 -> 16 channels",
    ]


def test_the_same_layers_connected_otherwise_are_refused():
    chain = [layer("a", [])]
    for name in "bc":
        chain.append(layer(name, chain[-1:]))
    first = layer("a", [])
    fork = [first, layer("b", [first]), layer("c", [first])]
    with pytest.raises(CheckpointError, match="has the layers of the network, but connected in another way"):
        match(chain, fork, "a.onnx")


def norm(name: str, size: int, epsilon: float = 1e-5) -> Step:
    names = tuple(f"{name}.{part}" for part in ("weight", "bias", "mean", "variance"))
    return Step(NORM, names, tuple(random(size) for _ in names), epsilon)


def shift(name: str, size: int) -> Step:
    return Step(SHIFT, (name,), (random(size),))


def scale(name: str, size: int) -> Step:
    return Step(SCALE, (name,), (random(size),))


def computed(kernel: np.ndarray, kind: str, steps: list[Step]) -> np.ndarray:
    """Kernel, scaled, and shift behind it: all that a layer does."""
    factor, shifted = composed(steps)
    axis = 1 if kind == DECONV else 0
    channels = kernel.shape[axis]
    scaled = kernel * np.broadcast_to(factor, channels).reshape([-1 if i == axis else 1 for i in range(4)])
    return np.concatenate([scaled.ravel(), np.broadcast_to(shifted, channels)])


@pytest.mark.parametrize("kind", [CONV, DECONV])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ([shift("b", 4)], [norm("bn", 4)]),
        ([norm("n", 4)], [shift("bias", 4)]),
        ([norm("n", 4, 1e-3)], [norm("bn", 4)]),
        ([shift("b", 4), norm("n", 4)], [norm("bn", 4)]),
        ([shift("b", 4)], [shift("bias", 4), norm("bn", 4)]),
        ([shift("b", 4)], [shift("bias", 4), scale("lab.scale", 1), shift("lab.bias", 1)]),
        ([shift("b", 4), scale("s", 1), shift("t", 1)], [shift("bias", 4), scale("scale", 1), shift("lab.bias", 1)]),
        ([], [norm("bn", 4)]),
        ([scale("s", 1)], []),
    ],
)
def test_a_layer_does_afterwards_what_the_files_does(kind, theirs, ours):
    source = Layer(kind, frozenset(), {}, "w", random(4, 4, 3, 3), theirs)
    target = Layer(kind, frozenset(), {}, "conv.weight", random(4, 4, 3, 3), ours)
    values, folded = transfer(source, target)
    known = [Step(s.kind, s.names, tuple(values[name] for name in s.names), s.epsilon) for s in ours]
    assert set(values) == {"conv.weight", *(name for step in ours for name in step.names)}
    expected, found = computed(source.kernel, kind, theirs), computed(values["conv.weight"], kind, known)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    has_no_counterpart = any(s.kind == NORM for s in ours) and not (len(theirs) == 1 and theirs[0].kind == NORM)
    assert folded == ("bn" if has_no_counterpart else "")


def test_equal_steps_are_copied():
    steps = [shift("b", 4), scale("s", 1), shift("t", 1)]
    source = Layer(CONV, frozenset(), {}, "w", random(4, 4, 1, 1), steps)
    ours = [shift("bias", 4), scale("lab.scale", 1), shift("lab.bias", 1)]
    values, _ = transfer(source, Layer(CONV, frozenset(), {}, "weight", random(4, 4, 1, 1), ours))
    for step, own in zip(steps, ours, strict=True):
        np.testing.assert_array_equal(values[own.names[0]], step.arrays[0])


def test_a_bias_without_a_place_is_refused():
    source = Layer(CONV, frozenset(), {}, "w", random(4, 4, 1, 1), [shift("b", 4)])
    with pytest.raises(CheckpointError, match=r"neck\.weight: the file scales or shifts its output"):
        transfer(source, Layer(CONV, frozenset(), {}, "neck.weight", random(4, 4, 1, 1)))


def test_parts():
    names = ["head.thresh.conv1.weight", "head.thresh.conv2.weight", "backbone.blocks.0.weight", "backbone.conv.weight"]
    assert parts(names) == ["head.thresh", "backbone"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    def make(*files: str) -> None:
        info = tmp_path / "carrier-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in ("carrier/__init__.py", *files)))
        (tmp_path / "carrier").mkdir()
        (tmp_path / "carrier/__init__.py").write_text("raise RuntimeError('imported')\n")
        monkeypatch.syspath_prepend(tmp_path)

    return make


def test_the_detector_of_a_package_is_found_without_importing_it(package, tmp_path):
    package("carrier/models/PP_det.onnx", "carrier/models/PP_rec.onnx")
    assert source_file("package:carrier") == tmp_path / "carrier/models/PP_det.onnx"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["carrier/a_rec.onnx"], r"the package has no detector\. .*a_rec\.onnx"),
        (["carrier/a_det.onnx", "carrier/b_det.onnx"], r"the package has several detectors\. .*a_det\.onnx, .*b_det"),
    ],
)
def test_a_package_without_one_detector(package, files, message):
    package(*files)
    with pytest.raises(CheckpointError, match=message):
        source_file("package:carrier")


def test_a_package_that_is_not_installed():
    with pytest.raises(
        CheckpointError, match=r"package:no-such-thing: .*not installed\. Run: pip install no-such-thing"
    ):
        source_file("package:no-such-thing")


def test_weights_that_no_layer_has_are_told(monkeypatch, tmp_path):
    import paddle

    from ppdet_db.engine import build_model

    small = {"name": "MobileNetV3", "model_name": "small", "scale": 0.35}
    model = build_model({"Backbone": small, "Neck": {"name": "DBFPN", "out_channels": 24}, "Head": {"name": "DBHead"}})
    assert {layer.kind for layer in own_layers(model.fuse())} >= {CONV, DECONV}

    class Odd(type(model.head)):
        def __init__(self):
            super().__init__(24)
            self.power = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(1.5))

        def forward(self, features):
            return {"maps": paddle.pow(super().forward(features)["maps"], 2) + paddle.exp(self.power)}

    model.head = Odd()
    with pytest.raises(CheckpointError, match=r"cannot be imported into this network: head\.power belong to no"):
        own_layers(model.fuse())
