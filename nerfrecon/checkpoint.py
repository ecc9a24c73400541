"""A field in one file: its arrays as safetensors, and in the header what it is, as JSON.

Names and shapes are those that all backends share, so a file goes from any of them to any other. A
checkpoint of a training also has Adam's moments and counters; a finished field has none.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from nerfrecon.options import (
    BigMlpFieldOptions,
    DensityFieldOptions,
    FieldOptions,
    SamplingOptions,
    SdfFieldOptions,
)
from suite.errors import BadInput
from suite.files import atomic_write

VERSION = 1
KEY = "nerfrecon"
AnyField = DensityFieldOptions | SdfFieldOptions | BigMlpFieldOptions
_TRAINING_ONLY = ("adam.", "counters", "running", "prior")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A field, how it is sampled, its arrays, where it lies in the world; `notes` are of whoever wrote it.

    `T_unit_world` takes the world to the unit cube.
    """

    field: AnyField
    sampling: SamplingOptions
    state: Mapping[str, np.ndarray]
    T_unit_world: np.ndarray = dataclasses.field(default_factory=lambda: np.eye(4))
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def finished(self) -> Checkpoint:
        """Without what only a training needs."""
        kept = {name: array for name, array in self.state.items() if not name.startswith(_TRAINING_ONLY)}
        return Checkpoint(self.field, self.sampling, kept, self.T_unit_world, self.notes)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file, whole or not at all."""
    from safetensors.numpy import save

    header = {
        "version": VERSION,
        "field": checkpoint.field.model_dump(mode="json"),
        "sampling": checkpoint.sampling.model_dump(mode="json"),
        "T_unit_world": np.asarray(checkpoint.T_unit_world, np.float64).tolist(),
        "notes": dict(checkpoint.notes),
    }
    # Arrays of no dimension and slices of others would be written as something else.
    arrays = {
        name: np.ascontiguousarray(array).reshape(array.shape) for name, array in checkpoint.state.items()
    }
    data = save(arrays, {KEY: json.dumps(header, sort_keys=True)})
    with atomic_write(path) as stream:
        stream.write(data)


def read_checkpoint(path: Path, expected: AnyField | None = None) -> Checkpoint:
    """Read the file. Raises BadInput for one that is damaged, of another version, or not of `expected`."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise BadInput("no such file", path, hint="name a field or a checkpoint of nerfrecon")
    try:
        with safe_open(str(path), framework="numpy") as opened:
            metadata = opened.metadata() or {}
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:80]
        raise BadInput(f"is no checkpoint, or a damaged one ({reason})", path, "write it again") from None
    if KEY not in metadata:
        raise BadInput("is not of nerfrecon: its header says nothing of a field", path)
    try:
        header = json.loads(metadata[KEY])
        if header["version"] != VERSION:
            raise BadInput(f"is of version {header['version']}, this is {VERSION}", path)
        options: Any = TypeAdapter(FieldOptions).validate_python(header["field"])
        sampling = SamplingOptions.model_validate(header["sampling"])
        T_unit_world = np.array(header["T_unit_world"], np.float64).reshape(4, 4)
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:80]
        raise BadInput(f"has a header that cannot be read ({reason})", path) from None
    if expected is not None:
        refuse_other_field(options, expected, path)
    return Checkpoint(options, sampling, state, T_unit_world, header["notes"])


def refuse_other_field(
    found: AnyField,
    expected: AnyField,
    path: Path,
) -> None:
    """BadInput naming the first setting in which the parameters' shapes or meaning would differ."""
    if found.type != expected.type:
        raise BadInput(
            f"holds a field of type {found.type}, not {expected.type}",
            path,
            hint=f"set field.type={found.type}",
        )
    theirs, ours = (_shape_settings(one) for one in (found, expected))
    for key, value in theirs.items():
        if ours[key] != value:
            raise BadInput(
                f"holds a field with {key}={value}, not {ours[key]}", path, hint=f"set field.{key}={value}"
            )


def _shape_settings(options: AnyField) -> dict[str, Any]:
    if isinstance(options, BigMlpFieldOptions):
        return options.model_dump(exclude={"type"})
    return {f"grid.{key}": value for key, value in options.grid.model_dump().items()}
