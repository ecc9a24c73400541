"""Data sets, splits, sizes and sampling as they are written in YAML. Light: imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from imcls.data.transform_options import AugmentOptions
from suite.config import Config

Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=8, le=4096)]
Share = Annotated[float, Field(gt=0, le=1)]


class FolderSource(Config):
    """One folder for each class, images anywhere below it."""

    type: Literal["folder"] = "folder"
    root: Path = Path("images")
    """The folder that holds the class folders."""


class CsvSource(Config):
    """A table with one image a line."""

    type: Literal["csv"] = "csv"
    file: Path
    root: Path | None = None
    """Folder the image names are below; the folder of the table where it is not given."""
    image_column: str = "image"
    label_column: str = "label"
    """Several labels are separated by `;`; an empty cell is an image without any of the classes."""
    group_column: str | None = None
    """Images of one group (a patient, a product, a clip) never come on both sides of a split."""
    multi_label: bool = False
    """Whether an image may have several labels, or none."""


class CocoSource(Config):
    """The boxes of a COCO file, each cut out as an image of its category."""

    type: Literal["coco"] = "coco"
    file: Path
    root: Path | None = None
    """Folder the image names are below; the folder of the file where it is not given."""
    margin: Annotated[float, Field(ge=0, le=2)] = 0.1
    """How much is added on each side, as a share of the box."""
    smallest_px: Count = 8
    """Boxes with a shorter side are left out, and counted."""


Source = Annotated[FolderSource | CsvSource | CocoSource, Field(discriminator="type")]


class SplitOptions(Config):
    """How images are divided for validation."""

    folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Folds; each image is validated in exactly one of them."""
    use: tuple[Annotated[int, Field(ge=0)], ...] | Literal["all"] = (0,)
    """Which folds are trained as members: (0,) is one model with a held-out fifth; `all` gives out-of-fold
    predictions of every image."""
    manifest: Path | None = None
    """A split written by `imcls split`; without one it is made anew, the same way, from the seed."""
    near_duplicates: bool = True
    """Whether images that look the same are kept on one side."""
    seed: int = 0


class DataOptions(Config):
    """What is learned from."""

    source: Source = FolderSource()
    test: Source | None = None
    """Images held back from everything, evaluated once at the end."""
    classes: tuple[str, ...] | None = None
    """The classes in their order; found in the source, sorted, where they are not given."""
    split: SplitOptions = SplitOptions()
    cache: Path | None = None
    """Folder of decoded images, shared by folds, members and runs; `.imcls-cache` beside the run where not
    given."""
    unreadable: Literal["refuse", "skip"] = "refuse"
    """What an image that cannot be read does: ends the run with its name, or is left out and listed."""


class ProgressiveStep(Config):
    """From a share of the training on, images of this size."""

    start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    image_px: Pixels = 128


class Shuffle(Config):
    """Every image once an epoch."""

    type: Literal["shuffle"] = "shuffle"


class Balanced(Config):
    """Classes drawn alike: `power` 1 fully balanced, 0.5 square root, 0 as they are; same number of images an
    epoch."""

    type: Literal["balanced"] = "balanced"
    power: Annotated[float, Field(ge=0, le=1)] = 1.0


class Pk(Config):
    """Batches of p classes with k images each, for the triplet loss."""

    type: Literal["pk"] = "pk"
    p: Annotated[int, Field(ge=2)] = 8
    k: Annotated[int, Field(ge=2)] = 4


Sampling = Annotated[Shuffle | Balanced | Pk, Field(discriminator="type")]


class InputOptions(Config):
    """From decoded images to batches."""

    image_px: Pixels = 224
    """Side of the square that the model sees."""
    progressive: tuple[ProgressiveStep, ...] = ()
    """Smaller images first; sizes by the share of the training that has passed. Evaluation uses
    `image_px`."""
    fit: Literal["crop", "squash", "letterbox"] = "crop"
    """How an image becomes a square for evaluation: centre crop, stretched, or whole with borders."""
    crop_share: Share = 0.9
    """Side of the centre crop as a share of the image's shorter side."""
    batch_size: Count = 32
    sampling: Sampling = Shuffle()
    augment: AugmentOptions = AugmentOptions()
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that prepare batches; 0 prepares them in a thread beside the training."""

    @model_validator(mode="after")
    def _sizes_agree(self) -> InputOptions:
        sampling, starts = self.sampling, [step.start for step in self.progressive]
        if isinstance(sampling, Pk) and self.batch_size != sampling.p * sampling.k:
            raise ValueError(
                f"batch_size {self.batch_size} is not the {sampling.p} x {sampling.k} images of the pk "
                f"sampling; write batch_size: {sampling.p * sampling.k}"
            )
        if starts != sorted(set(starts)):
            raise ValueError("the steps of progressive must start one after the other")
        return self
