"""The commands as users call them, with a network that knows the six small pictures without training."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
import yaml
from paddle import nn
from paddle.nn import functional as F

from ppdet_db import __version__
from ppdet_db.cli.__main__ import COMMANDS
from ppdet_db.cli.__main__ import main as ppdet_db
from ppdet_db.engine import build_model, checkpoint
from ppdet_db.registry import BACKBONES, HEADS, NECKS

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "train": "train",
    "eval": "eval",
    "infer": "infer_det",
    "export": "export_model",
    "import-weights": "import_weights",
    "check": "check_config",
    "dump": "dump_dataset",
    "profile": "profile_data",
}
CONFIG = {"infer": "[-c FILE]"}
"""Commands that have something to do without a config."""


def run(*command: str | Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, env=environment)


class Darkness(nn.Layer):
    """Picture -> 16 channels at stride 4 that hold every pixel: above 0 where all within 5 pixels are dark."""

    out_channels = [16, 1, 1, 1]

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.create_parameter([1], default_initializer=nn.initializer.Constant(5.0))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        bright = F.max_pool2d(x.mean(1, keepdim=True), kernel_size=9, stride=1, padding=4)
        folded = F.pixel_unshuffle(-self.scale * bright, 4)
        return [folded, *(F.avg_pool2d(x[:, :1], stride, stride) for stride in (8, 16, 32))]


class Passage(nn.Layer):
    out_channels = 16

    def __init__(self, in_channels: list[int]) -> None:
        super().__init__()

    def forward(self, features: list[paddle.Tensor]) -> dict[str, paddle.Tensor]:
        return {"fused": features[0]}


class Unfold(nn.Layer):
    def __init__(self, in_channels: int) -> None:
        super().__init__()

    def forward(self, fused: dict[str, paddle.Tensor]) -> dict[str, paddle.Tensor]:
        return {"maps": F.sigmoid(F.pixel_shuffle(fused["fused"], 4))}


KNOWING = {"Backbone": {"name": "Darkness"}, "Neck": {"name": "Passage"}, "Head": {"name": "Unfold"}}


@pytest.fixture
def known(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`known.yml`: tiny.yml with that network, whose checkpoint lies in `weights`."""
    for registry, cls in ((BACKBONES, Darkness), (NECKS, Passage), (HEADS, Unfold)):
        monkeypatch.setitem(registry._classes, cls.__name__, cls)
    Path("known.yml").write_text(yaml.safe_dump(yaml.safe_load(tiny.read_text()) | {"Architecture": KNOWING}))
    checkpoint.save("weights", build_model(KNOWING))
    return Path("known.yml")


@pytest.fixture
def infer(known: Path) -> Callable[..., int]:
    def call(images: str, *overrides: str) -> int:
        options = ["Global.checkpoints=weights", f"Global.infer_img={images}", *overrides]
        return ppdet_db(["infer", "-c", str(known), "-o", *options])

    return call


def results() -> dict[str, list[dict]]:
    """PaddleOCR's result file, read back."""
    lines = Path("found/result.txt").read_text().splitlines()
    return {name: json.loads(entries) for name, _, entries in (line.partition("\t") for line in lines)}


# ------------------------------------------------------------------------------------------------- starting a command


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_useful_and_does_not_wait_for_paddle(command: str) -> None:
    script = f"tools/{SCRIPTS[command]}.py"
    asked = run("-X", "importtime", ROOT / script, "--help")
    assert asked.returncode == 0
    assert not [line for line in asked.stderr.splitlines() if line.rpartition("|")[2].strip() in ("paddle", "cv2")]
    assert f"usage: python {script} [-h] {CONFIG.get(command, '-c FILE')}" in asked.stdout
    assert f"examples:\n  python {script} -c " in asked.stdout


