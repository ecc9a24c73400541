"""A raw cloud made into the points of one person's skin: no stray points, no wall, no islands. All lengths in
mm."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.spatial import KDTree

WALL_WIDTH_MM = 600.0
"""A plane that stays flat over this distance in two directions is a wall or a floor: no back does."""


def thin_out(points_mm: Float[np.ndarray, "n 3"], voxel_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """One point per occupied voxel, the mean of those in it.

    Returns the means (m, 3) and, for each, the index of one of its points (for colours).
    """
    voxel = np.floor((points_mm - points_mm.min(0)) / voxel_mm).astype(np.int64)
    size = voxel.max(0) + 1
    key = (voxel[:, 0] * size[1] + voxel[:, 1]) * size[2] + voxel[:, 2]
    _, first, inverse, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    sums = [np.bincount(inverse, points_mm[:, axis], minlength=len(first)) for axis in range(3)]
    return np.stack(sums, axis=1) / count[:, None], first


def is_inlier(
    points_mm: Float[np.ndarray, "n 3"], k: int = 8, n_sigma: float = 4.0
) -> Bool[np.ndarray, " n"]:
    """Statistical outlier removal: False where the mean distance to k neighbours is n_sigma robust deviations
    above the median of all (Rusu et al. 2008, Robotics and Autonomous Systems 56)."""
    distance = KDTree(points_mm).query(points_mm, k=min(k + 1, len(points_mm)))[0][:, 1:].mean(1)
    centre = np.median(distance)
    spread = 1.4826 * np.median(np.abs(distance - centre))
    return distance <= centre + n_sigma * max(spread, 0.25 * centre)


def in_largest_component(
    points_mm: Float[np.ndarray, "n 3"], voxel_mm: float = 12.0
) -> tuple[Bool[np.ndarray, " n"], int]:
    """Whether each point belongs to the largest 26-connected set of occupied voxels; and how many sets there
    are."""
    voxel = np.floor((points_mm - points_mm.min(0)) / voxel_mm).astype(np.int64)
    size = voxel.max(0) + 1
    if np.prod(size.astype(float)) > 2e8:  # a few stray points far away: look at coarser voxels
        return in_largest_component(points_mm, 2 * voxel_mm)
    occupied = np.zeros(size, bool)
    occupied[tuple(voxel.T)] = True
    labels, n = ndimage.label(occupied, np.ones((3, 3, 3)))  # type: ignore[misc]
    label = labels[tuple(voxel.T)]
    return label == np.bincount(label).argmax(), int(n)


def on_wall(
    points_mm: Float[np.ndarray, "n 3"], tolerance_mm: float = 12.0, trials: int = 400, seed: int = 0
) -> Bool[np.ndarray, " n"]:
    """Whether each point lies on the cloud's dominant plane, if that plane is a wall or a floor; else all
    False.

    RANSAC (Fischler & Bolles 1981) on a sample, refined by least squares. A wall holds at least 15 % of the
    points and is wider than WALL_WIDTH_MM in both directions.
    """
    none = np.zeros(len(points_mm), bool)
    if np.sort(np.ptp(points_mm, axis=0))[-2] < WALL_WIDTH_MM:
        return none
    random = np.random.default_rng(seed)
    some = points_mm[random.choice(len(points_mm), min(len(points_mm), 3000), replace=False)]
    a, b, c = some[random.integers(len(some), size=(3, trials))]
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    normals, a = normals[length > 1e3] / length[length > 1e3, None], a[length > 1e3]
    if len(normals) == 0:
        return none
    distance = np.abs(some @ normals.T - (normals * a).sum(1))
    best = int((distance < tolerance_mm).sum(0).argmax())
    inlier = some[distance[:, best] < tolerance_mm]
    centre = inlier.mean(0)
    axes = np.linalg.svd(inlier - centre, full_matrices=False)[2]
    near = np.abs((points_mm - centre) @ axes[2]) < tolerance_mm
    if near.mean() < 0.15:
        return none
    plane = (points_mm[near] - centre) @ axes[:2].T
    low, high = np.percentile(plane, [2, 98], axis=0)
    return near if (high - low).min() > WALL_WIDTH_MM else none


def point_noise_mm(
    points_mm: Float[np.ndarray, "n 3"], k: int = 24, samples: int = 3000, seed: int = 0
) -> float:
    """Standard deviation of single points along z: residuals of a quadric through the k nearest in (x, y),
    median over the surface. Errors shared by neighbouring points do not show in it. Points in the body frame,
    one layer."""
    k = min(k, len(points_mm))
    if k < 10:
        return float("nan")
    centre = np.random.default_rng(seed).choice(len(points_mm), min(samples, len(points_mm)), replace=False)
    near = KDTree(points_mm[:, :2]).query(points_mm[centre, :2], k=k)[1]
    d = points_mm[near] - points_mm[centre, None]
    scale = np.abs(d[..., :2]).max((1, 2))[:, None] + 1e-9
    x, y, z = d[..., 0] / scale, d[..., 1] / scale, d[..., 2]
    basis, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1))
    residual = z - (basis @ (basis.swapaxes(1, 2) @ z[..., None]))[..., 0]
    return float(np.median(np.sqrt((residual**2).sum(1) / (k - 6))))


def normals_of(points_mm: Float[np.ndarray, "n 3"], k: int = 16) -> Float[np.ndarray, "n 3"]:
    """Unit normals by PCA over the k nearest points, pointing to the viewer (z >= 0 in the body frame)."""
    near = KDTree(points_mm).query(points_mm, k=min(k, len(points_mm)))[1]
    d = points_mm[near] - points_mm[near].mean(1, keepdims=True)
    normals = np.linalg.eigh(d.swapaxes(1, 2) @ d)[1][..., 0]
    return np.where(normals[:, 2:] < 0, -normals, normals)
