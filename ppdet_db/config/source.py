"""YAML text -> plain dicts and lists, with the file and line of every value; `_base_` and `-o` are applied here."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ppdet_db.config.schema import COMPONENT_SECTIONS, DEFAULT_NAMES, INNER_SECTIONS, KNOWN_SECTIONS
from ppdet_db.errors import ConfigError
from ppdet_db.registry import did_you_mean

KeyPath = tuple[str | int, ...]

# YAML 1.1, which PyYAML reads, takes `1e-6` for text; official files write it and mean the number.
FLOAT_12 = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")
TIMESTAMP = "tag:yaml.org,2002:timestamp"


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
        return yaml.dump(self.data, Dumper=ConfigDumper, sort_keys=False, allow_unicode=True, default_flow_style=None)


def load_config(path: str | os.PathLike, overrides: Sequence[str] = ()) -> Config:
    """Reads a config: `_base_` files first, then the file, then the `-o` overrides.

    Args:
        path: a YAML file.
        overrides: items such as `Global.epoch_num=10`.

    Raises ConfigError when a file cannot be read; a wrong override goes into `Config.problems`.
    """
    notes: list[str] = []
    problems: list[str] = []
    tree = _read_with_bases(os.fspath(path), (), notes)
    # a change of component drops the settings of the old one: first, so that it never drops another override's
    for override in sorted(overrides, key=lambda text: not text.partition("=")[0].endswith(".name")):
        try:
            notes += _override(tree, override)
        except ConfigError as error:
            problems += error.problems
    return Config(tree.data, tree.marks, os.fspath(path), notes, problems)


# ---------------------------------------------------------------------------------------------------------- one file


class ConfigLoader(yaml.SafeLoader):
    """SafeLoader with the YAML 1.2 float, without dates, that remembers where an anchor is used (`uses`)."""

    def __init__(self, text: str):
        super().__init__(text)
        self.uses: dict[tuple, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        line = self.peek_event().start_mark.line + 1 if self.check_event(yaml.AliasEvent) else 0
        node = super().compose_node(parent, index)
        if line:
            self.uses[id(parent), index if isinstance(index, int) else id(index)] = line
        return node


class ConfigDumper(yaml.SafeDumper):
    """Quotes the text that ConfigLoader would take for a number, and writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _class in (ConfigLoader, ConfigDumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT_12, list("-+.0123456789"))
    _class.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != TIMESTAMP]
        for first, resolvers in _class.yaml_implicit_resolvers.items()
    }


