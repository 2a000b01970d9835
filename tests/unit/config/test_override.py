"""`-o`: values set from the command line."""

from pathlib import Path

import pytest

from ppdet_db.config import load_config


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


RUN = """\
Global: {epoch_num: 500}
Architecture:
  Backbone: {name: ResNet_vd, layers: 50}
Train:
  dataset:
    name: SimpleDataSet
    label_file_list: [a.txt, b.txt]
    transforms:
      - Crop: {size: [640, 640]}
      - ToCHW:
      - Jitter: {}
      - Jitter: {}
"""

OVERRIDES = [
    ("Global.epoch_num=10", ("Global", "epoch_num"), 10, "a number"),
    ("Global.lr=1e-3", ("Global", "lr"), 1e-3, "a last key that is not there: check judges it"),
    ("Global.url=https://a/b?c=d", ("Global", "url"), "https://a/b?c=d", "split at the first ="),
    ("Global.epoch_num=", ("Global", "epoch_num"), None, "nothing is null"),
    ("Global.imports=[a, 'b.py']", ("Global", "imports"), ["a", "b.py"], "a list"),
    ("Architecture.Backbone={name: X, a: 1}", ("Architecture", "Backbone"), {"name": "X", "a": 1}, "a section whole"),
    ("Train.dataset.transforms.Crop.size=[320,320]", ("Train", "dataset", "transforms", 0, "Crop", "size"), [320, 320],
     "an operator by its name"),
    ("Train.dataset.transforms.0.Crop.size=[320,320]", ("Train", "dataset", "transforms", 0, "Crop", "size"),
     [320, 320], "an operator by its number"),
    ("Train.dataset.transforms.ToCHW.x=1", ("Train", "dataset", "transforms", 1, "ToCHW"), {"x": 1},
     "an operator that has no parameters yet"),
    ("Train.dataset.transforms.3.Jitter.hue=0.1", ("Train", "dataset", "transforms", 3, "Jitter"), {"hue": 0.1},
     "one of two equal operators"),
    ("Train.dataset.label_file_list.1=c.txt", ("Train", "dataset", "label_file_list"), ["a.txt", "c.txt"],
     "an entry of a plain list"),
    ("Optimizer.regularizer.factor=1e-5", ("Optimizer",), {"regularizer": {"factor": 1e-5}},
     "a section that every config may have"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "path", "value"), [row[:3] for row in OVERRIDES], ids=[row[3] for row in OVERRIDES])
def test_overrides(folder: Path, text: str, path: tuple, value: object) -> None:
    write("run.yml", RUN)
    config = load_config("run.yml", [text])
    found = config.data
    for part in path:
        found = found[part]
    assert found == value
    assert config.problems == []
    assert config.notes == []


def test_an_override_is_the_place_of_its_value(folder: Path) -> None:
    write("run.yml", RUN)
    config = load_config("run.yml", ["Train.dataset.transforms.Crop.size=[320,320]"])
    path = ("Train", "dataset", "transforms", 0, "Crop", "size")
    assert config.where((*path, 1)) == "-o Train.dataset.transforms.Crop.size=[320,320]"
    assert config.where(path[:-1]) == "run.yml:9"
    Path("sub").mkdir()
    Path("run.yml").rename("sub/run.yml")
    config = load_config("sub/run.yml", ["Global.imports=[a/b.py]"])
    assert config.folder(("Global", "imports", 0)) == Path()  # what is typed is meant from the current folder
    assert config.folder(("Train",)) == Path("sub")


