"""Files -> `Config`: `_base_` files are laid below the file that names them, `-o` on top."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ppdet_db.config.document import Document, block_yaml, read_file
from ppdet_db.config.override import apply_override
from ppdet_db.config.tree import (
    KeyPath,
    Mark,
    Tree,
    component_changes,
    dotted,
    drop_parameters,
    is_operators,
    operator_position,
)
from ppdet_db.errors import ConfigError

INFERENCE_SECTIONS: dict[KeyPath, KeyPath] = {
    ("PreProcess", "transform_ops"): ("Eval", "dataset", "transforms"),
    ("PostProcess",): ("PostProcess",),
}
"""What `inference.yml` holds, and what the same is called in a config."""


@dataclass(frozen=True)
class Config:
    """A config as read: merged and overridden, not yet checked.

    Args:
        data: plain dicts and lists; nobody writes to it.
        marks: where each value was written, by path.
        path: the file that was asked for; empty for a config that came as a dict.
        notes: remarks of reading, complete lines.
        problems: errors that reading could pass over; `check` reports them with its own.
    """

    data: dict[str, Any]
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    path: str = ""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def where(self, path: KeyPath) -> str:
        """`b.yml:4` or `-o X=Y` for the value at `path`, or for the nearest thing around it; empty without a file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.marks:
                return str(self.marks[path[:length]])
        return self.path

    def folder(self, path: KeyPath) -> Path:
        """The folder that a relative file name at `path` is meant from: its YAML file's, or the current one."""
        mark = self.marks.get(path)
        return Path(mark.file).parent if mark is not None and mark.line else Path()

    def to_yaml(self) -> str:
        """The merged config, which reads back as the same data."""
        return block_yaml(self.data)


def load_config(path: str | os.PathLike, overrides: Sequence[str] = ()) -> Config:
    """Reads a config: `_base_` files first, then the file, then the `-o` overrides.

    Args:
        path: a YAML file.
        overrides: items such as `Global.epoch_num=10`.

    Raises ConfigError when a file cannot be read; a wrong override goes into `Config.problems`.
    """
    notes: list[str] = []
    tree = _read_with_bases(os.fspath(path), (), notes)
    return _overridden(tree, overrides, os.fspath(path), notes)


def load_inference_config(text: str, file: str, overrides: Sequence[str] = ()) -> Config:
    """`inference.yml`, which lies beside an exported model, as the config it was made from: only what it says of it.

    That is `PostProcess` and `Eval.dataset.transforms`, called `PreProcess.transform_ops` there; `overrides` use our
    names.

    Args:
        text: its content.
        file: where that stands, for messages.
    """
    document = Document(text, file)
    tree = Tree({"Global": {"epoch_num": 1}, "Eval": {"dataset": {}}}, {})  # nothing is trained
    for theirs, ours in INFERENCE_SECTIONS.items():
        try:
            tree.put(ours, document.tree.get(theirs), document.tree.marks_below(theirs))
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{file}: there is no {dotted(theirs)}, which the export writes") from error
    return _overridden(tree, overrides, file, document.notes)


def _overridden(tree: Tree, overrides: Sequence[str], file: str, notes: list[str]) -> Config:
    problems: list[str] = []
    # a change of component drops the settings of the old one: first, so that it never drops another override's
    for override in sorted(overrides, key=lambda text: not text.partition("=")[0].endswith(".name")):
        try:
            notes += apply_override(tree, override)
        except ConfigError as error:
            problems += error.problems
    return Config(tree.data, tree.marks, file, notes, problems)


def _read_with_bases(file: str, chain: tuple[str, ...], notes: list[str]) -> Tree:
    document = read_file(file)
    own = document.tree
    merged = Tree({}, {})
    bases = own.data.get("_base_", [])
    where = own.marks.get(("_base_",))
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigError(f"{where}: _base_: must be a path or a list of paths")
    for base in bases:
        base_file = os.path.normpath(os.path.join(os.path.dirname(file), base))
        files = [*chain, file, base_file]
        if os.path.realpath(base_file) in map(os.path.realpath, files[:-1]):
            raise ConfigError(f"{where}: _base_: goes round in a circle: {' -> '.join(files)}")
        try:
            _merge(merged, (), _read_with_bases(base_file, (*chain, file), notes), ())
        except ConfigError as error:
            [problem] = error.problems
            unread = problem.startswith(f"{base_file}: ")  # no line yet: the one that asks for the file is to mend
            raise ConfigError(f"{where}: _base_: {problem}" if unread else problem) from error
    if "_base_" in own.data:
        own.drop(("_base_",))
    notes += document.notes
    _merge(merged, (), own, ())
    return merged


def _merge(under: Tree, at: KeyPath, over: Tree, path: KeyPath) -> None:
    """Lays the value of `over` at `path` onto the one of `under` at `at`, in place."""
    old, new = under.get(at), over.get(path)
    if isinstance(old, dict) and isinstance(new, dict):
        if component_changes(at, old, new.get("name")):
            drop_parameters(under, at)
            under.marks[at] = over.marks[path]
        for key in new:
            if key in old:
                _merge(under, (*at, key), over, (*path, key))
            else:
                under.put((*at, key), new[key], over.marks_below((*path, key)))
    elif is_operators(old) and isinstance(new, dict):
        for name in new:
            try:
                position = operator_position(old, name, at)
            except ConfigError as error:
                raise ConfigError(f"{over.marks[(*path, name)]}: {dotted((*path, name))}: {error}") from error
            _merge(under, (*at, position, name), over, (*path, name))
    else:
        under.put(at, new, over.marks_below(path))
