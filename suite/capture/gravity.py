"""Which way is down, from an accelerometer at rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

_G = 9.81
_FEWEST = 10
_OFF, _SHAKE = 1.0, 0.5  # m/s^2: an uncalibrated IMU is off by 0.4 at most; a camera held by hand shakes more


def gravity_from(
    accelerations: Sequence[tuple[float, float, float]], R_depth_imu: Float[np.ndarray, "3 3"]
) -> tuple[Float[np.ndarray, " 3"] | None, str]:
    """The unit vector that points down in the depth camera's frame, and "" or why there is none.

    An accelerometer at rest (m/s^2) feels what holds it up: it says minus gravity (a D435i that stands level
    says y = -9.8, with y down: realsense-ros, issue 927).
    """
    if len(accelerations) < _FEWEST:
        return None, "the camera has no IMU, or it sent nothing"
    felt = np.asarray(accelerations, np.float64)
    mean = felt.mean(axis=0)
    size = float(np.linalg.norm(mean))
    if not abs(size - _G) <= _OFF:
        return None, f"the accelerometer feels {size:.1f} m/s^2 instead of {_G}; calibrate the IMU"
    shake = float(np.linalg.norm(felt.std(axis=0)))
    if shake > _SHAKE:
        return None, f"the camera shook ({shake:.1f} m/s^2); put it on a tripod"
    down = R_depth_imu @ (-mean / size)
    return down / np.linalg.norm(down), ""
