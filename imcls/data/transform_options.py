"""Transforms of training images as they are written in YAML. Light: imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from suite.config import Config

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Jitter = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Border = Literal["reflect", "zero"]

# ---- what makes the square: the first of the list, and only that ----


class RandomResizedCrop(Config):
    """A random part of the image, stretched to the square (Szegedy et al. 2015)."""

    type: Literal["random_resized_crop"] = "random_resized_crop"
    scale: tuple[Share, Share] = (0.35, 1.0)
    """Share of the image's area."""
    ratio: tuple[Positive, Positive] = (0.75, 1.3333333)
    """Width over height of the part."""


class EfficientNetCrop(Config):
    """A random part as EfficientNet was trained with; without luck, its centre crop (Tan and Le 2019)."""

    type: Literal["efficientnet_crop"] = "efficientnet_crop"
    covered: Share = 0.1
    """Smallest share of the image's area that a part must have to be taken."""
    scale: tuple[Share, Share] = (0.08, 1.0)
    """Share of the image's area that is tried."""
    ratio: tuple[Positive, Positive] = (0.75, 1.3333333)
    """Width over height of the part."""
    padding_px: Annotated[int, Field(ge=0)] = 32
    """The centre crop has px / (px + padding) of the shorter side."""


class RandomCrop(Config):
    """Scaled to the size, widened by a border, and a square of the size cut out anywhere."""

    type: Literal["random_crop"] = "random_crop"
    scale: Annotated[float, Field(ge=1, le=4)] = 1.0
    """Shorter side before the cut, as a factor of the size."""
    padding: Annotated[float, Field(ge=0, lt=1)] = 0.125
    """Width of the border as a share of the size: 0.125 is 4 px at 32 px."""
    border: Border = "reflect"


class CornerCrop(Config):
    """A square at one of the four corners or in the centre, drawn at random."""

    type: Literal["corner_crop"] = "corner_crop"
    share: Share = 0.875
    """Side of the square as a share of the image's shorter side."""


class Resize(Config):
    """Nothing random: the centre, the whole image stretched, or the whole image with grey borders."""

    type: Literal["resize"] = "resize"
    fit: Literal["crop", "squash", "letterbox"] = "crop"
    crop_share: Share = 1.0
    """Side of the centre crop as a share of the image's shorter side."""


# ---- shape ----


class Flip(Config):
    """Mirrored."""

    type: Literal["flip"] = "flip"
    direction: Literal["horizontal", "vertical"] = "horizontal"
    probability: Probability = 0.5
    alternating: bool = False
    """Whether each image is mirrored in every other epoch, starting at random, instead of by chance
    (Jordan 2024)."""


class Translate(Config):
    """Moved by whole pixels."""

    type: Literal["translate"] = "translate"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.0625
    """Longest way along each axis, as a share of the size: 0.0625 is 2 px at 32 px."""
    border: Border = "reflect"


class Affine(Config):
    """Turned, moved, scaled and sheared."""

    type: Literal["affine"] = "affine"
    degrees: Annotated[float, Field(ge=0, le=180)] = 10.0
    """Turned by at most this either way."""
    translate: Jitter = 0.05
    """Longest way along each axis as a share of the size."""
    scale: tuple[Positive, Positive] = (0.9, 1.1)
    shear_deg: Annotated[float, Field(ge=0, lt=90)] = 0.0
    fill: Annotated[int, Field(ge=0, le=255)] = 0
    """Grey level of what comes in from outside."""
    probability: Probability = 1.0


class Zoom(Config):
    """Nearer or farther, about the centre."""

    type: Literal["zoom"] = "zoom"
    scale: tuple[Positive, Positive] = (0.8, 1.25)
    fill: Annotated[int, Field(ge=0, le=255)] = 0
    """Grey level of what comes in from outside."""
    probability: Probability = 0.5


class Shear(Config):
    """Slanted along one axis."""

    type: Literal["shear"] = "shear"
    degrees: Annotated[float, Field(gt=0, lt=90)] = 10.0
    """Slanted by at most this either way."""
    direction: Literal["horizontal", "vertical", "any"] = "any"
    """`any` draws one of the two."""
    fill: Annotated[int, Field(ge=0, le=255)] = 0
    """Grey level of what comes in from outside."""
    probability: Probability = 0.5


class Skew(Config):
    """Seen from aside: the corners move inwards, each by its own way."""

    type: Literal["skew"] = "skew"
    distortion: Share = 0.3
    """Longest way of a corner as a share of half the size."""
    fill: Annotated[int, Field(ge=0, le=255)] = 0
    """Grey level of what comes in from outside."""
    probability: Probability = 0.5


