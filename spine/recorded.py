"""A recording of a depth camera -> the skin of the person in it, as points, and how good the capture is.

    find the person -> motion of every frame -> frames kept -> averaged on one frame's pixels -> edges off

A frame is kept where the person is seen, has not moved far, and has the shape most frames have (breathing
changes it). Nothing is filled in and nothing is smoothed over the image: every point is the average over time
of one pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from spine.foreground import find_person
from suite.data.fusion import Merged, merge_frames, surface_edges
from suite.data.motion import Motion, find_motion
from suite.data.rgbd import RgbdFrame, RgbdRecording, read_recording
from suite.data.sampling import block_camera, in_blocks
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera
from suite.geometry.mesh import PointCloud

MOST_FRAMES = 150
"""Of longer recordings so many frames are used, evenly spaced."""
_LOOKS = 7  # frames of the first look
_MARGIN_PX = 24
_BLOCK_MM = 7.0
_REACH_M = 0.06  # how far the person may move in depth and still be followed


@dataclass(frozen=True)
class MergeOptions:
    """What is done with the frames of a recording; everything can be switched off to see what it brings."""

    register: bool = True
    """Undo the person's motion in every frame."""
    still_m: float | None = 0.0005
    """Frames whose shape differs by more than this (RMS) from the reference are left out; None keeps all."""
    moved_m: float = 0.015
    """Frames in which the person stands farther than this from the reference are left out."""
    mean: bool = True
    """Average what is no outlier, instead of the median."""
    edge_px: int = 2
    """Width of the edge that is taken off; 0 keeps it."""


@dataclass(frozen=True)
class CaptureQuality:
    """How good a recording is; lengths in mm.

    moved, changed, lost: frames left out as the person stood elsewhere, had another shape (breath), or was
    not seen. temporal_noise_mm: of a single frame, over time, median over the person; merged_noise_mm: what
    averaging leaves of it, without errors that repeat in every frame. coverage: share of the person's pixels
    that have depth; motion_mm, turn_deg: the most the person moved.
    """

    frames: int
    used: int
    moved: int
    changed: int
    lost: int
    temporal_noise_mm: float
    merged_noise_mm: float
    coverage: float
    distance_mm: float
    motion_mm: float
    turn_deg: float
    gravity_known: bool


@dataclass(frozen=True, eq=False)
class RecordedSkin:
    """The merged frame (depth of the person alone), which frames it is made of, and the capture's quality."""

    frame: RgbdFrame
    reference: int
    kept: Bool[np.ndarray, " n"]
    quality: CaptureQuality
    edge: Bool[np.ndarray, "h w"]

    def cloud(self) -> PointCloud:
        """Points (m) in the camera frame."""
        return self.frame.cloud()


def read_skin(path: str | Path, options: MergeOptions | None = None) -> RecordedSkin:
    """The skin in a recording's folder. Raises BadInput where the recording is damaged or shows nobody."""
    return merged_skin(read_recording(path), options)


def merged_skin(recording: RgbdRecording, options: MergeOptions | None = None) -> RecordedSkin:
    """The skin in a recording. Raises BadInput where nobody is to be seen."""
    options = options or MergeOptions()
    info, total = recording.info, len(recording)
    chosen = _evenly(total, MOST_FRAMES)

    looks = [chosen[i] for i in _evenly(len(chosen), _LOOKS)]
    first_m = _median([_depth(recording, i) for i in looks])
    person = find_person(first_m, info.camera_depth, info.gravity_camera)
    if person is None:
        raise BadInput(
            "nobody is to be seen in the recording",
            recording.folder,
            "stand 0.6 to 1.5 m before the camera, with the bare back towards it, in the middle of its image",
        )
    window = _window(person.mask)
    camera = _cropped(info.camera_depth, window)
    around, mask = person.around_m[window], person.mask[window]
    start = np.where(mask, first_m[window], np.nan)
    frames = [_near(_depth(recording, i)[window], around) for i in chosen]

    motion = _motion(frames, camera, float(np.nanmedian(start)))
    if options.still_m is not None:
        reference, kept = motion.still(options.still_m, options.moved_m)
    else:
        reference, kept = motion.reference, np.ones(len(frames), bool)
    T = motion.against(reference) if options.register else np.tile(np.eye(4), (len(frames), 1, 1))
    merged = merge_frames(
        [frame for frame, keep in zip(frames, kept, strict=True) if keep],
        T[kept],
        camera,
        start,
        mean=options.mean,
    )
    depth_m = merged.depth_m
    if not np.isfinite(depth_m).any():
        raise BadInput(
            "the frames of the recording do not fit together",
            recording.folder,
            "record again, the person standing still and the camera on a stand",
        )
    edge = np.zeros(mask.shape, bool)
    if options.edge_px:
        edge = surface_edges(depth_m, camera, width_px=options.edge_px)
        depth_m = np.where(edge, np.nan, depth_m)

    at = chosen[reference]
    whole, edges = np.full(first_m.shape, np.nan, np.float32), np.zeros(first_m.shape, bool)
    whole[window], edges[window] = depth_m, edge
    frame = RgbdFrame(
        whole,
        recording.color_at(at, whole.astype(np.float64)),
        info.camera_depth,
        recording.timestamps_s[at],
        info.gravity_camera,
    )
    quality = _quality(motion, reference, kept, merged, mask, options, info.gravity_camera is not None)
    return RecordedSkin(frame, at, kept, quality, edges)


