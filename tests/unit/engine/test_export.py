"""Every network as a graph: equal maps at sizes that it was not exported with, in every engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from ppdet_db.config import Plan
from ppdet_db.engine import build_model
from ppdet_db.engine import export as module
from ppdet_db.engine.export import WRITTEN, export, export_run, refuse_for_onnx, to_onnx
from ppdet_db.engine.inference import _paddle_session, open_model
from ppdet_db.engine.pdparams import read_weights
from ppdet_db.errors import DetError
from ppdet_db.modeling.model import DetModel

SIZES = ((64, 96), (160, 32))
BOUND = 3e-4
"""Of a map's values: networks with random weights enlarge a rounding error more than trained ones do."""

HEAD = {"name": "DBHead"}
SMALL = {"name": "MobileNetV3", "model_name": "small", "scale": 0.35}
DBFPN = {"name": "DBFPN", "out_channels": 24}
DEFORMABLE = {"name": "ResNet", "layers": 50, "dcn_stage": [False, False, False, True]}


def neck(name: str, **settings: object) -> dict:
    return {"name": name, "out_channels": 24, **settings}


NETWORKS = {
    "MobileNetV3": (SMALL, DBFPN, HEAD),
    "ResNet_vd": ({"name": "ResNet_vd", "layers": 18}, DBFPN, HEAD),
    "ResNet": ({"name": "ResNet", "layers": 18}, DBFPN, HEAD),
    "ResNet, deformable": (DEFORMABLE, DBFPN, HEAD),
    "PPLCNet": ({"name": "PPLCNet", "scale": 0.5}, DBFPN, HEAD),
    "PPLCNetV3": ({"name": "PPLCNetV3", "scale": 0.5}, neck("RSEFPN"), HEAD),
    "PPLCNetV4": ({"name": "PPLCNetV4", "model_size": "tiny"}, neck("RepLKFPN"), HEAD),
    "PPHGNet_small": ({"name": "PPHGNet_small"}, DBFPN, HEAD),
    "PPHGNetV2_B4": ({"name": "PPHGNetV2_B4"}, DBFPN, HEAD),
    "RepSVTR_det": ({"name": "RepSVTR_det"}, neck("RSEFPN"), HEAD),
    "DBFPN with ASF": (SMALL, neck("DBFPN", use_asf=True), HEAD),
    "LKPAN": (SMALL, neck("LKPAN"), HEAD),
    "LKPAN lite": (SMALL, neck("LKPAN", mode="lite"), {"name": "PFHeadLocal", "mode": "small"}),
    "LKPAN with IntraCL": (SMALL, neck("LKPAN", intracl=True), {"name": "PFHeadLocal", "mode": "large"}),
    "RepLKPAN": (SMALL, neck("RepLKPAN"), HEAD),
}
LARGE = ("ResNet", "ResNet, deformable", "PPHGNet_small", "PPHGNetV2_B4", "RepSVTR_det", "LKPAN", "LKPAN lite")
"""Left to `make test-all`, as are networks of whose kind there is another one here."""


def built(parts: tuple[dict, dict, dict]) -> DetModel:
    """With the statistics of random pictures in its batch norms, without which a deep network's map is 0 or 1."""
    paddle.seed(0)
    model = build_model(dict(zip(("Backbone", "Neck", "Head"), parts, strict=True)))
    norms = [layer for layer in model.sublayers() if hasattr(layer, "_momentum")]
    for norm in norms:
        norm._momentum = 0.0
    with paddle.no_grad():
        model(paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 3, 96, 128)).astype(np.float32)))
    model.eval()
    return model


def same(model: DetModel, run: object, size: tuple[int, int]) -> None:
    images = np.random.default_rng(1).normal(size=(2, 3, *size)).astype(np.float32)
    with paddle.no_grad():
        expected = model(paddle.to_tensor(images))["maps"].numpy()
    assert np.ptp(expected) > 0.1  # else any map would do
    np.testing.assert_allclose(run(images), expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in NETWORKS]
)
def test_every_engine_makes_the_same_map(name: str, tmp_path: Path) -> None:
    model = built(NETWORKS[name])
    export(model, tmp_path)
    files = tmp_path / "inference.json", tmp_path / "inference.pdiparams"
    runs = [_paddle_session(*files, onednn=onednn) for onednn in (True, False)]
    if name != "ResNet, deformable":
        for engine in ("onnxruntime", "openvino"):
            pytest.importorskip(engine)
            pytest.importorskip("paddle2onnx")
        to_onnx(tmp_path, {})
        opened = [open_model(tmp_path, engine) for engine in ("onnxruntime", "openvino")]
        runs += [lambda x, model=model: model(x)["maps"] for model in opened]
    for run in runs:
        for size in SIZES:
            same(model, run, size)


