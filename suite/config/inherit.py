"""A file and the files it builds on: ``_base_: common.yaml`` or ``_base_: [model.yaml, data.yaml]``."""

from __future__ import annotations

import os
from pathlib import Path

from suite.config.nodes import Broken, Entry, Mapping, Node, Place, Problem, Scalar, Sequence
from suite.config.reader import read_yaml
from suite.errors import did_you_mean

BASE = "_base_"


def read_files(path: Path, problems: list[Problem]) -> Mapping:
    """The mapping of a file, merged over its bases, which are found relative to the file that names them.

    Where both give a mapping the keys are merged, otherwise the file that inherits wins; so does a mapping
    whose ``type`` differs, since the keys of one alternative mean nothing to another.
    """
    return _Files(problems).read(path, None, ())


class _Files:
    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.ranks: dict[Path, int] = {}

    def read(self, path: Path, named_at: Place | None, chain: tuple[Path, ...]) -> Mapping:
        resolved = path.resolve()
        again = resolved in self.ranks  # two bases may share a third; its own faults are said once
        here = Place(str(path), rank=self.ranks.setdefault(resolved, len(self.ranks)))
        problems: list[Problem] = []
        root = self.document(path, here, named_at, problems)
        if not again:
            self.problems.extend(problems)
        entry = root.entries.pop(BASE, None)
        merged = Mapping(root.place)
        for place, name in self.bases(entry):
            base = Path(os.path.normpath(path.parent / name))
            if base.resolve() in (*chain, resolved):
                circle = (*chain, resolved, base.resolve())
                names = " -> ".join(file.name for file in circle[circle.index(base.resolve()) :])
                self.problems.append(Problem(place, BASE, f"goes round in a circle: {names}"))
            else:
                merged = merge(merged, self.read(base, place, (*chain, resolved)))
        return merge(merged, root)

    def document(self, path: Path, here: Place, named_at: Place | None, problems: list[Problem]) -> Mapping:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(self.unreadable(path, error, named_at))
            return Mapping(here)
        root = read_yaml(text, here, problems)
        if root is None or (isinstance(root, Scalar) and root.value is None):
            return Mapping(here)
        if isinstance(root, Mapping):
            return root
        if not isinstance(root, Broken):
            problems.append(Problem(root.place, "", f"expected 'key: value' lines, got {_kind(root)}"))
        return Mapping(here)

    def unreadable(self, path: Path, error: OSError | UnicodeDecodeError, named_at: Place | None) -> Problem:
        if isinstance(error, FileNotFoundError):
            beside = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
            close = did_you_mean(path.name, beside)
            text = "no such file" + (f"; did you mean {close!r}?" if close else "")
        else:
            text = error.strerror if isinstance(error, OSError) and error.strerror else "not text in UTF-8"
        if named_at is None:
            return Problem(Place(str(path), kind="default"), "", text)
        return Problem(named_at, BASE, f"{path}: {text}")

    def bases(self, entry: Entry | None) -> list[tuple[Place, str]]:
        if entry is None:
            return []
        nodes = entry.node.items if isinstance(entry.node, Sequence) else [entry.node]
        names = [(n.place, n.value) for n in nodes if isinstance(n, Scalar) and isinstance(n.value, str)]
        if len(names) < len(nodes):
            self.problems.append(Problem(entry.place, BASE, "expected a file name or a list of them"))
        return names


def merge(base: Mapping, over: Mapping) -> Mapping:
    """``over`` on top of ``base``; neither is changed."""
    old, new = base.entries.get("type"), over.entries.get("type")
    if (
        old
        and new
        and isinstance(old.node, Scalar)
        and isinstance(new.node, Scalar)
        and old.node.value != new.node.value
    ):
        return over
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        below = entries.get(key)
        if below is not None and isinstance(below.node, Mapping) and isinstance(entry.node, Mapping):
            entry = Entry(entry.place, merge(below.node, entry.node))
        entries[key] = entry
    return Mapping(over.place, entries)


def _kind(node: Node) -> str:
    return "a list" if isinstance(node, Sequence) else "a single value"
