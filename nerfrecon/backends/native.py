"""The compiled training core as a backend: fields on the hash grid, on any CPU.

It follows the reference in `nerfrecon.fields`, `nerfrecon.ops` and `nerfrecon.render` in values and
gradients, and draws the same rays. Adam leaves alone what has a gradient of exactly 0, as tiny-cuda-nn's
does: entries of the table that no sample touched keep their moments.

In bf16 the networks' products take numbers rounded to bf16 and are summed in fp32, forward and back; weights,
table, moments and all else stay fp32 (native/bf16.h). A state is the same in either.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from nerfrecon.backends.base import Colour, Pace, RayCamera, Rendered, StepReport, TrainingView
from nerfrecon.fields.grid import grid_layout
from nerfrecon.fields.init import first_parameters
from nerfrecon.native import load_native
from nerfrecon.options import (
    CharbonnierOptions,
    DensityFieldOptions,
    HuberOptions,
    LossOptions,
    OptimiserOptions,
    Precision,
    SamplingOptions,
    SdfFieldOptions,
)
from nerfrecon.training.depths import ViewDepths
from suite.errors import BackendUnavailable, BadInput, SuiteError

LOG_GAINS = "exposure.log_gain"
BACKGROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}


class Evaluated(NamedTuple):
    """Loss of rays with given samples, what they see, and the gradient of every parameter (or none)."""

    loss: float
    rgb: Float32[np.ndarray, "rays 3"]
    depth: Float32[np.ndarray, " rays"]
    opacity: Float32[np.ndarray, " rays"]
    gradients: dict[str, np.ndarray]


class NativeBackend:
    """A density field trained by the compiled core.

    `threads` None takes all cores this process may use; `isa` names the kernels ("portable", "avx2",
    "avx512", in bf16 also "avx512bf16"), None takes the best that the machine runs. `exposure` fits gains of
    every view. `precision` bf16 without AVX-512-BF16 is imitated: the same numbers, slower than fp32.
    """

    def __init__(
        self,
        field: DensityFieldOptions,
        sampling: SamplingOptions,
        losses: LossOptions,
        optimiser: OptimiserOptions,
        views: Sequence[TrainingView] = (),
        *,
        seed: int = 0,
        most_rays: int = 65536,
        threads: int | None = None,
        isa: str | None = None,
        exposure: bool = False,
        precision: Precision = "fp32",
    ) -> None:
        self._native = load_native()
        if not isinstance(field, DensityFieldOptions):
            raise BackendUnavailable("native", f"it has no field of type {field.type}", "take backend torch")
        bf16 = precision == "bf16" or (precision == "auto" and has_bf16(self._native))
        refuse_what_is_not_built(self._native, field, losses, threads, isa, bf16)
        layout = grid_layout(field.grid)
        settings = native_settings(self._native, sampling, losses, optimiser, seed, most_rays)
        settings.bf16 = bf16
        self._core = self._native.Core(
            settings,
            layout.scale,
            layout.resolution,
            layout.entries,
            layout.dense.astype(np.int64),
            isa or "",
            threads or cores(),
        )
        self.pace = Pace(optimiser.grid_lr, optimiser.network_lr)
        self._exposure = exposure
        first = first_parameters(field, seed)
        self._shapes = {name: values.shape for name, values in first.items()}
        self._set_tensors(first, "value")
        self.set_views(views)

    @property
    def name(self) -> str:
        """Such as `native fp32 (avx2)`, `native bf16 (avx512bf16)`, `native bf16 emulated (avx2)`."""
        return f"native {self._core.arithmetic} ({self._core.isa})"

    @property
    def step(self) -> int:
        """Number of the next step."""
        return self._core.place[0]

    def set_views(self, views: Sequence[TrainingView]) -> None:
        """What to learn from, from the next step on. Pictures are not copied: leave them as they are."""
        self._core.set_views(
            [
                (
                    np.ascontiguousarray(view.pixels),
                    None if view.usable is None else np.ascontiguousarray(view.usable).view(np.uint8),
                    _lens(view.camera),
                    _pose(view.camera),
                )
                for view in views
            ]
        )
        if self._exposure:
            self._core.fit_exposure()

    def set_depths(self, depths: Sequence[ViewDepths]) -> None:
        """What is known of the depth of each of the views, in their order; after `set_views`."""
        numbers = [np.full(len(view.depth), number, np.int64) for number, view in enumerate(depths)]
        try:
            self._core.set_depths(
                [None if view.map is None else np.ascontiguousarray(view.map, np.float32) for view in depths],
                np.concatenate([*numbers, np.zeros(0, np.int64)]),
                np.concatenate([view.positions_px.ravel() for view in depths] or [np.zeros(0)]).astype(float),
                np.concatenate([view.depth for view in depths] or [np.zeros(0)]).astype(np.float32),
                np.concatenate([view.trust for view in depths] or [np.zeros(0)]).astype(np.float32),
            )
        except ValueError as error:
            raise BadInput(str(error), hint="give one set of depths for each training view") from None

    def restrict(self, allowed: Bool[np.ndarray, " cells"]) -> None:
        """Give up cells of the occupancy grid for good; BadInput where none is left."""
        value, before, on = self._core.occupancy()
        if allowed.shape != before.shape:
            raise BadInput(f"{allowed.size} cells for a grid of {before.size}", hint="use its resolution")
        left = before & allowed.astype(np.uint8)
        if not left.any():
            raise BadInput(
                "no cell of the scene's box is left", hint="check the masks, the poses and the box"
            )
        self._core.set_occupancy(value, left, on & left)

    def steps(self, count: int) -> StepReport:
        """Run `count` training steps. SuiteError without views, and after three in a row not finite."""
        before = time.process_time()
        try:
            applied, refused, loss, rays, marched, kept = self._core.steps(count, *self._paces())
        except (RuntimeError, ValueError) as error:
            raise SuiteError(f"training stopped at step {self.step}: {error}") from None
        return StepReport(
            steps=applied,
            loss=loss / applied if applied else float("nan"),
            rays=rays,
            samples_marched=marched,
            samples_kept=kept,
            active_occupancy=self._core.cells_on / self._core.cells,
            cpu_s=time.process_time() - before,
            steps_refused=refused,
        )

    def _paces(self) -> tuple[float | int, ...]:
        """What the core's steps take of the pace."""
        return (self.pace.grid_lr, self.pace.network_lr, self.pace.active_levels, self.pace.samples)

    def render(self, camera: RayCamera, background: Colour) -> Rendered:
        """The view of `camera` on a plain background."""
        lens, pose = _lens(camera), _pose(camera)
        behind = np.asarray(background, np.float64)
        return Rendered(*self._core.render(camera.width, camera.height, lens, pose, behind))

    def density(self, points: np.ndarray) -> Float[np.ndarray, " n"]:
        """Density per unit length at points (n, 3) of the unit cube; those outside move to its border."""
        if points.ndim != 2 or points.shape[1] != 3:
            raise BadInput(f"points have shape {points.shape}", hint="give (n, 3)")
        return self._core.density(np.ascontiguousarray(points, np.float32))

    def encode(self, points: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n width"]:
        """Features of the hash grid at points of the unit cube."""
        return self._core.encode(np.ascontiguousarray(points))

    def march(
        self,
        origins: Float32[np.ndarray, "rays 3"],
        directions: Float32[np.ndarray, "rays 3"],
        jitter: Float32[np.ndarray, " rays"],
    ) -> tuple[Int64[np.ndarray, " bounds"], Float32[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """Where each ray's samples start, and t and dt of the samples: `nerfrecon.render.march`."""
        starts, t, dt = self._core.march(origins, directions, jitter)
        return starts.view(np.int64), t, dt  # it comes as `long long`, which is another name for the same

    def rays(
        self, camera: RayCamera, pixels: Float32[np.ndarray, "n 2"]
    ) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, "n 3"]]:
        """Origins and unit directions of the rays through pixel positions (u, v)."""
        return self._core.rays(camera.width, camera.height, _lens(camera), _pose(camera), pixels)

    def update_occupancy(self) -> None:
        """Look at the density in cells now, as every `update_every`-th step does."""
        self._core.update_occupancy()

    def evaluate(
        self,
        starts: np.ndarray,
        origins: np.ndarray,
        directions: np.ndarray,
        t: np.ndarray,
        dt: np.ndarray,
        targets: np.ndarray,
        backgrounds: np.ndarray,
        gradients: bool = True,
    ) -> Evaluated:
        """What rays with given samples (ray r's at `starts[r] : starts[r + 1]`, near to far) see and cost.

        `starts` (rays + 1,) is int64; `t` and `dt` (samples,) and the others (rays, 3) float32, contiguous.
        BadInput for arrays of other shapes or types.
        """
        try:
            found = self._core.evaluate(starts, origins, directions, t, dt, targets, backgrounds, gradients)
        except (TypeError, ValueError) as error:
            what = (
                str(error).splitlines()[0] if isinstance(error, ValueError) else "an array is of another type"
            )
            raise BadInput(
                what, hint="give int64 starts and contiguous float32 arrays of matching shapes"
            ) from None
        return Evaluated(*found)

    def state(self) -> dict[str, np.ndarray]:
        """Parameters under their names in the state dict, Adam's moments behind `adam.m.` and `adam.v.`,
        occupancy and counters."""
        names = [*self._shapes, *([LOG_GAINS] if self._fits_gains else [])]
        state = {name: self._core.tensor(name, "value") for name in names}
        for part in ("m", "v"):
            state |= {f"adam.{part}.{name}": self._core.tensor(name, part) for name in names}
        value, allowed, on = self._core.occupancy()
        state |= {"occupancy.value": value, "occupancy.allowed": allowed, "occupancy.occupied": on}
        step, applied, refused, caution, kept = self._core.place
        state["counters"] = np.array([step, applied, refused], np.int64)
        state["running"] = np.array([caution, kept], np.float64)
        return state

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from `state`; moments, occupancy and counters may be missing (parameters alone are a start).

        BadInput where a tensor is missing or of another shape; nothing is changed then.
        """
        for name, shape in self._shapes.items():
            for key in (name, f"adam.m.{name}", f"adam.v.{name}"):
                if key not in state and key == name:
                    raise BadInput(f"the state has no {name}", hint="it is of another field")
                if key in state and state[key].shape != shape:
                    raise BadInput(
                        f"{key} has shape {state[key].shape}, the field's has {shape}",
                        hint="use the field's options that it was trained with",
                    )
        self._set_tensors(state, "value")
        self._set_gains(state)
        for part in ("m", "v"):
            self._set_tensors(
                {
                    name: state[f"adam.{part}.{name}"]
                    for name in self._shapes
                    if f"adam.{part}.{name}" in state
                },
                part,
            )
        if "occupancy.value" in state:
            self._core.set_occupancy(
                np.ascontiguousarray(state["occupancy.value"], np.float32),
                np.ascontiguousarray(state["occupancy.allowed"]).astype(np.uint8),
                np.ascontiguousarray(state["occupancy.occupied"]).astype(np.uint8),
            )
        if "counters" in state:
            step, applied, refused = (int(n) for n in state["counters"])
            caution, kept = (float(x) for x in state["running"])
            self._core.place = (step, applied, refused, caution, kept)

    @property
    def _fits_gains(self) -> bool:
        return self._exposure and bool(self._core.views)

    def _set_gains(self, state: Mapping[str, np.ndarray]) -> None:
        """Exposures that `state` has, where they are fitted and it has as many views."""
        for part, key in (("value", LOG_GAINS), ("m", f"adam.m.{LOG_GAINS}"), ("v", f"adam.v.{LOG_GAINS}")):
            if self._fits_gains and key in state:
                if len(state[key]) != self._core.views:
                    raise BadInput(
                        f"{key} is of {len(state[key])} views, not {self._core.views}",
                        hint="keep the views as they were",
                    )
                self._core.set_tensor(LOG_GAINS, part, np.ascontiguousarray(state[key], np.float32))

    def _set_tensors(self, values: Mapping[str, np.ndarray], part: str) -> None:
        for name, array in values.items():
            if name in self._shapes:
                self._core.set_tensor(name, part, np.ascontiguousarray(array, np.float32))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_bf16(native: Any) -> bool:
    """Whether this machine has instructions for bf16."""
    return native.runnable(bf16=True)[0] == "avx512bf16"


def native_settings(
    native: Any,
    sampling: SamplingOptions,
    losses: LossOptions,
    optimiser: OptimiserOptions,
    seed: int,
    most_rays: int,
) -> Any:
    """The core's settings."""
    settings = native.Settings()
    settings.seed = seed
    settings.resolution = sampling.occupancy_resolution
    for key in ("update_every", "update_share", "update_share_empty", "decay", "threshold"):
        setattr(settings, key, getattr(sampling, key))
    for key in ("step", "cone", "near", "stop"):
        setattr(settings, key, getattr(sampling, key))
    settings.update_all_until = int(sampling.update_all_until)
    settings.most_samples = sampling.most_samples
    settings.empty_space = sampling.empty_space
    settings.most_rays = most_rays
    for key in ("beta1", "beta2", "epsilon", "clip"):
        setattr(settings, key, getattr(optimiser, key))
    kind, size = 0, 0.0
    if isinstance(losses.colour, HuberOptions):
        kind, size = 1, losses.colour.delta
    elif isinstance(losses.colour, CharbonnierOptions):
        kind, size = 2, losses.colour.epsilon
    settings.set_loss(kind, size, losses.mask, losses.opacity, losses.distortion, losses.depth)
    settings.random_background = losses.background == "random"
    if losses.background != "random":
        settings.set_background(*BACKGROUNDS[losses.background])
    return settings


def refuse_what_is_not_built(
    native: Any,
    field: DensityFieldOptions | SdfFieldOptions,
    losses: LossOptions,
    threads: int | None,
    isa: str | None,
    bf16: bool = False,
) -> None:
    """BackendUnavailable for what the core lacks, BadInput for kernels and threads that there are not."""
    if isa is not None and isa not in (names := native.runnable(bf16=bf16)):
        raise BadInput(f"kernels {isa!r} do not run here", hint=f"take {', '.join(names)}")
    if threads is not None and threads < 1:
        raise BadInput(f"{threads} threads", hint="give 1 or more")
    if field.grid.features != 2:
        raise BackendUnavailable(
            "native",
            f"it has 2 features a level, not {field.grid.features}",
            "take features: 2 or backend torch",
        )
    if isinstance(field, SdfFieldOptions) and losses.distortion > 0:
        raise BackendUnavailable(
            "native",
            "it has no distortion loss for a signed distance",
            "set distortion: 0, or take backend torch",
        )


def _lens(camera: RayCamera) -> np.ndarray:
    distortion = (*camera.distortion, *(0.0,) * (8 - len(camera.distortion)))
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy, *distortion], np.float64)


def _pose(camera: RayCamera) -> np.ndarray:
    return np.ascontiguousarray(camera.T_unit_camera[:3], np.float64).reshape(-1)
