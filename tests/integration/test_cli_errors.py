"""What users get wrong, through the real command: a message with the place and the cure, exit code 1, no traceback."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ppdet_db.cli.eval import main as evaluate
from ppdet_db.cli.infer import main as infer
from ppdet_db.cli.train import main as train

CHECKOUT = Path(__file__).parents[2]
MEND = "\nMend the picture or its line in the label file, or remove the line."
NOT_ALL = "(unknown keys become warnings with -o Global.strict=false)"


def config(old: str, new: str) -> Callable[[], object]:
    """Damage: `old` in tiny.yml becomes `new`."""
    return lambda: Path("tiny.yml").write_text(Path("tiny.yml").read_text().replace(old, new, 1))


def label(new: str) -> Callable[[], object]:
    """Damage: what line 3 of the label file reads."""

    def damage() -> None:
        lines = Path("data/labels.txt").read_text().splitlines(keepends=True)
        Path("data/labels.txt").write_text("".join([*lines[:2], new + "\n", *lines[3:]]))

    return damage


def text(points: str) -> Callable[[], object]:
    return label(f'2.jpg\t[{{"transcription": "a", "points": {points}}}]')


def truncate() -> None:
    Path("data/2.jpg").write_bytes(Path("data/2.jpg").read_bytes()[:-400])


CONFIG = {
    "missing config": (
        lambda: Path("tiny.yml").rename("tinny.yml"),
        "tiny.yml: no such file. Did you mean 'tinny.yml'?",
    ),
    "YAML syntax": (
        config("- DetLabelEncode:", "- [DetLabelEncode"),
        "tiny.yml:24: not valid YAML: expected ',' or ']', but got ':' (while parsing a flow sequence)",
    ),
    "unknown component": (
        config("name: DBFPN", "name: DBFNP"),
        "tiny.yml:8: Architecture.Neck.name: no neck named 'DBFNP'. Did you mean 'DBFPN'?",
    ),
    "misspelt parameter": (
        config("out_channels", "out_chanels"),
        f"tiny.yml:8: Architecture.Neck.out_chanels: DBFPN has no parameter 'out_chanels'. "
        f"Did you mean 'out_channels'?\n{NOT_ALL}",
    ),
    "wrong type": (
        config("batch_size_per_card: 3", "batch_size_per_card: four"),
        "tiny.yml:31: Train.loader.batch_size_per_card: must be an integer, got 'four'",
    ),
    "two at once": (
        lambda: (config("DBHead", "DBHed")(), config("quad", "quads")()),
        "tiny.yml:9: Architecture.Head.name: no head named 'DBHed'. Did you mean 'DBHead'?\n"
        "tiny.yml:14: PostProcess.box_type: must be 'quad' or 'poly', got 'quads'. Did you mean 'quad'?",
    ),
    "empty section": (
        config(
            "  epoch_num: 1\n  print_batch_step: 1\n  save_model_dir: output\n  save_res_path: found/result.txt\n", ""
        ),
        "tiny.yml:1: Global: must be a mapping (key: value), got null",
    ),
    "a range that only the network knows": (
        config("scale: 0.35", "scale: 0.3"),
        "tiny.yml:7: Architecture.Backbone: scale must be one of 0.35, 0.5, 0.75, 1.0, 1.25, got 0.3",
    ),
}

DATA = {
    "missing label file": (
        lambda: Path("data/labels.txt").unlink(),
        "data/labels.txt: the label file cannot be read: No such file or directory. Relative names in label_file_list "
        "start at Global.data_root, or at the current folder when that is not set.",
    ),
    "label file without a tab": (
        label("2.jpg []"),
        "data/labels.txt:3: no '\\t' between picture and label. Each line must read "
        """picture'\\t'[{"transcription": ..., "points": ...}]; it reads '2.jpg []'""",
    ),
    "broken JSON": (
        label('2.jpg\t[{"transcription": "a", "points": [[1, 2}]'),
        "data/labels.txt:3: data/2.jpg: broken JSON at column 41 of the label: Expecting ',' delimiter, "
        f"""near 's": [[1, 2}}]'{MEND}""",
    ),
    "missing image": (
        lambda: Path("data/2.jpg").unlink(),
        f"data/labels.txt:3: data/2.jpg: the picture cannot be read: No such file or directory{MEND}",
    ),
    "truncated image": (
        truncate,
        "data/labels.txt:3: data/2.jpg: cannot be decoded as an image: truncated JPEG (its end marker is missing)"
        + MEND,
    ),
    "polygon with 2 points": (
        text("[[1, 2], [30, 4]]"),
        f"data/labels.txt:3: data/2.jpg: text 1 of 1: a polygon needs at least 3 points, got 2{MEND}",
    ),
    "polygon with NaN": (
        text("[[1, 2], [30, NaN], [30, 20]]"),
        "data/labels.txt:3: data/2.jpg: text 1 of 1: point 2 must be [x, y] with two finite numbers, got [30, NaN]"
        + MEND,
    ),
    "polygon with strings": (
        text('[["1", "2"], ["30", "2"], ["30", "20"]]'),
        'data/labels.txt:3: data/2.jpg: text 1 of 1: point 1 must be [x, y] with two finite numbers, got ["1", "2"]'
        + MEND,
    ),
    "data_dir wrong": (
        config("data_dir: data", "data_dir: dta"),
        "data/labels.txt: none of 6 pictures tried exists, the first is dta/0.jpg. data_dir is 'dta', and the names "
        "in the label file are relative to it.",
    ),
    "empty dataset": (
        lambda: Path("data/labels.txt").write_text("\n"),
        "data/labels.txt: the label file holds no line, so there is nothing to read. Add pictures or name another.",
    ),
    "less than one batch": (
        config("{ shuffle: true, batch_size_per_card: 3", "{ drop_last: true, batch_size_per_card: 7"),
        "6 pictures are fewer than one batch of 7 and drop_last is true: lower batch_size_per_card or set drop_last "
        "to false",
    ),
}


def said(capsys: pytest.CaptureFixture, code: int) -> str:
    """What stands on stderr after the exit code of every such failure."""
    output = capsys.readouterr()
    assert code == 1
    assert "Traceback" not in output.out + output.err
    assert output.err.startswith("error: ")
    return output.err.removeprefix("error: ").removesuffix("\n")


@pytest.mark.parametrize("case", [*CONFIG, *DATA])
def test_message(case: str, tiny: Path, capsys: pytest.CaptureFixture) -> None:
    damage, message = (CONFIG | DATA)[case]
    damage()
    assert said(capsys, train(["-c", str(tiny)])) == message


def test_a_broken_config_stops_before_any_work(tiny: Path) -> None:
    train(["-c", str(tiny), "-o", "Global.epoch_num=none"])
    assert not Path("output").exists()


@pytest.mark.parametrize("section", ["Train", "Eval"])
def test_a_worker_names_the_truncated_picture_too(section: str, tiny: Path, capsys: pytest.CaptureFixture) -> None:
    truncate()
    Path("data/good.txt").write_text("0.jpg\t[]\n1.jpg\t[]\n3.jpg\t[]\n")
    other = {"Train": "Eval", "Eval": "Train"}[section]
    overrides = [f"{section}.loader.num_workers=2", f"{other}.dataset.label_file_list=[data/good.txt]"]
    assert said(capsys, train(["-c", str(tiny), "-o", *overrides])) == DATA["truncated image"][1]


def test_nothing_but_the_message_is_on_stderr(tiny: Path) -> None:
    """In a process of its own: what libraries say on import or at the first step does not stand before the message."""
    truncate()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(CHECKOUT / "tools/train.py"), "-c", str(tiny), "-o", "Train.loader.num_workers=2"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (run.returncode, run.stderr) == (1, f"error: {DATA['truncated image'][1]}\n")
    assert "Traceback" not in run.stdout


@pytest.fixture
def trained(tiny: Path, capsys: pytest.CaptureFixture) -> Path:
    """tiny.yml with a finished run in output/."""
    assert train(["-c", str(tiny)]) == 0
    capsys.readouterr()
    return tiny


def test_output_folder_of_another_run(trained: Path, capsys: pytest.CaptureFixture) -> None:
    assert said(capsys, train(["-c", str(trained)])) == (
        "output: holds the checkpoints of another run. Go on with it by --resume, or choose another folder with "
        "-o Global.save_model_dir=..."
    )
    assert train(["-c", str(trained), "--resume"]) == 0


@pytest.mark.parametrize("command", [evaluate, infer])
def test_checkpoint_of_another_architecture(command: Callable, trained: Path, capsys: pytest.CaptureFixture) -> None:
    overrides = ["Global.checkpoints=output/latest", "Global.infer_img=data", "Architecture.Neck.out_channels=32"]
    message = said(capsys, command(["-c", str(trained), "-o", *overrides]))
    assert message.startswith("output/latest: 213 of 245 arrays loaded; 32 of another shape (neck.in2_conv.weight, ")
    assert message.endswith(
        ". It belongs to another architecture: use the config it was trained with (config.yml beside it), or load what "
        "matches with Global.pretrained_model."
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "no weights given: set -o Global.checkpoints=FOLDER, such as output/run/best_accuracy"),
        (
            ["Global.checkpoints=output/best"],
            "output/best: there is no such folder or file. A checkpoint is a folder such as output/run/best_accuracy, "
            "or PaddleOCR's .pdparams file.",
        ),
        (
            ["Global.checkpoints=data"],
            "data: holds no model.safetensors. A checkpoint is a folder such as output/run/best_accuracy, or "
            "PaddleOCR's .pdparams file.",
        ),
    ],
)
def test_no_checkpoint(overrides: list[str], message: str, tiny: Path, capsys: pytest.CaptureFixture) -> None:
    assert said(capsys, evaluate(["-c", str(tiny), "-o", "Global.seed=1", *overrides])) == message


def test_no_write_permission_for_the_output(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    folder = Path()
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:  # may write everywhere, so be somebody else for a while
        os.seteuid(65534)
    try:
        code = train(["-c", str(tiny)])
    finally:
        os.seteuid(user)
        folder.chmod(mode)
    assert said(capsys, code) == (
        "output: the output folder cannot be written (Permission denied). Choose another one with "
        "-o Global.save_model_dir=..."
    )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            "photos",
            "photos: no such file or folder. Set Global.infer_img to a picture, a folder or a .txt list.",
        ),
        (
            "empty",
            "empty: holds no picture (.jpg, .jpeg, .png, .bmp, .tif, .tiff, .webp, .pdf). Folders inside it are not "
            "searched.",
        ),
        ("null", "no picture given: set -o Global.infer_img=FILE_OR_FOLDER"),
        ("latin.txt", "latin.txt: not UTF-8 (byte 1). Save the list of pictures as UTF-8."),
    ],
)
def test_nothing_to_infer(images: str, message: str, trained: Path, capsys: pytest.CaptureFixture) -> None:
    Path("empty").mkdir()
    Path("latin.txt").write_bytes("für.jpg".encode("latin-1"))
    overrides = ["Global.checkpoints=output/latest", f"Global.infer_img={images}"]
    assert said(capsys, infer(["-c", str(trained), "-o", *overrides])) == message


def test_results_that_cannot_be_written(trained: Path, capsys: pytest.CaptureFixture) -> None:
    Path("taken").write_text("a file where a folder should be")
    paths = ["Global.checkpoints=output/latest", "Global.infer_img=data", "Global.save_res_path=taken/result.txt"]
    assert said(capsys, infer(["-c", str(trained), "-o", *paths])) == (
        "taken/det_results: results cannot be written: Not a directory. Choose another place with "
        "-o Global.save_res_path=FILE"
    )
    code = evaluate(["-c", str(trained), "-o", "Global.checkpoints=output/latest", "--json", "taken/eval.json"])
    assert said(capsys, code) == "taken/eval.json: the numbers cannot be written: File exists"
