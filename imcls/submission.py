"""Predictions as the file that a contest or a colleague asks for: their columns, their order of rows."""

from __future__ import annotations

import csv
import io
from pathlib import Path, PurePosixPath

import numpy as np

from imcls.predictions import Predictions
from suite.errors import BadInput
from suite.files import atomic_write

_SEPARATOR = ";"


def write_submission(path: Path, predictions: Predictions, template: Path | None = None) -> int:
    """Write one row an image, whole or not at all; how many rows there are.

    Without a ``template``: image,label. With one (a CSV with a header): its header and its rows in their
    order; its first column whose every cell names an image that was judged (with or without folder and
    suffix) is kept, columns named after classes get probabilities, and one further column, if there is one,
    the label. Several labels are joined by `;`. Raises BadInput when the template does not fit, naming the
    first row that does not.
    """
    labels, shares = _labels(predictions), predictions.probabilities()
    if template is None:
        header, rows = ["image", "label"], [[n, t] for n, t in zip(predictions.names, labels, strict=True)]
    else:
        header, given = _read(template)
        image_column, order = _image_column(template, header, given, predictions.names)
        _check_columns(template, header, image_column, predictions.classes)
        rows = [list(row) for row in given]
        for column, title in enumerate(header):
            if column == image_column:
                continue
            if title in predictions.classes:
                values = [f"{p:.6f}" for p in shares[order, predictions.classes.index(title)]]
            else:
                values = [labels[i] for i in order]
            for row, value in zip(rows, values, strict=True):
                row[column] = value
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    with atomic_write(path, "w") as out:
        out.write(stream.getvalue())
    return len(rows)


def _labels(predictions: Predictions) -> list[str]:
    decided = predictions.decisions()
    if not predictions.multi_label:
        return [predictions.classes[int(c)] for c in decided]
    return [_SEPARATOR.join(predictions.classes[int(c)] for c in np.flatnonzero(row)) for row in decided]


def _read(template: Path) -> tuple[list[str], list[list[str]]]:
    try:
        text = template.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", where=template) from None
    except UnicodeDecodeError:
        raise BadInput("is not UTF-8 text", where=template, hint="save it as CSV in UTF-8") from None
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if len(rows) < 2:
        raise BadInput("has no rows under its header", where=template)
    header = [cell.strip() for cell in rows[0]]
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise BadInput(
                f"has {len(row)} cells under {len(header)} columns", where=f"{template}, row {number}"
            )
    return header, rows[1:]


def _image_column(
    template: Path, header: list[str], rows: list[list[str]], names: tuple[str, ...]
) -> tuple[int, np.ndarray]:
    """The column that names images, and for each row the index of its image."""
    keys = _unique_keys(names)
    found = [[keys.get(row[column].strip()) for row in rows] for column in range(len(header))]
    for column, indices in enumerate(found):
        known = [i for i in indices if i is not None]
        if len(known) == len(rows):
            return column, np.array(known, np.int64)
    most = max(range(len(header)), key=lambda column: sum(i is not None for i in found[column]))
    missing = next(number for number, i in enumerate(found[most]) if i is None)
    raise BadInput(
        f"{rows[missing][most]!r} is none of the {len(names)} images that were judged",
        where=f"{template}, row {missing + 2}",
        hint="name the folder of images that the template is about",
    )


def _unique_keys(names: tuple[str, ...]) -> dict[str, int]:
    """Every way to name an image that fits one image only: whole name, file name, and both without suffix."""
    keys: dict[str, int] = {}
    ambiguous: set[str] = set()
    for index, name in enumerate(names):
        path = PurePosixPath(name)
        for key in {name, path.name, path.with_suffix("").as_posix(), path.stem}:
            if keys.setdefault(key, index) != index:
                ambiguous.add(key)
    whole = {name: index for index, name in enumerate(names)}
    return {key: index for key, index in keys.items() if key not in ambiguous} | whole


def _check_columns(template: Path, header: list[str], image_column: int, classes: tuple[str, ...]) -> None:
    free = [title for c, title in enumerate(header) if c != image_column and title not in classes]
    of_classes = set(header) & set(classes)
    if len(free) > 1:
        raise BadInput(
            f"has several columns that are neither image nor class ({', '.join(free)})",
            where=template,
            hint="leave one column for the label, or one column for each class",
        )
    if of_classes and of_classes != set(classes):
        missing = sorted(set(classes) - of_classes)
        raise BadInput(f"has no column for class {missing[0]!r}", where=template)
