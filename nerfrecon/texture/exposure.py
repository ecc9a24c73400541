"""A gain of each colour for every photograph, found together with the texture.

Only ratios of gains can be known, so their geometric mean over the views is 1 in each channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

SETTLED = 0.01
"""Spread of the gains' logarithms below which photographs are taken to be exposed alike."""
_LEAST_LIGHT = 1e-6


def fitted_gains(
    rendered: Sequence[Float[np.ndarray, "_ 3"]],
    wanted: Sequence[Float[np.ndarray, "_ 3"]],
    weights: Sequence[Float[np.ndarray, " _"]],
) -> Float[np.ndarray, "views 3"]:
    """Of least squares between gain * rendered and wanted, view by view; 1 where a view shows nothing."""
    gains = np.ones((len(rendered), 3))
    for view, (seen, goal, weight) in enumerate(zip(rendered, wanted, weights, strict=True)):
        w = weight[:, None].astype(np.float64)
        light = (w * seen * seen).sum(0)
        total = max(float(w.sum()), 1e-30)
        gains[view] = np.where(
            light / total > _LEAST_LIGHT, (w * seen * goal).sum(0) / np.maximum(light, 1e-30), 1.0
        )
    gains = np.maximum(gains, 1e-3)
    return gains / np.exp(np.log(gains).mean(0))


def differ(gains: Float[np.ndarray, "views 3"]) -> bool:
    """Whether exposures differ by more than the fit's own noise."""
    return bool(np.log(gains).std(0).max() > SETTLED)
