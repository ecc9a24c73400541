"""References: ``${a.b}`` stands for the value of another key.

A value that is nothing but a reference takes the other's value and type; inside a longer string the value is
written out. ``$${`` is a literal ``${``.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from suite.config.fields import NO_DEFAULT
from suite.config.nodes import (
    Broken,
    KeyPath,
    Mapping,
    Node,
    Place,
    Problem,
    Scalar,
    Sequence,
    child,
    from_plain,
    join_key,
    split_key,
)
from suite.config.scalars import format_scalar
from suite.errors import did_you_mean

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_OPEN = "${"


def resolve_references(root: Mapping, default: Callable[[KeyPath], Any], problems: list[Problem]) -> None:
    """Replace every reference in the tree, in place; ``default`` knows what the model fills in itself."""
    _Resolver(root, default, problems).visit((), root)


def escape(text: str) -> str:
    """``text`` such that no reference is seen in it."""
    return text.replace(_OPEN, "$" + _OPEN)


class _Resolver:
    def __init__(self, root: Mapping, default: Callable[[KeyPath], Any], problems: list[Problem]) -> None:
        self.root = root
        self.default = default
        self.problems = problems
        self.done: set[KeyPath] = set()
        self.open: list[KeyPath] = []  # what is being resolved, outermost first

    def visit(self, path: KeyPath, node: Node) -> Node:
        """``node`` with its references resolved; a string that holds one is replaced in its parent."""
        if path in self.done:
            return node
        self.open.append(path)
        if isinstance(node, Mapping):
            for key, entry in node.entries.items():
                self.visit((*path, key), entry.node)
        elif isinstance(node, Sequence):
            for index, item in enumerate(node.items):
                self.visit((*path, str(index)), item)
        elif isinstance(node, Scalar) and isinstance(node.value, str) and _OPEN in node.value:
            node = self.text(path, node.value, node.place)
            self.put(path, node)
        self.open.pop()
        self.done.add(path)
        return node

    def text(self, path: KeyPath, text: str, place: Place) -> Node:
        whole = _REFERENCE.fullmatch(text)
        if whole and whole.group(1) is not None:
            target = self.target(path, whole.group(1), place)
            return replace(copy.deepcopy(target), place=place)
        parts: list[str] = []
        at = 0
        for match in _REFERENCE.finditer(text):
            parts.append(text[at : match.start()])
            at = match.end()
            if match.group() == "$" + _OPEN:
                parts.append(_OPEN)
                continue
            if match.group(1) is None:
                return self.broken(path, place, f"'{_OPEN}' without a closing brace; a literal one is '$${{'")
            target = self.target(path, match.group(1), place)
            if isinstance(target, Broken):
                return Broken(place)
            if not isinstance(target, Scalar):
                kind = "mapping" if isinstance(target, Mapping) else "list"
                return self.broken(
                    path, place, f"{match.group()} is a {kind}, it cannot stand inside a string"
                )
            parts.append(target.value if isinstance(target.value, str) else format_scalar(target.value))
        return Scalar("".join(parts) + text[at:], place)

    def target(self, path: KeyPath, name: str, place: Place) -> Node:
        """The resolved node that ``${name}`` at ``path`` means."""
        try:
            wanted = split_key(name.strip())
        except ValueError:
            return self.broken(path, place, f"${{{name}}} is not a reference; write ${{section.key}}")
        node: Node = self.root
        for depth, part in enumerate(wanted):
            if isinstance(node, Scalar):  # perhaps itself a reference to the mapping we want to look into
                node = self.enter(path, wanted[:depth], node, place)
            entry = child(node, part)
            if isinstance(node, Broken):
                return node
            if entry is None:
                return self.from_default(path, wanted, node, depth, place)
            node = entry.node
        return self.enter(path, wanted, node, place)

    def enter(self, path: KeyPath, wanted: KeyPath, node: Node, place: Place) -> Node:
        if wanted in self.open:
            circle = [*self.open[self.open.index(wanted) :], wanted]
            return self.broken(
                path, place, "the reference goes round in a circle: " + " -> ".join(map(join_key, circle))
            )
        return self.visit(wanted, node)

    def from_default(self, path: KeyPath, wanted: KeyPath, node: Node, depth: int, place: Place) -> Node:
        value = self.default(wanted)
        if value is not NO_DEFAULT:
            return from_plain(value, place)
        beside = list(node.entries) if isinstance(node, Mapping) else []
        close = did_you_mean(wanted[depth], beside)
        hint = f"; did you mean ${{{join_key((*wanted[:depth], close))}}}?" if close else ""
        return self.broken(path, place, f"${{{join_key(wanted)}}} refers to no key{hint}")

    def broken(self, path: KeyPath, place: Place, text: str) -> Broken:
        self.problems.append(Problem(place, join_key(path), text))
        return Broken(place)

    def put(self, path: KeyPath, node: Node) -> None:
        parent: Node = self.root
        for part in path[:-1]:
            entry = child(parent, part)
            assert entry is not None
            parent = entry.node
        if isinstance(parent, Mapping):
            parent.entries[path[-1]].node = node
        elif isinstance(parent, Sequence):
            parent.items[int(path[-1])] = node
