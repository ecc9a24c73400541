"""CT spines that nothing was learned from: the chain fitted to their back points, against the bodies.

Only the pedicle points of T1 ... L5 are used, which lie at the back of each vertebra. The median offset of
the level (`spine.anatomy.PEDICLE_MM`) leads from their mid-point to where the body ought to be; the skin is
put behind that, level, at the distance that `spine.skin_depth` expects, in the direction perpendicular to the
line between the pedicles. The line on this skin, and the pedicles' azimuth over the fit's gain as surface
rotation, are what the fit is given; VP and base lie where the template's lengths put them from T1 and L5.
Bodies are looked at for the comparison alone.

This skin is a stand-in. It has no noise, and lies where the fit expects it or, for the keys, a factor of 10 %
(SD) nearer or farther: by three-point Gauss-Hermite quadrature, what random people give on average. The
people lay in the scanner (supine or prone, with less lordosis) while the template stands, and the vertical is
the scanner's axis. Axial rotations are compared with the pedicle lines, from which the fit's own come: how
far it follows them; at some 1 mm of marking a pedicle line of 20 to 30 mm is itself good to 3 deg only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from benchmarks import BenchmarkResult
from benchmarks._spine_errors import TRUNK, centred, over_people, rms, rms_3d
from spine.anatomy import BASE_POINT_IN_S1_MM, PEDICLE_MM, VERTEBRAE
from spine.chain import (
    N_PARAMETERS,
    SpinePose,
    forward_kinematics,
    forward_kinematics_of_vectors,
    standing_template,
)
from spine.fit_options import FitOptions
from spine.measure.angles import C7, S1, axial_rotation_deg
from spine.measure.transverse import wrapped_deg
from spine.observations import LineObservation, Observations
from spine.problem import Problem
from spine.shape import CURVE_LEVELS, CtSpine, read_ct_spine
from spine.solve import fit_chain
from suite.errors import BadInput
from suite.geometry.rotations import so3_exp
from suite.progress import track
from suite.report.metric import Metric
from suite.report.table import Column, Table

SKIN_FACTORS = {float(np.exp(0.1 * node)): weight for node, weight in ((-(3**0.5), 1), (0, 4), (3**0.5, 1))}
"""Factors of the skin-to-centre distance and how often each counts (of 6)."""
AZIMUTH_LEVELS = 1.0
"""Pedicle lines are 20 to 30 mm long and marked to about 1 mm: their azimuth is smoothed over this (SD)."""
VP_SIGMA_MM, BASE_SIGMA_MM = 4.0, 5.0
"""Of the heights that the template's lengths give."""
STEP_MM = 6.0
WORST_STEP = 0.4
"""A step between neighbours farther than this from the template's betrays a level that was left out."""
METHODS = {
    "chain": "chain",
    "template": "template, scaled and placed",
    "best": "template, best similarity to the truth",
    "medians": "pedicle points and median offsets",
}


