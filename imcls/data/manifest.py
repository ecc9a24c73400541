"""A split on disk: which image is in which fold, and the digests by which the images are known again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imcls.data.table import UNKNOWN, ImageTable
from suite.errors import BadInput, SuiteError
from suite.files import atomic_write, sha256

_FORMAT, _VERSION = "imcls split", 1
_NAMED = 3  # images of each kind that an error names


@dataclass(frozen=True)
class SplitManifest:
    """Columns over n images, sorted by name.

    ``labels`` are class names (none for an unknown label), ``groups`` (n,) int64 numbers what belongs
    together, and ``kinds`` says why: "" (alone), "given" (group or file), "exact" or "near" (duplicates).
    """

    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    sha256: tuple[str, ...]
    folds: np.ndarray
    groups: np.ndarray
    kinds: tuple[str, ...]
    classes: tuple[str, ...]
    multi_label: bool
    k: int
    seed: int

    def __post_init__(self) -> None:
        n = len(self.names)
        columns = (self.labels, self.sha256, self.folds, self.groups, self.kinds)
        if {len(column) for column in columns} != {n}:
            raise ValueError("columns of different lengths")
        if list(self.names) != sorted(set(self.names)):
            raise ValueError("names are not sorted, or listed twice")
        if n and not 0 <= self.folds.min() <= self.folds.max() < self.k:
            raise ValueError(f"folds lie outside 0 to {self.k - 1}")
        if n and not {label for labels in self.labels for label in labels} <= set(self.classes):
            raise ValueError("labels that are no classes")

    def write(self, path: str | Path) -> None:
        """As JSON, one image a line, atomically."""
        head = {
            "format": _FORMAT,
            "version": _VERSION,
            "k": self.k,
            "seed": self.seed,
            "multi_label": self.multi_label,
            "classes": list(self.classes),
        }
        rows = zip(self.names, self.labels, self.sha256, self.folds, self.groups, self.kinds, strict=True)
        images = [
            json.dumps(
                {
                    "name": name,
                    "labels": list(labels),
                    "fold": int(fold),
                    "group": int(group),
                    "kind": kind,
                    "sha256": digest,
                },
                ensure_ascii=False,
            )
            for name, labels, digest, fold, group, kind in rows
        ]
        lines = [
            f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}," for key, value in head.items()
        ]
        with atomic_write(path, "w") as stream:
            stream.write("{\n" + "\n".join(lines) + '\n"images": [\n' + ",\n".join(images) + "\n]\n}\n")

    @classmethod
    def read(cls, path: str | Path) -> SplitManifest:
        """What :meth:`write` wrote. Raises BadInput for a file that is missing or no split."""
        path = Path(path)
        try:
            stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if stored["format"] != _FORMAT:
                raise ValueError("of another format")
            if stored["version"] != _VERSION:
                raise BadInput(f"is a split of version {stored['version']}, not {_VERSION}", where=path)
            images = stored["images"]
            return cls(
                names=tuple(str(image["name"]) for image in images),
                labels=tuple(tuple(str(label) for label in image["labels"]) for image in images),
                sha256=tuple(str(image["sha256"]) for image in images),
                folds=np.array([int(image["fold"]) for image in images], np.int64),
                groups=np.array([int(image["group"]) for image in images], np.int64),
                kinds=tuple(str(image["kind"]) for image in images),
                classes=tuple(str(name) for name in stored["classes"]),
                multi_label=bool(stored["multi_label"]),
                k=int(stored["k"]),
                seed=int(stored["seed"]),
            )
        except FileNotFoundError:
            raise BadInput("no such file", where=path, hint="make it with `imcls split`") from None
        except SuiteError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"misses {error}" if isinstance(error, KeyError) else str(error)
            raise BadInput(f"cannot be read as a split ({reason})", where=path) from None

    def check(self, table: ImageTable, where: str | Path | None = None, contents: bool = True) -> np.ndarray:
        """The folds of the table's rows, (n,) int64, after making sure that it is what was split.

        With ``contents`` every file's bytes are compared too. Raises BadInput that names what is missing,
        new, changed or relabelled, in one line.
        """
        if table.classes != self.classes:
            raise BadInput(
                f"the split has the classes {', '.join(self.classes)}, the data {', '.join(table.classes)}",
                where,
                hint="split again, or set data.classes",
            )
        row_of = {name: row for row, name in enumerate(self.names)}
        both = [(i, row_of[name]) for i, name in enumerate(table.names) if name in row_of]
        labels = label_names(table)
        changed = self._changed(table, both) if contents else []
        faults = {
            "missing": sorted(set(self.names) - set(table.names)),
            "new": sorted(set(table.names) - set(self.names)),
            "changed": sorted(changed),
            "relabelled": sorted(table.names[i] for i, row in both if labels[i] != self.labels[row]),
        }
        said = [f"{len(names)} {what} ({_some(names)})" for what, names in faults.items() if names]
        if said:
            raise BadInput(
                f"the images are not those of the split: {', '.join(said)}",
                where,
                hint="restore them, or split again",
            )
        return self.folds[[row for _, row in both]]

    def _changed(self, table: ImageTable, both: list[tuple[int, int]]) -> list[str]:
        paths = sorted({table.paths[i] for i, _ in both})
        with ThreadPoolExecutor() as pool:
            digests = dict(zip(paths, pool.map(_digest, paths), strict=True))
        return [table.names[i] for i, row in both if digests[table.paths[i]] != self.sha256[row]]


def label_names(table: ImageTable) -> tuple[tuple[str, ...], ...]:
    """Each image's labels as class names, in the order of the classes."""
    if table.multi_label:
        return tuple(tuple(table.classes[c] for c in np.flatnonzero(row)) for row in table.labels)
    return tuple(() if label == UNKNOWN else (table.classes[label],) for label in table.labels)


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError:
        return ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
