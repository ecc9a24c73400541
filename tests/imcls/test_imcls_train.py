"""A whole training on digits, killed and resumed too, and all that is done with its folder afterwards."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from imcls.data.manifest import SplitManifest
from imcls.data.options import FolderSource
from imcls.evaluate import evaluate_run
from imcls.member import load_member, members_of
from imcls.metrics.summary import accuracy
from imcls.predictions import Predictions
from suite.run import Run

EPOCHS = "train.epochs=8"


@pytest.fixture(scope="module")
def images(digit_folders: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_folders(tmp_path_factory.mktemp("digits") / "images", 40)


@pytest.fixture(scope="module")
def run(images: Path, train_run: Callable[..., Path]) -> Path:
    """Three members, eight epochs each; judged on all 400 images out of fold."""
    return train_run(images, images.parent / "run", [EPOCHS])


def test_each_image_is_judged_by_the_member_that_has_not_seen_it(run: Path, images: Path):
    oof, split = Predictions.read(run / "oof.npz"), SplitManifest.read(run / "split.json")
    assert sorted(oof.names) == sorted(str(path.relative_to(images)) for path in images.rglob("*.png"))
    fold_of = dict(zip(split.names, split.folds, strict=True))
    assert oof.folds is not None
    assert [fold_of[name] for name in oof.names] == oof.folds.tolist()
    assert oof.labels is not None
    assert [oof.classes[label] for label in oof.labels] == [Path(name).parent.name for name in oof.names]
    for fold, folder in enumerate(members_of(run)):
        assert load_member(folder).card.fold == fold
        assert len(json.loads((folder / "history.json").read_text())) == 8


def test_digits_are_learned_and_the_figures_are_those_of_the_predictions(run: Path):
    oof = Predictions.read(run / "oof.npz")
    assert accuracy(oof) >= 0.9
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    assert metrics["accuracy"]["value"] == accuracy(oof)
    low, high = metrics["accuracy"]["interval"]
    assert low <= accuracy(oof) <= high
    temperatures = {load_member(folder).card.temperature for folder in members_of(run)}
    assert len(temperatures) == 1
    assert temperatures != {1.0}
    assert Run.open(run).status == "finished"


def test_the_page_shows_the_figures_of_metrics_json(run: Path):
    page = (run / "report.html").read_text()
    metrics = {metric.key: metric for metric in Run.open(run).metrics}
    for key in ("accuracy", "macro_f1", "log_loss", "ece"):
        assert metrics[key].text in page
    assert "data:image/png" in page or "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_predict_is_the_mean_of_the_members(imcls_command, run: Path, images: Path):
    code, out, err = imcls_command("predict", run, images, "--out", "vote.csv")
    assert (code, err) == (0, [])
    assert "400 images judged" in out
    vote = _scores(Path("vote.csv"))
    members = []
    for fold, folder in enumerate(members_of(run)):
        assert imcls_command("predict", folder, images, "--out", f"{fold}.csv")[0] == 0
        members.append(_scores(Path(f"{fold}.csv")))
    assert all(member.keys() == vote.keys() for member in members)
    for name, shares in vote.items():
        np.testing.assert_allclose(shares, np.mean([member[name] for member in members], 0), atol=2e-6)
    # and a member alone says of what it has not seen what stands in oof.npz
    oof = Predictions.read(run / "oof.npz")
    temperature = load_member(members_of(run)[0]).card.temperature
    assert oof.folds is not None
    for name, fold, shares in zip(oof.names, oof.folds, oof.probabilities(temperature), strict=True):
        np.testing.assert_allclose(members[fold][name], shares, atol=1e-4)


def _scores(path: Path) -> dict[str, list[float]]:
    with path.open(newline="") as stream:
        return {row["image"]: [float(row[str(k)]) for k in range(10)] for row in csv.DictReader(stream)}


def test_eval_gives_the_same_figures_each_time_and_leaves_the_run_alone(run: Path, images: Path, tmp_path):
    before = (run / "metrics.json").read_bytes()
    said = [evaluate_run(run, FolderSource(root=images), tmp_path / name) for name in ("a", "b")]
    first, second = (Predictions.read(tmp_path / name / "predictions.npz") for name in ("a", "b"))
    np.testing.assert_array_equal(first.logits, second.logits)
    value = next(metric for metric in Run.open(tmp_path / "a").metrics if metric.key == "accuracy")
    assert value.value == accuracy(first)
    assert said[0] == f"accuracy {value.text} ({value.interval_text}): {tmp_path / 'a' / 'report.html'}"
    assert (tmp_path / "a" / "report.html").is_file()
    # most members have seen each image, so the vote on them is better than out of fold, and the page says so
    assert accuracy(first) >= accuracy(Predictions.read(run / "oof.npz"))
    assert "learned from" in (tmp_path / "a" / "report.html").read_text()
    assert (run / "metrics.json").read_bytes() == before


def test_eval_of_unseen_images(imcls_command, run: Path, digit_folders, tmp_path: Path):
    unseen = digit_folders(tmp_path / "unseen", 20, start=40)
    code, out, err = imcls_command("eval", run, "--data", unseen, "--out", "judged")
    assert (code, err) == (0, [])
    assert out.startswith("accuracy ")
    found = Predictions.read("judged/predictions.npz")
    assert len(found) == 200
    assert accuracy(found) >= 0.85
    assert "that they have not seen" in Path("judged/report.html").read_text()
    code, _, err = imcls_command("eval", run, "--data", unseen, "--out", "judged")
    assert code == 2
    assert len(err) == 1


def test_report_writes_the_page_again(imcls_command, run: Path):
    before = (run / "report.html").stat().st_mtime_ns
    code, out, err = imcls_command("report", run)
    assert (code, err) == (0, [])
    assert out.strip() == str(run / "report.html")
    assert (run / "report.html").stat().st_mtime_ns > before


def test_ensemble_of_two_runs_predicts_like_a_run(imcls_command, run: Path, images: Path, train_run):
    weaker = train_run(images, images.parent / "weaker", ["train.epochs=3", "train.seed=5"])
    code, out, err = imcls_command("ensemble", run, weaker, "--method", "greedy", "--out", "both")
    assert (code, err) == (0, [])
    assert "over the best run" in out
    weights = json.loads(Path("both/ensemble.json").read_text())
    assert weights
    code, out, _ = imcls_command("predict", "both", images, "--out", "both.csv")
    assert code == 0
    assert "400 images judged" in out
    scores = np.array(list(_scores(Path("both.csv")).values()))
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    code, _, err = imcls_command("ensemble", run, images, "--out", "no")
    assert code == 2
    assert len(err) == 1


def test_export_of_a_trained_run_agrees(imcls_command, run: Path):
    code, out, err = imcls_command("export", run, "--out", "onnx", "--compare", "10")
    assert (code, err) == (0, [])
    assert "images: pixels differ by up to" in out
    assert Path("onnx/model.onnx").is_file()


def test_a_run_killed_inside_a_member_and_resumed_has_the_same_bits(
    images: Path, small, imcls_command, digit_folders, tmp_path: Path
):
    few = digit_folders(tmp_path / "few", 12, classes=4)
    settings = [*small, f"data.source.root={few}", "data.cache=cache", "train.epochs=3", "train.ema={}"]
    settings += [
        "input.batch_size=4",
        "train.checkpoint_steps=1",
        "evaluation.bootstrap=100",
        "mix.mixup=0.2",
    ]
    assert imcls_command("train", *settings, "--out", "whole")[0] == 0

    code = "from imcls.cli import main; main()"
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    command = [sys.executable, "-c", code, "train", *settings, "--out", "killed"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    member = Path("killed/members/fold-1")
    while not (member / "checkpoint.pt").is_file():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (member / "member.json").exists()
    assert (Path("killed/members/fold-0") / "member.json").is_file()
    assert not Path("killed/oof.npz").exists()
    at = torch.load(member / "checkpoint.pt", weights_only=True)["position"]
    assert (at["epoch"], at["batch"] > 0) == (0, True)

    kept = (Path("killed/members/fold-0") / "model.safetensors").stat().st_mtime_ns
    code, _, err = imcls_command("train", *settings, "--out", "killed", "--resume")
    assert (code, err) == (0, [])
    assert (Path("killed/members/fold-0") / "model.safetensors").stat().st_mtime_ns == kept
    assert Path("killed/oof.npz").read_bytes() == Path("whole/oof.npz").read_bytes()
    for fold in range(3):
        one, other = (Path(f"{run}/members/fold-{fold}/model.safetensors") for run in ("whole", "killed"))
        assert one.read_bytes() == other.read_bytes()
