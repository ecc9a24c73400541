"""One picture of a recording: relief of the median depth, colour, noise, and movement over time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from suite.capture.acceptance import NOISE_MM, Acceptance
from suite.capture.subject import DEEP_M
from suite.data.fusion import median_depth
from suite.data.recording import RgbdRecording
from suite.report.figure import PALETTE, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_FRAMES = 30
_WORST_MM = 5.0
_SMOOTH = 3  # px to each side


def draw_recording(recording: RgbdRecording, acceptance: Acceptance, path: Path) -> Path:
    """Write the picture as PNG, upright where the recording knows which way is down."""
    turns = quarter_turns(recording.info.gravity_camera)
    frame, _ = median_depth(_some(recording), min_count=1)
    part = _around_subject(acceptance, frame.depth_m.shape)
    z, rgb = np.rot90(frame.depth_m[part], turns), np.zeros((1, 1, 3), np.uint8)
    if frame.color is not None:
        rgb = np.rot90(frame.color[part], turns)
    noise_mm = np.rot90(acceptance.noise_map_mm[_around_subject(acceptance, None)], turns)
    with drawing(12.0, 4.6, "Relief, colour, noise and movement of a recording") as (figure, axes):
        axes.remove()
        relief, color, noise, motion = figure.figure.subplots(1, 4, width_ratios=[1, 1, 1.15, 1.4])
        _image(relief, shaded_relief(z, acceptance.distance_m), "Relief of the median", cmap="gray", vmax=1)
        _image(color, rgb, "Colour" if frame.color is not None else "No colour")
        shown = _image(noise, noise_mm, "Noise of one frame", cmap="viridis", vmax=_WORST_MM)
        figure.figure.colorbar(shown, ax=noise, label="mm", fraction=0.06, extend="max")
        _movement(motion, recording, acceptance)
        verdict = "accepted" if acceptance.accepted else "not accepted"
        merged = acceptance.noise_merged_mm
        told = "" if merged is None else f": noise of the median {merged:.2f} mm (at most {NOISE_MM:g} mm)"
        title = f"{recording.folder.name}, {len(recording)} frames, {verdict}{told}"
        figure.figure.suptitle(title, x=0.01, ha="left")
        return figure.save_png(path, dpi=110)


def _around_subject(acceptance: Acceptance, shape: tuple[int, ...] | None) -> tuple[slice, slice]:
    """The part of an image (of `shape`; None: of the noise map) that holds the subject, and a margin."""
    seen = np.isfinite(acceptance.noise_map_mm)
    step = 1 if shape is None else acceptance.step
    sizes = seen.shape if shape is None else shape
    if not seen.any():
        return slice(0, sizes[0]), slice(0, sizes[1])
    parts = []
    for axis in (0, 1):
        where = np.flatnonzero(seen.any(axis=1 - axis))
        margin = 0.1 * (where[-1] - where[0] + 1)
        low, high = max(int(where[0] - margin), 0), min(int(where[-1] + margin) + 1, seen.shape[axis])
        parts.append(slice(step * low, min(step * high, sizes[axis])))
    return parts[0], parts[1]


def quarter_turns(gravity: Float[np.ndarray, " 3"] | None) -> int:
    """By how many quarter turns (anticlockwise) an image is turned so that down is down."""
    if gravity is None or np.abs(gravity[:2]).max() < 0.3:
        return 0  # unknown, or the camera looks at the floor or the ceiling
    x, y = gravity[:2]
    if abs(y) >= abs(x):
        return 0 if y > 0 else 2
    return 3 if x > 0 else 1


def shaded_relief(z_m: Float[np.ndarray, "h w"], distance_m: float | None) -> Float[np.ndarray, "h w"]:
    """Brightness 0 to 1 by the slope of a depth image of what stands about there; NaN elsewhere."""
    z = np.array(z_m, np.float64)
    if distance_m is not None:
        z[np.abs(z - distance_m) > DEEP_M] = np.nan
    there = np.isfinite(z)
    total, weight = np.where(there, z, 0.0), there.astype(np.float64)
    for axis in (0, 1):  # the mean of a square: the noise of one pixel is larger than the relief
        total = sum(np.roll(total, k, axis) for k in range(-_SMOOTH, _SMOOTH + 1))
        weight = sum(np.roll(weight, k, axis) for k in range(-_SMOOTH, _SMOOTH + 1))
    smooth = np.where(there, total / np.maximum(weight, 1), np.nan)
    slope_v, slope_u = np.gradient(smooth)
    slope = slope_u + 0.6 * slope_v
    known = np.isfinite(slope)
    if not known.any():
        return np.full(z.shape, np.nan)
    slope -= np.median(slope[known])
    steep = max(
        float(np.percentile(np.abs(slope[known]), 95)), 1e-9
    )  # most of the picture uses most of the greys
    return np.clip(0.5 + 0.4 * slope / steep, 0, 1)


def _some(recording: RgbdRecording) -> RgbdRecording:
    """A recording of the frames that a picture needs."""
    chosen = np.linspace(0, len(recording) - 1, min(len(recording), _MOST_FRAMES)).round().astype(int)
    keep: dict[str, Any] = {
        name: tuple(getattr(recording, name)[int(i)] for i in chosen)
        for name in ("timestamps_s", "depth_files", "color_files")
    }
    return replace(recording, **keep, numbers=())


def _image(axes: Axes, image: np.ndarray, title: str, **how: Any) -> Any:
    axes.set(title=title, xticks=[], yticks=[])
    axes.grid(False)
    shown = axes.imshow(image, vmin=0, **how) if image.ndim == 2 else axes.imshow(image)
    axes.spines[:].set_visible(False)
    return shown


def _movement(axes: Axes, recording: RgbdRecording, acceptance: Acceptance) -> None:
    axes.set(title="Movement of the subject", xlabel="time (s)", ylabel="mm")
    path = acceptance.path_mm
    if not len(path):
        return
    time = np.linspace(0, recording.timestamps_s[-1] - recording.timestamps_s[0], len(path))
    for column, name in enumerate(("across the image", "along it", "in depth")):
        axes.plot(time, path[:, column] - path[0, column], color=PALETTE[column], label=name)
    axes.legend(loc="upper left")
    reach = max(3.0, float(np.abs(path - path[0]).max()) * 1.2)
    axes.set_ylim(-reach, 1.3 * reach)
