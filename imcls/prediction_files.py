"""Scores as CSV or JSON, written batch by batch as they come, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from imcls.predictions import Predictions
from suite.errors import BadInput
from suite.files import atomic_write

_DECIMALS = 6
_SEPARATOR = ";"


def writer_for(path: Path) -> Callable[[Path, Iterable[Predictions], Callable[[], list[str]]], int]:
    """The writer of ``path`` by its suffix: `.csv` or `.json`. BadInput for any other."""
    writers = {".csv": write_csv, ".json": write_json}
    if path.suffix.lower() not in writers:
        raise BadInput(f"cannot be written as {path.suffix!r}", where=path, hint="name a .csv or .json file")
    return writers[path.suffix.lower()]


def write_csv(path: Path, batches: Iterable[Predictions], unreadable: Callable[[], list[str]]) -> int:
    """One line an image: image, label, score, then the probability of each class; how many were written.

    Several labels are joined by `;`, and none is an empty cell, as in the tables that are read for
    training. ``unreadable`` gives the names of images without scores, which get a line with empty cells.
    """
    count = 0
    with atomic_write(path, "w") as stream:
        classes: tuple[str, ...] = ()
        for batch in batches:
            if not classes:
                classes = batch.classes
                stream.write(_line(["image", "label", "score", *classes]))
            for name, labels, score, shares in _rows(batch):
                stream.write(_line([name, _SEPARATOR.join(labels), score, *shares]))
            count += len(batch)
        for name in unreadable():
            stream.write(_line([name, "", "", *[""] * len(classes)]))
    return count


def write_json(path: Path, batches: Iterable[Predictions], unreadable: Callable[[], list[str]]) -> int:
    """`{"images": [{"image", "labels", "score", "probabilities": {class: p}}], "unreadable": [...]}`."""
    count = 0
    with atomic_write(path, "w") as stream:
        stream.write('{"images": [')
        for batch in batches:
            for name, labels, score, shares in _rows(batch):
                entry = {
                    "image": name,
                    "labels": labels,
                    "score": score,
                    "probabilities": dict(zip(batch.classes, shares, strict=True)),
                }
                stream.write(("," if count else "") + "\n" + json.dumps(entry, ensure_ascii=False))
                count += 1
        json_names = json.dumps(unreadable(), ensure_ascii=False)
        stream.write(f'\n], "unreadable": {json_names}}}\n')
    return count


def _rows(batch: Predictions) -> Iterator[tuple[str, list[str], float, list[float]]]:
    """Name, labels, score and probabilities of each image.

    The score is the probability of the label; for several, the lowest of theirs; for none, how sure that is:
    one less the highest.
    """
    shares = np.round(batch.probabilities(), _DECIMALS)
    decisions = batch.decisions()
    for name, row, decision in zip(batch.names, shares, decisions, strict=True):
        chosen = np.flatnonzero(decision) if batch.multi_label else np.array([decision])
        score = row[chosen].min() if len(chosen) else 1 - row.max()
        yield name, [batch.classes[i] for i in chosen], round(float(score), _DECIMALS), row.tolist()


def _line(cells: list[str | float]) -> str:
    stream: IO[str] = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()  # type: ignore[attr-defined]
