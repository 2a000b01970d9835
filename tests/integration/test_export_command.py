"""The export command, from a checkpoint to files that other programs read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ppdet_db.cli.__main__ import main as ppdet_db
from ppdet_db.engine import build_model, checkpoint, load_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture
def options(tiny: Path) -> list[str]:
    checkpoint.save("weights", build_model(load_plan(tiny).architecture))
    return ["-c", str(tiny), "-o", "Global.checkpoints=weights", "Global.save_inference_dir=exported"]


def test_a_run_is_exported_and_compared(options: list[str], capsys: pytest.CaptureFixture) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("paddle2onnx")
    assert ppdet_db(["export", *options, "PostProcess.thresh=0.25", "--onnx", "--pdparams", "--verify", "data"]) == 0
    printed = capsys.readouterr()
    names = ["inference.json", "inference.pdiparams", "inference.yml", "clients.yml", "model.onnx", "model.pdparams"]
    listed = [line.split()[2] for line in printed.out.splitlines() if line.split()[1] == "MB"]
    assert listed == [f"exported/{name}" for name in names]
    for engine in ("paddle", "onnxruntime"):
        assert f"{engine} against training on 6 pictures: maps differ by" in printed.out
    text = Path("exported/inference.yml").read_text()
    config = yaml.safe_load(text)
    assert config["PostProcess"]["thresh"] == 0.25
    assert config["PreProcess"]["transform_ops"][1]["DetResizeForTest"]["image_shape"] == [64, 96]
    model = onnx.load("exported/model.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata == {"inference.yml": text}
    page = (ROOT / "docs/deploy.md").read_text()  # the server's configuration there names them
    assert f'input [ {{ name: "{model.graph.input[0].name}"' in page
    assert f'output [ {{ name: "{model.graph.output[0].name}"' in page
    assert yaml.safe_load(Path("exported/clients.yml").read_text())["rapidocr"]["Det.thresh"] == 0.25
    assert "note: other programs find other boxes: RapidOCR cannot resize to an image_shape" in printed.out


def test_the_same_command_writes_the_same_bytes(options: list[str]) -> None:
    files = []
    for _ in range(2):
        command = [sys.executable, str(ROOT / "tools/export_model.py"), *options, "--onnx", "--no-verify"]
        ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert ran.returncode == 0, ran.stderr
        files.append({file.name: file.read_bytes() for file in Path("exported").iterdir()})
    assert len(files[0]) == 5
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []
    assert json.loads(files[0]["inference.json"])


def test_without_weights_nothing_is_written(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    assert ppdet_db(["export", "-c", str(tiny), "-o", "Global.save_inference_dir=exported"]) == 1
    assert "error: no weights given" in capsys.readouterr().err
    assert not Path("exported").exists()
