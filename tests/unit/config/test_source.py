"""Reading: YAML with places, `_base_`, `-o`."""

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


# ------------------------------------------------------------------------------------------------------------ values

VALUES = [
    ("1e-6", 1e-6, "a number in YAML 1.2 and in official files, text to PyYAML"),
    ("1.5E3", 1500.0, "capital E"),
    ("-2e+1", -20.0, "signs"),
    ("1.0e-4", 1e-4, "what YAML 1.1 takes for a number stays one"),
    ("1./255.", "1./255.", "a fraction is text: only NormalizeImage.scale reads it"),
    ("'1e-6'", "1e-6", "quoted is text"),
    ("2024-01-01", "2024-01-01", "no dates"),
    ("e5", "e5", "a word"),
    ("[1, 2.5, null, true]", [1, 2.5, None, True], "the rest as usual"),
    ("", None, "nothing is null"),
]


@pytest.mark.parametrize(("text", "value"), [row[:2] for row in VALUES], ids=[row[2] for row in VALUES])
def test_values(folder: Path, text: str, value: object) -> None:
    write("a.yml", f"key: {text}\n")
    assert load_config("a.yml").data == {"key": value}
    assert type(load_config("a.yml").data["key"]) is type(value)


@pytest.mark.parametrize(("text", "value"), [row[:2] for row in VALUES], ids=[row[2] for row in VALUES])
def test_the_merged_yaml_reads_back_as_the_same_data(folder: Path, text: str, value: object) -> None:
    write("a.yml", f"section: {{name: x}}\nlist:\n  - Operator: {{a: [1, 2]}}\nkey: {text}\n")
    config = load_config("a.yml")
    write("b.yml", config.to_yaml())
    assert load_config("b.yml").data == config.data
    assert list(load_config("b.yml").data) == ["section", "list", "key"]


def test_utf8_with_byte_order_mark_and_crlf(folder: Path) -> None:
    Path("a.yml").write_bytes("\ufeffpath: 图片\r\nother: 1\r\n".encode())
    config = load_config("a.yml")
    assert config.data == {"path": "图片", "other": 1}
    assert config.where(("other",)) == "a.yml:2"


def test_places(folder: Path) -> None:
    write("sub/a.yml", "A:\n  list:\n    - x\n    - Op:\n        p: [1,\n          2]\n  long:\n    value\n")
    config = load_config("sub/a.yml")
    where = {
        ("A",): 1,
        ("A", "list", 1): 4,
        ("A", "list", 1, "Op", "p"): 5,
        ("A", "list", 1, "Op", "p", 1): 6,
        ("A", "long"): 7,  # the line of the key
        ("A", "long", "not", "there"): 7,  # of the nearest thing around
    }
    assert {path: config.where(path) for path in where} == {path: f"sub/a.yml:{n}" for path, n in where.items()}
    assert config.where(("B",)) == "sub/a.yml"
    assert config.folder(("A", "list")) == Path("sub")


def test_an_anchor_counts_where_it_is_used(folder: Path) -> None:
    write(
        "a.yml", "G:\n  n: &n 500\n  d: &d {x: 1}\nT:\n  - Map:\n      total: *n\n  - *n\nU: *d\nV:\n  <<: *d\n  y: 2\n"
    )
    config = load_config("a.yml")
    assert config.data["T"] == [{"Map": {"total": 500}}, 500]
    assert config.data["U"] == {"x": 1}
    assert config.data["V"] == {"x": 1, "y": 2}
    assert config.where(("T", 0, "Map", "total")) == "a.yml:6"
    assert config.where(("T", 1)) == "a.yml:7"
    assert config.where(("U",)) == "a.yml:8"
    assert config.where(("U", "x")) == "a.yml:3"  # the line that says 1
    assert config.notes == []


def test_own_keys_win_over_merged_ones(folder: Path) -> None:
    write("a.yml", "A: &a {x: 1, y: 1}\nB:\n  y: 2\n  <<: *a\n")
    assert load_config("a.yml").data["B"] == {"x": 1, "y": 2}


