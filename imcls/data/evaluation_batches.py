"""Every image once, as squares, with nothing random: for evaluation, prediction and features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from imcls.data.cache import ImageCache
from imcls.data.draws import Draws
from imcls.data.fit import evaluation_fit
from imcls.data.options import InputOptions
from imcls.data.transforms_square import make_squares
from suite.ahead import ahead

_AHEAD = 2


def eval_batches(
    cache: ImageCache, indices: np.ndarray, options: InputOptions, image_px: int, batch_size: int
) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    """Images uint8 (n, 3, px, px) in channels_last memory, and their indices (n,) int64 in the table, in
    the order of ``indices``; each is what :func:`imcls.data.fit.prepare_image` makes of it."""
    wanted = np.asarray(indices, np.int64)
    nothing = Draws(0, 0, wanted[:0])

    def batch(first: int) -> tuple[torch.Tensor, np.ndarray]:
        index = wanted[first : first + batch_size]
        squares = make_squares(cache.images(index), evaluation_fit(options), image_px, nothing)
        return torch.from_numpy(squares).permute(0, 3, 1, 2), index

    return ahead((batch(first) for first in range(0, len(wanted), batch_size)), _AHEAD)
