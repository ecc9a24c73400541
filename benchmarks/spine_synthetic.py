"""Simulated people that nothing was trained on: from the points of a scan to vertebrae, against exact truth.

Each person is scanned at every noise (standard deviation along the line of sight, 30 % of its variance shared
by neighbouring points) and goes through the whole pipeline twice: landmarks and line found automatically, and
the true ones given as a person would edit them. Places are compared in the person's true body frame, by the
exact transform of the scanner; nothing is aligned to the truth. SPINE_SYNTHETIC_PEOPLE sets another number of
people, who are then scanned at the main noise only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from benchmarks import BenchmarkResult
from benchmarks._spine_errors import (
    COVERED,
    TRUNK,
    axial_errors_deg,
    centre_errors_mm,
    centred,
    chain_at_heights,
    correlation,
    guesses,
    in_sigmas,
    inside,
    line_errors_mm,
    mean_abs,
    over_people,
    rms,
    rms_3d,
)
from spine.chain import standing_template
from spine.config import SpineConfig
from spine.landmarks import Landmarks, find_landmarks
from spine.landmarks_file import GivenLandmarks, placed
from spine.measure import Indices, measure
from spine.measure.angles import axial_rotation_deg
from spine.reconstruction import vertebra_intervals
from spine.solve import SpineFit, fit_chain
from spine.surface import BackSurface, back_surface
from spine.synthetic import Scan, SimulatedSubject, scan_points, simulate_subject
from suite.errors import BadInput
from suite.geometry.rotations import se3_inverse, transform_points
from suite.progress import track
from suite.report.metric import Metric
from suite.report.table import Column, Table

FIRST_SEED = 7_000_000
"""Far from the people that models were trained on."""
PEOPLE = {0.5: 24, 1.0: 60, 2.0: 24, 3.5: 24}
"""How many people are scanned at each noise (mm); every noise has the same first ones."""
MAIN_NOISE_MM = 1.0
"""The noise that the keys belong to."""
INDICES = {
    "cobb": ("cobb_deg", "cobb_deg"),
    "kyphosis": ("kyphosis_t1_t12_deg", "kyphosis_deg"),
    "lordosis": ("lordosis_t12_s1_deg", "lordosis_deg"),
}
"""Main indices: key of `spine.measure` and attribute of the truth."""
QUANTITIES = ("x", "y", "z", "axial", *INDICES)
"""What `coverage_90` averages over."""

Figure = Callable[[Sequence["Person"]], float]
FIGURES: dict[str, tuple[str, Figure, str]] = {
    "lateral_rms_mm": ("mm", lambda people: rms([p.centre_mm[:, 0] for p in people]), "x of T1 ... L5"),
    "rms_3d_mm": ("mm", lambda people: rms_3d([p.centre_mm for p in people]), "centres of T1 ... L5"),
    "rms_3d_centred_mm": (
        "mm",
        lambda people: rms_3d([centred(p.centre_mm) for p in people]),
        "after removing every person's mean error",
    ),
    "axial_rms_deg": ("deg", lambda people: rms([p.axial_deg for p in people]), ""),
    "cobb_mae_deg": ("deg", lambda people: mean_abs([p.index_deg["cobb"] for p in people]), "not calibrated"),
    "kyphosis_mae_deg": ("deg", lambda people: mean_abs([p.index_deg["kyphosis"] for p in people]), "T1-T12"),
    "lordosis_mae_deg": ("deg", lambda people: mean_abs([p.index_deg["lordosis"] for p in people]), "T12-S1"),
    "line_rms_mm": ("mm", lambda people: rms(np.concatenate([p.line_mm for p in people])), "spinous line"),
}
"""Figures by key: unit, how it is computed, and a note."""


@dataclass(frozen=True, eq=False)
class Person:
    """What came out for one scan of one person; errors are found minus true, in mm and deg.

    `covered` and `sigmas` hold, for each of QUANTITIES, which 90 % intervals hold the truth and the errors in
    standard deviations. `at_height_mm` holds the errors (x, z) of lines of centres at the true heights and
    `cobb_at_height_deg` the Cobb error, by method.
    """

    line: str
    noise_mm: float
    centre_mm: Float[np.ndarray, "17 3"]
    axial_deg: Float[np.ndarray, " 17"]
    index_deg: dict[str, float]
    true_cobb_deg: float
    covered: dict[str, np.ndarray]
    sigmas: dict[str, np.ndarray]
    line_mm: Float[np.ndarray, " m"]
    landmark_y_mm: Float[np.ndarray, " 2"]
    at_height_mm: dict[str, Float[np.ndarray, "17 2"]]
    cobb_at_height_deg: dict[str, float]


def run() -> BenchmarkResult:
    """60 people at 1 mm, the first 24 of them at three other noises; about four minutes on one core."""
    asked = os.environ.get("SPINE_SYNTHETIC_PEOPLE")
    return summarised(*scanned({MAIN_NOISE_MM: int(asked)} if asked else PEOPLE))


def scanned(number: Mapping[float, int]) -> tuple[list[Person], list[str]]:
    """So many people at every noise (mm), with either line, and why scans were refused."""
    people, refused = [], []
    for k in track(range(max(number.values())), "Reconstructing simulated people"):
        seed, subject = FIRST_SEED + k, simulate_subject(FIRST_SEED + k)
        for noise_mm in (noise for noise, n in number.items() if k < n):
            rng = np.random.default_rng([seed, round(1000 * noise_mm)])
            scan = scan_points(subject, noise_mm=noise_mm, rng=rng)
            surface = back_surface(scan.cloud.points, units="mm")
            try:
                people.append(compared(subject, scan, "true", *true_landmarks(subject, scan, surface)))
                people.append(compared(subject, scan, "automatic", *find_landmarks(surface)))
            except BadInput as error:
                refused.append(f"{seed} at {noise_mm} mm: {error}")
    return people, refused


def true_landmarks(
    subject: SimulatedSubject, scan: Scan, surface: BackSurface
) -> tuple[BackSurface, Landmarks]:
    """The true line and landmarks, taken as those a person has edited."""
    T = surface.T_body_input @ scan.T_scan_body
    vp, base = transform_points(T, np.stack([subject.vp_mm, subject.base_mm]))
    left, right = transform_points(T, subject.dimples_mm)
    given = GivenLandmarks(vp, base, left, right, transform_points(T, subject.line_mm[::3]))
    return placed(given, surface, None, "edited", SpineConfig().landmarks)


def compared(
    subject: SimulatedSubject, scan: Scan, line: str, surface: BackSurface, landmarks: Landmarks
) -> Person:
    """Chain and indices from these landmarks, against the truth."""
    config, seen = SpineConfig(), landmarks.observations()
    fit = fit_chain(standing_template(trunk_length_mm=seen.trunk_mm), seen, config.fit)
    samples = fit.samples(config.measure.samples, np.random.default_rng(config.measure.seed))
    indices = measure(fit.T_body_vertebra, landmarks=landmarks, samples=samples)

    T_here_true = surface.T_body_input @ scan.T_scan_body  # from the true body frame to the surface's
    truth_here = T_here_true @ subject.T_body_vertebra
    in_true_frame = se3_inverse(T_here_true) @ fit.T_body_vertebra
    intervals = stated(subject, truth_here, fit, samples, indices)
    true_line = transform_points(T_here_true, subject.line_mm)
    ends = transform_points(T_here_true, np.stack([subject.vp_mm, subject.base_mm]))
    y = truth_here[TRUNK, 1, 3]
    lines = guesses(seen, config.fit)
    points = {"chain": chain_at_heights(fit.T_body_vertebra, y)} | {n: g.at(y) for n, g in lines.items()}
    cobb = {"chain": indices.number("cobb_deg")} | {n: g.cobb_deg(y[-1], y[0]) for n, g in lines.items()}
    return Person(
        line=line,
        noise_mm=scan.noise_mm,
        centre_mm=centre_errors_mm(in_true_frame, subject.T_body_vertebra),
        axial_deg=axial_errors_deg(in_true_frame, subject.T_body_vertebra),
        index_deg={name: float(intervals[name][1] - intervals[name][0]) for name in INDICES},
        true_cobb_deg=subject.cobb_deg,
        covered={name: inside(true, low, high) for name, (true, _, low, high) in intervals.items()},
        sigmas={name: in_sigmas(*interval) for name, interval in intervals.items()},
        line_mm=line_errors_mm(landmarks.line.y_mm, landmarks.line.x_mm, true_line),
        landmark_y_mm=np.array([landmarks.vp_mm[1], landmarks.base_mm[1]]) - ends[:, 1],
        at_height_mm={n: (p - truth_here[TRUNK, :3, 3])[:, [0, 2]] for n, p in points.items()},
        cobb_at_height_deg={n: value - subject.cobb_deg for n, value in cobb.items()},
    )


def stated(
    subject: SimulatedSubject,
    truth_here: Float[np.ndarray, "25 4 4"],
    fit: SpineFit,
    samples: Float[np.ndarray, "m 25 4 4"],
    indices: Indices,
) -> dict[str, tuple[np.ndarray, ...]]:
    """Truth, value and both ends of the 90 % interval of each of QUANTITIES, as a user is told them."""
    spread, T = vertebra_intervals(fit.T_body_vertebra, samples), fit.T_body_vertebra
    found: dict[str, tuple[np.ndarray, ...]] = {
        name: (truth_here[TRUNK, k, 3], T[TRUNK, k, 3], *spread.centre_mm[:, TRUNK, k])
        for k, name in enumerate("xyz")
    }
    axial = axial_rotation_deg(truth_here), axial_rotation_deg(T), *spread.axial_deg
    found["axial"] = tuple(values[TRUNK] for values in axial)
    for name, (key, attribute) in INDICES.items():
        interval = indices[key].interval or (np.nan, np.nan)
        found[name] = tuple(map(np.asarray, (getattr(subject, attribute), indices.number(key), *interval)))
    return found


def summarised(people: Sequence[Person], refused: Sequence[str]) -> BenchmarkResult:
    """Keys at MAIN_NOISE_MM (or the only noise there is) with the automatic line, and the tables."""
    noises = sorted({p.noise_mm for p in people})
    main = MAIN_NOISE_MM if MAIN_NOISE_MM in noises else noises[0]
    keyed = [p for p in people if p.noise_mm == main and p.line == "automatic"]
    given = [p for p in people if p.noise_mm == main and p.line == "true"]
    metrics = [
        Metric(key, figure(keyed), unit, "lower", over_people(keyed, figure), note)
        for key, (unit, figure, note) in FIGURES.items()
    ]
    cover, note = coverage(keyed), f"aim {COVERED}: mean over {', '.join(QUANTITIES)}"
    metrics.append(Metric("coverage_90", cover, "", None, over_people(keyed, coverage), note))
    metrics.append(Metric("people", len(keyed), "", None, note=f"at {main} mm; {len(refused)} scans refused"))
    rows = [(noise, line) for noise in noises for line in ("automatic", "true")]
    groups = [(n, line, [p for p in people if (p.noise_mm, p.line) == (n, line)]) for n, line in rows]
    return BenchmarkResult(
        metrics,
        [
            _by_noise([group for group in groups if group[2]], refused),
            _against_guesses({"automatic": keyed, "true": given}, main),
            _coverages([group for group in groups if group[2]]),
        ],
    )


def coverage(people: Sequence[Person]) -> float:
    """Share of 90 % intervals that hold the truth, every quantity counting the same."""
    return float(np.mean([np.mean([p.covered[name] for p in people]) for name in QUANTITIES]))


def _by_noise(groups: Sequence[tuple[float, str, list[Person]]], refused: Sequence[str]) -> Table:
    titles = ("lateral", "3D", "3D centred", "axial", "Cobb", "kyphosis", "lordosis", "line")
    units = [unit for unit, _, _ in FIGURES.values()]
    columns = [Column("noise", "mm"), "line", "n", *map(Column, titles, units)]
    columns += [Column("bias of Cobb", "deg"), Column("height of VP", "mm"), Column("of base", "mm")]
    rows = []
    for noise, line, people in groups:
        heights = np.stack([p.landmark_y_mm for p in people])
        figures = [figure(people) for _, figure, _ in FIGURES.values()]
        bias = float(np.mean([p.index_deg["cobb"] for p in people]))
        rows.append([noise, line, len(people), *figures, bias, *map(rms, heights.T)])
    caption = "Against exact truth: places and line RMS, angles mean absolute (axial RMS), heights RMS"
    if refused:
        caption += f"; {len(refused)} scans refused, the first: {refused[0]}"
    return Table(columns, rows, caption=caption)


def _against_guesses(by_line: dict[str, list[Person]], noise_mm: float) -> Table:
    columns = ["centres from", "line", *(Column(t, "mm") for t in ("lateral", "depth", "lateral centred"))]
    columns += [Column("Cobb MAE", "deg"), Column("bias", "deg"), "r"]
    rows = []
    for line, people in by_line.items():
        for name in people[0].at_height_mm if people else ():
            errors = np.stack([p.at_height_mm[name] for p in people])
            cobb = np.array([p.cobb_at_height_deg[name] for p in people])
            truth = np.array([p.true_cobb_deg for p in people])
            lateral = rms([e - e.mean() for e in errors[:, :, 0]])
            row = [name, line, rms(errors[:, :, 0]), rms(errors[:, :, 1]), lateral, mean_abs(cobb)]
            rows.append([*row, float(cobb.mean()), correlation(truth, truth + cobb)])
    caption = f"Lines of centres at the true heights of T1 ... L5, {noise_mm} mm noise (RMS)"
    return Table(columns, rows, caption=caption)


def _coverages(groups: Sequence[tuple[float, str, list[Person]]]) -> Table:
    names = [f"{name}{suffix}" for name in QUANTITIES for suffix in ("", " z")]
    columns = [Column("noise", "mm"), "line", *(Column(name, decimals=2) for name in ("mean", *names))]
    rows = []
    for noise, line, people in groups:
        cells = [noise, line, coverage(people)]
        for name in QUANTITIES:
            cells.append(float(np.mean([p.covered[name] for p in people])))
            cells.append(rms([p.sigmas[name] for p in people]))
        rows.append(cells)
    caption = (
        f"Share of 90 % intervals that hold the truth (aim {COVERED}); z: RMS error in their sigmas (aim 1)"
    )
    return Table(columns, rows, caption=caption)
