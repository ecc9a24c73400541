"""Anny, a free parametric body from MakeHuman's assets (Bregier et al. 2025, arXiv 2511.03589), in numpy.

Code Apache-2.0, assets CC0. The package can also load topologies whose files are for non-commercial use and
would be downloaded: only its own is asked for here (`anny_cache`), and nothing touches the network.

A person is the template plus blend shapes: each figure of the phenotype (age, weight, ...) spreads over two
neighbouring anchors (newborn, baby, child, young, old), a shape's share is the product over what it is made
for, and a fixed basis sums up what all products need. Turns of the bones are the rotations nearest to
matrices that are linear in the same coefficients.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from suite.body.anny_cache import anny_arrays
from suite.body.model import Body, BodyShape, Landmark
from suite.body.parts import PART_NAMES, parts_of_vertices

_ORDER = ("race", "gender", "age", "muscle", "weight", "height", "proportions", "cupsize", "firmness")
_NEUTRAL = 0.5  # of what a BodyShape does not name
_RACES = 3
_LANDMARKS: dict[str, Landmark] = {"cervicale": (857, 856, 0.15), "sacrale": (4179, 4172, 0.8)}
"""Picked on the template: where the nape leaves the shoulders (.861 of the stature) and the loins end over
the cleft (.596 of it)."""


def load_anny() -> Body:
    """The body model; the first time on a machine it is computed for some minutes, later read in a second.

    Raises BackendUnavailable where the package is missing.
    """
    model = anny_arrays()

    def shape(shape: BodyShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        c = coefficients(model, shape)
        moved = c.astype(np.float32) @ model["blend_shapes"]
        vertices = model["template"] + moved.reshape(-1, 3)
        joints = model["heads"] + np.tensordot(c, model["head_shapes"], 1)
        R = _nearest_rotations(model["turns"] + np.tensordot(c, model["turn_shapes"], 1))
        corrections = model["reference"] @ R.transpose(0, 2, 1)
        corrections[0] = np.eye(3)
        return vertices.astype(np.float32), joints, corrections

    bones = tuple(model["bones"].tolist())
    usual, _, _ = shape(BodyShape())
    return Body(
        bones=bones,
        parents=model["parents"],
        faces=model["faces"],
        weights=model["weights"],
        part_names=PART_NAMES,
        parts=parts_of_vertices(usual, model["weights"], bones),
        landmarks=_LANDMARKS,
        shaper=shape,
    )


def coefficients(model: dict[str, np.ndarray], shape: BodyShape) -> Float[np.ndarray, " k"]:
    """How much of each blend shape there is."""
    shares = [np.full(_RACES, 1 / _RACES)]
    for label in _ORDER[1:]:
        shares.append(_between(getattr(shape, label, _NEUTRAL), model[f"anchors_{label}"]))
    of_variation = np.concatenate(shares)
    products = np.where(model["phenotype_mask"], of_variation, 1.0).prod(axis=1)
    return products @ model["phenotype_basis"]


def _between(value: float, anchors: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Shares of the two anchors around a value; they add up to 1."""
    return np.array([np.interp(value, anchors, row) for row in np.eye(len(anchors))])


def _nearest_rotations(M: Float[np.ndarray, "j 3 3"]) -> Float[np.ndarray, "j 3 3"]:
    """Orthogonal Procrustes, without reflections (Umeyama 1991)."""
    U, _, Vt = np.linalg.svd(M)
    U[:, :, 2] *= np.sign(np.linalg.det(U) * np.linalg.det(Vt))[:, None]
    return U @ Vt
