"""A gain of each colour for every view: cameras that brighten or tint a picture do not tint the scene.

A view sees gain * radiance of what is in front, the background as it is. Only ratios of gains can be known,
so their geometric mean over the views is 1 in each channel.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

SMALLEST_LIGHT = 1e-3


def gains(log_gains: Float[Tensor, "views 3"]) -> Float[Tensor, "views 3"]:
    """The gains of all views, with a geometric mean of 1."""
    return (log_gains - log_gains.mean(0)).exp()


def exposed(
    colour: Float[Tensor, "rays 3"],
    behind: Float[Tensor, "rays 3"],
    log_gains: Float[Tensor, "views 3"],
    view: Int64[Tensor, " rays"],
) -> Float[Tensor, "rays 3"]:
    """What the views see of `colour`, of which `behind` is the background's part."""
    return (colour - behind) * gains(log_gains)[view] + behind


def fitted_gain(
    seen: Float[np.ndarray, "h w 3"], wanted: Float[np.ndarray, "h w 3"], opacity: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, " 3"]:
    """The gain of each channel that brings `seen` closest to `wanted` in squares, where it is opaque.

    A view that was held out has none of its own; without this its score would be of its exposure.
    """
    weight = opacity[..., None].astype(np.float64)
    light = (weight * seen**2).sum((0, 1))
    return np.where(
        light > SMALLEST_LIGHT, (weight * seen * wanted).sum((0, 1)) / np.maximum(light, SMALLEST_LIGHT), 1.0
    )
