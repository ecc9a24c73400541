"""One figure for the whole shape: how far a spine lies from the population's spines.

The curve T1 ... L5 of the body centres, freed of place, size, yaw and lean, is written in the shape modes
that `spine.shape` learned from CT scans; its Mahalanobis distance (Mahalanobis 1936) to their mean is the
score. For people of that population the squared distance follows about a chi-square law with as many degrees
as modes. They lay in a scanner, so sagittal modes also hold the step from lying to standing; the lateral
modes alone do not.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2

from spine.measure.angles import L5, T1
from spine.shape import ShapeModes

N_MODES = 6


def mahalanobis(
    coefficients: Float[np.ndarray, "m k"],
    mean: Float[np.ndarray, " k"],
    covariance: Float[np.ndarray, "k k"],
) -> Float[np.ndarray, " m"]:
    """Distance of coefficients from a mean in units of a covariance.

    LinAlgError where that is not positive definite.
    """
    white = np.linalg.solve(np.linalg.cholesky(covariance), (np.asarray(coefficients) - mean).T)
    return np.sqrt((white**2).sum(0))


def shape_coefficients(T: Float[np.ndarray, "m 25 4 4"], modes: ShapeModes) -> Float[np.ndarray, "m modes"]:
    """Coefficients (SD units) of a chain's curve T1 ...

    L5: chord upright, mean lateral axis to the right, arc 1.
    """
    centers, across = T[..., T1 : L5 + 1, :3, 3], T[..., T1 : L5 + 1, :3, 0].mean(-2)
    up = centers[..., 0, :] - centers[..., -1, :]
    up = up / np.linalg.norm(up, axis=-1, keepdims=True)
    right = across - (across * up).sum(-1, keepdims=True) * up
    right = right / np.linalg.norm(right, axis=-1, keepdims=True)
    frame = np.stack([right, up, np.cross(right, up)], axis=-1)
    arc = np.linalg.norm(np.diff(centers, axis=-2), axis=-1).sum(-1)[..., None, None]
    curve = (centers - centers.mean(-2, keepdims=True)) @ frame / arc
    return np.einsum("...ij,kij->...k", curve - modes.mean, modes.components) / modes.sd


def normality(
    T: Float[np.ndarray, "m 25 4 4"], modes: ShapeModes, *, lateral: bool = False
) -> tuple[Float[np.ndarray, " m"], float]:
    """Mahalanobis distance of a chain over the first modes (or the lateral ones among them), and its 95 %
    limit.
    """
    kept = np.flatnonzero(modes.lateral[:N_MODES]) if lateral else np.arange(min(N_MODES, len(modes.sd)))
    c = shape_coefficients(T, modes)[..., kept]
    return mahalanobis(c, np.zeros(len(kept)), np.eye(len(kept))), float(np.sqrt(chi2.ppf(0.95, len(kept))))
