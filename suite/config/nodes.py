"""A configuration before it is checked: values that remember where they were written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Union

from suite.config.scalars import ScalarValue

KeyPath = tuple[str, ...]  # ("model", "layers", "0", "width")


@dataclass(frozen=True)
class Place:
    """Where something was written: a position in a file (1-based), an override, or a model's default.

    ``rank`` orders the sources: files as they were read, then overrides as they were given.
    """

    source: str
    line: int = 1
    column: int = 1
    rank: int = 0
    kind: Literal["file", "override", "default"] = "file"

    def __str__(self) -> str:
        if self.kind == "override":
            return f"override {self.source!r}"
        return f"{self.source}:{self.line}:{self.column}" if self.kind == "file" else self.source


@dataclass
class Scalar:
    value: ScalarValue
    place: Place


@dataclass
class Sequence:
    items: list[Node]
    place: Place


@dataclass
class Entry:
    """A key's value; ``place`` is the key's, where errors about it are reported."""

    place: Place
    node: Node


@dataclass
class Mapping:
    place: Place
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass
class Broken:
    """Stands for a value whose fault has been reported; whatever is said about it later is noise."""

    place: Place


Node = Union[Scalar, Sequence, Mapping, Broken]  # noqa: UP007 (Python 3.10 cannot `|` forward references)


@dataclass(frozen=True)
class Problem:
    """One fault: where, in which key, and what."""

    place: Place
    key: str
    text: str

    def __str__(self) -> str:
        said = not self.key or (self.place.kind == "override" and self.key == override_key(self.place.source))
        return f"{self.place}: {self.text}" if said else f"{self.place}: {self.key}: {self.text}"

    @property
    def order(self) -> tuple[int, int, int]:
        return self.place.rank, self.place.line, self.place.column


_PART = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


def split_key(text: str) -> KeyPath:
    """``a.0.b`` or ``a[0].b`` -> ("a", "0", "b"); a key with a dot goes in brackets. Else ValueError."""
    parts: list[str] = []
    at = 0
    while match := _PART.match(text, at):
        parts.append(match.group(1) if match.group(2) is None else match.group(2))
        at = match.end()
        if at == len(text):
            return tuple(parts)
        if text[at] == ".":
            at += 1
        elif text[at] != "[":
            break
    raise ValueError(f"{text!r} is not a dotted key")


def split_override(text: str) -> tuple[KeyPath, str]:
    """``a.b=value`` -> (("a", "b"), "value"). Raises ValueError for anything else."""
    match = re.match(r"((?:\[[^\]]*\]|[^=\[\]])+)=(.*)", text, re.DOTALL)
    if match is None:
        raise ValueError("expected key=value")
    return split_key(match.group(1).strip()), match.group(2)


def override_key(text: str) -> str:
    """The dotted key of an override, in the form of :func:`join_key`; empty if it has none."""
    try:
        return join_key(split_override(text)[0])
    except ValueError:
        return ""


def join_key(path: Iterable[str]) -> str:
    """("a", "0", "b.c") -> ``a.0[b.c]``."""
    text = ""
    for part in path:
        if not part or re.search(r"[.\[\]=\s]", part):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def child(node: Node, part: str) -> Entry | None:
    """The entry of ``node`` under a key or a list index, or None."""
    if isinstance(node, Mapping):
        return node.entries.get(part)
    if isinstance(node, Sequence) and part.isdecimal() and int(part) < len(node.items):
        item = node.items[int(part)]
        return Entry(item.place, item)
    return None


def to_plain(node: Node) -> Any:
    """Dicts, lists and scalars; None for what is broken."""
    if isinstance(node, Mapping):
        return {key: to_plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [to_plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None


def from_plain(value: Any, place: Place) -> Node:
    """The inverse of :func:`to_plain`, every value at one place."""
    if isinstance(value, dict):
        return Mapping(
            place, {str(key): Entry(place, from_plain(item, place)) for key, item in value.items()}
        )
    if isinstance(value, (list, tuple)):
        return Sequence([from_plain(item, place) for item in value], place)
    return Scalar(value, place)
