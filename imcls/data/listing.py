"""What a reader of data sets collects, before labels become numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Listing:
    """One row an image: its name, path, labels as words, and where it was written (for errors).

    ``place`` is the data set itself; ``notes`` say what was left out.
    """

    place: str
    names: list[str] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    labels: list[tuple[str, ...]] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    classes: tuple[str, ...] | None = None
    groups: list[str] | None = None
    boxes: list[tuple[float, float, float, float]] | None = None
    multi_label: bool = False
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, path: Path, labels: tuple[str, ...], where: str) -> None:
        """One more image."""
        self.names.append(name)
        self.paths.append(path)
        self.labels.append(labels)
        self.where.append(where)
