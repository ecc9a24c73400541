"""Spine shape learned from CT: spacings, pedicle points and shape modes, as one table.

    python -m spine.shape CT_SPINES [--out spine/data/shape_modes.json]

reads the body centroids and pedicle points of CT spines (`CT_SPINES` is the folder of the VID vertebra
identification data set: Burgin, Prevost, Stollenga, "Robust vertebra identification using simultaneous node
and edge predicting graph neural networks", 2023; scans of VerSe, CT Colonography and Pancreas-CT).
Everything is learned from its Training part; the Validation part, less persons who are in Training too,
only tests the modes.

A curve here is the centroids T1 ... L5, chord on the y axis, yaw such that the pedicle points lie left and
right, and arc length 1. Curves enter with their mirror images, so that each mode is purely lateral or purely
sagittal. The people lay on their back or belly: the mean has about 13 deg less lordosis than one who stands.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from spine.anatomy import LEVELS
from suite.errors import BadInput

CURVE_LEVELS = LEVELS[LEVELS.index("T1") : LEVELS.index("L5") + 1]
_TABLE = "shape_modes.json"
_N_MODES = 12
_PEDICLE_REACH_MM = 45.0  # a pedicle point farther from every centroid belongs to a vertebra without one


@dataclass(frozen=True)
class CtSpine:
    """Points of one spine, mm, x right, y cranial, z posterior; levels cranial to caudal.

    A pedicle point that was not marked is NaN. `variant` says that the spine has an L6 or T13, or skips a
    level.
    """

    levels: tuple[str, ...]
    body_mm: Float[np.ndarray, "n 3"]
    left_mm: Float[np.ndarray, "n 3"]
    right_mm: Float[np.ndarray, "n 3"]
    variant: bool = False

    def points(self, levels: tuple[str, ...]) -> Float[np.ndarray, "k 3"] | None:
        """Centroids of the given levels, or None when one is missing."""
        if not set(levels) <= set(self.levels):
            return None
        return self.body_mm[[self.levels.index(level) for level in levels]]


@dataclass(frozen=True)
class ShapeModes:
    """Principal components of centroid curves: `curve = mean + sum_k coefficient_k sd_k component_k`.

    Coefficients are in standard deviations; lengths in units of the arc T1-L5, whose median is `arc_mm`.
    `lateral[k]` tells a mode that only moves x from one that only moves y and z.
    """

    mean: Float[np.ndarray, "17 3"]
    components: Float[np.ndarray, "modes 17 3"]
    sd: Float[np.ndarray, " modes"]
    explained: Float[np.ndarray, " modes"]
    arc_mm: float
    arc_sd_mm: float

    @property
    def lateral(self) -> np.ndarray:
        return np.abs(self.components[:, :, 0]).sum(1) > np.abs(self.components[:, :, 1:]).sum((1, 2))

    def curve(self, coefficients: np.ndarray) -> Float[np.ndarray, "17 3"]:
        """The curve of the first k modes' coefficients (k, in SD). Raises BadInput for anything else."""
        c = np.asarray(coefficients, np.float64)
        if c.ndim != 1 or len(c) > len(self.sd) or not np.isfinite(c).all():
            raise BadInput(
                f"shape coefficients must be at most {len(self.sd)} finite numbers, got shape {c.shape}",
                where="ShapeModes.curve",
            )
        return self.mean + np.tensordot(c * self.sd[: len(c)], self.components[: len(c)], 1)

    def coefficients(self, curve: Float[np.ndarray, "17 3"]) -> Float[np.ndarray, " modes"]:
        """Least-squares coefficients (SD units) of a curve normalised by `normalised_curve`."""
        return np.tensordot(self.components, np.asarray(curve) - self.mean, 2) / self.sd


def read_ct_spine(path: str | Path) -> CtSpine:
    """Read one key-point file (DICOM world, LPS, mm) into x right, y cranial, z posterior.

    Left and right points carry no level in the file: each goes to the body it is nearest to, one to one.
    Raises BadInput for a file that is not such a list, holds fewer than two known levels or a level twice,
    or whose vertebrae do not run down the scanner's axis.
    """
    path = Path(path)
    points = _key_points(path)
    bodies = {level: p for level, p in points["body"] if level in LEVELS}
    named = [level for level, _ in points["body"]]
    if len(named) != len(set(named)):
        raise BadInput("a level is marked twice", where=path)
    levels = tuple(level for level in LEVELS if level in bodies)
    if len(levels) < 2:
        raise BadInput(
            f"{len(levels)} vertebral bodies with a known level, at least 2 are needed", where=path
        )
    body = np.stack([bodies[level] for level in levels])
    axis = body[0] - body[-1]
    if axis[1] < 0.7 * np.linalg.norm(axis):
        raise BadInput("the vertebrae do not run along the scanner's axis", where=path)
    index = [LEVELS.index(level) for level in levels]
    variant = bool((np.diff(index) > 1).any() or set(named) - set(LEVELS))
    left, right = (_assign(body, points[side]) for side in ("left", "right"))
    return CtSpine(levels, body, left, right, variant)


