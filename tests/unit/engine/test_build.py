"""Config -> objects: what is wired to what, and how the user's own modules are imported."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import paddle
import pytest
import yaml

from ppdet_db.config import check_section
from ppdet_db.data.dataset import DetDataset
from ppdet_db.engine import build, build_dataset, build_loader, build_model, build_optimizer, load_plan
from ppdet_db.errors import ConfigError, DetError
from ppdet_db.registry import DATASETS

CONFIGS = Path(__file__).parents[3] / "configs"
ARCHITECTURE = {
    "Backbone": {"name": "MobileNetV3", "model_name": "small", "scale": 0.35},
    "Neck": {"name": "DBFPN", "out_channels": 24},
    "Head": {"name": "DBHead"},
}


class Numbers(DetDataset):
    """So many samples without content."""

    def __init__(self, length: int, transforms: list = (), data_root: str | None = None, base_seed: int = 0):
        super().__init__(transforms, base_seed)
        self.length, self.data_root = length, data_root

    def __len__(self) -> int:
        return self.length


# ------------------------------------------------------------------------------------------------------ sections


def test_checked_specs_and_plain_dicts_build_the_same() -> None:
    specs = check_section("Architecture", ARCHITECTURE)
    one, two = build_model(specs), build_model(ARCHITECTURE)
    shapes = [{name: value.shape for name, value in model.state_dict().items()} for model in (one, two)]
    assert shapes[0] == shapes[1]


def test_a_fused_network_has_one_convolution_where_the_other_has_branches() -> None:
    section = {
        "Backbone": {"name": "PPLCNetV3", "scale": 0.5},
        "Neck": {"name": "RSEFPN", "out_channels": 24},
        "Head": {"name": "DBHead"},
    }
    fused, unfused = build_model({**section, "fused": True}), build_model(section)
    assert fused.training
    assert list(fused.state_dict()) == list(unfused.fuse().state_dict())
    assert len(fused.state_dict()) < len(unfused.state_dict())
    frozen = {name.rpartition(".")[2] for name, value in fused.named_parameters() if value.stop_gradient}
    assert frozen == {"_mean", "_variance"}


def test_optimizer_is_wired_to_schedule_and_regularizer() -> None:
    parameter = paddle.create_parameter([1], "float32", default_initializer=paddle.nn.initializer.Constant(1.0))
    section = {
        "name": "Momentum",
        "momentum": 0.0,
        "lr": {"name": "Linear", "learning_rate": 0.5, "end_lr": 0.0, "power": 1.0},
        "regularizer": {"name": "L2", "factor": 0.2},
    }
    optimizer, schedule = build_optimizer(section, parameters={"weight": parameter}, epochs=2, step_each_epoch=5)
    (3 * parameter).sum().backward()
    optimizer.step()
    assert parameter.item() == pytest.approx(1 - 0.5 * (3 + 0.2 * 1))
    schedule.step()
    assert optimizer.get_lr() == pytest.approx(0.45), "a tenth of 2 x 5 steps"


def test_optimizer_gets_the_parameters_that_are_trained() -> None:
    net = paddle.nn.Linear(2, 1)
    net.bias.stop_gradient = True
    section = {"name": "Adam", "lr": {"learning_rate": 0.1}}
    optimizer, _ = build_optimizer(section, parameters=dict(net.named_parameters()), epochs=1, step_each_epoch=1)
    net.bias.stop_gradient = False  # so that there is a gradient to follow
    before = {name: parameter.numpy().copy() for name, parameter in net.named_parameters()}
    net(paddle.ones([1, 2])).sum().backward()
    optimizer.step()
    assert (net.weight.numpy() != before["weight"]).all()
    assert (net.bias.numpy() == before["bias"]).all()


def test_dataset_gets_seed_root_and_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS._classes, "Numbers", Numbers)
    dataset = build_dataset({"name": "Numbers", "length": 3, "transforms": ["ToCHWImage"]}, seed=7, data_root="/data")
    assert (dataset.base_seed, dataset.data_root) == (7, "/data")
    assert [type(step).__name__ for step in dataset.transforms] == ["ToCHWImage"]
    with pytest.raises(DetError) as caught:
        build_dataset({"name": "Numbers", "length": 0})
    assert str(caught.value) == "dataset: the dataset is empty, there is no picture to read"


@pytest.mark.parametrize(
    ("section", "batches"),
    [
        ({"batch_size_per_card": 4}, 3),
        ({"batch_size_per_card": 4, "drop_last": True}, 2),
        ({}, 10),
        ({"batch_size_per_card": 10, "drop_last": True}, 1),
    ],
)
def test_loader_counts_batches(section: dict, batches: int) -> None:
    loader = build_loader(Numbers(10), section, train=True)
    assert len(loader.batch_sampler) == batches


def test_loader_prepares_transforms_before_its_workers_start() -> None:
    class Heavy:
        prepared = 0

        def prepare(self) -> None:
            self.prepared += 1

    heavy = Heavy()
    build_loader(Numbers(4, [abs, heavy]), {"batch_size_per_card": 2, "num_workers": 2}, train=True)
    assert heavy.prepared == 1


def test_training_is_shared_between_processes_and_evaluation_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: 2)
    drawn = {train: list(build_loader(Numbers(6), {}, train=train).batch_sampler) for train in (True, False)}
    assert drawn[True] == [[(0, 1)], [(0, 3)], [(0, 5)]]
    assert drawn[False] == [[(0, i)] for i in range(6)]


def test_a_gpu_that_is_not_there_is_a_note(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count():
        pytest.skip("there is one here")
    monkeypatch.setattr(build.logger, "propagate", True)
    with caplog.at_level("INFO", logger="ppdet_db"):
        build.choose_device(use_gpu=True)
        build.choose_device(use_gpu=False)
    assert paddle.get_device() == "cpu"
    assert [record.message for record in caplog.records] == [
        "note: Global.use_gpu is true, but this Paddle or this machine has no GPU: the CPU is used"
    ]


# ------------------------------------------------------------------------------------------------ Global.imports


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with `base/base.yml` and a `child.yml` upon it. New modules are forgotten."""
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    Path("base").mkdir()
    runtime = load_plan(CONFIGS / "det/det_mv3_db_synthetic.yml").config.data
    Path("base/base.yml").write_text(yaml.safe_dump(runtime))
    Path("child.yml").write_text("_base_: base/base.yml\n")
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.startswith("mine"):
            del sys.modules[name]