def test_a_repeated_key_is_noted_and_leaves_nothing_of_the_first(folder: Path) -> None:
    write("a.yml", "E:\n  transforms: {first: 1}\n  other: 1\n  transforms: {second: 2}\nF: 1\n")
    config = load_config("a.yml")
    assert config.data["E"] == {"transforms": {"second": 2}, "other": 1}
    assert config.notes == ["a.yml:4: key 'transforms' repeated (first at line 2); last one wins"]
    assert ("E", "transforms", "first") not in config.marks


# ------------------------------------------------------------------------------------------------------ broken files

BROKEN = [
    ("A: [1, 2\nB: 3\n", "b.yml:2: not valid YAML: expected ',' or ']', but got ':' (while parsing a flow sequence)"),
    ("A:\n  b: 1\n c: 2\n", "b.yml:3: not valid YAML: expected <block end>, but found '<block mapping start>' "
     "(while parsing a block mapping)"),
    ("A:\n\tb: 1\n", "b.yml:2: not valid YAML: found character '\\t' that cannot start any token "
     "(while scanning for the next token). Indent with spaces, not with tabs"),
    ("A: b: c\n", "b.yml:1: not valid YAML: mapping values are not allowed here"),
    ("A: *nobody\n", "b.yml:1: not valid YAML: found undefined alias 'nobody'"),
    ("", "b.yml:1: the file must hold sections (Global:, Architecture:, ...), got nothing"),
    ("- 1\n", "b.yml:1: the file must hold sections (Global:, Architecture:, ...), got a list"),
    ("A: &a\n  b: *a\n", "b.yml:1: an anchor contains itself"),
    ("A: !!python/object/apply:os.system [ls]\n",
     "b.yml:1: the YAML tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed in a config"),
    ("A: !!python/name:os.system\n", "b.yml:1: not valid YAML: could not determine a constructor for the tag "
     "'tag:yaml.org,2002:python/name:os.system'"),
    ("? [1, 2]\n: 3\n", "b.yml:1: a key must be text"),
    ("_base_: 3\n", "b.yml:1: _base_: must be a path or a list of paths"),
    ("A: \x01\n", "b.yml: not valid YAML: unacceptable character #x0001: special characters are not allowed "
     'in "<unicode string>", position 3'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), BROKEN)
def test_a_broken_file_is_named_with_its_line(folder: Path, text: str, problem: str) -> None:
    write("b.yml", text)
    assert read_problems("b.yml") == [problem]


def test_a_missing_file(folder: Path) -> None:
    write("configs/det_r18.yml", "A: 1\n")
    assert read_problems("configs/det_r81.yml") == [
        "configs/det_r81.yml: no such file. Did you mean 'det_r18.yml'?"
    ]  # fmt: skip
    assert read_problems("config/det_r18.yml") == [
        "config/det_r18.yml: no such file. There is no folder config either."
    ]
    assert read_problems("x.yml") == ["x.yml: no such file. Its folder has no .yml file."]


def test_a_folder_and_a_file_that_is_no_text(folder: Path) -> None:
    assert read_problems(".") == [".: a folder, where a config file (.yml) is expected"]
    Path("a.yml").write_bytes(b"\xff\xfe\x00")
    assert read_problems("a.yml")[0].startswith("a.yml: not UTF-8 text")


# ------------------------------------------------------------------------------------------------------------ _base_


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


# ---------------------------------------------------------------------------------------------------------------- -o

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
    assert config.folder(path) == Path()


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


# ---------------------------------------------------------------------------------------------------- official files


def test_every_official_file_is_read(shared: Path) -> None:
    files = sorted((shared / "paddleocr_configs").rglob("*.yml"))
    assert len(files) > 60
    for file in files:
        config = load_config(file)
        assert "Architecture" in config.data, file
        numbers = [value for value in _leaves(config.data) if isinstance(value, str) and value.startswith("1e-")]
        assert numbers == [], file


def _leaves(value: object) -> list:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [leaf for item in inner for leaf in _leaves(item)]
    return [value]
