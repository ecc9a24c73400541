"""Fields, sampling, losses and training as they are written in YAML. Light: imports no torch.

Lengths are in units of the unit cube that holds the scene; shares of a training run from 0 to 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from suite.config import Config

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Precision = Literal["fp32", "bf16", "auto"]


class GridOptions(Config):
    """Multi-resolution hash grid (Mueller et al. 2022)."""

    levels: Annotated[int, Field(ge=1, le=32)] = 16
    features: Literal[1, 2, 4, 8] = 2
    """Numbers a level gives."""
    log2_table: Annotated[int, Field(ge=8, le=24)] = 19
    """Entries of a level at most, as a power of two: 19 for quality, 17 for speed."""
    coarsest_resolution: Annotated[int, Field(ge=2, le=1024)] = 16
    finest_resolution: Annotated[int, Field(ge=2, le=65536)] = 2048

    @model_validator(mode="after")
    def _grows(self) -> GridOptions:
        if self.finest_resolution < self.coarsest_resolution:
            raise ValueError("finest_resolution is below coarsest_resolution")
        return self


class LevelSchedule(Config):
    """Levels of the grid that are active: `first` at the start, all of them after a `share` of the training.

    Coarse before fine keeps a surface in one piece (Li et al., Neuralangelo, 2023, section 3.2).
    """

    first: Count = 16
    share: Share = 0.4


class DensityFieldOptions(Config):
    """Volume density and colour from a hash grid and tiny networks (Mueller et al. 2022)."""

    type: Literal["density"] = "density"
    grid: GridOptions = GridOptions()
    active: LevelSchedule = LevelSchedule()


class LearnedSharpness(Config):
    """The sharpness s of NeuS is a parameter."""

    type: Literal["learned"] = "learned"
    first: Positive = 60.0
    """Where it begins, per unit length."""


class ScheduledSharpness(Config):
    """The sharpness s grows by a constant factor a step."""

    type: Literal["scheduled"] = "scheduled"
    first: Positive = 60.0
    last: Positive = 1500.0
    share: Share = 0.9
    """Share of the training after which `last` is reached."""


Sharpness = Annotated[LearnedSharpness | ScheduledSharpness, Field(discriminator="type")]


class SdfFieldOptions(Config):
    """Signed distance and colour from a hash grid; sections become opaque as in NeuS (Wang et al. 2021)."""

    type: Literal["sdf"] = "sdf"
    grid: GridOptions = GridOptions(log2_table=17)
    active: LevelSchedule = LevelSchedule(first=6)
    sharpness: Sharpness = ScheduledSharpness()
    radius: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Of the sphere that the field begins as."""
    normal_weight: Share = 2e-3
    """Samples of a smaller weight get neither normal nor colour; 0 gives them to all."""
    normal_share: Share = 0.05
    """Share of samples, drawn at random, that get a normal in training whatever their weight."""


class BigMlpFieldOptions(Config):
    """The classic field: positional encoding and one big network (Mildenhall et al. 2020, section 5)."""

    type: Literal["big_mlp"] = "big_mlp"
    layers: Annotated[int, Field(ge=2, le=32)] = 8
    width: Annotated[int, Field(ge=2)] = 256
    skip: Count = 4
    """The encoded position enters once more after this many layers."""
    position_frequencies: Annotated[int, Field(ge=1, le=16)] = 10
    direction_frequencies: Annotated[int, Field(ge=1, le=16)] = 4

    @model_validator(mode="after")
    def _skips_within(self) -> BigMlpFieldOptions:
        if self.skip >= self.layers:
            raise ValueError("skip must be below layers")
        return self


FieldOptions = Annotated[
    DensityFieldOptions | SdfFieldOptions | BigMlpFieldOptions, Field(discriminator="type")
]


class SamplingOptions(Config):
    """Where along a ray the field is asked; each filter can be switched off."""

    occupancy_resolution: Literal[32, 64, 128, 256] = 128
    """Cells a side of the grid of occupied space."""
    update_every: Count = 16
    """Steps between two updates of it."""
    update_all_until: NotNegative = 256
    """Until this step an update looks at all cells, later at shares of them, drawn at random."""
    update_share: Share = 0.25
    """Of the occupied cells, which are the ones that cost."""
    update_share_empty: Share = 0.0625
    """Of all others."""
    decay: Share = 0.8
    """What is left of a cell's old value when it is looked at."""
    threshold: Share = 0.01
    """Optical thickness of one smallest step that makes a cell occupied; the mean of all if that is less."""
    step: Positive = 3**0.5 / 1024
    """Smallest step."""
    cone: NotNegative = 0.0
    """Growth of the step with the distance; 1/256 for scenes wider than the object (aabb_scale > 1)."""
    most_samples: Annotated[int, Field(ge=1, le=65536)] = 1024
    """Of one ray."""
    near: NotNegative = 0.0
    """Nothing is seen closer to the camera."""
    stop: Share = 1e-4
    """Transmittance below which a ray ends; 0 never ends one."""
    empty_space: bool = True
    """Skip cells that are not occupied."""
    carve: bool = True
    """Begin with what masks leave, where there are masks."""
    dynamic_visibility: bool = True
    """Skip cells that no training ray reaches before it ends."""


