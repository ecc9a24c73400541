"""Linear probes of frozen features as they are written in YAML. Light: imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config

Strength = Annotated[float, Field(gt=0, le=1e6)]


class ProbeOptions(Config):
    """A linear classifier on features that are computed once."""

    method: Literal["logistic", "ridge", "lda"] = "logistic"
    """`logistic`: the best of the three; `ridge` and `lda` are closed forms, quick where classes are many.
    `lda` is not for several labels an image."""
    strengths: Annotated[tuple[Strength, ...], Field(min_length=1)] = (1.0, 0.3, 0.1, 0.03)
    """L2 penalties to choose from, on the folds inside each training part: l/2 |weights|^2 on standardised
    features beside the mean loss. The shrinkage of `lda` follows from the data."""
    mirrored: bool = False
    """Whether mirrored images are looked at too: twice the features, learned from and averaged."""
    scales: Annotated[tuple[Annotated[float, Field(ge=0.5, le=2)], ...], Field(min_length=1)] = (1.0,)
    """Sizes at which images are looked at, as factors of `input.image_px`."""
    features: Literal["float32", "float16"] = "float32"
    """How features are stored; float16 halves the files of large data sets."""
