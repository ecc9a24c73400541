"""What can be wrong with labelled pictures: one fault, one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from suite.errors import BadInput

Box = tuple[float | int, float | int, float | int, float | int]
Kind = Literal[
    "label_file", "missing", "unreadable", "size", "listed_twice", "numbers", "empty", "outside", "shape",
    "clipped", "crowd", "unlabelled",
    "tiny", "double", "contradiction",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
HARMLESS: tuple[Kind, ...] = ("clipped", "crowd", "unlabelled", "tiny")
"""Kinds that no reader refuses."""
WORDS: dict[Kind, str] = {
    "label_file": "label files that cannot be used",
    "missing": "pictures that are not there",
    "unreadable": "pictures that cannot be read",
    "size": "pictures of another size than their labels say",
    "listed_twice": "pictures or boxes that are listed twice",
    "numbers": "boxes that are not four finite numbers",
    "empty": "boxes without area",
    "outside": "boxes outside of their picture",
    "shape": "shapes that have no box",
    "clipped": "boxes that reach out of their picture (clipped)",
    "crowd": "crowds (left out)",
    "unlabelled": "pictures without a label file",
    "tiny": "tiny boxes",
    "double": "people labelled twice",
    "contradiction": "people of two classes at once",
}


@dataclass(frozen=True)
class Fault:
    """``text`` says what is wrong at ``where`` (file and entry); ``box_px`` (x1, y1, x2, y2) is as given."""

    kind: Kind
    text: str
    where: str
    path: Path | None = None
    box_px: Box | None = None
    hint: str | None = None


@dataclass
class Faults:
    """Collects faults; where ``strict``, the first that is not harmless is raised as BadInput instead."""

    strict: bool
    found: list[Fault] = field(default_factory=list)

    def add(
        self,
        kind: Kind,
        text: str,
        where: str | Path,
        path: Path | None = None,
        box_px: Box | None = None,
        hint: str | None = None,
    ) -> None:
        """One more fault."""
        if self.strict and kind not in HARMLESS:
            raise BadInput(text, where, hint or "`falldet audit` lists all faults of a set at once")
        self.found.append(Fault(kind, text, str(where), path, box_px, hint))


def counted(faults: Iterable[Fault]) -> dict[Kind, int]:
    """How many of each kind, in the order of KINDS; only kinds that there are."""
    counts = Counter(fault.kind for fault in faults)
    return {kind: counts[kind] for kind in KINDS if counts[kind]}
