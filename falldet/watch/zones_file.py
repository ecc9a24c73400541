"""Zones that were drawn on the page: a small JSON file beside the events, written whole or not at all.

Those of the configuration are not in it, and are used as well.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from falldet.events.options import ZoneOptions
from suite.errors import BadInput
from suite.files import atomic_write

MOST_ZONES, MOST_POINTS, LONGEST_NAME = 32, 64, 60
Zones = tuple[ZoneOptions, ...]


class ZonesFile:
    """The zones of each camera. Raises BadInput where the file is there and holds something else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._zones = _read(path)

    def of(self, camera: str) -> Zones:
        """Of one camera."""
        return self._zones.get(camera, ())

    def put(self, camera: str, zones: Zones) -> None:
        """In place of what the camera had. Raises OSError, and changes nothing, where the disk refuses."""
        with self._lock:
            after = {**self._zones, camera: zones}
            if not zones:
                del after[camera]
            plain = {name: [as_dict(zone) for zone in zones] for name, zones in after.items()}
            with atomic_write(self.path, "w") as file:
                file.write(json.dumps(plain, indent=1) + "\n")
            self._zones = after


def as_dict(zone: ZoneOptions) -> dict[str, Any]:
    """For JSON: name and polygon."""
    return {"name": zone.name, "polygon": [list(point) for point in zone.polygon]}


def checked(given: Iterable[Any]) -> Zones:
    """Zones from plain data. Raises BadInput in one line that names the zone and what is wrong with it."""
    zones = tuple(_checked(one) for one in given)
    if len(zones) > MOST_ZONES:
        raise BadInput(f"{len(zones)} are too many", "zones", f"a camera has at most {MOST_ZONES}")
    return zones


def _checked(given: Any) -> ZoneOptions:
    name = given.get("name") if isinstance(given, Mapping) else None
    where = f"zone {name[:LONGEST_NAME]!r}" if isinstance(name, str) else "zone"
    if not isinstance(given, Mapping) or set(given) - {"name", "polygon", "fixed"}:
        raise BadInput('is no {"name": ..., "polygon": [[x, y], ...]}', where)
    try:
        zone = ZoneOptions.model_validate_json(
            json.dumps({"name": name, "polygon": given.get("polygon")}), strict=True
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part}]" for part in first["loc"][1:])
        what = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        outside = first["type"] in ("greater_than_equal", "less_than_equal")
        what = "lies outside the picture, whose sides are 0 and 1" if outside else what
        raise BadInput(f"{first['loc'][0]}{place}: {what}", where) from None
    if len(zone.polygon) > MOST_POINTS or len(zone.name) > LONGEST_NAME:
        raise BadInput(f"a polygon has at most {MOST_POINTS} points and a name {LONGEST_NAME} letters", where)
    return zone


def _read(path: Path) -> dict[str, Zones]:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadInput(f"cannot be read ({(error.strerror or 'unknown').lower()})", path) from None
    except (ValueError, RecursionError):
        raise BadInput("is no JSON: mend it, or remove it and draw the zones again", path) from None
    if not isinstance(given, dict) or not all(isinstance(zones, list) for zones in given.values()):
        raise BadInput('is no {"camera": [zone, ...]}: mend it, or remove it', path)
    try:
        return {camera: checked(zones) for camera, zones in given.items()}
    except BadInput as error:
        raise BadInput(str(error), path) from None
