"""What `suite doctor` says of the camera: is librealsense there, and does it load."""

from __future__ import annotations

from suite.doctor import Finding
from suite.errors import BackendUnavailable

_ENABLES = "capture-rgbd: RealSense cameras, .db3 and .bag"


def findings() -> list[Finding]:
    """One row; librealsense is loaded to know, which takes a tenth of a second."""
    from suite.capture.backend import realsense

    try:
        version = realsense().__version__
    except BackendUnavailable as error:
        return [Finding("camera", "pyrealsense2", None, f"{_ENABLES}; {error.cause}; {error.hint}")]
    return [Finding("camera", "pyrealsense2", version, _ENABLES)]
