"""Real spherical harmonics of degree 4 (bands 0 to 3), in tiny-cuda-nn's order and signs.

Number l^2 + l + m is Y_lm, with the Condon-Shortley phase for odd m; they are orthonormal on the sphere. The
polynomials are those of Sloan, "Stupid Spherical Harmonics Tricks" (2008), appendix A2.
"""

from __future__ import annotations

from math import pi, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

WIDTH = 16
"""Values of a direction."""


def view_basis(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 16"]:
    """The 16 values of each unit direction."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack(
        [
            torch.full_like(x, sqrt(1 / (4 * pi))),
            -sqrt(3 / (4 * pi)) * y,
            sqrt(3 / (4 * pi)) * z,
            -sqrt(3 / (4 * pi)) * x,
            sqrt(15 / (4 * pi)) * x * y,
            -sqrt(15 / (4 * pi)) * y * z,
            sqrt(5 / (16 * pi)) * (3 * zz - 1),
            -sqrt(15 / (4 * pi)) * x * z,
            sqrt(15 / (16 * pi)) * (xx - yy),
            sqrt(35 / (32 * pi)) * y * (yy - 3 * xx),
            sqrt(105 / (4 * pi)) * x * y * z,
            sqrt(21 / (32 * pi)) * y * (1 - 5 * zz),
            sqrt(7 / (16 * pi)) * z * (5 * zz - 3),
            sqrt(21 / (32 * pi)) * x * (1 - 5 * zz),
            sqrt(105 / (16 * pi)) * z * (xx - yy),
            sqrt(35 / (32 * pi)) * x * (3 * yy - xx),
        ],
        -1,
    )
