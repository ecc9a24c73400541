"""Every index that depends on the chain alone, for one chain or many at once.

What must not change from one posterior sample to the next (which curve is the primary one, its apex, the most
deviated vertebra, the apices of regions, the smoothing) is read once from the measured chain: its
`ChainIdentity`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spine.measure import sagittal
from spine.measure.angles import (
    C7,
    L1,
    L5,
    S1,
    T1,
    T4,
    T12,
    axial_rotation_deg,
    coronal_tilt_deg,
    sagittal_tilt_deg,
)
from spine.measure.centreline import LineOperator, curvature_per_m, line_operator, mean_torsion_per_m
from spine.measure.coronal import SCOLIOSIS_DEG, CurveIdentity, find_curves, lateral_deviation_mm
from spine.measure.transverse import (
    REGIONS,
    apex_of_region,
    azimuth_deg,
    da_vinci_vector_mm,
    plane_of_maximum_curvature,
)

_TRUNK = slice(T1, L5 + 1)


@dataclass(frozen=True)
class ChainIdentity:
    """What is read once from the measured chain; levels are indices of `LEVELS`.

    `regions` holds upper end, apex and lower end of each of `REGIONS`.
    """

    line: LineOperator
    curves: tuple[CurveIdentity, ...]
    second: CurveIdentity | None
    most_lateral: int
    most_rotated: int
    regions: dict[str, tuple[int, int, int]]
    top_mm: Float[np.ndarray, " 3"] | None
    base_mm: Float[np.ndarray, " 3"] | None


def identify(
    T: Float[np.ndarray, "25 4 4"], top_mm: np.ndarray | None, base_mm: np.ndarray | None
) -> ChainIdentity:
    """Read the identity from a chain; `top_mm` and `base_mm` are VP and the base mid-point, where known."""
    lateral = lateral_deviation_mm(T, top_mm, base_mm)[_TRUNK]
    curves = find_curves(T)
    return ChainIdentity(
        line=line_operator(T),
        curves=tuple(curves),
        second=max(curves[1:], key=lambda curve: curve.cobb_deg(T[None]).item(), default=None),
        most_lateral=T1 + int(np.abs(lateral).argmax()),
        most_rotated=T1 + int(np.abs(axial_rotation_deg(T)[_TRUNK]).argmax()),
        regions={name: _region(T, name, curves) for name in REGIONS},
        top_mm=top_mm,
        base_mm=base_mm,
    )


def _region(T: np.ndarray, name: str, curves: list[CurveIdentity]) -> tuple[int, int, int]:
    """Upper end, apex and lower end of a region: its largest coronal curve's, or the anatomical ends."""
    cobb = {curve.cobb_deg(T[None]).item(): curve for curve in curves if curve.region in REGIONS[name].curves}
    size = max(cobb, default=0.0)
    ends = (cobb[size].upper, cobb[size].lower) if size >= SCOLIOSIS_DEG else REGIONS[name].levels
    if ends[1] - ends[0] < 2:
        ends = REGIONS[name].levels
    return ends[0], apex_of_region(T, *ends), ends[1]


def chain_scalars(
    T: Float[np.ndarray, "m 25 4 4"], identity: ChainIdentity
) -> dict[str, Float[np.ndarray, " m"]]:
    """The chain's indices by key, each (m,); definitions are in `spine.measure.definitions`."""
    return {
        **_coronal(T, identity),
        **_sagittal(T, identity),
        **_transverse(T, identity),
        **_line(T, identity.line),
    }


def vertebra_values(
    T: Float[np.ndarray, "m 25 4 4"], identity: ChainIdentity
) -> dict[str, Float[np.ndarray, "m 19"]]:
    """Columns of the table of vertebrae C7 ... S1 that need no derivative of the line, each (m, 19)."""
    c, plumb = T[..., :3, 3], T[..., S1, None, :3, 3]
    c7 = T[..., C7, None, :3, 3]
    slope = (c7[..., 2] - plumb[..., 2]) / (c7[..., 1] - plumb[..., 1])
    columns = {
        "x_mm": c[..., 0],
        "y_mm": c[..., 1],
        "z_mm": c[..., 2],
        "lateral_mm": lateral_deviation_mm(T, identity.top_mm, identity.base_mm),
        "lateral_plumb_mm": c[..., 0] - plumb[..., 0],
        "ap_mm": c[..., 2] - plumb[..., 2] - slope * (c[..., 1] - plumb[..., 1]),
        "ap_plumb_mm": c[..., 2] - plumb[..., 2],
        "sagittal_deg": sagittal_tilt_deg(T),
        "coronal_deg": coronal_tilt_deg(T),
        "axial_deg": axial_rotation_deg(T),
    }
    return {key: column[..., C7:] for key, column in columns.items()}


