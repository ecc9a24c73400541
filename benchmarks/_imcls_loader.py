"""How many training images a CPU-second prepares, beside timm's loader in the same run."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imcls.data.batches import TrainBatches
from imcls.data.cache import open_cache
from imcls.data.fit import short_side_px
from imcls.data.normalise import normalise
from imcls.data.options import FolderSource, InputOptions
from imcls.data.sources import read_table
from imcls.data.table import ImageTable
from imcls.data.transform_options import AugmentOptions, Flip, RandomResizedCrop

ROUNDS = 3
PX = 224
BATCH = 32
CROP = RandomResizedCrop()
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def measure(folder: Path) -> dict[str, float]:
    """Images of the class folders in ``folder`` per CPU-second, at 224 px: a random part, a flip, normalised
    float32 batches of 32; one process, one thread, children counted.

    `timm` is ``timm.data.create_loader`` with its training transform reduced to the same, the faster of its
    two ways (with and without its prefetcher). `cold` decodes into a new cache and gives one epoch; `warm`
    gives further epochs. All take turns; medians over the rounds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(folder)
    finally:
        torch.set_num_threads(threads)


def _measure(folder: Path) -> dict[str, float]:
    table = read_table(FolderSource(root=folder))
    rates: dict[str, list[float]] = {"cold": [], "warm": [], "timm": []}
    timm_loaders = [_timm_loader(folder, prefetcher) for prefetcher in (True, False)]
    for round_ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as cache:
            started = _cpu_s()
            batches = _our_batches(table, Path(cache))
            count = _spend(_ours(batches, 0))
            rates["cold"].append(count / (_cpu_s() - started))
            rates["timm"].append(max(_rate(_theirs(loader)) for loader in timm_loaders))
            rates["warm"].append(_rate(_ours(batches, 1 + round_)))
    result = {f"{name}_images_per_cpu_s": statistics.median(values) for name, values in rates.items()}
    for name in ("cold", "warm"):
        pairs = zip(rates[name], rates["timm"], strict=True)
        result[f"{name}_ratio_vs_timm"] = statistics.median(ours / theirs for ours, theirs in pairs)
    return result


def _our_batches(table: ImageTable, folder: Path) -> TrainBatches:
    options = InputOptions(image_px=PX, batch_size=BATCH, augment=AugmentOptions(transforms=(CROP, Flip())))
    cache = open_cache(table, folder, short_side_px(options))
    return TrainBatches(cache, table, np.arange(len(table)), options, seed=0, epochs=ROUNDS + 1)


def _ours(batches: TrainBatches, epoch: int) -> Iterator[torch.Tensor]:
    for batch in batches.epoch(epoch):
        yield normalise(batch.images, MEAN, STD)


def _timm_loader(folder: Path, prefetcher: bool) -> Any:
    import timm.data

    library: Any = timm.data  # its annotations are narrower than what it takes
    return library.create_loader(
        library.create_dataset("", root=str(folder)),
        input_size=(3, PX, PX),
        batch_size=BATCH,
        is_training=True,
        scale=CROP.scale,
        ratio=CROP.ratio,
        hflip=0.5,
        color_jitter=None,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=0,
        persistent_workers=False,
        use_prefetcher=prefetcher,
        device=torch.device("cpu"),
    )


def _theirs(loader: Any) -> Iterator[torch.Tensor]:
    for images, _ in loader:
        yield images


def _rate(batches: Iterator[torch.Tensor]) -> float:
    started = _cpu_s()
    return _spend(batches) / (_cpu_s() - started)


def _spend(batches: Iterator[torch.Tensor]) -> int:
    count = 0
    for images in batches:
        if images.dtype != torch.float32 or images.shape[1:] != (3, PX, PX):
            raise ValueError(f"not what is compared: {images.dtype} {tuple(images.shape)}")
        count += len(images)
    return count


def _cpu_s() -> float:
    """CPU time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
