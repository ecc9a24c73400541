"""The automatic spinous line: the model trained on simulated backs beside one trained on patients, nested.

For each of the 15 people of `spine/ais_backs` the simulated model is trained on with the lines of the other
14 (their backs from shifted landmarks, as many times as VARIANTS), and finds the line of the one left out.
Both models then go the same way: line, fit, nested tuning and calibration of `benchmarks.spine_ais`. Models
trained on these people may not be shipped with the suite (CC BY-NC-SA 4.0), so the folds are kept in a
temporary folder only. Needs PyTorch (extra `train`); about ten minutes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks import BenchmarkResult
from benchmarks._ais import Patient, load_patients
from benchmarks.spine_ais import Case, agreement, all_fits, calibrated_without, line_rms_mm, nested_tuning
from spine.landmark_model import load_landmark_model, save_landmark_model
from spine.landmark_training import LANDMARK_SD_MM, train
from spine.landmarks import LandmarkOptions, aligned, find_landmarks, on_skin
from spine.spinous_line import ROWS_U, TRUNK_MM, LineModel, canonical_map, chord
from spine.surface import BackSurface, load_surface
from suite.geometry.rotations import transform_points
from suite.progress import track
from suite.report.metric import Metric
from suite.report.table import Column, Table

VARIANTS, MEMBERS, STEPS, LEARNING_RATE = 10, 2, 160, 4e-4

Pairs = tuple[Float[np.ndarray, "v 84 81"], Float[np.ndarray, "v 84"]]


def run(data: Callable[[str], Path]) -> BenchmarkResult:
    """Line error and Cobb angle of both models."""
    patients = load_patients(data("spine/ais_backs"))
    clinical = np.array([p.cobb_deg for p in patients])
    surfaces = [load_surface(p.scan) for p in patients]
    simulated = [Case(p, *find_landmarks(s)) for p, s in zip(patients, surfaces, strict=True)]
    trained = _left_out(patients, surfaces)
    rows, metrics = [], []
    for name, key, cases in (
        ("trained on simulated backs (shipped)", "simulated", simulated),
        ("trained on, with the other 14 people", "patients", trained),
    ):
        line = np.array([line_rms_mm(case) for case in cases])
        fits = all_fits(cases, key)
        nested = [nested_tuning(fits, clinical, k) for k in range(len(cases))]
        calibrated = np.array([calibrated_without(k, *fit, clinical) for k, fit in enumerate(nested)])
        mae, _, _, r = agreement(calibrated, clinical)
        rows.append([name, float(line.mean()), float(np.median(line)), float(line.max()), mae, r])
        metrics += [
            Metric(f"line_rms_mm_{key}", float(line.mean()), "mm", "lower"),
            Metric(f"cobb_mae_deg_{key}", mae, "deg", "lower"),
        ]
    columns = [
        Column("model"),
        Column("line RMS", "mm", 2),
        Column("median", "mm", 2),
        Column("worst", "mm", 1),
        Column("Cobb MAE, calibrated", "deg", 2),
        Column("r", "", 3),
    ]
    return BenchmarkResult(metrics, [Table(columns, rows, f"{len(patients)} people, automatic")])


def _left_out(patients: Sequence[Patient], surfaces: Sequence[BackSurface]) -> list[Case]:
    """Everybody with the line of a model that was trained on all the others."""
    rng = np.random.default_rng(0)
    pairs = [_training_pairs(p, s, rng) for p, s in zip(patients, surfaces, strict=True)]
    model = load_landmark_model()
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for k in track(range(len(patients)), "Training without one"):
            backs, lines = (
                np.concatenate([pair[i] for j, pair in enumerate(pairs) if j != k]) for i in (0, 1)
            )
            members = tuple(
                train(backs, lines, seed=m, steps=STEPS, learning_rate=LEARNING_RATE, start=dict(start))
                for m, start in enumerate(model.line.members[:MEMBERS])
            )
            file = Path(folder) / f"without-{patients[k].number}.safetensors"
            save_landmark_model(
                file, replace(model, line=LineModel(members, model.line.sigma_mm), name="fold")
            )
            cases.append(Case(patients[k], *find_landmarks(surfaces[k], LandmarkOptions(model=str(file)))))
    return cases


def _training_pairs(patient: Patient, surface: BackSurface, rng: np.random.Generator) -> Pairs:
    """Canonical maps of one back from shifted landmarks, with the operator's line on each."""
    backs, lines = [], []
    for _ in range(VARIANTS):
        height = surface.height()
        line = transform_points(surface.T_body_input, patient.spinous_line)
        marks = transform_points(surface.T_body_input, np.vstack([patient.vp_marker, patient.base_markers]))
        ends = []
        for name, y in (("vp", marks[0, 1]), ("base", marks[1:, 1].mean())):
            dx, dy = rng.normal(size=2) * LANDMARK_SD_MM[name]
            ends.append(on_skin(height, float(np.interp(y, *_by_height(line))) + dx, float(y + dy)))
        turned, vp, base = aligned(surface, *ends)
        drawn = transform_points(turned.T_body_input, patient.spinous_line)
        y = base[1] + ROWS_U * (vp[1] - base[1])
        backs.append(canonical_map(turned.height(), vp[:2], base[:2]))
        across = np.interp(y, *_by_height(drawn)) - chord(ROWS_U, vp[:2], base[:2])
        lines.append(across * TRUNK_MM / (vp[1] - base[1]))
    return np.stack(backs), np.stack(lines).astype(np.float32)


def _by_height(line: Float[np.ndarray, "m 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Heights, rising, and x of a line."""
    order = np.argsort(line[:, 1])
    return line[order, 1], line[order, 0]
