"""Setting a camera up, locking its exposure, and reading back what it is set to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from suite.capture.backend import realsense, refusal
from suite.capture.presets import Preset
from suite.errors import BadInput

_STEADY_FRAMES = 10
_STEADY = 0.02


def apply_preset(device: Any, preset: Preset) -> None:
    """Set a camera (rs.device) up. Raises BadInput naming a setting that the camera does not have or refuses.

    The depth preset comes first, as it brings its own values of what follows.
    """
    rs = realsense()
    option, depth = rs.option, device.first_depth_sensor()
    quality = getattr(rs.rs400_visual_preset, preset.visual_preset)
    for what, value in (
        (option.visual_preset, int(quality)),
        (option.depth_units, preset.depth_unit_m),
        (option.emitter_enabled, 1),
        (option.laser_power, preset.laser_mw),
        (option.enable_auto_exposure, 1),
    ):
        _set(depth, what, value, preset)
    for sensor in device.query_sensors():
        if sensor.supports(option.auto_exposure_priority):
            sensor.set_option(option.auto_exposure_priority, 0)  # in poor light darker, not slower


def _set(sensor: Any, option: Any, value: float, preset: Preset) -> None:
    where = f"preset {preset.name}"
    if not sensor.supports(option):
        raise BadInput(f"this camera has no {option.name}", where, "choose the preset of this camera")
    span = sensor.get_option_range(option)
    if not span.min * (1 - 1e-6) <= value <= span.max * (1 + 1e-6):  # they are of single precision
        raise BadInput(f"{option.name} {value:g} is not in {span.min:g} to {span.max:g}", where)
    try:
        sensor.set_option(option, value)
    except RuntimeError as error:
        steps = f"{option.name} is {span.min:g} to {span.max:g} in steps of {span.step:g}"
        raise refusal(error, f"{where}: {option.name} {value:g}", steps) from None


def is_steady(exposures_us: Sequence[float | None]) -> bool:
    """Whether automatic exposure has settled: ten frames alike, or ten that do not say their exposure."""
    last = exposures_us[-_STEADY_FRAMES:]
    if len(last) < _STEADY_FRAMES:
        return False
    known = [value for value in last if value is not None]
    return not known or max(known) - min(known) <= _STEADY * max(known)


def lock_exposure(device: Any, exposure_us: float | None, gain: float | None) -> bool:
    """Keep the depth sensor at the exposure and gain it has come to; False where it did not say them.

    Turning automatic exposure off alone would go back to the last value set by hand. The colour camera keeps
    its own automatic exposure, because what it says of it does not hold (librealsense, issue 5035).
    """
    option, depth = realsense().option, device.first_depth_sensor()
    if exposure_us is None or not depth.supports(option.exposure):
        return False
    try:
        depth.set_option(option.enable_auto_exposure, 0)
        depth.set_option(option.exposure, exposure_us)
        if gain is not None and depth.supports(option.gain):
            depth.set_option(option.gain, gain)
    except RuntimeError as error:
        raise refusal(error, "exposure") from None
    return True


def read_settings(device: Any) -> dict[str, dict[str, float]]:
    """Every option of every sensor, as it is: {sensor: {option: value}}."""
    rs = realsense()
    found: dict[str, dict[str, float]] = {}
    for sensor in device.query_sensors():
        values = found.setdefault(sensor.get_info(rs.camera_info.name), {})
        for option in sensor.get_supported_options():
            try:
                values[option.name] = float(f"{sensor.get_option(option):.7g}")
            except RuntimeError:  # some cannot be read while streaming
                continue
    return found
