"""A gain of each colour for every photograph, found together with the texture.

Only ratios of gains can be known, so their geometric mean over the views is 1 in each channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

SETTLED = 0.02
"""Spread of the gains' logarithms below which photographs are taken to be exposed alike."""
_LEAST_LIGHT = 1e-6
_TURNS = 40


def levelled_gains(
    cells: Sequence[Int[np.ndarray, " _"]],
    colours: Sequence[Float[np.ndarray, "_ 3"]],
    weights: Sequence[Float[np.ndarray, " _"]],
) -> Float[np.ndarray, "views 3"]:
    """Of views whose pixels show `cells` of the surface that have one colour each: colours and gains in
    turns. Cheap, and far beyond what the same turns with a whole texture come to."""
    n = 1 + max((int(one.max(initial=0)) for one in cells), default=0)
    sums = []  # of each view: the cells it shows, their weight, and their weighted colours
    for cell, colour, weight in zip(cells, colours, weights, strict=True):
        seen, place = np.unique(cell, return_inverse=True)
        place = place.ravel()
        mass = np.bincount(place, weight, len(seen))
        mixed = [np.bincount(place, weight * colour[:, k], len(seen)) for k in range(3)]
        sums.append((seen, mass, np.stack(mixed, 1)))
    gains = np.ones((len(sums), 3))
    for _ in range(_TURNS):
        over, under = np.zeros((n, 3)), np.full((n, 3), 1e-30)
        for gain, (seen, mass, mixed) in zip(gains, sums, strict=True):
            over[seen] += gain * mixed
            under[seen] += gain**2 * mass[:, None]
        colour = over / under
        for view, (seen, mass, mixed) in enumerate(sums):
            light = (mass[:, None] * colour[seen] ** 2).sum(0)
            gains[view] = np.where(
                light > _LEAST_LIGHT * mass.sum(),
                (mixed * colour[seen]).sum(0) / np.maximum(light, 1e-30),
                1.0,
            )
        gains = _mean_of_one(gains)
    return gains


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
    return _mean_of_one(gains)


def differ(gains: Float[np.ndarray, "views 3"]) -> bool:
    """Whether exposures differ by more than the fit's own noise."""
    return bool(np.log(gains).std(0).max() > SETTLED)


def _mean_of_one(gains: np.ndarray) -> np.ndarray:
    gains = np.maximum(gains, 1e-3)
    return gains / np.exp(np.log(gains).mean(0))
