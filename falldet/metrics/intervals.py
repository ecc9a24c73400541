"""How sure a figure is: Wilson's interval of a share, and a bootstrap over clips for everything else.

Pictures of one clip are alike, so that clips are drawn, not pictures: else intervals come out too narrow.
Of a dozen clips no bootstrap is exact; its intervals are then rather too narrow than too wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from falldet.data.labelled import LabelledSet


@dataclass(frozen=True)
class Interval:
    """A figure with the bounds of its 95 % interval; NaN where it is undefined."""

    value: float
    low: float
    high: float


UNKNOWN = Interval(math.nan, math.nan, math.nan)


def wilson(yes: int, n: int, level: float = 0.95) -> Interval:
    """Share of ``yes`` among n and its interval (Wilson 1927), which holds for few and for none too."""
    if n == 0:
        return UNKNOWN
    z = NormalDist().inv_cdf((1 + level) / 2)
    p, spread = yes / n, z * z / n
    middle = p + spread / 2
    half = math.sqrt(spread * (p * (1 - p) + spread / 4))
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return Interval(p, 0.0 if yes == 0 else low, 1.0 if yes == n else high)


def groups_of(labelled: LabelledSet) -> Int64[np.ndarray, " n"]:
    """The number of each picture's group; a picture without one is a group of its own."""
    numbers: dict[object, int] = {}
    keys = (image.group if image.group is not None else place for place, image in enumerate(labelled.images))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


class Resampling:
    """The same drawings of groups, with replacement, for all figures of one set of n pictures."""

    def __init__(self, groups: Int64[np.ndarray, " n"], resamples: int = 1000, seed: int = 0) -> None:
        self.groups = groups
        count = int(groups.max()) + 1 if len(groups) else 0
        rng = np.random.default_rng(seed)
        shares = np.full(count, 1 / max(count, 1))
        self._times = rng.multinomial(count, shares, size=resamples) if count else np.zeros((resamples, 0))

    def intervals(
        self, statistics: Callable[[Float64[np.ndarray, " n"]], Sequence[float]]
    ) -> tuple[Interval, ...]:
        """Of any ``statistics`` of how often each picture counts, called once for each drawing."""
        values = statistics(np.ones(len(self.groups)))
        drawn = np.array([statistics(times[self.groups].astype(np.float64)) for times in self._times])
        return tuple(
            Interval(float(value), *_percentiles(column))
            for value, column in zip(values, drawn.reshape(-1, len(values)).T, strict=True)
        )

    def ratio(self, above: Shaped[np.ndarray, " n"], below: Shaped[np.ndarray, " n"]) -> Interval:
        """Of a ratio of two sums over pictures, such as recall; NaN where the sum below is 0."""
        if not np.sum(below):
            return UNKNOWN
        count = self._times.shape[1]
        parts = [np.bincount(self.groups, values.astype(np.float64), count) for values in (above, below)]
        over, under = (self._times @ part for part in parts)
        drawn = np.divide(over, under, out=np.full(len(over), math.nan), where=under > 0)
        return Interval(float(np.sum(above) / np.sum(below)), *_percentiles(drawn))


def _percentiles(drawn: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of the drawn figures that are defined."""
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
