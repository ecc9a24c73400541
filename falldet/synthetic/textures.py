"""Procedural surfaces: a colour at every place of a surface, from a kind of pattern and noise."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import Float

Pattern = Literal["plain", "tiles", "planks", "stripes", "checks", "dots", "speckle"]
PATTERNS: tuple[Pattern, ...] = ("plain", "tiles", "planks", "stripes", "checks", "dots", "speckle")
_SIZE = 512


@dataclass(frozen=True)
class Material:
    """A pattern of two colours (RGB, 0 to 1), repeating after ``scale_m``, with ``noise`` and ``grain``."""

    colour: tuple[float, float, float]
    second: tuple[float, float, float]
    pattern: Pattern = "plain"
    scale_m: float | int = 0.3
    noise: float | int = 0.15
    grain: float | int = 0.05
    gloss: float | int = 0.0
    offset: tuple[float, float] = (0.0, 0.0)
    creases: float | int = 0.0
    """How much darker and lighter folds of cloth are."""


def albedo(
    material: Material, p_m: Float[np.ndarray, " n"], q_m: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    """RGB (0 to 1) at places of the surface, whose two coordinates are in metres."""
    p, q = p_m + material.offset[0], q_m + material.offset[1]
    first, second = np.asarray(material.colour, np.float32), np.asarray(material.second, np.float32)
    s = material.scale_m
    match material.pattern:
        case "plain":
            mix = None
        case "tiles":
            mix = ((p / s) % 1 < 0.03) | ((q / s) % 1 < 0.03)
        case "planks":
            row = np.floor(p / s)
            tone = _hash(row, np.floor(q / (s * 7) + _hash(row, row * 0)))
            mix = np.minimum(0.9 * tone + 0.6 * ((p / s) % 1 < 0.03), 1)
        case "stripes":
            mix = (p / s) % 1 < 0.5
        case "checks":
            mix = 0.5 * ((p / s) % 1 < 0.5) + 0.5 * ((q / s) % 1 < 0.5)
        case "dots":
            mix = ((p / s) % 1 - 0.5) ** 2 + (((q / s) + 0.5 * (np.floor(p / s) % 2)) % 1 - 0.5) ** 2 < 0.05
        case "speckle":
            mix = _lookup(6, p * 2.5 / s, q * 2.5 / s) > 0.62
    if mix is None:
        colour = np.broadcast_to(first, (len(p), 3)).copy()
    else:
        colour = first + np.asarray(mix, np.float32)[:, None] * (second - first)
    if material.noise:
        colour *= (1 + material.noise * 2 * (_lookup(3, p, q) - 0.5))[:, None]
    if material.grain:
        colour *= (1 + material.grain * 2 * (_lookup(8, p * 3, q * 3) - 0.5))[:, None]
    return colour


def folds(p_m: Float[np.ndarray, " n"], q_m: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Light and dark of creased cloth about 0, -0.5 to 0.5."""
    bent = q_m + 0.06 * (_lookup(4, p_m * 0.8, q_m * 0.8) - 0.5)
    return 0.6 * (_lookup(5, p_m * 0.5, bent * 2.4) - 0.5) + 0.4 * (_lookup(6, p_m, bent * 1.6) - 0.5)


def any_colour(
    rng: np.random.Generator, low: float | int = 0.08, high: float | int = 0.95
) -> tuple[float, float, float]:
    """Greys, muted and now and then strong colours."""
    kind = rng.random()
    if kind < 0.3:
        grey, tint = rng.uniform(low, high), rng.uniform(-0.03, 0.03, 3)
        r, g, b = np.clip(grey + tint, 0.02, 1)
    else:
        strong = rng.uniform(0.45, 1.0) if kind > 0.75 else rng.uniform(0.08, 0.5)
        r, g, b = colorsys.hsv_to_rgb(rng.random(), strong, rng.uniform(low, high))
    return float(r), float(g), float(b)


def near(
    colour: tuple[float, float, float], rng: np.random.Generator, by: float | int = 0.15
) -> tuple[float, float, float]:
    """A colour like this one, lighter or darker."""
    factor = 1 + rng.uniform(-by, by)
    r, g, b = (float(np.clip(c * factor + rng.uniform(-by, by) * 0.15, 0.02, 1)) for c in colour)
    return r, g, b


@cache
def _noise() -> np.ndarray:
    """Octaves of smooth noise, each (512, 512) and wrapping round; coarse first."""
    rng = np.random.default_rng(7)
    layers = []
    for octave in range(9):
        n = 2 ** (octave + 1)
        spectrum = np.fft.fft2(rng.standard_normal((_SIZE, _SIZE)))
        f = np.hypot(*np.meshgrid(np.fft.fftfreq(_SIZE) * _SIZE, np.fft.fftfreq(_SIZE) * _SIZE))
        layer = np.fft.ifft2(spectrum * np.exp(-((f / n) ** 2) / 2)).real
        rank = (layer - layer.mean()) / layer.std()
        layers.append(np.clip(0.5 + 0.22 * rank, 0, 1))
    return np.stack(layers).astype(np.float32)


def _lookup(octave: int, p_m: np.ndarray, q_m: np.ndarray) -> np.ndarray:
    """One octave; its 512 cells span 4 m."""
    i = (p_m * 128).astype(np.int64) % _SIZE
    j = (q_m * 128).astype(np.int64) % _SIZE
    return _noise()[octave][i, j]


def _hash(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    return np.abs(np.sin(i * 12.9898 + j * 78.233) * 43758.5453) % 1