def test_the_console_command_is_the_same_code() -> None:
    assert '"console_scripts": ["ppdet-db = ppdet_db.cli.__main__:main"]' in (ROOT / "setup.py").read_text()
    for command in COMMANDS:
        asked = run("-m", "ppdet_db.cli", command, "--help")
        assert f"usage: ppdet-db {command} [-h] {CONFIG.get(command, '-c FILE')}" in asked.stdout
        assert f"examples:\n  ppdet-db {command} -c " in asked.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        (["--version"], 0, __version__, ""),
        (["--help"], 0, "usage: ppdet-db COMMAND", ""),
        ([], 2, "", "usage: ppdet-db COMMAND"),
        (["trian", "-c", "x"], 2, "", "error: no command 'trian'. Did you mean 'train'?\n\nusage: ppdet-db COMMAND"),
    ],
)
def test_the_command_before_the_command(
    arguments: list[str], code: int, out: str, err: str, capsys: pytest.CaptureFixture
) -> None:
    assert ppdet_db(arguments) == code
    output = capsys.readouterr()
    assert output.out.startswith(out)
    assert output.err.startswith(err)
    assert bool(output.out) == bool(out)


def test_a_server_without_opencvs_system_libraries(tiny: Path) -> None:
    """A stand-in for the real thing: a `cv2` that fails as OpenCV's does there."""
    Path("fake").mkdir()
    reason = "libGL.so.1: cannot open shared object file: No such file or directory"
    Path("fake/cv2.py").write_text(f"raise ImportError({reason!r})\n")
    start = f"import sys; sys.path[:0] = ['fake', {str(ROOT)!r}]; from ppdet_db.cli.train import main; sys.exit(main())"
    failed = run("-c", start, "-c", tiny)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == (
        f"error: OpenCV cannot be imported: {reason}. Install what it needs from the system (Debian and Ubuntu: "
        "apt-get install libgl1 libglib2.0-0), or replace it by the build that needs neither "
        "(pip uninstall -y opencv-python && pip install opencv-python-headless).\n"
    )


def test_a_missing_package_is_named(tiny: Path) -> None:
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules['paddle'] = None; "
    failed = run("-c", start + "from ppdet_db.cli.train import main; sys.exit(main())", "-c", tiny)
    assert failed.returncode == 1
    assert (
        failed.stderr == "error: the Python package 'paddle' is not installed. Run: pip install -r requirements.txt\n"
    )


def test_training_says_nothing_on_stderr(tiny: Path) -> None:
    trained = run(ROOT / "tools/train.py", "-c", tiny, "-o", "Train.loader.num_workers=2", "Eval.loader.num_workers=1")
    assert (trained.returncode, trained.stderr) == (0, "")
    assert "epoch 1/1, step 2, lr 0.001, loss " in trained.stdout


def test_a_reader_that_goes_away_is_no_error(tiny: Path) -> None:
    command = [sys.executable, str(ROOT / "tools/check_config.py"), "-c", str(tiny)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


# ------------------------------------------------------------------------------------------------------- what eval says


def test_eval_prints_a_table_and_writes_the_same_numbers(known: Path, capsys: pytest.CaptureFixture) -> None:
    options = ["-o", "Global.checkpoints=weights", "--json", "numbers/eval.json"]
    assert ppdet_db(["eval", "-c", str(known), *options]) == 0
    values = json.loads(Path("numbers/eval.json").read_text())
    assert values.pop("fps") > 0
    expected = {"precision": 1.0, "recall": 1.0, "hmean": 1.0, "images": 6, "texts": 12, "found": 12, "matched": 12}
    assert values == expected | {"dropped_texts": 0, "dropped_found": 0}
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines() if not line.startswith("["))
    assert {"hmean": "1.0000", "texts": "12", "images": "6"}.items() <= printed.items()
    assert printed.keys() == values.keys() | {"fps"}


def test_eval_says_where_the_time_went(known: Path, capsys: pytest.CaptureFixture) -> None:
    assert ppdet_db(["eval", "-c", str(known), "-o", "Global.checkpoints=weights"]) == 0
    told = re.search(r"ms an image: (.*)", capsys.readouterr().out)
    milliseconds = {stage: float(value) for stage, value in (part.split() for part in told[1].split(", "))}
    assert list(milliseconds) == ["decode", "resize", "network", "postprocess"]
    assert min(milliseconds.values()) > 0


# ------------------------------------------------------------------------------------------------------ what infer does


