"""Files of the SMPL family (SMPL, SMPL+H, SMPL-X; .npz or .pkl), read as data.

The files are their owners' (Max Planck, licensed per user): none is shipped or downloaded. A .pkl is read
without running what it holds: only arrays, sparse matrices and the values inside chumpy's wrappers come out;
chumpy itself is not needed.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from suite.errors import BadInput

NEEDED = ("v_template", "shapedirs", "J_regressor", "weights", "kintree_table", "f")
_HINT = "give the .npz or .pkl of an SMPL, SMPL+H or SMPL-X body that you hold a licence for"
_NUMPY = {"_reconstruct", "scalar", "ndarray", "dtype", "_frombuffer"}
_OTHERS = {("copyreg", "_reconstructor"), ("copy_reg", "_reconstructor"), ("builtins", "object"),
           ("__builtin__", "object"), ("_codecs", "encode"), ("collections", "OrderedDict")}  # fmt: skip


class _Wrapped:
    """Stands for an object of chumpy: keeps its state, of which `x` is the array."""

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    """Lets arrays through and nothing that could act."""

    def find_class(self, module: str, name: str) -> Any:
        root = module.split(".")[0]
        if root == "chumpy":
            return _Wrapped
        sparse = (
            root == "scipy" and module.startswith("scipy.sparse") and name.endswith(("_matrix", "_array"))
        )
        if (root == "numpy" and name in _NUMPY) or sparse or (module, name) in _OTHERS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")


def read_smpl_file(path: Path) -> dict[str, np.ndarray]:
    """The arrays of NEEDED, in double precision (faces and tree as integers). Raises BadInput for any other
    file."""
    try:
        held = _from_npz(path) if path.suffix == ".npz" else _from_pickle(path)
    except FileNotFoundError:
        raise BadInput("no such file", path, _HINT) from None
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadInput(f"cannot be read as a body ({error})", path, _HINT) from None
    except (zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise BadInput(f"is refused: {error}", path, _HINT) from None
    if missing := [name for name in NEEDED if name not in held]:
        raise BadInput(f"lacks {', '.join(missing)}", path, _HINT)
    body = {name: _array(held[name]) for name in NEEDED}
    body["f"], body["kintree_table"] = body["f"].astype(np.int64), body["kintree_table"].astype(np.int64)
    n, j = len(body["v_template"]), body["kintree_table"].shape[-1]
    wanted = {"v_template": (n, 3), "J_regressor": (j, n), "weights": (n, j)}
    for name, shape in wanted.items():
        if body[name].shape != shape:
            raise BadInput(f"{name} has shape {body[name].shape}, not {shape}", path, _HINT)
    if body["shapedirs"].ndim != 3 or body["shapedirs"].shape[:2] != (n, 3):
        raise BadInput(f"shapedirs has shape {body['shapedirs'].shape}, not ({n}, 3, k)", path, _HINT)
    return body


def _from_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in NEEDED if name in file.files}


def _from_pickle(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        held = _Reader(stream, encoding="latin1").load()
    if not isinstance(held, dict):
        raise ValueError("it holds no table of arrays")
    return held


def _array(value: Any) -> np.ndarray:
    if isinstance(value, _Wrapped):
        value = value.state.get("x", value.state.get("a"))
    if hasattr(value, "toarray"):
        value = value.toarray()
    return np.asarray(value, np.float64)