WRONG_OVERRIDES = [
    ("PostProces.thresh=0.2", "no 'PostProces' in the config. Known: Architecture, Global, Train."),
    ("Train.datset.name=x", "no 'Train.datset' in the config. Did you mean 'dataset'?"),
    ("Global.epoch_num.x=1", "'Global.epoch_num' is 500: there is nothing below it"),
    ("Train.dataset.transforms.Corp.size=1", "no 'Corp' in Train.dataset.transforms. Did you mean 'Crop'?"),
    ("Train.dataset.transforms.Jitter.hue=1", "'Jitter' stands 2 times in Train.dataset.transforms: at 2 and 3"),
    ("Train.dataset.transforms.4.Jitter.hue=1",
     "Train.dataset.transforms has 4 entries, counted from 0: there is no 4"),
    ("Train.dataset.label_file_list.x=1",
     "Train.dataset.label_file_list is a list: give the number of the entry (from 0), not 'x'"),
    ("Global.epoch_num", "write KEY=VALUE, such as Global.epoch_num=10"),
    ("Global..x=1", "write KEY=VALUE, such as Global.epoch_num=10"),
    ("Global.x=[1", "not valid YAML: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), WRONG_OVERRIDES)
def test_a_wrong_override_is_a_problem_for_check(folder: Path, text: str, problem: str) -> None:
    write("run.yml", RUN)
    config = load_config("run.yml", [text])
    assert config.problems == [f"-o {text}: {problem}"]
    assert config.data == load_config("run.yml").data


def test_overrides_apply_in_order_the_last_wins(folder: Path) -> None:
    write("run.yml", RUN)
    assert load_config("run.yml", ["Global.epoch_num=1", "Global.epoch_num=2"]).data["Global"]["epoch_num"] == 2


@pytest.mark.parametrize("order", [1, -1])
def test_another_component_drops_the_settings_of_the_old_one_only(folder: Path, order: int) -> None:
    write("run.yml", RUN)
    overrides = ["Architecture.Backbone.name=MobileNetV3", "Architecture.Backbone.scale=0.5"]
    config = load_config("run.yml", overrides[::order])
    assert config.data["Architecture"]["Backbone"] == {"name": "MobileNetV3", "scale": 0.5}
    assert config.notes == ["-o Architecture.Backbone.name=MobileNetV3: dropped what was set for ResNet_vd: layers"]


def test_another_dataset_keeps_the_transforms(folder: Path) -> None:
    write("run.yml", RUN)
    config = load_config("run.yml", ["Train.dataset.name=SyntheticDataSet"])
    assert list(config.data["Train"]["dataset"]) == ["name", "transforms"]
    assert config.notes == [
        "-o Train.dataset.name=SyntheticDataSet: dropped what was set for SimpleDataSet: label_file_list"
    ]


def test_naming_the_component_that_is_there_drops_nothing(folder: Path) -> None:
    write("run.yml", RUN)
    config = load_config("run.yml", ["Architecture.Backbone.name=ResNet_vd"])
    assert config.data == load_config("run.yml").data
    assert config.notes == []


def test_a_note_names_the_lines_that_keep_an_anchors_value(folder: Path) -> None:
    write("run.yml", "G:\n  n: &n 500\nT:\n  - A: {total: *n}\n  - B:\n      total: *n\n  - C: {total: *n}\n")
    config = load_config("run.yml", ["T.C.total=10", "G.n=10"])
    assert [config.data["T"][i][key]["total"] for i, key in enumerate("ABC")] == [500, 500, 10]
    assert config.notes == [
        "-o G.n=10: an override does not follow anchors; these keep their value: "
        "run.yml:4 T.0.A.total (500), run.yml:6 T.1.B.total (500)"
    ]


def test_no_note_about_what_the_override_itself_replaces(folder: Path) -> None:
    write("run.yml", "G: {n: &n 1, m: *n}\n")
    assert load_config("run.yml", ["G={n: 2, m: 2}"]).notes == []


def test_a_note_names_the_part_of_an_anchored_section_that_stays(folder: Path) -> None:
    write("run.yml", "Train:\n  data: &d\n    dir: a\n    list: [1]\nEval:\n  data: *d\nTest:\n  data: *d\n")
    config = load_config("run.yml", ["Eval.data.dir=b", "Train.data.dir=b"])
    assert config.data["Test"]["data"] == {"dir": "a", "list": [1]}
    assert config.notes == [
        "-o Train.data.dir=b: an override does not follow anchors; these keep their value: "
        "run.yml:3 Test.data.dir ('a')"
    ]
