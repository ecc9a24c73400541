"""How a model computes fastest on this machine: number format and memory order, found by trying.

bf16 is worth a try only where the hardware has it. Elsewhere it is emulated, some ten times slower than fp32
on a CPU, so `auto` does not even time it there.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn

from suite import environment
from suite.engine import random_state
from suite.engine.batch import move
from suite.engine.options import EngineOptions

STEPS = 3
MARGIN = 0.98  # a later candidate must be faster by this to win, so that noise does not choose


@dataclass(frozen=True)
class Precision:
    """How a model computes."""

    dtype: Literal["fp32", "bf16"]
    channels_last: bool
    reason: str = ""
    """Why, in words for the log: asked for, or what the trial measured."""

    def __str__(self) -> str:
        return self.dtype + (" channels_last" if self.channels_last else "")


def candidates(model: nn.Module, options: EngineOptions, device: torch.device) -> list[Precision]:
    """The ways of computing that ``options`` leave open and that can pay on ``device``, plainest first."""
    shapes = {parameter.ndim for parameter in model.parameters()}
    images = 4 in shapes and 5 not in shapes  # else the order means nothing, or cannot be had
    orders = {"yes": [True], "no": [False], "auto": [False, True] if images else [False]}
    found = [Precision("fp32", last) for last in orders[options.channels_last]]
    if options.precision == "bf16":
        return [Precision("bf16", last) for last in orders[options.channels_last]]
    if options.precision == "auto" and native_bf16(device):
        found.append(Precision("bf16", orders[options.channels_last][-1]))
    return found


def probe(
    model: nn.Module,
    loss: Callable[[nn.Module, Any], Mapping[str, Tensor]],
    first_batch: Callable[[], Any],
    options: EngineOptions,
    device: torch.device,
) -> Precision:
    """The fastest of :func:`candidates`: three steps of each, wall time, best of three, taken in turn.

    Works on copies: weights, statistics and all random number generators stay as they are. With one candidate
    nothing is timed and ``first_batch`` is not called.
    """
    ways = candidates(model, options, device)
    if len(ways) == 1:
        return Precision(ways[0].dtype, ways[0].channels_last, "the only way that is open")
    with random_state.untouched():
        batch = move(first_batch(), device)
        copies = [_prepared(model, way, device) for way in ways]
        seconds = [[_time_step(trial, loss, batch, device) for trial in copies] for _ in range(STEPS)]
    best = [min(column) for column in zip(*seconds, strict=True)]
    chosen = 0
    for index in range(1, len(ways)):
        if best[index] < MARGIN * best[chosen]:
            chosen = index
    reason = ", ".join(f"{way} {1e3 * best[index]:.3g} ms" for index, way in enumerate(ways)) + " a step"
    if options.precision == "auto" and not native_bf16(device):
        reason += "; bf16 not tried: this device has to emulate it"
    return Precision(ways[chosen].dtype, ways[chosen].channels_last, reason)


def native_bf16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bf16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool({"avx512_bf16", "amx_bf16"} & set(environment.cpu()[1]))


def lay_out(model: nn.Module, precision: Precision) -> nn.Module:
    """``model`` with its weights in the memory order of ``precision``; inputs then follow the weights."""
    return model.to(memory_format=torch.channels_last if precision.channels_last else torch.contiguous_format)  # pyright: ignore


def _prepared(model: nn.Module, way: Precision, device: torch.device) -> nn.Module:
    trial = lay_out(copy.deepcopy(model).to(device), way)
    trial.train()
    if way.dtype == "bf16":
        plugin, forward = MixedPrecision("bf16-mixed", device.type), trial.forward  # as Fabric does it

        def in_bf16(*args: Any, **kwargs: Any) -> Any:
            with plugin.forward_context():
                return plugin.convert_output(forward(*args, **kwargs))

        trial.forward = in_bf16
    return trial


def _time_step(
    trial: nn.Module, loss: Callable[[nn.Module, Any], Mapping[str, Tensor]], batch: Any, device: torch.device
) -> float:
    _wait(device)
    started = time.perf_counter()
    loss(trial, batch)["loss"].backward()
    _wait(device)
    elapsed = time.perf_counter() - started
    trial.zero_grad(set_to_none=True)
    return elapsed


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
