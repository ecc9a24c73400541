"""What is planted in a set of images is found, and nothing else."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imcls.audit import AuditReport, audit, effective_number, imbalance
from imcls.data.manifest import SplitManifest
from imcls.data.options import SplitOptions
from imcls.data.split import split
from imcls.data.table import ImageTable
from imcls.report.audit_page import write_audit_page
from suite.errors import BadInput

CLASSES = ("flower", "temple")


@lru_cache(maxsize=1)
def tiles() -> tuple[Image.Image, ...]:
    from sklearn.datasets import load_sample_image

    parts = (
        load_sample_image(name)[y : y + 80, x : x + 80]
        for name in ("china.jpg", "flower.jpg")
        for y in range(0, 400, 80)
        for x in range(0, 640, 80)
    )
    return tuple(Image.fromarray(part) for part in parts if part.std() > 25)  # no empty sky


def saved(folder: Path, images: dict[str, Image.Image], labels: list[int]) -> ImageTable:
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        image.save(folder / name)
    paths = tuple(folder / name for name in images)
    return ImageTable(tuple(images), paths, np.array(labels, np.int64), CLASSES)


@pytest.fixture
def planted(tmp_path: Path) -> tuple[ImageTable, ImageTable]:
    """30 training images with three planted copies and one broken file; 6 test images, 2 of them seen."""
    parts = tiles()
    images = {f"{i:02d}.png": parts[i] for i in range(26)}
    images["copy-of-00.png"] = parts[0]
    images["conflict-with-01.bmp"] = parts[1]
    images["near-02.jpg"] = parts[2].resize((80, 80))
    images["broken.png"] = parts[30]
    labels = [i % 2 for i in range(26)] + [0, 0, 0, 1]
    table = saved(tmp_path / "train", images, labels)
    content = (tmp_path / "train/broken.png").read_bytes()
    (tmp_path / "train/broken.png").write_bytes(content[: len(content) // 3])
    kept = {f"new-{i}.png": parts[i] for i in range(36, 40)}
    seen = {"seen-03.png": parts[3], "seen-04.jpg": parts[4].transpose(Image.Transpose.FLIP_LEFT_RIGHT)}
    return table, saved(tmp_path / "test", kept | seen, [0, 1, 0, 1, 1, 0])


def named(report: AuditReport, pairs: tuple) -> set[tuple[str, str]]:
    return {(report.prints.names[pair.first], report.prints.names[pair.second]) for pair in pairs}


def test_planted_faults_are_found_and_nothing_else(planted: tuple[ImageTable, ImageTable]):
    report = audit(*planted)
    inside = {
        ("00.png", "copy-of-00.png"),
        ("01.png", "conflict-with-01.bmp"),
        ("02.png", "near-02.jpg"),
    }
    leaks = {("03.png", "seen-03.png"), ("04.png", "seen-04.jpg")}
    assert named(report, report.pairs) == inside | leaks
    assert named(report, report.conflicts) == {("01.png", "conflict-with-01.bmp")}
    assert named(report, report.leaks) == leaks
    assert [report.prints.names[row] for row in report.unreadable] == ["broken.png"]
    kinds = {(report.prints.names[p.second], p.kind, p.pose) for p in report.pairs}
    assert kinds == {
        ("copy-of-00.png", "file", ""),
        ("conflict-with-01.bmp", "pixels", ""),
        ("near-02.jpg", "near", ""),
        ("seen-03.png", "file", ""),
        ("seen-04.jpg", "near", "mirrored"),
    }
    assert report.verdict == "bad"
    said = " | ".join(f"{finding.flag}: {finding.text}" for finding in report.findings)
    assert "bad: 1 image cannot be read: broken.png" in said
    assert "bad: 1 pair of the same picture under different labels" in said
    assert "bad: 2 test images can be seen among the training images" in said
    figures = {metric.key: metric.value for metric in report.metrics()}
    assert figures["images"] == 36 and figures["exact_duplicates"] == 3 and figures["near_duplicates"] == 2
    assert figures["label_conflicts"] == 1 and figures["test_leaks"] == 2
    assert np.isnan(figures["fold_leaks"])


def test_a_clean_set_is_said_to_be_clean(tmp_path: Path):
    table = saved(tmp_path, {f"{i:02d}.png": tiles()[i] for i in range(40)}, [i % 2 for i in range(40)])
    report = audit(table)
    assert report.pairs == report.conflicts == report.leaks == report.unreadable == ()
    assert report.verdict == "ok" and {finding.flag for finding in report.findings} == {"ok"}


def test_pictures_in_two_folds_are_found(planted: tuple[ImageTable, ImageTable]):
    table, _ = planted
    good = split(table, SplitOptions(folds=3, seed=0))
    assert audit(table, manifest=good).fold_leaks == ()
    folds = good.folds.copy()
    row = good.names.index("near-02.jpg")
    folds[row] = (folds[row] + 1) % 3
    columns = {name: getattr(good, name) for name in SplitManifest.__dataclass_fields__}
    report = audit(table, manifest=SplitManifest(**(columns | {"folds": folds})))
    assert named(report, report.fold_leaks) == {("02.png", "near-02.jpg")}
    assert "1 pair of the same picture in different folds" in " ".join(f.text for f in report.findings)


def test_a_conflict_among_copies_of_an_unlabelled_picture_is_found(tmp_path: Path):
    images = {f"{name}.png": tiles()[5] for name in "abc"} | {"d.png": tiles()[6]}
    report = audit(saved(tmp_path, images, [-1, 0, 1, 0]))
    assert named(report, report.conflicts) == {("b.png", "c.png")}
    assert any(finding.text == "1 training image without a label" for finding in report.findings)


def test_unbalanced_and_empty_classes_are_called_out(tmp_path: Path):
    images = {f"{i:02d}.png": tiles()[i] for i in range(26)}
    report = audit(saved(tmp_path, images, [0] * 24 + [1] * 2))
    texts = [finding.text for finding in report.findings]
    assert "classes with fewer than 10 images: temple (2)" in texts
    assert "the largest class has 12 times the images of the smallest" in texts
    lone = audit(saved(tmp_path, images, [0] * 26))
    assert any(f.flag == "bad" and f.text == "classes without images: temple" for f in lone.findings)


def test_balance_figures():
    assert imbalance(np.array([10, 40])) == 4 and imbalance(np.array([0, 3])) == np.inf
    np.testing.assert_allclose(effective_number(np.array([0, 1, 10**6])), [0, 1, 1000])


def test_other_classes_of_the_test_set_are_refused(planted: tuple[ImageTable, ImageTable]):
    table, test = planted
    other = ImageTable(test.names, test.paths, np.zeros(len(test), np.int64), ("cat", "dog"))
    with pytest.raises(BadInput, match="the test set has the classes cat, dog"):
        audit(table, other)


def test_the_page_shows_every_suspicious_pair(planted: tuple[ImageTable, ImageTable], tmp_path: Path):
    report = audit(*planted)
    page = write_audit_page(tmp_path / "audit.html", report).read_text(encoding="utf-8")
    headings = [page.index(f'">{title}</h2>') for title in ("Label conflicts", "Leaks from training to test")]
    assert headings == sorted(headings)
    for pair in report.pairs:
        assert f'alt="{report.prints.names[pair.first]} beside {report.prints.names[pair.second]}"' in page
    assert page.count("data:image/jpeg") == len(report.pairs)
    assert "broken.png" in page and "cannot be decoded" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_page_of_crops_shows_the_crops(tmp_path: Path):
    from sklearn.datasets import load_sample_image

    whole = Image.fromarray(load_sample_image("china.jpg"))
    whole.save(tmp_path / "whole.png")
    boxes = np.array([[0, 0, 200, 200], [3, 3, 200, 200], [300, 200, 500, 400]], float)
    table = ImageTable(
        ("w#0", "w#1", "w#2"), (tmp_path / "whole.png",) * 3, np.array([0, 1, 0]), CLASSES, boxes=boxes
    )
    report = audit(table)
    assert named(report, report.conflicts) == {("w#0", "w#1")}
    assert "w#0 beside w#1" in write_audit_page(tmp_path / "audit.html", report).read_text(encoding="utf-8")
