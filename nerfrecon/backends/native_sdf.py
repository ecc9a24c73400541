"""The compiled core for a signed distance: `nerfrecon.fields.sdf` in values and gradients, on any CPU.

The eikonal and curvature terms are means over the normals of a step, whose number is known when it is done: a
step divides by a running mean of it (the first one by its own count), where the reference divides by its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float16, Float32

from nerfrecon.backends.base import Colour, Pace, RayCamera, Rendered, StepReport, TrainingView
from nerfrecon.backends.native import (
    NativeBackend,
    cores,
    load_native,
    native_settings,
    refuse_what_is_not_built,
)
from nerfrecon.backends.state import PRIOR
from nerfrecon.fields.grid import grid_layout
from nerfrecon.fields.init import first_parameters
from nerfrecon.options import (
    LearnedSharpness,
    LossOptions,
    OptimiserOptions,
    SamplingOptions,
    SdfFieldOptions,
)
from suite.errors import BadInput

SHARPNESS = "sharpness"
SPHERE = {"centre": (3,), "radius": (1,)}
NORMALS = "running_normals"
"""Running mean of normals a ray."""


class NativeSdfBackend(NativeBackend):
    """A signed distance trained by the compiled core; arguments as of NativeBackend.

    `sharpness` is s for a schedule, which whoever trains sets; None leaves the field's own.
    """

    def __init__(
        self,
        field: SdfFieldOptions,
        sampling: SamplingOptions,
        losses: LossOptions,
        optimiser: OptimiserOptions,
        views: Sequence[TrainingView] = (),
        *,
        seed: int = 0,
        most_rays: int = 65536,
        threads: int | None = None,
        isa: str | None = None,
    ) -> None:
        self._native = load_native()
        refuse_what_is_not_built(self._native, field, losses, threads, isa)
        self._learned = isinstance(field.sharpness, LearnedSharpness)
        sdf = self._native.SdfSettings()
        sdf.normal_weight, sdf.normal_share = field.normal_weight, field.normal_share
        sdf.eikonal, sdf.curvature = losses.eikonal, losses.curvature
        sdf.first_levels, sdf.learned_sharpness = field.active.first, self._learned
        layout = grid_layout(field.grid)
        self._core = self._native.SdfCore(
            native_settings(self._native, sampling, losses, optimiser, seed, most_rays),
            sdf,
            layout.scale,
            layout.resolution,
            layout.entries,
            layout.dense.astype(np.int64),
            isa or "",
            threads or cores(),
        )
        self.pace = Pace(optimiser.grid_lr, optimiser.network_lr)
        self._exposure = False
        self.sharpness: float | None = None
        self._prior: Float16[np.ndarray, "r r r"] | None = None
        first = first_parameters(field, seed)
        self._shapes = {name: values.shape for name, values in first.items() if values.ndim == 2}
        self._set_tensors(first, "value")
        self._set_scalars(first)
        self.set_views(views)

    @property
    def name(self) -> str:
        """Such as `native fp32 (avx2)`."""
        return f"native fp32 ({self._core.isa})"

    def steps(self, count: int) -> StepReport:
        """As of NativeBackend, with the scheduled sharpness."""
        self._sharpen()
        return super().steps(count)

    def _paces(self) -> tuple[float | int, ...]:
        return (*super()._paces(), self.pace.prior)

    def set_prior(self, distance: Float[np.ndarray, "r r r"]) -> None:
        """Draw the signed distance to that of cell centres (z, y, x), by `pace.prior`; kept as 16 bits."""
        self._prior = distance.astype(np.float16)
        self._core.set_prior(self._prior.astype(np.float32).ravel(), len(distance))

    def render(self, camera: RayCamera, background: Colour) -> Rendered:
        """The view of `camera` on a plain background."""
        self._sharpen()
        return super().render(camera, background)

    def density(self, points: np.ndarray) -> Float[np.ndarray, " n"]:
        """There is none: raises BadInput."""
        raise BadInput("the field is a signed distance", hint="ask for `sdf`")

    def sdf(self, points: np.ndarray) -> Float[np.ndarray, " n"]:
        """Signed distance at points of the unit cube, positive outside; others are moved to its border."""
        if points.ndim != 2 or points.shape[1] != 3:
            raise BadInput(f"points have shape {points.shape}", hint="give (n, 3)")
        return self._core.sdf(np.ascontiguousarray(points, np.float32))

    def fit(
        self, points: Float32[np.ndarray, "n 3"], values: Float32[np.ndarray, " n"], rate: float | int
    ) -> float:
        """One step of Adam down the mean of |f - value|, which it returns; colours stay.

        It shares the training's moments and levels (`pace`): start a training with `load_state`.
        """
        return self._core.fit(
            np.ascontiguousarray(points), np.ascontiguousarray(values), rate, rate, self.pace.active_levels
        )

    def state(self) -> dict[str, np.ndarray]:
        """As of NativeBackend, with sharpness, sphere and the running mean of normals."""
        state = super().state()
        value, first, second = (np.array(number, np.float32) for number in self._core.log_sharpness)
        state |= {SHARPNESS: value, **{name: array.copy() for name, array in self._sphere.items()}}
        if self._learned:
            state |= {f"adam.m.{SHARPNESS}": first, f"adam.v.{SHARPNESS}": second}
        if self._prior is not None:
            state[PRIOR] = self._prior
        return state | {NORMALS: np.array([self._core.normals_per_ray], np.float64)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from `state`, as of NativeBackend. BadInput for a state of another field."""
        for name, shape in {SHARPNESS: (), **SPHERE}.items():
            if name not in state:
                raise BadInput(f"the state has no {name}", hint="it is of another field")
            if state[name].shape != shape:
                raise BadInput(f"{name} has shape {state[name].shape}, the field's has {shape}")
        super().load_state(state)
        self._set_scalars(state)
        if PRIOR in state:
            self.set_prior(state[PRIOR])

    def _set_scalars(self, state: Mapping[str, np.ndarray]) -> None:
        moments = [float(state.get(f"adam.{part}.{SHARPNESS}", 0.0)) for part in ("m", "v")]
        self._core.log_sharpness = (float(state[SHARPNESS]), *moments)
        self._sphere = {name: np.array(state[name], np.float32) for name in SPHERE}
        x, y, z = (float(number) for number in self._sphere["centre"])
        self._core.set_sphere(x, y, z, float(self._sphere["radius"][0]))
        if NORMALS in state:
            self._core.normals_per_ray = float(state[NORMALS][0])

    def _sharpen(self) -> None:
        if self.sharpness is not None:
            _, first, second = self._core.log_sharpness
            self._core.log_sharpness = (math.log(self.sharpness), first, second)
