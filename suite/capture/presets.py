"""What each camera is set to for a bare back at 0.7 to 0.9 m, and why (docs/capture.md has the sources)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from suite.errors import BadInput

DISTANCE_M = (0.7, 0.9)
"""Between these the camera should stand: nearer it sees too little of a back, farther noise grows as z^2."""
_SIZE = re.compile(r"(\d+)x(\d+)")
_MODEL = re.compile(r"\bD\d{3}")


@dataclass(frozen=True)
class Preset:
    """Settings of a camera. Sizes are (width, height) px of the sensors, whichever way the camera is held."""

    name: str
    depth_px: tuple[int, int]
    color_px: tuple[int, int] = (1280, 720)
    fps: int = 30
    depth_unit_m: float = 0.0001
    visual_preset: Literal["high_accuracy", "default", "high_density", "medium_density"] = "high_accuracy"
    laser_mw: int = 150

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("D415", depth_px=(1280, 720)),  # rolling shutter, the narrow view: most pixels on the back
        Preset("D435", depth_px=(848, 480)),  # a wide view, matched best at this size
        Preset(
            "D455", depth_px=(848, 480)
        ),  # twice the baseline of a D435, as wide; nothing nearer than 0.4 m
    )
}


def preset_for(device: str, wanted: str = "auto") -> Preset:
    """The preset of a camera by its name, such as "Intel RealSense D435I", or the one that is `wanted`.

    Raises BadInput for a preset that does not exist, is for another camera, or a camera that has none.
    """
    model = model_of(device)
    if wanted != "auto":
        if (chosen := PRESETS.get(wanted.upper())) is None:
            raise BadInput(
                f"there is no preset {wanted!r}", "--preset", f"there is auto, {', '.join(PRESETS)}"
            )
        if model in PRESETS and model != chosen.name:
            raise BadInput(f"{chosen.name} is not for this {model}", "--preset", "leave --preset away")
        return chosen
    if model not in PRESETS:
        hint = f"name the nearest with --preset {'|'.join(PRESETS)}"
        raise BadInput(f"no preset is for {device!r}", "--preset", hint)
    return PRESETS[model]


def model_of(device: str) -> str | None:
    """D415, D435 (also for D435i) or whatever stands in a device's name; None for none."""
    found = _MODEL.search(device.upper())
    return found.group() if found else None


def changed(
    preset: Preset, size: str | None = None, fps: int | None = None, laser_mw: int | None = None
) -> Preset:
    """A preset with another depth size ("848x480"), rate or laser power. Raises BadInput for no such size."""
    if size is not None:
        match = _SIZE.fullmatch(size.lower())
        if match is None:
            raise BadInput(f"size is {size!r}", "--size", "give width x height of the depth, such as 848x480")
        preset = replace(preset, depth_px=(int(match[1]), int(match[2])))
    if fps is not None:
        preset = replace(preset, fps=fps)
    return preset if laser_mw is None else replace(preset, laser_mw=laser_mw)
