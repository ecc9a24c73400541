"""Which candidates are learned from: so many a picture that background does not drown everything."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from jaxtyping import Int64
from torch import Tensor

from falldet.model.matching import BACKGROUND


class Sample(NamedTuple):
    """Places of the chosen candidates, rising."""

    positive: Int64[Tensor, " p"]
    negative: Int64[Tensor, " q"]


class Sampler(Protocol):
    """Chooses among candidates from what `matching.match` says of them."""

    def __call__(self, matched: Int64[Tensor, " n"]) -> Sample: ...


class RandomSampler:
    """At most `count` candidates, at most `positive_share` of them positive; background fills up.

    Draws one permutation for each kind of which there are too many, from `generator` (on the CPU) or else
    PyTorch's global one, which checkpoints hold: the same draws as mmdet's sampler makes.
    """

    def __init__(self, count: int, positive_share: float, generator: torch.Generator | None = None) -> None:
        self.count, self.positive_share, self.generator = count, positive_share, generator

    def __call__(self, matched: Int64[Tensor, " n"]) -> Sample:
        positive = self._some(matched >= 0, int(self.count * self.positive_share))
        negative = self._some(matched == BACKGROUND, self.count - len(positive))
        return Sample(positive, negative)

    def _some(self, wanted: Tensor, most: int) -> Tensor:
        places = torch.nonzero(wanted)[:, 0]
        if len(places) <= most:
            return places
        drawn = torch.randperm(len(places), generator=self.generator)[:most]
        return places[drawn.to(places.device)].sort().values
