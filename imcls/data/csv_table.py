"""A CSV with one image a line."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

from imcls.data.listing import Listing
from imcls.data.options import CsvSource
from suite.errors import BadInput, did_you_mean


def read_csv(source: CsvSource, labels_needed: bool = True) -> Listing:
    """The rows of the table (commas; tabs where it ends in .tsv). A line that repeats another is dropped.

    Raises BadInput, with the line, for missing columns, cells and files, and for an image with two
    different labels.
    """
    file = source.file
    rows, header = _rows(file)
    wanted = {"image_column": source.image_column, "label_column": source.label_column}
    if source.group_column is not None:
        wanted["group_column"] = source.group_column
    for key, column in wanted.items():
        if column not in header:
            raise _no_column(file, key, column, header)
    root = file.parent if source.root is None else source.root
    listing = Listing(place=str(file), multi_label=source.multi_label)
    listing.groups = None if source.group_column is None else []
    first: dict[str, int] = {}
    for line, row in rows:
        where = f"{file}:{line}"
        name = _name((row.get(source.image_column) or "").strip(), root)
        if not name:
            raise BadInput(f"no image name in column {source.image_column!r}", where=where)
        cell = row.get(source.label_column)
        if cell is None:
            raise BadInput(f"the line is too short: no {source.label_column!r}", where=where)
        labels = _labels(cell, source, where, labels_needed)
        group = row.get(source.group_column) if source.group_column is not None else ""
        if group is None:
            raise BadInput(f"the line is too short: no {source.group_column!r}", where=where)
        if name in first:
            earlier = first[name]
            if set(listing.labels[earlier]) != set(labels):
                raise BadInput(
                    f"{name!r} is {_words(labels)} here and {_words(listing.labels[earlier])} in "
                    f"{listing.where[earlier].rpartition(':')[2]}",
                    where=where,
                    hint="give each image one line"
                    + (", several labels separated by `;`" if source.multi_label else ""),
                )
            continue
        first[name] = len(listing.names)
        listing.add(name, root / name, labels, where)
        if listing.groups is not None:
            # Images without a group stand alone.
            listing.groups.append(group.strip() or f"\0{name}")
    if not listing.names:
        raise BadInput("lists no images", where=file)
    _check_files(listing, root)
    return listing


def _rows(file: Path) -> tuple[list[tuple[int, dict[str, str | None]]], list[str]]:
    if not file.is_file():
        raise BadInput("no such file", where=file, hint="set data.source.file to the table of images")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(
                stream, delimiter="\t" if file.suffix.lower() == ".tsv" else ",", strict=True
            )
            rows = [(reader.line_num, dict(row)) for row in reader]
            header = [name.strip() for name in reader.fieldnames or ()]
    except UnicodeDecodeError as error:
        raise BadInput(
            f"is not UTF-8 text (byte {error.start})", where=file, hint="save the table as CSV in UTF-8"
        ) from None
    except csv.Error as error:
        raise BadInput(f"cannot be read as CSV ({error})", where=file) from None
    if not header:
        raise BadInput("is empty", where=file, hint="the first line names the columns")
    stripped = [(line, {(key or "").strip(): cell for key, cell in row.items()}) for line, row in rows]
    for line, row in stripped:
        if "" in row and "" not in header:
            raise BadInput(
                f"the line has more than {len(header)} cells",
                where=f"{file}:{line}",
                hint="put cells that hold a comma into quotes",
            )
    return stripped, header


def _no_column(file: Path, key: str, column: str, header: list[str]) -> BadInput:
    close = did_you_mean(column, header)
    hint = f"did you mean {close!r}? set data.source.{key}" if close else f"set data.source.{key}"
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        hint = "separate the columns by commas"
    return BadInput(f"no column {column!r} (there are {', '.join(header)})", where=f"{file}:1", hint=hint)


def _labels(cell: str, source: CsvSource, where: str, needed: bool) -> tuple[str, ...]:
    if source.multi_label:
        return tuple(dict.fromkeys(label for part in cell.split(";") if (label := part.strip())))
    label = cell.strip()
    if not label:
        if needed:
            raise BadInput(
                "no label",
                where=where,
                hint="fill the cell; images without any class need data.source.multi_label",
            )
        return ()
    return (label,)


def _name(cell: str, root: Path) -> str:
    """The image's name relative to the root where it can be, with `/`."""
    if not cell:
        return ""
    path = PurePosixPath(cell.replace("\\", "/"))
    try:
        return path.relative_to(root.as_posix()).as_posix() if path.is_absolute() else path.as_posix()
    except ValueError:
        return path.as_posix()


def _check_files(listing: Listing, root: Path) -> None:
    missing = [i for i, path in enumerate(listing.paths) if not path.is_file()]
    if missing:
        count = f" ({len(missing)} of {len(listing.names)} are missing)" if len(missing) > 1 else ""
        raise BadInput(
            f"no image {listing.names[missing[0]]!r} below {root}{count}",
            where=listing.where[missing[0]],
            hint="set data.source.root to the folder the names start from",
        )


def _words(labels: tuple[str, ...]) -> str:
    return repr(";".join(labels)) if labels else "without a label"
