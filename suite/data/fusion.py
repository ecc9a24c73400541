"""Many frames of a camera that stands still, made into one.

median_depth and fuse_tsdf take the subject to stand still as well; merge_frames undoes its motion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from suite.data.frame import RgbdFrame
from suite.data.recording import RgbdRecording
from suite.data.sampling import depth_at
from suite.errors import BackendUnavailable, BadInput
from suite.geometry.camera import PinholeCamera
from suite.geometry.mesh import Mesh
from suite.geometry.rotations import transform_points

_BLOCK, _BLOCKS = 16, 1000  # voxels along a block of the field, and blocks to begin with
_ROWS = 64  # of the image are sorted at a time
_NONE = np.iinfo(np.uint16).max
_CHUNK = 50_000  # pixels are averaged at a time
_OUTLIER = 3.0  # robust standard deviations


def median_depth(recording: RgbdRecording, min_count: int = 1) -> tuple[RgbdFrame, Int[np.ndarray, "h w"]]:
    """The median over time of each pixel's depth, and in how many frames the pixel had any.

    Frames without depth at a pixel do not count; a pixel seen fewer than `min_count` times stays NaN.
    Colour is that of the middle frame, registered to the median depth; the timestamp is the middle frame's.
    Movement of the subject is not undone. Raises BadInput where no pixel is left.
    """
    counts = np.stack([recording.counts(i) for i in range(len(recording))])
    seen = (counts > 0).sum(axis=0)
    depth = np.full(seen.shape, np.nan)
    for top in range(0, len(seen), _ROWS):
        rows = slice(top, top + _ROWS)
        block = counts[:, rows]
        ordered = np.sort(np.where(block == 0, _NONE, block), axis=0)  # frames without depth come last
        n = np.maximum(seen[rows], 1)
        low = np.take_along_axis(ordered, ((n - 1) // 2)[None], axis=0)[0].astype(np.float64)
        high = np.take_along_axis(ordered, (n // 2)[None], axis=0)[0].astype(np.float64)
        depth[rows] = 0.5 * (low + high) * recording.info.depth_unit_m
    depth[seen < max(min_count, 1)] = np.nan
    if np.isnan(depth).all():
        what = f"no pixel has depth in {max(min_count, 1)} of {len(recording)} frames"
        raise BadInput(what, recording.folder, hint="check that the subject is in the camera's range")
    middle = len(recording) // 2
    frame = RgbdFrame(
        depth.astype(np.float32),
        recording.color_at(middle, depth),
        recording.info.camera_depth,
        recording.timestamps_s[middle],
        recording.info.gravity_camera,
    )
    return frame, seen


@dataclass(frozen=True, eq=False)
class Merged:
    """Depth (m, NaN where too few frames agree), in how many frames each pixel was seen and not an outlier,
    and the standard deviation (m) of a single frame about the merged depth, over time."""

    depth_m: Float[np.ndarray, "h w"]
    count: Int[np.ndarray, "h w"]
    noise_m: Float[np.ndarray, "h w"]


def merge_frames(
    frames: Iterable[Float[np.ndarray, "h w"]],
    T_frame_ref: Float[np.ndarray, "n 4 4"],
    camera: PinholeCamera,
    start_m: Float[np.ndarray, "h w"],
    *,
    gate_m: float = 0.025,
    least: float = 0.4,
    mean: bool = True,
) -> Merged:
    """Frames of a subject that moved by T_frame_ref, averaged on the pixels of the reference frame.

    `start_m` is the depth to start from, NaN where nothing is wanted; depth farther than gate_m from it does
    not count. Every pixel's point is carried into each frame and meets the depth there, bilinear and never
    across an edge. Averaged is with a median, or the mean of what lies within 3 robust standard deviations of
    it; a pixel that fewer than the share `least` of all frames agree on has no depth.
    """
    wanted = np.isfinite(start_m)
    X = camera.backproject(start_m)[wanted]
    off = np.full((len(T_frame_ref), len(X)), np.nan, np.float32)
    for row, depth, T in zip(off, frames, T_frame_ref, strict=True):
        Y = transform_points(T, X)
        found = depth_at(depth, camera.project(Y), gate_m) - Y[:, 2]
        row[:] = np.where(np.abs(found) < gate_m, found, np.nan)
    value, noise, count = (np.full(len(X), fill) for fill in (np.nan, np.nan, 0))
    for first in range(0, len(X), _CHUNK):
        part = slice(first, first + _CHUNK)
        value[part], noise[part], count[part] = _averaged(off[:, part], mean)
    value[count < max(least * len(off), 1)] = np.nan
    out = [np.full(start_m.shape, np.nan) for _ in range(2)]
    counts = np.zeros(start_m.shape, np.int64)
    out[0][wanted], out[1][wanted], counts[wanted] = X[:, 2] + value, noise, count
    return Merged(out[0], counts, out[1])


def _averaged(off: np.ndarray, mean: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average over rows, standard deviation about it, and how many rows count; NaN are left out."""
    seen = np.isfinite(off)
    middle = _median(off, seen.sum(0))
    spread = 1.4826 * _median(np.abs(off - middle), seen.sum(0))
    # no narrower than the spread all around: of few frames some agree by chance
    limit = _OUTLIER * np.maximum(spread, np.nanmedian(spread) if np.isfinite(spread).any() else 0.0)
    good = seen & (np.abs(off - middle) <= limit)
    count = good.sum(0)
    kept = np.where(good, off, 0.0)
    average = kept.sum(0) / np.maximum(count, 1) if mean else middle
    square = (np.where(good, off - average, 0.0) ** 2).sum(0)
    noise = np.where(count > 1, np.sqrt(square / np.maximum(count - 1, 1)), np.nan)
    return np.where(count > 0, average, np.nan), noise, count