def to_yaml(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.dump(
        value, Dumper=ConfigDumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")


@dataclass
class _Tree:
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


class _Composer:
    """One YAML document -> `_Tree`. Raises ConfigError with the line for everything that is not plain data.

    Args:
        text: YAML.
        file: for messages; the whole override where the text is its value.
        in_file: False where line numbers say nothing.
    """

    def __init__(self, text: str, file: str, in_file: bool = True):
        self.file = file
        self.in_file = in_file
        self.notes: list[str] = []
        self.tree = _Tree(None, {})
        self._open: list[int] = []  # the collections around the one being read: an anchor may not hold itself
        self._first_path: dict[int, KeyPath] = {}
        try:
            self._loader = ConfigLoader(text)
            node = self._loader.get_single_node()
            if node is not None:
                self.tree.data = self._plain(node, ())
        except yaml.MarkedYAMLError as error:
            raise ConfigError(self._syntax_problem(error)) from error
        except yaml.YAMLError as error:  # a character that YAML does not allow
            raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error

    def _place(self, line: int) -> str:
        return str(Mark(self.file, line if self.in_file else 0))

    def _syntax_problem(self, error: yaml.MarkedYAMLError) -> str:
        mark = error.problem_mark or error.context_mark
        place = self._place(mark.line + 1 if mark else 0)
        context = f" ({error.context})" if error.context else ""
        cure = ". Indent with spaces, not with tabs" if "'\\t'" in str(error.problem) else ""
        return f"{place}: not valid YAML: {error.problem}{context}{cure}"

    def _plain(self, node: yaml.Node, path: KeyPath) -> Any:
        self._first_path.setdefault(id(node), path)
        if isinstance(node, yaml.ScalarNode):
            return self._loader.construct_object(node)
        line = node.start_mark.line + 1
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):  # !!python/object and the like
            raise ConfigError(f"{self._place(line)}: the YAML tag '{node.tag}' is not allowed in a config")
        if id(node) in self._open:
            raise ConfigError(f"{self._place(line)}: an anchor contains itself")
        self._open.append(id(node))
        value: Any = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        self._open.pop()
        return value

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        if self._first_path[id(node)] == path:  # not a later use of an anchor
            self._note_repeated_keys(node)
        self._loader.flatten_mapping(node)  # `<<: *name`: the merged keys come first, so that own ones win
        result = {}
        for name, (key, value) in {str(key.value): (key, value) for key, value in node.value}.items():
            inner = (*path, name)
            self._mark(inner, key.start_mark.line + 1, (id(node), id(key)), value)
            result[name] = self._plain(value, inner)
        return result

    def _sequence(self, node: yaml.Node, path: KeyPath) -> list:
        result = []
        for i, item in enumerate(node.value):
            self._mark((*path, i), item.start_mark.line + 1, (id(node), i), item)
            result.append(self._plain(item, (*path, i)))
        return result

    def _mark(self, path: KeyPath, line: int, use: tuple, value: yaml.Node) -> None:
        line_of_use = self._loader.uses.get(use)
        alias_of = self._first_path.get(id(value)) if line_of_use else None
        self.tree.marks[path] = Mark(self.file, line_of_use or line, alias_of)

    def _note_repeated_keys(self, node: yaml.MappingNode) -> None:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{self._place(key.start_mark.line + 1)}: a key must be text")
            line = key.start_mark.line + 1
            if key.value in first and key.value != "<<":
                self.notes.append(
                    f"{self._place(line)}: key '{key.value}' repeated (first at line {first[key.value]}); last one wins"
                )
            first.setdefault(key.value, line)


def _read(file: str) -> _Composer:
    """The tree of one file, with its notes."""
    try:
        with open(file, encoding="utf-8-sig") as stream:
            text = stream.read()
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such file. {_files_near(file)}") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{file}: a folder, where a config file (.yml) is expected") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text ({error})") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    document = _Composer(text, file)
    if not isinstance(document.tree.data, dict):
        got = "nothing" if document.tree.data is None else f"a {type(document.tree.data).__name__}"
        raise ConfigError(f"{file}:1: the file must hold sections (Global:, Architecture:, ...), got {got}")
    return document


def _files_near(file: str) -> str:
    folder = os.path.dirname(file) or "."
    if not os.path.isdir(folder):
        return f"There is no folder {folder} either."
    names = [name for name in os.listdir(folder) if name.endswith((".yml", ".yaml"))]
    return did_you_mean(os.path.basename(file), names) if names else "Its folder has no .yml file."


# ------------------------------------------------------------------------------------------------------------ _base_


def _read_with_bases(file: str, chain: tuple[str, ...], notes: list[str]) -> _Tree:
    document = _read(file)
    own = document.tree
    merged = _Tree({}, {})
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


def _merge(under: _Tree, at: KeyPath, over: _Tree, path: KeyPath) -> None:
    """Lays the value of `over` at `path` onto the one of `under` at `at`, in place."""
    old, new = under.get(at), over.get(path)
    if isinstance(old, dict) and isinstance(new, dict):
        if _component_changes(at, old, new.get("name")):
            _drop_parameters(under, at)
            under.marks[at] = over.marks[path]
        for key in new:
            if key in old:
                _merge(under, (*at, key), over, (*path, key))
            else:
                under.put((*at, key), new[key], over.marks_below((*path, key)))
    elif _is_operators(old) and isinstance(new, dict):
        for name in new:
            try:
                position = _operator(old, name, at)
            except ConfigError as error:
                raise ConfigError(f"{over.marks[(*path, name)]}: {dotted((*path, name))}: {error}") from error
            _merge(under, (*at, position, name), over, (*path, name))
    else:
        under.put(at, new, over.marks_below(path))


def _component_changes(at: KeyPath, old: dict, new_name: Any) -> bool:
    if at not in COMPONENT_SECTIONS:
        return False
    old_name = old.get("name", DEFAULT_NAMES.get(at))
    return None not in (old_name, new_name) and old_name != new_name


