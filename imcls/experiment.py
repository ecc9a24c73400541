"""What all members of an experiment share: images and labels, who is in which fold, decoded pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imcls.config import ImclsConfig
from imcls.data.cache import ImageCache, open_cache
from imcls.data.fit import short_side_px
from imcls.data.manifest import SplitManifest
from imcls.data.options import DataOptions, Source
from imcls.data.sources import read_table
from imcls.data.split import split
from imcls.data.table import ImageTable
from suite.errors import BadInput
from suite.progress import status

CACHE = Path(".imcls-cache")
"""Where decoded images go, below the working folder, so that runs share them."""


@dataclass(frozen=True)
class Experiment:
    """The images that can be read and have a label, by fold.

    ``folds`` (n,) int64 are of the table's rows. ``short_px`` is the shorter side at which ``cache`` holds
    them.
    """

    config: ImclsConfig
    table: ImageTable
    manifest: SplitManifest
    folds: np.ndarray
    cache: ImageCache
    short_px: int

    @property
    def members(self) -> tuple[int, ...]:
        """The folds that are held out in turn, each of which makes a member."""
        split_options = self.config.data.split
        return tuple(range(self.manifest.k)) if isinstance(split_options.use, str) else split_options.use

    def learned_from(self, fold: int) -> np.ndarray:
        """Rows that the member of ``fold`` learns from."""
        return self._usable[self.folds[self._usable] != fold]

    def held_out(self, fold: int) -> np.ndarray:
        """Rows that it is judged on."""
        return self._usable[self.folds[self._usable] == fold]

    @property
    def _usable(self) -> np.ndarray:
        kept = self.cache.kept
        return kept if self.table.multi_label else kept[self.table.labels[kept] >= 0]


def prepare(config: ImclsConfig, manifest: SplitManifest | None = None) -> Experiment:
    """Read the table, divide it (or take ``manifest``, or that of the settings), decode what is not decoded.

    Raises BadInput for data that cannot be used, a split of other images, and a fold that does not exist.
    """
    data = config.data
    table = read_table(data.source, data.classes)
    if manifest is None and data.split.manifest is not None:
        manifest = SplitManifest.read(data.split.manifest)
    if manifest is None:
        with status("Dividing the images"):
            manifest = split(table, data.split, cache_folder(data))
    folds = manifest.check(table, data.split.manifest)
    short_px = short_side_px(config.input, max(config.evaluation.tta.scales))
    cache = open_cache(table, cache_folder(data), short_px, data.unreadable)
    experiment = Experiment(config, table, manifest, folds, cache, short_px)
    for fold in experiment.members:
        if fold >= manifest.k:
            raise BadInput(
                f"there is no fold {fold}", where="data.split.use", hint=f"folds are 0 to {manifest.k - 1}"
            )
        if not len(experiment.held_out(fold)) or not len(experiment.learned_from(fold)):
            raise BadInput(f"fold {fold} leaves nothing to learn from or to judge", where="data.split")
    return experiment


def other_images(
    config: ImclsConfig, source: Source, classes: tuple[str, ...]
) -> tuple[ImageTable, ImageCache]:
    """Images that are no part of the folds, such as a test set, with the experiment's classes."""
    table = read_table(source, classes, complete=False)
    short_px = short_side_px(config.input, max(config.evaluation.tta.scales))
    return table, open_cache(table, cache_folder(config.data), short_px, config.data.unreadable)


def cache_folder(data: DataOptions) -> Path:
    """Where decoded images of an experiment lie."""
    return data.cache or Path(os.environ.get("IMCLS_CACHE", CACHE))