def _motion(frames: list[np.ndarray], camera: PinholeCamera, distance_m: float) -> Motion:
    size = max(2, round(_BLOCK_MM / 1000 * camera.fx / distance_m))
    coarse = np.stack([in_blocks(frame, size) for frame in frames])
    return find_motion(coarse, block_camera(camera, size))


def _quality(
    motion: Motion,
    reference: int,
    kept: np.ndarray,
    merged: Merged,
    mask: np.ndarray,
    options: MergeOptions,
    gravity_known: bool,
) -> CaptureQuality:
    T = motion.against(reference)
    against = replace(motion, T_frame_ref=T)
    seen = motion.overlap > 0.6
    far = seen & ~kept & (against.shift_m > options.moved_m)
    has = np.isfinite(merged.depth_m)
    noise_mm = 1000 * float(np.nanmedian(merged.noise_m[has])) if kept.sum() > 1 else float("nan")
    count = float(np.median(merged.count[has]))
    return CaptureQuality(
        frames=len(kept),
        used=int(kept.sum()),
        moved=int(far.sum()),
        changed=int((seen & ~kept & ~far).sum()),
        lost=int((~seen & ~kept).sum()),
        temporal_noise_mm=noise_mm,
        merged_noise_mm=noise_mm / float(np.sqrt(count)),
        coverage=float(has[mask].mean()),
        distance_mm=1000 * float(np.median(merged.depth_m[has])),
        motion_mm=1000 * float(against.shift_m[seen].max(initial=0.0)),
        turn_deg=float(np.degrees(against.turn_rad[seen].max(initial=0.0))),
        gravity_known=gravity_known,
    )


def _evenly(total: int, most: int) -> list[int]:
    """So many of the numbers from 0 to total - 1, evenly spaced."""
    return [int(i) for i in np.unique(np.linspace(0, total - 1, min(total, most)).round())]


def _depth(recording: RgbdRecording, index: int) -> Float[np.ndarray, "h w"]:
    counts = recording.counts(index)
    return np.where(counts > 0, counts * recording.info.depth_unit_m, np.nan)


def _median(depths: list[np.ndarray]) -> Float[np.ndarray, "h w"]:
    """Over frames, where at least half of them have depth."""
    if len(depths) == 1:
        return depths[0]
    stack = np.sort(np.stack(depths), axis=0)  # NaN come last
    count = np.isfinite(stack).sum(0)
    middle = np.take_along_axis(stack, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    return np.where(2 * count >= len(depths), middle, np.nan)


def _near(depth_m: np.ndarray, around_m: np.ndarray) -> Float[np.ndarray, "h w"]:
    """Without what lies far before or behind the person."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(depth_m - around_m) < _REACH_M, depth_m, np.nan)


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return tuple(  # type: ignore[return-value]
        slice(max(int(at[0]) - _MARGIN_PX, 0), int(at[-1]) + 1 + _MARGIN_PX) for at in (rows, columns)
    )


def _cropped(camera: PinholeCamera, window: tuple[slice, slice]) -> PinholeCamera:
    rows, columns = window
    height, width = (
        min(rows.stop, camera.height) - rows.start,
        min(columns.stop, camera.width) - columns.start,
    )
    return camera.cropped(columns.start, rows.start, width, height)
