"""What the weights of a layer become in another form of it, and where a file of weights is found."""

import numpy as np
import pytest

from ppdet_db.engine.graph import CONV, DECONV, NORM
from ppdet_db.engine.graph_layers import SCALE, SHIFT, Layer, Step
from ppdet_db.engine.import_weights import composed, own_layers, parts, source_file, transfer
from ppdet_db.errors import CheckpointError

RNG = np.random.default_rng(0)


def random(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 1.5, shape).astype(np.float32)


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


def test_the_pictures_are_of_two_sizes_and_normalised_as_detection_does_it():
    from ppdet_db.config import check_section
    from ppdet_db.engine.import_weights import normalised_pictures
    from ppdet_db.engine.verify import built_in_picture

    large, small = normalised_pictures()
    assert (large.shape, small.shape) == ((1, 3, 448, 640), (1, 3, 416, 352))
    assert large.dtype == np.float32
    resize, normalise = {"DetResizeForTest": {"image_shape": [448, 640]}}, {"NormalizeImage": {"order": "hwc"}}
    steps = [{"DecodeImage": {"img_mode": "BGR"}}, resize, normalise, "ToCHWImage"]
    sample = {"image": built_in_picture()[1], "img_path": "", "line": "", "index": 0, "epoch": 0}
    for spec in check_section("transforms", steps):
        sample = spec.build()(sample)
    assert np.abs(large[0] - sample["image"]).mean() < 0.01, "another interpolation, the same colours in the same order"


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
