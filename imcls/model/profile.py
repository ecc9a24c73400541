"""How large and how fast a classifier is on this machine, as figures of a report."""

from __future__ import annotations

import time
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from suite.report.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

WARM_UP, FEWEST = 3, 10


def profile(
    model: nn.Module,
    image_px: int,
    *,
    weights: Path | None = None,
    batch_size: int = 16,
    threads: int | None = None,
    seconds: float | int = 2.0,
) -> list[Metric]:
    """Parameters, file, multiply-adds, latency and memory of ``model`` on images of ``image_px`` squared.

    The model is timed where it is and as it is (device, precision), in eval mode, on random images that are
    normalised already; its mode and this process's ``threads`` are put back. ``seconds`` is the time for each
    of the two latencies; at least FEWEST passes are timed after WARM_UP.
    """
    parameter = next(model.parameters(), torch.zeros(0))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, 3, image_px, image_px, generator=generator)
    images = images.to(parameter.device, parameter.dtype)
    with _evaluating(model, threads):
        used = torch.get_num_threads()
        macs = multiply_adds(model, images[:1])
        memory = peak_tensor_bytes(model, images[:1])
        with torch.inference_mode():
            single = pass_times_s(model, images[:1], seconds)
            batch = pass_times_s(model, images, seconds)
    where = "GPU" if parameter.is_cuda else f"{used} thread{'s' if used > 1 else ''}"
    median, p95 = (1000 * float(np.quantile(single, q)) for q in (0.5, 0.95))
    each = 1000 * np.quantile(batch, [0.5, 0.95]) / batch_size
    parameters = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    share = "all trainable" if trained == parameters else f"{trained / 1e6:.3g} M of them trainable"
    one = f"{where}, {len(single)} passes"
    many = f"in batches of {batch_size}, {where}, {len(batch)} passes"
    figures = [
        Metric("parameters_m", parameters / 1e6, "M", note=share),
        Metric("multiply_adds_g", macs / 1e9, "GMAC", note=f"one image of {image_px} px"),
        Metric("latency_ms", median, "ms", note=f"one image, median; {one}"),
        Metric("latency_p95_ms", p95, "ms", note=f"one image, 95th percentile; {one}"),
        Metric("latency_batch_ms", each[0], "ms", note=f"an image {many}, median"),
        Metric("latency_batch_p95_ms", each[1], "ms", note=f"an image {many}, 95th percentile"),
        Metric("images_per_s", 1000 / each[0], "1/s", "higher", note=many),
        Metric("tensors_mb", memory / 1e6, "MB", note="largest sum of tensors alive for one image"),
    ]
    if weights is not None:
        figures.insert(1, Metric("file_mb", weights.stat().st_size / 1e6, "MB", note=weights.name))
    return figures


def multiply_adds(model: nn.Module, images: torch.Tensor) -> int:
    """Multiply-adds of one pass in matrix products and convolutions, attention's among them."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # As plain products: the counter does not know the CPU's fused attention.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(images)
    return counter.get_total_flops() // 2


def peak_tensor_bytes(model: nn.Module, images: torch.Tensor) -> int:
    """Largest number of bytes in tensors that one pass makes and has alive at once.

    Without weights, images and what kernels use inside themselves.
    """
    with _LiveBytes() as live, torch.no_grad():
        model(images)
    return live.peak


def pass_times_s(model: nn.Module, images: torch.Tensor, seconds: float | int) -> np.ndarray:
    """Wall-clock seconds of single passes, as many as fit into ``seconds`` but at least FEWEST."""
    for _ in range(WARM_UP):
        model(images)
    taken: list[float] = []
    _wait(images)
    while len(taken) < FEWEST or sum(taken) < seconds:
        start = time.perf_counter()
        model(images)
        _wait(images)
        taken.append(time.perf_counter() - start)
    return np.array(taken)


class _LiveBytes(TorchDispatchMode):
    """Adds up the storages that operations make while they live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if not isinstance(leaf, torch.Tensor):
                continue
            storage = leaf.untyped_storage()
            if id(storage) in given or storage in self._seen:
                continue  # a view, or written in place
            self._seen.add(storage)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, storage.nbytes())
        return result

    def _gone(self, size: int) -> None:
        self.now -= size


@contextmanager
def _evaluating(model: nn.Module, threads: int | None) -> Iterator[None]:
    was_training, had_threads = model.training, torch.get_num_threads()
    model.eval()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(had_threads)
        model.train(was_training)


def _wait(images: torch.Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
