"""A watch that only seems to run: pictures of the package, a few events, zones in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from falldet.models import SHIPPED
from falldet.watch.page.view import Look, Person
from suite.data.images import read_image
from suite.errors import BadInput

PICTURES = SHIPPED / "pictures"


def shipped_looks() -> list[Look]:
    """The package's pictures with the people they show."""
    labelled = json.loads((PICTURES / "people.json").read_text())
    looks = []
    for number, image in enumerate(labelled["images"]):
        rgb = read_image(PICTURES / "images" / Path(image["file_name"]).name)
        people = []
        for entry in labelled["annotations"]:
            if entry["image_id"] == image["id"]:
                x, y, width, height = entry["bbox"]
                fallen = entry["category_id"] == 1
                box = (float(x), float(y), float(x + width), float(y + height))
                people.append(
                    Person(entry["id"], box, 0.93 if fallen else 0.07, "fallen" if fallen else "up")
                )
        looks.append(Look(number, rgb, 1_760_000_000.0 + number, tuple(people)))
    return looks


class StandIn:
    """A `falldet.watch.page.view.Watched`."""

    def __init__(self, looks: dict[str, Look | None], clips: Path | None = None) -> None:
        self.looks = looks
        self.zones_of: dict[str, list[dict[str, Any]]] = {name: [] for name in looks}
        self.states = {name: {"state": "live", "why": ""} for name in looks}
        self.happened: list[dict[str, Any]] = []
        self.clips = clips
        self.saved: list[tuple[str, list[dict[str, Any]]]] = []
        self._changes = 0

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(self.looks)

    @property
    def changes(self) -> int:
        return self._changes

    def happen(self, **event: Any) -> None:
        """Add an event, or change the one of its id."""
        self.happened = [event, *(one for one in self.happened if one["id"] != event["id"])]
        self._changes += 1

    def look(self, camera: str) -> Look | None:
        return self.looks[camera]

    def zones(self, camera: str) -> list[dict[str, Any]]:
        return self.zones_of[camera]

    def set_zones(self, camera: str, zones: list[dict[str, Any]]) -> None:
        for zone in zones:
            inside = np.asarray(zone["polygon"], float)
            if inside.min() < 0 or inside.max() > 1:
                raise BadInput("lies outside the picture", f"zone {zone['name']}")
        fixed = [zone for zone in self.zones_of[camera] if zone["fixed"]]
        self.saved.append((camera, zones))
        self.zones_of[camera] = fixed + [{**zone, "fixed": False} for zone in zones]
        self._changes += 1

    def events(self, limit: int, camera: str | None = None) -> list[dict[str, Any]]:
        found = [event for event in self.happened if camera in (None, event["camera"])]
        return [{**event, "clip": self.clip(event["id"]) is not None} for event in found[:limit]]

    def clip(self, event_id: str) -> Path | None:
        path = None if self.clips is None else self.clips / f"{event_id}.mp4"
        return path if path is not None and path.is_file() else None

    def health(self) -> dict[str, Any]:
        wrong = [name for name, state in self.states.items() if state["state"] != "live"]
        line = (
            f"{len(wrong)} of {len(self.states)} cameras in trouble"
            if wrong
            else f"{len(self.states)} cameras live"
        )
        return {"state": "trouble" if wrong else "ok", "line": line, "cameras": self.states}

    def metrics(self) -> str:
        return "falldet_cameras 1\n"
