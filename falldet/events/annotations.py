"""Videos and what happens in them: a CSV of intervals, or the lists of activities that come with GMDCSA24.

The CSV has the columns video, onset_s, end_s, kind: a line for each interval, its video relative to the CSV.
Intervals of the kind `fall` are to be found; `unclear` ones neither count as found nor as false; all others
name what was going on. A video in which nothing happens has a line without times.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

from suite.errors import BadInput

FALL, UNCLEAR = "fall", "unclear"
_COLUMNS = ("video", "onset_s", "end_s", "kind")
_ACTIVITY = re.compile(r"([A-Za-z][^\[;]*)\[\s*([\d.]+)\s*(?:to)?\s*([\d.]+)\s*\]")
_LIST = re.compile(r"(.+)_(Fall|ADL)\.csv")
_CLIP = re.compile(r"\d+\.\w+")


@dataclass(frozen=True)
class Interval:
    """Something that happens, in seconds since the video's first frame. ValueError where it ends before."""

    kind: str
    onset_s: float | int
    end_s: float | int

    def __post_init__(self) -> None:
        if not 0 <= self.onset_s <= self.end_s < math.inf:
            raise ValueError(f"an interval from {self.onset_s:g} to {self.end_s:g} s")


@dataclass(frozen=True)
class Annotated:
    """A video file and what happens in it, the earliest first."""

    path: Path
    intervals: tuple[Interval, ...]


def read_annotations(path: Path) -> tuple[Annotated, ...]:
    """The videos of a CSV, or of a folder laid out as GMDCSA24 is; videos that are not there are left out of
    the latter. Raises BadInput, naming the line, for what is no annotation."""
    if path.is_dir():
        videos = _activity_lists(path)
    elif path.is_file():
        videos = _intervals(path)
    else:
        raise BadInput("no such file or folder", path)
    if not videos:
        raise BadInput("names no video that is there", path)
    return videos


def _intervals(path: Path) -> tuple[Annotated, ...]:
    found: dict[Path, list[Interval]] = {}
    for line, row in _rows(path, _COLUMNS):
        video = path.parent / row["video"].strip()
        if not row["video"].strip() or not video.is_file():
            raise BadInput(f"there is no video {row['video']!r}", f"{path}:{line}")
        known = found.setdefault(video, [])
        times, kind = (row["onset_s"].strip(), row["end_s"].strip()), row["kind"].strip()
        if times != ("", ""):
            try:
                known.append(Interval(kind or FALL, float(times[0]), float(times[1])))
            except ValueError:
                what = f"onset_s {times[0]!r} and end_s {times[1]!r} are no interval"
                raise BadInput(what, f"{path}:{line}", "give seconds, the end not before the onset") from None
    return tuple(Annotated(video, _sorted(intervals)) for video, intervals in found.items())


def _activity_lists(folder: Path) -> tuple[Annotated, ...]:
    """GMDCSA24: SUBJECT_Fall.csv and SUBJECT_ADL.csv list clips NN.mp4, here SUBJECT_Fall_NN.mp4; the last
    column has `Falling (SW)[3.4 to 6]; Sitting[0 to 3.4]`."""
    videos = []
    for path in sorted(folder.glob("*.csv")):
        named = _LIST.fullmatch(path.name)
        if named is None:
            continue
        falls = named[2] == "Fall"
        for _, row in _rows(path, ("File Name",)):
            clip, activities = row["File Name"].strip(), row.get("Classes", "") or ""
            video = folder / f"{path.stem}_{clip}"
            if _CLIP.fullmatch(clip) and video.is_file():
                videos.append(Annotated(video, _activities(activities, falls)))
    return tuple(videos)


def _activities(text: str, falls: bool) -> tuple[Interval, ...]:
    """Of the clips of daily life, whatever is called a fall there (onto a bed) is none."""
    found = []
    for name, start, end in _ACTIVITY.findall(text):
        word = name.strip().lower()
        kind = FALL if falls and word.startswith("fall") else word
        if float(start) <= float(end):
            found.append(Interval(kind, float(start), float(end)))
    return _sorted(found)


def _rows(path: Path, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Lines by column; surplus commas of the last column are its own."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("is no text in UTF-8", path) from None
    lines = csv.reader(text.splitlines())
    head = [name.strip() for name in next(lines, [])]
    missing = [name for name in needed if name not in head]
    if missing:
        hint = f"the first line names the columns {', '.join(needed)}"
        raise BadInput(f"has no column {missing[0]}", path, hint)
    rows = []
    for cells in lines:
        if any(cell.strip() for cell in cells):
            whole = [*cells[: len(head) - 1], ",".join(cells[len(head) - 1 :])]
            padded = whole + [""] * (len(head) - len(whole))
            rows.append((lines.line_num, dict(zip(head, padded, strict=True))))
    return rows


def _sorted(intervals: list[Interval]) -> tuple[Interval, ...]:
    return tuple(sorted(intervals, key=lambda one: (one.onset_s, one.end_s)))