def test_a_folder(infer: Callable, capsys: pytest.CaptureFixture) -> None:
    assert infer("data") == 0
    assert "12 texts in 6 pictures: found/result.txt, drawn in found/det_results" in capsys.readouterr().out
    found = results()
    assert list(found) == [f"data/{i}.jpg" for i in range(6)]
    for i, entries in enumerate(found.values()):
        assert [sorted(entry) for entry in entries] == [["points", "score", "transcription"]] * 2
        assert [entry["transcription"] for entry in entries] == ["", ""]
        assert all(0.6 < entry["score"] <= 1 for entry in entries)
        top = min(entries, key=lambda entry: entry["points"][0][1])
        assert np.abs(np.subtract(top["points"], [[6 + i, 8], [70 + i, 8], [70 + i, 22], [6 + i, 22]])).max() <= 8
        drawn, picture = cv2.imread(f"found/det_results/{i}.jpg"), cv2.imread(f"data/{i}.jpg")
        assert drawn.shape == picture.shape
        x, y = np.mean(top["points"][:2], axis=0).astype(int)
        assert drawn[y, x, 2] > drawn[y, x, 0] + 60, "the outline is red"


def test_one_picture_and_poly(infer: Callable) -> None:
    assert infer("data/3.jpg", "PostProcess.box_type=poly") == 0
    [entries] = results().values()
    assert len(entries) == 2
    assert all(len(entry["points"]) >= 4 for entry in entries)


