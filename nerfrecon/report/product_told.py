"""What the stages of a product say of themselves: their JSON files, read as far as they are there."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STAGES = {
    "frames": ("frames/frames.json", "choosing sharp, evenly spread pictures"),
    "sfm": ("sfm/sfm.json", "finding where the cameras stood"),
    "object": ("object/object.json", "finding the object, its box and what is up"),
    "field": ("field/metrics.json", "learning the light and matter in the box"),
    "mesh": ("mesh/mesh.json", "making a surface"),
    "texture": ("texture/texture.json", "painting the surface from the photographs"),
    "bake": ("bake/bake.json", "the model that is drawn without a surface"),
}
"""The file of each stage below the product's folder, and what the stage is for."""


@dataclass(frozen=True)
class Told:
    """What there is; `missing` names stages that said nothing, `damaged` files that cannot be read."""

    folder: Path
    product: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    frames: list[dict[str, Any]] = field(default_factory=list)
    sfm: dict[str, Any] = field(default_factory=dict)
    object: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    mesh: dict[str, Any] = field(default_factory=dict)
    texture: dict[str, Any] = field(default_factory=dict)
    bake: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def posed(self) -> bool:
        """Whether the poses were given, and not found."""
        return not self.sfm and bool(self.object)

    @property
    def metric(self) -> bool:
        """Whether lengths are metres."""
        return bool(self.object.get("metres", False))

    @property
    def costs(self) -> list[dict[str, Any]]:
        """A row a stage: name, cpu_s, wall_s, peak_gb, bytes."""
        rows = self.product.get("stages", [])
        return [row for row in rows if isinstance(row, dict) and "name" in row]

    @property
    def sides(self) -> list[float] | None:
        """Of the box around the mesh: across, up, deep; None where there is no mesh."""
        box = self.mesh.get("box")
        if not isinstance(box, list) or len(box) != 2:
            return None
        return [float(high) - float(low) for low, high in zip(*box, strict=True)]

    def flags(self) -> list[tuple[str, str]]:
        """Stage and line of all that a stage found worth a warning."""
        found = []
        for stage in ("sfm", "object", "mesh", "texture", "bake"):
            lines = getattr(self, stage).get("flags", [])
            found += [(stage, str(line)) for line in lines] if isinstance(lines, list) else []
        return found

    def rejected(self) -> list[tuple[str, str, str]]:
        """Name, stage and reason of every picture that was left out."""
        rows = [
            (str(one.get("source") or one.get("name")), "frames", str(one.get("reason") or "no reason told"))
            for one in self.frames
            if not one.get("kept", True)
        ]
        for one in self.sfm.get("rejected") or []:
            rows.append((str(one.get("name")), "sfm", str(one.get("reason") or "no reason told")))
        return rows


def read_told(folder: Path) -> Told:
    """All that the stages below `folder` have written; nothing of it needs to be there."""
    found: dict[str, Any] = {}
    missing, damaged = [], []
    for stage, (name, _) in STAGES.items():
        wanted = list if stage == "frames" else dict
        found[stage] = _read(folder / name, wanted, damaged)
        if not found[stage]:
            missing.append(stage)
            found[stage] = wanted()
    found["frames"] = [row for row in found["frames"] if isinstance(row, dict)]
    product = _read(folder / "product.json", dict, damaged) or {}
    run = _read(folder / "run.json", dict, damaged) or {}
    history = _read(folder / "field/history.json", list, damaged) or []
    figures = found.pop("field").get("metrics", {})
    found["training"] = {key: entry.get("value") for key, entry in figures.items() if isinstance(entry, dict)}
    return Told(
        folder,
        product,
        run,
        history=[row for row in history if isinstance(row, dict)],
        missing=tuple(missing),
        damaged=tuple(damaged),
        **found,
    )


def number(values: dict[str, Any], *keys: str) -> float:
    """A figure, by the keys that lead to it; NaN where it was not measured."""
    found: Any = values
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return float(found) if is_number else math.nan


def _read(path: Path, kind: type, damaged: list[str]) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        damaged.append(f"{path.parent.name}/{path.name}")
        return None
    if not isinstance(found, kind):
        damaged.append(f"{path.parent.name}/{path.name}")
        return None
    return found
