"""Anny, a free parametric body from MakeHuman's assets (Bregier et al. 2025, arXiv 2511.03589).

Code Apache-2.0, assets CC0. The package can also load topologies whose files are for non-commercial use and
would be downloaded: only its own is asked for here, and nothing touches the network.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from suite.body.model import Body, BodyShape
from suite.body.parts import PART_NAMES, parts_of_vertices
from suite.errors import BackendUnavailable
from suite.progress import status


@functools.cache
def load_body() -> Body:
    """The body model; the first time on a machine it is computed for some minutes, later it loads in seconds.

    Raises BackendUnavailable where the package is missing.
    """
    try:
        import anny
        import torch
        from filelock import FileLock
    except ImportError as error:
        raise BackendUnavailable("anny", str(error), hint="pip install anny") from None
    # What is computed the first time is kept in one folder: of several processes one computes it.
    lock = FileLock(Path(tempfile.gettempdir()) / "vision-suite-anny.lock")
    with status("loading the body model (some minutes the first time)"), lock:
        model = anny.Anny(
            rig="anny", topology="anny", pose_parameterization="local-ref", skinning_method="lbs"
        )
    rest = model(pose_parameters=None, phenotype_kwargs=_phenotype(BodyShape()))
    weights = np.zeros((len(model.template_vertices), model.bone_count), np.float32)
    places = model.vertex_bone_indices.numpy()
    np.add.at(weights, (np.arange(len(places))[:, None], places), model.vertex_bone_weights.numpy())
    assert model.reference_bone_orientations is not None
    reference = model.reference_bone_orientations.numpy()

    def shape(shape: BodyShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with torch.no_grad():
            rest = model.get_rest_model(model.get_phenotype_blendshape_coefficients(**_phenotype(shape)))
        vertices = rest["rest_vertices"][0].numpy().astype(np.float32)
        R = rest["rest_bone_poses"][0, :, :3, :3].numpy()
        corrections = reference @ R.transpose(0, 2, 1)
        corrections[0] = np.eye(3)
        return vertices, rest["rest_bone_heads"][0].numpy(), corrections

    bones = tuple(model.bone_labels)
    return Body(
        bones=bones,
        parents=np.asarray(model.bone_parents, np.int64),
        faces=model.faces.numpy().astype(np.int64),
        weights=weights,
        part_names=PART_NAMES,
        parts=parts_of_vertices(rest["rest_vertices"][0].detach().numpy(), weights, bones),
        shaper=shape,
    )


def _phenotype(shape: BodyShape) -> dict[str, Any]:
    return dict(vars(shape))
