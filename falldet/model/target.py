"""What a detector is trained towards and what it finds, in pixels of its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor

Sizes = Sequence[tuple[int, int]]
"""Height and width of each picture of a batch before it was padded, in pixels."""
Levels = Sequence[Tensor]
"""Feature maps (n, c, h, w) of a pyramid, the finest first."""


class Target(NamedTuple):
    """Who is in a picture: boxes (x1, y1, x2, y2) and their classes."""

    boxes: Float[Tensor, "n 4"]
    labels: Int64[Tensor, " n"]


class Found(NamedTuple):
    """Who was found in a picture, the most certain first."""

    boxes: Float[Tensor, "k 4"]
    scores: Float[Tensor, " k"]
    labels: Int64[Tensor, " k"]
