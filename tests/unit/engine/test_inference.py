"""Real model files on every installed engine, and files that are damaged, foreign or not there."""

import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppdet_db.config import check_section
from ppdet_db.engine import build_model
from ppdet_db.engine.export import export
from ppdet_db.engine.inference import ENGINES, deployed_config, model_file, open_model, require_engine
from ppdet_db.errors import DetError

INSTALLED = [engine for engine in ENGINES if importlib.util.find_spec(engine)]
SMALL = {
    "Backbone": {"name": "MobileNetV3", "model_name": "small", "scale": 0.35},
    "Neck": {"name": "DBFPN", "out_channels": 24},
    "Head": {"name": "DBHead"},
}


def needs(engine: str) -> None:
    if engine not in INSTALLED:
        pytest.skip(f"{engine} is not installed")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network as Paddle 3 writes it; tests that damage it take a copy."""
    folder = tmp_path_factory.mktemp("exported")
    export(build_model(SMALL), folder)
    return folder


@pytest.fixture
def picture(shared: Path) -> np.ndarray:
    """A street of ICDAR 2015, (1, 3, 384, 640), as the networks read it."""
    image = cv2.resize(cv2.imread(str(sorted((shared / "data/icdar2015/val").glob("*.jpg"))[0])), (640, 384))
    [normalize, to_chw] = (spec.build() for spec in check_section("transforms", [*NORMALIZE]))
    return to_chw(normalize({"image": image}))["image"][None]


NORMALIZE = [{"NormalizeImage": {"scale": "1./255.", "order": "hwc"}}, "ToCHWImage"]


@pytest.mark.parametrize("name", ["ppocrv4_mobile_det", "ppocrv5_mobile_det", "ppocrv6_small_det"])
def test_all_engines_agree_on_a_real_picture(name: str, picture: np.ndarray, shared: Path) -> None:
    files = {"onnxruntime": f"{name}.onnx", "openvino": f"{name}.onnx"}
    if (shared / "weights" / name).is_dir():
        files["paddle"] = name
    maps = {e: open_model(shared / "weights" / f, e)(picture)["maps"] for e, f in files.items() if e in INSTALLED}
    if len(maps) < 2:
        pytest.skip("one engine alone has nobody to agree with")
    one, *others = maps.values()
    assert one.shape == (1, 1, 384, 640)
    assert one.dtype == np.float32
    assert (one > 0.3).any(), "there is text in the picture"
    for other in others:
        assert np.abs(one - other).max() < 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_pictures_of_a_batch_do_not_meet_and_sizes_may_change(engine: str, picture: np.ndarray, shared: Path) -> None:
    needs(engine)
    model = open_model(shared / "weights" / ("ppocrv4_mobile_det" + ("" if engine == "paddle" else ".onnx")), engine)
    alone = model(picture)["maps"]
    blank = np.zeros_like(picture)
    together = model(np.concatenate([blank, picture, blank]))["maps"]
    assert np.abs(together[1:2] - alone).max() < 1e-5
    assert np.abs(together[0] - together[2]).max() < 1e-5
    assert model(picture[:, :, :96, :128])["maps"].shape == (1, 1, 96, 128)
    assert np.abs(model(picture)["maps"] - alone).max() < 1e-5, "an answer is not written over an earlier one"


def test_the_default_engine_follows_the_file(exported: Path, shared: Path) -> None:
    assert open_model(exported).engine == "paddle"
    assert open_model(exported / "inference.json").engine == "paddle"
    needs("onnxruntime")
    assert open_model(str(shared / "weights/ppocrv4_mobile_det.onnx")).engine == "onnxruntime"


def test_what_a_folder_holds(tmp_path: Path) -> None:
    for name in ("inference.onnx", "model.onnx", "inference.pdmodel", "inference.json"):
        (tmp_path / name).touch()
        expected = "model.onnx" if (tmp_path / "model.onnx").exists() else "inference.onnx"
        assert model_file(tmp_path, "onnxruntime").name == model_file(tmp_path, "openvino").name == expected
        assert model_file(tmp_path).name == name, "Paddle's own before ONNX, the newer before the older"


@pytest.mark.parametrize(
    ("path", "engine", "message"),
    [
        ("nowhere", None, "nowhere: not an exported model: give its folder, or a file inference.json, "),
        ("nowhere.onnx", None, "nowhere.onnx: there is no such file"),
        (
            ".",
            "openvino",
            ".: holds no exported model that openvino reads (model.onnx, inference.onnx). Export it",
        ),
        (".", None, ".: holds no exported model that an engine reads (inference.json, inference.pdmodel, model.onnx"),
        ("a.onnx", "paddle", "a.onnx: the engine paddle reads inference.json or inference.pdmodel"),
        ("a.json", "onnxruntime", "a.json: the engine onnxruntime reads an .onnx file"),
        ("a.json", "onnx", "no engine 'onnx'. Known: onnxruntime, openvino, paddle."),
    ],
)
def test_what_cannot_be(
    path: str, engine: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if engine in ENGINES:
        needs(engine)
    with pytest.raises(DetError) as caught:
        open_model(path, engine)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_package_that_is_missing(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, engine, None)
    with pytest.raises(DetError) as caught:
        require_engine(engine)
    extra = {"onnxruntime": "onnx"}.get(engine, engine)
    assert str(caught.value).startswith(f"the engine {engine} is not installed (")
    assert str(caught.value).endswith(f'Run: pip install "ppdet_db[{extra}]"')


DAMAGE = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "cut by a byte": lambda data: data[:-1],
    "random": lambda data: np.random.default_rng(0).bytes(5000),
    "a text": lambda data: b"<html>404 not found</html>",
    "a pickle": lambda data: pickle.dumps(Harmful()),
}


class Harmful:
    def __reduce__(self) -> tuple:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["inference.json", "inference.pdmodel", "inference.pdiparams", "model.onnx"])
def test_a_damaged_file_is_named(
    name: str, damage: str, exported: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "model.onnx":
        needs("onnxruntime")
        shutil.copy(shared / "weights/ppocrv4_mobile_det.onnx", tmp_path / name)
    elif name == "inference.pdmodel":
        for file in (shared / "weights/ppocrv4_mobile_det").glob("inference.pd*"):
            shutil.copyfile(file, tmp_path / file.name)
    else:
        shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    file = tmp_path / name
    file.chmod(0o644)
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(DetError) as caught:
        open_model(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    message = str(caught.value)
    graph = next(tmp_path / n for n in ("inference.json", "inference.pdmodel", "model.onnx") if (tmp_path / n).exists())
    assert message.startswith(f"{graph}: ")
    assert "cannot use it: " in message
    assert "The file is damaged, or no text detector" in message
    assert "\n" not in message


def test_an_onnx_file_under_the_name_of_a_program(tmp_path: Path, shared: Path) -> None:
    """Paddle reads it as a program without operators, and dies of it."""
    shutil.copyfile(shared / "weights/ppocrv4_mobile_det.onnx", tmp_path / "inference.pdmodel")
    shutil.copyfile(shared / "weights/ppocrv4_mobile_det/inference.pdiparams", tmp_path / "inference.pdiparams")
    with pytest.raises(DetError, match=r"inference\.pdmodel: paddle cannot use it: it holds no operator\. "):
        open_model(tmp_path)


def test_paddle_dies_of_what_is_refused(tmp_path: Path, shared: Path) -> None:
    """Why damage is looked for: when this fails, Paddle has mended it."""
    shutil.copyfile(shared / "weights/ppocrv4_mobile_det/inference.pdiparams", tmp_path / "inference.pdiparams")
    (tmp_path / "inference.pdmodel").write_bytes(np.random.default_rng(0).bytes(50000))
    code = (
        "from paddle import inference; c = inference.Config('inference.pdmodel', 'inference.pdiparams'); "
        "inference.create_predictor(c)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True).returncode < 0


@pytest.mark.parametrize("cut", [1, 4, 100])
def test_weights_that_end_within_an_array(cut: int, exported: Path, tmp_path: Path) -> None:
    """Paddle Inference takes such a file and makes up the numbers that are missing."""
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "inference.pdiparams"
    weights.write_bytes(weights.read_bytes()[:-cut])
    with pytest.raises(DetError, match="the weights end within an array"):
        open_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{}", r"\(InvalidArgument\) Invalid model file"),
        (b"null", r"\(InvalidArgument\) Invalid model file"),
        (b'{"name": "x", "version": "1.0"}', r"\(InvalidArgument\) Invalid model file"),
        (b"[" * 100_000, "maximum recursion depth exceeded"),
    ],
    ids=["empty object", "null", "JSON of something else", "deep"],
)
def test_json_that_is_no_network(content: bytes, reason: str, exported: Path, tmp_path: Path) -> None:
    shutil.copy(exported / "inference.pdiparams", tmp_path)
    (tmp_path / "inference.json").write_bytes(content)
    with pytest.raises(DetError, match=rf"inference\.json: paddle cannot use it: {reason}[^(]*\. The file is damaged"):
        open_model(tmp_path)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({**SMALL, "Neck": {"name": "DBFPN", "out_channels": 32}}, "InvalidArgumentError: The 'shape' in ReshapeOp"),
        ({**SMALL, "Neck": {"name": "RSEFPN", "out_channels": 24}}, r"\(\w+\) "),
    ],
    ids=["wider", "of other parts"],
)
def test_weights_of_another_network(other: dict, reason: str, exported: Path, tmp_path: Path) -> None:
    export(build_model(other), tmp_path)
    shutil.copy(exported / "inference.json", tmp_path)
    with pytest.raises(DetError, match=rf"inference\.json: paddle cannot use it: {reason}.*The file is damaged"):
        open_model(tmp_path)


def test_weights_that_are_missing(exported: Path, tmp_path: Path) -> None:
    shutil.copy(exported / "inference.json", tmp_path)
    with pytest.raises(DetError) as caught:
        open_model(tmp_path)
    expected = f"{tmp_path}/inference.pdiparams: there is no such file; it holds the weights of inference.json"
    assert str(caught.value) == expected


def other_network(folder: Path) -> Path:
    """A folder with a `model.onnx` that adds 1 to a picture."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    one = helper.make_tensor("one", kind, [1], [1.0])
    source = helper.make_tensor_value_info("x", kind, ["N", 3, "H", "W"])
    result = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"])], "g", [source], [result], [one])
    opset = [helper.make_opsetid("", 14)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(folder / "model.onnx"))
    return folder


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_another_kind_of_network(engine: str, tmp_path: Path) -> None:
    needs(engine)
    with pytest.raises(DetError) as caught:
        open_model(other_network(tmp_path), engine)
    assert str(caught.value) == (
        f"{tmp_path}/model.onnx: no text detector: of pictures [1, 3, 64, 64] it makes [1, 3, 64, 64], not one map of "
        "their size"
    )


