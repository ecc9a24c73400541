"""Trainings of other kinds: linear probes, several labels an image, a test set, ablations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imcls.member import load_member, members_of
from imcls.metrics.summary import accuracy
from imcls.predictions import Predictions


@pytest.fixture(scope="module")
def images(digit_folders: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folders(tmp_path_factory.mktemp("digits") / "images", 24, classes=4)


@pytest.fixture(scope="module")
def table(images: Path) -> Path:
    """Each digit with the labels `even`, `large` and `round` that apply to it: 1 has none."""
    meant = {"0": "even;round", "1": "", "2": "even;large", "3": "large;round"}
    lines = [
        f"{path.relative_to(images)},{meant[path.parent.name]}" for path in sorted(images.rglob("*.png"))
    ]
    (images / "labels.csv").write_text("\n".join(["image,label", *lines]) + "\n")
    return images / "labels.csv"


def test_a_probe_is_a_run_like_any_other(imcls_command, images: Path, train_run):
    run = train_run(images, images.parent / "probe", ["mode=probe"])
    oof = Predictions.read(run / "oof.npz")
    assert sorted(oof.names) == sorted(str(path.relative_to(images)) for path in images.rglob("*.png"))
    assert accuracy(oof) > 0.6  # of random features
    assert (run / "report.html").is_file()
    code, _, err = imcls_command("predict", members_of(run)[0], images, "--out", "one.json")
    assert (code, err) == (0, [])
    found = {row["image"]: row["probabilities"] for row in json.loads(Path("one.json").read_text())["images"]}
    temperature = load_member(members_of(run)[0]).card.temperature
    for name, fold, shares in zip(oof.names, oof.folds, oof.probabilities(temperature), strict=True):  # pyright: ignore[reportArgumentType]
        if fold == 0:
            np.testing.assert_allclose(list(found[name].values()), shares, atol=1e-4)


MULTI = ("model.head.type=multi_label", "loss.criterion={type: bce}", "train.epochs=10")


@pytest.mark.parametrize("threshold", ["per_class", "regressed"])
def test_several_labels_an_image(imcls_command, table: Path, train_run, threshold: str):
    source = f"data.source={{type: csv, file: {table}, multi_label: true}}"
    given = [source, *MULTI, f"model.head.threshold={threshold}"]
    run = train_run(table.parent, table.parent.parent / threshold, given)
    oof = Predictions.read(run / "oof.npz")
    assert oof.multi_label
    assert oof.classes == ("even", "large", "round")
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    assert metrics["mean_average_precision"]["value"] > 0.8
    assert metrics["macro_f1"]["value"] > 0.6
    cards = [load_member(folder).card for folder in members_of(run)]
    if threshold == "per_class":
        assert oof.thresholds is not None
        assert oof.thresholds.shape == (3,)
        assert all(card.thresholds == tuple(float(t) for t in oof.thresholds) for card in cards)
        assert "macro_f1_expected" in metrics
    else:
        assert oof.thresholds is not None
        assert oof.thresholds.shape == (len(oof), 1)
        assert len(np.unique(oof.thresholds)) > 10
        assert all(card.regressed and card.thresholds is None for card in cards)
    assert "report.html" in [path.name for path in run.iterdir()]
    code, _, err = imcls_command("predict", run, table.parent / "0", "--out", "labels.json")
    assert (code, err) == (0, [])
    found = json.loads(Path("labels.json").read_text())["images"]
    assert sum("round" in row["labels"] for row in found) > len(found) / 2
    code, out, err = imcls_command("eval", run, "--out", "again")
    assert (code, err) == (0, [])
    assert "mean_average_precision" in out


def test_images_held_back_for_the_test_are_judged_once_at_the_end(images: Path, digit_folders, train_run):
    unseen = digit_folders(images.parent / "unseen", 10, classes=4, start=24)
    given = ["train.epochs=16", f"data.test={{type: folder, root: {unseen}}}", "data.split.use=[1]"]
    run = train_run(images, images.parent / "tested", given)
    test, oof = Predictions.read(run / "test.npz"), Predictions.read(run / "oof.npz")
    assert len(test) == 40
    assert test.folds is None
    assert oof.folds is not None
    assert set(oof.folds.tolist()) == {1}
    assert len(oof) == 32
    assert [path.name for path in members_of(run)] == ["fold-1"]
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    assert metrics["test_accuracy"]["value"] == accuracy(test)
    assert accuracy(test) > 0.7


def test_ablate_by_whole_trainings(imcls_command, images: Path, small):
    given = [*small, f"data.source.root={images}", "data.cache=cache", "train.epochs=1", "data.split.use=[0]"]
    given += ["--vary", "mix.mixup=0.2", "--seeds", "1", "--out", "ablation"]
    code, out, err = imcls_command("ablate", *given)
    assert (code, err) == (0, [])
    assert "mix.mixup=0.2" in out
    found = json.loads(Path("ablation/ablation.json").read_text())["rows"]
    assert [row["name"] for row in found] == ["base", "mix.mixup=0.2"]
    models = {path: path.stat().st_mtime_ns for path in Path("ablation").rglob("model.safetensors")}
    assert len(models) == 2
    code, _, err = imcls_command("ablate", *given)  # nothing is left to do
    assert (code, err) == (0, [])
    assert {path: path.stat().st_mtime_ns for path in Path("ablation").rglob("model.safetensors")} == models
    for path in Path("ablation/jobs").rglob("done.json"):  # as if it had been killed after the trainings
        path.unlink()
        path.with_name("predictions.npz").unlink()
    code, _, err = imcls_command("ablate", *given)
    assert (code, err) == (0, [])
    assert {path: path.stat().st_mtime_ns for path in Path("ablation").rglob("model.safetensors")} == models
