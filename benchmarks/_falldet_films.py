"""Synthetic films as the detectors saw them: each is drawn once and kept as detections, so that a run goes on
where an earlier one was stopped. What was drawn by other code, settings or models is not taken for it."""

from __future__ import annotations

import ast
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from falldet import synthetic
from falldet.detections import Detections
from falldet.events.annotations import Interval
from falldet.events.scoring import Looked
from falldet.events.watcher import FLOOR
from falldet.model.file import Model
from falldet.models import model_file
from falldet.synthetic.film import FilmOptions, draw_film
from suite.files import atomic_write, sha256
from suite.progress import track

CACHE = Path(tempfile.gettempdir()) / "vision-suite-films"


def films(
    options: FilmOptions, seconds: float, models: Sequence[Model], cache: Path = CACHE
) -> dict[str, list[Looked]]:
    """Films of together at least ``seconds``, as each model saw them, by its name."""
    found: dict[str, list[Looked]] = {model.card.name: [] for model in models}
    minutes = range(int(seconds // options.shortest_s) + 1)
    drawn_s = 0.0
    for number in track(minutes, f"films of seed {options.seed}"):
        if drawn_s >= seconds:
            break
        record = _record(options, number, models, cache)
        drawn_s += record["seconds"]
        for name, looks in record["models"].items():
            found[name].append(_looked(record, looks))
    return found


def _record(options: FilmOptions, number: int, models: Sequence[Model], cache: Path) -> dict[str, Any]:
    """What is kept of a film; what is missing of it is looked at now."""
    folder = cache / _drawn_by(options)
    files = {model.card.name: folder / f"{number:04d}.{_print(model)}.json" for model in models}
    if not all(file.exists() for file in files.values()):
        film = draw_film(options, number)
        told: dict[str, list[Any]] = {name: [] for name in files}
        for shot in film.shots():
            for model in models:
                seen = model.detect([shot.rgb])[0].above(FLOOR)
                told[model.card.name].append([shot.time_s, [*_rows(seen)]])
        whole = {
            "seconds": film.seconds,
            "size_px": [options.width_px, options.height_px],
            "acts": [asdict(act) for act in film.acts],
        }
        folder.mkdir(parents=True, exist_ok=True)
        for name, file in files.items():
            with atomic_write(file, "w") as stream:
                json.dump({**whole, "looks": told[name]}, stream)
    read = {name: json.loads(file.read_text()) for name, file in files.items()}
    first = next(iter(read.values()))
    about = {"number": number, **{key: first[key] for key in ("seconds", "size_px", "acts")}}
    return {**about, "models": {name: one["looks"] for name, one in read.items()}}


def _rows(found: Detections) -> Iterator[list[float]]:
    for box, score, label in zip(found.boxes_px, found.scores, found.labels, strict=True):
        yield [*(round(float(edge), 1) for edge in box), round(float(score), 4), int(label)]


def _looked(record: dict[str, Any], looks: list[Any]) -> Looked:
    acts = tuple(Interval(act["kind"], act["start_s"], act["end_s"]) for act in record["acts"])
    seen = []
    for time_s, rows in looks:
        table = np.array(rows, np.float64).reshape(-1, 6)
        boxes, scores = table[:, :4].astype(np.float32), table[:, 4].astype(np.float32)
        seen.append((float(time_s), Detections(boxes, scores, table[:, 5].astype(np.int64))))
    width, height = record["size_px"]
    return Looked(f"film {record['number']}", (width, height), record["seconds"], tuple(seen), acts)


def _drawn_by(options: FilmOptions) -> str:
    """Of everything that a film depends on: settings, and the code that draws."""
    digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode())
    for path in sorted(Path(next(iter(synthetic.__path__))).glob("*.py")):
        digest.update(_code(path).encode())
    return digest.hexdigest()[:12]


def _code(path: Path) -> str:
    """What a module does: its syntax tree without docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            node.body = node.body[1:]
    return ast.dump(tree)


def _print(model: Model) -> str:
    return f"{model.card.name}.{sha256(model_file(model.card.name))[:8]}"
