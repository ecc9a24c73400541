"""How far the centre of a vertebra lies in front of the skin of the back.

    L = a T + b y        T: height from the base mid-point up to VP, y: how far below VP, all in mm

L is measured horizontally, at the height of the centre, in the direction in which the vertebra points
backwards. The linear form is that of Turner-Smith et al. (J Biomech 1988;21:497-509; commonly given as
0.132 T + 0.035 y).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from suite.config import Config
from suite.errors import BadInput


class SkinDepth(Config):
    """Skin-to-centre distance as a function of the trunk's height and the level.

    The default coefficients were measured on 15 adolescents with scoliosis (radiographic line of the
    vertebral centres against the registered back surface); `sd` is their error on people left out.
    """

    a: float = 0.140
    """Skin-to-centre distance at the height of VP, as a share of the height of the trunk."""
    b: float = 0.063
    """Growth of the distance for every mm below VP."""
    sd: float = 8.6
    """Standard deviation (mm) of a person's true distance around this form; it widens the intervals of
    depth."""

    def depth_mm(
        self, trunk_mm: float, below_vp_mm: Float[np.ndarray, "*levels"]
    ) -> Float[np.ndarray, "*levels"]:
        """L at heights given as mm below VP (negative above it)."""
        return self.a * trunk_mm + self.b * np.asarray(below_vp_mm)

    @staticmethod
    def fitted(
        trunk_mm: Float[np.ndarray, " n"],
        below_vp_mm: Float[np.ndarray, " n"],
        depth_mm: Float[np.ndarray, " n"],
    ) -> SkinDepth:
        """Least-squares coefficients over measured distances; `sd` is that of the residuals.

        Raises BadInput for fewer than three finite measurements.
        """
        A, L = np.stack([trunk_mm, below_vp_mm], axis=1), np.asarray(depth_mm, np.float64)
        good = np.isfinite(A).all(1) & np.isfinite(L)
        if good.sum() < 3:
            raise BadInput(f"{good.sum()} finite distances, at least 3 are needed", where="SkinDepth.fitted")
        coefficients = np.linalg.lstsq(A[good], L[good], rcond=None)[0]
        error = L[good] - A[good] @ coefficients
        a, b = map(float, coefficients)
        return SkinDepth(a=a, b=b, sd=float(np.sqrt(error @ error / (good.sum() - 2))))
