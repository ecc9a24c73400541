"""Settings from the command line: ``train.epochs=10``, ``layers.0.width=32``, ``layers[0]={width: 32}``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from suite.config.fields import NO_DEFAULT
from suite.config.nodes import (
    Entry,
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
    split_override,
    to_plain,
)
from suite.config.reader import read_yaml
from suite.config.references import escape


def apply_override(
    root: Mapping, text: str, place: Place, default: Callable[[KeyPath], Any], problems: list[Problem]
) -> None:
    """Set one ``key=value`` in the tree, in place. The value is YAML: a scalar, ``[a, b]`` or ``{a: b}``.

    A section that only the model's default gives is filled in with that default first, so that setting one
    key of it leaves the others as they were. Lists do not grow: an index must exist.
    """
    try:
        path, value = split_override(text)
    except ValueError as error:
        problems.append(Problem(place, "", f"{error}; write key=value, such as train.epochs=10"))
        return
    before = len(problems)
    node = read_yaml(value, place, problems)
    if len(problems) > before:
        return
    _Setter(root, path, place, default, problems).set(Scalar(None, place) if node is None else node)


class _Setter:
    def __init__(
        self,
        root: Mapping,
        path: KeyPath,
        place: Place,
        default: Callable[[KeyPath], Any],
        problems: list[Problem],
    ) -> None:
        self.root = root
        self.path = path
        self.place = place
        self.default = default
        self.problems = problems

    def set(self, value: Node) -> None:
        parent: Node = self.root
        for depth in range(1, len(self.path)):
            below = self.step(parent, depth)
            if below is None:
                return
            parent = below
        last = self.path[-1]
        if isinstance(parent, Mapping):
            if last == "type":
                _start_afresh(parent, value)
            parent.entries[last] = Entry(self.place, value)
        elif self.indexed(parent, len(self.path)) and isinstance(parent, Sequence):
            parent.items[int(last)] = value

    def step(self, parent: Node, depth: int) -> Node | None:
        """The node at the first ``depth`` parts of the path, made if it is not there, or None."""
        part = self.path[depth - 1]
        if isinstance(parent, Mapping):
            entry = parent.entries.get(part)
            if entry is None or (isinstance(entry.node, Scalar) and entry.node.value is None):
                parent.entries[part] = entry = Entry(self.place, self.filled(self.path[:depth]))
            return entry.node
        entry = child(parent, part) if self.indexed(parent, depth) else None
        return None if entry is None else entry.node

    def filled(self, path: KeyPath) -> Node:
        value = self.default(path)
        if value is NO_DEFAULT or not isinstance(value, (dict, list)):
            return Mapping(self.place)
        return from_plain(_escaped(value), Place("default", rank=self.place.rank, kind="default"))

    def indexed(self, parent: Node, depth: int) -> bool:
        """Whether the part after ``depth - 1`` others is an index into ``parent``; says why if it is not."""
        part, name = self.path[depth - 1], join_key(self.path[: depth - 1])
        if isinstance(parent, Sequence):
            if part.isdecimal() and int(part) < len(parent.items):
                return True
            count = len(parent.items)
            most = f"indices 0 to {count - 1}" if count else "no indices"
            self.say(f"{name} is a list with {count} item{'' if count == 1 else 's'} ({most}), got {part!r}")
        elif isinstance(parent, Scalar):
            shown = f"the reference {parent.value}" if "${" in str(parent.value) else "a single value"
            self.say(f"{name} is {shown} and has no keys; set {name} as a whole")
        return False

    def say(self, text: str) -> None:
        self.problems.append(Problem(self.place, join_key(self.path), text))


def _escaped(value: Any) -> Any:
    """A model's default as it would have to be written, so that no reference is seen in its strings."""
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return escape(value) if isinstance(value, str) else value


def _start_afresh(section: Mapping, new_type: Node) -> None:
    """Drop the keys of another alternative, but not those that were themselves given as overrides."""
    old = section.entries.get("type")
    if old is None or to_plain(old.node) == to_plain(new_type):
        return
    for key in [key for key, entry in section.entries.items() if entry.place.kind != "override"]:
        del section.entries[key]
