"""A body of the SMPL family (Loper et al. 2015; SMPL-X: Pavlakos et al. 2019) from a user's licensed file, in
the place of the free one.

Shapes go through `smplx` (its `lbs` functions). Bones have the names of the free body, so that poses written
for one fit the other; pose-dependent blend shapes are left out. The models' shape coefficients have no names:
a BodyShape asks for a stature and a volume, and gets the smallest coefficients that bring them about. What a
file of grown-ups cannot reach (children) is scaled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from suite.body.model import Body, BodyShape, Landmark
from suite.body.parts import PART_NAMES, parts_of_vertices
from suite.body.smpl_file import read_smpl_file
from suite.errors import BackendUnavailable, BadInput
from suite.geometry.mesh import Mesh

_TO_OURS = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
"""From SMPL's axes (x left, y up, z forwards) to ours (x left, y back, z up)."""
_BODY = ("root", "upperleg01.L", "upperleg01.R", "spine04", "lowerleg01.L", "lowerleg01.R", "spine03",
         "foot.L", "foot.R", "spine01", "toe1-1.L", "toe1-1.R", "neck01", "clavicle.L", "clavicle.R", "head",
         "upperarm01.L", "upperarm01.R", "lowerarm01.L", "lowerarm01.R", "wrist.L", "wrist.R")  # fmt: skip
_FINGERS = (2, 3, 5, 4, 1)  # index, middle, little, ring, thumb
_HANDS = tuple(f"finger{f}-{k}.{side}" for side in "LR" for f in _FINGERS for k in (1, 2, 3))
_BONES = {
    24: (*_BODY, "metacarpal2.L", "metacarpal2.R"),
    52: (*_BODY, *_HANDS),
    55: (*_BODY, "head_jaw", "eye.L", "eye.R", *_HANDS),
}
"""Names by the number of joints: SMPL, SMPL+H, SMPL-X."""
_MOST_COEFFICIENTS, _MOST_SD = 10, 4.0
_CERVICALE, _SACRALE = 0.861, 0.596
"""Heights of the landmarks over the stature, as on the free body."""
_MIDDLE_M, _DENSITY = 0.012, 1010.0
_AGE, _GROWN = (0.0, 1 / 3, 2 / 3, 1.0), (0.45, 0.76, 1.0, 0.985)


def load_smpl(path: Path) -> Body:
    """The body in a licensed file. Raises BadInput for a file that is none, BackendUnavailable without
    smplx."""
    try:
        import torch
        from smplx.lbs import (  # pyright: ignore[reportMissingImports]
            blend_shapes,
            vertices2joints,
        )
    except ImportError as error:
        raise BackendUnavailable("smplx", str(error), hint="pip install 'vision-suite[smpl]'") from None
    held = read_smpl_file(path)
    count = held["kintree_table"].shape[1]
    if count not in _BONES:
        raise BadInput(f"has {count} joints; known are {', '.join(map(str, _BONES))}", path)
    template, regressor = torch.from_numpy(held["v_template"])[None], torch.from_numpy(held["J_regressor"])
    directions = torch.from_numpy(held["shapedirs"][:, :, :_MOST_COEFFICIENTS].copy())

    def surface(betas: Float[np.ndarray, " k"]) -> tuple[np.ndarray, np.ndarray]:
        shaped = template + blend_shapes(torch.from_numpy(betas)[None], directions)
        joints = vertices2joints(regressor, shaped)
        return shaped[0].numpy() @ _TO_OURS.T, joints[0].numpy() @ _TO_OURS.T

    def shape(shape: BodyShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        stature, volume = wanted_size(shape)
        betas = _coefficients(surface, held["f"], directions.shape[2], stature, volume)
        vertices, joints = surface(betas)
        scale = stature / np.ptp(vertices[:, 2])
        return (vertices * scale).astype(np.float32), joints * scale, np.tile(np.eye(3), (count, 1, 1))

    bones = _BONES[count]
    parents = held["kintree_table"][0].copy()
    parents[0] = -1
    usual, _ = surface(np.zeros(directions.shape[2]))
    weights = held["weights"].astype(np.float32)
    return Body(
        bones=bones,
        parents=parents,
        faces=held["f"],
        weights=weights,
        part_names=PART_NAMES,
        parts=parts_of_vertices(usual, weights, bones),
        landmarks=_landmarks(usual, held["f"], path),
        shaper=shape,
    )


def wanted_size(shape: BodyShape) -> tuple[float, float]:
    """Stature (m) and volume (m3) that a shape stands for: about those of the free body."""
    man, woman = 1.36 + 1.1 * shape.height, 1.24 + 1.04 * shape.height
    stature = (man + (woman - man) * shape.gender) * float(np.interp(shape.age, _AGE, _GROWN))
    mass_index = (16.0 + 15.0 * shape.weight + 2.0 * shape.muscle) * float(
        np.interp(shape.age, _AGE, (1, 0.8, 1, 1))
    )
    return stature, mass_index * stature**2 / _DENSITY


def _coefficients(surface: Any, faces: np.ndarray, k: int, stature: float, volume: float) -> np.ndarray:
    """The least coefficients with this stature and volume, by Gauss-Newton on their logarithms."""

    def size(betas: np.ndarray) -> np.ndarray:
        vertices, _ = surface(betas)
        return np.log([np.ptp(vertices[:, 2]), max(Mesh(vertices, faces).volume(), 1e-6)])

    betas, goal = np.zeros(k), np.log([stature, volume])
    for _ in range(3):
        now = size(betas)
        J = np.stack([(size(betas + 0.1 * e) - now) / 0.1 for e in np.eye(k)], axis=1)
        betas = np.clip(betas + np.linalg.pinv(J, rcond=0.05) @ (goal - now), -_MOST_SD, _MOST_SD)
    return betas


def _landmarks(vertices: np.ndarray, faces: np.ndarray, path: Path) -> dict[str, Landmark]:
    """Places on the mid-line of the back at heights that are shares of the stature."""
    looks = Mesh(vertices, faces).vertex_normals()
    height = vertices[:, 2] - vertices[:, 2].min()
    stature = height.max()
    middle = (np.abs(vertices[:, 0]) < _MIDDLE_M) & (looks[:, 1] > 0.3) & (height > 0.5 * stature)
    along = np.flatnonzero(middle & (height < 0.9 * stature))
    along = along[np.argsort(height[along])]
    found: dict[str, Landmark] = {}
    for name, share in (("cervicale", _CERVICALE), ("sacrale", _SACRALE)):
        above = int(np.searchsorted(height[along], share * stature))
        if not 0 < above < len(along):
            raise BadInput(f"its back has no mid-line at {share} of the stature", path)
        i, j = int(along[above - 1]), int(along[above])
        found[name] = (i, j, float((share * stature - height[i]) / max(height[j] - height[i], 1e-9)))
    return found
