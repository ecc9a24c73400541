"""Which way is up, and which side of the trunk is seen: candidate frames, each judged by the evidence for a
back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from spine.evidence import BackEvidence, back_evidence
from spine.heightmap import mean_point_distance, rasterize
from suite.errors import BadInput

Axis = Literal["auto", "+x", "-x", "+y", "-y", "+z", "-z"]

COARSE_MM = 6.0
FRONT_SCORE, SURE_SCORE = -0.8, 0.5
"""BackEvidence.score: on MakeHuman bodies 93 % of fronts and no back lie below the first, 93 % of backs and 1
% of fronts above the second."""
FILE_UP_BONUS, BODY_UP_BONUS = 1.0, 4.0
"""In favour of the axis that files usually have upwards; cameras are turned, figures of a whole body hardly
ever."""
END_MM = 30.0
NARROW_TOP = 3.0
"""How much a neck (or crown) speaks for its end being the upper one, for every e-fold that it is narrower
than the hips (or thighs) at the other."""
WHOLE_BODY_MM = 1150.0
"""Seen over more than this height it is a person from head to foot: only the trunk is looked at."""


Trunk = Callable[[Float[np.ndarray, "n 3"]], Bool[np.ndarray, " n"]]


@dataclass(frozen=True)
class Upright:
    """R_body_input turns input axes into body axes (x right, y up, z posterior); evidence is measured in
    them."""

    R_body_input: Float[np.ndarray, "3 3"]
    gravity_known: bool
    evidence: BackEvidence
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


def upright(
    points_mm: Float[np.ndarray, "n 3"],
    up: Axis = "auto",
    facing: Axis = "auto",
    down_input: Float[np.ndarray, " 3"] | None = None,
    where: str | None = None,
    trunk_of: Trunk | None = None,
    from_camera: bool = False,
) -> Upright:
    """Body axes of a person's cloud in input axes, in mm.

    `up` and `facing` (from the person to the viewer behind) state an axis of the file; down_input is gravity.
    `trunk_of` tells which points, in body axes, are the trunk's (default: crop_to_trunk). What is not given
    is found among the file's axes: the viewer's side by the trunk's thinnest direction, in which an open
    surface bulges; up by the shape of a back and by which end is the neck. Raises BadInput where no back, or
    the front of a trunk, is seen.

    from_camera: the axes are those of the camera that has seen all of the points (z forward), so that the
    viewer's side is known.
    """
    whole = np.ptp(np.percentile(points_mm, [0.3, 99.7], axis=0), axis=0).max() > WHOLE_BODY_MM
    n = min(len(points_mm), 60_000 if whole or trunk_of else 9000)
    some = np.random.default_rng(0).choice(len(points_mm), n, replace=False)
    points = np.asarray(points_mm, float)[some]
    centre = np.median(points, axis=0)
    gravity_known = down_input is not None or up != "auto"
    ups = [-_unit(np.asarray(down_input, float))] if down_input is not None else []
    if up != "auto":
        ups = [axis_vector(up)]
    sides, notes, flags = _viewer_sides(points, ups, facing, from_camera)

    candidates: list[tuple[float, np.ndarray, BackEvidence, np.ndarray]] = []
    for z in sides:
        usual = _usual_up(z, centre)
        for y in ups or [s * e for e in np.eye(3) if abs(e @ z) < 0.5 for s in (1.0, -1.0)]:
            R = _axes(y, z)
            if not ups and _tall(points @ R.T) < _tall(points @ R[[1, 0, 2]].T) - WHOLE_BODY_MM / 2:
                continue  # a person from head to foot, lying across this candidate
            seen = points @ R.T
            body = seen[(trunk_of or crop_to_trunk)(seen)]
            evidence = back_evidence(rasterize(body, COARSE_MM)) if len(body) > 200 else None
            if evidence is not None:
                bonus = BODY_UP_BONUS if whole else FILE_UP_BONUS
                merit = _merit(evidence, body) + bonus * bool(not ups and y @ usual > 0.9)
                merit += NARROW_TOP * np.clip(_narrows_upwards(seen), -1, 1)
                candidates.append((merit, R, evidence, y))
    if not candidates:
        raise BadInput(
            "no back found: nowhere is skin seen to both sides of a mid-line",
            where,
            "show the back from neck to sacrum, and state --up if the file's axes are unusual",
        )
    merit, R, evidence, y = max(candidates, key=lambda candidate: candidate[0])
    if merit - max((m for m, other, _, _ in candidates if other[2] @ R[2] < 0), default=-np.inf) < 1.5:
        flags.append(
            "front and back are hard to tell apart: check the side that was chosen, or state --facing"
        )
    if down_input is not None and up == "auto":
        notes.append("up: gravity of the recording")
    else:
        notes.append(f"up: {_axis_name(y)} of the file ({'stated' if ups else 'by the shape of the back'})")
    if evidence.score < FRONT_SCORE and facing == "auto":
        raise BadInput(
            f"this looks like the front of the trunk, or the lower back is missing: {evidence}",
            where,
            "scan the bare back from neck to sacrum; if this is one, state --facing",
        )
    if evidence.score < SURE_SCORE:
        flags.append(f"hardly looks like a back: {evidence}")
    if abs(evidence.yaw_deg) > 15:
        c, s = np.cos(np.radians(evidence.yaw_deg)), np.sin(np.radians(evidence.yaw_deg))
        R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ R
        notes.append(f"turned by {evidence.yaw_deg:.0f} deg about the vertical to face the viewer")
    return Upright(R, gravity_known, evidence, tuple(notes), tuple(flags))


def crop_to_trunk(points_mm: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """False for head, legs and spread arms of a whole person in body axes; all True if less is there.

    The trunk is taken as 49-87 % of the stature and +-13 % of it to the sides of the middle (Drillis &
    Contini 1966: hip at 53 %, shoulder at 82 %, half the shoulders' breadth 13 %).
    """
    low, high = np.percentile(points_mm[:, 1], [0.3, 99.7])
    stature = high - low
    if stature < WHOLE_BODY_MM:
        return np.ones(len(points_mm), bool)
    level = (points_mm[:, 1] - low) / stature
    trunk = (level > 0.49) & (level < 0.87)
    if not trunk.any():
        return trunk
    return trunk & (np.abs(points_mm[:, 0] - np.median(points_mm[trunk, 0])) < 0.13 * stature)


def axis_vector(axis: str) -> Float[np.ndarray, " 3"]:
    """'+x' -> (1, 0, 0), '-z' -> (0, 0, -1)."""
    vector = np.zeros(3)
    vector["xyz".index(axis[1])] = 1.0 if axis[0] == "+" else -1.0
    return vector


def _merit(evidence: BackEvidence, body: np.ndarray) -> float:
    """Log-odds of this candidate being the upright one: conditional logit on the same bodies, turned four
    ways."""
    wide, tall = np.ptp(np.percentile(body[:, :2], [1, 99], axis=0), axis=0)
    return float(
        0.7 * np.clip(evidence.s_profile_mm / 20, -3, 3)
        + 0.7 * np.clip(evidence.score, -4, 4)
        + 4.0 * np.clip(np.log(tall / max(wide, 1.0)), -0.35, 0.35)
    )


def _narrows_upwards(body: np.ndarray) -> float:
    """Logarithm of how much broader the lowest END_MM of what is seen are than the uppermost, gaps not
    counted."""
    low, high = np.percentile(body[:, 1], [0.3, 99.7])
    return float(np.log(_breadth(body, low, low + END_MM) / _breadth(body, high - END_MM, high)))


def _breadth(body: np.ndarray, low: float, high: float) -> float:
    x = body[(body[:, 1] >= low) & (body[:, 1] <= high), 0]
    return COARSE_MM * max(len(np.unique(np.floor(x / COARSE_MM))), 1)


def _viewer_sides(
    points: np.ndarray, ups: list[np.ndarray], facing: Axis, from_camera: bool
) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Directions in which the viewer may stand: one for an open surface, both for a closed body."""
    if facing != "auto":
        return [axis_vector(facing)], [f"viewer: {facing} of the file (stated)"], []
    flags: list[str] = []
    d = points - points.mean(0)
    if ups:  # the thinnest horizontal direction
        d = d - np.outer(d @ ups[0], ups[0])
        z = _unit(np.linalg.eigh(d.T @ d)[1][:, 1])
    else:
        normal = np.linalg.eigh(d.T @ d)[1][:, 0]
        z = np.eye(3)[np.abs(normal).argmax()]
        off = np.degrees(np.arccos(min(1.0, abs(float(normal @ z)))))
        flags = (
            [f"the trunk lies {off:.0f} deg off the file's axes: upright is uncertain"] if off > 30 else []
        )
    if from_camera:
        return [z if z[2] < 0 else -z], ["viewer: the camera"], flags
    side = _axes(ups[0] if ups else np.eye(3)[np.abs(z).argmin()], z)
    seen = points @ side.T
    if _layered(seen):
        return [z, -z], ["closed body: its back was chosen by shape"], flags
    bulge = _bulge(seen)
    return [z if bulge > 0 else -z], ["open surface: seen from the side on which it bulges"], flags


def _layered(points: np.ndarray) -> bool:
    """Whether skin lies before skin over a good part of the outline, as in a closed body."""
    size = max(15.0, 3 * mean_point_distance(points))
    cell = np.floor((points[:, :2] - points[:, :2].min(0)) / size).astype(np.int64)
    key = cell[:, 1] * (cell[:, 0].max() + 1) + cell[:, 0]
    order = np.lexsort((points[:, 2], key))
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    gap = np.diff(points[order, 2], prepend=points[order[0], 2])
    gap[first] = 0
    return bool((np.maximum.reduceat(gap, first) > 60).mean() > 0.3)


def _bulge(points: np.ndarray) -> float:
    """Mean curvature of the quadric through all of an open surface, positive if it bulges towards +z.

    Over the whole height the hollow loins and the round thorax cancel out; in the middle alone a deep hollow
    may be bent more strongly than the trunk is round.
    """
    d = points - np.median(points, axis=0)
    x, y = d[:, 0] / 100, d[:, 1] / 100
    A = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    quadric = np.linalg.lstsq(A, d[:, 2], rcond=None)[0]
    return -float(quadric[3] + quadric[5])


def _usual_up(z: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """-y where a camera at the origin looks along +z (computer vision), else +y, or +z where y is the viewing
    axis."""
    if z[2] < -0.9 and centre[2] > 250:
        return np.array([0.0, -1.0, 0.0])
    return np.array([0.0, 1.0, 0.0]) if abs(z[1]) < 0.5 else np.array([0.0, 0.0, 1.0])


def _axes(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    z = _unit(z - (z @ y) * y)
    return np.stack([np.cross(y, z), y, z])


def _tall(points: np.ndarray) -> float:
    return float(np.ptp(np.percentile(points[:, 1], [1, 99])))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _axis_name(vector: np.ndarray) -> str:
    axis = int(np.abs(vector).argmax())
    return f"{'+' if vector[axis] > 0 else '-'}{'xyz'[axis]}"
