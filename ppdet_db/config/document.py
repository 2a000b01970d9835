"""YAML text <-> plain dicts and lists, with the file and line of every value."""

import os
import re
from typing import Any

import yaml

from ppdet_db.config.tree import KeyPath, Mark, Tree
from ppdet_db.errors import ConfigError
from ppdet_db.registry import did_you_mean

# YAML 1.1, which PyYAML reads, takes `1e-6` for text; official files write it and mean the number.
FLOAT_12 = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")
TIMESTAMP = "tag:yaml.org,2002:timestamp"
MERGE = "tag:yaml.org,2002:merge"


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


def flow_yaml(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.dump(
        value, Dumper=ConfigDumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=float("inf")
    )
    return text.removesuffix("\n").removesuffix("\n...")


def block_yaml(value: Any) -> str:
    """A value as YAML over several lines, which reads back as the same."""
    return yaml.dump(value, Dumper=ConfigDumper, sort_keys=False, allow_unicode=True, default_flow_style=None)


class Document:
    """One YAML document -> `Tree`. Raises ConfigError with the line for everything that is not plain data.

    Args:
        text: YAML.
        file: for messages; the whole override where the text is its value.
        in_file: False where line numbers say nothing.
    """

    def __init__(self, text: str, file: str, in_file: bool = True):
        self.file = file
        self.in_file = in_file
        self.notes: list[str] = []
        self.tree = Tree(None, {})
        self._open: list[int] = []  # the collections around the one being read: an anchor may not hold itself
        self._first_path: dict[int, KeyPath] = {}
        try:
            self._loader = ConfigLoader(text)
            node = self._loader.get_single_node()
            if node is not None:
                self.tree.data = self._plain(node, ())
        except yaml.MarkedYAMLError as error:
            raise ConfigError(self._syntax_problem(error)) from error
        except ValueError as error:  # `0x_` or `._`: a number to YAML, not to Python
            raise ConfigError(f"{file}: not valid YAML: {error}") from error
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
        self._note_repeated_keys(node)
        result = {}
        for name, (key, value) in self._pairs(node).items():
            inner = (*path, name)
            self._mark(inner, key.start_mark.line + 1, (id(node), id(key)), value)
            result[name] = self._plain(value, inner)
        return result

    def _pairs(self, node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The keys of a mapping. Its own ones win over those of `<<`, where the first mapping of a list wins."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag != MERGE:
                own[str(key.value)] = key, value
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(source, yaml.MappingNode) or id(source) in self._open:
                    line = key.start_mark.line + 1
                    raise ConfigError(f"{self._place(line)}: '<<' takes one or more other mappings, such as *name")
                merged = {**self._pairs(source), **merged}
        return {**merged, **own}

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


def read_file(file: str) -> Document:
    """The tree of one file, with its notes."""
    try:
        with open(file, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such file. {_files_near(file)}") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{file}: a folder, where a config file (.yml) is expected") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text ({error})") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    document = Document(text, file)
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
