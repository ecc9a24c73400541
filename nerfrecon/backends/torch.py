"""The readable training step, in PyTorch, on any device: it says what every other backend must do.

    pixels -> rays -> samples in occupied cells -> those before each ray's end -> colour, depth, opacity
           -> losses -> gradients, looked at before they are used -> Adam

Every random number is a function of (seed, step, ray): a training that goes on from its state is the same, to
the byte, as one that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nerfrecon.backends.base import StepReport, TrainingView
from nerfrecon.backends.state import PRIOR, occupancy_arrays, occupancy_from, refuse_other_shapes
from nerfrecon.backends.torch_renderer import TorchRenderer
from nerfrecon.fields.big_mlp import BigMlpField
from nerfrecon.fields.from_density import look_up
from nerfrecon.fields.sdf import SdfField
from nerfrecon.options import (
    BigMlpFieldOptions,
    DensityFieldOptions,
    LossOptions,
    OptimiserOptions,
    SamplingOptions,
    SdfFieldOptions,
)
from nerfrecon.render.losses import depth_loss, prior_loss
from nerfrecon.render.march import Samples
from nerfrecon.render.random import Draw, torch_uniform
from nerfrecon.render.rays import Pixels, Rays, draw_backgrounds, draw_pixels
from nerfrecon.render.volume import Seen, drawn_for_normals, see, visible
from nerfrecon.training.adam import Adam, clip_gradients
from nerfrecon.training.batches import Pictures
from nerfrecon.training.depths import Depths, ViewDepths
from nerfrecon.training.objective import Counted, Look, objective
from nerfrecon.training.pose_refinement import refined
from suite.errors import BadInput, SuiteError

TABLE = "grid.table"
LOG_GAINS, CORRECTIONS = "exposure.log_gain", "poses.correction"
POSE_SHARE = 0.05
"""Rate of poses, in radians and unit-cube lengths a step, by that of the grid."""
POINTS_SHARE = 4
"""One in so many rays more goes through points of known depth."""
FIRST_KEPT_PER_RAY, LEAST_KEPT_PER_RAY = 32.0, 0.05
LARGEST_GRADIENT = 1e18
MOST_REFUSED = 3
BACKGROUNDS = {"white": 1.0, "black": 0.0}


class TorchBackend(TorchRenderer):
    """Any field, trained in plain PyTorch.

    `depths` are what is known of each view's depth (`losses.depth`); `exposure` fits gains, `poses` refines
    poses.
    """

    def __init__(
        self,
        field: DensityFieldOptions | SdfFieldOptions | BigMlpFieldOptions,
        sampling: SamplingOptions,
        losses: LossOptions,
        optimiser: OptimiserOptions,
        views: Sequence[TrainingView] = (),
        *,
        seed: int = 0,
        most_rays: int = 65536,
        device: str = "cpu",
        exposure: bool = False,
        poses: bool = False,
    ) -> None:
        super().__init__(field, sampling, optimiser, seed, device)
        self.losses, self.most_rays = losses, most_rays
        self._adam = Adam(optimiser)
        self._extras: dict[str, Tensor] = {}
        self._fits = {LOG_GAINS: (exposure, 3), CORRECTIONS: (poses, 6)}
        self._pictures: Pictures | None = None
        self._depths: Depths | None = None
        self._prior: Tensor | None = None
        self._step = self._applied = self._refused = self._refused_in_row = 0
        self._caution, self._kept_per_ray = 1.0, 0.0
        if views:
            self.set_views(views)

    @property
    def step(self) -> int:
        """Number of the next step."""
        return self._step

    def set_views(self, views: Sequence[TrainingView]) -> None:
        """What to learn from, from the next step on: the same views in other sizes, or the first ones."""
        self._pictures = Pictures(views, self.device)
        self._depths = None
        for name, (wanted, width) in self._fits.items():
            if wanted and (name not in self._extras or len(self._extras[name]) != len(views)):
                self._extras[name] = torch.zeros(len(views), width, device=self.device, requires_grad=True)

    def set_depths(self, depths: Sequence[ViewDepths]) -> None:
        """What is known of the depth of each of the views, in their order; after `set_views`."""
        if self._pictures is None or len(depths) != len(self._pictures.cameras):
            raise BadInput(f"depths of {len(depths)} views", hint="give one for each training view")
        self._depths = Depths(depths, self.device)

    def set_prior(self, distance: Float[np.ndarray, "r r r"]) -> None:
        """Draw a signed distance to that of cell centres (z, y, x), by `pace.prior`; kept as 16 bits."""
        self._prior = torch.from_numpy(distance.astype(np.float16)).to(self.device)

    def steps(self, count: int) -> StepReport:
        """Run `count` training steps. SuiteError without views, and after three in a row not finite."""
        if self._pictures is None:
            raise SuiteError("there are no views to train on")
        self._prepare_field()
        before, refused, total = time.process_time(), 0, Counted()
        for _ in range(count):
            if self._step and self._step % self.sampling.update_every == 0 and self.sampling.empty_space:
                self._update_occupancy(self._step)
            done = self._train_step(self._pictures)
            self._step += 1
            if done is not None:
                total += done
                self._refused_in_row = 0
                continue
            refused += 1
            self._refused += 1
            self._refused_in_row += 1
            self._caution /= 2
            if self._refused_in_row == MOST_REFUSED:
                raise SuiteError(
                    f"training stopped at step {self._step}: {MOST_REFUSED} steps in a row were not finite; "
                    "lower the learning rates"
                )
        return StepReport(
            steps=count - refused,
            loss=total.loss / (count - refused) if count > refused else float("nan"),
            rays=total.rays,
            samples_marched=total.marched,
            samples_kept=total.kept,
            active_occupancy=self.occupancy.share,
            cpu_s=time.process_time() - before,
            steps_refused=refused,
        )

    def state(self) -> dict[str, np.ndarray]:
        """Parameters under their names, Adam's moments after `adam.m.` and `adam.v.`, occupancy, counters."""
        state = self._exported({name: value.detach() for name, value in self._tensors().items()})
        for part, moments in (("m", self._adam.first), ("v", self._adam.second)):
            zeros = {name: torch.zeros_like(value) for name, value in self._trained().items()}
            exported = self._exported({**zeros, **moments})
            state |= {f"adam.{part}.{name}": value for name, value in exported.items()}
        state |= occupancy_arrays(self.occupancy)
        if self._prior is not None:
            state[PRIOR] = self._prior.cpu().numpy()
        state["counters"] = np.array([self._step, self._applied, self._refused], np.int64)
        state["running"] = np.array([self._caution, self._kept_per_ray], np.float64)
        return state

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from `state`; moments, occupancy and counters may be missing (parameters alone are a start).

        BadInput where a tensor is missing or of another shape; nothing is changed then.
        """
        own = self._exported({name: v.detach() for name, v in self.field.state_dict().items()})
        shapes = {name: value.shape for name, value in own.items()}
        refuse_other_shapes(state, shapes, len(self.occupancy.value))
        self.field.load_state_dict(self._imported({name: state[name] for name in shapes}))
        for name, (wanted, _) in self._fits.items():
            if wanted and name in state:
                self._extras[name] = torch.tensor(state[name], device=self.device, requires_grad=True)
        for part, moments in (("m", self._adam.first), ("v", self._adam.second)):
            prefix = f"adam.{part}."
            found = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
            if found:
                extras = {n: torch.tensor(v, device=self.device) for n, v in found.items() if n in self._fits}
                rest = {name: value for name, value in found.items() if name not in self._fits}
                moments.clear()
                moments |= {n: v.to(self.device) for n, v in self._imported(rest).items()} | extras
        if "occupancy.value" in state:
            self.occupancy = occupancy_from(state, self.device)
        if PRIOR in state:
            self.set_prior(state[PRIOR])
        if "counters" in state:
            self._step, self._applied, self._refused = (int(number) for number in state["counters"])
            self._caution, self._kept_per_ray = (float(number) for number in state["running"])
        self._refused_in_row = 0

    def _train_step(self, pictures: Pictures) -> Counted | None:
        """One step; None where its loss or gradient is not finite, and nothing is changed then."""
        rays = self._ray_count()
        numbers = torch.arange(rays, device=self.device)
        pixels = draw_pixels(self.seed, self._step, numbers, pictures.sizes_px)
        targets = pictures.targets(pixels)
        if not bool(targets.usable.all()):
            usable = targets.usable
            numbers, pixels = numbers[usable], Pixels(*(part[usable] for part in pixels))
            targets = pictures.targets(pixels)
        poses = pictures.poses
        if CORRECTIONS in self._extras:
            poses = refined(poses, self._extras[CORRECTIONS])
        look = Look(targets, pixels, self._backgrounds(numbers))
        samples, seen = self._looked(pictures.rays(pixels, poses), numbers, look.background)
        total = objective(
            self.losses, self.field, look, seen, self._extras.get(LOG_GAINS), self._known_depth(look)
        )
        total = total * (len(numbers) / rays) + self._prior_loss(seen, rays)
        kept = int(seen.weights.kept.sum())
        if self._depths is not None and self._depths.points and self.losses.depth:
            away, more, more_kept = self._points_loss(pictures, self._depths, poses, rays)
            total = total + self.losses.depth * away
            samples, kept = samples + more, kept + more_kept
        if not self._improve(total):
            return None
        now = max(kept / rays, LEAST_KEPT_PER_RAY)
        self._kept_per_ray = 0.9 * self._kept_per_ray + 0.1 * now if self._kept_per_ray else now
        return Counted(float(total.detach()), rays, samples, kept)

    def _ray_count(self) -> int:
        per_ray = self._kept_per_ray or FIRST_KEPT_PER_RAY
        return int(max(1.0, min(float(self.most_rays), self.pace.samples / per_ray)))

    def _looked(self, rays: Rays, numbers: Tensor, background: Tensor) -> tuple[int, Seen]:
        """Samples marched, and what rays see, with a graph; points of samples follow poses that learn."""
        jitter = torch_uniform(self.seed, self._step, numbers, Draw.JITTER)
        fixed = Rays(rays.origins.detach(), rays.directions.detach())
        samples = self._march(fixed, self._sampling(), jitter)
        marched = len(samples.t)
        drawn = None
        if isinstance(self.field, SdfField):
            share = self.field.options.normal_share
            drawn = drawn_for_normals(samples, self.seed, self._step, share)
        chosen = self._needed(samples)
        samples = samples.subset(chosen)
        if rays.origins.requires_grad:
            points = rays.origins[samples.ray] + samples.t[:, None] * rays.directions[samples.ray]
            samples = samples._replace(points=points.clamp(0, 1))
        drawn = None if drawn is None else drawn[chosen]
        return marched, see(self.field, samples, rays.directions, background, self.sampling.stop, drawn)

    def _needed(self, samples: Samples) -> Tensor:
        """The samples before their rays' ends; where no ray ever ends, all of them, unasked."""
        if not self.sampling.stop:
            return torch.ones_like(samples.joined)
        return visible(self.field, samples, self.sampling.stop)

    def _points_loss(
        self, pictures: Pictures, depths: Depths, poses: Tensor, rays: int
    ) -> tuple[Tensor, int, int]:
        """Depth against points found with the poses, along rays of their own; samples marched and kept."""
        chosen = depths.drawn(self.seed, self._step, max(1, rays // POINTS_SHARE))
        aim = pictures.rays_at(depths.point_view[chosen], depths.point_px[chosen], poses)
        numbers = rays + torch.arange(len(chosen), device=self.device)
        marched, seen = self._looked(aim, numbers, torch.zeros(len(chosen), 3, device=self.device))
        wanted, trust = depths.point_depth[chosen], depths.point_trust[chosen]
        away = depth_loss(seen.depth, wanted, trust, seen.opacity.detach() > 0)
        away = away + self._prior_loss(seen, rays) / self.losses.depth
        return away, marched, int(seen.weights.kept.sum())

    def _prior_loss(self, seen: Seen, rays: int) -> Tensor | float:
        if self._prior is None or not self.pace.prior or seen.distance is None:
            return 0.0
        wanted = look_up(self._prior.float(), seen.samples.points)
        return self.pace.prior / rays * prior_loss(seen.distance, wanted, 1 / len(self._prior))

    def _known_depth(self, look: Look) -> tuple[Tensor, Tensor] | None:
        if self._depths is None or not self._depths.has_maps or not self.losses.depth:
            return None
        return self._depths.at(look.pixels)

    def _improve(self, loss: Tensor) -> bool:
        """Go down the gradient of `loss`, unless it or the loss is not finite."""
        trained = self._trained()
        for parameter in trained.values():
            parameter.grad = None
        if not bool(loss.isfinite()):
            return False
        if loss.requires_grad:  # else no ray met anything
            loss.backward()
        grads = [parameter.grad for parameter in trained.values() if parameter.grad is not None]
        if not all(bool((grad.abs() < LARGEST_GRADIENT).all()) for grad in grads):
            return False
        groups: dict[str, list[Tensor]] = {}
        for name, parameter in trained.items():
            if name not in self._sparse() and name not in self._fits and parameter.ndim:
                groups.setdefault(self._group(name), []).append(parameter)
        clip_gradients(groups, self._adam.options.clip)
        self._applied += 1
        rates = {name: self._rate(name) * self._caution for name in trained}
        self._adam.step(trained, rates, self._applied, self._sparse())
        return True

    def _rate(self, name: str) -> float:
        if name == CORRECTIONS:
            return self.pace.grid_lr * POSE_SHARE
        return self.pace.grid_lr if name == TABLE else self.pace.network_lr

    def _group(self, name: str) -> str:
        """The network that a matrix belongs to; each is clipped for itself."""
        return name.partition(".")[0] if not isinstance(self.field, BigMlpField) else ""

    def _sparse(self) -> frozenset[str]:
        return frozenset({TABLE})

    def _backgrounds(self, numbers: Tensor) -> Tensor:
        if self.losses.background == "random":
            return draw_backgrounds(self.seed, self._step, numbers)
        return torch.full((len(numbers), 3), BACKGROUNDS[self.losses.background], device=self.device)

    def _trained(self) -> dict[str, Tensor]:
        own = {name: value for name, value in self.field.named_parameters() if value.requires_grad}
        return {**own, **self._extras}

    def _tensors(self) -> dict[str, Tensor]:
        return {**self.field.state_dict(), **self._extras}

    def _exported(self, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Tensors under the names that all backends share."""
        return {name: value.detach().float().cpu().numpy().copy() for name, value in tensors.items()}

    def _imported(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """The way back."""
        return {name: torch.tensor(value) for name, value in arrays.items()}