# ---- colour ----


class ColorJitter(Config):
    """Brightness, contrast, saturation and hue, in random order; each is off at 0."""

    type: Literal["color_jitter"] = "color_jitter"
    brightness: Jitter = 0.2
    """Factors from 1 - this to 1 + this."""
    contrast: Jitter = 0.2
    """Factors from 1 - this to 1 + this."""
    saturation: Jitter = 0.2
    """Factors from 1 - this to 1 + this."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest turn of the colour circle, as a share of it."""
    probability: Probability = 1.0


class HsvShift(Config):
    """Hue, saturation and value moved by sums rather than factors."""

    type: Literal["hsv_shift"] = "hsv_shift"
    hue_deg: Annotated[float, Field(ge=0, le=180)] = 10.0
    saturation: Jitter = 0.1
    """Largest shift, of 1."""
    value: Jitter = 0.1
    """Largest shift, of 1."""
    probability: Probability = 0.5


class Lighting(Config):
    """Noise along the colours in which photographs vary most (Krizhevsky et al. 2012, section 4.1)."""

    type: Literal["lighting"] = "lighting"
    sigma: Positive = 0.1
    """Standard deviation of the strength of each principal component."""


class Equalize(Config):
    """Histogram of each channel made flat."""

    type: Literal["equalize"] = "equalize"
    probability: Probability = 0.2


class Grayscale(Config):
    """Without colour, in three equal channels."""

    type: Literal["grayscale"] = "grayscale"
    probability: Probability = 0.1


# ---- loss of detail ----


class Blur(Config):
    """Gaussian blur."""

    type: Literal["blur"] = "blur"
    sigma_px: tuple[Positive, Positive] = (0.1, 2.0)
    probability: Probability = 0.2


class Noise(Config):
    """Gaussian noise, independent in each pixel and channel."""

    type: Literal["noise"] = "noise"
    sigma: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (0.0, 10.0)
    """Standard deviation in grey levels of 255."""
    probability: Probability = 0.2


class Erasing(Config):
    """A rectangle painted over (Zhong et al. 2020)."""

    type: Literal["erasing"] = "erasing"
    area: tuple[Share, Share] = (0.02, 0.33)
    """Share of the image's area."""
    ratio: tuple[Positive, Positive] = (0.3, 3.3333333)
    """Height over width of the rectangle."""
    fill: Literal["noise", "grey", "black"] = "noise"
    probability: Probability = 0.25


class Cutout(Config):
    """A grey square anywhere, also across the border (DeVries and Taylor 2017)."""

    type: Literal["cutout"] = "cutout"
    share: Share = 0.25
    """Side of the square as a share of the size: 0.25 is 8 px at 32 px."""
    probability: Probability = 1.0


# ---- policies ----


class RandAugment(Config):
    """A few of 14 transforms, drawn anew for each image (Cubuk et al. 2020)."""

    type: Literal["rand_augment"] = "rand_augment"
    count: Annotated[int, Field(ge=1, le=14)] = 2
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    """Strength, of 30."""


class TrivialAugment(Config):
    """One transform of any strength for each image (Müller and Hutter 2021)."""

    type: Literal["trivial_augment"] = "trivial_augment"


class AugMix(Config):
    """Several chains of transforms mixed with the image (Hendrycks et al. 2020)."""

    type: Literal["augmix"] = "augmix"
    severity: Annotated[int, Field(ge=1, le=10)] = 3
    width: Annotated[int, Field(ge=1, le=8)] = 3
    """Chains that are mixed."""


Square = RandomResizedCrop | EfficientNetCrop | RandomCrop | CornerCrop | Resize
SQUARES = (RandomResizedCrop, EfficientNetCrop, RandomCrop, CornerCrop, Resize)

Transform = Annotated[
    Square
    | Flip
    | Translate
    | Affine
    | Zoom
    | Shear
    | Skew
    | ColorJitter
    | HsvShift
    | Lighting
    | Equalize
    | Grayscale
    | Blur
    | Noise
    | Erasing
    | Cutout
    | RandAugment
    | TrivialAugment
    | AugMix,
    Field(discriminator="type"),
]


class AugmentOptions(Config):
    """What is done to training images, in order. The first may make the square; otherwise `input.fit`
    does."""

    transforms: tuple[Transform, ...] = (RandomResizedCrop(), Flip())

    @model_validator(mode="after")
    def _one_square_first(self) -> AugmentOptions:
        late = next((t for t in self.transforms[1:] if isinstance(t, SQUARES)), None)
        if late is not None:
            raise ValueError(f"{late.type} makes the square: write it once, as the first transform")
        return self
