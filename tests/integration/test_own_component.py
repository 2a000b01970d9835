"""A user's own classes, in files outside the package that `Global.imports` names, train like built-in ones."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from paddle import nn

from ppdet_db import registry
from ppdet_db.cli.infer import main as infer
from ppdet_db.cli.train import main as train
from ppdet_db.engine import Trainer, load_plan

CHECKOUT = Path(__file__).parents[2]
NECK = """\
from paddle import nn
from ppdet_db.registry import NECKS
from my_blocks import merge

@NECKS.register
class MyNeck(nn.Layer):
    def __init__(self, in_channels: list[int], out_channels: int = 16):
        super().__init__()
        self.out_channels = out_channels
        self.shallow = nn.Conv2D(in_channels[0], out_channels, 1)
        self.deep = nn.Conv2D(in_channels[3], out_channels, 1)

    def forward(self, features):
        return {"fused": merge(self.shallow(features[0]), self.deep(features[3]))}
"""
BLOCKS = """\
from paddle.nn import functional as F

def merge(shallow, deep):
    return shallow + F.interpolate(deep, size=shallow.shape[2:])
"""
TRANSFORM = """\
from ppdet_db.registry import TRANSFORMS

@TRANSFORMS.register
class Darken:
    def __init__(self, by: int = 20):
        if by < 0:
            raise ValueError(f"by must not be negative, got {by}")
        self.by = by

    def __call__(self, sample):
        dark = sample["image"].clip(self.by, None) - sample["rng"].integers(self.by + 1)
        return {**sample, "image": dark.astype("uint8")}
"""


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """A test's components and modules are gone when it ends."""
    registries = (registry.NECKS, registry.TRANSFORMS)
    classes = [dict(each._classes) for each in registries]
    modules = set(sys.modules)
    yield
    for each, before in zip(registries, classes, strict=True):
        each._classes.clear()
        each._classes.update(before)
    for name in {name for name in sys.modules if name.startswith("my_")} - modules:
        del sys.modules[name]


@pytest.fixture
def own(tiny: Path) -> Path:
    """`mine/own.yml`: tiny.yml with a neck and a transform of files beside it; the current folder is another one."""
    folder = Path("mine")
    folder.mkdir()
    text = tiny.read_text().replace("Global:\n", "Global:\n  imports: [my_neck.py, ./deeper/my_transform.py]\n")
    text = text.replace("{ name: DBFPN, out_channels: 24 }", "{ name: MyNeck, out_channels: 8 }")
    text = text.replace("      - CopyPaste:\n", "      - Darken: { by: 5 }\n")
    (folder / "own.yml").write_text(text)
    (folder / "my_neck.py").write_text(NECK)
    (folder / "my_blocks.py").write_text(BLOCKS)
    (folder / "deeper").mkdir()
    (folder / "deeper/my_transform.py").write_text(TRANSFORM)
    return folder / "own.yml"


def test_a_file_beside_the_yaml_trains_with_two_workers(own: Path) -> None:
    path = list(sys.path)
    trainer = Trainer(load_plan(own, ["Train.loader.num_workers=2"]))
    trainer.fit()
    assert type(trainer.model.neck).__name__ == "MyNeck"
    assert isinstance(trainer.model.neck, nn.Layer)
    assert trainer.model.head.binarize.conv1.weight.shape == [2, 8, 3, 3]
    assert [type(step).__name__ for step in trainer.train_loader.dataset.transforms][2] == "Darken"
    assert Path("output/best_accuracy").is_dir()
    assert sys.path == path


def test_the_real_commands_take_it_too(own: Path) -> None:
    """Training in a process of its own, then prediction here: the file is imported twice, in two ways of starting."""
    command = [sys.executable, str(CHECKOUT / "tools/train.py"), "-c", str(own), "-o", "Train.loader.num_workers=2"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert infer(["-c", str(own), "-o", "Global.checkpoints=output/latest", "Global.infer_img=data"]) == 0
    assert load_plan(own).architecture.neck.cls is load_plan(own).architecture.neck.cls


def test_a_module_of_the_current_folder(tiny: Path) -> None:
    Path("my_project").mkdir()
    Path("my_project/necks.py").write_text(NECK.replace("from my_blocks", "from my_project.blocks"))
    Path("my_project/blocks.py").write_text(BLOCKS)
    assert train(["-c", str(tiny), "-o", "Global.imports=[my_project.necks]", "Architecture.Neck.name=MyNeck"]) == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("\n\nundefined\n", "NameError: name 'undefined' is not defined"),
        ("x = 1\ndef f(:\n", "SyntaxError: invalid syntax"),
        (
            "from ppdet_db.registry import NECKS\n\n@NECKS.register\nclass My:\n    def __init__(self, **more): ...\n",
            "TypeError: neck My: *args/**kwargs would hide misspelt config keys; name every parameter",
        ),
        (
            "from ppdet_db.registry import NECKS\n\n@NECKS.register\nclass DBFPN:\n    pass\n",
            "TypeError: neck 'DBFPN' is registered twice: in ppdet_db.modeling.necks.db_fpn and in my_neck",
        ),
    ],
)
def test_an_import_that_fails_is_told_with_its_place(
    source: str, message: str, own: Path, capsys: pytest.CaptureFixture
) -> None:
    file = own.parent / "my_neck.py"
    file.write_text(source)
    line = {"ModuleNotFoundError": 1, "NameError": 3, "SyntaxError": 2, "TypeError": 3}[message.partition(":")[0]]
    assert train(["-c", str(own)]) == 1
    output = capsys.readouterr().err
    assert output.startswith(
        f"error: mine/own.yml:2: Global.imports: cannot import 'my_neck.py': {file.resolve()}:{line}: {message}"
    )
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("imports", "message"),
    [
        ("[gone.py]", "Global.imports: cannot import 'gone.py': FileNotFoundError: there is no {here}/gone.py"),
        ("[gone]", "Global.imports: cannot import 'gone': ModuleNotFoundError: No module named 'gone'"),
        ("[json.py]", "Global.imports: cannot import 'json.py': ImportError: another module is named 'json'; rename"),
        ("gone.py", "Global.imports: must be a list of texts, got 'gone.py'"),
        ("[3]", "Global.imports: must be a list of texts, got [3]"),
    ],
)
def test_what_cannot_be_imported(imports: str, message: str, tiny: Path, capsys: pytest.CaptureFixture) -> None:
    Path("json.py").write_text("")
    assert train(["-c", str(tiny), "-o", f"Global.imports={imports}"]) == 1
    assert f"error: -o Global.imports={imports}: {message.format(here=Path.cwd())}" in capsys.readouterr().err


def test_the_constructor_of_an_own_class_is_its_schema(own: Path, capsys: pytest.CaptureFixture) -> None:
    own.write_text(own.read_text().replace("by: 5", "by: -5").replace("out_channels: 8", "out_chanels: 8"))
    assert train(["-c", str(own)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: mine/own.yml:9: Architecture.Neck.out_chanels: MyNeck has no parameter")
    assert errors[1].endswith("transforms.2.Darken: by must not be negative, got -5")
