"""Who may import whom: read from the source, compared with one table."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "ppdet_db"
FILES = {
    "ppdet_db." + ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file for file in PACKAGE.rglob("*.py")
}

LAYERS = [
    {"errors", "registry", "contract", "geometry"},
    {"config", "data", "modeling", "losses", "optimizer", "postprocess", "metrics"},
    {"components"},
    {"engine"},
    {"cli"},
]
WITHIN_LAYER_0 = {"errors": (), "contract": (), "registry": ("errors",), "geometry": ("errors",)}
NO_PADDLE = (
    *("errors", "registry", "contract", "geometry", "config", "postprocess", "metrics"),
    *("data.dataset", "data.transforms", "data.synthetic"),
    "cli",  # imports it inside `main` only, so that --help is quick
)


def imports(file: Path, at_import_time: bool = False) -> set[str]:
    """Dotted names of the modules that a file imports; optionally without imports inside functions and type checks."""
    found, nodes = set(), [ast.parse(file.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        later = isinstance(node, ast.FunctionDef) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        )
        if not (at_import_time and later):
            nodes += ast.iter_child_nodes(node)
    return found


def part(module: str) -> str:
    """`ppdet_db.data.loader` -> `data`; the empty string for what is not ours."""
    names = module.split(".")
    return names[1] if names[0] == "ppdet_db" and len(names) > 1 else ""


def allowed(user: str) -> set[str]:
    """The parts that a part may import."""
    if user == "__init__":
        return set()
    if user in WITHIN_LAYER_0:
        return {user, *WITHIN_LAYER_0[user]}
    layer = next(number for number, parts in enumerate(LAYERS) if user in parts)
    return {user}.union(*LAYERS[:layer])


def known_parts() -> set[str]:
    return {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}


def test_the_table_names_every_part() -> None:
    assert set().union(*LAYERS) == known_parts() - {"__init__"}


@pytest.mark.parametrize("module", sorted(FILES))
def test_imports_go_down_only(module: str) -> None:
    used = {part(name) for name in imports(FILES[module])} & known_parts()
    assert used <= allowed(part(module))


def test_what_must_start_without_paddle_does() -> None:
    """Followed through our own modules: `data.transforms` may not import something that imports Paddle either."""
    direct = {module.removesuffix(".__init__"): imports(file, at_import_time=True) for module, file in FILES.items()}
    reached = {module for module, names in direct.items() if any(name.split(".")[0] == "paddle" for name in names)}
    while True:
        more = {module for module, names in direct.items() if names & reached} - reached
        if not more:
            break
        reached |= more
    wrong = {module for module in reached if module.startswith(tuple(f"ppdet_db.{part}" for part in NO_PADDLE))}
    assert wrong == set()
    assert "ppdet_db.engine.trainer" in reached  # the search does find something
