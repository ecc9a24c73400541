"""Losses and mixing as they are written in YAML. Light: imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config

Rate = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
ClassWeights = Literal["none", "balanced", "effective"] | tuple[Positive, ...]


class CrossEntropy(Config):
    """Cross entropy, smoothed where asked for."""

    type: Literal["cross_entropy"] = "cross_entropy"
    smoothing: Rate = 0.0
    """Share of the probability that is given away by the true class."""
    smoothing_mode: Literal["uniform", "others"] = "uniform"
    """To all classes alike (Szegedy et al. 2016), or to the others only."""
    class_weights: ClassWeights = "none"
    """`balanced`: one over the frequency; `effective`: over the effective number (Cui et al. 2019, beta
    0.999); or numbers in the order of the classes. Scaled so that their mean over the training labels is
    1."""


class Focal(Config):
    """Cross entropy that fades on what is easy (Lin et al. 2017); also for multi-label heads."""

    type: Literal["focal"] = "focal"
    gamma: NotNegative = 2.0
    class_weights: ClassWeights = "none"


class BinaryCrossEntropy(Config):
    """One yes or no for each class; a single label becomes a one-hot target (Wightman et al. 2021)."""

    type: Literal["bce"] = "bce"
    smoothing: Rate = 0.0
    """Towards all classes alike, or, with several labels an image, towards one half."""
    class_weights: ClassWeights = "none"
    """Weights of the yes of each class."""


class Asymmetric(Config):
    """Multi-label loss that forgets easy negatives (Ridnik et al. 2021)."""

    type: Literal["asymmetric"] = "asymmetric"
    gamma_positive: NotNegative = 0.0
    gamma_negative: NotNegative = 4.0
    clip: Rate = 0.05
    """Negatives with a probability below this cost nothing."""


class Ldam(Config):
    """Larger margins for rarer classes (Cao et al. 2019); meant for a cosine head."""

    type: Literal["ldam"] = "ldam"
    largest_margin: Positive = 0.5
    """Margin of the rarest class, as a difference of cosines."""
    scale: Positive = 16.0
    """Logits for a cosine of 1: the `scale` of the cosine head; 1 with a linear head, whose margins are then
    in logits."""
    class_weights: ClassWeights = "none"


class BalancedSoftmax(Config):
    """Softmax with the class frequencies put in, so that they are out of the model (Ren et al. 2020)."""

    type: Literal["balanced_softmax"] = "balanced_softmax"
    smoothing: Rate = 0.0


Criterion = Annotated[
    CrossEntropy | Focal | BinaryCrossEntropy | Asymmetric | Ldam | BalancedSoftmax,
    Field(discriminator="type"),
]


class Triplet(Config):
    """Hardest positive and negative of the batch at a margin (Hermans et al. 2017); wants the `pk`
    sampler."""

    weight: Positive = 1.0
    margin: Positive | None = 0.3
    """None: the soft margin."""


class LossOptions(Config):
    """What is minimised."""

    criterion: Criterion = CrossEntropy()
    triplet: Triplet | None = None


class MixOptions(Config):
    """Pairs of images in one, with labels in the same shares."""

    mixup: NotNegative = 0.0
    """Alpha of the Beta distribution of mixup (Zhang et al. 2018); 0 is off."""
    cutmix: NotNegative = 0.0
    """Alpha of CutMix (Yun et al. 2019); 0 is off. With both on, each batch takes one of them."""
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of batches that are mixed."""
    until: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training after which mixing ends."""
