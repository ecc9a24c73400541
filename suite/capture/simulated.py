"""A camera that is not there: librealsense's software device before a synthetic back, to rehearse and test.

Everything behind `device` is librealsense's own and goes through the code that a real camera goes through.
The depth has a stereo camera's law of noise: disparity f B / z is off by 0.08 px and comes in steps of 1/32.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from suite.capture.backend import realsense
from suite.errors import BadInput

_NOISE_PX, _STEPS = 0.08, 32
_COLOR_SHIFT_M = 0.015
_SETTLED_US = 6000.0
_VIEWS = ((1280, 720, 30), (848, 480, 90), (848, 480, 60), (848, 480, 30), (424, 240, 90), (424, 240, 30))
_G = 9.81


@dataclass(frozen=True)
class _Model:
    """Focal length over image width, baseline (m), and whether there is an IMU."""

    focal: float
    baseline_m: float
    imu: bool


_MODELS = {
    "D415": _Model(0.727, 0.055, False),
    "D435": _Model(0.503, 0.050, False),
    "D435I": _Model(0.503, 0.050, True),
    "D455": _Model(0.503, 0.095, True),
}


class SimulatedCamera:
    """`device` (rs.device) sends frames from the moment its sensors are started until the block is left.

    Frame n shows picture n modulo `pictures`, so that what arrives can be compared exactly. `unplug_after`
    frames nothing comes any more; `down` is gravity in the camera's frame; `distortion` are the colour lens's
    coefficients; `wall_m` None leaves the room empty. Raises BadInput for a model that is not simulated.
    """

    def __init__(
        self,
        model: str = "D415",
        *,
        distance_m: float = 0.8,
        pictures: int = 8,
        unplug_after: int | None = None,
        skip: tuple[int, ...] = (),
        down: tuple[float, float, float] = (0.0, 1.0, 0.0),
        distortion: tuple[float, ...] = (0.0,) * 5,
        wall_m: float | None = 1.7,
        seed: int = 0,
    ) -> None:
        if model.upper() not in _MODELS:
            raise BadInput(f"no camera {model!r} is simulated", hint=f"there are {', '.join(_MODELS)}")
        self.model = _MODELS[model.upper()]
        self._distance_m, self._wall_m, self._pictures = distance_m, wall_m, pictures
        self._unplug_after, self._skip, self._down, self._seed = unplug_after, skip, down, seed
        self._distortion = list(distortion)
        self._images: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated camera", daemon=True)
        self._build(model.upper())

    def __enter__(self) -> SimulatedCamera:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10)

    def prepare(self, *sizes: tuple[int, int]) -> None:
        """Make the pictures of these sizes now (at 1280 x 720 px seconds), not when they are first sent."""
        for size in sizes:
            self._pool(size)

    def counts(self, number: int, size: tuple[int, int], unit_m: float = 0.0001) -> UInt16[np.ndarray, "h w"]:
        """The depth image that frame `number` shows."""
        z = self._pool(size)[0][number % self._pictures]
        return np.round(z / unit_m).astype(np.uint16)

    def color(self, number: int, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
        """The colour image that frame `number` shows; a colour camera 15 mm beside, without its parallax."""
        return self._pool(size)[1][number % self._pictures]

    def intrinsics(self, size: tuple[int, int], distortion: list[float] | None = None) -> Any:
        """rs.intrinsics of a stream of that size."""
        rs = realsense()
        i = rs.intrinsics()
        i.width, i.height = size
        i.fx = i.fy = self.model.focal * size[0]
        i.ppx, i.ppy = size[0] / 2 - 0.5, size[1] / 2 - 0.5
        i.model, i.coeffs = rs.distortion.inverse_brown_conrady, distortion or [0.0] * 5
        return i

    def _build(self, model: str) -> None:
        rs = realsense()
        self.device = rs.software_device()
        for what, said in (
            (rs.camera_info.name, f"Simulated RealSense {model}"),
            (rs.camera_info.serial_number, "000000000000"),
            (rs.camera_info.usb_type_descriptor, "3.2"),
        ):
            self.device.register_info(what, said)
        self._depth, self._color = (
            self.device.add_sensor("Stereo Module"),
            self.device.add_sensor("RGB Camera"),
        )
        option = rs.option
        for what, low, high, step, value in (
            (option.visual_preset, 0, 6, 1, 0),
            (option.depth_units, 1e-6, 0.01, 1e-6, 0.001),
            (option.emitter_enabled, 0, 2, 1, 1),
            (option.laser_power, 0, 360, 30, 150),
            (option.enable_auto_exposure, 0, 1, 1, 1),
            (option.exposure, 1, 165000, 1, 8500),
            (option.gain, 16, 248, 1, 16),
        ):
            span = rs.option_range()
            span.min, span.max, span.step, span.default = low, high, step, value
            self._depth.add_option(what, span, True)
        # By this librealsense knows a stereo camera, whose depth can be turned into disparity.
        self._depth.add_read_only_option(option.stereo_baseline, 1000 * self.model.baseline_m)
        motion = self.device.add_sensor("Motion Module") if self.model.imu else None
        depth, color = [], []
        for uid, (width, height, fps) in enumerate(_VIEWS):
            default = uid == 0
            size = (width, height)
            depth.append(self._add(self._depth, rs.stream.depth, rs.format.z16, 2, uid, size, fps, default))
            color.append(
                self._add(self._color, rs.stream.color, rs.format.rgb8, 3, 100 + uid, size, fps, default)
            )
        beside = rs.extrinsics()
        beside.rotation, beside.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [_COLOR_SHIFT_M, 0, 0]
        for one in depth:
            for other in color:
                one.register_extrinsics_to(other, beside)
        self._motion, self._accel = motion, None
        if motion is not None:
            stream = rs.motion_stream()
            stream.type, stream.index, stream.uid = rs.stream.accel, 0, 200
            stream.fps, stream.fmt = 100, rs.format.motion_xyz32f
            self._accel = motion.add_motion_stream(stream, True)
            still = rs.extrinsics()
            still.rotation, still.translation = [1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0]
            for one in depth:
                self._accel.register_extrinsics_to(one, still)

    def _add(
        self,
        sensor: Any,
        kind: Any,
        fmt: Any,
        bpp: int,
        uid: int,
        size: tuple[int, int],
        fps: int,
        default: bool,
    ) -> Any:
        stream = realsense().video_stream()
        stream.type, stream.index, stream.uid, stream.fmt, stream.bpp = kind, 0, uid + 1, fmt, bpp
        stream.width, stream.height, stream.fps = (*size, fps)
        stream.intrinsics = self.intrinsics(size, self._distortion if bpp == 3 else None)
        return sensor.add_video_stream(stream, default)

    def _pool(self, size: tuple[int, int]) -> tuple[Float[np.ndarray, "n h w"], UInt8[np.ndarray, "n h w 3"]]:
        if size not in self._images:
            self._images[size] = self._render(size)
        return self._images[size]

    def _render(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """A trunk 0.34 m wide and 0.62 m high with a furrow, before a wall; noisy depth (m) and colour."""
        rng, (width, height), fx = np.random.default_rng(self._seed), size, self.model.focal * size[0]
        across, along = self._axes()
        v, u = np.mgrid[:height, :width].astype(np.float32)
        rays = np.stack([(u - width / 2 + 0.5) / fx, (v - height / 2 + 0.5) / fx], axis=-1)
        x, y = self._distance_m * (rays @ across), self._distance_m * (rays @ along)
        body = (np.abs(x) < 0.17 - 0.06 * (y / 0.31) ** 2) & (np.abs(y) < 0.31)
        furrow = 0.008 * np.exp(-((x / 0.02) ** 2))
        back = self._distance_m + 0.7 * x**2 + furrow
        z = np.where(body, back, np.inf if self._wall_m is None else self._wall_m)
        f_baseline = fx * self.model.baseline_m
        shade = np.clip(1.1 - 3.0 * np.abs(np.gradient(np.where(body, back, 0), axis=1)) * fx / 3000, 0.3, 1)
        skin = (
            np.where(body[..., None], np.array([205, 160, 135]), np.array([120, 125, 130])) * shade[..., None]
        )
        depths, colors = [], []
        for _ in range(self._pictures):
            noise = rng.normal(size=z.shape)
            noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) / 2
            disparity = np.round((f_baseline / z + _NOISE_PX * noise) * _STEPS) / _STEPS
            with np.errstate(divide="ignore"):
                seen = np.where((disparity > 0.5) & np.isfinite(z), f_baseline / disparity, 0.0)
            seen[rng.random(z.shape) < 0.01] = 0.0
            seen[body & ~np.roll(body, round(0.01 * width), axis=1)] = 0.0  # what one of the two eyes sees
            depths.append(seen)
            colors.append(np.clip(skin + rng.normal(0, 2.0, skin.shape), 0, 255).astype(np.uint8))
        return np.stack(depths).astype(np.float32), np.stack(colors)

    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Directions in the image across and down the body, which stands however the camera is held."""
        down = np.array(self._down[:2], np.float32)
        along = np.array([0.0, 1.0], np.float32) if np.abs(down).max() < 0.1 else down / np.linalg.norm(down)
        return np.array([along[1], -along[0]], np.float32), along

    def _run(self) -> None:
        """Sends frames while the depth sensor is open, at its rate."""
        rs, number, next_s = realsense(), 0, 0.0
        rng = np.random.default_rng(self._seed + 1)
        while not self._stop.is_set():
            depth, color = (list(sensor.get_active_streams()) for sensor in (self._depth, self._color))
            if not depth or number == self._unplug_after:
                time.sleep(0.005)
                continue
            if not number:
                for profile in (*depth, *color):
                    self._pool(_size(profile))
                next_s = time.monotonic()
            stamp_ms = 1000.0 * (100.0 + number / depth[0].fps())
            if number not in self._skip:
                self._send_depth(rs, depth[0], number, stamp_ms)
                for profile in color:
                    image = self.color(number, _size(profile))
                    self._color.on_video_frame(_video_frame(rs, profile, image, number, stamp_ms))
            self._send_motion(rs, rng, number, stamp_ms)
            number += 1
            next_s += 1 / depth[0].fps()
            time.sleep(max(next_s - time.monotonic(), 0))

    def _send_depth(self, rs: Any, profile: Any, number: int, stamp_ms: float) -> None:
        option, unit_m = rs.option, float(f"{self._depth.get_option(rs.option.depth_units):.6g}")
        by_hand = not self._depth.get_option(option.enable_auto_exposure)
        settling = _SETTLED_US * (1 + 0.5 * 0.6**number)
        exposure = self._depth.get_option(option.exposure) if by_hand else settling
        self._depth.set_metadata(rs.frame_metadata_value.actual_exposure, round(exposure))
        self._depth.set_metadata(
            rs.frame_metadata_value.gain_level, round(self._depth.get_option(option.gain))
        )
        image = self.counts(number, _size(profile), unit_m)
        frame = _video_frame(rs, profile, image, number, stamp_ms)
        frame.depth_units = unit_m
        self._depth.on_video_frame(frame)

    def _send_motion(self, rs: Any, rng: np.random.Generator, number: int, stamp_ms: float) -> None:
        motion, accel = self._motion, self._accel
        if motion is None or accel is None or not motion.get_active_streams():
            return
        frame, felt = rs.software_motion_frame(), rs.vector()
        felt.x, felt.y, felt.z = (float(-_G * d + rng.normal(0, 0.02)) for d in self._down)
        frame.data, frame.timestamp, frame.frame_number = felt, stamp_ms, number
        frame.domain, frame.profile = rs.timestamp_domain.hardware_clock, accel.as_motion_stream_profile()
        motion.on_motion_frame(frame)


def _size(profile: Any) -> tuple[int, int]:
    video = profile.as_video_stream_profile()
    return video.width(), video.height()


def _video_frame(rs: Any, profile: Any, image: np.ndarray, number: int, stamp_ms: float) -> Any:
    frame = rs.software_video_frame()
    frame.pixels, frame.bpp = image, image.dtype.itemsize * (3 if image.ndim == 3 else 1)
    frame.stride = frame.bpp * image.shape[1]
    frame.timestamp, frame.frame_number = stamp_ms, number
    frame.domain, frame.profile = rs.timestamp_domain.hardware_clock, profile.as_video_stream_profile()
    return frame
