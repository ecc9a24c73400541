"""What Anny computes once, kept as one file: the package's first load takes minutes, reading this no second.

The file lies below the user's cache folder ($XDG_CACHE_HOME or ~/.cache), in `vision-suite`. Its name holds
the version of the package and of this format, and inside is a hash of its arrays: a file that was cut off or
changed is made again. It holds arrays only, no code.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from suite.errors import BackendUnavailable
from suite.files import atomic_write
from suite.progress import status, track

FORMAT = 1
_HASH = "sha256"
RIG = TOPOLOGY = "anny"  # the package's own; other topologies are licensed otherwise and downloaded


def cache_folder() -> Path:
    """Where this suite keeps what can be computed again."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "vision-suite"


def anny_arrays() -> dict[str, np.ndarray]:
    """Arrays of the model, from the cache or computed, by one process at a time, and then kept.

    Raises BackendUnavailable where the package is missing.
    """
    try:
        name = f"anny-{version('anny')}-format{FORMAT}.npz"
    except PackageNotFoundError as error:
        raise BackendUnavailable("anny", str(error), hint="pip install anny") from None
    path = cache_folder() / name
    found = read_arrays(path)
    if found is None:
        with _alone(path):
            found = read_arrays(path)  # another process may have made it meanwhile
            if found is None:
                found = _computed()
                write_arrays(path, found)
    return found


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays in a file, None where it is missing, cut off or changed."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    said = str(arrays.pop(_HASH, ""))
    return arrays if said == content_hash(arrays) else None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays with their hash; the file is there whole or not at all."""
    held: dict[str, Any] = {**arrays, _HASH: np.array(content_hash(arrays))}
    with atomic_write(path) as out:
        np.savez(out, **held)


def content_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """Of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other process computes the same file; the lock beside it is let go by a kill too."""
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise BackendUnavailable("filelock", str(error), hint="pip install filelock") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with status("another process computes the body model: waiting for it"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _computed() -> dict[str, np.ndarray]:
    """Everything that a shape needs, from the package; blend shapes in single precision."""
    try:
        import torch
        from anny import Anny
        from anny.models import build_model_data
        from anny.models.model_data import RigConfig, TopologyConfig
    except ImportError as error:
        raise BackendUnavailable("anny", str(error), hint="pip install anny") from None
    rig, topology = RigConfig.from_string(RIG), TopologyConfig.from_string(TOPOLOGY)
    steps: list[Callable[[], Any]] = [
        lambda: build_model_data(rig=rig, topology=topology, local_changes="none", facial_actions="none"),
        lambda: Anny(rig=RIG, topology=TOPOLOGY, pose_parameterization="local-ref", skinning_method="lbs"),
    ]
    with torch.no_grad():
        what = "Computing the body model, once on this machine, for minutes"
        model = [step() for step in track(steps, what)][-1]
        weights = np.zeros((len(model.template_vertices), model.bone_count), np.float32)
        places = model.vertex_bone_indices.numpy()
        np.add.at(weights, (np.arange(len(places))[:, None], places), model.vertex_bone_weights.numpy())
        anchors = model._make_phenotype_anchors()
        return {
            "bones": np.array(model.bone_labels),
            "parents": np.asarray(model.bone_parents, np.int64),
            "faces": model.faces.numpy().astype(np.int64),
            "weights": weights,
            "template": model.template_vertices.numpy(),
            "blend_shapes": model.blendshapes.numpy().astype(np.float32).reshape(len(model.blendshapes), -1),
            "heads": model.template_bone_heads.numpy(),
            "head_shapes": model.bone_heads_blendshapes.numpy(),
            "turns": model.bone_template_orientation_matrices.numpy(),
            "turn_shapes": model.bone_orientation_blendshapes.numpy(),
            "reference": model.reference_bone_orientations.numpy(),
            "phenotype_mask": model.stacked_phenotype_blend_shapes_mask.numpy() > 0.5,
            "phenotype_basis": model.phenotype_blendshape_projection.numpy(),
            **{f"anchors_{label}": anchor.numpy() for label, anchor in anchors.items()},
        }