class HuberOptions(Config):
    """Squared up to `delta`, linear beyond."""

    type: Literal["huber"] = "huber"
    delta: Positive = 0.1


class CharbonnierOptions(Config):
    """sqrt(r^2 + epsilon^2) - epsilon: linear, with a rounded tip."""

    type: Literal["charbonnier"] = "charbonnier"
    epsilon: Positive = 0.02


class SquaredOptions(Config):
    """The squared difference."""

    type: Literal["squared"] = "squared"


ColourLoss = Annotated[HuberOptions | CharbonnierOptions | SquaredOptions, Field(discriminator="type")]


class LossOptions(Config):
    """The colour loss and the weights of what is added to it; 0 leaves a term out."""

    colour: ColourLoss = HuberOptions()
    background: Literal["random", "white", "black"] = "random"
    """What pictures with a mask or alpha are laid over in training."""
    mask: NotNegative = 0.0
    """Opacity against the mask (binary cross-entropy)."""
    depth: NotNegative = 0.0
    """Depth against sparse points or depth maps."""
    distortion: NotNegative = 0.0
    """Weights of a ray should lie together (Barron et al. 2022, eq. 15)."""
    opacity: NotNegative = 0.0
    """A ray should be opaque or clear (entropy)."""
    eikonal: NotNegative = 0.1
    """SDF only: its gradient has length 1."""
    curvature: NotNegative = 5e-4
    """SDF only: mean absolute Laplacian; decays with the finite-difference step."""


class OptimiserOptions(Config):
    """Adam, as the field is trained by it."""

    grid_lr: Positive = 1e-2
    network_lr: Positive = 2e-3
    """Of the networks, exposures; a density field's tiny ones bear 1e-2 and learn faster by it."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    epsilon: Positive = 1e-15
    warm_up_steps: Annotated[int, Field(ge=0)] = 100
    """The rate grows to its full size over these steps."""
    final_share: Positive = 0.1
    """The rate falls to this share of itself by the end, by a constant factor a step ..."""
    decay_from: Share = 0.3
    """... from this share of the training on."""
    clip: NotNegative = 1.0
    """Largest norm of the gradient of each network's weights; 0 does not clip."""


class BatchOptions(Config):
    """How many samples a step takes: those that survive filters and early ends."""

    first_samples: Count = 16384
    last_samples: Count = 32768
    """The batch grows to this many over the first half of the training."""
    most_rays: Count = 65536


class TrainOptions(Config):
    """One training."""

    backend: Literal["auto", "native", "torch", "tcnn"] = "auto"
    precision: Precision = "fp32"
    """What the networks of a density field multiply in, in backend native. `bf16` runs on any CPU, slowly
    where its instructions are imitated; `auto` takes it where they are there (AVX-512-BF16)."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    steps: Annotated[int, Field(ge=1, lt=2**32)] | None = None
    """Ends after this many steps ..."""
    cpu_s: Positive | None = 180.0
    """... or when this many CPU-seconds are spent, whichever comes first."""
    hold_out_every: Annotated[int, Field(ge=0)] = 8
    """Every so many views is kept for judging; 0 keeps none."""
    coarse_images: Literal[1, 2, 4, 8] = 2
    """Pictures begin reduced by this factor."""
    coarse_share: Share = 0.2
    """Share of the training on reduced pictures."""
    exposure: bool = False
    """Fit a gain of each colour for every view."""
    poses: bool = False
    """Refine the cameras' poses; `torch` backend only."""
    optimiser: OptimiserOptions = OptimiserOptions()
    batch: BatchOptions = BatchOptions()

    @model_validator(mode="after")
    def _ends(self) -> TrainOptions:
        if self.steps is None and self.cpu_s is None:
            raise ValueError("give steps or cpu_s: a training must end")
        return self
