"""The order of training as pure functions of (seed, epoch): a resumed run needs nothing else to repeat it."""

from __future__ import annotations

import numpy as np


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation (n,) int64 of 0 ... n - 1, another one for each seed and each epoch."""
    return epoch_generator(seed, epoch).permutation(n).astype(np.int64, copy=False)


def epoch_generator(seed: int, *numbers: int) -> np.random.Generator:
    """Random numbers that depend on ``seed`` and ``numbers`` (epoch, index, ...) only.

    The seed may be negative; ``numbers`` may not.
    """
    return np.random.default_rng(np.random.SeedSequence([seed % 2**64, *numbers]))


def rank_slice(indices: np.ndarray, rank: int, world: int) -> np.ndarray:
    """The share (ceil(n / world),) of process ``rank`` of ``world`` in a batch of all of them (n,).

    All shares have one size, so that the mean of the ranks' gradients is the gradient of the batch; where n
    cannot be divided, the first indices count twice.
    """
    n = len(indices)
    each = -(-n // world)
    return indices[np.arange(rank * each, (rank + 1) * each) % n] if n else indices
