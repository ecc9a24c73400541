"""What stands at a place of the back: shoulder blades, dimples, a fold at the waist, markers.

Every part takes the grid of `spine.synthetic.skin` and gives heights (mm) to add to the skin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from spine.synthetic.config import SubjectConfig

if TYPE_CHECKING:
    from spine.synthetic.skin import Grid

Visible = Callable[[float, float], bool]
MARKER_HEIGHT_MM, MARKER_FREE_MM = 3.0, 14.0
_HIGHEST_BLADE_MM = 16.0


def scapulae(rng: np.random.Generator, config: SubjectConfig, g: Grid) -> Float[np.ndarray, "ny nx"]:
    """Two plates on the thorax, raised along their medial borders; the one on the convex side stands out
    more."""
    z = np.zeros_like(g.o)
    rows = slice(*np.searchsorted(g.u, (0.38, 1.0)))
    u, centre = g.u[rows], g.centre_x[rows]
    prominence = rng.uniform(*config.scapula_mm) * g.scale
    turned = np.tanh(4 * np.interp(0.65, g.u, g.rotation))
    lift, apart, tilt = rng.normal() * 0.02, rng.normal(76, 7), rng.normal(10, 12)
    for side in (-1, 1):
        height = prominence * np.exp(0.3 * rng.normal()) * (1 - 0.5 * side * turned)
        height = _HIGHEST_BLADE_MM * g.scale * np.tanh(height / (_HIGHEST_BLADE_MM * g.scale))
        low = rng.normal(0.56, 0.025) + side * lift
        border = centre + side * (apart + tilt * (0.7 - u) + rng.normal() * 3) * g.scale
        # The plate ends in a rounded tip below: towards it the border moves aside.
        border += side * 26 * g.scale * np.exp(-np.clip(u - low + 0.02, 0, 1) / 0.035)
        e = side * (g.x[None, :] - border[:, None]) / g.scale
        plate = _rise(e / rng.uniform(5, 11)) * np.exp(-np.clip(e, 0, None) / rng.uniform(30, 75))
        z[rows] += (
            height * (_rise((u - low) / 0.022) * _rise((0.87 + side * lift - u) / 0.035))[:, None] * plate
        )
        # Its spine rises from the medial border to the shoulder.
        at = side * (g.x - np.interp(0.8, u, border)) / g.scale
        window = 0.35 * height * _rise((at - 8) / 12) * _rise((105 - at) / 14)
        ridge = 0.80 + side * lift + 0.06 * np.clip(at, 0, 110) / 90
        z[rows] += window * np.exp(-0.5 * ((u[:, None] - ridge) / 0.025) ** 2)
    return z


def dimples(rng: np.random.Generator, g: Grid) -> tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, "ny nx"]]:
    """Lumbar dimples beside the base mid-point, left and right: where they are (x, y), and how deep."""
    depth, apart = rng.uniform(0.2, 3.5), rng.normal(40, 4) * g.scale
    wide = rng.uniform(8, 14) * g.scale
    slope = np.tan(np.radians(rng.normal() * 1.5))
    base_x = np.interp(0, g.y, g.line[:, 0])
    places = np.array([(base_x + side * apart, side * apart * slope) for side in (-1, 1)])
    z = np.zeros_like(g.o)
    for x, y in places:
        across, along = (np.exp(-0.5 * (d / wide) ** 2) for d in (g.x - x, g.y - y))
        z -= depth * rng.uniform(0.7, 1.3) * along[:, None] * across
    return places, z


def waist_fold(rng: np.random.Generator, config: SubjectConfig, g: Grid) -> Float[np.ndarray, "ny nx"]:
    """A crease from the flank inwards above the hip, on the side to which the loins are bent in."""
    if rng.uniform() >= config.waist_fold_share:
        return np.zeros_like(g.o)
    bend = np.interp(0.3, g.u, g.line[:, 0]) - np.interp([0.05, 0.6], g.u, g.line[:, 0]).mean()
    side = -np.sign(bend) if rng.uniform() < 0.85 else rng.choice([-1.0, 1.0])
    rows = slice(*np.searchsorted(g.u, (0.05, 0.6)))
    aside = side * (g.x[None, :] - g.centre_x[rows, None]) / g.scale
    height = rng.uniform(0.22, 0.34) + rng.uniform(-0.0004, 0.0012) * np.clip(aside - 40, 0, None)
    depth = rng.uniform(1.5, 5.5) * _rise((aside - rng.uniform(75, 100)) / rng.uniform(8, 16))
    d = (g.u[rows, None] - height) / rng.uniform(0.014, 0.03)
    z = np.zeros_like(g.o)
    z[rows] = depth * (0.5 * np.exp(-0.5 * (d + 2.5) ** 2) - np.exp(-0.5 * d**2))
    return z


def marker_places(
    rng: np.random.Generator, config: SubjectConfig, g: Grid, visible: Visible
) -> Float[np.ndarray, "m 2"]:
    """Where half-balls stick to the skin (x, y), away from the line and from each other; `visible` says of
    places whether a viewer behind sees skin there."""
    places: list[tuple[float, float]] = []
    wanted = rng.integers(2, 10) if rng.uniform() < config.marker_share else 0
    trunk = 420 * g.scale
    for _ in range(4 * wanted):
        x, y = rng.uniform(-110, 110) * g.scale, rng.uniform(0.02, 0.98) * trunk
        row, column = np.abs(g.y - y).argmin(), np.abs(g.x - x).argmin()
        apart = [np.hypot(x - a, y - b) for a, b in places]
        if abs(g.o[row, column]) < MARKER_FREE_MM or min(apart, default=99) < 40 or not visible(x, y):
            continue
        places.append((x, y))
        if len(places) == wanted:
            break
    return np.array(places, np.float64).reshape(-1, 2)


def _rise(t: np.ndarray) -> np.ndarray:
    """0 to 1, smoothly (logistic)."""
    return 0.5 * (1 + np.tanh(t / 2))
