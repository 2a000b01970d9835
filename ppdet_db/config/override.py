"""`-o a.b.c=value`: one value of a config set from the command line."""

from ppdet_db.config.annotations import show
from ppdet_db.config.document import Document
from ppdet_db.config.schema import DEFAULT_NAMES, KNOWN_SECTIONS
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
from ppdet_db.registry import did_you_mean


def apply_override(tree: Tree, text: str) -> list[str]:
    """Sets one `a.b.c=value` in place; returns notes. Raises ConfigError with the complete line."""
    keys, equals, value_text = text.partition("=")
    origin = f"-o {text}"
    if not equals or not all(keys.split(".")):
        raise ConfigError(f"{origin}: write KEY=VALUE, such as Global.epoch_num=10")
    document = Document(value_text, origin, in_file=False)
    try:
        path = _resolve(tree, keys.split("."))
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error
    notes = []
    if path[-1] == "name" and component_changes(path[:-1], tree.get(path[:-1]), document.tree.data):
        old_name = tree.get(path[:-1]).get("name", DEFAULT_NAMES.get(path[:-1]))
        dropped = drop_parameters(tree, path[:-1])
        if dropped:
            notes.append(f"{origin}: dropped what was set for {old_name}: {', '.join(dropped)}")
    notes += _anchor_note(tree, path, origin)
    tree.put(path, document.tree.data, {inner: Mark(origin) for inner in [(), *document.tree.marks]})
    return notes


def _resolve(tree: Tree, parts: list[str]) -> KeyPath:
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
    if not is_operators(items):
        raise ConfigError(f"{dotted(path)} is a list: give the number of the entry (from 0), not '{part}'")
    return (operator_position(items, part, path), part)


def _anchor_note(tree: Tree, path: KeyPath, origin: str) -> list[str]:
    """An override changes one place; the ones that copy it by an anchor keep what they have."""
    kept = []
    for copy, mark in tree.marks.items():
        if mark.alias_of is not None and copy[: len(path)] != path and _overlap(mark.alias_of, path):
            inner = (*copy, *path[len(mark.alias_of) :])  # where a part of the anchored section is overridden
            place = inner if inner in tree.marks else copy
            if tree.marks[place].line:
                kept.append(f"{tree.marks[place]} {dotted(place)} ({show(tree.get(place))})")
    if not kept:
        return []
    return [f"{origin}: an override does not follow anchors; these keep their value: {', '.join(kept)}"]


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]
