"""From images to a split: who belongs together, into which fold, written down with digests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imcls.data.folds import make_folds, together
from imcls.data.manifest import SplitManifest, label_names
from imcls.data.options import SplitOptions
from imcls.data.prints import table_prints
from imcls.data.table import ImageTable
from suite.data.duplicates import Pair, duplicate_groups, find_pairs
from suite.data.fingerprints import Fingerprints


def split(
    table: ImageTable,
    options: SplitOptions,
    cache: Path | None = None,
    prints: Fingerprints | None = None,
    pairs: tuple[Pair, ...] | None = None,
) -> SplitManifest:
    """Leak-free folds of the table by ``options``. ``prints`` and ``pairs`` are found where not given.

    Copies with the same pixels always share a fold; look-alikes, mirrored ones too, where the options say so.
    """
    prints = table_prints(table, cache) if prints is None else prints
    pairs = find_pairs(prints, near=options.near_duplicates) if pairs is None else pairs
    kept = tuple(pair for pair in pairs if options.near_duplicates or pair.kind != "near")
    duplicates = duplicate_groups(kept, len(table))
    lists = [group.members for group in duplicates]
    folds = make_folds(table, options.folds, options.seed, lists)
    units = together(table, lists)
    groups, kinds = np.zeros(len(table), np.int64), [""] * len(table)
    for number, unit in enumerate(units):
        groups[list(unit)] = number
        if len(unit) > 1:
            for row in unit:
                kinds[row] = "given"
    for group in duplicates:
        for row in group.members:
            kinds[row] = group.kind
    order = sorted(range(len(table)), key=table.names.__getitem__)
    labels = label_names(table)
    return SplitManifest(
        names=tuple(table.names[i] for i in order),
        labels=tuple(labels[i] for i in order),
        sha256=tuple(prints.sha256[i] for i in order),
        folds=folds[order],
        groups=groups[order],
        kinds=tuple(kinds[i] for i in order),
        classes=table.classes,
        multi_label=table.multi_label,
        k=options.folds,
        seed=options.seed,
    )
