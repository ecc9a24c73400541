"""A camera as a stream of frames: a real one, librealsense's software device, or a recorded file.

All three are an rs.device with sensors, so that one code serves them. Frames of every sensor go into one
inbox and are paired here by time; librealsense's own syncer drops frames without saying so.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from suite.capture.backend import CameraError, realsense, refusal
from suite.capture.filters import Align, make_filters
from suite.capture.gravity import gravity_from
from suite.capture.inbox import Inbox
from suite.capture.pairing import Pairing
from suite.capture.profiles import Profiles
from suite.data.recording import RecordingInfo
from suite.geometry.camera import PinholeCamera

_WAITING = 64
_FIRST_S, _NEXT_S, _LAST_S = 5.0, 2.0, 0.3
_POLL_S = 0.1
_PATIENCE, _PATIENCE_FILE = 3, 60


class CameraLost(CameraError):
    """The camera sends nothing any more."""


@dataclass(frozen=True, eq=False)
class CameraFrame:
    """One depth image in counts of the depth unit, and colour as its camera saw it, where there is any."""

    counts: UInt16[np.ndarray, "h w"]
    color: UInt8[np.ndarray, "h_color w_color 3"] | None
    timestamp_s: float
    number: int
    exposure_us: float | None = None
    gain: float | None = None


class CameraStream:
    """Frames of a device, from the moment the block is entered.

    `filters` are names of suite.capture.filters, `align` registers colour to depth; colour of a lens with
    distortion always is, as recordings know pinhole cameras only. With `only_motion` it just listens to the
    accelerometer, and gives no frames. A `recorder` (rs.recorder) of the device sends its frames, if given.
    """

    def __init__(
        self,
        device: Any,
        profiles: Profiles,
        filters: Sequence[str] = (),
        align: bool = False,
        only_motion: bool = False,
        recorder: Any = None,
    ) -> None:
        rs = realsense()
        self._kinds = (
            (rs.stream.accel,) if only_motion else (rs.stream.depth, rs.stream.color, rs.stream.accel)
        )
        self._device, self._profiles = recorder or device, profiles
        self._playback = device.as_playback() if device.is_playback() else None
        self._inbox = Inbox(_WAITING, waits=self._playback is not None)
        depth, color = profiles.depth, profiles.color
        self.depth_unit_m = float(f"{device.first_depth_sensor().get_depth_scale():.6g}")
        self.camera_depth = _pinhole(depth)
        self._align = Align() if color is not None and (align or _distorted(color)) else None
        self._camera_color = None if color is None or self._align else _pinhole(color)
        self._filters = make_filters(filters)
        self.filters = (*filters, *(("align",) if self._align else ()))
        patience = _PATIENCE if self._playback is None else _PATIENCE_FILE  # a file's streams run apart
        slowest = min(profile.fps() for profile in (depth, color or depth))
        self._pairing = Pairing(1.0 / max(slowest, 1), patience if color is not None else 0)
        self._accelerations: list[tuple[float, float, float]] = []
        self._running: list[Any] = []

    def __enter__(self) -> CameraStream:
        try:
            for sensor in self._device.query_sensors():
                chosen = [p for p in self._profiles.of(sensor) if p.stream_type() in self._kinds]
                if chosen:
                    sensor.open(chosen)
                    self._running.append(sensor)
            if self._playback is not None:
                self._playback.set_real_time(False)  # every frame, as fast as it is asked for
                self._playback.pause()  # until all sensors listen: the first would set it going
            for sensor in self._running:
                sensor.start(self._inbox.take)
            if self._playback is not None:
                self._playback.resume()
        except RuntimeError as error:
            self._stop()
            raise refusal(error, "camera") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def frames(self) -> Iterator[CameraFrame]:
        """Frames until a file ends. Raises CameraLost where a camera sends no depth for two seconds."""
        heard, patience_s = time.monotonic(), _FIRST_S
        while True:
            frame = self._inbox.get(_POLL_S)
            if frame is not None:
                for depth, color in self._sort(frame):
                    patience_s = _NEXT_S
                    yield self._finished(depth, color)
                    heard = time.monotonic()  # what is done with a frame may take its time
                if self._playback is not None:
                    heard = time.monotonic()  # of a file any stream may run ahead
            quiet_s = time.monotonic() - heard
            if frame is None and self._ended() and quiet_s > _LAST_S:
                for depth, color in self._pairing.rest():
                    yield self._finished(depth, color)
                return
            if quiet_s > patience_s:
                if self._playback is not None:
                    raise CameraLost("the file cannot be read to its end (cut short?)")
                raise CameraLost(f"the camera sends no depth for {patience_s:g} s (unplugged?)")

    def gravity(self) -> tuple[Float[np.ndarray, " 3"] | None, str]:
        """Down in the depth camera's frame from what the IMU has said until now, and "" or why it is None."""
        R = np.eye(3)  # librealsense gives it in the depth sensor's axes; a file may say no more than that
        if self._profiles.accel is not None and self._accelerations:
            with contextlib.suppress(RuntimeError):
                R = _rotation(self._profiles.accel.get_extrinsics_to(self._profiles.depth))
        return gravity_from(self._accelerations, R)

    def info(
        self, device: str, presets: dict[str, Any], gravity: Float[np.ndarray, " 3"] | None
    ) -> RecordingInfo:
        """What holds for a recording of this stream."""
        T = None
        if self._camera_color is not None:
            extrinsics = self._profiles.depth.get_extrinsics_to(self._profiles.color)
            T = np.eye(4)
            T[:3, :3], T[:3, 3] = _rotation(extrinsics), extrinsics.translation
        return RecordingInfo(
            device, self.depth_unit_m, self.camera_depth, self._camera_color, T, gravity, presets
        )

    def _sort(self, frame: Any) -> Iterator[tuple[Any, Any]]:
        rs, kind = realsense(), frame.get_profile().stream_type()
        if kind == rs.stream.accel:
            felt = frame.as_motion_frame().get_motion_data()
            self._accelerations.append((felt.x, felt.y, felt.z))
        elif kind == rs.stream.depth:
            yield from self._pairing.add_depth(frame.get_timestamp() / 1000, frame)
        elif kind == rs.stream.color:
            yield from self._pairing.add_color(frame.get_timestamp() / 1000, frame)

    def _finished(self, depth: Any, color: Any | None) -> CameraFrame:
        """Arrays of our own: librealsense has few buffers, and loses frames while we hold them."""
        rs = realsense()
        number, timestamp_s = depth.get_frame_number(), depth.get_timestamp() / 1000
        exposure, gain = (
            float(depth.get_frame_metadata(value)) if depth.supports_frame_metadata(value) else None
            for value in (rs.frame_metadata_value.actual_exposure, rs.frame_metadata_value.gain_level)
        )
        for one in self._filters:
            depth = one.process(depth)
        if self._align is not None and color is not None:
            color = self._align.process(depth, color)
        rgb = None if color is None else self._profiles.to_rgb(color)
        return CameraFrame(
            np.array(np.asanyarray(depth.get_data()), np.uint16), rgb, timestamp_s, number, exposure, gain
        )

    def _ended(self) -> bool:
        return (
            self._playback is not None
            and self._playback.current_status() == realsense().playback_status.stopped
        )

    def _stop(self) -> None:
        self._inbox.close()
        for sensor in self._running:
            for act in (sensor.stop, sensor.close):
                try:
                    act()
                except RuntimeError:  # a camera that is gone cannot be stopped
                    continue
        self._running.clear()


def _pinhole(profile: Any) -> PinholeCamera:
    i = profile.as_video_stream_profile().get_intrinsics()
    return PinholeCamera(i.width, i.height, i.fx, i.fy, i.ppx, i.ppy)


def _distorted(profile: Any) -> bool:
    return any(abs(c) > 1e-9 for c in profile.as_video_stream_profile().get_intrinsics().coeffs)


def _rotation(extrinsics: Any) -> np.ndarray:
    return np.array(extrinsics.rotation, np.float64).reshape(3, 3).T  # column by column
