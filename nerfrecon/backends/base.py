"""What every backend of a field gives: training steps, pictures, values, and its whole state as arrays.

All lengths are those of the unit cube, in which the object's or scene's box is [0, 1]^3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from suite.errors import BadInput

Colour = tuple[float | int, float | int, float | int]


@dataclass(frozen=True)
class StepReport:
    """What a run of training steps did. Counts are sums over its steps, `loss` is a mean."""

    steps: int  # steps applied
    loss: float  # mean over the rays of the loss per colour channel; NaN where no ray was drawn
    rays: int
    samples_marched: int  # samples in occupied cells
    samples_kept: int  # of these, seen before the ray became opaque: the ones that were trained on
    active_occupancy: float  # share of the occupancy grid's cells that are on, after the last step
    cpu_s: float  # CPU-seconds of all threads
    steps_refused: int = 0  # steps whose loss or gradient was not finite; parameters are as before them


@dataclass(frozen=True)
class RayCamera:
    """A camera in the unit cube: x right, y down, z forward, whole pixel numbers are pixel centres.

    `T_unit_camera` is rigid (the scale of the scene is in its translation only). `distortion` is OpenCV's
    (k1, k2, p1, p2, k3, k4, k5, k6), or its first four or five numbers, or empty.
    """

    width: int
    height: int
    fx: float | int
    fy: float | int
    cx: float | int
    cy: float | int
    T_unit_camera: Float[np.ndarray, "4 4"]
    distortion: tuple[float | int, ...] = ()

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise BadInput(
                f"camera picture is {self.width} x {self.height} px", hint="give its size in pixels"
            )
        if not (math.isfinite(self.fx) and math.isfinite(self.fy) and self.fx > 0 and self.fy > 0):
            raise BadInput(
                f"camera focal lengths are {self.fx:g}, {self.fy:g}", hint="they are positive, in pixels"
            )
        if not (math.isfinite(self.cx) and math.isfinite(self.cy)):
            raise BadInput(f"camera principal point is {self.cx:g}, {self.cy:g}", hint="give it in pixels")
        if len(self.distortion) not in (0, 4, 5, 8) or not all(map(math.isfinite, self.distortion)):
            raise BadInput(
                f"lens distortion has {len(self.distortion)} numbers",
                hint="give k1 k2 p1 p2, or these and k3, or these and k4 k5 k6, all finite",
            )
        T = np.asarray(self.T_unit_camera, np.float64)
        if T.shape != (4, 4) or not np.isfinite(T).all() or np.abs(T[3] - [0, 0, 0, 1]).max() > 1e-9:
            raise BadInput("T_unit_camera is not a finite 4 x 4 pose", hint="its last row is 0 0 0 1")
        if np.abs(T[:3, :3] @ T[:3, :3].T - np.eye(3)).max() > 1e-4:
            raise BadInput("T_unit_camera is not rigid", hint="scale its translation, not its axes")
        object.__setattr__(self, "T_unit_camera", T)


@dataclass(frozen=True, eq=False)
class TrainingView:
    """A picture to learn from: RGB or RGBA (straight alpha), and which pixels say something; None: all."""

    camera: RayCamera
    pixels: UInt8[np.ndarray, "h w c"]
    usable: Bool[np.ndarray, "h w"] | None = None

    def __post_init__(self) -> None:
        size = (self.camera.height, self.camera.width)
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] not in (3, 4):
            raise BadInput(
                f"picture is {self.pixels.dtype} of shape {self.pixels.shape}",
                hint="give 8-bit RGB or RGBA, (height, width, 3 or 4)",
            )
        for what, array in (("picture", self.pixels), ("mask of usable pixels", self.usable)):
            if array is not None and array.shape[:2] != size:
                raise BadInput(
                    f"{what} is {array.shape[1]} x {array.shape[0]} px "
                    f"but its camera says {size[1]} x {size[0]} px"
                )


@dataclass(frozen=True)
class Pace:
    """What changes while a training goes on; whoever trains sets it between calls of `steps`."""

    grid_lr: float | int = 1e-2
    network_lr: float | int = 2e-3
    active_levels: int = 32
    samples: int = 16384  # that survive, a step
    prior: float | int = 0.0  # weight of the distance that a signed distance is drawn to

    def __post_init__(self) -> None:
        if (
            not (math.isfinite(self.grid_lr) and math.isfinite(self.network_lr))
            or min(self.grid_lr, self.network_lr) < 0
        ):
            raise BadInput(f"learning rates are {self.grid_lr:g} and {self.network_lr:g}")
        if not (math.isfinite(self.prior) and self.prior >= 0):
            raise BadInput(f"weight of the prior is {self.prior:g}", hint="0 or more")
        if self.active_levels < 1 or self.samples < 1:
            raise BadInput(
                f"{self.active_levels} active levels and {self.samples} samples a step", hint="1 or more"
            )


@dataclass(frozen=True)
class Rendered:
    """A view: colour in [0, 1], depth along the ray in unit-cube lengths, opacity in [0, 1]."""

    rgb: Float[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]
    opacity: Float[np.ndarray, "h w"]


@runtime_checkable
class Backend(Protocol):
    """A field being trained. Same seed, same backend: the same bytes, whatever the number of threads."""

    @property
    def name(self) -> str:
        """What runs, as people should read it: `native fp32 (avx2)`, `torch cpu`."""
        ...

    pace: Pace

    def set_views(self, views: Sequence[TrainingView]) -> None:
        """What to learn from, from the next step on."""
        ...

    def restrict(self, allowed: Bool[np.ndarray, " cells"]) -> None:
        """Give up cells of the occupancy grid for good; BadInput where none is left."""
        ...

    def steps(self, count: int) -> StepReport:
        """Run `count` training steps. SuiteError after three steps in a row that are not finite."""
        ...

    def render(self, camera: RayCamera, background: Colour) -> Rendered:
        """The view of `camera` on a plain background."""
        ...

    def density(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Density per unit length at points of the unit cube; an SDF field has `sdf` instead."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Parameters, moments, occupancy, step: all that is needed to go on exactly."""
        ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from `state`. BadInput where it belongs to another field."""
        ...
