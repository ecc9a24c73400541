"""The live quality line: valid pixels, temporal noise on the subject, distance, motion."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt16

from suite.capture.subject import Subject, find_subject, sampled, without_sway
from suite.geometry.camera import PinholeCamera

_STEP_FROM_PX = 60_000
_WINDOW_S = 1.0
_FEWEST = 50


@dataclass(frozen=True)
class Quality:
    """How good the depth of the subject is now. `noise_mm` is that of one pixel in one frame."""

    valid: float
    distance_m: float
    noise_mm: float | None
    motion_mm: float

    def __str__(self) -> str:
        noise = "noise ..." if self.noise_mm is None else f"noise {self.noise_mm:.1f} mm a frame"
        return (
            f"{self.valid:4.0%} valid, {noise}, {self.distance_m:.2f} m, moved {self.motion_mm:.0f} mm in 1 s"
        )


class QualityMeter:
    """Looks at frames one after the other; every n-th pixel, so that a look takes milliseconds.

    Noise is the standard deviation of the change between two frames over sqrt(2), after the plane that sway
    adds to it; motion is the largest extent of the path of the subject's centre within the last second.
    """

    def __init__(self, camera: PinholeCamera, depth_unit_m: float) -> None:
        self._camera, self._unit_m = camera, depth_unit_m
        self._step = step_for(camera, _STEP_FROM_PX)
        self._before: tuple[np.ndarray, Subject] | None = None
        self._path: deque[tuple[float, np.ndarray]] = deque()
        self._noise: deque[float] = deque(maxlen=10)

    def add(self, counts: UInt16[np.ndarray, "h w"], timestamp_s: float) -> Quality | None:
        """What this frame and those before it say; None where no subject is in the middle of the picture."""
        z = sampled(counts, self._unit_m, self._step)
        subject = find_subject(z, self._camera, self._step)
        if subject is None:
            self._before = None
            return None
        if self._before is not None:
            both = subject.mask & self._before[1].mask
            if both.sum() >= _FEWEST:
                v, u = np.nonzero(both)
                change_mm = 1000.0 * (z[both] - self._before[0][both]).astype(np.float64)
                left, keep = without_sway(change_mm, u / z.shape[1], v / z.shape[0])
                self._noise.append(float(left[keep].std() / np.sqrt(2)))
        self._before = (z, subject)
        self._path.append((timestamp_s, subject.centre_mm))
        while timestamp_s - self._path[0][0] > _WINDOW_S:
            self._path.popleft()
        motion = np.ptp([centre for _, centre in self._path], axis=0).max()
        noise = float(np.median(self._noise)) if self._noise else None
        return Quality(subject.valid, subject.distance_m, noise, float(motion))


def step_for(camera: PinholeCamera, pixels: int) -> int:
    """Which every n-th pixel leaves about so many of an image."""
    return max(1, round(np.sqrt(camera.width * camera.height / pixels)))
