"""Weights from elsewhere into a backbone: every tensor finds its place, or one line says why not."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from imcls.model.backbones import Backbone
from suite.errors import BadInput

State = dict[str, Tensor]
Adapt = Callable[[State, nn.Module], Any]

WRAPPERS = ("module.", "_orig_mod.", "model.", "backbone.", "net.", "encoder.", "student.", "teacher.")
NESTS = ("state_dict", "model", "model_state", "state_dict_ema", "model_ema", "net", "ema")
CLASSIFIERS = (
    "fc.", "classifier.", "classifiers.", "head.", "heads.", "head_dist.", "last_linear.", "neck.",
    "aux.", "aux1.", "aux2.", "AuxLogits.",
)  # fmt: skip


def load_starting_weights(backbone: Backbone, path: Path, adapt: Adapt | None = None) -> None:
    """Fill `backbone.net` from a file. `adapt(state, net)` may rename or resize when the names do not fit as
    they are. Raises BadInput in one line."""
    fit_state(backbone, read_state(path), str(path), adapt)


def read_state(path: Path) -> State:
    """Tensors by name from a .safetensors file, or from what torch.save wrote (nests and wrappers undone).

    Nothing but tensors is ever unpickled. Raises BadInput when the file is missing or holds something else.
    """
    if not path.is_file():
        raise BadInput("there is no such file of weights", where=path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise BadInput(f"is no safetensors file ({error})", where=path) from error
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise BadInput(
            "cannot be read as a file of tensors",
            where=path,
            hint="save the state_dict alone, with torch.save",
        ) from error
    while isinstance(held, Mapping) and not any(isinstance(value, Tensor) for value in held.values()):
        nest = next((name for name in NESTS if isinstance(held.get(name), Mapping)), None)
        if nest is None:
            break
        held = held[nest]
    state = {str(k): v for k, v in held.items() if isinstance(v, Tensor)} if isinstance(held, Mapping) else {}
    if not state:
        raise BadInput("holds no tensors by name", where=path, hint="save the state_dict with torch.save")
    return state


def fit_state(backbone: Backbone, state: State, where: str, adapt: Adapt | None = None) -> None:
    """Copy `state` into `backbone.net`, converted to its types; classifiers in it are left out.

    Raises BadInput when a tensor of the network is not filled (except `backbone.fresh`) or has another shape,
    or when tensors that are no classifier's find no place: half a network is never what was meant.
    """
    here = backbone.net.state_dict()
    optional = {
        name
        for name in here
        if name.endswith("num_batches_tracked") or f"net.{name}".startswith(backbone.fresh or ("\0",))
    }
    wanted = {name: tensor for name, tensor in here.items() if name not in optional}
    state = _unwrapped(state, wanted)
    if adapt is not None and _fitting(state, wanted) < len(wanted):
        # It is made for its own files only: what does not fit is told below.
        with suppress(KeyError, RuntimeError, ValueError, IndexError, AttributeError, AssertionError):
            state = {k: v for k, v in dict(adapt(state, backbone.net)).items() if isinstance(v, Tensor)}
    extra = {name: state.pop(name) for name in optional & state.keys()}
    _refuse_misfits(state, wanted, where)
    filled = {name: state[name] for name in wanted}
    filled |= {name: tensor for name, tensor in extra.items() if tensor.shape == here[name].shape}
    backbone.net.load_state_dict(filled, strict=False)


def _refuse_misfits(state: State, wanted: State, where: str) -> None:
    fits = _fitting(state, wanted)
    other = [k for k in state if k in wanted and state[k].shape != wanted[k].shape]
    missing = [k for k in wanted if k not in state]
    left = [
        k
        for k in state
        if k not in wanted and not k.startswith(CLASSIFIERS) and not k.endswith("num_batches_tracked")
    ]
    if not (other or missing or left):
        return
    if fits < len(wanted) / 2 or len(left) > len(wanted) / 10:
        raise BadInput(
            f"is for another architecture: {fits} of the {len(wanted)} tensors of this backbone fit"
            + (f", {len(left)} of the file have no place" if left else ""),
            where=where,
            hint="see model.backbone",
        )
    faults = [f"{k} is {_shape(state[k])} in the file, {_shape(wanted[k])} here" for k in other]
    faults += [f"{k} is missing" for k in missing] + [f"{k} has no place" for k in left]
    more = f" and {len(faults) - 4} more" if len(faults) > 4 else ""
    raise BadInput(
        f"fits {fits} of the {len(wanted)} tensors of this backbone; {', '.join(faults[:4])}{more}",
        where=where,
        hint="see model.backbone",
    )


def _unwrapped(state: State, wanted: State) -> State:
    """Wrappers such as `module.` taken off as long as more names fit without them."""
    while True:
        tried = [
            {key.removeprefix(wrapper): value for key, value in state.items()}
            for wrapper in WRAPPERS
            if any(key.startswith(wrapper) for key in state)
        ]
        named = sum(key in wanted for key in state)
        better = [t for t in tried if sum(key in wanted for key in t) > named]
        if not better and named == 0:  # two wrappers, of which neither helps alone
            better = [t for t in tried if t.keys() != state.keys()]
        if not better:
            return state
        state = max(better, key=lambda t: sum(key in wanted for key in t))


def _fitting(state: State, wanted: State) -> int:
    return sum(k in state and state[k].shape == wanted[k].shape for k in wanted)


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "a number"
