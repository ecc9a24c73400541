"""Laws of folds: nobody straddles, classes are even, the order of the rows does not matter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imcls.data.folds import fold_notes, make_folds, together
from imcls.data.leaks import count_leaks
from imcls.data.table import ImageTable
from suite.errors import BadInput


def table_of(labels: np.ndarray, k: int, groups: tuple[str, ...] | None = None) -> ImageTable:
    names = tuple(f"{(i * 7919) % 100_003:06d}.png" for i in range(len(labels)))
    classes = tuple(f"class {c}" for c in range(k))
    return ImageTable(names, tuple(Path(name) for name in names), labels, classes, groups)


def spread(folds: np.ndarray, columns: np.ndarray, k: int) -> np.ndarray:
    """Largest less smallest count over folds, for each column."""
    counts = np.stack([columns[folds == fold].sum(axis=0) for fold in range(k)])
    return counts.max(axis=0) - counts.min(axis=0)


@settings(max_examples=50)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    unknown=st.integers(0, 10),
    k=st.integers(2, 10),
    seed=st.integers(0, 2**32 - 1),
)
def test_single_labels_without_groups_are_stratified_exactly(
    counts: list[int], unknown: int, k: int, seed: int
):
    labels = np.concatenate([np.repeat(np.arange(len(counts)), counts), np.full(unknown, -1)]).astype(
        np.int64
    )
    np.random.default_rng(seed).shuffle(labels)
    table = table_of(labels, len(counts))
    if len(labels) < k:
        with pytest.raises(BadInput, match="cannot fill"):
            make_folds(table, k, seed)
        return
    folds = make_folds(table, k, seed)
    marks = np.eye(len(counts) + 1, dtype=int)[labels]
    assert spread(folds, marks, k).max() <= 1
    assert np.ptp(np.bincount(folds, minlength=k)) <= 1


@settings(max_examples=40)
@given(data=st.data(), k=st.integers(2, 5), seed=st.integers(0, 1000), multi=st.booleans())
def test_groups_never_straddle_and_rows_may_be_shuffled(data: st.DataObject, k: int, seed: int, multi: bool):
    n = data.draw(st.integers(20, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    labels = (rng.random((n, 4)) < 0.3).astype(np.uint8) if multi else rng.integers(-1, 4, n)
    groups = tuple(f"g{g}" if g else "" for g in rng.integers(0, 12, n))
    table = table_of(labels, 4, groups)
    copies = [tuple(int(i) for i in rng.choice(n, 2, replace=False)) for _ in range(3)]
    units = together(table, copies)
    if len(units) < k:
        return
    folds = make_folds(table, k, seed, copies)
    assert set(folds.tolist()) <= set(range(k))
    for unit in units:
        assert len(set(folds[list(unit)].tolist())) == 1
    for group in set(groups) - {""}:
        assert len({int(folds[i]) for i in range(n) if groups[i] == group}) == 1
    assert all(folds[one] == folds[other] for one, other in copies)
    order = rng.permutation(n)
    place = np.argsort(order)
    moved = [(int(place[one]), int(place[other])) for one, other in copies]
    assert (make_folds(table.subset(order), k, seed, moved) == folds[order]).all()


def test_another_seed_gives_other_folds():
    table = table_of(np.arange(40) % 4, 4)
    assert (make_folds(table, 4, 0) != make_folds(table, 4, 1)).any()


def test_a_few_copies_do_not_spoil_the_balance():
    labels = np.repeat(np.arange(5), 60)
    copies = [(i, i + 1) for i in range(0, 300, 10)] + [(59, 60), (119, 121, 122)]
    folds = make_folds(table_of(labels, 5), 5, 0, copies)
    assert spread(folds, np.eye(5, dtype=int)[labels], 5).max() <= 1


def test_groups_of_very_different_sizes_are_balanced_better_than_by_chance():
    rng = np.random.default_rng(0)
    sizes = np.maximum(rng.pareto(1.2, 120) * 4, 1).astype(int)
    sizes = np.minimum(sizes, 60)
    groups = tuple(f"p{g}" for g in np.repeat(np.arange(120), sizes))
    preference = rng.integers(0, 4, 120)
    noise = rng.integers(0, 4, sizes.sum())
    labels = np.where(rng.random(sizes.sum()) < 0.7, np.repeat(preference, sizes), noise)
    table = table_of(labels, 4, groups)
    marks = np.column_stack([np.eye(4, dtype=int)[labels], np.ones(len(labels), int)])
    ours = spread(make_folds(table, 5, 0), marks, 5) / (marks.sum(axis=0) / 5)
    chance = [spread(np.repeat(rng.integers(0, 5, 120), sizes), marks, 5) for _ in range(50)]
    assert ours.max() < 0.25  # one group of 60 is half of a class's share
    assert ours.max() < 0.4 * np.min([c.max() for c in chance / (marks.sum(axis=0) / 5)])


def test_many_labels_are_spread_evenly():
    rng = np.random.default_rng(5)
    labels = (rng.random((600, 8)) < np.geomspace(0.4, 0.02, 8)).astype(np.uint8)
    labels[:, 1] |= labels[:, 0] & (rng.random(600) < 0.5).astype(np.uint8)
    folds = make_folds(table_of(labels, 8), 5, 0)
    assert spread(folds, labels.astype(int), 5).max() <= 1
    assert np.ptp(np.bincount(folds)) <= 3


def test_crops_of_one_file_share_a_fold():
    table = table_of(np.arange(12) % 2, 2)
    paths = tuple(Path(f"{i // 3}.jpg") for i in range(12))
    crops = ImageTable(table.names, paths, table.labels, table.classes)
    folds = make_folds(crops, 3, 0)
    assert all(len(set(folds[i : i + 3].tolist())) == 1 for i in range(0, 12, 3))


def test_too_few_images_or_folds_are_refused_and_rare_classes_said():
    table = table_of(np.array([0] * 10 + [1] * 2 + [2]), 4)
    with pytest.raises(BadInput, match="groups of images that belong together cannot fill 5 folds"):
        make_folds(table, 5, 0, [tuple(range(12))])
    with pytest.raises(BadInput, match="cannot make 1 folds"):
        make_folds(table, 1, 0)
    notes = fold_notes(table, make_folds(table, 5, 0))
    assert len(notes) == 3
    assert "2 images of class 'class 1' are in 2 of 5 folds" in notes[0]
    assert "all 1 images of class 'class 2'" in notes[1] or "class 2" in notes[1]
    assert notes[2] == "class 'class 3' has no images"


def test_no_picture_of_real_photographs_straddles_the_folds(data: Callable[[str], Path]):
    from imcls.data.options import SplitOptions
    from imcls.data.prints import table_prints
    from imcls.data.split import split

    root = data("imcls/flowers5")
    classes = ("rose", "sunflower")
    paths = [path for name in classes for path in sorted((root / name).glob("*.jpg"))[:200]]
    labels = np.array([classes.index(path.parent.name) for path in paths], np.int64)
    names = tuple(path.relative_to(root).as_posix() for path in paths)
    table = ImageTable(names, tuple(paths), labels, classes)
    prints = table_prints(table)
    made = split(table, SplitOptions(folds=5, seed=0), prints=prints)
    folds = made.check(table, contents=False)
    assert count_leaks(folds, prints) == 0
    assert spread(folds, np.eye(2, dtype=int)[labels], 5).max() <= 1
    blind = make_folds(table, 5, 0)
    assert count_leaks(blind, prints) >= 3