def _drop_parameters(tree: _Tree, at: KeyPath) -> list[str]:
    """Removes what belonged to the component; sections inside (transforms, lr, regularizer) are components too."""
    dropped = [key for key in tree.get(at) if key != "name" and key not in INNER_SECTIONS.get(at, ())]
    for key in dropped:
        tree.drop((*at, key))
    return dropped


def _is_operators(value: Any) -> bool:
    """A list such as `transforms`: one dict of one key per operator."""
    return isinstance(value, list) and bool(value) and all(isinstance(x, dict) and len(x) == 1 for x in value)


def _operator(operators: list[dict], name: str, at: KeyPath) -> int:
    names = [next(iter(operator)) for operator in operators]
    positions = [i for i, known in enumerate(names) if known == name]
    if len(positions) > 1:
        raise ConfigError(f"'{name}' stands {len(positions)} times in {dotted(at)}: at {_listed(positions)}")
    if not positions:
        raise ConfigError(f"no '{name}' in {dotted(at)}. {did_you_mean(name, names)}")
    return positions[0]


def _listed(items: Sequence) -> str:
    return " and ".join(filter(None, [", ".join(map(str, items[:-1])), str(items[-1])]))


# ---------------------------------------------------------------------------------------------------------------- -o


def _override(tree: _Tree, text: str) -> list[str]:
    """Sets one `a.b.c=value` in place; returns notes. Raises ConfigError with the complete line."""
    keys, equals, value_text = text.partition("=")
    origin = f"-o {text}"
    if not equals or not all(keys.split(".")):
        raise ConfigError(f"{origin}: write KEY=VALUE, such as Global.epoch_num=10")
    document = _Composer(value_text, origin, in_file=False)
    try:
        path = _resolve(tree, keys.split("."))
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error
    notes = []
    if path[-1] == "name" and _component_changes(path[:-1], tree.get(path[:-1]), document.tree.data):
        old_name = tree.get(path[:-1]).get("name", DEFAULT_NAMES.get(path[:-1]))
        dropped = _drop_parameters(tree, path[:-1])
        if dropped:
            notes.append(f"{origin}: dropped what was set for {old_name}: {', '.join(dropped)}")
    notes += _anchor_note(tree, path, origin)
    tree.put(path, document.tree.data, {inner: Mark(origin) for inner in [(), *document.tree.marks]})
    return notes


def _resolve(tree: _Tree, parts: list[str]) -> KeyPath:
    """The path that an override means. The parent must be there, except a section that every config may have."""
    path: KeyPath = ()
    for i, part in enumerate(parts):
        value = tree.get(path)
        if isinstance(value, list):
            path = (*path, *_entry(value, part, path))
            continue
        if value is None:
            value = {}  # `- DetResizeForTest:` without parameters
            tree.put(path, value, {(): tree.marks[path]})
        if not isinstance(value, dict):
            raise ConfigError(f"'{dotted(path)}' is {value!r}: there is nothing below it")
        path = (*path, part)
        if i < len(parts) - 1 and part not in value:
            if path not in KNOWN_SECTIONS:
                raise ConfigError(f"no '{dotted(path)}' in the config. {did_you_mean(part, value)}")
            value[part] = {}
    return path


def _entry(items: list, part: str, path: KeyPath) -> KeyPath:
    if part.isdecimal():
        if int(part) >= len(items):
            raise ConfigError(f"{dotted(path)} has {len(items)} entries, counted from 0: there is no {part}")
        return (int(part),)
    if not _is_operators(items):
        raise ConfigError(f"{dotted(path)} is a list: give the number of the entry (from 0), not '{part}'")
    return (_operator(items, part, path), part)


def _anchor_note(tree: _Tree, path: KeyPath, origin: str) -> list[str]:
    """An override changes one place; the ones that copy it by an anchor keep what they have."""
    kept = [
        f"{mark} {dotted(other)} ({tree.get(other)!r})"
        for other, mark in tree.marks.items()
        if mark.alias_of is not None and other[: len(path)] != path and _overlap(mark.alias_of, path)
    ]
    if not kept:
        return []
    return [f"{origin}: an override does not follow anchors; these keep their value: {', '.join(kept)}"]


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]
