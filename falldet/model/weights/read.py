"""Files of weights, whoever wrote them, opened as data: nothing in a file can make its reader run code.

A .pth is a pickle, and so are detectron2's .pkl. torch's reader for tensors alone takes the first, with every
class that it does not know (mmengine's HistoryBuffer, a config, ...) replaced by one that holds nothing; an
unpickler that knows numpy arrays and nothing else takes the second.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from suite.errors import BadInput

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the first pickle of a .pth before torch 1.6
_NOT_WEIGHTS = {
    b"version https://git-lfs": "only a pointer to a file kept elsewhere (git lfs); fetch the file itself",
    b"<": "a web page, not weights; the download went wrong",
}
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # names that pickles up to protocol 2 use
_NUMPY = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"), ("numpy", "dtype"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """The tensors of a file by their names there; ``meta`` is what mmdet or safetensors says of them."""

    path: Path
    tensors: Mapping[str, Tensor]
    meta: Mapping[str, Any] = field(default_factory=dict)


def read_weights(path: Path) -> WeightsFile:
    """Read safetensors, a .pth of torch (any age; plain, mmdet's or detectron2's) or a .pkl of detectron2.

    What it is is told by its content, not its name. Raises BadInput where it is none of these, is cut short,
    or holds anything that would have to be run.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput("no such file", where=path)
    with path.open("rb") as stream:
        start = stream.read(64)
    for beginning, what in _NOT_WEIGHTS.items():
        if start.lstrip().startswith(beginning):
            raise BadInput(what, where=path)
    if start[8:9] == b"{":
        return _safetensors(path)
    if start.startswith((b"PK", _LEGACY)):
        content = _torch_file(path)
    elif start.startswith(b"\x80"):
        content = _numpy_pickle(path)
    else:
        what = "not a file of weights (neither safetensors, nor .pth, nor detectron2's .pkl)"
        raise BadInput("empty" if not start else what, where=path)
    return _tensors_of(content, path)


def _safetensors(path: Path) -> WeightsFile:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - not a dict
            return WeightsFile(path, tensors, stream.metadata() or {})
    except SafetensorError as error:
        raise BadInput(f"not readable as safetensors ({error})", where=path) from error


class _Nothing:
    """Stands for an object of a class that is of no use here; forgets whatever it is made of."""

    def __new__(cls, *_given: object, **_named: object) -> _Nothing:
        return object.__new__(cls)

    def __setstate__(self, _state: object) -> None:
        pass


def _torch_file(path: Path) -> object:
    try:
        nothing = [(_Nothing, name) for name in _foreign(path)]
        with torch.serialization.safe_globals(nothing):  # type: ignore[arg-type] - pairs are documented
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error)) or re.search(
            r"WeightsUnpickler error: (.*)", str(error)
        )
        cause = f" ({named[1].strip()})" if named else ""
        hint = "save its state dict alone, with torch.save(model.state_dict(), ...)"
        raise BadInput(f"holds more than weights and plain data{cause}", path, hint) from error
    except Exception as error:  # what is cut short fails in any way at all, but runs nothing
        reason = str(error).partition("\n")[0]
        raise BadInput(f"not readable as a .pth ({type(error).__name__}: {reason})", where=path) from error


def _foreign(path: Path) -> set[str]:
    """Classes and functions that a .pth names and torch does not provide, found without unpickling."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts = [archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl")]
    else:
        parts = [path.read_bytes()]
    found: set[str] = set()
    for part in parts:
        stream = io.BytesIO(part)
        for _ in range(
            4 if part.startswith(_LEGACY) else 1
        ):  # magic number, protocol, system, then the content
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    module, _, name = str(argument).partition(" ")
                    found.add(f"{_PYTHON_2.get(module, module)}.{name}")
    return {name for name in found if name.split(".")[0] != "torch"} - {"collections.OrderedDict"}


class _Arrays(pickle.Unpickler):
    """Reads numpy arrays in plain containers."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _latin  # how Python 2 arrays carry their bytes
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) not in _NUMPY:
            raise pickle.UnpicklingError(f"{module}.{name}")
        if name == "_reconstruct":
            return _empty_array
        if name == "_frombuffer":
            return _from_buffer
        return super().find_class(module, name)


def _latin(text: str, _encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


def _empty_array(_kind: type, _shape: tuple[int, ...], _dtype: object) -> np.ndarray:
    return np.ndarray((0,), "b")  # its shape, kind and bytes follow as its state


def _from_buffer(
    content: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], order: Literal["C", "F"]
) -> np.ndarray:
    return np.frombuffer(content, dtype).reshape(shape, order=order)


def _numpy_pickle(path: Path) -> object:
    try:
        with path.open("rb") as stream:
            return _Arrays(stream, encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise BadInput(f"holds more than arrays ({error})", where=path) from error
    except Exception as error:  # a broken pickle fails in any way at all, but runs nothing
        raise BadInput(f"not readable as a .pkl ({type(error).__name__}: {error})", where=path) from error


def _tensors_of(content: object, path: Path) -> WeightsFile:
    """The state dict in what a file holds, bare or below `state_dict` (mmdet) or `model` (detectron2)."""
    meta: Mapping[str, Any] = {}
    if isinstance(content, Mapping):
        given = content.get("meta")
        meta = given if isinstance(given, Mapping) else {}
        if "matching_heuristics" in content or "__author__" in content:
            meta = {**meta, "author": str(content.get("__author__", ""))}
        content = next((content[key] for key in ("state_dict", "model") if key in content), content)
    if not isinstance(content, Mapping):
        raise BadInput(f"holds a {type(content).__name__}, not named weights", where=path)
    tensors = {
        str(name).removeprefix("module."): torch.from_numpy(np.ascontiguousarray(value))
        if isinstance(value, np.ndarray)
        else value
        for name, value in content.items()
        if isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "fiu")
    }
    if not tensors:
        raise BadInput("holds no named weights", where=path)
    return WeightsFile(path, tensors, meta)