NEW_THREADS = """
import os, sys
import onnxruntime
from ppdet_db.engine.inference import OPEN
before = len(os.listdir("/proc/self/task"))
network = OPEN["onnxruntime"](sys.argv[1])
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_onnxruntime_has_the_threads_that_it_is_told(threads: int, tmp_path: Path) -> None:
    """It does not look at the variable itself: on one core it would start more, which wait in a loop for work."""
    needs("onnxruntime")
    other_network(tmp_path)
    run = subprocess.run(
        [sys.executable, "-c", NEW_THREADS, tmp_path / "model.onnx"],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(run.stdout) == threads - 1  # the calling one works as well


def test_a_size_that_the_network_does_not_take(exported: Path) -> None:
    model = open_model(exported)
    with pytest.raises(DetError) as caught:
        model(np.zeros((1, 3, 40, 40), np.float32))
    assert str(caught.value).startswith(f"{exported}/inference.json: paddle fails on pictures [1, 3, 40, 40]: ")


def test_the_config_beside_a_graph_and_within_it(tmp_path: Path) -> None:
    file = other_network(tmp_path) / "model.onnx"
    assert deployed_config(file) is None
    (tmp_path / "inference.yml").write_text("PostProcess: {}")
    assert deployed_config(file) == ("PostProcess: {}", str(tmp_path / "inference.yml"))
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(file))
    onnx.helper.set_model_props(model, {"author": "x", "inference.yml": "PreProcess: ä"})
    onnx.save(model, str(file))
    assert deployed_config(file) == ("PreProcess: ä", f"{file}: inference.yml")
    assert deployed_config(tmp_path / "inference.json") == ("PostProcess: {}", str(tmp_path / "inference.yml"))


def entry(*content: bytes) -> bytes:
    """A field of ONNX's metadata with this inside; each part is shorter than 128 bytes."""
    return b"\x72" + bytes([sum(map(len, content))]) + b"".join(content)


