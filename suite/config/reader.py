"""YAML text -> nodes with positions: PyYAML's scanner and composer, our own rules for what the text means.

Only plain data comes out, whatever tags the file carries: PyYAML's constructor, which makes objects, is idle.
"""

from __future__ import annotations

from yaml import nodes as yaml_nodes
from yaml.composer import Composer
from yaml.error import MarkedYAMLError
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from suite.config.nodes import (
    Broken,
    Entry,
    KeyPath,
    Mapping,
    Node,
    Place,
    Problem,
    Scalar,
    Sequence,
    join_key,
)
from suite.config.scalars import parse_scalar

_PLAIN = "plain"  # the tag of an unquoted, untagged scalar
_TAG = "tag:yaml.org,2002:"
_MOST_VALUES = 100_000  # aliases of aliases can blow a small file up without bound


def read_yaml(text: str, where: Place, problems: list[Problem]) -> Node | None:
    """The document as a tree, or None when it is empty or cannot be parsed (which is added to ``problems``).

    ``where`` gives source, rank and kind of every place in the tree.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        return None if root is None else _Builder(where, problems).build(root, (), ())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = where if mark is None else _Builder(where, problems).place(mark)
        problems.append(Problem(place, "", _say(error.problem or error.context or "not YAML")))
    except ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        before = text[:position]
        place = _at(where, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)
        problems.append(
            Problem(place, "", f"the character {_character(error.character)} is not allowed in YAML")
        )
    except RecursionError:
        problems.append(Problem(where, "", "nested too deeply"))
    return None


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)

    def resolve(self, kind: type, value: object, implicit: object) -> str:
        if kind is yaml_nodes.ScalarNode:
            return _PLAIN if isinstance(implicit, tuple) and implicit[0] else _TAG + "str"
        return _TAG + ("seq" if kind is yaml_nodes.SequenceNode else "map")


class _Builder:
    """Turns PyYAML's graph into a tree; aliases become copies, and faults are collected."""

    def __init__(self, where: Place, problems: list[Problem]) -> None:
        self.where = where
        self.problems = problems
        self.values = 0

    def place(self, mark: object) -> Place:
        return _at(self.where, getattr(mark, "line", 0) + 1, getattr(mark, "column", 0) + 1)

    def build(self, node: yaml_nodes.Node, path: KeyPath, parents: tuple[int, ...]) -> Node:
        place = self.place(node.start_mark)
        self.values += 1
        if self.values > _MOST_VALUES:
            raise MarkedYAMLError(problem=f"more than {_MOST_VALUES} values", problem_mark=node.start_mark)
        if id(node) in parents:
            return self.broken(place, path, "an alias that contains itself")
        if isinstance(node, yaml_nodes.ScalarNode):
            return self.scalar(node, place, path)
        parents = (*parents, id(node))
        if isinstance(node, yaml_nodes.SequenceNode) and node.tag == _TAG + "seq":
            items = enumerate(node.value)
            return Sequence([self.build(item, (*path, str(i)), parents) for i, item in items], place)
        if isinstance(node, yaml_nodes.MappingNode) and node.tag == _TAG + "map":
            return self.mapping(node, place, path, parents)
        return self.forbidden(place, path, node.tag)

    def scalar(self, node: yaml_nodes.ScalarNode, place: Place, path: KeyPath) -> Node:
        if node.tag == _TAG + "str":
            return Scalar(node.value, place)
        if node.tag not in (_PLAIN, *(_TAG + known for known in ("int", "float", "bool", "null"))):
            return self.forbidden(place, path, node.tag)
        value = parse_scalar(node.value)
        kind = "null" if value is None else type(value).__name__
        if node.tag in (_PLAIN, _TAG + kind):
            return Scalar(value, place)
        if node.tag == _TAG + "float" and kind == "int":
            return Scalar(float(node.value), place)
        return self.broken(
            place, path, f"the tag {_short(node.tag)} does not fit {node.value!r}; write plain data"
        )

    def mapping(
        self, node: yaml_nodes.MappingNode, place: Place, path: KeyPath, parents: tuple[int, ...]
    ) -> Mapping:
        mapping = Mapping(place)
        merged: dict[str, Entry] = {}
        for key, value in node.value:
            key_place = self.place(key.start_mark)
            if not isinstance(key, yaml_nodes.ScalarNode):
                self.broken(key_place, path, "a key must be a single word or number")
            elif key.tag == _PLAIN and key.value == "<<":
                for name, entry in self.merge(value, key_place, path, parents).items():
                    merged.setdefault(name, entry)
            elif key.value in mapping.entries:
                first = mapping.entries[key.value].place
                self.broken(key_place, (*path, key.value), f"the key is here twice; first at {first}")
            else:
                built = self.build(value, (*path, key.value), parents)
                mapping.entries[key.value] = Entry(key_place, built)
        for name, entry in merged.items():
            mapping.entries.setdefault(name, entry)
        return mapping

    def merge(
        self, value: yaml_nodes.Node, place: Place, path: KeyPath, parents: tuple[int, ...]
    ) -> dict[str, Entry]:
        """Entries that ``<<: *alias`` or ``<<: [*alias, ...]`` brings in, where they were written."""
        sources = value.value if isinstance(value, yaml_nodes.SequenceNode) else [value]
        entries: dict[str, Entry] = {}
        for source in sources:
            built = self.build(source, path, parents)
            if isinstance(built, Mapping):
                for name, entry in built.entries.items():
                    entries.setdefault(name, entry)
            else:
                self.broken(place, path, "'<<' takes an alias of a mapping, or a list of them")
        return entries

    def forbidden(self, place: Place, path: KeyPath, tag: str) -> Broken:
        return self.broken(place, path, f"the tag {_short(tag)} is not allowed; write plain data")

    def broken(self, place: Place, path: KeyPath, text: str) -> Broken:
        self.problems.append(Problem(place, join_key(path), text))
        return Broken(place)


def _at(where: Place, line: int, column: int) -> Place:
    if where.kind != "file":
        return where
    return Place(where.source, line, column, where.rank, where.kind)


def _short(tag: str) -> str:
    return tag.replace(_TAG, "!!")


def _character(value: object) -> str:
    return repr(chr(value)) if isinstance(value, int) else repr(value)


def _say(problem: str) -> str:
    return "not valid YAML: " + " ".join(problem.split())
