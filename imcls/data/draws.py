"""Random numbers that are a pure function of (seed, epoch, image, position in the list of transforms).

Nothing is carried from one image to the next, so that batches are the same whatever the workers, their
order or the step a run was resumed at. splitmix64 (Steele, Lea and Flood 2014) in counter mode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_WORD = (1 << 64) - 1


def _mix(words: np.ndarray) -> np.ndarray:
    words = (words ^ (words >> np.uint64(30))) * _M1
    words = (words ^ (words >> np.uint64(27))) * _M2
    return words ^ (words >> np.uint64(31))


@dataclass(frozen=True)
class Draws:
    """The draws of n images at one place in the list of transforms."""

    seed: int
    epoch: int
    index: Int64[np.ndarray, " n"]
    position: int = 0

    def __len__(self) -> int:
        return len(self.index)

    def at(self, position: int) -> Draws:
        """The draws of another place in the list."""
        return replace(self, position=position)

    def every_epoch(self) -> Draws:
        """Draws that are the same in all epochs."""
        return replace(self, epoch=-1)

    def keys(self) -> np.ndarray:
        """(n,) uint64, one key for each image."""
        key = np.zeros(1, np.uint64)
        for part in (self.seed, self.epoch, self.position):
            key = _mix(key + np.array([(part + 1) & _WORD], np.uint64) * _GOLDEN)
        return _mix(key + (self.index.astype(np.uint64) + np.uint64(1)) * _GOLDEN)

    def uniform(self, count: int) -> Float[np.ndarray, "n {count}"]:
        """Uniform in [0, 1), ``count`` for each image."""
        steps = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        return (_mix(self.keys()[:, None] + steps) >> np.uint64(11)) * 2.0**-53

    def normal(self, count: int) -> Float[np.ndarray, "n {count}"]:
        """Standard normal, ``count`` for each image (Box and Muller 1958)."""
        u = self.uniform(2 * count)
        return np.sqrt(-2.0 * np.log1p(-u[:, :count])) * np.cos(2.0 * np.pi * u[:, count:])

    def chosen(self, probability: float | int) -> np.ndarray:
        """Which of the images a transform of that probability meets, as positions in the batch."""
        return np.flatnonzero(self.at(self.position + (1 << 32)).uniform(1)[:, 0] < probability)

    def generator(self, i: int) -> np.random.Generator:
        """For the i-th image, where a draw for each pixel is needed."""
        return np.random.Generator(np.random.Philox(key=int(self.keys()[i])))


def between(share: np.ndarray, ends: tuple[float | int, float | int]) -> np.ndarray:
    """Uniform draws stretched to lie between ``ends``."""
    return ends[0] + (ends[1] - ends[0]) * share
