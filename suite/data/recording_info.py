"""What holds for a whole RGB-D recording: device, cameras, depth unit, gravity, presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from suite.data.frame import gravity_direction
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera
from suite.geometry.rotations import is_rigid

FORMAT, VERSION = "rgbd-recording", 1
HEAD, INDEX = "recording.json", "frames.jsonl"


@dataclass(frozen=True, eq=False)
class RecordingInfo:
    """What holds for a whole recording.

    `camera_color` and `T_color_depth` (points from the depth to the colour camera's frame, m) say where a
    colour image of its own camera looks; without them colour is registered to depth. `presets` are the
    device's settings, kept as they were. Raises BadInput for values that cannot be.
    """

    device: str
    depth_unit_m: float
    camera_depth: PinholeCamera
    camera_color: PinholeCamera | None = None
    T_color_depth: Float[np.ndarray, "4 4"] | None = None
    gravity_camera: Float[np.ndarray, " 3"] | None = None
    presets: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1e-6 <= self.depth_unit_m <= 0.1:
            raise BadInput(
                f"depth_unit_m is {self.depth_unit_m}", hint="metres per count, such as 0.001 or 0.0001"
            )
        if self.T_color_depth is not None:
            T = np.asarray(self.T_color_depth, np.float64)
            if T.shape != (4, 4) or not is_rigid(T, tolerance=1e-4):
                raise BadInput("T_color_depth is not a rigid 4 x 4 transform")
            if self.camera_color is None:
                raise BadInput("T_color_depth is given without camera_color", hint="give both or neither")
            object.__setattr__(self, "T_color_depth", T)
        object.__setattr__(self, "gravity_camera", gravity_direction(self.gravity_camera))

    def to_json(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "depth_unit_m": self.depth_unit_m,
            "camera_depth": self.camera_depth.to_json(),
            "camera_color": None if self.camera_color is None else self.camera_color.to_json(),
            "T_color_depth": None if self.T_color_depth is None else self.T_color_depth.tolist(),
            "gravity_camera": None if self.gravity_camera is None else self.gravity_camera.tolist(),
            "presets": dict(self.presets),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str | Path | None = None) -> RecordingInfo:
        """Raises BadInput naming `where` and the key that is missing or wrong."""
        if missing := [k for k in ("device", "depth_unit_m", "camera_depth") if k not in values]:
            raise BadInput(f"lacks {', '.join(missing)}", where)
        color = values.get("camera_color")
        try:
            return cls(
                device=str(values["device"]),
                depth_unit_m=float(values["depth_unit_m"]),
                camera_depth=PinholeCamera.from_json(values["camera_depth"], f"{where}: camera_depth"),
                camera_color=None
                if color is None
                else PinholeCamera.from_json(color, f"{where}: camera_color"),
                T_color_depth=_array(values.get("T_color_depth")),
                gravity_camera=gravity_direction(values.get("gravity_camera")),
                presets=dict(values.get("presets") or {}),
            )
        except BadInput as error:
            raise error if error.where else BadInput(error.what, where, error.hint) from None
        except (TypeError, ValueError) as error:
            raise BadInput(f"holds a value of the wrong type ({error})", where) from None


def _array(values: Any) -> np.ndarray | None:
    return None if values is None else np.array(values, np.float64)