class ReadsSizes(nn.Layer):
    """A neck of a user, written as most are: it asks a feature for its size."""

    def __init__(self, in_channels: list[int]):
        super().__init__()
        self.out_channels = 8
        self.lateral = nn.LayerList([nn.Conv2D(channels, 8, 1) for channels in in_channels])

    def forward(self, features: list) -> dict:
        *finer, fused = [conv(x) for conv, x in zip(self.lateral, features)]  # noqa: B905
        for x in reversed(finer):
            fused = x + F.interpolate(fused, size=x.shape[2:], mode="nearest")
        return {"fused": fused}


def test_a_part_that_reads_sizes_keeps_them_free(tmp_path: Path) -> None:
    model = built((SMALL, DBFPN, HEAD))
    model.neck = ReadsSizes(model.backbone.out_channels)
    model.head = built((SMALL, neck("DBFPN") | {"out_channels": 8}, HEAD)).head
    export(model, tmp_path)
    for size in SIZES:
        same(model, lambda x: open_model(tmp_path)(x)["maps"], size)


def test_the_trained_network_is_as_before(tmp_path: Path) -> None:
    model = built(NETWORKS["PPLCNetV3"])
    before = {name: (value.name, value.numpy()) for name, value in model.state_dict().items()}
    export(model, tmp_path)
    after = model.state_dict()
    assert list(after) == list(before)
    for name, (paddles, value) in before.items():
        assert after[name].name == paddles
        np.testing.assert_array_equal(after[name].numpy(), value)


def test_onnx_says_what_it_holds(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("paddle2onnx")
    export(built(NETWORKS["MobileNetV3"]), tmp_path)
    to_onnx(tmp_path, {"inference.yml": "a: ä"})
    model = onnx.load(str(tmp_path / "model.onnx"))
    assert {entry.key: entry.value for entry in model.metadata_props} == {"inference.yml": "a: ä"}
    for value, sides in ((model.graph.input[0], ["N", 3, "H", "W"]), (model.graph.output[0], ["N", 1, "H", "W"])):
        assert [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] == sides
    assert "backbone.conv.conv.weight" in {array.name for array in model.graph.initializer} | {
        name for node in model.graph.node for name in node.output
    }


def test_a_deformable_convolution_is_refused_before_anything_is_written(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    model = built((SMALL, DBFPN, HEAD))
    model.backbone.deformable = paddle.vision.ops.DeformConv2D(3, 8, 3)
    with pytest.raises(DetError, match=r"backbone.deformable is a deformable convolution.*1183.*without --onnx"):
        export_run(plan(), model, tmp_path / "new/out", onnx=True)
    assert not (tmp_path / "new").exists()
    model.backbone.deformable = None
    refuse_for_onnx(model)


# ---- a whole run


def test_what_is_written(plan: Callable[..., Plan], tmp_path: Path) -> None:
    model = build_model(plan().architecture)
    folder = tmp_path / "new/out"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_text("of an earlier export")
    (folder / "mine.txt").write_text("kept")
    files = export_run(plan(), model, folder, pdparams=True)
    assert files == [folder / name for name in WRITTEN if name != "model.onnx"]
    assert sorted(file.name for file in folder.iterdir()) == sorted([*(file.name for file in files), "mine.txt"])
    assert list((tmp_path / "new").iterdir()) == [folder]


def test_pdparams_is_read_by_paddle_and_by_us(plan: Callable[..., Plan], tmp_path: Path) -> None:
    model = build_model(plan().architecture)
    export_run(plan(), model, tmp_path / "new/out", pdparams=True)
    file = tmp_path / "new/out/model.pdparams"
    ours, paddles, own = read_weights(file), paddle.load(str(file)), model.state_dict()
    assert list(ours) == list(own)
    for name, value in own.items():
        np.testing.assert_array_equal(ours[name], value.numpy())
        np.testing.assert_array_equal(paddles[name].numpy(), value.numpy())


def test_a_fused_network_has_no_pdparams(plan: Callable[..., Plan], tmp_path: Path) -> None:
    fused = plan("Architecture.fused=true")
    with pytest.raises(DetError, match=r"--pdparams: .*Architecture.fused"):
        export_run(fused, build_model(plan().architecture), tmp_path / "new/out", pdparams=True)
    assert not (tmp_path / "new").exists()


def test_what_was_there_stays_when_the_comparison_fails(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DetError("maps differ")

    model, folder = build_model(plan().architecture), tmp_path / "new/out"
    export_run(plan(), model, folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(module, "verify", fail)
    with pytest.raises(DetError, match="maps differ"):
        export_run(plan(), build_model(plan().architecture), folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert list((tmp_path / "new").iterdir()) == [folder]


def test_a_folder_that_cannot_be_made(plan: Callable[..., Plan], tmp_path: Path) -> None:
    Path("file").write_text("")
    with pytest.raises(DetError, match="file/out: the model cannot be written: Not a directory"):
        export_run(plan(), build_model(plan().architecture), "file/out")
