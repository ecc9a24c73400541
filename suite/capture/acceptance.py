"""Whether a recording is good enough, in one line, and what to change where it is not.

What counts is the noise of the median over all frames, as that is what is measured on: the frames are split
into even and odd ones, and half the standard deviation of the difference of the two medians is the noise of
the median of all. (Each half has twice the variance of the whole, their difference four times.) What is wrong
in every frame alike, such as a camera out of calibration, it cannot see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from suite.capture.noise import step_for
from suite.capture.presets import DISTANCE_M
from suite.capture.subject import find_subject, sampled, without_sway
from suite.data.recording import RgbdRecording

NOISE_MM, MOTION_MM, VALID, FRAMES = 1.0, 5.0, 0.9, 30
_MOST_FRAMES = 300
_MOST_VALUES = 8_000_000
_FEWEST = 4


@dataclass(frozen=True, eq=False)
class Acceptance:
    """What a recording's noise comes to. Lengths in mm; None where frames or a subject are too few to tell.

    `noise_map_mm` is the temporal standard deviation of every `step`-th pixel, NaN off the subject.
    """

    frames: int
    lost: int
    valid: float
    distance_m: float | None
    noise_frame_mm: float | None
    noise_merged_mm: float | None
    motion_mm: float
    path_mm: Float[np.ndarray, "n 3"]
    noise_map_mm: Float[np.ndarray, "h w"]
    step: int

    @property
    def accepted(self) -> bool:
        return self.noise_merged_mm is not None and self.noise_merged_mm <= NOISE_MM

    def advice(self) -> list[str]:
        """What to change, the likeliest first; also where it is accepted and could be better."""
        if self.distance_m is None:
            return [f"aim the camera at the back, {DISTANCE_M[0]} to {DISTANCE_M[1]} m away"]
        told = []
        if self.distance_m > DISTANCE_M[1] + 0.05:
            told.append(f"come closer (now {self.distance_m:.2f} m; {DISTANCE_M[0]} to {DISTANCE_M[1]} m)")
        elif self.distance_m < DISTANCE_M[0] - 0.1:
            told.append(f"step back (now {self.distance_m:.2f} m; {DISTANCE_M[0]} to {DISTANCE_M[1]} m)")
        if self.motion_mm > MOTION_MM:
            told.append(f"hold the breath and lean on something (moved {self.motion_mm:.0f} mm)")
        if self.frames < FRAMES:
            told.append(f"record {FRAMES} frames or more (now {self.frames})")
        if self.valid < VALID:
            told.append(
                f"keep sunlight and shiny things away, bare the back ({1 - self.valid:.0%} without depth)"
            )
        if not told and not self.accepted:
            told.append("raise the laser (--laser 240), keep sunlight away, clean the lenses")
        return told

    def line(self) -> str:
        """The acceptance line."""
        lost = f"{self.lost or 'no'} frame{'s' if self.lost > 1 else ''} lost"
        advice = "; ".join(self.advice())
        if self.distance_m is None:
            return f"not accepted: nothing has depth in the middle of the picture: {advice}"
        rest = f"{self.valid:.0%} valid, {self.distance_m:.2f} m, moved {self.motion_mm:.1f} mm, {lost}"
        if self.noise_merged_mm is None:
            return f"not accepted: {self.frames} frames say nothing of noise ({rest}): {advice}"
        noise = f"noise on the subject {self.noise_merged_mm:.2f} mm from {self.frames} frames"
        noise += f" ({self.noise_frame_mm:.2f} mm in one)"
        if self.accepted:
            return f"accepted: {noise} <= {NOISE_MM:g} mm; {rest}" + (f"; better: {advice}" if advice else "")
        return f"not accepted: {noise} > {NOISE_MM:g} mm; {rest}: {advice}"


def assess(recording: RgbdRecording) -> Acceptance:
    """Look at a recording's frames (at most 300 of them, evenly). Raises BadInput for one that is damaged."""
    camera, unit_m = recording.info.camera_depth, recording.info.depth_unit_m
    n = min(len(recording), _MOST_FRAMES)
    chosen = np.linspace(0, len(recording) - 1, n).round().astype(int)
    step = step_for(camera, max(_MOST_VALUES // n, 1000))
    z = np.stack([sampled(recording.counts(int(i)), unit_m, step) for i in chosen])
    z_nan = np.where(z > 0, z, np.nan)
    seen = (z > 0).sum(axis=0) > n // 2
    median = np.zeros(z.shape[1:], np.float32)
    median[seen] = np.nanmedian(z_nan[:, seen], axis=0)
    subject = find_subject(median, camera, step)
    map_mm = np.full(median.shape, np.nan)
    if subject is None:
        return Acceptance(n, recording.lost, 0.0, None, None, None, 0.0, np.zeros((0, 3)), map_mm, step)
    found = [find_subject(one, camera, step) for one in z]
    path = np.array([one.centre_mm for one in found if one is not None])
    valid = float(np.mean([0.0 if one is None else one.valid for one in found]))
    motion = float(np.ptp(path, axis=0).max()) if len(path) else 0.0
    frame_mm = merged_mm = None
    if n >= _FEWEST:
        v, u = np.nonzero(subject.mask)
        left = np.stack(
            [
                _steadied(one[subject.mask], u / z.shape[2], v / z.shape[1])
                for one in 1000.0 * (z_nan - median).astype(np.float64)
            ]
        )
        often = np.isfinite(left).sum(axis=0) >= max(_FEWEST, n // 2)
        spread = np.nanstd(left[:, often], axis=0)
        map_mm[v[often], u[often]] = spread
        frame_mm = float(np.sqrt(np.mean(spread**2)))
        halves = np.nanmedian(left[0::2][:, often], axis=0) - np.nanmedian(left[1::2][:, often], axis=0)
        merged_mm = _clipped_std(halves[np.isfinite(halves)]) / 2
    return Acceptance(
        n, recording.lost, valid, subject.distance_m, frame_mm, merged_mm, motion, path, map_mm, step
    )


def _steadied(
    change_mm: Float[np.ndarray, " n"], u: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """The change of a frame against the median without sway; NaN for no depth, edges and flyers."""
    steady = np.full(change_mm.shape, np.nan)
    there = np.isfinite(change_mm)
    if there.sum() >= 50:
        left, keep = without_sway(change_mm[there], u[there], v[there])
        steady[there] = np.where(keep, left, np.nan)
    return steady


def _clipped_std(values: Float[np.ndarray, " n"]) -> float:
    spread = float(values.std())
    return float(values[np.abs(values - values.mean()) <= 4 * spread].std())
