"""The one place where pyrealsense2 is imported, when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from suite.errors import BackendUnavailable, BadInput, SuiteError

INSTALL = "pip install 'vision-suite[capture]'"
LIBUSB = "on Debian: apt install libusb-1.0-0"


class CameraError(SuiteError):
    """The camera does not do what it was asked, or is gone."""


def realsense() -> Any:
    """The module pyrealsense2. Raises BackendUnavailable saying what is missing and how to get it."""
    try:
        return import_module("pyrealsense2")
    except ImportError as error:
        cause = " ".join(str(error).split())
        if "libusb" in cause:
            raise BackendUnavailable("pyrealsense2", "the library libusb-1.0 is missing", LIBUSB) from None
        if isinstance(error, ModuleNotFoundError):
            raise BackendUnavailable("pyrealsense2", "it is not installed", INSTALL) from None
        raise BackendUnavailable("pyrealsense2", cause, f"{INSTALL}, and {LIBUSB}") from None


def refusal(error: RuntimeError, where: str, fallback: str | None = None) -> SuiteError:
    """What librealsense refused, in one line that says what to do where that is known."""
    said = " ".join(str(error).split())
    lower = said.lower()
    if "busy" in lower:
        return CameraError(
            f"{where}: another program uses the camera; close it (RealSense Viewer, a browser)"
        )
    if "access" in lower or "permission" in lower:
        return CameraError(
            f"{where}: may not be opened by this user; install librealsense's udev rules and plug it in again"
        )
    return BadInput(said, where, fallback)
