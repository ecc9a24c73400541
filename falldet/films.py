"""Drawn films as a detector saw them, with who was really there.

Each is drawn once and kept as detections, so that a run goes on where an earlier one was stopped. What was
drawn by other code, settings or models is not taken for it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from falldet import synthetic
from falldet.detections import Detections
from falldet.events.annotations import Interval
from falldet.events.changes import Changes
from falldet.events.scoring import Looked
from falldet.events.watcher import FLOOR
from falldet.events.zones import Box
from falldet.model.file import Model
from falldet.models import model_file
from falldet.synthetic.film import FilmOptions, draw_film
from suite.files import atomic_write, sha256
from suite.progress import track

CACHE = Path(tempfile.gettempdir()) / "vision-suite-films"


@dataclass(frozen=True, eq=False)
class Seen:
    """A film as it was looked at, and in each look who is there: their box and posture."""

    looked: Looked
    truth: tuple[tuple[tuple[Box, str], ...], ...]


def films(options: FilmOptions, seconds: float | int, model: Model, cache: Path = CACHE) -> Iterator[Seen]:
    """Films of together at least ``seconds``."""
    drawn_s = 0.0
    for number in track(range(int(seconds // options.shortest_s) + 1), f"films of seed {options.seed}"):
        if drawn_s >= seconds:
            break
        seen = film(options, number, model, cache)
        drawn_s += seen.looked.seconds
        yield seen


def film(options: FilmOptions, number: int, model: Model, cache: Path = CACHE) -> Seen:
    """One film; drawn and looked at now where that was not done before."""
    file = film_file(options, number, model, cache)
    if not file.exists():
        drawn, changes = draw_film(options, number), Changes()
        looks = []
        for shot in drawn.shots():
            found = model.detect([shot.rgb])[0].above(FLOOR)
            changes.look(shot.rgb, float(shot.time_s))
            rows = [*_rows(found, changes.within(found.boxes_px))]
            looks.append([shot.time_s, rows, list(zip(shot.boxes_px, shot.kinds, strict=True))])
        whole = {
            "seconds": drawn.seconds,
            "size_px": [options.width_px, options.height_px],
            "acts": [asdict(act) for act in drawn.acts],
            "looks": looks,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file, "w") as stream:
            json.dump(whole, stream)
    return _seen(f"film {options.seed}/{number}", json.loads(file.read_text()))


def film_file(options: FilmOptions, number: int, model: Model, cache: Path = CACHE) -> Path:
    """Where what was seen of a film is kept."""
    detector = f"{model.card.name}.{model.card.pixels.long_px}.{sha256(model_file(model.card.name))[:8]}"
    return cache / _drawn_by(options) / f"{number:04d}.{detector}.json"


def _rows(found: Detections, changed: np.ndarray) -> Iterator[list[float]]:
    for box, score, label, share in zip(found.boxes_px, found.scores, found.labels, changed, strict=True):
        edges = (round(float(edge), 1) for edge in box)
        yield [*edges, round(float(score), 4), int(label), round(float(share), 3)]


def _seen(name: str, record: dict[str, Any]) -> Seen:
    acts = tuple(Interval(act["kind"], act["start_s"], act["end_s"]) for act in record["acts"])
    looks, changed, truth = [], [], []
    for time_s, rows, people in record["looks"]:
        table = np.array(rows, np.float64).reshape(-1, 7)
        boxes, scores = table[:, :4].astype(np.float32), table[:, 4].astype(np.float32)
        looks.append((float(time_s), Detections(boxes, scores, table[:, 5].astype(np.int64))))
        changed.append(table[:, 6])
        truth.append(tuple(((x1, y1, x2, y2), kind) for (x1, y1, x2, y2), kind in people))
    width, height = record["size_px"]
    looked = Looked(name, (width, height), record["seconds"], tuple(looks), acts, tuple(changed))
    return Seen(looked, tuple(truth))


def _drawn_by(options: FilmOptions) -> str:
    """Of everything that what is kept depends on: settings, and the code that draws and that sees changes."""
    digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode())
    drawing = sorted(Path(next(iter(synthetic.__path__))).glob("*.py"))
    for path in (*drawing, Path(__file__).parent / "events" / "changes.py"):
        digest.update(_code(path).encode())
    return digest.hexdigest()[:12]


def _code(path: Path) -> str:
    """What a module does: its syntax tree without docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            node.body = node.body[1:]
    return ast.dump(tree)
