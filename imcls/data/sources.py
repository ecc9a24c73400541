"""Data sets as they lie on disk -> ImageTable: class folders, a CSV, the boxes of a COCO file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from imcls.data.coco import read_coco
from imcls.data.csv_table import read_csv
from imcls.data.listing import Listing
from imcls.data.options import CocoSource, CsvSource, FolderSource, Source
from imcls.data.table import UNKNOWN, ImageTable
from suite.errors import BadInput, did_you_mean

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")


def read_table(
    source: Source, classes: tuple[str, ...] | None = None, *, complete: bool = True
) -> ImageTable:
    """The images of ``source`` with their labels; classes in the order given, or as they are found, sorted
    naturally.

    ``complete`` asks for two classes at least and for images of every class, as training does; without it a
    single label may be missing too (-1). Raises BadInput, in one line, for whatever cannot be used.
    """
    match source:
        case FolderSource():
            listing = _read_folders(source)
        case CsvSource():
            listing = read_csv(source, labels_needed=complete)
        case CocoSource():
            listing = read_coco(source, classes)
    if classes is not None and len(set(classes)) != len(classes):
        raise BadInput("a class is listed twice", where="data.classes")
    names = (
        classes or listing.classes or tuple(sorted({c for row in listing.labels for c in row}, key=natural))
    )
    labels = _numbered(listing, names)
    table = ImageTable(
        names=tuple(listing.names),
        paths=tuple(listing.paths),
        labels=labels,
        classes=names,
        groups=None if listing.groups is None else tuple(listing.groups),
        boxes=None if listing.boxes is None else np.array(listing.boxes, np.float64).reshape(-1, 4),
        notes=tuple(listing.notes),
    )
    if complete:
        _check_complete(table, listing)
    return table


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Key that sorts img2 before img10."""
    parts = re.split(r"(\d+)", name)
    key = [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part]
    return (*key, (2, 0, name))  # the name itself decides between `a01` and `a1`, `A` and `a`


def _read_folders(source: FolderSource) -> Listing:
    root = source.root
    if not root.exists():
        raise BadInput("no such folder", root, hint="set data.source.root to where the class folders are")
    if not root.is_dir():
        raise BadInput("is not a folder", where=root, hint="a table is read with data.source.type=csv")
    folders = sorted(
        _visible(path for path in root.iterdir() if path.is_dir()), key=lambda p: natural(p.name)
    )
    if not folders:
        loose = sum(path.suffix.lower() in SUFFIXES for path in _visible(root.iterdir()))
        found = f"holds {loose} images but no class folders" if loose else "holds no class folders"
        raise BadInput(found, where=root, hint="put the images of each class into a folder of its name")
    listing = Listing(place=str(root), classes=tuple(folder.name for folder in folders))
    for folder in folders:
        images = _images_below(folder)
        if not images:
            raise BadInput(
                "the class folder holds no images", where=folder, hint="fill it, or move it out of the way"
            )
        for path in images:
            listing.add(path.relative_to(root).as_posix(), path, (folder.name,), where=str(folder))
    return listing


def _images_below(folder: Path) -> list[Path]:
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    return sorted(found, key=lambda path: natural(path.relative_to(folder).as_posix()))


def _visible(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if not path.name.startswith(".")]


def _numbered(listing: Listing, classes: Sequence[str]) -> np.ndarray:
    """Labels as class indices (n,) int64, or (n, k) uint8."""
    number = {name: i for i, name in enumerate(classes)}
    for row, where in zip(listing.labels, listing.where, strict=True):
        for label in row:
            if label not in number:
                close = did_you_mean(label, classes)
                raise BadInput(
                    f"the label {label!r} is not in the list of classes",
                    where=where,
                    hint=f"did you mean {close!r}?" if close else f"the classes are {_some(classes)}",
                )
    if listing.multi_label:
        hot = np.zeros((len(listing.labels), len(classes)), np.uint8)
        for i, row in enumerate(listing.labels):
            hot[i, [number[label] for label in row]] = 1
        return hot
    return np.array([number[row[0]] if row else UNKNOWN for row in listing.labels], np.int64)


def _check_complete(table: ImageTable, listing: Listing) -> None:
    counts = table.class_counts()
    if len(table.classes) < 2 and not table.multi_label:
        raise BadInput(
            f"only one class, {table.classes[0]!r}: there is nothing to tell apart"
            if table.classes
            else "no classes",
            where=listing.place,
            hint="add images of a second class",
        )
    if (counts == 0).any():
        without = [name for name, count in zip(table.classes, counts, strict=True) if not count]
        plural = "classes" if len(without) > 1 else "class"
        raise BadInput(
            f"no images of the {plural} {_some(without)}",
            where=listing.place,
            hint="add some, or take it out of data.classes",
        )


def _some(names: Sequence[str], most: int = 8) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + rest
