"""Plain data with the place of every part, and what the layout of a config means for changing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ppdet_db.config.schema import COMPONENT_SECTIONS, DEFAULT_NAMES, INNER_SECTIONS
from ppdet_db.errors import ConfigError
from ppdet_db.registry import did_you_mean

KeyPath = tuple[str | int, ...]


def dotted(path: KeyPath) -> str:
    """`Train.dataset.transforms.3.MakeShrinkMap`"""
    return ".".join(str(part) for part in path)


@dataclass(frozen=True)
class Mark:
    """Where a value was written.

    Args:
        file: the file, or the whole override: `-o Global.epoch_num=10`.
        line: 1-based; 0 for an override.
        alias_of: the path whose anchor the value is taken from (`*name`), where it is.
    """

    file: str
    line: int = 0
    alias_of: KeyPath | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass
class Tree:
    """Plain data with the marks of its parts."""

    data: Any
    marks: dict[KeyPath, Mark]

    def get(self, path: KeyPath) -> Any:
        value = self.data
        for part in path:
            value = value[part]
        return value

    def drop(self, path: KeyPath) -> None:
        del self.get(path[:-1])[path[-1]]
        self._drop_marks(path)

    def put(self, path: KeyPath, value: Any, marks: dict[KeyPath, Mark]) -> None:
        """Sets a value whole; `marks` are relative to `path`."""
        self.get(path[:-1])[path[-1]] = value
        self._drop_marks(path)
        self.marks.update({path + inner: mark for inner, mark in marks.items()})

    def marks_below(self, path: KeyPath) -> dict[KeyPath, Mark]:
        return {known[len(path) :]: mark for known, mark in self.marks.items() if known[: len(path)] == path}

    def _drop_marks(self, path: KeyPath) -> None:
        for inner in self.marks_below(path):
            del self.marks[path + inner]


def component_changes(at: KeyPath, old: dict, new_name: Any) -> bool:
    if at not in COMPONENT_SECTIONS:
        return False
    old_name = old.get("name", DEFAULT_NAMES.get(at))
    return None not in (old_name, new_name) and old_name != new_name


def drop_parameters(tree: Tree, at: KeyPath) -> list[str]:
    """Removes what belonged to the component; sections inside (transforms, lr, regularizer) are components too."""
    dropped = [key for key in tree.get(at) if key != "name" and key not in INNER_SECTIONS.get(at, ())]
    for key in dropped:
        tree.drop((*at, key))
    return dropped


def is_operators(value: Any) -> bool:
    """A list such as `transforms`: one dict of one key per operator."""
    return isinstance(value, list) and bool(value) and all(isinstance(x, dict) and len(x) == 1 for x in value)


def operator_position(operators: list[dict], name: str, at: KeyPath) -> int:
    names = [next(iter(operator)) for operator in operators]
    positions = [i for i, known in enumerate(names) if known == name]
    if len(positions) > 1:
        raise ConfigError(f"'{name}' stands {len(positions)} times in {dotted(at)}: at {_listed(positions)}")
    if not positions:
        raise ConfigError(f"no '{name}' in {dotted(at)}. {did_you_mean(name, names)}")
    return positions[0]


def _listed(items: Sequence) -> str:
    return " and ".join(filter(None, [", ".join(map(str, items[:-1])), str(items[-1])]))
