"""The whole of an experiment as YAML. Light: imports no torch, so that checking is instant."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from falldet.data.augment_options import AugmentOptions
from falldet.data.options import Source
from falldet.metrics.options import BoundedFalseFallen, ThresholdRule
from falldet.mmdet.options import MmdetOptions
from falldet.model.options import DenseOptions, Detector, PixelOptions
from suite.config import Config
from suite.engine.options import EngineOptions

Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=64, le=4096)]


class PoolOptions(Config):
    """A set to learn from."""

    source: Source
    share: Annotated[float, Field(gt=0)] = 1.0
    """Its part of every epoch, beside the shares of the other sets."""


class DataOptions(Config):
    """What is learned from, what settings and thresholds are chosen on, and what figures are reported on."""

    train: tuple[PoolOptions, ...] = ()
    develop: Source | None = None
    """Pictures the threshold is chosen on; where none are named, whole groups of the first set are held
    back."""
    develop_share: Annotated[float, Field(gt=0, lt=0.9)] = 0.2
    """Share of the first set's groups that is held back."""
    test: tuple[Source, ...] = ()
    """Sets that figures are reported on, each apart."""


class BatchOptions(Config):
    """How training pictures come in batches."""

    batch_size: Count = 8
    pictures: Count | None = None
    """Pictures in an epoch; as many as the first set has, with its share, where it is not given."""
    scale_px: tuple[Pixels, Pixels] = (320, 480)
    """Range of the canvas' side, a multiple of 32, drawn anew for each batch."""
    fallen_weight: Annotated[float, Field(ge=1)] = 1.5
    """How many times as often a picture with somebody fallen comes."""
    augment: AugmentOptions = AugmentOptions()


class EvaluationOptions(Config):
    """How a detector is judged and its threshold chosen."""

    every_epochs: Annotated[int, Field(ge=0)] = 1
    """Epochs between looks at the develop pictures while training; 0 looks at the end only."""
    threshold: ThresholdRule = BoundedFalseFallen()
    bootstrap: Annotated[int, Field(ge=100, le=20_000)] = 1000
    """Resamplings behind each 95 % interval."""


class FalldetConfig(Config):
    """An experiment: data, detector, training, evaluation."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "experiment"
    """Name of the run's folder below `runs`."""
    engine: Literal["suite", "mmdet"] = "suite"
    """Who trains: our own detectors on the suite's engine, or mmdet with any of its configs (extra
    `mmdet`)."""
    data: DataOptions = DataOptions()
    pixels: PixelOptions = PixelOptions()
    model: Detector = DenseOptions()
    batches: BatchOptions = BatchOptions()
    train: EngineOptions = EngineOptions()
    keep_start: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """How far, in the end, weights are drawn back to those of the file they started from: a detector then
    forgets less of what that one knew, and does better on pictures from elsewhere (Wortsman et al. 2022)."""
    mmdet: MmdetOptions = MmdetOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    licence: str = ""
    """Of the trained weights, for their card; what they were trained on decides it."""
    half: bool = True
    """Whether the model's weights are stored in 16 bits."""

    @model_validator(mode="after")
    def _check(self) -> FalldetConfig:
        if self.batches.scale_px[0] > self.batches.scale_px[1]:
            raise ValueError("batches.scale_px goes from the smaller side to the larger")
        return self
