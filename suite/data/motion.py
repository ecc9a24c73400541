"""How a subject moved between the frames of a camera that stands still, and in which frames it kept its
shape.

Everything is done on depth in blocks of pixels (suite.data.sampling). The pose of every frame comes from
point-to-plane registration against one frame (Y. Chen, G. Medioni, Image and Vision Computing 10, 1992:145),
points paired along the ray through the block; what the rigid motion leaves over is a change of shape, such as
breathing. Letters: X points of the reference frame, n their normals, T = T_frame_ref.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from suite.data.sampling import depth_at
from suite.geometry.camera import PinholeCamera
from suite.geometry.rotations import se3_exp, se3_inverse, se3_log, transform_points

_STEPS, _DONE = 8, 3e-6
_HUBER_M, _FAR_M = 0.003, 0.03
_PRIOR_M, _PRIOR_RAD = 0.03, 0.06  # of a whole frame: only what the surface leaves open is held
_GRAZING = 0.25  # least cosine between a normal and the ray
_SMOOTH_BLOCKS = 4.0
_FEWEST = 60  # blocks that a registration needs


@dataclass(frozen=True, eq=False)
class Motion:
    """Of every frame against frame `reference`: T_frame_ref (m), the share of the subject's blocks that was
    seen in place, and how far the frame's shape lies from every other's (RMS, m, rigid motion taken out)."""

    reference: int
    T_frame_ref: Float[np.ndarray, "n 4 4"]
    overlap: Float[np.ndarray, " n"]
    apart_m: Float[np.ndarray, "n n"]
    centre_m: Float[np.ndarray, " 3"]

    @property
    def shift_m(self) -> Float[np.ndarray, " n"]:
        """How far the subject's middle moved."""
        moved = self.T_frame_ref[:, :3, :3] @ self.centre_m + self.T_frame_ref[:, :3, 3]
        return np.linalg.norm(moved - self.centre_m, axis=1)

    @property
    def turn_rad(self) -> Float[np.ndarray, " n"]:
        """How far the subject turned."""
        trace = np.trace(self.T_frame_ref[:, :3, :3], axis1=1, axis2=2)
        return np.arccos(np.clip((trace - 1) / 2, -1, 1))

    def still(
        self, shape_m: float, shift_m: float, overlap: float = 0.6
    ) -> tuple[int, Bool[np.ndarray, " n"]]:
        """The frame with the most others like it, and those: seen, alike in shape, not moved far from it.

        What even the most similar pairs differ by is noise, and is allowed on top of shape_m.
        """
        centre = self.T_frame_ref[:, :3, :3] @ self.centre_m + self.T_frame_ref[:, :3, 3]
        near = np.linalg.norm(centre[:, None] - centre, axis=2) <= shift_m
        pairs = self.apart_m[np.triu_indices(len(near), 1)]
        pairs = pairs[np.isfinite(pairs)]
        noise_m = float(np.percentile(pairs, 10)) if len(pairs) else 0.0
        seen = self.overlap >= overlap
        alike = near & (self.apart_m <= np.hypot(shape_m, noise_m)) & seen & seen[:, None]
        far = np.where(alike, self.apart_m, 0.0).sum(1) / np.maximum(alike.sum(1), 1)
        best = int(np.lexsort((far, -alike.sum(1)))[0])
        return best, alike[best]

    def against(self, frame: int) -> Float[np.ndarray, "n 4 4"]:
        """The same motion against another frame."""
        return self.T_frame_ref @ se3_inverse(self.T_frame_ref[frame])


