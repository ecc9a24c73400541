"""A file with the layout of SMPL, made of the free body: nothing of the licensed models is in it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from suite.body import Body, BodyShape, load_body
from suite.body.smpl_model import _BONES, _TO_OURS

_FREE = {"spine04": "spine04", "spine03": "spine03", "spine01": "spine01", "metacarpal2.L": "wrist.L",
         "metacarpal2.R": "wrist.R"}  # fmt: skip


def smpl_like_arrays() -> dict[str, Any]:
    """Two shape directions: taller, and stouter."""
    body = load_body()
    person = body.shaped(BodyShape(gender=0.5))
    vertices = (person.vertices @ _TO_OURS).astype(np.float64)  # ours to SMPL's
    bones = _BONES[24]
    free = [body.bones.index(_FREE.get(name, name)) for name in bones]
    owner = np.full(len(body.bones), -1)
    owner[free] = np.arange(24)
    for j, p in enumerate(body.parents):  # a bone that SMPL lacks moves with its parent
        if owner[j] < 0:
            owner[j] = owner[p] if p >= 0 else 0
    weights = np.zeros((len(vertices), 24))
    np.add.at(weights.T, owner, body.weights.T.astype(np.float64))
    weights /= weights.sum(1, keepdims=True)
    joints = person.joints[free] @ _TO_OURS
    regressor = np.zeros((24, len(vertices)))
    for j, joint in enumerate(joints):
        near = np.argsort(np.linalg.norm(vertices - joint, axis=1))[:8]
        regressor[j, near] = 1 / 8
    stouter = vertices * [0.1, 0.0, 0.1]
    parents = [-1 if j == 0 else _parent(bones, body, j) for j in range(24)]
    tree = np.array([parents, range(24)], np.int64)
    tree[0, 0] = 2**32 - 1
    return {
        "v_template": vertices,
        "shapedirs": np.stack([0.05 * vertices, stouter], axis=2),
        "posedirs": np.zeros((len(vertices), 3, 207)),
        "J_regressor": sparse.csc_matrix(regressor),
        "weights": weights,
        "kintree_table": tree,
        "f": body.faces.astype(np.uint32),
    }


def _parent(bones: tuple[str, ...], body: Body, j: int) -> int:
    if bones[j].startswith("metacarpal"):
        return bones.index(f"wrist{bones[j][-2:]}")
    p = int(body.parents[body.bones.index(bones[j])])
    while body.bones[p] not in bones:
        p = int(body.parents[p])
    return bones.index(body.bones[p])


def write_smpl_like(path: Path) -> Path:
    arrays = smpl_like_arrays()
    if path.suffix == ".npz":
        dense = {name: a.toarray() if sparse.issparse(a) else a for name, a in arrays.items()}
        np.savez(path, **dense)
    else:
        path.write_bytes(pickle.dumps(arrays, protocol=2))
    return path