def normalised_curve(spine: CtSpine) -> tuple[Float[np.ndarray, "17 3"], float] | None:
    """The spine's curve T1-L5 and its arc length in mm; None when levels are missing."""
    c = spine.points(CURVE_LEVELS)
    if c is None:
        return None
    up = (c[0] - c[-1]) / np.linalg.norm(c[0] - c[-1])
    across = np.nanmedian(spine.right_mm - spine.left_mm, axis=0)
    right = across - up * (across @ up)
    right /= np.linalg.norm(right)
    frame = np.stack([right, up, np.cross(right, up)], axis=1)
    arc = float(np.linalg.norm(np.diff(c, axis=0), axis=1).sum())
    return (c - c.mean(0)) @ frame / arc, arc


@lru_cache(maxsize=1)
def shape_table() -> dict[str, Any]:
    """The table as shipped: spacings, pedicle points, modes, evaluation, provenance and licence."""
    return json.loads((files("spine") / "data" / _TABLE).read_text("utf-8"))


@lru_cache(maxsize=1)
def load_shape_modes() -> ShapeModes:
    """The shape modes of the shipped table (CC BY-SA 4.0, see spine/data/SHAPE_MODES.md)."""
    table, modes = shape_table(), shape_table()["modes"]
    arrays = {key: np.array(modes[key], np.float64) for key in ("mean", "components", "sd", "explained")}
    return ShapeModes(**arrays, arc_mm=table["arc_mm"]["median"], arc_sd_mm=table["arc_mm"]["sd"])


def sample_shape(rng: np.random.Generator, modes: int = 10) -> Float[np.ndarray, " modes"]:
    """Coefficients (SD units) of one person of the CT population, as standard normals."""
    return rng.standard_normal(modes)


