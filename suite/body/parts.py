"""Which part of the body a vertex belongs to, from the bones it follows and where it lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

PART_NAMES = (
    "trunk",
    "hips",
    "upper_arm",
    "forearm",
    "hand",
    "thigh",
    "shank",
    "foot",
    "neck",
    "face",
    "hair",
    "eye",
)

_BONES = (
    ("eye", ("eye.",)),
    ("face", ("head",)),
    ("neck", ("neck",)),
    ("hand", ("wrist", "finger", "metacarpal")),
    ("forearm", ("lowerarm",)),
    ("upper_arm", ("upperarm",)),
    ("foot", ("foot", "toe")),
    ("shank", ("lowerleg",)),
    ("thigh", ("upperleg",)),
    ("hips", ("root", "pelvis", "spine05")),
    ("trunk", ("spine", "clavicle", "shoulder")),
)


def parts_of_bones(bones: Sequence[str]) -> Int[np.ndarray, " j"]:
    """Place in `PART_NAMES` of the part that each bone moves."""
    return np.array([next(PART_NAMES.index(p) for p, s in _BONES if b.startswith(s)) for b in bones])


def parts_of_vertices(
    vertices: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, "n j"], bones: Sequence[str]
) -> Int[np.ndarray, " n"]:
    """Place in `PART_NAMES` of each vertex of a body at rest that looks along -y."""
    parts = parts_of_bones(bones)[weights.argmax(axis=1)]
    head = np.flatnonzero(parts == PART_NAMES.index("face"))
    low, high = vertices[head].min(axis=0), vertices[head].max(axis=0)
    out = (vertices[head] - (low + high) / 2) / ((high - low) / 2)  # -1 .. 1 in each direction
    # The hairline runs from high on the forehead over the ears down to the nape.
    hair = out[:, 2] > 0.12 - 0.62 * out[:, 1] - 0.1 * np.abs(out[:, 0])
    parts[head[hair]] = PART_NAMES.index("hair")
    return parts
