"""How an operating threshold is chosen, as it is written in YAML. Light: imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config


class BestF1(Config):
    """The threshold with the highest F1 of people called fallen."""

    type: Literal["best_f1"] = "best_f1"


class BoundedFalseFallen(Config):
    """The highest recall of fallen people under a bound on false alarms about who lies, sits or may fall."""

    type: Literal["bounded_false_fallen"] = "bounded_false_fallen"
    bound: Annotated[float, Field(gt=0, lt=1)] = 0.10
    """Most of the people tagged lie, sit or danger who may be called fallen."""
    assurance: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    """Margin: Wilson's one-sided upper limit of this level keeps to the bound; .5 is no margin."""


ThresholdRule = Annotated[BestF1 | BoundedFalseFallen, Field(discriminator="type")]
