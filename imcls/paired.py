"""How sure a difference between two ways of judging the same images is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BLOCK = 256


@dataclass(frozen=True)
class Difference:
    """A mean difference and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether chance alone is no likely explanation."""
        return self.low > 0 or self.high < 0


def paired_interval(differences: np.ndarray, draws: int = 2000, seed: int = 0) -> Difference:
    """Mean of ``differences`` (n,) or (s, n), and the 2.5 % and 97.5 % quantiles of its bootstrap.

    Columns are images, each judged both ways; rows are repetitions with other seeds. Images and seeds are
    drawn again independently of each other (the pigeonhole bootstrap of Owen 2007), since both would be
    others in another experiment; with few seeds it errs on the wide side.
    """
    D = np.atleast_2d(np.asarray(differences, np.float64))
    s, n = D.shape
    if n == 0:
        raise ValueError("no images to compare on")
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for first in range(0, draws, _BLOCK):
        count = min(_BLOCK, draws - first)
        of_images = rng.multinomial(n, np.full(n, 1.0 / n), size=count) / n
        of_seeds = rng.multinomial(s, np.full(s, 1.0 / s), size=count) / s
        means[first : first + count] = np.einsum("bs,bs->b", of_seeds, of_images @ D.T)
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(D.mean()), float(low), float(high))
