"""An addition to the package is one file and one line in `components.py`, for every kind; nothing else is edited."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/extending.md"

FILES = {
    "ppdet_db/modeling/backbones/narrow_net.py": """
import paddle.nn.functional as F
from paddle import nn
from ppdet_db.registry import BACKBONES

@BACKBONES.register
class NarrowNet(nn.Layer):
    def __init__(self, width: int = 8):
        super().__init__()
        self.out_channels = [width] * 4
        self.stem = nn.Conv2D(3, width, 4, stride=4)

    def forward(self, x):
        x = self.stem(x)
        return [x, *(F.avg_pool2d(x, scale) for scale in (2, 4, 8))]
""",
    "ppdet_db/modeling/necks/first_level.py": """
from paddle import nn
from ppdet_db.registry import NECKS

@NECKS.register
class FirstLevel(nn.Layer):
    def __init__(self, in_channels: list[int], out_channels: int = 8):
        super().__init__()
        self.out_channels = out_channels
        self.conv = nn.Conv2D(in_channels[0], out_channels, 1)

    def forward(self, features):
        return {"fused": self.conv(features[0])}
""",
    "ppdet_db/modeling/heads/steep_head.py": """
from ppdet_db.modeling.heads.db_head import DBHead
from ppdet_db.registry import HEADS

@HEADS.register
class SteepHead(DBHead):
    def __init__(self, in_channels: int):
        super().__init__(in_channels, k=100)
""",
    "ppdet_db/losses/half_loss.py": """
from ppdet_db.losses.db_loss import DBLoss
from ppdet_db.registry import LOSSES

@LOSSES.register
class HalfLoss(DBLoss):
    def __init__(self):
        super().__init__(alpha=2.5, beta=5)
""",
    "ppdet_db/data/transforms/mirror.py": """
from ppdet_db.registry import TRANSFORMS

@TRANSFORMS.register
class TurnOver:
    needs = gives = ("image", "polys")

    def __call__(self, sample):
        height, width = sample["image"].shape[:2]
        polys = ([width - 1, height - 1] - sample["polys"]).astype("float32")
        return {**sample, "image": sample["image"][::-1, ::-1].copy(), "polys": polys}
""",
}
SECTIONS = [
    "Architecture.Backbone={name: NarrowNet, width: 6}",
    "Architecture.Neck={name: FirstLevel, out_channels: 12}",
    "Architecture.Head={name: SteepHead}",
    "Loss={name: HalfLoss}",
    "Train.dataset.transforms.2={TurnOver: }",
]


def documented_addition() -> dict[str, str]:
    """The file that docs/extending.md shows whole, {path: source}."""
    source = re.search(r"```python\n(.*# the whole of (\S+)\n.*?)```", PAGE.read_text(), re.DOTALL)
    return {source[2]: source[1].rpartition("```python\n")[2]}


def documented_line() -> str:
    return re.search(r"```diff\n  ppdet_db/components.py\n\+ (.*)\n```", PAGE.read_text())[1]


def documented_section() -> str:
    """What a config then says, as an override."""
    return "Optimizer.lr=" + re.search(r"`lr: (\{ name: InverseSqrt.*?\})`", PAGE.read_text())[1]


@pytest.fixture
def checkout(tiny: Path) -> Path:
    """A copy of the package beside `tiny.yml`, to be edited."""
    for name in ("ppdet_db", "tools"):
        shutil.copytree(ROOT / name, name, ignore=shutil.ignore_patterns("__pycache__"))
    return Path.cwd()


def add(files: dict[str, str], lines: list[str]) -> None:
    for path, source in files.items():
        assert not Path(path).exists()
        Path(path).write_text(source)
    with open("ppdet_db/components.py", "a") as components:
        components.write("\n".join(lines) + "\n")


def train(checkout: Path, overrides: list[str]) -> subprocess.CompletedProcess:
    command = [sys.executable, str(checkout / "tools/train.py"), "-c", "tiny.yml", "-o", *overrides]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_addition_that_the_documentation_shows(checkout: Path) -> None:
    add(documented_addition(), [documented_line()])
    run = train(checkout, [documented_section(), "Global.epoch_num=2"])
    assert (run.returncode, run.stderr) == (0, "")
    rates = [float(rate) for rate in re.findall(r"lr ([\d.e-]+)", run.stdout)]
    # two steps an epoch and half_after 5: 1 / sqrt(1 + 3 step / 10)
    assert rates[:4] == pytest.approx([0.001 / (1 + 0.3 * step) ** 0.5 for step in range(4)], rel=1e-4)


def test_one_file_and_one_line_for_each_kind(checkout: Path) -> None:
    add(FILES, [f"import {path.removesuffix('.py').replace('/', '.')}" for path in FILES])
    run = train(checkout, SECTIONS)
    assert (run.returncode, run.stderr) == (0, "")
    assert "NarrowNet" in Path("output/config.yml").read_text()
    assert Path("output/best_accuracy").is_dir()


def test_without_the_line_the_name_is_unknown(checkout: Path) -> None:
    add(FILES, [])
    run = train(checkout, SECTIONS)
    assert run.returncode == 1
    for kind, name in (("backbone", "NarrowNet"), ("neck", "FirstLevel"), ("head", "SteepHead"), ("loss", "HalfLoss")):
        assert f"no {kind} named '{name}'" in run.stderr
