"""Which cameras are plugged in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from suite.capture.backend import CameraError, realsense
from suite.capture.presets import PRESETS, model_of
from suite.errors import BadInput
from suite.report.table import Column, Table

NONE_FOUND = "no RealSense camera is found; plug it into a USB 3 port with its own cable"


@dataclass(frozen=True)
class DeviceInfo:
    """What a camera says of itself; empty where it says nothing."""

    name: str
    serial: str
    firmware: str
    usb: str
    imu: bool

    def __str__(self) -> str:
        return f"{self.name} {self.serial}".strip()


def describe(device: Any) -> DeviceInfo:
    """What a camera (rs.device) says of itself."""
    rs = realsense()

    def said(what: Any) -> str:
        return device.get_info(what) if device.supports(what) else ""

    info = rs.camera_info
    imu = any(
        profile.stream_type() == rs.stream.accel
        for sensor in device.query_sensors()
        for profile in sensor.get_stream_profiles()
    )
    return DeviceInfo(
        said(info.name),
        said(info.serial_number),
        said(info.firmware_version),
        said(info.usb_type_descriptor),
        imu,
    )


def connected() -> list[Any]:
    """The cameras that are plugged in (rs.device)."""
    return list(realsense().context().query_devices())


def find_device(serial: str | None = None) -> Any:
    """The camera with that serial number, or the only one. CameraError for none, BadInput for several."""
    found = connected()
    if not found:
        raise CameraError(NONE_FOUND)
    names = {describe(device).serial: device for device in found}
    if serial is not None:
        if serial not in names:
            raise BadInput(f"no camera {serial} is plugged in", "--serial", f"there is {', '.join(names)}")
        return names[serial]
    if len(found) > 1:
        raise BadInput(f"{len(found)} cameras are plugged in", hint=f"choose with --serial {'|'.join(names)}")
    return found[0]


def devices_table(devices: list[DeviceInfo]) -> Table:
    """One row a camera."""
    rows = [
        (d.name, d.serial, d.firmware, d.usb, "yes" if d.imu else "no", model if model in PRESETS else "-")
        for d in devices
        for model in (model_of(d.name) or "",)
    ]
    columns = ("camera", "serial", "firmware", "USB", "IMU", "preset")
    return Table([Column(name) for name in columns], rows)
