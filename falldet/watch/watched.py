"""A running watch as its page sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from falldet.watch.clips import clip_name
from falldet.watch.metrics import metrics_text
from falldet.watch.page.view import Look
from falldet.watch.watch import Watch
from falldet.watch.zones_file import as_dict, checked


class OnPage:
    """A `falldet.watch.page.view.Watched`; every method may be called from any thread."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(self._watch.cameras)

    @property
    def changes(self) -> int:
        return self._watch.changes

    def look(self, camera: str) -> Look | None:
        return self._watch.cameras[camera].newest

    def zones(self, camera: str) -> list[dict[str, Any]]:
        found = self._watch.cameras[camera]
        return [as_dict(zone) | {"fixed": True} for zone in found.fixed] + [
            as_dict(zone) | {"fixed": False} for zone in found.drawn
        ]

    def set_zones(self, camera: str, zones: list[dict[str, Any]]) -> None:
        self._watch.draw(camera, checked(zones))

    def events(self, limit: int, camera: str | None = None) -> list[dict[str, Any]]:
        found = self._watch.store.events(limit, camera)
        return [event | {"clip": self.clip(event["id"]) is not None} for event in found]

    def clip(self, event_id: str) -> Path | None:
        path = self._watch.films.folder / clip_name(event_id)
        return path if path.is_file() else None

    def health(self) -> dict[str, Any]:
        return self._watch.health()

    def metrics(self) -> str:
        return metrics_text(self._watch.health())
