"""Many frames of a camera and a subject that stand still, made into one."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Int

from suite.data.frame import RgbdFrame
from suite.data.recording import RgbdRecording
from suite.errors import BackendUnavailable, BadInput
from suite.geometry.mesh import Mesh

_BLOCK, _BLOCKS = 16, 1000  # voxels along a block of the field, and blocks to begin with
_ROWS = 64  # of the image are sorted at a time
_NONE = np.iinfo(np.uint16).max


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