KEY = b"\x0a\x0dinference.yml"


@pytest.mark.parametrize(
    "data",
    [
        b"<html>404 not found</html>",
        entry(KEY, b"\x12\x04ab"),
        entry(KEY, b"\x12\x02\xff\xfe"),
        entry(KEY, b"\x10\xff\xff\xff\xff\x0f"),
        entry(KEY),
        b"\x70\x05",
    ],
    ids=["text", "cut", "not UTF-8", "four billion for a text", "no value", "a number for an entry"],
)
def test_metadata_that_are_none(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(data)
    with pytest.raises(DetError) as caught:
        deployed_config(file)
    assert str(caught.value).startswith(f"{file}: cannot be read, the file is damaged: ")


def test_a_config_beside_a_graph_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "inference.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(DetError, match=r"inference\.yml: cannot be read, the file is damaged: 'utf-8' codec"):
        deployed_config(tmp_path / "inference.json")
    with pytest.raises(DetError, match=r"nowhere\.onnx: cannot be read: No such file or directory"):
        deployed_config(tmp_path / "nowhere.onnx")


def test_opening_leaves_the_files_alone(exported: Path) -> None:
    before = {file.name: file.read_bytes() for file in exported.iterdir()}
    open_model(exported)
    assert {file.name: file.read_bytes() for file in exported.iterdir()} == before
    assert json.loads(before["inference.json"])
