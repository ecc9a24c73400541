"""Folds without leaks, with the classes spread evenly: iterative stratification with groups as its units.

Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data", ECML 2011: take the label with
the fewest images left, and give each of its images to the fold that has fewest of that label, then fewest
images. With one label an image and no groups this is exact: the folds' counts of every class, and their
sizes, differ by at most one. Groups go whole, the largest first; moving and swapping then mends what greed
left uneven.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imcls.data.table import UNKNOWN, ImageTable
from suite.data.duplicates import join
from suite.errors import BadInput

_MOST_STEPS = 2000
_MOST_UNITS = 400  # of a fold that are tried in one round of swaps


def make_folds(
    table: ImageTable, k: int, seed: int, keep_together: Sequence[Sequence[int]] = ()
) -> np.ndarray:
    """The fold of each image, (n,) int64 from 0 to k - 1, the same for any order of the table's rows.

    Images of one of the table's groups, of one file, or of one list in ``keep_together`` (rows) share a fold.
    Raises BadInput where there are fewer such units than folds.
    """
    if k < 2:
        raise BadInput(f"cannot make {k} folds", hint="ask for two or more")
    units = together(table, keep_together)
    if len(units) < k:
        what = "images" if len(units) == len(table) else "groups of images that belong together"
        raise BadInput(f"{len(units)} {what} cannot fill {k} folds", hint="ask for fewer folds")
    labels = _indicators(table)
    counts = np.stack([labels[list(unit)].sum(axis=0) for unit in units])
    sizes = np.array([len(unit) for unit in units], np.int64)
    rng = np.random.default_rng(seed)
    fold_of_unit = _stratify(counts, sizes, k, rng)
    if table.multi_label or sizes.max() > 1:
        _mend(fold_of_unit, np.column_stack([counts, sizes]), k, rng)
    folds = np.zeros(len(table), np.int64)
    for unit, fold in zip(units, fold_of_unit, strict=True):
        folds[list(unit)] = fold
    return folds


def together(table: ImageTable, keep_together: Sequence[Sequence[int]] = ()) -> tuple[tuple[int, ...], ...]:
    """Rows that must share a fold, as units in the order of their first names; most hold one row."""
    lists: dict[tuple[str, str], list[int]] = {}
    for row in range(len(table)):
        lists.setdefault(("file", str(table.paths[row])), []).append(row)
        if table.groups is not None and table.groups[row]:
            lists.setdefault(("group", table.groups[row]), []).append(row)
    units = join(len(table), [*lists.values(), *keep_together])
    ordered = (tuple(sorted(unit, key=table.names.__getitem__)) for unit in units)
    return tuple(sorted(ordered, key=lambda unit: table.names[unit[0]]))


def fold_notes(table: ImageTable, folds: np.ndarray) -> tuple[str, ...]:
    """What a person should know of these folds, a line each: classes that some folds lack."""
    k = int(folds.max()) + 1 if len(folds) else 0
    labels = _indicators(table)[:, : len(table.classes)]
    counts = np.stack([labels[folds == fold].sum(axis=0) for fold in range(k)]) if k else np.zeros((0, 0))
    notes: list[str] = []
    for number, name in enumerate(table.classes):
        total, held = int(counts[:, number].sum()), int((counts[:, number] > 0).sum())
        if total == 0:
            notes.append(f"class {name!r} has no images")
        elif held == 1:
            notes.append(
                f"all {total} images of class {name!r} are in one fold: its member never learns them"
            )
        elif held < k:
            notes.append(f"the {total} images of class {name!r} are in {held} of {k} folds only")
    return tuple(notes)


def _indicators(table: ImageTable) -> np.ndarray:
    """(n, k + 1) int64: an image's labels; the last column marks images without any."""
    n, k = len(table), len(table.classes)
    marks = np.zeros((n, k + 1), np.int64)
    if table.multi_label:
        marks[:, :k] = table.labels
        marks[:, k] = ~table.labels.any(axis=1)
    else:
        marks[np.arange(n), np.where(table.labels == UNKNOWN, k, table.labels)] = 1
    return marks


def _stratify(counts: np.ndarray, sizes: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each unit, whose images hold ``counts`` (units, labels) of each label."""
    shuffled = rng.permutation(len(sizes))
    queue = shuffled[np.argsort(-sizes[shuffled], kind="stable")]  # the largest first, else by chance
    folds = np.full(len(sizes), -1, np.int64)
    held = np.zeros((k, counts.shape[1]), np.int64)
    held_images = np.zeros(k, np.int64)
    while (waiting := folds < 0).any():
        left = counts[waiting].sum(axis=0)
        label = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        for unit in queue[waiting[queue] & (counts[queue, label] > 0)]:
            fold = int(np.lexsort((rng.permutation(k), held_images, held[:, label]))[0])
            folds[unit] = fold
            held[fold] += counts[unit]
            held_images[fold] += sizes[unit]
    return folds


def _mend(folds: np.ndarray, columns: np.ndarray, k: int, rng: np.random.Generator) -> None:
    """Move and swap units while that lessens the sum over folds and columns of (count - mean)^2 / total."""
    totals = columns.sum(axis=0)
    scaled = columns[:, totals > 0] / np.sqrt(totals[totals > 0])
    held = np.stack([scaled[folds == fold].sum(axis=0) for fold in range(k)])
    own = (scaled**2).sum(axis=1)
    for _ in range(_MOST_STEPS):
        # Moving unit u from f to g changes the sum by 2 u.(held_g - held_f) + 2 u.u.
        pull = scaled @ held.T
        gain = 2 * (pull - pull[np.arange(len(folds)), folds][:, None] + own[:, None])
        gain[np.arange(len(folds)), folds] = 0.0
        unit, fold = divmod(int(np.argmin(gain)), k)
        if gain[unit, fold] < -1e-9:
            _move(folds, held, scaled, unit, fold)
        elif not _swap(folds, held, scaled, gain, k, rng):
            return


def _swap(
    folds: np.ndarray,
    held: np.ndarray,
    scaled: np.ndarray,
    gain: np.ndarray,
    k: int,
    rng: np.random.Generator,
) -> bool:
    """Exchange the best pair of units of two folds, if that helps."""
    parts = [np.flatnonzero(folds == fold) for fold in range(k)]
    parts = [np.sort(rng.permutation(part)[:_MOST_UNITS]) for part in parts]
    best, chosen = -1e-9, None
    for f in range(k):
        for g in range(f + 1, k):
            one, other = parts[f], parts[g]
            if not (len(one) and len(other)):
                continue
            change = gain[one, g][:, None] + gain[other, f] - 4 * scaled[one] @ scaled[other].T
            place = int(np.argmin(change))
            if change.flat[place] < best:
                best = float(change.flat[place])
                chosen = (int(one[place // len(other)]), g, int(other[place % len(other)]), f)
    if chosen is None:
        return False
    _move(folds, held, scaled, chosen[0], chosen[1])
    _move(folds, held, scaled, chosen[2], chosen[3])
    return True


def _move(folds: np.ndarray, held: np.ndarray, scaled: np.ndarray, unit: int, fold: int) -> None:
    held[folds[unit]] -= scaled[unit]
    held[fold] += scaled[unit]
    folds[unit] = fold