def find_motion(
    depth_m: Float[np.ndarray, "n H W"], camera: PinholeCamera, reference: int | None = None
) -> Motion:
    """The motion of a subject that alone has depth in these images, against `reference` (the middle frame).

    A frame in which too little of the subject lies where it was has overlap 0 and no motion.
    """
    n = len(depth_m)
    reference = n // 2 if reference is None else reference
    X = camera.backproject(depth_m[reference])
    normals = _normals(X)
    ok = np.isfinite(normals[..., 0])
    X, normals = X[ok], normals[ok]
    centre = X.mean(0) if len(X) else np.zeros(3)
    T, overlap = np.tile(np.eye(4), (n, 1, 1)), np.zeros(n)
    left_over = np.full((n, *ok.shape), np.nan)
    for i in range(n if len(X) >= _FEWEST else 0):
        T[i], along, overlap[i] = _register(X, normals, centre, depth_m[i], camera)
        left_over[i][ok] = along
    return Motion(reference, T, overlap, _apart(left_over, ok), centre)


def _register(
    X: np.ndarray, normals: np.ndarray, centre: np.ndarray, depth: np.ndarray, camera: PinholeCamera
) -> tuple[np.ndarray, np.ndarray, float]:
    """T_frame_ref, what is left over along each normal, and the share of points that were seen."""
    prior = (_HUBER_M / np.array([_PRIOR_M] * 3 + [_PRIOR_RAD] * 3)) ** 2
    turned = np.eye(4)  # about the middle of the subject, where turns and shifts hardly trade
    along = np.full(len(X), np.nan)
    for _ in range(_STEPS):
        arm = transform_points(turned, X - centre)
        Y, n = arm + centre, normals @ turned[:3, :3].T
        along = (n * Y).sum(1) * (depth_at(depth, camera.project(Y)) / Y[:, 2] - 1)
        along[~(np.abs(along) < _FAR_M)] = np.nan
        seen = np.isfinite(along)
        if seen.sum() < _FEWEST:
            return np.eye(4), np.full(len(X), np.nan), 0.0
        r, J = along[seen], np.concatenate([n, np.cross(arm, n)], axis=1)[seen]
        JW = J.T * np.minimum(1, _HUBER_M / np.maximum(np.abs(r), 1e-9))
        step = np.linalg.solve(JW @ J + np.diag(prior), JW @ r - prior * se3_log(turned))
        turned = se3_exp(step) @ turned
        if np.abs(step).max() < _DONE:
            break
    T = turned.copy()
    T[:3, 3] += centre - turned[:3, :3] @ centre
    return T, along, float(np.isfinite(along).mean())


def _normals(X: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """Unit normals towards the camera; NaN at the edge of the subject and where it is seen at a slant."""
    normals = np.full(X.shape, np.nan)
    right, down = X[1:-1, 2:] - X[1:-1, :-2], X[2:, 1:-1] - X[:-2, 1:-1]
    n = np.cross(down, right)
    inner = X[1:-1, 1:-1]
    size, away = np.linalg.norm(n, axis=2), np.linalg.norm(inner, axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        n = n / size[..., None]
        slant = -(n * inner).sum(2) / away
    normals[1:-1, 1:-1] = np.where((slant > _GRAZING)[..., None], n, np.nan)
    return normals


def _apart(left_over: Float[np.ndarray, "n H W"], ok: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "n n"]:
    """RMS difference (m) between the smoothed shapes of every two frames; infinite where one has none."""
    smooth = [_smoothed(x, ok) for x in left_over]
    n = len(left_over)
    apart = np.full((n, n), np.inf)
    for i in range(n):
        for j in range(i + 1):
            difference = smooth[i] - smooth[j]
            both = np.isfinite(difference)
            if both.sum() >= _FEWEST:
                apart[i, j] = apart[j, i] = np.sqrt(np.mean(difference[both] ** 2))
    return apart


def _smoothed(values: Float[np.ndarray, "H W"], ok: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, " k"]:
    """Of the blocks that are ok, each the weighted mean of those around it that have a value."""
    from scipy.ndimage import gaussian_filter

    seen = np.isfinite(values)
    weight = gaussian_filter(seen.astype(np.float64), _SMOOTH_BLOCKS)
    total = gaussian_filter(np.where(seen, values, 0.0), _SMOOTH_BLOCKS)
    return np.where(seen & (weight > 0.1), total / np.maximum(weight, 0.1), np.nan)[ok]
