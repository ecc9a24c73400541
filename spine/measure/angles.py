"""How each vertebra stands: three projection angles, and names for places between levels.

A chain is `T_body_vertebra`, (*batch, 25, 4, 4) in the order of `LEVELS`; every function takes any batch.
Each vertebra is a rigid body whose end plates are taken perpendicular to its axis y, so that an end-plate
tilt is the tilt of that axis (wedging of single bodies is not observed from the back).

The angles are those between a projected axis and the body frame (three angulations of each vertebra: Stokes
et al., Scoliosis Research Society working group on 3-D terminology, Spine 1994;19:236-248).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from spine.anatomy import LEVELS
from suite.errors import BadInput

C7, T1, T4, T5, T12 = (LEVELS.index(level) for level in ("C7", "T1", "T4", "T5", "T12"))
L1, L5, S1 = (LEVELS.index(level) for level in ("L1", "L5", "S1"))


def checked_chain(T: np.ndarray, where: str) -> Float[np.ndarray, "*batch 25 4 4"]:
    """The chain as float64.

    BadInput for another shape, numbers that are not finite or axes that are no rotation.
    """
    T = np.asarray(T, np.float64)
    if T.ndim < 3 or T.shape[-3:] != (len(LEVELS), 4, 4):
        raise BadInput(f"expected {len(LEVELS)} frames of 4 x 4, got shape {T.shape}", where=where)
    if not np.isfinite(T).all():
        raise BadInput("a vertebra's frame holds numbers that are not finite", where=where)
    R = T[..., :3, :3]
    if np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max() > 1e-5 or (np.linalg.det(R) < 0).any():
        raise BadInput("a vertebra's axes are not a rotation", where=where, hint="right-handed, unit length")
    return T


def coronal_tilt_deg(T: Float[np.ndarray, "*batch 25 4 4"]) -> Float[np.ndarray, "*batch 25"]:
    """Tilt of the end plates seen from behind; positive = counter-clockwise, the right side rises."""
    return np.degrees(np.arctan2(-T[..., 0, 1], T[..., 1, 1]))


def sagittal_tilt_deg(T: Float[np.ndarray, "*batch 25 4 4"]) -> Float[np.ndarray, "*batch 25"]:
    """Tilt of the end plates seen from the side; positive = leaning back (extension)."""
    return np.degrees(np.arctan2(T[..., 2, 1], T[..., 1, 1]))


def axial_rotation_deg(T: Float[np.ndarray, "*batch 25 4 4"]) -> Float[np.ndarray, "*batch 25"]:
    """Rotation in the horizontal plane; positive = the spinous process points to the right."""
    return np.degrees(np.arctan2(T[..., 0, 2], T[..., 2, 2]))


def level_name(place: float) -> str:
    """The level nearest to a place counted in levels: 7.0 -> `T1`; half-way the disc, `T11/12` or `L5/S1`."""
    place = float(np.clip(place, 0, len(LEVELS) - 1))
    upper = int(place)
    if not 0.25 < place - upper < 0.75:
        return LEVELS[round(place)]
    above, below = LEVELS[upper], LEVELS[upper + 1]
    return f"{above}/{below[1:] if below[0] == above[0] else below}"
