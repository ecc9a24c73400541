"""A colour for every place in space, for objects that have none of their own: features at every scale."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

OCTAVES, COARSEST = 4, 8.0
"""Number of scales, and cells across the object at the coarsest; each is half as large as the one before."""
COLOURS = np.array([[0.93, 0.80, 0.55], [0.55, 0.22, 0.12], [0.16, 0.33, 0.45], [0.82, 0.48, 0.22]])


def solid_texture(points: Float[np.ndarray, "n 3"], seed: int = 0) -> Float[np.ndarray, "n 3"]:
    """Colour in [0, 1] at points of an object that fills [0, 1]^3: blended value noise of four octaves.

    K. Perlin, "An image synthesizer", 1985: noise on a lattice, the corners' numbers blended smoothly.
    """
    mixed = np.zeros((len(points), len(COLOURS)))
    for layer in range(len(COLOURS)):
        for octave in range(OCTAVES):
            noise = value_noise(points * COARSEST * 2.0**octave, seed + 101 * layer + octave)
            mixed[:, layer] += noise / 1.5**octave
    sharp = np.exp(6 * mixed)  # nearly one colour at a time, with edges between
    return sharp @ COLOURS / sharp.sum(1, keepdims=True)


def value_noise(points: Float[np.ndarray, "n 3"], seed: int) -> Float[np.ndarray, " n"]:
    """Numbers of [-1, 1] at whole places, blended by 3 t^2 - 2 t^3 between."""
    corner = np.floor(points).astype(np.int64)
    t = points - corner
    t = t * t * (3 - 2 * t)
    total = np.zeros(len(points))
    for bits in range(8):
        step = np.array([bits & 1, bits >> 1 & 1, bits >> 2])
        share = np.where(step, t, 1 - t).prod(1)
        total += share * _number(corner + step, seed)
    return total


def _number(places: np.ndarray, seed: int) -> np.ndarray:
    """A number of [-1, 1] for each lattice place (n, 3): its coordinates, mixed (splitmix64's last steps)."""
    x, y, z = places.astype(np.uint64).T
    with np.errstate(over="ignore"):
        h = x * np.uint64(73856093) ^ y * np.uint64(19349663) ^ z * np.uint64(83492791) ^ np.uint64(seed)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (h >> np.uint64(40)).astype(np.float64) / 2**23 - 1