def write_base(imports: list) -> None:
    data = yaml.safe_load(Path("base/base.yml").read_text())
    data["Global"]["imports"] = imports
    Path("base/base.yml").write_text(yaml.safe_dump(data))


def test_a_path_is_relative_to_the_yaml_that_names_it(folder: Path) -> None:
    Path("base/mine_a.py").write_text("import mine_b\nVALUE = mine_b.VALUE + 1\n")
    Path("base/mine_b.py").write_text("VALUE = 1\n")
    write_base(["./mine_a.py"])
    path = list(sys.path)
    load_plan("child.yml")
    assert sys.modules["mine_a"].VALUE == 2
    assert sys.path == path
    module = sys.modules["mine_a"]
    load_plan("child.yml")
    assert sys.modules["mine_a"] is module, "once"


def test_a_dotted_name_is_looked_for_in_the_current_folder(folder: Path) -> None:
    Path("mine_package").mkdir()
    Path("mine_package/necks.py").write_text("VALUE = 3\n")
    write_base(["mine_package.necks"])
    load_plan("child.yml")
    assert sys.modules["mine_package.necks"].VALUE == 3
    assert os.getcwd() not in sys.path


def test_a_path_of_an_override_is_relative_to_the_current_folder(folder: Path) -> None:
    Path("mine_c.py").write_text("VALUE = 4\n")
    load_plan("child.yml", ["Global.imports=[mine_c.py]"])
    assert sys.modules["mine_c"].VALUE == 4


def test_a_module_that_failed_is_tried_again(folder: Path) -> None:
    Path("mine_d.py").write_text("1 / 0\n")
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            load_plan("child.yml", ["Global.imports=[mine_d.py]"])
        assert str(caught.value) == (
            "-o Global.imports=[mine_d.py]: Global.imports: cannot import 'mine_d.py': "
            f"{folder.resolve()}/mine_d.py:1: ZeroDivisionError: division by zero"
        )
    Path("mine_d.py").write_text("VALUE = 5  # mended\n")
    load_plan("child.yml", ["Global.imports=[mine_d.py]"])
    assert sys.modules["mine_d"].VALUE == 5


def test_the_place_of_an_error_in_a_library_is_the_line_that_called_it(folder: Path) -> None:
    Path("mine_e.py").write_text("import json\n\njson.loads('{')\n")
    with pytest.raises(ConfigError) as caught:
        load_plan("child.yml", ["Global.imports=[mine_e.py]"])
    assert f"{folder.resolve()}/mine_e.py:3: JSONDecodeError: " in str(caught.value)
