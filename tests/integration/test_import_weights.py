"""Published detectors as checkpoints: the same maps, training goes on from them, and bad files do nothing."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import onnx
import paddle
import pytest

from ppdet_db.cli.import_weights import main
from ppdet_db.engine import Trainer, build_model, load_plan
from ppdet_db.engine.checkpoint import load_state, load_weights
from ppdet_db.engine.export import export
from ppdet_db.engine.inference import open_model
from ppdet_db.engine.log import RunLog
from ppdet_db.engine.weights import load_trained
from ppdet_db.errors import CheckpointError

CONFIGS = Path(__file__).parents[2] / "configs/det"
V4, V5, V6 = (str(CONFIGS / name) for name in (
    "PP-OCRv4/PP-OCRv4_mobile_det.yml", "PP-OCRv5/PP-OCRv5_mobile_det.yml", "PP-OCRv6/PP-OCRv6_small_det.yml"
))  # fmt: skip
FILES = [
    (V4, "ppocrv4_mobile_det/inference.pdmodel", "head.thresh"),
    (V4, "ppocrv4_mobile_det.onnx", "head.thresh"),
    (V5, "ppocrv5_mobile_det.onnx", "head.thresh"),
    (V6, "ppocrv6_small_det.onnx", "head.thresh, head.aux_binarize_p4"),
]
FUSED = "Architecture.fused=true"


@pytest.mark.parametrize(("config", "file", "fresh"), FILES, ids=[file for _, file, _ in FILES])
def test_the_checkpoint_makes_the_maps_of_the_source(config, file, fresh, shared, tmp_path, capsys):
    source, out = shared / "weights" / file, str(tmp_path / "out")
    assert main(["-c", config, "--from", str(source), "--out", out]) == 0
    assert f"not in the file, random until trained: {fresh}" in capsys.readouterr().out

    model = load_trained(load_plan(config, [FUSED, f"Global.checkpoints={out}"]))
    images = np.random.default_rng(1).normal(size=(2, 3, 96, 160)).astype(np.float32).repeat(2, 2).repeat(2, 3)
    images[:, :, 40:60, 30:200] = -1.5  # a bar, such as a text is
    with paddle.no_grad():
        found = model(paddle.to_tensor(images))["maps"].numpy()
    expected = open_model(source)(images)["maps"]
    assert np.abs(found - expected).max() < 1e-3 < expected.max()


def test_an_exported_network_comes_back_as_it_was(tiny, tmp_path, capsys):
    paddle.seed(1)
    model = build_model(load_plan(tiny).architecture)
    export(model, tmp_path / "exported")
    assert main(["-c", str(tiny), "--from", str(tmp_path / "exported"), "-o", str(tmp_path / "out")]) == 0
    again = build_model(load_plan(tiny).architecture)
    load_weights(again, tmp_path / "out", strict=True)
    before, after = model.state_dict(), again.state_dict()
    for name in before:
        if not name.startswith("head.thresh"):
            np.testing.assert_array_equal(after[name].numpy(), before[name].numpy(), err_msg=name)
    assert load_state(tmp_path / "out")["source"]["file"] == "inference.json"


@pytest.fixture
def imported(tiny, shared) -> Path:
    """`tiny.yml` with the network of PP-OCRv4 mobile, whose weights are in `out`."""
    text = tiny.read_text()
    start, end = text.index("  Backbone"), text.index("Loss:")
    network = (
        "  fused: true\n  Backbone: { name: PPLCNetV3, scale: 0.75 }\n"
        "  Neck: { name: RSEFPN, out_channels: 96 }\n  Head: { name: DBHead }\n"
    )
    tiny.write_text(text[:start] + network + text[end:])
    source = str(shared / "weights/ppocrv4_mobile_det")
    assert main(["-c", str(tiny), "--from", source, "--out", "out"]) == 0
    return tiny


def test_training_goes_on_from_it_and_resumes(imported):
    settings = [
        "Global.pretrained_model=out",
        "Global.epoch_num=12",
        "Train.dataset.transforms.EastRandomCropData.size=[96,64]",
    ]
    whole = Trainer(load_plan(imported, settings))
    whole.fit()
    losses = [row["loss"] for row in RunLog(Path("output")).rows("train")]
    assert losses[-1] < 0.7 * losses[0]

    parts = [*settings, "Global.save_model_dir=parts"]

    class Stopping(Trainer):
        def step(self, batch):
            if self.global_step == 12:
                self.stop.number = 2  # as the handler of SIGINT does
            return super().step(batch)

    Stopping(load_plan(imported, parts)).fit()
    resumed = Trainer(load_plan(imported, parts), resume=True)
    assert 0 < resumed.global_step < whole.global_step
    resumed.fit()
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(resumed.model.state_dict()[name].numpy(), value.numpy(), err_msg=name)


@pytest.mark.parametrize("strict", [True, False])
def test_its_weights_in_an_unfused_network_are_refused(imported, strict):
    model = build_model(load_plan(imported, ["Architecture.fused=false"]).architecture)
    with pytest.raises(CheckpointError, match=r"out: holds the weights of the fused network\. Set Architecture\.fused"):
        load_weights(model, "out", strict=strict)


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def truncated(shared: Path) -> Path:
    data = (shared / "weights/ppocrv4_mobile_det.onnx").read_bytes()
    Path("bad.onnx").write_bytes(data[: len(data) // 2])
    return Path("bad.onnx")


def truncated_program(shared: Path) -> Path:
    for file in (shared / "weights/ppocrv4_mobile_det").iterdir():
        shutil.copyfile(file, file.name)
    data = Path("inference.pdmodel").read_bytes()
    Path("inference.pdmodel").write_bytes(data[: len(data) // 2])
    return Path("inference.pdmodel")


def truncated_weights(shared: Path) -> Path:
    for file in (shared / "weights/ppocrv4_mobile_det").iterdir():
        shutil.copyfile(file, file.name)
    data = Path("inference.pdiparams").read_bytes()
    Path("inference.pdiparams").write_bytes(data[: len(data) // 2])
    return Path("inference.pdmodel")


def without_weights(shared: Path) -> Path:
    shutil.copyfile(shared / "weights/ppocrv4_mobile_det/inference.pdmodel", "inference.pdmodel")
    return Path("inference.pdmodel")


def other_network(shared: Path) -> Path:
    return shared / "weights/ppocrv6_small_det.onnx"


def other_network_of_paddle(shared: Path) -> Path:
    small = {"name": "MobileNetV3", "model_name": "small", "scale": 0.35}
    model = build_model({"Backbone": small, "Neck": {"name": "DBFPN", "out_channels": 24}, "Head": {"name": "DBHead"}})
    export(model, "exported")
    return Path("exported")


def weights_of_another_network(shared: Path) -> Path:
    other_network_of_paddle(shared)
    shutil.copyfile(shared / "weights/ppocrv4_mobile_det/inference.pdmodel", "exported/inference.pdmodel")
    return Path("exported/inference.pdmodel")


def weights_without_number(shared: Path) -> Path:
    model = onnx.load(str(shared / "weights/ppocrv4_mobile_det.onnx"))
    constants = (node.attribute[0].t for node in model.graph.node if node.op_type == "Constant")
    kernel = next(tensor for tensor in constants if len(tensor.dims) == 4)
    kernel.CopyFrom(onnx.numpy_helper.from_array(np.full(list(kernel.dims), np.nan, np.float32), kernel.name))
    onnx.save(model, "bad.onnx")
    return Path("bad.onnx")


def occupied(shared: Path) -> Path:
    Path("out").mkdir()
    Path("out/mine.txt").touch()
    return shared / "weights/ppocrv4_mobile_det"


def taken_by_a_file(shared: Path) -> Path:
    Path("out").touch()
    return shared / "weights/ppocrv4_mobile_det"


def random_bytes(suffix: str):
    def make(shared: Path) -> Path:
        Path(f"bad{suffix}").write_bytes(np.random.default_rng(0).bytes(100_000))
        Path("bad.pdiparams").write_bytes(b"")
        return Path(f"bad{suffix}")

    return make


def harmful_pickle(suffix: str):
    def make(shared: Path) -> Path:
        Path(f"bad{suffix}").write_bytes(pickle.dumps(Harmful()))
        return Path(f"bad{suffix}")

    return make


def harmful_weights(shared: Path) -> Path:
    without_weights(shared)
    Path("inference.pdiparams").write_bytes(pickle.dumps(Harmful()))
    return Path("inference.pdmodel")


def other_activations(shared: Path) -> Path:
    model = onnx.load(str(shared / "weights/ppocrv4_mobile_det.onnx"))
    for node in model.graph.node:
        if node.op_type == "HardSigmoid":
            node.attribute[0].f = 0.5
    onnx.save(model, "bad.onnx")
    return Path("bad.onnx")


DAMAGED = "cannot be read, the file is damaged or no network"
BAD = [
    ("truncated ONNX", truncated, DAMAGED),
    ("truncated program", truncated_program, DAMAGED),
    ("truncated weights", truncated_weights, "damaged or of another network: it ends in the middle"),
    ("no weights", without_weights, "inference.pdiparams: not there"),
    ("another network", other_network, "Nothing was written.\n  in the file, not in the network: "),
    ("another network of Paddle", other_network_of_paddle, "Nothing was written.\n  in the file, not in the network: "),
    (
        "weights of another network",
        weights_of_another_network,
        "exported/inference.pdiparams: cannot be read, it is damaged or of another network: ",
    ),
    ("weights that are no number", weights_without_number, "bad.onnx: its layers fit the network, but the maps differ"),
    ("weights of a training", lambda shared: Path("a.pdparams"), "a.pdparams: needs no import: give it to Global.pre"),
    ("weights without their graph", lambda shared: Path("a.pdiparams"), "a.pdiparams: not an exported model: give its"),
    ("a folder of something else", occupied, "out: is there and no checkpoint, so none is put in its place"),
    ("a file in the folder's place", taken_by_a_file, "out: is there and no checkpoint, so none is put in its place"),
    *[(f"random {suffix}", random_bytes(suffix), DAMAGED) for suffix in (".onnx", ".pdmodel", ".json")],
    *[(f"pickle {suffix}", harmful_pickle(suffix), DAMAGED) for suffix in (".onnx", ".pdmodel", ".json")],
    ("pickle as weights", harmful_weights, "inference.pdiparams: cannot be read, it is damaged or of another network"),
    ("other activations", other_activations, "bad.onnx: its layers fit the network, but the maps differ by "),
    ("nothing there", lambda shared: Path("none.onnx"), "none.onnx: cannot be read: No such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), [(make, text) for _, make, text in BAD], ids=[name for name, _, _ in BAD])
def test_a_bad_file_gives_one_error_and_does_nothing(make, message, shared, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = make(shared)
    before = sorted(tmp_path.rglob("*"))
    assert main(["-c", V4, "--from", str(source), "--out", "out"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert sorted(tmp_path.rglob("*")) == before


def test_a_second_import_takes_the_place_of_the_first(tiny, capsys):
    export(build_model(load_plan(tiny).architecture), "exported")
    for seed in (1, 2):
        arguments = ["--from", "exported", "--out", "out", "-o", f"Global.seed={seed}"]
        assert main(["-c", str(tiny), *arguments]) == 0
    assert sorted(file.name for file in Path("out").iterdir()) == ["model.safetensors", "state.json"]


@pytest.mark.parametrize("arguments", [[], ["--out", "a", "-o", "b"], ["-o", "a", "b"]])
def test_one_folder_is_to_be_given(arguments, capsys):
    assert main(["-c", V4, "--from", "a.onnx", *arguments]) == 1
    assert capsys.readouterr().err == "error: give the folder for the checkpoint, once: --out FOLDER\n"
