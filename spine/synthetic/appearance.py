"""How a simulated person is coloured: skin with moles and reddened places, hair, trousers, and the wall
behind. Markers alone are blue: nothing else may be taken for one.

Colours belong to places of the resting body, so that they go with the skin as it bends, sways and breathes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from spine.synthetic.person_mesh import MARKER_PART, PersonMesh
from spine.synthetic.random_curves import SmoothField
from suite.body.parts import PART_NAMES

MARKER_RGB = np.array([40.0, 80.0, 200.0])
_SKINS = np.array([
    (240, 200, 175), (231, 184, 154), (224, 172, 140), (205, 150, 115), (180, 125, 90), (150, 100, 70),
    (115, 75, 52), (85, 56, 42),
], float)  # fmt: skip
"""From light to dark; light ones are drawn more often."""
_HAIR = np.array([(32, 26, 24), (58, 40, 28), (96, 66, 42), (150, 115, 70), (130, 125, 120)], float)
_CLOTH = np.array(
    [(40, 40, 42), (95, 95, 95), (110, 88, 66), (60, 74, 52), (128, 48, 46), (190, 184, 172)], float
)
_WALLS = np.array(
    [(200, 196, 188), (182, 176, 160), (150, 154, 146), (120, 116, 110), (214, 206, 190)], float
)
_MOLES = 40
_NAPE_MM = -75.0  # of head and neck what lies behind this may have hair
_GRAIN = 0.03
"""Standard deviation of the brightness of single vertices: pores, hairs, dust."""


@dataclass(frozen=True, eq=False)
class Appearance:
    """Colours (sRGB, 0-255) of one person and their room.

    waistband_mm: height above the base, at rest, at which trousers begin; hair_to_mm: how far hair hangs
    down, as a height above the base; moles: x, y at rest and radius (mm), k of them; blush: a smooth field.
    """

    skin: Float[np.ndarray, " 3"]
    hair: Float[np.ndarray, " 3"]
    cloth: Float[np.ndarray, " 3"]
    wall: Float[np.ndarray, " 3"]
    waistband_mm: float
    hair_to_mm: float
    moles: Float[np.ndarray, "k 3"]
    blush: SmoothField
    grain_seed: int

    def albedo(self, body: PersonMesh) -> Float[np.ndarray, "n 3"]:
        """Colour of every vertex before any light falls on it."""
        x, y, z = body.at_rest_mm.T
        out = np.tile(self.skin, (len(x), 1))
        tone = self.blush.at(x, y)[:, None]
        out *= 1 + 0.03 * tone + np.array([0.02, -0.025, -0.025]) * np.tanh(tone)
        part = body.part
        trousers = np.isin(part, _places("trunk", "hips", "thigh", "shank")) & (y < self.waistband_mm)
        nape = np.isin(part, _places("neck", "face")) & (y > self.hair_to_mm) & (z > _NAPE_MM)
        hair = np.isin(part, _places("hair")) | nape
        weave = 1 + 0.04 * np.sin(0.9 * x) * np.sin(0.9 * y)
        out[trousers] = self.cloth * weave[trousers, None]
        out[hair] = self.hair * (1 + 0.15 * np.sin(0.6 * x[hair] + 2 * tone[hair, 0]))[:, None]
        out *= 1 + _GRAIN * np.random.default_rng(self.grain_seed).normal(size=(len(x), 1))
        out[part == MARKER_PART] = MARKER_RGB
        return np.clip(out, 0, 255)

    def mole_shade(
        self, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], cell_mm: float = 10.0
    ) -> Float[np.ndarray, " n"]:
        """Brightness (1: no mole) at places of the resting back."""
        shade = np.ones(len(x))
        for mole_x, mole_y, radius in self.moles:
            near = np.flatnonzero((np.abs(x - mole_x) < cell_mm) & (np.abs(y - mole_y) < cell_mm))
            away = np.hypot(x[near] - mole_x, y[near] - mole_y)
            shade[near] *= 1 - 0.5 / (1 + np.exp((away - radius) / 0.5))
        return shade


def draw_appearance(seed: int, trunk_mm: float) -> Appearance:
    """The colours of the person of this seed, from a generator of their own: shapes do not depend on them."""
    rng = np.random.default_rng([seed, 0xC0105])
    share = np.array([3, 4, 4, 3, 2, 2, 1, 1], float)
    skin = _SKINS[rng.choice(len(_SKINS), p=share / share.sum())] * (1 + 0.05 * rng.normal())
    k = rng.integers(4, _MOLES)
    moles = np.stack(
        [rng.normal(0, 90, k), rng.uniform(-40, trunk_mm + 60, k), rng.gamma(4, 0.35, k)], axis=1
    )
    return Appearance(
        skin=np.clip(skin, 0, 255),
        hair=_HAIR[rng.integers(len(_HAIR))],
        cloth=_CLOTH[rng.integers(len(_CLOTH))],
        wall=_WALLS[rng.integers(len(_WALLS))],
        waistband_mm=-rng.uniform(35, 85),
        hair_to_mm=trunk_mm + rng.uniform(20, 75),
        moles=moles,
        blush=SmoothField(rng, 45.0, 60.0),
        grain_seed=int(rng.integers(2**31)),
    )


def _places(*names: str) -> Int[np.ndarray, " k"]:
    return np.array([PART_NAMES.index(name) for name in names])
