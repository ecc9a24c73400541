"""What a fit leaves in its run folder: result.json, tables, landmarks and 3D models.

result.json (format "spine-result", version 1) holds lengths in mm and angles in deg, all in the body frame:

    frame          T_body_input (4 x 4) maps the file's points, times mm_per_unit, into the body frame
    vertebrae      25, C1 ... L5, S1: T_body_vertebra (4 x 4), coordinates and angles with 90 % intervals,
                   and `seen`: the skin behind the vertebra took part (else it follows from others)
    indices        by key: value, unit, interval, norm (usual band), sdc, definition, source, note
    curves         coronal curves, the primary one first
    vertebra_table C7 ... S1: the columns of vertebrae.csv
    landmarks      VP, base, dimples (or null), the spinous line with sigma and surface rotation, confidence
    fit            convergence, personal factors, and for each term of the energy its cost and RMS in sigma
    quality        verdict and checks (ok, warn, bad), of a recording its capture, notes, timings
    about          what needs a word of explanation, so that the file explains itself

Readers should refuse another `version`; keys may be added within one.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from spine.anatomy import LEVELS
from spine.measure.angles import axial_rotation_deg, coronal_tilt_deg, sagittal_tilt_deg
from spine.reconstruction import Reconstruction
from spine.skin_mesh import SKIN_RGB, skin_mesh
from spine.vertebra import vertebra_mesh
from suite.files import atomic_write
from suite.geometry.mesh import Mesh
from suite.report.metric import Metric
from suite.run import Run

if TYPE_CHECKING:
    from spine.landmarks import Landmarks

FORMAT, VERSION = "spine-result", 1
RESULT, INDICES, VERTEBRAE = "result.json", "indices.csv", "vertebrae.csv"
LANDMARKS, SPINE, SKIN = "landmarks.json", "spine.glb", "skin.glb"
M_PER_MM = 0.001
REGION_RGB = {"C": (150, 178, 205), "T": (232, 218, 188), "L": (205, 176, 140), "S": (176, 146, 126)}
"""Colours of the vertebrae by region."""
_ABOUT = {
    "frame": "body frame: x right, y up, z to the back ; origin: the base mid-point on the skin",
    "interval": "90 % posterior interval, 5th to 95th percentile, of the model given this scan",
    "vertebrae": "centre of the body (S1: sacral end plate); positive are tilts with the right side up "
    "(coronal), leaning back (sagittal), and the spinous process to the right (axial)",
    "seen": "false: no skin behind this vertebra took part; it follows from its neighbours and the template",
    "depth": "how far the spine lies below the skin is known to about 7-8 mm only",
    "use": "assistive; not a medical device; does not replace radiographs",
}


def write_result(run: Run, result: Reconstruction, most_skin_vertices: int = 20_000) -> None:
    """Write every file but the report into the run's folder, each whole or not at all."""
    from spine.landmarks_file import write_landmarks
    from suite.geometry.mesh_io import write_glb

    with atomic_write(run.path(RESULT), "w") as out:
        json.dump(_finite(result_dict(result)), out, indent=1, allow_nan=False, ensure_ascii=False)
        out.write("\n")
    for name, text in (
        (INDICES, result.indices.to_csv()),
        (VERTEBRAE, result.indices.vertebrae_csv()),
    ):
        with atomic_write(run.path(name), "w") as out:
            out.write(text)
    write_landmarks(run.path(LANDMARKS), result.landmarks, result.surface)
    write_glb(run.path(SPINE), spine_meshes(result), M_PER_MM)
    skin = skin_mesh(result.surface, most_skin_vertices, SKIN_RGB)
    write_glb(run.path(SKIN), [skin], M_PER_MM, [0.45])
    run.add_metrics(metrics(result))


def metrics(result: Reconstruction) -> list[Metric]:
    """The indices that were measured, as figures of the run; none has a better direction."""
    return [
        Metric(index.key, index.value, index.unit, None, index.interval)
        for index in result.indices.values()
        if index.value is not None
    ]


def spine_meshes(result: Reconstruction) -> list[Mesh]:
    """The posed vertebrae, body frame, mm: one mesh each, named by level, coloured by region."""
    size = result.template.size * math.exp(result.fit.pose.log_scale)
    return posed_vertebrae(result.fit.T_body_vertebra, size)


def posed_vertebrae(T_body_vertebra: np.ndarray, size: float) -> list[Mesh]:
    """The same for any chain; `size` is the ratio to the vertebrae of `spine.anatomy`."""
    scale = np.diag([size, size, size, 1.0])
    return [
        vertebra_mesh(level).transformed(T_body_vertebra[i] @ scale).with_color(REGION_RGB[level[0]])
        for i, level in enumerate(LEVELS)
    ]


