"""Pictures for whoever looks: JPEGs of a few widths, encoded once for all viewers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from falldet.detections import FALLEN, Detections
from falldet.looking.drawing import draw
from falldet.watch.page.view import Look, Person

WIDTHS_PX = (320, 480, 640, 960, 1280, 1920)
_QUALITY = 80
_ZONE = (64, 200, 160)
_KEPT = 4  # variants of a camera's newest picture

Blur = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Pictures:
    """Encodes looks; the newest of each camera stays for the next who asks. Safe between threads.

    ``blur`` makes people in the given boxes unrecognisable before anything else is done.
    """

    def __init__(self, blur: Blur | None = None) -> None:
        self._blur = blur
        self._made: dict[str, dict[tuple[int, bool], bytes]] = {}
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()

    def jpeg(
        self, camera: str, look: Look, width_px: int, zones: Sequence[dict[str, Any]] | None = None
    ) -> bytes:
        """``look`` at the smallest of WIDTHS_PX that is not below ``width_px``, never larger than it is; with
        ``zones``, which may be none, they and the people's boxes are drawn."""
        width_px = next((width for width in WIDTHS_PX if width >= width_px), WIDTHS_PX[-1])
        variant = (min(width_px, look.size_px[0]), zones is not None)
        with self._lock:
            if self._numbers.get(camera) == look.number and variant in self._made[camera]:
                return self._made[camera][variant]
        made = self._encoded(look, variant[0], zones)
        with self._lock:
            if self._numbers.get(camera, -1) < look.number:
                self._numbers[camera], self._made[camera] = look.number, {}
            if self._numbers[camera] == look.number and len(self._made[camera]) < _KEPT:
                self._made[camera][variant] = made
        return made

    def _encoded(self, look: Look, width_px: int, zones: Sequence[dict[str, Any]] | None) -> bytes:
        import cv2

        rgb, scale = look.rgb, width_px / look.size_px[0]
        if self._blur is not None and look.maybe_px:
            rgb = self._blur(rgb, np.array(look.maybe_px))
        if scale < 1:
            height_px = max(1, round(look.size_px[1] * scale))
            rgb = cv2.resize(rgb, (width_px, height_px), interpolation=cv2.INTER_AREA)
        if zones is not None:
            rgb = _drawn(np.ascontiguousarray(rgb), look.people, scale, zones)
        good, data = cv2.imencode(
            ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        )
        if not good:
            raise ValueError(f"a picture of {look.size_px} px cannot be encoded")
        return data.tobytes()


def _drawn(
    rgb: UInt8[np.ndarray, "h w 3"],
    people: Sequence[Person],
    scale: float | int,
    zones: Sequence[dict[str, Any]],
) -> np.ndarray:
    import cv2

    height, width = rgb.shape[:2]
    for zone in zones:
        corners = np.asarray(zone["polygon"], np.float64) * (width - 1, height - 1)
        # The line's thickness goes with the picture, as that of the boxes does.
        cv2.polylines(rgb, [np.rint(corners).astype(np.int32)], True, _ZONE, max(1, height // 240))
    boxes = np.array([person.box_px for person in people], np.float32).reshape(-1, 4) * np.float32(scale)
    labels = [FALLEN if person.state in ("fallen", "suspected") else 1 - FALLEN for person in people]
    scores = [
        person.fallen if label == FALLEN else 1 - person.fallen
        for person, label in zip(people, labels, strict=True)
    ]
    return draw(rgb, Detections(boxes, np.array(scores, np.float32), np.array(labels, np.int64)))
