"""Which way is up, and which side of the person is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Axis = Literal["auto", "+x", "-x", "+y", "-y", "+z", "-z"]


@dataclass(frozen=True)
class Upright:
    """R_body_input turns input axes into body axes (x right, y up, z posterior)."""

    R_body_input: Float[np.ndarray, "3 3"]
    gravity_known: bool
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


def axis_vector(axis: str) -> Float[np.ndarray, " 3"]:
    """'+x' -> (1, 0, 0), '-z' -> (0, 0, -1)."""
    vector = np.zeros(3)
    vector["xyz".index(axis[1])] = 1.0 if axis[0] == "+" else -1.0
    return vector


def upright(points_mm: Float[np.ndarray, "n 3"], up: Axis = "auto", facing: Axis = "auto") -> Upright:
    """Body axes of a cloud. facing is the direction from the person to the viewer behind (posterior)."""
    centre = np.median(points_mm, axis=0)
    camera = abs(centre[2]) > 0.3 * np.ptp(points_mm, axis=0).max()
    y = axis_vector(up if up != "auto" else "-y" if camera and centre[2] > 0 else "+y")
    z = axis_vector(facing if facing != "auto" else "-z" if camera and centre[2] > 0 else "+z")
    return Upright(np.stack([np.cross(y, z), y, z]), up != "auto")
