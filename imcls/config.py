"""The whole of an experiment as YAML. Light: imports no torch, so that checking is instant."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from imcls.data.options import DataOptions, InputOptions
from imcls.frozen.options import ProbeOptions
from imcls.loss.options import LossOptions, MixOptions
from imcls.model.options import ModelOptions
from suite.config import Config
from suite.engine.options import EngineOptions


class TtaOptions(Config):
    """Views of each image whose predictions are averaged at evaluation."""

    flips: tuple[Annotated[str, Field(pattern="^(horizontal|vertical)$")], ...] = ()
    """`horizontal`, `vertical` or both (four views)."""
    crops: Annotated[int, Field(ge=1, le=5)] = 1
    """1: the centre; 5: the corners too."""
    scales: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = (1.0,)
    """Sizes of the image, as factors of `input.image_px`."""
    shift_px: Annotated[int, Field(ge=0, le=64)] = 0
    """Moved by this many pixels along both diagonals besides, for small images."""


class EvaluationOptions(Config):
    """How members are judged."""

    batch_size: Annotated[int, Field(ge=1)] = 64
    tta: TtaOptions = TtaOptions()
    every_epochs: Annotated[int, Field(ge=0)] = 1
    """Epochs between looks at the held-out images while training, one view each; 0 looks at the end only."""
    calibrate: bool = True
    """Whether a temperature is fitted on out-of-fold predictions."""
    bootstrap: Annotated[int, Field(ge=100, le=20_000)] = 1000
    """Resamplings behind each 95 % interval."""


class ReportOptions(Config):
    """What stands on the page."""

    pictures: Annotated[int, Field(ge=0, le=100)] = 12
    """Most confident errors to show."""
    grad_cam: bool = True
    """Whether to paint what the model looked at over the errors."""
    label_faults: Annotated[int, Field(ge=0, le=500)] = 30
    """How many likely label faults to list."""


class ImclsConfig(Config):
    """An experiment: data, model, loss, training, evaluation."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "experiment"
    """Name of the run's folder below `runs`."""
    allow_code: bool = False
    """Whether parts with `type: custom` may import and run code that this file names."""
    mode: Literal["finetune", "probe"] = "finetune"
    """`finetune` trains the model; `probe` keeps the backbone as it is and fits a linear classifier to its
    features, in seconds."""
    data: DataOptions = DataOptions()
    input: InputOptions = InputOptions()
    model: ModelOptions = ModelOptions()
    loss: LossOptions = LossOptions()
    mix: MixOptions = MixOptions()
    train: EngineOptions = EngineOptions()
    probe: ProbeOptions = ProbeOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    report: ReportOptions = ReportOptions()