def _coronal(T: np.ndarray, identity: ChainIdentity) -> dict[str, np.ndarray]:
    primary, d1 = identity.curves[0], identity.line.first @ T[..., C7:, :3, 3]
    lateral = lateral_deviation_mm(T, identity.top_mm, identity.base_mm)
    x = T[..., 0, 3]
    entries = {
        "cobb_deg": primary.cobb_deg(T),
        "curve_angle_deg": primary.curve_angle_deg(identity.line, d1),
        "apical_translation_mm": x[..., primary.apex] - x[..., S1],
        "lateral_rms_mm": np.sqrt((lateral[..., _TRUNK] ** 2).mean(-1)),
        "lateral_max_mm": lateral[..., identity.most_lateral],
        "coronal_balance_mm": x[..., C7] - x[..., S1],
    }
    if identity.second is not None:
        entries["cobb_second_deg"] = identity.second.cobb_deg(T)
    return entries


def _sagittal(T: np.ndarray, identity: ChainIdentity) -> dict[str, np.ndarray]:
    s = sagittal.sagittal_curves(T, identity.line)
    return {
        "kyphosis_t1_t12_deg": sagittal.kyphosis_deg(T, T1, T12),
        "kyphosis_t4_t12_deg": sagittal.kyphosis_deg(T, T4, T12),
        "kyphosis_ict_itl_deg": s.kyphosis_deg,
        "kyphosis_apex_level": s.kyphotic_apex,
        "lordosis_l1_s1_deg": -sagittal.kyphosis_deg(T, L1, S1),
        "lordosis_t12_s1_deg": -sagittal.kyphosis_deg(T, T12, S1),
        "lordosis_itl_ils_deg": s.lordosis_deg,
        "lordosis_apex_level": s.lordotic_apex,
        "inflection_cervicothoracic_level": s.cervicothoracic,
        "inflection_thoracolumbar_level": s.thoracolumbar,
        "inflection_lumbosacral_level": s.lumbosacral,
        "sacral_slope_deg": -sagittal_tilt_deg(T)[..., S1],
        "sagittal_balance_mm": T[..., S1, 2, 3] - T[..., C7, 2, 3],
    }


def _transverse(T: np.ndarray, identity: ChainIdentity) -> dict[str, np.ndarray]:
    axial = axial_rotation_deg(T)
    apex = identity.curves[0].apex
    entries = {
        "rotation_apical_deg": axial[..., apex],
        "rotation_apical_to_pelvis_deg": (axial[..., apex] - axial[..., S1] + 180) % 360 - 180,
        "rotation_rms_deg": np.sqrt((axial[..., _TRUNK] ** 2).mean(-1)),
        "rotation_max_deg": axial[..., identity.most_rotated],
    }
    for name, (upper, middle, lower) in identity.regions.items():
        angle, azimuth = plane_of_maximum_curvature(T, upper, lower)
        vector = da_vinci_vector_mm(T, upper, middle, lower)
        entries |= {
            f"rotation_{name}_deg": axial[..., upper : lower + 1].mean(-1),
            f"pmc_{name}_deg": angle,
            f"pmc_{name}_azimuth_deg": azimuth,
            f"davinci_{name}_mm": np.linalg.norm(vector, axis=-1),
            f"davinci_{name}_azimuth_deg": azimuth_deg(vector),
        }
    return entries


def _line(T: np.ndarray, line: LineOperator) -> dict[str, np.ndarray]:
    derivatives = line.derivatives(T)
    thoracic, lumbar, trunk = line.rows(T1, T12), line.rows(T12, L5), line.rows(T1, L5)

    def over(rows: slice) -> tuple[np.ndarray, ...]:
        return tuple(d[..., rows, :] for d in derivatives)

    curvature = curvature_per_m(*derivatives[:2])
    return {
        "curvature_thoracic_max_per_m": curvature[..., thoracic].max(-1),
        "curvature_lumbar_max_per_m": curvature[..., lumbar].max(-1),
        "torsion_thoracic_per_m": mean_torsion_per_m(*over(thoracic)),
        "torsion_lumbar_per_m": mean_torsion_per_m(*over(lumbar)),
        "torsion_abs_per_m": mean_torsion_per_m(*over(trunk), absolute=True),
    }
