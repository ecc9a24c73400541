"""CPU seconds of a fit, against scipy on the same problem, and of a whole reconstruction stage by stage.

Times are CPU seconds of the process, all threads together, so that other work on the machine counts less than
by the clock. The solvers take turns on each problem, so that both meet the same state of the machine; before
anything is timed everything ran once.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks import BenchmarkResult
from benchmarks.spine_synthetic import FIRST_SEED, true_landmarks
from spine.chain import standing_template
from spine.fit_options import FitOptions
from spine.lm import Solution, levenberg_marquardt, trust_region
from spine.observations import Observations
from spine.pipeline import reconstruct
from spine.problem import Problem
from spine.solve import fit_chain
from spine.surface import back_surface
from spine.synthetic import save_subject, scan_points, simulate_subject
from suite.progress import track
from suite.report.metric import Metric
from suite.report.table import Column, Table

PEOPLE, SCANS, TURNS = 15, 6, 3
NOISE_MM = 1.0
REACH_S = 0.3
_Result = TypeVar("_Result")


@dataclass
class Race:
    """CPU seconds and evaluations on each problem, the median of its turns, and energies reached."""

    seconds: list[float] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    converged: list[bool] = field(default_factory=list)

    def add(self, seconds: Sequence[float], found: Solution) -> None:
        self.seconds.append(float(np.median(seconds)))
        self.evaluations.append(found.iterations)
        self.energies.append(found.at.energy)
        self.converged.append(found.converged)


def run() -> BenchmarkResult:
    """Fits of 15 simulated people, reconstructions of 6 scans."""
    seeds = range(FIRST_SEED, FIRST_SEED + PEOPLE)
    problems = [observed(seed) for seed in track(seeds, "Simulating people")]
    fits, ours, scipys = raced(problems, TURNS)
    cold, stages = staged(seeds[:SCANS])
    ratio = np.array(scipys.seconds) / ours.seconds
    total = [sum(times.values()) for times in stages]
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    metrics = [
        Metric(
            "fit_cpu_s", float(np.median(fits)), "s", "lower", _middle(fits), f"below {REACH_S} s is asked"
        ),
        Metric("reconstruct_cpu_s", float(np.median(total)), "s", "lower", _middle(total), "file to indices"),
        Metric("speedup_vs_scipy", float(np.median(ratio)), "", "higher", _middle(ratio), "solver alone"),
    ]
    return BenchmarkResult(metrics, [_solvers(fits, ours, scipys, threads), _stages(cold, stages)])


def observed(seed: int) -> Observations:
    """What the back of a simulated person shows, with the true line given."""
    subject = simulate_subject(seed)
    scan = scan_points(subject, noise_mm=NOISE_MM, rng=np.random.default_rng(seed))
    surface = back_surface(scan.cloud.points, units="mm")
    return true_landmarks(subject, scan, surface)[1].observations()


def raced(problems: Sequence[Observations], turns: int) -> tuple[list[float], Race, Race]:
    """CPU seconds of fit_chain, and both solvers from the same start on the same energy, in turns."""
    fits: list[float] = []
    ours, scipys = Race(), Race()
    for number, seen in enumerate([problems[0], *problems]):
        template = standing_template(trunk_length_mm=seen.trunk_mm)
        problem = Problem(template, seen, FitOptions())
        rivals = (
            (lambda p=problem: levenberg_marquardt(p.evaluate, p.start)),
            (lambda p=problem: trust_region(p.evaluate, p.start)),
        )
        fit_s: list[float] = []
        rounds: list[list[tuple[float, Solution]]] = []
        for _ in range(turns):
            fit_s.append(timed(lambda t=template, o=seen: fit_chain(t, o))[0])
            rounds.append([timed(solve) for solve in rivals])
        if number:  # the first round only warms up
            fits.append(float(np.median(fit_s)))
            for race, found in zip((ours, scipys), zip(*rounds, strict=True), strict=True):
                race.add([seconds for seconds, _ in found], found[-1][1])
    return fits, ours, scipys


def staged(seeds: Sequence[int]) -> tuple[dict[str, float], list[dict[str, float]]]:
    """CPU seconds by stage of `reconstruct`: for the first scan in the process, and for every one after."""
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            subject = simulate_subject(seed)
            scan = scan_points(subject, noise_mm=NOISE_MM, rng=np.random.default_rng(seed))
            save_subject(subject, Path(folder) / str(seed), scan)
        for seed in [seeds[0], *seeds]:
            times: dict[str, float] = {}

            @contextmanager
            def clock(what: str, times: dict[str, float] = times) -> Iterator[None]:
                began = time.process_time()
                yield
                times[what] = time.process_time() - began

            whole, _ = timed(
                lambda s=seed, c=clock: reconstruct(Path(folder) / str(s) / "scan.ply", progress=c)
            )
            times["Checks"] = whole - sum(times.values())
            runs.append(times)
    return runs[0], runs[1:]


def timed(call: Callable[[], _Result]) -> tuple[float, _Result]:
    """CPU seconds, and the result."""
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


def _middle(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, (5, 95))
    return float(low), float(high)


def _solvers(fits: Sequence[float], ours: Race, scipys: Race, threads: str) -> Table:
    columns = ["", Column("CPU, median", "s"), Column("95 %", "s"), "evaluations", "converged"]
    columns += ["energy over the lower one"]
    lower = np.minimum(ours.energies, scipys.energies)
    rows: list[list] = [
        [
            "fit_chain, with posterior",
            float(np.median(fits)),
            float(np.percentile(fits, 95)),
            None,
            None,
            None,
        ]
    ]
    for name, race in (("Levenberg-Marquardt alone", ours), ("scipy least_squares, same Jacobian", scipys)):
        worst = float((np.array(race.energies) / lower - 1).max())
        share = f"{sum(race.converged)} of {len(race.converged)}"
        times = float(np.median(race.seconds)), float(np.percentile(race.seconds, 95))
        rows.append([name, *times, float(np.median(race.evaluations)), share, f"at most {worst:.1%}"])
    caption = f"{len(fits)} simulated people, {NOISE_MM} mm noise, true line given; OMP_NUM_THREADS {threads}"
    return Table(columns, rows, caption=caption)


def _stages(cold: dict[str, float], warm: Sequence[dict[str, float]]) -> Table:
    names = list(cold)
    columns = [
        "stage",
        Column("CPU, median", "s", 3),
        Column("most", "s", 3),
        Column("first in a process", "s", 3),
    ]
    rows = []
    for name in (*names, "all"):
        times = [sum(run.values()) if name == "all" else run[name] for run in warm]
        first = sum(cold.values()) if name == "all" else cold[name]
        rows.append([name, float(np.median(times)), float(np.max(times)), first])
    return Table(columns, rows, caption=f"reconstruct() of {len(warm)} scans of 50,000 points, automatic")
