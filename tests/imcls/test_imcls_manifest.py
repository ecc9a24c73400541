"""A split written and read again, and what it says of images that are no longer the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imcls.data.manifest import SplitManifest
from imcls.data.options import SplitOptions
from imcls.data.split import split
from imcls.data.table import ImageTable
from suite.data.images import write_image
from suite.errors import BadInput


@pytest.fixture
def table(tmp_path: Path) -> ImageTable:
    """Twelve noise images; the second is a copy of the first, the last two are of one group."""
    rng = np.random.default_rng(0)
    names = tuple(f"{'ab'[i % 2]}/ü{i:02d}.png" for i in range(12))
    for name in names:
        write_image(tmp_path / name, rng.integers(0, 255, (40, 40, 3), dtype=np.uint8))
    (tmp_path / names[1]).write_bytes((tmp_path / names[0]).read_bytes())
    labels = np.array([i % 2 for i in range(12)], np.int64)
    labels[5] = -1
    groups = ("",) * 10 + ("pair", "pair")
    return ImageTable(names, tuple(tmp_path / name for name in names), labels, ("a", "b"), groups)


def test_written_and_read_again(table: ImageTable, tmp_path: Path):
    made = split(table, SplitOptions(folds=3, seed=4))
    made.write(tmp_path / "split.json")
    read = SplitManifest.read(tmp_path / "split.json")
    for column in ("names", "labels", "sha256", "kinds", "classes", "multi_label", "k", "seed"):
        assert getattr(read, column) == getattr(made, column)
    assert (read.folds == made.folds).all() and (read.groups == made.groups).all()
    row = {name: i for i, name in enumerate(made.names)}
    first, copy = (row[table.names[i]] for i in (0, 1))
    assert made.kinds[first] == made.kinds[copy] == "exact"
    assert made.folds[first] == made.folds[copy] and made.groups[first] == made.groups[copy]
    assert made.kinds[row[table.names[10]]] == "given" and made.labels[row[table.names[5]]] == ()
    assert len(set(made.groups.tolist())) == 10


def test_rows_in_another_order_are_given_the_same_folds(table: ImageTable):
    made = split(table, SplitOptions(folds=3, seed=4))
    order = np.random.default_rng(1).permutation(12)
    shuffled = split(table.subset(order), SplitOptions(folds=3, seed=4))
    assert shuffled.names == made.names and (shuffled.folds == made.folds).all()
    assert (made.check(table.subset(order)) == made.check(table)[order]).all()


def test_several_labels(table: ImageTable, tmp_path: Path):
    labels = np.zeros((12, 2), np.uint8)
    labels[:6, 0] = labels[3:9, 1] = 1
    several = ImageTable(table.names, table.paths, labels, table.classes)
    split(several, SplitOptions(folds=2)).write(tmp_path / "split.json")
    read = SplitManifest.read(tmp_path / "split.json")
    assert read.multi_label and read.labels[read.names.index(table.names[4])] == ("a", "b")
    read.check(several)


def test_changed_missing_new_and_relabelled_images_are_named_in_one_line(table: ImageTable):
    made = split(table, SplitOptions(folds=3))
    write_image(table.paths[2], np.zeros((9, 9, 3), np.uint8))
    labels = table.labels.copy()
    labels[3] = 0
    names = ("new.png", *table.names[1:])
    other = ImageTable(names, table.paths, labels, table.classes)
    with pytest.raises(BadInput) as caught:
        made.check(other, where="split.json")
    line = str(caught.value)
    assert "\n" not in line and line.startswith("split.json: ")
    for part in (
        "1 missing (a/ü00.png)",
        "1 new (new.png)",
        "1 changed (a/ü02.png)",
        "1 relabelled (b/ü03.png)",
    ):
        assert part in line
    with pytest.raises(BadInput, match="1 missing"):
        made.check(other, contents=False)


def test_other_classes_are_refused(table: ImageTable):
    made = split(table, SplitOptions(folds=3))
    swapped = ImageTable(
        table.names, table.paths, np.where(table.labels >= 0, 1 - table.labels, -1), ("b", "a")
    )
    with pytest.raises(BadInput, match="the split has the classes a, b"):
        made.check(swapped)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[: len(text) // 2], "cannot be read as a split"),
        (lambda text: text.replace("imcls split", "something"), "of another format"),
        (lambda text: text.replace('"version": 1', '"version": 9'), "version 9"),
        (lambda text: text.replace('"fold": 2', '"fold": 7', 1), "folds lie outside"),
        (lambda text: text.replace('"labels": ["b"]', '"labels": ["c"]', 1), "labels that are no classes"),
        (lambda text: json.dumps({"format": "imcls split", "version": 1}), "misses 'images'"),
        (lambda text: "[]", "cannot be read as a split"),
    ],
)
def test_damaged_files_end_in_one_line(table: ImageTable, tmp_path: Path, change, said: str):
    path = tmp_path / "split.json"
    split(table, SplitOptions(folds=3)).write(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(BadInput, match=said) as caught:
        SplitManifest.read(path)
    assert "\n" not in str(caught.value) and "split.json" in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(BadInput, match="no such file"):
        SplitManifest.read(tmp_path / "none.json")
