"""A training in one file: written whole or not at all, read as data, refused where it is not at home."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from suite.errors import BadInput
from suite.files import atomic_write

NAME = "checkpoint.pt"
VERSION = 1
KEYS = {
    "version", "identity", "world", "precision", "position", "model", "ema", "optimizer", "learning_rate",
    "means", "random",
}  # fmt: skip


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state``, which has KEYS without "version", atomically. OSError where the disk refuses."""
    packed = io.BytesIO()  # torch's own writer would hide what the disk said in an error of its own
    torch.save({"version": VERSION, **state}, packed)
    with atomic_write(path) as stream:
        stream.write(packed.getbuffer())


def read_checkpoint(path: Path, identity: str, world: int) -> dict[str, Any] | None:
    """What :func:`write_checkpoint` wrote, on the CPU; None where there is no file.

    Raises BadInput for a damaged file, one of another version or identity, or another number of processes.
    """
    if not path.is_file():
        return None
    again = "remove it to start afresh, or resume what it belongs to"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, pickle.UnpicklingError) as error:
        text = " ".join(str(error).split())[:80]
        raise BadInput(f"the checkpoint is damaged ({text})", path, "remove it to start afresh") from error
    if not isinstance(state, dict) or "version" not in state:
        raise BadInput("this is no checkpoint of a training", path, again)
    if state["version"] != VERSION or set(state) != KEYS:
        raise BadInput(f"checkpoint of version {state['version']}, this is {VERSION}", path, again)
    if state["identity"] != identity:
        raise BadInput("the checkpoint belongs to another model, data or settings", path, again)
    if state["world"] != world:
        hint = f"start {state['world']} to resume exactly"
        raise BadInput(f"checkpoint of {state['world']} process(es), these are {world}", path, hint)
    return state


def load_weights(module: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load ``state`` into ``module``. Raises BadInput when its names or shapes are another model's."""
    ours = {name: value.shape for name, value in module.state_dict().items() if hasattr(value, "shape")}
    theirs = {name: value.shape for name, value in state.items() if hasattr(value, "shape")}
    if ours != theirs:
        odd = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        shown = ", ".join(odd[:3]) + (f" and {len(odd) - 3} more" if len(odd) > 3 else "")
        raise BadInput(f"the checkpoint is of another model: {shown} differ", path)
    module.load_state_dict(state)


def load_average(module: nn.Module | None, state: Mapping[str, torch.Tensor] | None, path: Path) -> None:
    """Load the averaged weights, if there are any. Raises BadInput when only one side has them."""
    if (module is None) != (state is None):
        kept = "no average" if state is None else "an average"
        raise BadInput(
            f"the checkpoint has {kept} of the weights", path, "set ema as it was when it was written"
        )
    if module is not None and state is not None:
        load_weights(module, state, path)


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any], path: Path) -> None:
    """Load ``state`` into ``optimizer``. Raises BadInput when its groups are another optimizer's."""
    saved = [(group.get("names"), sorted(group)) for group in state["param_groups"]]
    if saved != [(group["names"], sorted(group)) for group in optimizer.param_groups]:
        raise BadInput("the checkpoint is of another optimizer or other groups of parameters", path)
    optimizer.load_state_dict(state)
