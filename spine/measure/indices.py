"""`measure`: from the fitted chain and the back surface to every index, with intervals from posterior
samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from spine.anatomy import LEVELS
from spine.heightmap import HeightMap
from spine.measure import trunk
from spine.measure.angles import C7, L1, L5, S1, T1, T12, axial_rotation_deg, checked_chain
from spine.measure.centreline import STEPS_PER_LEVEL, curvature_per_m, torsion_per_m
from spine.measure.coronal import CobbCalibration
from spine.measure.definitions import DEFINITIONS, Definition
from spine.measure.humps import hump
from spine.measure.normality import N_MODES, normality
from spine.measure.potsi import potsi, trunk_outline
from spine.measure.result import CentreLine, Curve, Index, Indices, Interval, VertebraRow
from spine.measure.scalars import ChainIdentity, chain_scalars, identify, vertebra_values
from spine.measure.transverse import plane_of_maximum_curvature, wrapped_deg
from spine.shape import ShapeModes
from suite.errors import BadInput

Line = tuple[np.ndarray, np.ndarray, np.ndarray]
_SDC = 1.96 * np.sqrt(2)
_PICKED = frozenset({"cobb_deg", "cobb_second_deg", "curve_angle_deg"})
"""Indices that pick the most tilted vertebrae."""


def measure(
    T_body_vertebra: Float[np.ndarray, "25 4 4"],
    *,
    surface: HeightMap | None = None,
    landmarks: Any = None,
    line: Line | None = None,
    samples: Float[np.ndarray, "m 25 4 4"] | None = None,
    calibration: CobbCalibration | None = None,
    shape_space: ShapeModes | None = None,
    sdc: Mapping[str, float] | None = None,
) -> Indices:
    """All indices of one person; what cannot be measured is None and says why.

    `landmarks` is a mapping or object with `vp_mm`, `base_mm`, `dimple_left_mm`, `dimple_right_mm` (points of
    the skin in the body frame, or None); `line` the spinous line (y_mm, x_mm, surface_rotation_deg), (n,)
    each; `shape_space` is `spine.shape.load_shape_modes()`. From posterior `samples` of the chain come 90 %
    intervals (5-95 percentiles, always holding the value itself). `sdc` gives known smallest detectable
    changes by key; otherwise, with samples, it is 1.96 sqrt(2) posterior SD: an upper bound, since part of
    the error repeats from scan to scan.

    Raises BadInput for chains, landmarks or lines that are malformed.
    """
    T = checked_chain(T_body_vertebra, "T_body_vertebra")
    if T.ndim != 3:
        raise BadInput(f"expected one chain, got shape {T.shape}", where="T_body_vertebra")
    drawn = None if samples is None else checked_chain(samples, "samples")
    if drawn is not None and (drawn.ndim != 4 or len(drawn) < 2):
        raise BadInput(f"expected two or more chains, got shape {drawn.shape}", where="samples")
    points = {
        name: _landmark(landmarks, f"{name}_mm") for name in ("vp", "base", "dimple_left", "dimple_right")
    }
    identity = identify(T, points["vp"], points["base"])

    values: dict[str, float | str] = {key: v.item() for key, v in chain_scalars(T[None], identity).items()}
    spread = {} if drawn is None else chain_scalars(drawn, identity)
    if identity.second is None:
        values["cobb_second_deg"] = "no second curve above 5 deg"
    values["cobb_apex_level"] = float(identity.curves[0].apex)
    norms: dict[str, Interval] = {}
    for key, lateral in (("normality_3d", False), ("normality_lateral", True)):
        if shape_space is None:
            values[key] = "no table of the population's shape"
            continue
        distance, limit = normality(T[None], shape_space, lateral=lateral)
        values[key], norms[key] = distance.item(), (0.0, limit)
        if drawn is not None:
            spread[key] = normality(drawn, shape_space, lateral=lateral)[0]
    values |= _skin(points, surface)
    values |= _surface(T, points, surface, _checked_line(line))

    intervals = {d.key: _interval(values[d.key], spread[d.key], d) for d in DEFINITIONS if d.key in spread}
    curves = tuple(_curve(c, identity, T, drawn, calibration) for c in identity.curves)
    if calibration is None:
        values["cobb_calibrated_deg"] = "no calibration against radiographs"
    else:
        values["cobb_calibrated_deg"] = calibration(curves[0].cobb_deg)
        intervals["cobb_calibrated_deg"] = calibration.interval(curves[0].cobb_deg, intervals.get("cobb_deg"))

    known = {} if sdc is None else dict(sdc)
    for d in DEFINITIONS:
        if d.key in spread and d.key not in known:
            known[d.key] = float(_SDC * np.std(_around(spread[d.key], values[d.key], d)))
    if calibration is not None and "cobb_deg" in known:  # the calibration's own error repeats in one person
        known.setdefault("cobb_calibrated_deg", calibration.slope * known["cobb_deg"])
    notes = _notes(identity, curves, calibration, points)
    entries = {
        d.key: _entry(d, values[d.key], intervals.get(d.key), norms.get(d.key, d.norm), notes, known)
        for d in DEFINITIONS
    }
    rows, smooth = _vertebrae(T, drawn, identity)
    return Indices(entries, curves, rows, smooth)


def measure_with_intervals(
    samples: Float[np.ndarray, "m 25 4 4"],
    *,
    T_body_vertebra: Float[np.ndarray, "25 4 4"] | None = None,
    **more: Any,
) -> Indices:
    """`measure` of posterior samples; without the fitted chain, of their mean (its rotations the nearest)."""
    if T_body_vertebra is None:
        mean = checked_chain(samples, "samples").mean(0)
        u, _, vt = np.linalg.svd(mean[:, :3, :3])
        mean[:, :3, :3] = u @ vt
        return measure(mean, samples=samples, **more)
    return measure(T_body_vertebra, samples=samples, **more)


def _skin(points: dict[str, np.ndarray | None], surface: HeightMap | None) -> dict[str, float | str]:
    values: dict[str, float | str] = {}
    vp, base = points["vp"], points["base"]
    for name, function in (("trunk_imbalance", trunk.imbalance), ("trunk_inclination", trunk.inclination)):
        pair = function(vp, base) if vp is not None and base is not None else None
        for k, unit in enumerate(("mm", "deg")):
            values[f"{name}_{unit}"] = "VP or base is not known" if pair is None else float(pair[k])
    left, right = points["dimple_left"], points["dimple_right"]
    if left is None or right is None:
        return values | dict.fromkeys(
            ("pelvic_tilt_mm", "pelvic_tilt_deg", "pelvic_torsion_deg"), "no dimples found"
        )
    values["pelvic_tilt_mm"], values["pelvic_tilt_deg"] = trunk.pelvic_tilt(left, right)
    torsion = None if surface is None else trunk.pelvic_torsion_deg(surface, left, right)
    values["pelvic_torsion_deg"] = (
        "the skin around the dimples was not measured" if torsion is None else torsion
    )
    return values


def _surface(
    T: np.ndarray, points: dict[str, np.ndarray | None], surface: HeightMap | None, line: Line | None
) -> dict[str, float | str]:
    values: dict[str, float | str] = {}
    if line is None:
        values |= dict.fromkeys(("surface_rotation_rms_deg", "surface_rotation_max_deg"), "no spinous line")
    else:
        rotation = line[2]
        values["surface_rotation_rms_deg"] = float(np.sqrt((rotation**2).mean()))
        values["surface_rotation_max_deg"] = float(rotation[np.abs(rotation).argmax()])

    for name, low, high in (("thoracic", T12, T1), ("lumbar", L5, L1)):
        reason = "no back surface" if surface is None else "no spinous line" if line is None else ""
        found = None
        if surface is not None and line is not None:
            found = hump(surface, line[0], line[1], T[low, 1, 3], T[high, 1, 3])
            reason = f"no {name} skin measured on both sides of the line"
        values[f"hump_{name}_mm"] = reason if found is None else found.height_mm
    humps = [values["hump_thoracic_mm"], values["hump_lumbar_mm"]]
    missing = [h for h in humps if isinstance(h, str)]
    values["hump_sum_mm"] = missing[0] if missing else sum(abs(float(h)) for h in humps)

    vp, base = points["vp"], points["base"]
    if surface is None or vp is None or base is None:
        values["potsi_percent"] = "no back surface" if surface is None else "VP or base is not known"
    else:
        outline = trunk_outline(surface, vp, base)
        values["potsi_percent"] = outline if isinstance(outline, str) else potsi(outline, vp, base)
    return values


def _curve(
    curve: Any,
    identity: ChainIdentity,
    T: np.ndarray,
    drawn: np.ndarray | None,
    calibration: CobbCalibration | None,
) -> Curve:
    one = T[None]
    cobb = curve.cobb_deg(one).item()
    interval = None
    if drawn is not None:
        interval = _not_below_zero(_percentiles(_unbiased(curve.cobb_deg(drawn) - cobb), cobb))
    angle, azimuth = plane_of_maximum_curvature(one, curve.upper, curve.lower)
    return Curve(
        region=curve.region,
        side="right" if curve.side > 0 else "left",
        upper=LEVELS[curve.upper],
        apex=LEVELS[curve.apex],
        lower=LEVELS[curve.lower],
        cobb_deg=cobb,
        cobb_interval_deg=interval,
        cobb_calibrated_deg=None if calibration is None else calibration(cobb),
        cobb_calibrated_interval_deg=None if calibration is None else calibration.interval(cobb, interval),
        curve_angle_deg=curve.curve_angle_deg(identity.line, identity.line.derivatives(one)[0]).item(),
        apical_rotation_deg=float(axial_rotation_deg(T)[curve.apex]),
        apical_translation_mm=float(T[curve.apex, 0, 3] - T[S1, 0, 3]),
        pmc_deg=angle.item(),
        pmc_azimuth_deg=azimuth.item(),
    )


def _notes(
    identity: ChainIdentity,
    curves: tuple[Curve, ...],
    calibration: CobbCalibration | None,
    points: dict[str, np.ndarray | None],
) -> dict[str, str]:
    primary = str(curves[0])
    from_landmarks = points["vp"] is not None and points["base"] is not None
    against = "from the line VP - base" if from_landmarks else "from the line C7 - S1: no landmarks"
    notes = dict.fromkeys(
        ("cobb_deg", "curve_angle_deg", "apical_translation_mm", "rotation_apical_deg"), primary
    )
    notes |= {
        "cobb_calibrated_deg": "" if calibration is None else calibration.provenance,
        "cobb_apex_level": f"{curves[0].side} {curves[0].region}",
        "lateral_rms_mm": against,
        "lateral_max_mm": f"{LEVELS[identity.most_lateral]}, {against}",
        "rotation_max_deg": LEVELS[identity.most_rotated],
        "normality_3d": f"{N_MODES} modes; the band holds 95 % of the population",
        "normality_lateral": "the band holds 95 % of the population",
        "potsi_percent": "base mid-point in place of the natal cleft; no band verified at its source",
        "hump_sum_mm": "in mm, not scaled to the trunk; no band known",
    }
    for name, (upper, apex, lower) in identity.regions.items():
        where = f"{LEVELS[upper]}–{LEVELS[lower]}"
        notes |= dict.fromkeys((f"rotation_{name}_deg", f"pmc_{name}_deg", f"pmc_{name}_azimuth_deg"), where)
        notes |= dict.fromkeys(
            (f"davinci_{name}_mm", f"davinci_{name}_azimuth_deg"), f"{where}, apex {LEVELS[apex]}"
        )
    if identity.second is not None:
        notes["cobb_second_deg"] = str(curves[identity.curves.index(identity.second)])
    return notes


def _entry(
    d: Definition,
    value: float | str,
    interval: Interval | None,
    norm: Interval | None,
    notes: dict[str, str],
    sdc: dict[str, float],
) -> Index:
    missing = isinstance(value, str)
    return Index(
        key=d.key,
        value=None if missing else float(value),
        unit=d.unit,
        interval=None if missing else interval,
        norm=norm,
        definition=d.text,
        source=d.source,
        note=str(value) if missing else notes.get(d.key, ""),
        sdc=None if missing else sdc.get(d.key),
        title=d.title,
    )


def _vertebrae(
    T: np.ndarray, drawn: np.ndarray | None, identity: ChainIdentity
) -> tuple[tuple[VertebraRow, ...], CentreLine]:
    d1, d2, d3 = identity.line.derivatives(T)
    smooth = CentreLine(
        place=identity.line.place,
        point_mm=identity.line.value @ T[C7:, :3, 3],
        curvature_per_m=curvature_per_m(d1, d2),
        torsion_per_m=torsion_per_m(d1, d2, d3),
    )
    columns = {key: column[0] for key, column in vertebra_values(T[None], identity).items()}
    bounds: dict[str, np.ndarray] = {}
    if drawn is not None:
        for key, column in vertebra_values(drawn, identity).items():
            around = column - columns[key]
            if key == "axial_deg":
                around = wrapped_deg(around)
            low, high = np.percentile(around, (5, 95), axis=0)
            bounds[key] = columns[key] + np.stack([np.minimum(low, 0), np.maximum(high, 0)])
    columns["curvature_per_m"] = smooth.curvature_per_m[::STEPS_PER_LEVEL]
    columns["torsion_per_m"] = smooth.torsion_per_m[::STEPS_PER_LEVEL]
    rows = tuple(
        VertebraRow(
            LEVELS[C7 + i],
            {key: float(column[i]) for key, column in columns.items()},
            {key: (float(pair[0, i]), float(pair[1, i])) for key, pair in bounds.items()},
        )
        for i in range(S1 - C7 + 1)
    )
    return rows, smooth


def _interval(value: float | str, spread: np.ndarray, d: Definition) -> Interval | None:
    if isinstance(value, str):
        return None
    around = _around(spread, value, d)
    return (
        _not_below_zero(_percentiles(_unbiased(around), value))
        if d.key in _PICKED
        else _percentiles(around, value)
    )


def _around(spread: np.ndarray, value: float | str, d: Definition) -> np.ndarray:
    if isinstance(value, str):
        return spread
    return wrapped_deg(spread - value) if d.circular else spread - value


def _unbiased(around: np.ndarray) -> np.ndarray:
    """Draws of an angle between the most tilted of several vertebrae, which is larger in every noisy draw
    than in the chain itself, moved so that their median is the chain's own.
    """
    return around - np.median(around)


def _not_below_zero(interval: Interval) -> Interval:
    return max(interval[0], 0.0), interval[1]


def _percentiles(around: np.ndarray, value: float) -> Interval:
    low, high = np.percentile(around, (5, 95))
    return value + min(float(low), 0.0), value + max(float(high), 0.0)


def _landmark(landmarks: Any, name: str) -> Float[np.ndarray, " 3"] | None:
    if landmarks is None:
        return None
    point = landmarks.get(name) if isinstance(landmarks, Mapping) else getattr(landmarks, name, None)
    if point is None:
        return None
    point = np.asarray(point, np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise BadInput(f"a landmark is three finite numbers, got {point.tolist()}", where=f"landmarks.{name}")
    return point


def _checked_line(line: Line | None) -> Line | None:
    if line is None:
        return None
    y, x, rotation = (np.asarray(part, np.float64) for part in line)
    if not (y.ndim == 1 and y.shape == x.shape == rotation.shape and len(y) >= 2):
        raise BadInput(
            f"y {y.shape}, x {x.shape}, rotation {rotation.shape} must be equally long", where="line"
        )
    if not (np.isfinite(y).all() and np.isfinite(x).all() and np.isfinite(rotation).all()):
        raise BadInput("the spinous line holds numbers that are not finite", where="line")
    return y, x, rotation
