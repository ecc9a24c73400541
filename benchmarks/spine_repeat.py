"""The same simulated people recorded ten times: how much every index changes though nothing has changed.

For every capture the camera is put up anew (distance, turn), its errors are drawn anew, and the person sways
and breathes; the spine stays as it is. So the smallest detectable change, 1.96 sqrt(2) times the standard
deviation within a person, is that of camera and method: another posture on another day comes on top.
`python -m benchmarks.spine_repeat` also writes it to where `spine fit` and `spine compare` find it.
SPINE_REPEAT_PEOPLE sets another number of people.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

import spine
from benchmarks import BenchmarkResult
from benchmarks._spine_errors import over_people
from benchmarks.spine_capture import DISTANCE_M, FRAMES, QUIET, capture
from spine.measure import Indices
from spine.pipeline import reconstruct
from spine.repeatability import SHIPPED, Repeatability, smallest_detectable_change, write_repeatability
from spine.report.summary import MAIN
from spine.synthetic import D415, simulate_subject
from suite.errors import BadInput
from suite.progress import track
from suite.report.metric import Metric
from suite.report.table import Cell, Column, Table

FIRST_SEED = 7_300_000
"""Far from the people that anything was trained or tuned on."""
PEOPLE = int(os.environ.get("SPINE_REPEAT_PEOPLE", "4"))
CAPTURES = 10
KEYS = ("cobb_deg", "kyphosis_t1_t12_deg", "lordosis_l1_s1_deg", "rotation_apical_deg", "lateral_rms_mm")
_OFTEN = 0.8

Repeats = list[Indices]


def run() -> BenchmarkResult:
    """Four people, ten captures each; about ten minutes on one core."""
    return summarised(*repeated())


def repeated() -> tuple[list[Repeats], list[str]]:
    """The indices of every capture of every person, and why captures were refused."""
    people, refused = [], []
    for k in range(PEOPLE):
        subject, captures = simulate_subject(FIRST_SEED + k), []
        for repeat in track(range(CAPTURES), f"Recording person {k + 1} of {PEOPLE}"):
            with tempfile.TemporaryDirectory() as folder:
                captured = capture(subject, D415, Path(folder), 1000 * (k + 1) + repeat, QUIET)
                try:
                    captures.append(reconstruct(captured.recording.folder).indices)
                except BadInput as error:
                    refused.append(f"person {k + 1}, capture {repeat + 1}: {error}")
        people.append(captures)
    return people, refused


def values_of(people: Sequence[Repeats], key: str) -> list[list[float]]:
    """One index, person by person, where it was measured; empty where it was in few captures only."""
    values = [[v for indices in one if (v := indices[key].value) is not None] for one in people]
    wanted = _OFTEN * sum(len(one) for one in people)
    return values if sum(len(one) for one in values) >= wanted else []


def detectable(people: Sequence[Repeats], key: str) -> float:
    """Smallest detectable change of one index; NaN where it was measured in few captures only."""
    values = values_of(people, key)
    if not any(len(one) > 1 for one in values):
        return float("nan")
    repeats = [np.array(one) for one in values]
    return smallest_detectable_change(repeats, azimuth=key.endswith("azimuth_deg"))


def table_of(people: Sequence[Repeats], refused: Sequence[str]) -> Repeatability:
    """What `spine fit` and `spine compare` read."""
    found = {key: detectable(people, key) for key in people[0][0]}
    n = sum(len(one) for one in people)
    text = (
        f"{n} simulated recordings of {len(people)} people ({D415.name}-like camera put up anew, {FRAMES} "
        f"frames, {DISTANCE_M} m), posture unchanged, landmarks automatic; 1.96 sqrt(2) SD within a person"
    )
    return Repeatability({key: value for key, value in found.items() if value == value}, text)


def summarised(people: Sequence[Repeats], refused: Sequence[str]) -> BenchmarkResult:
    """The smallest detectable changes: the main ones as figures, all as a table."""
    metrics = []
    for key in KEYS:
        unit = people[0][0][key].unit

        def figure(chosen: Sequence[Repeats], key: str = key) -> float:
            return detectable(chosen, key)

        metrics.append(Metric(f"sdc_{key}", figure(people), unit, "lower", over_people(people, figure)))
    note = f"{len(people)} people, {len(refused)} captures refused"
    metrics.append(Metric("captures", sum(len(one) for one in people), "", None, note=note))
    rows: list[list[Cell]] = []
    for key in sorted(people[0][0], key=lambda key: key not in MAIN):
        sdc = detectable(people, key)
        if sdc == sdc:
            index = people[0][0][key]
            rows.append([index.title, index.unit, sdc / 1.96 / 2**0.5, sdc])
    columns = ["index", "unit", Column("SD within a person", decimals=2)]
    columns.append(Column("smallest detectable change", decimals=2))
    caption = f"{len(people)} people, {CAPTURES} captures each, camera put up anew; main indices first"
    if refused:
        caption += f"; refused: {refused[0]}"
    return BenchmarkResult(metrics, [Table(columns, rows, caption)])


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(spine.__file__).parent / "data" / SHIPPED,
    help="File to write.  [default: that of the package]",
)
def command(out: Path) -> None:
    """Measure, print, and write the table of smallest detectable changes."""
    from benchmarks.__main__ import show

    people, refused = repeated()
    show("spine_repeat", summarised(people, refused))
    write_repeatability(out, table_of(people, refused))


if __name__ == "__main__":
    command()
