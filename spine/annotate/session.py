"""What is annotated: the back in the frame that is shown, the marks to begin with, and what is written.

A mark is a landmark or a point of the line as the page and this side exchange it: `scan` is its [x, y, z] in
the file's own coordinates and unit, to the last digit, and `mm` where that is in the frame shown (the body
frame the landmarks gave at the start). A mark that nobody moved is written back as `scan` says; one that was
dropped on the picture comes as `mm` alone, (x, y), and takes its height from the skin.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from json import loads
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from spine.heightmap import HeightMap, smoothed
from spine.landmarks import LandmarkOptions, Landmarks, find_landmarks
from spine.landmarks_file import VERSION, read_landmarks, write_content
from spine.surface import MM_PER_UNIT, BackSurface
from suite.errors import BadInput
from suite.geometry.rotations import se3_inverse, transform_points

POINTS = ("vp", "base", "dimple_left", "dimple_right")
LINE = "spinous_line"
HANDLES = (6, 14)
"""Fewest and most handles of a line that was found."""
THINNED_MM = 0.7
"""The curve through the handles of a found line runs within this of it, unless that takes too many."""
DECIMALS = 6
MOST_MARKS = 1000

Mark = dict[str, Any]
Marks = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Session:
    """One back and its landmarks, as they are when the page opens.

    `surface` is in the frame shown; `start` holds a mark or None for each of POINTS and a list or None for
    the line; `given` names those that come from a person's file, where the others were found. `trouble` says
    why nothing was found, where that is so.
    """

    surface: BackSurface
    unit: str
    start: Marks
    given: tuple[str, ...] = ()
    trouble: str | None = None
    flags: tuple[str, ...] = ()

    @cached_property
    def skin(self) -> HeightMap:
        """The skin that marks are put on: as `spine.landmarks.on_skin` has it."""
        return smoothed(self.surface.height(), 2.0, 6.0)

    def place(self, x_mm: float | int, y_mm: float | int) -> Mark:
        """The mark of the skin at (x, y) of the frame shown."""
        z = float(self.skin.sample(float(x_mm), float(y_mm)))
        return self._mark(np.array([x_mm, y_mm, z], float))

    def marks(self, landmarks: Landmarks, surface: BackSurface) -> Marks:
        """Landmarks that were found on the same scan, in whatever frame `surface` is, as marks; their line
        by few handles."""
        T = self.surface.T_body_input @ se3_inverse(surface.T_body_input)

        def shown(point: np.ndarray | None) -> Mark | None:
            return None if point is None else self._mark(transform_points(T, point))

        points = (landmarks.vp_mm, landmarks.base_mm, landmarks.dimple_left_mm, landmarks.dimple_right_mm)
        line, seen = landmarks.line, landmarks.line.seen
        seen_mm = np.stack([line.x_mm[seen], line.y_mm[seen], line.z_mm[seen]], axis=1)
        handles = [self._mark(point) for point in transform_points(T, seen_mm[thinned(seen_mm)])]
        return dict(zip(POINTS, map(shown, points), strict=True)) | {LINE: handles}

    def content(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """The landmarks file for the marks that the page says. Raises BadInput where they make none."""
        points = {key: self._written(said.get(key), key) for key in POINTS}
        line = said.get(LINE)
        if line is not None and (not isinstance(line, list) or len(line) > MOST_MARKS):
            raise BadInput(f"{LINE} must be a list of at most {MOST_MARKS} points", "the page")
        written = None if line is None else [self._written(mark, LINE) for mark in line]
        head = {"version": VERSION, "unit": self.unit, "edited": True}
        return head | points | {LINE: written or None}

    def check(self, content: Mapping[str, Any], options: LandmarkOptions) -> None:
        """Raises BadInput, in words for the page, where `spine fit --landmarks` would refuse these."""
        with tempfile.TemporaryDirectory(prefix="annotate-") as folder:
            path = Path(folder) / "landmarks.json"
            write_content(path, content)
            try:
                read_landmarks(path, self.surface, options)
            except BadInput as error:
                raise without_place(error, path) from None

    def save(self, path: Path, content: Mapping[str, Any], options: LandmarkOptions) -> None:
        """Write the file whole or not at all, once it is known that a fit takes it."""
        self.check(content, options)
        try:
            write_content(path, content)
        except OSError as error:
            raise BadInput(
                f"cannot be written ({error.strerror or error})", path, "choose another place with --out"
            ) from None

    def _written(self, mark: Any, key: str) -> list[Any] | None:
        if mark is None:
            return None
        scan, mm = (mark.get("scan"), mark.get("mm")) if isinstance(mark, dict) else (None, None)
        if _is_numbers(scan, 3):
            return scan
        if mm is None or not _is_numbers(mm, 2):
            raise BadInput(f"{key} is no place on the back", "the page", "load the page again")
        x_mm, y_mm = mm[0], mm[1]
        return self.place(x_mm, y_mm)["scan"]

    def _mark(self, point_mm: Float[np.ndarray, " 3"]) -> Mark:
        T_input_shown = se3_inverse(self.surface.T_body_input)
        scan = transform_points(T_input_shown, point_mm) / MM_PER_UNIT[self.unit]
        return {"scan": np.round(scan, DECIMALS).tolist(), "mm": point_mm.tolist()}


def open_session(
    surface: BackSurface, options: LandmarkOptions | None = None, landmarks: Path | None = None
) -> Session:
    """The session of this surface, from a person's landmarks file where there is one.

    Raises BadInput for a file that cannot be used. A back on which nothing is found opens all the same:
    a person can place what was not found.
    """
    options = options or LandmarkOptions()
    unit = next(name for name, mm in MM_PER_UNIT.items() if mm == surface.mm_per_unit)
    if landmarks is not None:
        return _from_file(surface, options, landmarks, unit)
    try:
        shown, found = find_landmarks(surface, options)
    except BadInput as error:
        return Session(surface, unit, dict.fromkeys((*POINTS, LINE)), trouble=error.what, flags=surface.flags)
    session = Session(shown, unit, {}, flags=shown.flags + found.flags)
    session.start.update(session.marks(found, shown))
    return session


def thinned(points_mm: Float[np.ndarray, "n 3"]) -> list[int]:
    """Which of a dense line's points, evenly spread from the top down, are enough to say its x(y) by a
    smooth curve (PCHIP, as a line that was given is read)."""
    order = np.argsort(points_mm[:, 1])
    order = order[np.diff(points_mm[order, 1], prepend=-np.inf) > 0]
    y, x = points_mm[order, 1], points_mm[order, 0]
    fewest, most = HANDLES
    chosen = np.arange(len(y))
    for count in range(fewest, most + 1) if len(y) > most else ():
        chosen = np.linspace(0, len(y) - 1, count).round().astype(int)
        off = np.abs(PchipInterpolator(y[chosen], x[chosen])(y) - x)
        if off.max() <= THINNED_MM:
            break
    return [int(order[k]) for k in chosen[::-1]]


def without_place(error: BadInput, path: Path) -> BadInput:
    """The same where it says nothing of a file that nobody knows."""
    return error if error.where != str(path) else BadInput(error.what, None, error.hint)


def _from_file(surface: BackSurface, options: LandmarkOptions, path: Path, unit: str) -> Session:
    shown, placed = read_landmarks(path, surface, options)  # checks all that is relied on here
    content = loads(path.read_text("utf-8-sig"))
    unit = content.get("unit", unit)
    given = tuple(key for key in (*POINTS, LINE) if content.get(key))
    session = Session(shown, unit, {}, given, flags=shown.flags + placed.flags)

    def mark(scan: list[Any]) -> Mark:
        mm = transform_points(shown.T_body_input, np.array(scan, float) * MM_PER_UNIT[unit])
        return {"scan": scan, "mm": mm.tolist()}

    found = session.marks(placed, shown)
    for key in POINTS:
        session.start[key] = mark(content[key]) if content.get(key) else found[key]
    line = content.get(LINE)
    session.start[LINE] = [mark(point) for point in line] if line else found[LINE]
    if "base" not in session.given:  # half-way between the dimples, and stays so until somebody moves it
        session.start["base"] = None
    return session


def _is_numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x) for x in value)
    )
