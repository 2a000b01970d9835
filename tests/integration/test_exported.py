"""infer and eval with exported models, on every installed engine, with real files."""

import importlib.util
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppdet_db.cli.__main__ import main as ppdet_db
from ppdet_db.engine import build_model, checkpoint, load_plan
from ppdet_db.engine.export import export_run
from ppdet_db.engine.inference import ENGINES
from ppdet_db.geometry import polygon_iou

LOW = ("PostProcess.thresh=0.01", "PostProcess.box_thresh=0.01")
"""With these an untrained network finds something."""

ENGINE_NEEDS = {"onnxruntime": ("onnxruntime", "paddle2onnx"), "openvino": ("openvino", "paddle2onnx"), "paddle": ()}
RUNS_HERE = [e for e in ENGINES if all(importlib.util.find_spec(package) for package in ENGINE_NEEDS[e])]


def results(file: str = "found/result.txt") -> dict[str, list[dict]]:
    lines = Path(file).read_text().splitlines()
    return {name: json.loads(entries) for name, _, entries in (line.partition("\t") for line in lines)}


@pytest.fixture
def exported(tiny: Path) -> Path:
    """`exported`: a network of tiny.yml without training, in all formats; `weights` is its checkpoint."""
    plan = load_plan(tiny, LOW)
    model = build_model(plan.architecture)
    checkpoint.save("weights", model)
    export_run(plan, model, "exported", onnx="onnxruntime" in RUNS_HERE)
    return Path("exported")


@pytest.fixture
def from_checkpoint(exported: Path, tiny: Path) -> dict[str, list[dict]]:
    """What infer finds with the checkpoint."""
    options = ["Global.checkpoints=weights", "Global.infer_img=data", "Global.save_res_path=network/r.txt", *LOW]
    assert ppdet_db(["infer", "-c", str(tiny), "-o", *options]) == 0
    return results("network/r.txt")


def infer(*arguments: str, images: str = "data") -> int:
    options = [f"Global.infer_img={images}", "Global.save_res_path=found/result.txt"]
    return ppdet_db(["infer", *arguments, "-o", *options])


def require_same_boxes(found: dict[str, list[dict]], expected: dict[str, list[dict]]) -> None:
    assert list(found) == list(expected)
    for name, entries in expected.items():
        assert len(found[name]) == len(entries)
        for one, other in zip(found[name], entries, strict=True):
            assert polygon_iou(np.array(one["points"]), np.array(other["points"])) > 0.9
            assert abs(one["score"] - other["score"]) < 1e-3


@pytest.mark.parametrize("engine", RUNS_HERE)
def test_an_exported_model_finds_what_the_checkpoint_found(
    engine: str, exported: Path, from_checkpoint: dict, tiny: Path, capsys: pytest.CaptureFixture
) -> None:
    assert sum(map(len, from_checkpoint.values())) >= 6, "the comparison is of something"
    assert infer("-m", "exported", "--engine", engine) == 0
    printed = capsys.readouterr().out
    require_same_boxes(results(), from_checkpoint)
    assert "images/s; ms an image: decode " in printed
    assert all(f"{stage} " in printed.splitlines()[-1] for stage in ("decode", "resize", "network", "postprocess"))
    assert infer("-c", str(tiny), "--engine", engine) == 1
    assert "no weights given" in capsys.readouterr().err


