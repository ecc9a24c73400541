"""Every setting of the training loop, with a sentence each. Light: imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Sgd(Config):
    """Stochastic gradient descent with momentum."""

    type: Literal["sgd"] = "sgd"
    lr: Positive = 0.1
    """Learning rate at the top of the schedule, for the whole batch as it is."""
    momentum: Fraction = 0.9
    nesterov: bool = True
    weight_decay: NotNegative = 5e-4


class AdamW(Config):
    """Adam with decoupled weight decay."""

    type: Literal["adamw"] = "adamw"
    lr: Positive = 1e-3
    """Learning rate at the top of the schedule, for the whole batch as it is."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    weight_decay: NotNegative = 0.05


class Rmsprop(Config):
    """RMSprop, as EfficientNet and MobileNet were trained."""

    type: Literal["rmsprop"] = "rmsprop"
    lr: Positive = 1e-2
    """Learning rate at the top of the schedule, for the whole batch as it is."""
    alpha: Fraction = 0.9
    momentum: Fraction = 0.9
    eps: Positive = 1e-3
    weight_decay: NotNegative = 1e-5


class Muon(Config):
    """Orthogonalised momentum for matrices (Jordan et al. 2024), SGD with momentum for the rest; learns in
    fewer epochs where training is short."""

    type: Literal["muon"] = "muon"
    lr: Positive = 0.02
    """Learning rate of the matrices at the top of the schedule; a step turns each by about so much."""
    momentum: Fraction = 0.9
    unit_norm: bool = False
    """Whether matrices are kept at one norm, where a normalisation follows each of them."""
    plain_lr: Positive = 0.05
    """Learning rate of biases, norms, and parts that start from scratch, by SGD."""
    plain_momentum: Fraction = 0.9
    weight_decay: NotNegative = 5e-4


Optimizer = Annotated[Sgd | AdamW | Rmsprop | Muon, Field(discriminator="type")]


class Cosine(Config):
    """Half a cosine from the full rate down to ``end`` of it."""

    type: Literal["cosine"] = "cosine"
    end: Fraction = 0.0
    """What is left of the learning rate at the end, as a share."""


class Linear(Config):
    """A straight line from the full rate down to ``end`` of it; with a long warm-up, a triangle."""

    type: Literal["linear"] = "linear"
    end: Fraction = 0.0
    """What is left of the learning rate at the end, as a share."""


class MultiStep(Config):
    """The rate is multiplied by ``gamma`` at each milestone."""

    type: Literal["multi_step"] = "multi_step"
    milestones: tuple[Fraction, ...] = (0.6, 0.85)
    """Shares of the whole training at which the rate falls, ascending."""
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1


class Plateau(Config):
    """The rate is multiplied by ``gamma`` when the watched figure has not improved for ``patience``
    epochs."""

    type: Literal["plateau"] = "plateau"
    patience: Count = 3
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.3
    threshold: NotNegative = 1e-4
    """What counts as an improvement."""


class Constant(Config):
    """The full rate all along."""

    type: Literal["constant"] = "constant"


Schedule = Annotated[Cosine | Linear | MultiStep | Plateau | Constant, Field(discriminator="type")]


class Ema(Config):
    """An exponential moving average of the weights, which is what is evaluated and kept."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.998
    """Share of the average that stays at each optimizer step."""
    warmup: bool = True
    """Whether the average follows faster during the first steps: decay is at most (1 + step) / (10 +
    step)."""


class EngineOptions(Config):
    """How a model is trained, whatever it is."""

    epochs: Count = 20
    optimizer: Optimizer = AdamW()
    schedule: Schedule = Cosine()
    warmup_epochs: NotNegative = 1.0
    """Epochs, or a part of one, over which the learning rate rises linearly from nearly 0."""
    no_decay: bool = True
    """Whether biases, norms and other vectors go without weight decay."""
    bias_lr: Positive = 1.0
    """Factor of the learning rate of biases (vectors named `bias`)."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor of the learning rate from each layer to the one below it; 1 treats all alike."""
    new_lr: Positive = 1.0
    """Factor of the learning rate of parts that start from scratch (neck and head)."""
    accumulate: Count = 1
    """Batches whose gradients are averaged into one optimizer step."""
    clip_norm: Positive | None = None
    """Largest norm of the gradient; longer ones are scaled down to it."""
    ema: Ema | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` times three steps of each way of computing on this machine and takes the fastest."""
    channels_last: Literal["auto", "yes", "no"] = "auto"
    """Memory order of images; `auto` is decided by the same three steps."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to train; `auto` takes a GPU when there is one."""
    seed: int = 0
    """Seed of initial weights, order, augmentation and dropout: the same seed on the same machine gives the
    same weights, for certain with `precision` and `channels_last` set to other than `auto`."""
    checkpoint_s: Positive = 300.0
    """Seconds between checkpoints inside an epoch; each epoch ends with one in any case."""
    checkpoint_steps: Count | None = None
    """Optimizer steps between checkpoints inside an epoch, instead of seconds."""
    log_steps: Count = 20
    """Optimizer steps between lines in the log."""
    tensorboard: bool = False
    """Whether to write TensorBoard event files beside the CSV."""