def _median(values: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Over rows, of the `count` values that are not NaN."""
    ordered = np.sort(values, axis=0)  # NaN come last
    n, column = np.maximum(count, 1), np.arange(values.shape[1])
    return 0.5 * (ordered[(n - 1) // 2, column] + ordered[n // 2, column])


def surface_edges(
    depth_m: Float[np.ndarray, "h w"],
    camera: PinholeCamera,
    *,
    width_px: int = 2,
    jump_m: float = 0.02,
    grazing_deg: float = 80.0,
) -> Bool[np.ndarray, "h w"]:
    """Pixels that may fly between a subject and what lies behind it: within width_px of a jump in depth, and
    those of skin seen at a slant of more than grazing_deg.

    A hole of single pixels is no edge: only what stays open when holes of up to width_px are closed.
    """
    from scipy.ndimage import binary_closing, binary_dilation, maximum_filter, minimum_filter

    seen = np.isfinite(depth_m)
    size = 2 * width_px + 1
    window = np.ones((size, size), bool)
    padded = np.pad(seen, size)
    outside = np.logical_not(binary_closing(padded, window))[size:-size, size:-size]
    near = minimum_filter(np.where(seen, depth_m, np.inf), 3)
    far = maximum_filter(np.where(seen, depth_m, -np.inf), 3)
    steep = np.tan(np.radians(grazing_deg)) * 2 * np.sqrt(2) / min(camera.fx, camera.fy)
    with np.errstate(invalid="ignore"):
        slanted = seen & (far - near > steep * near)
        jump = seen & (far - near > np.maximum(jump_m, steep * near))
    return seen & (slanted | binary_dilation(outside | jump, window))


def fuse_tsdf(
    recording: RgbdRecording,
    voxel_m: float = 0.003,
    trunc_m: float = 0.012,
    max_depth_m: float = 2.0,
    min_count: int = 1,
) -> Mesh:
    """Surface of all frames in a truncated signed distance field, in the depth camera's frame (m).

    The camera stands still; depth beyond `max_depth_m` is left out, and so is surface seen in fewer than
    `min_count` frames. B. Curless, M. Levoy, "A volumetric method for building complex models from range
    images", 1996; integrated by Open3D. Raises BadInput for lengths that do not fit, or where no surface
    results.
    """
    if not 0 < voxel_m <= trunc_m:
        what = f"voxel of {voxel_m:g} m with a truncation of {trunc_m:g} m"
        raise BadInput(what, hint="give a positive voxel and a truncation of some voxels, such as 4")
    try:
        o3d: Any = import_module("open3d")  # its stubs do not know that tensors are made of arrays
    except ImportError as error:
        raise BackendUnavailable("open3d", str(error), hint="pip install open3d") from None
    colored = all(file is not None for file in recording.color_files)
    names, sizes = ["tsdf", "weight", "color"], [(1,), (1,), (3,)]
    channels = 3 if colored else 2
    grid = o3d.t.geometry.VoxelBlockGrid(
        names[:channels], [o3d.core.float32] * channels, sizes[:channels], voxel_m, _BLOCK, _BLOCKS
    )
    K = o3d.core.Tensor(recording.info.camera_depth.matrix)
    T_camera_world = o3d.core.Tensor(np.eye(4))
    scale, margin_voxels = 1.0, trunc_m / voxel_m
    for frame in recording:
        depth = o3d.t.geometry.Image(o3d.core.Tensor(np.nan_to_num(frame.depth_m)))
        images = [depth]
        if frame.color is not None and colored:
            images.append(o3d.t.geometry.Image(o3d.core.Tensor(frame.color.astype(np.float32) / 255)))
        blocks = grid.compute_unique_block_coordinates(
            depth, K, T_camera_world, scale, max_depth_m, margin_voxels
        )
        cameras = [K] * len(images)
        grid.integrate(blocks, *images, *cameras, T_camera_world, scale, max_depth_m, margin_voxels)
    mesh = grid.extract_triangle_mesh(weight_threshold=min_count - 0.5)
    if not len(mesh.triangle.indices):
        hint = "use a larger voxel, check max_depth_m and the depth images"
        raise BadInput("gives no surface", recording.folder, hint)
    colors = mesh.vertex.colors.numpy() if colored else None
    return Mesh(
        mesh.vertex.positions.numpy().astype(np.float64),
        mesh.triangle.indices.numpy().astype(np.int64),
        None if colors is None else np.round(np.clip(colors, 0, 1) * 255).astype(np.uint8),
    )