def test_a_bare_onnx_file_needs_a_config_and_metadata_make_it_whole(
    exported: Path, from_checkpoint: dict, tiny: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    shutil.copy("exported/model.onnx", "whole.onnx")
    assert infer("-m", "whole.onnx") == 0
    require_same_boxes(results(), from_checkpoint)
    model = onnx.load("whole.onnx")
    del model.metadata_props[:]
    onnx.save(model, "bare.onnx")
    capsys.readouterr()
    assert infer("-m", "bare.onnx") == 1
    assert capsys.readouterr().err == (
        "error: bare.onnx: nothing says which transforms and postprocess belong to it (neither its metadata nor "
        "inference.yml beside it). Give the config it was trained with: -c FILE\n"
    )
    config = tiny.read_text().replace("box_type: quad", "box_type: quad, thresh: 0.01, box_thresh: 0.01")
    tiny.write_text(config)
    assert infer("-m", "bare.onnx", "-c", str(tiny)) == 0
    require_same_boxes(results(), from_checkpoint)


@pytest.mark.parametrize("batch_size", ["2", "4", "100"])
def test_batches_of_pictures_of_many_sizes(batch_size: str, exported: Path) -> None:
    for i, (height, width) in enumerate([(64, 96), (128, 96), (64, 96), (96, 96), (128, 96), (64, 96), (64, 96)]):
        picture = cv2.resize(cv2.imread(f"data/{i % 6}.jpg"), (width, height))
        cv2.imwrite(f"data/{i}.png", picture)
    Path("data/2.png").write_bytes(b"no picture")
    resize = "Eval.dataset.transforms.DetResizeForTest={limit_side_len: 64, limit_type: min}"
    command = ["infer", "-m", "exported", "-o", "Global.infer_img=data", resize]
    assert ppdet_db([*command, "Global.save_res_path=one/r.txt"]) == 1
    assert ppdet_db([*command, "Global.save_res_path=many/r.txt", "--batch_size", batch_size]) == 1
    alone = results("one/r.txt")
    assert len(alone) == 12
    require_same_boxes(results("many/r.txt"), alone)


def test_pdf_pages_and_broken_files(exported: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("pypdfium2")
    from PIL import Image

    pages = [Image.open(f"data/{i}.jpg") for i in range(3)]
    pages[0].save("data/scan.pdf", save_all=True, append_images=pages[1:], resolution=72.0)
    Path("data/damaged.pdf").write_bytes(b"%PDF-1.7 nothing")
    Path("data/1.jpg").write_bytes(b"")
    assert infer("-m", "exported") == 1
    output = capsys.readouterr()
    assert output.err.splitlines() == [
        "error: data/1.jpg: cannot be decoded as an image: the file is empty",
        "error: data/damaged.pdf: the PDF file cannot be read: Failed to load document (PDFium: Data format error).",
        "2 of 10 pictures could not be read",
    ]
    found = results()
    assert list(found)[-3:] == ["data/scan.pdf#1", "data/scan.pdf#2", "data/scan.pdf#3"]
    assert len(found) == 8
    assert cv2.imread("found/det_results/scan.pdf#2.jpg").shape == (128, 192, 3)
    assert infer("-m", "exported", images="data/scan.pdf#2") == 0
    assert results() == {"data/scan.pdf#2": found["data/scan.pdf#2"]}


def test_pdf_without_its_package(
    exported: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    Path("a.pdf").write_bytes(b"%PDF-1.7")
    assert infer("-m", "exported", images="a.pdf") == 1
    assert 'error: a.pdf: reading PDF needs pypdfium2. Run: pip install "ppdet_db[pdf]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no network given: set -c CONFIG with -o Global.checkpoints=FOLDER, or -m EXPORTED"),
        (["-m", "exported", "--batch_size", "0"], "--batch_size must be at least 1, got 0"),
        (["-m", "exported", "--engine", "tensorrt"], "no engine 'tensorrt'. Known: onnxruntime, openvino, paddle."),
        (["-m", "data"], "data: holds no exported model that an engine reads"),
        (
            ["-m", "exported/inference.json", "--engine", "openvino"],
            "exported/inference.json: the engine openvino reads",
        ),
    ],
)
def test_what_infer_refuses(arguments: list[str], message: str, exported: Path, capsys: pytest.CaptureFixture) -> None:
    if "openvino" in arguments:
        pytest.importorskip("openvino")
    assert infer(*arguments) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")


class Harmful:
    def __reduce__(self) -> tuple:
        return os.system, ("touch harmed",)


BAD = {
    "truncated": lambda data: data[: len(data) // 2],
    "random": lambda data: np.random.default_rng(0).bytes(len(data)),
    "a pickle": lambda data: pickle.dumps(Harmful()),
}


@pytest.mark.parametrize("damage", BAD)
@pytest.mark.parametrize("name", ["model.onnx", "inference.json", "inference.pdiparams"])
def test_a_bad_file_gives_infer_and_eval_one_error_and_they_do_nothing(
    name: str, damage: str, exported: Path, tiny: Path, capsys: pytest.CaptureFixture
) -> None:
    if name == "model.onnx":
        pytest.importorskip("onnxruntime")
    bad = exported / name
    bad.write_bytes(BAD[damage](bad.read_bytes()))
    given = str(bad) if name == "model.onnx" else "exported"
    before = sorted(Path().rglob("*"))
    for command in (["infer", "-c", str(tiny)], ["eval", "-c", str(tiny), "--json", "found/eval.json"]):
        capsys.readouterr()
        assert ppdet_db([*command, "-m", given, "-o", "Global.infer_img=data"]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: {exported}/")
        assert error.count("\n") == 1
    assert sorted(Path().rglob("*")) == before, "nothing run, nothing written"


@pytest.mark.parametrize("place", ["beside the graph", "in the metadata"])
@pytest.mark.parametrize("harm", ["Global: {imports: [MODULE.py]}\n", "x: !!python/object/apply:os.mkdir [harmed]\n"])
def test_what_an_exported_model_says_of_itself_runs_nothing(
    place: str, harm: str, exported: Path, capsys: pytest.CaptureFixture
) -> None:
    module = f"harm_{place.replace(' ', '_')}"  # a name of its own: Python imports one but once
    harm = harm.replace("MODULE", module)
    text = (exported / "inference.yml").read_text().replace("Global:", harm + "Ours:", 1)
    for folder in (Path(), exported):
        (folder / f"{module}.py").write_text("import os; os.mkdir('harmed')\n")
    model = exported / "inference.json"
    if place == "beside the graph":
        (exported / "inference.yml").write_text(text)
    else:
        onnx = pytest.importorskip("onnx")
        model = exported / "model.onnx"
        graph = onnx.load(str(model))
        onnx.helper.set_model_props(graph, {"inference.yml": text})
        onnx.save(graph, str(model))
    code = infer("-m", str(model))
    assert not Path("harmed").exists()
    if "!!python" in harm:
        assert code == 1
        assert "the YAML tag 'tag:yaml.org,2002:python/object/apply:os.mkdir' is not allowed" in capsys.readouterr().err


def test_an_engine_that_is_not_installed(
    exported: Path, tiny: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    for command in (["infer", "-m", "exported"], ["eval", "-c", str(tiny), "-m", "exported"]):
        assert ppdet_db([*command, "--engine", "openvino", "-o", "Global.infer_img=data"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: the engine openvino is not installed (")
        assert error.endswith('Run: pip install "ppdet_db[openvino]"\n')


@pytest.fixture
def evaluate(tiny: Path) -> Callable[..., dict]:
    def call(*arguments: str, overrides: tuple[str, ...] = ()) -> dict:
        command = ["eval", "-c", str(tiny), "--json", "eval.json", *arguments]
        assert ppdet_db([*command, "-o", "Global.checkpoints=weights", *LOW, *overrides]) == 0
        values = json.loads(Path("eval.json").read_text())
        assert values.pop("fps") > 0
        return values

    return call


@pytest.mark.parametrize("engine", RUNS_HERE)
def test_eval_of_an_exported_model_gives_the_checkpoints_numbers(
    engine: str, exported: Path, evaluate: Callable, capsys: pytest.CaptureFixture
) -> None:
    expected = evaluate()
    assert expected["found"] >= 6
    capsys.readouterr()
    ways = [("-m", "exported", "--engine", engine), ("--engine", engine)]
    for found in [*(evaluate(*way) for way in ways), evaluate(overrides=(f"Global.eval_engine={engine}",))]:
        assert abs(found["hmean"] - expected["hmean"]) <= 0.002
        assert found["found"] == expected["found"]
        assert found["images"] == 6
    printed = capsys.readouterr().out
    assert printed.count(f"the network runs on {engine}") == 2
    assert "note: " not in printed, "config and exported model say the same"
    evaluate("-m", "exported", "--engine", engine, overrides=("PostProcess.unclip_ratio=1.1",))
    assert "note: DBPostProcess is " in capsys.readouterr().out
