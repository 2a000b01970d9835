"""The documentation is true: its tables match the code, its code runs, its configs check, its links and tree exist.

What only a reader can judge, whether a sentence is clear or a score believable, is not covered.
"""

import dataclasses
import importlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from ppdet_db import registry as registries
from ppdet_db.config import GlobalOptions, flow_yaml
from ppdet_db.config.legacy import FATES
from ppdet_db.data.dataset import SimpleDataSet
from ppdet_db.data.synthetic import SyntheticDataSet
from ppdet_db.engine import load_plan
from ppdet_db.registry import DATASETS, TRANSFORMS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
FULL_CONFIG = "configs/det/det_r18_vd_db.yml"
"""What a YAML block that shows a part of a config is laid over."""


class Block(NamedTuple):
    language: str
    line: int
    text: str


def blocks(page: str, *languages: str) -> list[Block]:
    """The fenced blocks of a page; `line` is that of the first line inside."""
    text = (ROOT / page).read_text()
    found = re.finditer(r"^( *)```(\w+)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [
        Block(match[2], text[: match.start(3)].count("\n") + 1, re.sub(rf"^{match[1]}", "", match[3], flags=re.M))
        for match in found
        if match[2] in languages
    ]


def file_name(block: Block) -> str | None:
    """`my_neck.py` where the block's first line is `# my_neck.py` and nothing more: the block is that file."""
    match = re.match(r"# ([\w./]+\.(?:py|yml))\n", block.text)
    return match[1] if match else None


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty current folder in which `configs/` and `tools/` are this checkout's."""
    for name in ("configs", "tools"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    # components that a page's own files register go again with the test, as do the files' modules
    for kind in (registry for registry in vars(registries).values() if isinstance(registry, registries.Registry)):
        monkeypatch.setattr(kind, "_classes", dict(kind._classes))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(f"{tmp_path}{os.sep}"):
            del sys.modules[name]


def write_files(page: str, folder: Path) -> None:
    """The blocks of a page that are files."""
    for block in blocks(page, "python", "yaml"):
        if file_name(block):
            (folder / file_name(block)).write_text(block.text)


# ---- tables


def parameters(cls: type, wired: tuple[str, ...] = ()) -> dict[str, str]:
    """Name -> default as YAML; `required` where there is none."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()}
    if dataclasses.is_dataclass(cls):
        made = {field.name: field.default_factory for field in dataclasses.fields(cls)}
        defaults |= {name: make() for name, make in made.items() if make is not dataclasses.MISSING}
    return {
        name: "required" if default is inspect.Parameter.empty else flow_yaml(default)
        for name, default in defaults.items()
        if name not in wired
    }


def rows_of(page: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its two header lines."""
    section = (ROOT / page).read_text().split(f"\n{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table]


def test_table_of_transforms_has_each_with_its_keys_and_parameters():
    expected = [
        [
            f"`{name}`",
            ", ".join(cls.needs) or "-",
            ", ".join(cls.gives) or "-",
            ", ".join(f"`{key}: {value}`" for key, value in parameters(cls).items()) or "-",
        ]
        for name, cls in sorted((name, TRANSFORMS.get(name)) for name in TRANSFORMS.names())
        if cls.__module__.startswith("ppdet_db.")  # other tests register their own
    ]
    for row in expected:
        if row[0] == "`KeepKeys`":
            row[1:3] = ["what `keep_keys` names", "the same, and the identity keys"]
    assert rows_of("docs/data.md", "## Transforms") == expected, "the table must read:\n" + "\n".join(
        f"| {' | '.join(row)} |" for row in expected
    )


@pytest.mark.parametrize(
    ("page", "heading", "cls", "wired"),
    [
        ("docs/data.md", "### Parameters of SimpleDataSet", SimpleDataSet, DATASETS.wired),
        ("docs/data.md", "### Parameters of SyntheticDataSet", SyntheticDataSet, DATASETS.wired),
        ("docs/training.md", "## Keys of `Global`", GlobalOptions, ()),
    ],
)
def test_table_has_every_parameter_with_its_default(page, heading, cls, wired):
    written = {name.strip("`"): default.strip("`") for name, default, _ in rows_of(page, heading)}
    assert written == parameters(cls, wired)


OF_EVERY_OPTIMIZER = ("weight_decay", "clip_norm", "clip_norm_global")


@pytest.mark.parametrize(
    ("heading", "registry", "left_out"),
    [
        ("## Optimizer and learning rate", registries.OPTIMIZERS, OF_EVERY_OPTIMIZER),
        ("### Learning rates", registries.SCHEDULES, ()),
        ("### Regularizers", registries.REGULARIZERS, ()),
    ],
)
def test_table_of_components_has_each_with_its_parameters(heading, registry, left_out):
    classes = {registry.get(name) for name in registry.names()}
    expected = [
        [
            f"`{cls.__name__}`",
            ", ".join(f"`{key}: {value}`" for key, value in parameters(cls, (*registry.wired, *left_out)).items()),
        ]
        for cls in sorted(classes, key=lambda cls: cls.__name__)
        if cls.__module__.startswith("ppdet_db.")  # other tests register their own
    ]
    assert [row[:2] for row in rows_of("docs/training.md", heading)] == expected


def rows_of_fates() -> list[list[str]]:
    """The table of legacy.py, keys of one place and fate in one row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for (place, key), fate in FATES.items():
        text = f"read as `{fate.reason}`" if fate.action == "rename" else f"{fate.action}d: {fate.reason}"
        silent = "-" if fate.action == "rename" else ", ".join(f"`{flow_yaml(value)}`" for value in fate.silent)
        rows.setdefault((f"`{place}`" if place else "top level", text, silent), []).append(f"`{key}`")
    return [[place, ", ".join(keys), text, silent] for (place, text, silent), keys in rows.items()]


def test_table_of_paddleocr_keys_is_that_of_the_code():
    expected = rows_of_fates()
    assert rows_of("docs/paddleocr.md", "## Keys") == expected, "the table must read:\n" + "\n".join(
        f"| {' | '.join(row)} |" for row in expected
    )


# ---- code


def run_python(page: str, folder: Path) -> None:
    """Runs the Python blocks of a page as one program; a block that is a file is written instead.

    Lines keep their numbers, so that a traceback names the line of the page. What is printed must be what the comment
    behind each `print` says.
    """
    program = [""] * (ROOT / page).read_text().count("\n")
    write_files(page, folder)
    for block in blocks(page, "python"):
        if not file_name(block):
            lines = block.text.splitlines()
            program[block.line - 1 : block.line - 1 + len(lines)] = lines
    script = folder / (Path(page).stem + "_page.py")
    script.write_text("\n".join(program))
    ran = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, env=environment())
    assert ran.returncode == 0, ran.stderr
    expected = [re.search(r"  # (.*)", line)[1] for line in program if line.strip().startswith("print(")]
    assert ran.stdout.splitlines() == expected


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_api_page_runs(checkout):
    run_python("docs/api.md", checkout)


def test_extending_page_runs_and_its_commands_train_the_example(checkout):
    run_python("docs/extending.md", checkout)
    commands = [line for block in blocks("docs/extending.md", "console") for line in commands_of(block)]
    assert any("tools/train.py" in command for command in commands)
    for command in commands:
        arguments = [sys.executable, *shlex.split(command)[1:]]
        ran = subprocess.run(arguments, cwd=checkout, capture_output=True, text=True, env=environment())
        assert ran.returncode == 0, f"{command}\n{ran.stderr}"
    assert (checkout / "output/my_run/best_accuracy/model.safetensors").is_file()


# ---- configs and commands


@pytest.mark.parametrize("page", PAGES)
def test_yaml_blocks_check(page, checkout):
    """A block with `_base_` is a whole config; another one is laid over a whole config."""
    write_files(page, checkout)
    for i, block in enumerate(blocks(page, "yaml")):
        if page == "docs/config.md":
            continue  # its blocks show the language, with names that stand for others
        path = checkout / (file_name(block) or f"block{i}.yml")
        path.write_text(block.text if "_base_:" in block.text else f"_base_: {FULL_CONFIG}\n{block.text}")
        load_plan(path)


def commands_of(block: Block) -> list[str]:
    """The `python tools/...` commands of a console block, continued lines joined."""
    text = block.text.replace("\\\n", " ")
    lines = [line.removeprefix("$ ").split("  #")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line.startswith("python tools/")]


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_accepted(page, checkout):
    """Tools and their flags exist and every `-o` key is one that a config may have; nothing is run."""
    write_files(page, checkout)
    for block in blocks(page, "console"):
        for command in commands_of(block):
            tool, *arguments = shlex.split(command)[1:]
            source = (ROOT / tool).read_text()
            module = importlib.import_module(re.search(r"from (ppdet_db\.cli\.\w+) import main", source)[1])
            if "-h" in arguments:
                continue
            parsed = module.make_parser().parse_args(arguments)
            own = parsed.config is None or not Path(parsed.config).exists()  # the reader's config, or an exported model
            load_plan(FULL_CONFIG if own else parsed.config, parsed.opt)


@pytest.mark.parametrize("page", PAGES)
def test_tools_that_the_text_names_exist(page):
    named = set(re.findall(r"\btools/\w+\.py", (ROOT / page).read_text()))
    assert [tool for tool in sorted(named) if not (ROOT / tool).is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_override_keys_in_the_text_are_keys(page):
    for settings in re.findall(r"`-o ([A-Z][\w.]*=[^`]*)`", (ROOT / page).read_text()):
        load_plan(ROOT / FULL_CONFIG, shlex.split(settings))


# ---- links and the file tree


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue  # another site's
        path, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), f"{page}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor in [slug(heading) for heading in headings], f"{page}: {target}"


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_page_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    assert [page for page in PAGES if page.startswith("docs/") and f"({page})" not in text] == []


def tree_of_readme() -> dict[str, set[str]]:
    """Folder -> what the tree lists in it, folders with a slash at their end. The root is the empty string."""
    block = next(block for block in blocks("README.md", "text") if "ppdet_db/\n" in block.text)
    tree: dict[str, set[str]] = {"": set()}
    folders: list[str] = [""]
    for line in block.text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folder = folders[depth]
        tree[folder].add(name)
        if name.endswith("/"):
            folders[depth + 1 :] = [folder + name]
            tree[folder + name] = set()
    return tree


def test_file_tree_of_the_readme_is_the_real_one():
    """A folder with lines below it is listed whole, but for files whose name begins with `.` or `__init__`."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git checkout: what belongs to the project is not known")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True)
    real: dict[str, set[str]] = {}
    for file in listed.stdout.splitlines():
        parts = file.split("/")
        for i, part in enumerate(parts):
            folder = "".join(f"{name}/" for name in parts[:i])
            real.setdefault(folder, set()).add(part if i == len(parts) - 1 else f"{part}/")
    for folder, names in tree_of_readme().items():
        assert folder in real, f"the README lists {folder}, which is not there"
        if names:
            shown = {name for name in real[folder] if not name.startswith((".", "__init__"))}
            assert names == shown, f"in {folder or 'the root'}"