def exif_rotated(picture: np.ndarray) -> bytes:
    """A JPEG stored a quarter turn to the left, whose EXIF orientation 6 turns it back."""
    jpeg = cv2.imencode(".jpg", cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE))[1].tobytes()
    tiff = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        ("grey.png", lambda p: cv2.imencode(".png", p[..., 0])[1].tobytes()),
        ("alpha.png", lambda p: cv2.imencode(".png", np.dstack([p, np.full(p.shape[:2], 9, np.uint8)]))[1].tobytes()),
        ("turned.jpg", exif_rotated),
        ("größe 1 日本.jpg", lambda p: cv2.imencode(".jpg", p)[1].tobytes()),
        ("b.bmp", lambda p: cv2.imencode(".bmp", p)[1].tobytes()),
        ("w.webp", lambda p: cv2.imencode(".webp", p)[1].tobytes()),
        ("T.TIFF", lambda p: cv2.imencode(".tiff", p)[1].tobytes()),
        ("deep.png", lambda p: cv2.imencode(".png", p.astype(np.uint16) * 257)[1].tobytes()),
    ],
)
def test_kinds_of_pictures(name: str, encode: Callable, infer: Callable) -> None:
    Path("other").mkdir()
    Path("other", name).write_bytes(encode(cv2.imread("data/0.jpg")))
    assert infer("other") == 0
    assert {file: len(entries) for file, entries in results().items()} == {f"other/{name}": 2}
    drawn = cv2.imdecode(np.fromfile(f"found/det_results/{name}", np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (64, 96, 3)


def test_a_list_with_two_pictures_of_one_name(infer: Callable, make_data: Callable) -> None:
    make_data(Path("more"))
    Path("plain").write_bytes(Path("data/0.jpg").read_bytes())
    Path("list.txt").write_text("\ufeffdata/0.jpg\n\nmore/0.jpg\r\nplain\n", encoding="utf-8")
    assert infer("list.txt") == 0
    assert list(results()) == ["data/0.jpg", "more/0.jpg", "plain"]
    assert {file.name for file in Path("found/det_results").iterdir()} == {"0.jpg", "0_2.jpg", "plain.jpg"}


def test_a_broken_picture_is_named_and_the_rest_goes_on(infer: Callable, capsys: pytest.CaptureFixture) -> None:
    Path("data/2.jpg").write_bytes(b"no picture")
    Path("data/3.jpg").write_bytes(Path("data/3.jpg").read_bytes()[:-300])
    Path("list.txt").write_text("".join(f"data/{i}.jpg\n" for i in range(6)) + "gone.jpg\n")
    assert infer("list.txt") == 1
    output = capsys.readouterr()
    assert output.err.splitlines() == [
        "error: data/2.jpg: cannot be decoded as an image: damaged, or no picture: b'no picture'...",
        "error: data/3.jpg: cannot be decoded as an image: truncated JPEG (its end marker is missing)",
        "error: gone.jpg: cannot be read: No such file or directory",
        "3 of 7 pictures could not be read",
    ]
    assert "8 texts in 4 pictures: found/result.txt" in output.out
    assert list(results()) == ["data/0.jpg", "data/1.jpg", "data/4.jpg", "data/5.jpg"]


# ------------------------------------------------------------------------------------------------------- what dump does


FROM_OUT = [
    f"{section}.dataset.{setting}"
    for section in ("Train", "Eval")
    for setting in ("data_dir=out", "label_file_list=[out/labels.txt]")
]


def dumped(out: str) -> tuple[list[str], list[list[dict]]]:
    lines = [line.split("\t") for line in Path(out, "labels.txt").read_text().splitlines()]
    return [name for name, _ in lines], [json.loads(label) for _, label in lines]


def test_dumped_label_files_train_again(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    assert ppdet_db(["dump", "-c", str(tiny), "--out", "out", "--section", "Train", "--number", "4"]) == 0
    assert capsys.readouterr().out == "4 of 6 pictures: out\n"
    names, labels = dumped("out")
    assert names == [f"pictures/{i:05d}.jpg" for i in range(4)]
    assert [text["transcription"] for text in labels[0]] == ["one", "two"]
    assert Path("out/pictures/00003.jpg").read_bytes() == Path("data/3.jpg").read_bytes()
    assert cv2.imread("out/drawn/00003.jpg").shape == (64, 96, 3)
    assert ppdet_db(["train", "-c", str(tiny), "-o", *FROM_OUT]) == 0


def test_dumped_scenes_train_again(tiny: Path) -> None:
    config = yaml.safe_load(tiny.read_text())
    scenes = {"name": "SyntheticDataSet", "num_samples": 5, "size": [128, 128], "font_size": [8, 20]}
    config["Train"]["dataset"] = {**scenes, "transforms": config["Train"]["dataset"]["transforms"]}
    Path("scenes.yml").write_text(yaml.safe_dump(config))
    assert ppdet_db(["dump", "-c", "scenes.yml", "--out", "out", "--section", "Train"]) == 0
    names, labels = dumped("out")
    assert len(names) == 5
    assert sum(map(len, labels)) > 5
    assert ppdet_db(["train", "-c", str(tiny), "-o", *FROM_OUT]) == 0


def test_dump_names_a_bad_sample_and_a_bad_folder(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    assert ppdet_db(["dump", "-c", str(tiny), "--out", "tiny.yml"]) == 1
    assert capsys.readouterr().err == "error: tiny.yml/pictures: cannot be written: Not a directory\n"
    Path("data/1.jpg").unlink()
    assert ppdet_db(["dump", "-c", str(tiny), "--out", "out"]) == 1
    assert capsys.readouterr().err == (
        "error: data/labels.txt:2: data/1.jpg: the picture cannot be read: No such file or directory\n"
    )


# ---------------------------------------------------------------------------------------------------- what profile says


def test_profile_tells_where_the_time_goes(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    before = sorted(Path().rglob("*"))
    options = ["--pictures", "4", "--workers", "1", "2", "--seconds", "0.1"]
    assert ppdet_db(["profile", "-c", str(tiny), *options]) == 0
    transforms, rates = capsys.readouterr().out.split("\n\n")
    rows = [re.fullmatch(r"  (.*?) +(\d+\.\d\d)(?: +\d+%)?", line) for line in transforms.splitlines()[1:]]
    milliseconds = {row[1]: float(row[2]) for row in rows}
    named = [next(iter(step)) for step in yaml.safe_load(tiny.read_text())["Train"]["dataset"]["transforms"]]
    assert [name for name in milliseconds if name != "decode and warp"] == ["read", *named, "together"]
    assert milliseconds.pop("together") == pytest.approx(sum(milliseconds.values()), abs=0.1)
    rows = [re.fullmatch(r"  (.*?) +(\d+\.\d)", line) for line in rates.splitlines()[1:]]
    assert [row[1] for row in rows] == ["num_workers: 1", "num_workers: 2", "network"]
    assert all(float(row[2]) > 0 for row in rows)
    assert sorted(Path().rglob("*")) == before
