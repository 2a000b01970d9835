"""`_base_`: files laid over one another."""

from pathlib import Path

import pytest

from ppdet_db.config import ConfigError, load_config


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def read_problems(path: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return caught.value.problems


def test_bases_apply_in_order_then_the_file(folder: Path) -> None:
    write("base/one.yml", "A: {x: 1, y: 1, z: 1}\nB: [1, 2]\n")
    write("base/two.yml", "A: {y: 2, z: 2}\n")
    write("run.yml", "_base_: [base/one.yml, base/two.yml]\nA: {z: 3}\nB: [3]\n")
    config = load_config("run.yml")
    assert config.data == {"A": {"x": 1, "y": 2, "z": 3}, "B": [3]}
    places = {key: config.where(("A", key)) for key in "xyz"}
    assert places == {"x": "base/one.yml:1", "y": "base/two.yml:1", "z": "run.yml:2"}
    assert config.where(("B", 0)) == "run.yml:3"
    assert ("B", 1) not in config.marks


def test_a_base_is_relative_to_the_file_that_names_it(folder: Path) -> None:
    write("a/x.yml", "_base_: ../b/y.yml\nX: 1\n")
    write("b/y.yml", "_base_: z.yml\nY: 1\n")
    write("b/z.yml", "Z: 1\n")
    config = load_config("a/x.yml")
    assert config.data == {"Z": 1, "Y": 1, "X": 1}
    assert config.where(("Z",)) == "b/z.yml:1"


BACKBONE = "Architecture:\n  Backbone: {name: ResNet_vd, layers: 50}\n"


def test_another_component_replaces_its_section_whole(folder: Path) -> None:
    write("base.yml", BACKBONE)
    write("run.yml", "_base_: base.yml\nArchitecture:\n  Backbone: {name: MobileNetV3, scale: 0.5}\n")
    config = load_config("run.yml")
    assert config.data["Architecture"]["Backbone"] == {"name": "MobileNetV3", "scale": 0.5}
    assert config.where(("Architecture", "Backbone")) == "run.yml:3"


@pytest.mark.parametrize(
    ("child", "merged"),
    [
        ("{layers: 18}", {"name": "ResNet_vd", "layers": 18}),
        ("{name: ResNet_vd, depth: 1}", {"name": "ResNet_vd", "layers": 50, "depth": 1}),
    ],
)
def test_the_same_component_is_merged_key_by_key(folder: Path, child: str, merged: dict) -> None:
    write("base.yml", BACKBONE)
    write("run.yml", f"_base_: base.yml\nArchitecture: {{Backbone: {child}}}\n")
    assert load_config("run.yml").data["Architecture"]["Backbone"] == merged


def test_a_schedule_without_name_is_const(folder: Path) -> None:
    write("base.yml", "Optimizer: {name: Adam, lr: {learning_rate: 0.1, warmup_epoch: 3}}\n")
    write("run.yml", "_base_: base.yml\nOptimizer: {lr: {name: Cosine, learning_rate: 0.2}}\n")
    assert load_config("run.yml").data["Optimizer"]["lr"] == {"name": "Cosine", "learning_rate": 0.2}


def test_components_inside_survive_a_change_of_the_outer_one(folder: Path) -> None:
    write("base.yml", "Train: {dataset: {name: SimpleDataSet, data_dir: x, transforms: [{ToCHWImage: null}]}}\n")
    write("run.yml", "_base_: base.yml\nTrain: {dataset: {name: SyntheticDataSet}}\n")
    dataset = load_config("run.yml").data["Train"]["dataset"]
    assert dataset == {"name": "SyntheticDataSet", "transforms": [{"ToCHWImage": None}]}


OPERATORS = "T:\n  - Crop: {size: [640, 640], tries: 10}\n  - Jitter: {}\n  - ToCHW:\n  - Jitter: {}\n"


def test_a_list_of_operators_is_patched_by_name(folder: Path) -> None:
    write("base.yml", OPERATORS)
    write("run.yml", "_base_: base.yml\nT:\n  Crop: {size: [320, 320]}\n  ToCHW: {x: 1}\n")
    config = load_config("run.yml")
    assert config.data["T"][0] == {"Crop": {"size": [320, 320], "tries": 10}}
    assert config.data["T"][2] == {"ToCHW": {"x": 1}}
    assert len(config.data["T"]) == 4
    assert config.where(("T", 0, "Crop", "size")) == "run.yml:3"
    assert config.where(("T", 0, "Crop", "tries")) == "base.yml:2"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Corp", "run.yml:2: T.Corp: no 'Corp' in T. Did you mean 'Crop'?"),
        ("Jitter", "run.yml:2: T.Jitter: 'Jitter' stands 2 times in T: at 1 and 3"),
    ],
)
def test_a_patch_of_an_operator_that_is_not_there_or_twice(folder: Path, name: str, problem: str) -> None:
    write("base.yml", OPERATORS)
    write("run.yml", f"_base_: base.yml\nT: {{{name}: {{x: 1}}}}\n")
    assert read_problems("run.yml") == [problem]


def test_a_circle_of_bases_names_the_chain(folder: Path) -> None:
    write("a.yml", "_base_: b.yml\n")
    write("b.yml", "X: 1\n_base_: [c.yml]\n")
    write("c.yml", "_base_: ./a.yml\n")
    assert read_problems("a.yml") == ["c.yml:1: _base_: goes round in a circle: a.yml -> b.yml -> c.yml -> a.yml"]


def test_broken_yaml_in_a_base_names_that_file(folder: Path) -> None:
    write("a.yml", "_base_: base.yml\n")
    write("base.yml", "X: 1\nY: [\n")
    [problem] = read_problems("a.yml")
    assert problem.startswith("base.yml:3: not valid YAML")


def test_a_missing_base_names_the_line_that_wants_it(folder: Path) -> None:
    write("a.yml", "X: 1\n_base_: bse.yml\n")
    write("base.yml", "Y: 1\n")
    assert read_problems("a.yml") == ["a.yml:2: _base_: bse.yml: no such file. Did you mean 'base.yml'?"]