@dataclass(frozen=True, eq=False)
class Back:
    """What the back of one CT spine shows; T1 ... L5, x right, y along the scanner, z posterior, mm.

    `body_mm` is the truth. `expected_mm` is where the bodies ought to be by their pedicles, `axial_deg` the
    azimuth of the pedicles as they are marked, `smooth_rad` the smoothed one; `vp_mm`, `base_mm` are bone.
    """

    body_mm: Float[np.ndarray, "17 3"]
    expected_mm: Float[np.ndarray, "17 3"]
    axial_deg: Float[np.ndarray, " 17"]
    smooth_rad: Float[np.ndarray, " 17"]
    vp_mm: Float[np.ndarray, " 3"]
    base_mm: Float[np.ndarray, " 3"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Errors for one spine, by method and then by skin factor as it counts: 6 times (17, 3) and (17,)."""

    centre_mm: dict[str, Float[np.ndarray, "6 17 3"]]
    at_expected_mm: Float[np.ndarray, "17 3"]
    axial_deg: Float[np.ndarray, "6 17"]


def run(data: Callable[[str], Path]) -> BenchmarkResult:
    """Validation part; for its larger number also Training, of which the template holds medians alone."""
    folder = data("spine/ct_spines") / "KeypointGroundTruthNoSacrum"
    parts = {name: [outcome(back) for back in backs(folder / name)] for name in ("Validation", "Training")}
    return summarised(parts)


def backs(folder: Path) -> list[Back]:
    """Every spine in a folder with all of T1 ... L5, both pedicles of each, and no level too many."""
    found = []
    for path in track(sorted(folder.glob("*.json")), f"Reading {folder.name}"):
        try:
            spine = read_ct_spine(path)
        except BadInput:
            continue  # not along the scanner's axis, a level twice: spine.shape leaves them out too
        if not spine.variant and (back := back_of(spine)) is not None:
            found.append(back)
    if not found:
        raise BadInput("no spine with all of T1 ... L5", folder, "is this the VID data set?")
    return found


def back_of(spine: CtSpine) -> Back | None:
    """The back of a spine that looks straight back on average; None where a point is missing."""
    body = spine.points(CURVE_LEVELS)
    if body is None:
        return None
    rows = [spine.levels.index(level) for level in CURVE_LEVELS]
    left, right = spine.left_mm[rows], spine.right_mm[rows]
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return None
    across = np.median(right - left, axis=0)
    R = so3_exp(np.array([0.0, np.arctan2(across[2], across[0]), 0.0]))
    body, left, right = ((points - body.mean(0)) @ R.T for points in (body, left, right))

    rest = forward_kinematics(standing_template(), SpinePose())
    middle = (left + right) / 2
    steps, expected_steps = (np.linalg.norm(np.diff(p, axis=0), axis=1) for p in (middle, rest[TRUNK, :3, 3]))
    size = steps.sum() / expected_steps.sum()
    if np.abs(steps / (size * expected_steps) - 1).max() > WORST_STEP:
        return None
    frames = _frames(middle, right - left)
    offset = size * np.array([(0.0, *PEDICLE_MM[level][1:]) for level in CURVE_LEVELS])
    expected = middle - (frames @ offset[:, :, None])[:, :, 0]
    azimuth = np.arctan2((left - right)[:, 2], (right - left)[:, 0])

    def carried(row: int, bone: int, point: np.ndarray) -> np.ndarray:
        """A point of another bone, as far from the level in this row as in the upright template."""
        there = rest[bone, :3, :3] @ point + rest[bone, :3, 3] - rest[TRUNK, :3, 3][row]
        return expected[row] + size * there

    return Back(
        body_mm=body,
        expected_mm=expected,
        axial_deg=np.degrees(azimuth),
        smooth_rad=gaussian_filter1d(azimuth, AZIMUTH_LEVELS, mode="nearest"),
        vp_mm=carried(0, C7, VERTEBRAE["C7"].spinous_tip),
        base_mm=carried(-1, S1, BASE_POINT_IN_S1_MM),
    )


def observed(back: Back, skin_factor: float, options: FitOptions) -> Observations:
    """The stand-in for the skin."""
    vp_y, trunk = float(back.vp_mm[1]), float(back.vp_mm[1] - back.base_mm[1])
    L = skin_factor * options.skin_depth.depth_mm(trunk, vp_y - back.expected_mm[:, 1])
    a = back.smooth_rad
    skin = back.expected_mm + L[:, None] * np.stack([np.sin(a), np.zeros_like(a), np.cos(a)], axis=1)
    upwards = np.column_stack([skin, a])[::-1]
    y = np.arange(skin[-1, 1], skin[0, 1], STEP_MM)
    x, z, azimuth = CubicSpline(upwards[:, 1], upwards[:, [0, 2, 3]])(y).T
    sigma, turned = np.full_like(y, options.weights.line_edited_mm), azimuth / options.rotation_gain
    line = LineObservation(y, x, z, sigma, turned, np.full_like(y, np.radians(1.0)))
    vp, base = (np.array([x[k], point[1], z[k]]) for k, point in ((-1, back.vp_mm), (0, back.base_mm)))
    return Observations(line, vp, base, VP_SIGMA_MM, BASE_SIGMA_MM, edited=True)


def outcome(back: Back, options: FitOptions | None = None) -> Outcome:
    """Chain and baselines against the bodies, for every skin factor."""
    options = options or FitOptions()
    centre: dict[str, list[np.ndarray]] = {name: [] for name in METHODS}
    axial: list[np.ndarray] = []
    at_expected = np.empty((0, 3))
    for factor, times in SKIN_FACTORS.items():
        seen = observed(back, factor, options)
        template = standing_template(trunk_length_mm=seen.trunk_mm)
        fit = fit_chain(template, seen, options)
        placed = Problem(template, seen, options).start[:N_PARAMETERS]
        alone = forward_kinematics_of_vectors(template, placed)[TRUNK, :3, 3]
        chain = fit.T_body_vertebra[TRUNK, :3, 3]
        found = {
            "chain": chain,
            "template": alone,
            "best": similar(alone, back.body_mm),
            "medians": back.expected_mm,
        }
        for name, points in found.items():
            centre[name] += [points - back.body_mm] * times
        axial += [wrapped_deg(axial_rotation_deg(fit.T_body_vertebra)[TRUNK] - back.axial_deg)] * times
        if factor == 1.0:
            at_expected = chain - back.body_mm
    return Outcome({name: np.stack(errors) for name, errors in centre.items()}, at_expected, np.stack(axial))


def similar(points: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Points turned, scaled and moved to the target by least squares (Umeyama, IEEE PAMI 1991;13:376)."""
    p, q = points - points.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(p.T @ q)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (s * flip).sum() / (p**2).sum()
    return scale * p @ (u * flip) @ vt + target.mean(0)


def summarised(parts: dict[str, list[Outcome]]) -> BenchmarkResult:
    """Keys of the first part, and a table of all."""
    first = next(iter(parts.values()))

    def errors_of(key: str) -> Callable[[Sequence[Outcome]], float]:
        figures: dict[str, Callable[[Sequence[Outcome]], float]] = {
            "rms_3d_mm": lambda people: rms_3d([p.centre_mm["chain"] for p in people]),
            "lateral_rms_mm": lambda people: rms([p.centre_mm["chain"][..., 0] for p in people]),
            "axial_rms_deg": lambda people: rms([p.axial_deg for p in people]),
            "rms_3d_mm_known_depth": lambda people: rms_3d([p.at_expected_mm for p in people]),
        }
        return figures[key]

    keys = {
        "rms_3d_mm": ("mm", "skin depth off by 10 % (SD)"),
        "lateral_rms_mm": ("mm", ""),
        "axial_rms_deg": ("deg", "against the marked pedicle lines"),
        "rms_3d_mm_known_depth": ("mm", "skin where the fit expects it"),
    }
    metrics = [
        Metric(key, errors_of(key)(first), unit, "lower", over_people(first, errors_of(key)), note)
        for key, (unit, note) in keys.items()
    ]
    metrics.append(Metric("spines", len(first), "", None, note="T1-L5 whole, Validation; supine or prone"))
    return BenchmarkResult(metrics, [_table(parts)])


def _table(parts: dict[str, list[Outcome]]) -> Table:
    titles = ("3D", "lateral", "along the spine", "depth", "3D centred")
    columns = [
        "part",
        "n",
        "centres from",
        *(Column(title, "mm") for title in titles),
        Column("axial", "deg"),
    ]
    rows = []
    for part, people in parts.items():
        for name, title in METHODS.items():
            errors = [e for person in people for e in person.centre_mm[name]]
            axes = [rms([e[:, k] for e in errors]) for k in range(3)]
            axial = rms([person.axial_deg for person in people]) if name == "chain" else None
            rows.append(
                [part, len(people), title, rms_3d(errors), *axes, rms_3d([centred(e) for e in errors]), axial]
            )
    return Table(columns, rows, caption="Vertebral centres T1 ... L5 under a stand-in for the skin, RMS")


def _frames(middle: Float[np.ndarray, "n 3"], across: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Axes (columns: right, up, back) of vertebrae from the line through their pedicles."""
    up = -np.gradient(middle, axis=0)  # levels are counted downwards
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    right = across - up * (across * up).sum(1, keepdims=True)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.stack([right, up, np.cross(right, up)], axis=-1)