def learn_modes(
    curves: Float[np.ndarray, "n 17 3"], n_modes: int = _N_MODES
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, components, SDs and shares of variance of curves and their mirror images."""
    both = np.concatenate([curves, curves * [-1, 1, 1]])
    mean = both.mean(0)
    _, s, vt = np.linalg.svd((both - mean).reshape(len(both), -1), full_matrices=False)
    components = vt[:n_modes].reshape(-1, *mean.shape)
    # A sign that does not depend on the solver: the largest entry is positive.
    flat = components.reshape(len(components), -1)
    largest = np.take_along_axis(flat, np.abs(flat).argmax(1)[:, None], axis=1)
    components = components * np.sign(largest)[..., None]
    variance = s**2 / (len(both) - 2)
    return mean, components, np.sqrt(variance[:n_modes]), variance[:n_modes] / variance.sum()


def reconstruction_rms(
    curve: Float[np.ndarray, "17 3"], mean: np.ndarray, components: np.ndarray, modes: int
) -> float:
    """RMS distance per vertebra between a curve and its projection on the first modes, in its own unit."""
    d = np.ravel(curve - mean)
    basis = components.reshape(len(components), -1)[:modes]
    return float(np.sqrt(((d - (basis @ d) @ basis) ** 2).sum() / len(curve)))


def _key_points(path: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    points: dict[str, list[tuple[str, np.ndarray]]] = {"body": [], "left": [], "right": []}
    try:
        for item in json.loads(path.read_text("utf-8")):
            x, y, z = (float(v) for v in item["coordinates"]["world_space"])
            if not np.isfinite([x, y, z]).all():
                raise ValueError("not finite")
            kind = item["type"]
            level = kind["spine_level"] if kind["keypoint_type"] == "body" else ""
            points[kind["keypoint_type"]].append((level, np.array([-x, z, y])))
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        hint = "a list of {coordinates: {world_space}, type: {keypoint_type, spine_level}} is expected"
        raise BadInput(f"not a key-point file ({type(error).__name__}: {error})", path, hint) from error
    return points


def _assign(body: np.ndarray, points: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """For each body the point that is nearest to it, one to one; NaN where there is none."""
    found = np.full(body.shape, np.nan)
    if points:
        p = np.stack([xyz for _, xyz in points])
        distance = np.linalg.norm(body[:, None] - p[None], axis=-1)
        for i, j in zip(*linear_sum_assignment(distance), strict=True):
            if distance[i, j] < _PEDICLE_REACH_MM:
                found[i] = p[j]
    return found


def build_table(folder: Path) -> dict[str, Any]:
    """The whole table from the data set's folder. Raises BadInput when it is not that data set."""
    training, refused = _read_split(folder, "Training")
    validation, _ = _read_split(folder, "Validation")
    validation = {person: spines for person, spines in validation.items() if person not in training}
    spacing, bend, pedicle = _level_statistics([s for spines in training.values() for s in spines[:1]])
    curves, arcs = _curves(training)
    mean, components, sd, explained = learn_modes(curves)
    test_curves, test_arcs = _curves(validation)
    return {
        "what": "Shape of the spine of adults lying in a CT scanner; mm, deg; one scan per person",
        "licence": "CC BY-SA 4.0",
        "attribution": "Derived from the VID vertebra identification data set, (c) ImFusion GmbH, V. Burgin, "
        "R. Prevost, M. F. Stollenga, CC BY-SA 4.0",
        "source": {
            "repository": "https://github.com/ImFusionGmbH/VID-vertebra-identification-dataset",
            "commit": "f19fd3c6965086d932789915a834f96d5c8768af",
            "part": "KeypointGroundTruthNoSacrum/Training (Validation for the evaluation only)",
        },
        "command": "python -m spine.shape CT_SPINES",
        "counts": {
            "training_persons": len(training),
            "training_scans": sum(map(len, training.values())),
            "scans_refused": refused,
            "training_curves": len(curves),
            "validation_curves": len(test_curves),
        },
        "spacing_mm": spacing,
        "supine_bend_deg": bend,
        "pedicle_mm": pedicle,
        "arc_mm": {
            **_summary(arcs),
            "p5": _short(np.percentile(arcs, 5)),
            "p95": _short(np.percentile(arcs, 95)),
        },
        "modes": {
            "levels": CURVE_LEVELS,
            "mean": _short(mean),
            "components": _short(components),
            "sd": _short(sd),
            "explained": _short(explained),
        },
        "evaluation": {
            "unit": "mm, RMS distance per vertebra after projection on that many modes",
            "leave_one_out": _errors(_leave_one_out(curves), arcs),
            "validation": _errors([(c, mean, components) for c in test_curves], test_arcs),
        },
    }


def _read_split(folder: Path, split: str) -> tuple[dict[str, list[CtSpine]], int]:
    """Spines of a split by person, each person's longest scan first, and the number of refused files."""
    paths = sorted((folder / "KeypointGroundTruthNoSacrum" / split).glob("*.json"))
    export = folder / f"mapping-export-{split}.txt"
    if not paths or not export.is_file():
        raise BadInput(f"no {split} key points here", where=folder, hint="name the folder of the data set")
    source = dict(line.split(", ", 1) for line in export.read_text("utf-8").splitlines() if ", " in line)
    persons: dict[str, list[CtSpine]] = {}
    refused = 0
    for path in paths:
        try:
            spine = read_ct_spine(path)
        except BadInput:
            refused += 1
            continue
        name = source.get(path.stem) or source.get(path.stem[:-1]) or path.stem  # files are named ID + "s"
        persons.setdefault(_person(name), []).append(spine)
    for spines in persons.values():
        spines.sort(key=lambda s: (s.variant, -len(s.levels)))
    return persons, refused


def _person(scan: str) -> str:
    """Who was scanned: a subject can have several series, and VerSe 2019 and 2020 share subjects."""
    parts = scan.split("/")
    if parts[0] == "COLONOG":
        return parts[2]
    return next((p for p in parts if p.startswith("sub-")), parts[-1])


def _level_statistics(spines: list[CtSpine]) -> tuple[dict, dict, dict]:
    """Spacing of neighbours, sagittal bend at a level, and pedicle points in the vertebra's frame, by
    level."""
    spacing: dict[str, list] = {f"{a}-{b}": [] for a, b in pairwise(LEVELS[:-1])}
    bend: dict[str, list] = {level: [] for level in LEVELS[1:-2]}
    pedicle: dict[str, list] = {level: [] for level in LEVELS[:-1]}
    for spine in spines:
        if spine.variant:
            continue
        step = spine.body_mm[:-1] - spine.body_mm[1:]  # upwards
        tilt = np.degrees(np.arctan2(step[:, 2], step[:, 1]))
        up = np.vstack([step[:1], step[:-1] + step[1:], step[-1:]])
        up /= np.linalg.norm(up, axis=1, keepdims=True)
        across = spine.right_mm - spine.left_mm
        middle = (spine.right_mm + spine.left_mm) / 2 - spine.body_mm
        for i, level in enumerate(spine.levels):
            right = across[i] - up[i] * (across[i] @ up[i])
            right /= np.linalg.norm(right)
            back = np.cross(right, up[i])
            pedicle[level].append([np.linalg.norm(across[i]), middle[i] @ up[i], middle[i] @ back])
        for i, (a, b) in enumerate(pairwise(spine.levels)):
            spacing[f"{a}-{b}"].append(np.linalg.norm(step[i]))
            if i:
                bend[a].append(tilt[i - 1] - tilt[i])
    keys = ("width", "up", "posterior")
    return (
        {pair: _summary(v) for pair, v in spacing.items()},
        {level: _summary(v) for level, v in bend.items()},
        {
            level: {key: _summary(column) for key, column in zip(keys, np.array(v).T, strict=True)}
            for level, v in pedicle.items()
        },
    )


def _curves(persons: dict[str, list[CtSpine]]) -> tuple[np.ndarray, np.ndarray]:
    """One normalised curve per person who has all of T1-L5, less outliers, and the arcs in mm."""
    found = [normalised_curve(spines[0]) for spines in persons.values() if not spines[0].variant]
    curves = np.stack([f[0] for f in found if f])
    arcs = np.array([f[1] for f in found if f])
    share = np.linalg.norm(np.diff(curves, axis=1), axis=-1)
    spread = np.median(np.abs(share - np.median(share, axis=0)), axis=0) * 1.4826
    good = (np.abs(share - np.median(share, axis=0)) < 6 * spread).all(1)  # a misplaced centroid
    return curves[good], arcs[good]


def _leave_one_out(curves: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each curve with the mean and components learned from all others."""
    cases = []
    for i, curve in enumerate(curves):
        mean, components, _, _ = learn_modes(np.delete(curves, i, 0))
        cases.append((curve, mean, components))
    return cases


def _errors(cases: list[tuple[np.ndarray, np.ndarray, np.ndarray]], arcs: np.ndarray) -> dict[str, float]:
    """RMS over cases, mm, by number of modes."""
    errors = {}
    for k in (0, 2, 4, 5, 6, 8, 10, 12):
        mm = [arc * reconstruction_rms(c, m, v, k) for (c, m, v), arc in zip(cases, arcs, strict=True)]
        errors[str(k)] = _short(np.sqrt(np.mean(np.square(mm))))
    return errors


def _summary(values: Any) -> dict[str, Any]:
    """Median, SD without the grossest outliers (5 robust SDs), and count."""
    v = np.asarray(values, np.float64)
    v = v[np.isfinite(v)]
    off = np.abs(v - np.median(v))
    v = v[off <= 5 * 1.4826 * np.median(off)]
    return {"median": _short(np.median(v)), "sd": _short(v.std(ddof=1)), "n": len(v)}


def _short(value: Any) -> Any:
    """Rounded to five digits after the point (two above ten), as JSON takes them."""
    if np.ndim(value):
        return [_short(v) for v in value]
    return round(float(value), 2 if abs(value) > 10 else 5)


def main() -> None:
    import argparse

    from suite.files import atomic_write

    parser = argparse.ArgumentParser(
        prog="python -m spine.shape", description="Learn the shape table from CT spines."
    )
    parser.add_argument("folder", type=Path, help="folder of the VID vertebra identification data set")
    parser.add_argument("--out", type=Path, default=Path("spine/data") / _TABLE)
    arguments = parser.parse_args()
    table = build_table(arguments.folder)
    with atomic_write(arguments.out, "w") as stream:
        stream.write(json.dumps(table, indent=1))
        stream.write("\n")
    print(f"{arguments.out}: {table['counts']}, leave-one-out mm {table['evaluation']['leave_one_out']}")


if __name__ == "__main__":
    main()
