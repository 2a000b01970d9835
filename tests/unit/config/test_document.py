"""One YAML file: its values, their places, and files that are broken."""

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


def test_a_merged_section_used_again_repeats_no_key(folder: Path) -> None:
    write("a.yml", "B: &b {x: 1}\nA: &a\n  <<: *b\n  x: 2\nC: *a\nD: {<<: *a}\n")
    config = load_config("a.yml")
    assert config.data["C"] == config.data["D"] == {"x": 2}
    assert config.notes == []


def test_own_keys_win_over_merged_ones_and_the_first_of_several_wins(folder: Path) -> None:
    write("a.yml", "A: &a {x: 1, y: 1}\nB: &b {x: 2, z: 2}\nC:\n  y: 3\n  <<: [*a, *b]\n")
    assert load_config("a.yml").data["C"] == {"x": 1, "y": 3, "z": 2}


def test_a_key_given_three_times_names_the_first(folder: Path) -> None:
    write("a.yml", "x: 1\nx: 2\nx: 3\n")
    config = load_config("a.yml")
    assert config.data == {"x": 3}
    assert config.notes == [f"a.yml:{line}: key 'x' repeated (first at line 1); last one wins" for line in (2, 3)]


def test_a_repeated_key_is_noted_and_leaves_nothing_of_the_first(folder: Path) -> None:
    write("a.yml", "E:\n  transforms: {first: 1}\n  other: 1\n  transforms: {second: 2}\nF: 1\n")
    config = load_config("a.yml")
    assert config.data["E"] == {"transforms": {"second": 2}, "other": 1}
    assert config.notes == ["a.yml:4: key 'transforms' repeated (first at line 2); last one wins"]
    assert ("E", "transforms", "first") not in config.marks


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
    ("A: &a {<<: *a}\n", "b.yml:1: '<<' takes one or more other mappings, such as *name"),
    ("B: &b 1\nA: {<<: *b}\n", "b.yml:2: '<<' takes one or more other mappings, such as *name"),
    ("A: !!python/object/apply:os.system [ls]\n",
     "b.yml:1: the YAML tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed in a config"),
    ("A: !!python/name:os.system\n", "b.yml:1: not valid YAML: could not determine a constructor for the tag "
     "'tag:yaml.org,2002:python/name:os.system'"),
    ("A: 0x_\n", "b.yml: not valid YAML: invalid literal for int() with base 16: ''"),
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
