"""Features of a frozen model, computed once for every image and view and kept on disk by their content.

The file of a view holds (n, d) numbers and is named by a hash of everything they depend on: the model's
weights and options, the images, size, fit and view. While it is being written its rows are NaN until they are
known, so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from imcls.config import ImclsConfig
from imcls.data.cache import ImageCache
from imcls.data.evaluation_batches import eval_batches
from imcls.data.options import InputOptions
from imcls.data.table import ImageTable
from imcls.frozen.fused import fused
from imcls.frozen.options import ProbeOptions
from imcls.model.classifier import Classifier
from suite.errors import SuiteError
from suite.progress import track

_VERSION = 1
_CPU_BATCH = 4
"""Images at a time on a CPU: what one image leaves behind in each layer then stays in its caches. MobileNetV2
at 224 px is twice as fast as with 16 or more."""


@dataclass(frozen=True)
class View:
    """How each image is looked at: at a factor of its size, and mirrored or not."""

    mirrored: bool = False
    scale: float | int = 1.0


def views_of(options: ProbeOptions) -> tuple[View, ...]:
    """The views that ``options`` ask for, the plain one first where it is among them."""
    sides = (False, True) if options.mirrored else (False,)
    return tuple(View(mirrored, scale) for scale in options.scales for mirrored in sides)


def features(
    model: Classifier,
    cache: ImageCache,
    table: ImageTable,
    config: ImclsConfig,
    folder: Path | None,
    views: Sequence[View] | None = None,
) -> list[np.ndarray]:
    """For each view (n, d) float16 or float32: ``model.features`` of every image of ``table``, NaN for images
    that the cache left out.

    Read from ``folder`` where they are there, else computed, and kept there (None: in memory only). Raises
    SuiteError when a feature is not finite.
    """
    wanted = views_of(config.probe) if views is None else views
    base = {
        "version": _VERSION,
        "weights": _weights_key(model),
        "backbone": config.model.backbone.model_dump(mode="json", exclude={"weights"}),
        "pooling": config.model.neck.pooling.model_dump(mode="json"),
        "colour": [list(model.mean), list(model.std)],
        "images": _images_key(cache, table),
        "input": [config.input.image_px, config.input.fit, config.input.crop_share],
        "type": config.probe.features,
    }
    return [_one_view(model, cache, table, config, folder, view, base) for view in wanted]


def _one_view(
    model: Classifier,
    cache: ImageCache,
    table: ImageTable,
    config: ImclsConfig,
    folder: Path | None,
    view: View,
    base: dict[str, object],
) -> np.ndarray:
    kind = np.dtype(config.probe.features)
    if folder is None:
        rows = np.full((len(table), model.embedding_dim), np.nan, kind)
        _fill(rows, model, cache, config.input, view, lambda: None)
        return rows
    described = base | {"view": [view.mirrored, float(view.scale)]}
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]
    path = folder / f"features-{key}.npy"
    if not path.is_file():
        part = path.with_suffix(".npy.part")
        rows = _open_part(part, (len(table), model.embedding_dim), kind)
        _fill(rows, model, cache, config.input, view, rows.flush)
        rows.flush()
        del rows
        if part.is_file():  # another run may have finished the same file meanwhile
            part.replace(path)
    return np.load(path, mmap_mode="r")


def _open_part(part: Path, shape: tuple[int, int], kind: np.dtype) -> np.memmap:
    """The unfinished file, or a new one full of NaN."""
    if part.is_file():
        try:
            found = np.load(part, mmap_mode="r+")
            if isinstance(found, np.memmap) and found.shape == shape and found.dtype == kind:
                return found
        except (ValueError, EOFError, OSError):
            pass  # killed while it was being made: made again
    part.parent.mkdir(parents=True, exist_ok=True)
    fresh = part.with_suffix(f".{os.getpid()}")
    blank = np.lib.format.open_memmap(fresh, mode="w+", dtype=kind, shape=shape)
    blank[:] = np.nan
    blank.flush()
    fresh.replace(part)
    return blank


def _fill(
    rows: np.ndarray,
    model: Classifier,
    cache: ImageCache,
    options: InputOptions,
    view: View,
    keep: Callable[[], None],
) -> None:
    """Compute the rows that are NaN, in place; ``keep`` is called now and then."""
    missing = cache.kept[np.isnan(rows[cache.kept]).any(axis=1)]
    if not len(missing):
        return
    image_px = max(8, round(options.image_px * view.scale))
    device = next(model.parameters()).device
    batch = _CPU_BATCH if device.type == "cpu" else options.batch_size
    mean = torch.tensor(model.mean, device=device).view(1, 3, 1, 1) * 255.0
    std = torch.tensor(model.std, device=device).view(1, 3, 1, 1) * 255.0

    def normalised(images: Tensor) -> Tensor:
        chosen = images.flip(-1) if view.mirrored else images
        x = (chosen.to(device).float() - mean) / std
        return x.contiguous(memory_format=torch.channels_last)

    network: nn.Module | None = None
    batches = eval_batches(cache, missing, options, image_px, batch)
    side = ", mirrored" if view.mirrored else ""
    with torch.inference_mode():
        for images, indices in track(
            batches, f"Features at {image_px} px{side}", total=-(-len(missing) // batch)
        ):
            x = normalised(images)
            if network is None:
                frozen = _FeaturesOnly(model).eval()
                network = fused(frozen, x[:1])
            values = network(x).float().cpu().numpy().astype(rows.dtype)
            if not np.isfinite(values).all():
                raise SuiteError(
                    f"features of images {indices.min()} to {indices.max()} are not finite: the weights are "
                    "broken, or too large for float16 (set probe.features=float32)"
                )
            rows[indices] = values
            if int(indices[0]) % 512 < batch:
                keep()


class _FeaturesOnly(nn.Module):
    """A classifier whose answer is its features."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.features(images)


def _weights_key(model: Classifier) -> str:
    """A hash of every number of backbone and neck."""
    digest = hashlib.sha256()
    for part in (model.backbone, model.neck):
        for name, value in sorted(part.state_dict().items()):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _images_key(cache: ImageCache, table: ImageTable) -> str:
    """What the pixels are known by: the name of their folder, else a hash of all of them."""
    digest = hashlib.sha256(json.dumps(list(table.names)).encode())
    if cache.folder is not None:
        digest.update(cache.folder.name.encode())
    else:
        digest.update(cache.sizes.tobytes())
        digest.update(np.ascontiguousarray(cache.pixels).data)
    return digest.hexdigest()
