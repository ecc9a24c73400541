"""One process, or several that torchrun started: the Fabric they share and what they agree on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from lightning_fabric import Fabric

from suite.errors import BackendUnavailable

PLUGIN = {"fp32": "32-true", "bf16": "bf16-mixed"}


def start_fabric(accelerator: Literal["auto", "cpu", "gpu"], dtype: Literal["fp32", "bf16"]) -> Fabric:
    """Fabric on one device, or under torchrun on one for each process (DDP), ready for use.

    Raises BackendUnavailable when a GPU is asked for and there is none.
    """
    gpu = torch.cuda.is_available()
    if accelerator == "gpu" and not gpu and not torch.backends.mps.is_available():
        raise BackendUnavailable("a GPU", "PyTorch finds none here", hint="use accelerator: auto or cpu")
    if accelerator == "auto":
        accelerator = "gpu" if gpu else "cpu"
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // local
        where = {"devices": local, "num_nodes": nodes, "strategy": "ddp"}
    else:
        where = {"devices": 1}
    fabric = Fabric(accelerator=accelerator, precision=PLUGIN[dtype], **where)  # pyright: ignore
    fabric.launch()
    return fabric


def rank_and_world() -> tuple[int, int]:
    """Number of this process and of all, known before :func:`start_fabric`; (0, 1) without torchrun."""
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return 0, 1


def without_sync(fabric: Fabric, model: Any, quiet: bool) -> AbstractContextManager[Any]:
    """While ``quiet``, the ranks add up gradients each for itself."""
    if fabric.world_size == 1 or not quiet:
        return nullcontext()
    return fabric.no_backward_sync(model)


def mean_of_ranks(fabric: Fabric, figures: Mapping[str, float]) -> dict[str, float]:
    """Each figure's mean over the ranks, which must have the same names in the same order."""
    if fabric.world_size == 1 or not figures:
        return dict(figures)
    values = torch.tensor(list(figures.values()), dtype=torch.float64, device=fabric.device)
    means = fabric.all_reduce(values, reduce_op="mean")
    return dict(zip(figures, means.tolist(), strict=True))  # pyright: ignore


def largest_of_ranks(fabric: Fabric, number: int) -> int:
    """The largest ``number`` that any rank has."""
    if fabric.world_size == 1:
        return number
    return int(fabric.all_reduce(torch.tensor(number, device=fabric.device), reduce_op="max"))  # pyright: ignore


def gather(fabric: Fabric, value: Any) -> list[Any]:
    """What each rank has, in the order of ranks."""
    if fabric.world_size == 1:
        return [value]
    values: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values