def result_dict(result: Reconstruction) -> dict[str, Any]:
    """The content of result.json."""
    fit, surface, measured = result.fit, result.surface, result.indices.to_dict()
    return {
        "format": FORMAT,
        "version": VERSION,
        "software": _software(),
        "about": _ABOUT,
        "frame": {
            "name": "body",
            "unit": "mm",
            "T_body_input": surface.T_body_input.tolist(),
            "mm_per_unit": surface.mm_per_unit,
            "gravity_known": surface.gravity_known,
        },
        "levels": list(LEVELS),
        "vertebrae": _vertebrae(result),
        "indices": measured["indices"],
        "curves": measured["curves"],
        "vertebra_table": measured["vertebrae"],
        "landmarks": landmarks_dict(result.landmarks),
        "fit": {
            "converged": fit.converged,
            "iterations": fit.iterations,
            "solver": fit.solver,
            "message": fit.message,
            "cpu_s": round(fit.cpu_s, 4),
            "energy": fit.energy,
            "trunk_mm": fit.observations.trunk_mm,
            "scale": math.exp(fit.pose.log_scale) * result.template.size,
            "skin_factor": fit.skin_factor,
            "line_levels": list(fit.line_levels),
            "terms": [
                {"name": t.name, "cost": t.cost, "rms_sigma": t.rms_sigma, "residuals": len(t.residuals)}
                for t in fit.cost_terms
            ],
        },
        "quality": {
            "verdict": result.verdict,
            "checks": [check.to_dict() for check in result.flags],
            "noise_mm": surface.noise_mm,
            "coverage": surface.coverage,
            "capture": None if surface.capture is None else asdict(surface.capture),
            "notes": list(result.notes),
            "timings_s": dict(result.timings_s),
        },
    }


def landmarks_dict(landmarks: Landmarks) -> dict[str, Any]:
    """Landmarks and line in the body frame; an unknown point is null."""

    def point(p: np.ndarray | None) -> list[float] | None:
        return None if p is None else [float(v) for v in p]

    line = landmarks.line
    return {
        "source": landmarks.source,
        "vp_mm": point(landmarks.vp_mm),
        "base_mm": point(landmarks.base_mm),
        "vp_sigma_mm": landmarks.vp_sigma_mm,
        "base_sigma_mm": landmarks.base_sigma_mm,
        "dimple_left_mm": point(landmarks.dimple_left_mm),
        "dimple_right_mm": point(landmarks.dimple_right_mm),
        "confidence": {key: float(value) for key, value in landmarks.confidence.items()},
        "line": {
            "y_mm": line.y_mm.tolist(),
            "x_mm": line.x_mm.tolist(),
            "z_mm": line.z_mm.tolist(),
            "sigma_mm": line.sigma_mm.tolist(),
            "surface_rotation_deg": np.degrees(line.rotation_rad).tolist(),
            "surface_rotation_sigma_deg": np.degrees(line.rotation_sigma_rad).tolist(),
        },
    }


def _vertebrae(result: Reconstruction) -> list[dict[str, Any]]:
    T, spread = result.fit.T_body_vertebra, result.intervals
    angles = {
        "coronal_deg": (coronal_tilt_deg(T), spread.coronal_deg),
        "sagittal_deg": (sagittal_tilt_deg(T), spread.sagittal_deg),
        "axial_deg": (axial_rotation_deg(T), spread.axial_deg),
    }
    rows: list[dict[str, Any]] = []
    for i, level in enumerate(LEVELS):
        row: dict[str, Any] = {
            "level": level,
            "seen": level in result.fit.line_levels,
            "T_body_vertebra": T[i].tolist(),
        }
        for axis, name in enumerate("xyz"):
            row[f"{name}_mm"] = _value(T[i, axis, 3], spread.centre_mm[:, i, axis])
        row |= {key: _value(value[i], bounds[:, i]) for key, (value, bounds) in angles.items()}
        rows.append(row)
    return rows


def _value(value: float, bounds: np.ndarray) -> dict[str, Any]:
    return {"value": float(value), "interval": [float(bounds[0]), float(bounds[1])]}


def _software() -> dict[str, str]:
    try:
        return {"vision-suite": version("vision-suite")}
    except PackageNotFoundError:
        return {"vision-suite": "not installed"}


def _finite(value: Any) -> Any:
    """JSON has no NaN: what was not measured is null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
