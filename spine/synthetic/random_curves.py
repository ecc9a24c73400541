"""Smooth random functions: Gaussian processes with a squared-exponential kernel, from random Fourier
features.

Rahimi & Recht, "Random features for large-scale kernel machines", 2007. A sum of waves can be evaluated
anywhere, so what is random does not depend on a grid; in two dimensions the waves separate, and a whole field
is one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

WAVES = 48


def smooth_curve(
    rng: np.random.Generator, at: Float[np.ndarray, " n"], length: float
) -> Float[np.ndarray, " n"]:
    """A sample, of unit variance and correlation exp(-d^2 / (2 length^2)), at the places `at`."""
    frequency = rng.normal(size=WAVES) / length
    phase = rng.uniform(0, 2 * np.pi, WAVES)
    return np.sqrt(2 / WAVES) * np.cos(np.multiply.outer(at, frequency) + phase).sum(-1)


class SmoothField:
    """A sample over the plane with its own correlation lengths along x and y; unit variance."""

    def __init__(self, rng: np.random.Generator, length_x: float, length_y: float) -> None:
        self._fx = rng.normal(size=WAVES) / length_x
        self._fy = rng.normal(size=WAVES) / length_y
        self._phase = rng.uniform(0, 2 * np.pi, WAVES)

    def on_grid(self, x: Float[np.ndarray, " nx"], y: Float[np.ndarray, " ny"]) -> Float[np.ndarray, "ny nx"]:
        a = np.multiply.outer(y, self._fy) + self._phase
        b = np.multiply.outer(self._fx, x)
        return np.sqrt(2 / WAVES) * (np.cos(a) @ np.cos(b) - np.sin(a) @ np.sin(b))

    def at(self, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The same sample at single places."""
        phase = np.multiply.outer(y, self._fy) + np.multiply.outer(x, self._fx) + self._phase
        return np.sqrt(2 / WAVES) * np.cos(phase).sum(-1)


def draw(rng: np.random.Generator, spread: tuple[float, float]) -> float:
    """A normal number of this mean and standard deviation, cut off at 2.5 standard deviations."""
    return float(spread[0] + spread[1] * np.clip(rng.normal(), -2.5, 2.5))


def course(*knots: tuple[float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """A smooth course through (place, value) knots without overshoot, constant beyond them."""
    from scipy.interpolate import PchipInterpolator

    place, value = np.array(knots, np.float64).T
    inner = PchipInterpolator(place, value)
    return lambda at: inner(np.clip(at, place[0], place[-1]))
