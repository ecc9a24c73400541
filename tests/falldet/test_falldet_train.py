"""Whole trainings of seconds, by the command: what a run leaves, stopping and going on, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from falldet_command import SMALL, Command, settings_of

from falldet.check import check_experiment
from falldet.cli import RECIPES
from falldet.config import FalldetConfig
from falldet.detections import CLASSES
from falldet.model.build import build_detector
from falldet.model.file import read_model
from falldet.model.options import CascadeOptions, PersonProposalOptions
from falldet.model.start import started_detector
from suite.config import load_config
from suite.data.images import read_image
from suite.files import sha256
from suite.run import Run

ROOT = Path(__file__).parents[2]


def test_a_run_holds_model_figures_and_report(trained: Path, painted_sets: tuple[Path, Path]):
    run = Run.open(trained)
    assert run.status == "finished"
    names = {path.relative_to(trained).as_posix() for path in run.artefacts}
    assert {"model.safetensors", "history.json", "report.html"} <= names
    assert {"training/checkpoint.pt", "training/log.csv"} <= names
    assert any(name.startswith("detections-") for name in names)
    figures = {metric.key: metric.value for metric in run.metrics}
    assert {"train_cpu_h", "ap50_fallen", "ap50_not_fallen", "false_fallen_rate", "threshold"} <= set(figures)
    assert figures["train_cpu_h"] > 0
    model = read_model(trained / "model.safetensors")
    assert figures["threshold"] == pytest.approx(model.card.threshold)
    assert model.card.name == "tiny" and model.card.licence == "made up"
    assert model.card.trained_on == (f"{painted_sets[0].parent.name}/labels: 16 pictures",)
    assert model.card.settings["epochs"] == 2
    history = json.loads((trained / "history.json").read_text())
    assert [row["epoch"] for row in history] == [0, 1]
    assert all(np.isfinite(row["loss"]) for row in history)
    assert "ap50" in history[0] and "ap50" in history[1]
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "tiny" in page and "too good" in page  # chosen and reported on the same pictures, and said so


def test_a_runs_inputs_are_noted_by_their_hash(trained: Path, painted_sets: tuple[Path, Path]):
    noted = {entry["path"]: entry["sha256"] for entry in Run.open(trained).inputs}
    assert noted == {str(file): sha256(file) for file in painted_sets}


def test_a_trained_model_tells_lying_from_standing(learned: Path, painted_sets: tuple[Path, Path]):
    """Not only that files appear: after some epochs most people are found and told apart."""
    model = read_model(learned / "model.safetensors")
    right = 0
    images = json.loads(painted_sets[1].read_text())
    for entry, person in zip(images["images"], images["annotations"], strict=True):
        (found,) = model.detect([read_image(painted_sets[1].parent / entry["file_name"])])
        x, y, width, height = person["bbox"]
        best = found.boxes_px[0] if len(found) else np.zeros(4)
        low, high = np.maximum(best[:2], [x, y]), np.minimum(best[2:], [x + width, y + height])
        shared = (high - low).clip(0).prod()
        overlap = shared / (width * height + (best[2:] - best[:2]).prod() - shared)
        right += bool(overlap > 0.5 and found.labels[0] == person["category_id"] - 1)
    assert right >= 0.75 * len(images["images"])


def test_stopped_and_resumed_ends_with_the_same_weights(
    falldet_command: Command, trained: Path, painted_sets: tuple[Path, Path], tmp_path: Path
):
    """A process is told to end (SIGTERM) in its third step, and taken up by another."""
    arguments = ["train", "--out", "out", *settings_of(*painted_sets)]
    script = (
        "import os, signal, sys, torch\n"
        "torch.set_num_threads(1)\n"
        "from falldet.data.batches import TrainBatches\n"
        "whole, steps = TrainBatches.batch, []\n"
        "def batch(self, *place):\n"
        "    steps.append(place)\n"
        "    if len(steps) == 3:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return whole(self, *place)\n"
        "TrainBatches.batch = batch\n"
        "from falldet.cli import main\n"
        "main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    assert done.returncode == 143, done.stderr
    assert done.stderr.splitlines()[-1].startswith("stopped in epoch 0 (counted from 0) after 3 optimizer")
    stopped = Run.open(tmp_path / "out")
    assert stopped.status == "failed" and not (tmp_path / "out" / "model.safetensors").exists()

    code, _, err = falldet_command(*arguments, "train.optimizer.lr=0.5", "--resume")
    assert code == 2
    assert err[-1].startswith("out: was started with other settings (train.optimizer.lr: 0.002, now 0.5)")
    code, out, _ = falldet_command(*arguments, "--resume")
    assert (code, out) == (0, "The report: out/report.html\n")
    run = Run.open(tmp_path / "out")
    assert run.status == "finished" and run.record["resumes"] == 1
    assert [entry["path"] for entry in run.inputs] == [str(file) for file in painted_sets]  # noted once
    one, other = (read_model(f / "model.safetensors") for f in (tmp_path / "out", trained))
    states = one.detector.state_dict(), other.detector.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    assert one.card.threshold == other.card.threshold
    assert (tmp_path / "out/training/log.csv").read_text() == (trained / "training/log.csv").read_text()
    code, _, err = falldet_command(*arguments, "--resume")
    assert code == 2 and "the run has finished" in err[-1]
    code, _, err = falldet_command(*arguments)
    assert code == 2 and "exists already and is not empty" in err[-1]


def test_without_develop_groups_are_held_back_and_judged(
    falldet_command: Command, painted_sets: tuple[Path, Path]
):
    """Epochs without a look are fine too; runs of one name are numbered."""
    settings = [
        *SMALL, f"data.train=[{{source: {{type: coco, file: {painted_sets[0]}}}}}]",
        "data.develop_share=0.4", "evaluation.every_epochs=2", "half=false", "batches.pictures=4",
    ]  # fmt: skip
    for folder in ("runs/tiny", "runs/tiny-2"):
        code, out, err = falldet_command("train", *settings, "train.epochs=3")
        assert (code, out) == (0, f"The report: {folder}/report.html\n"), err
    history = json.loads(Path("runs/tiny/history.json").read_text())
    assert ["ap50" in row for row in history] == [False, True, True]
    card = read_model(Path("runs/tiny/model.safetensors")).card
    assert card.trained_on[0].endswith(": 8 pictures")  # of four clips of four two are held back
    lines = next(Path("runs/tiny").glob("detections-*.jsonl")).read_text().splitlines()
    assert len(lines) == 8


def test_training_starts_from_a_trained_model_and_notes_it(
    falldet_command: Command, trained: Path, painted_sets: tuple[Path, Path]
):
    start = trained / "model.safetensors"
    code, _, err = falldet_command(
        "train", *settings_of(*painted_sets), f"model.weights={start}", "train.epochs=1", "--out", "more"
    )
    assert code == 0, err
    assert str(start) in {entry["path"] for entry in Run.open("more").inputs}
    assert read_model(Path("more/model.safetensors")).card.model.weights is None
    first = [json.loads((f / "history.json").read_text())[0]["loss"] for f in (Path("more"), trained)]
    assert first[0] < first[1]  # it goes on from there


def test_weights_are_drawn_back_to_those_they_started_from(
    falldet_command: Command, trained: Path, painted_sets: tuple[Path, Path]
):
    start = trained / "model.safetensors"
    states = [read_model(start).detector.state_dict()]
    for name, share in (("moved", 0.0), ("kept", 0.25)):
        settings = settings_of(*painted_sets, f"model.weights={start}", f"keep_start={share}", "half=false")
        code, _, err = falldet_command("train", "--out", name, *settings)
        assert code == 0, err
        states.append(read_model(Path(name) / "model.safetensors").detector.state_dict())
    began, moved, kept = states
    assert any(not torch.equal(began[name], moved[name]) for name in began)
    for name in began:
        torch.testing.assert_close(kept[name], torch.lerp(moved[name], began[name], 0.25))


def test_of_a_cascade_only_what_the_file_gave_is_drawn_back(data):
    options = load_config(FalldetConfig, RECIPES / "light_cascade.yaml", ()).config.model
    weights = data("falldet/weights") / "nanodet_m.param"
    detector, taken = started_detector(options.model_copy(update={"weights": weights}), CLASSES)
    given = {name for name, _ in detector.named_parameters() if name.startswith(taken)}
    assert {name.split(".")[0] for name in given} == {"backbone", "neck", "rpn_head"}
    assert not any("deform" in name for name in given)


def test_what_cannot_be_trained_is_a_line_and_leaves_nothing(
    falldet_command: Command, painted_sets: tuple[Path, Path], tmp_path: Path
):
    usual = settings_of(*painted_sets)
    train, develop = painted_sets
    (tmp_path / "no.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    one_clip = json.loads(train.read_text())
    one_clip["images"] = [image | {"group": "clip"} for image in one_clip["images"]]
    clip = train.with_name("clip.json")
    clip.write_text(json.dumps(one_clip))
    pool = "data.train=[{{source: {{type: coco, file: {}}}}}]"
    two = (
        f"data.train=[{{source: {{type: coco, file: {train}}}}}, {{source: {{type: coco, file: {develop}}}}}]"
    )
    for settings, text in (
        (SMALL, "data.train: no set to learn from; name one"),
        ((*usual, pool.format("gone.json")), "gone.json: "),
        ((*usual, pool.format("no.json")), "no.json: has no picture that can be used"),
        ((*SMALL, pool.format(clip)), "is all of one group, so that nothing can be held back"),
        ((*usual, "model.weights=gone.param"), "gone.param: no such file"),
        ((*usual, f"model.weights={train}"), f"{train}: "),
        ((*usual, two, "engine=mmdet"), "data.train: mmdet learns from one set here; join them"),
        ((*usual, "batches.batch_sise=3"), "did you mean 'batch_size'?"),
        ((*usual, "batches.scale_px=[96, 64]"), "from the smaller side to the larger"),
        ((*usual, "batches.augment.scale=[2, 1]"), "from the smaller factor to the larger"),
        ((*usual, "model={type: dens}"), "did you mean 'dense'?"),
    ):
        code, out, err = falldet_command("train", *settings)
        assert (code, out) == (2, ""), (settings[-1], err)
        lines = [line for line in err if text in line]
        assert len(lines) == 1, (text, err)
        assert not any("Traceback" in line for line in err)
        assert not Path("runs").exists() or not list(Path("runs").iterdir()), settings[-1]
    code, _, err = falldet_command("train", "lihgt")
    assert code == 2 and err[-1].endswith("did you mean 'light'?")
    code, _, err = falldet_command("train", *usual, "--resume", "--out", "gone")
    assert (code, err) == (2, ["gone: there is no run to go on with; leave out --resume to start it"])


def test_a_full_disk_is_told_and_the_run_says_failed(painted_sets: tuple[Path, Path], tmp_path: Path):
    """Every file is limited to 300 kB, so that no checkpoint can be written."""
    script = (
        "import resource, signal, torch\n"
        "torch.set_num_threads(1)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "from falldet.cli import main\n"
        "main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, "train", "--out", "out", *settings_of(*painted_sets)],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "a file has become larger than is allowed here"
    run = Run.open(tmp_path / "out")
    assert run.status == "failed" and run.record["error"]
    assert not list((tmp_path / "out").rglob("*.part")) and not (tmp_path / "out/model.safetensors").exists()


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_recipe_is_a_config_and_a_detector(recipe: str):
    config = load_config(FalldetConfig, RECIPES / f"{recipe}.yaml", ()).config
    assert config.name == recipe
    assert config.data.train
    with torch.device("meta"):
        detector = build_detector(config.model, 2)
        losses = isinstance(detector, torch.nn.Module) and callable(detector.losses)
    assert losses
    million = sum(parameter.numel() for parameter in detector.parameters()) / 1e6
    sizes = {"light": (0.8, 1.1), "light_cascade": (3, 6), "mmdet": (0.8, 1.1)}
    low, high = sizes.get(recipe, (60, 200))
    assert low < million < high
    light = isinstance(config.model, CascadeOptions) and isinstance(
        config.model.proposals, PersonProposalOptions
    )
    if light or recipe == "light":  # a frozen backbone must not be a random one
        assert config.model.weights is not None and config.model.weights.suffix == ".param"


def test_check_tells_sets_and_detector(painted_sets: tuple[Path, Path]):
    loaded = load_config(FalldetConfig, None, settings_of(*painted_sets))
    rows = check_experiment(loaded.config).rows
    assert [row[0] for row in rows] == ["learn", "develop", "detector"]
    assert list(rows[0][2:5]) == [16, 8, 8] and list(rows[1][2:5]) == [8, 4, 4]
    assert "random weights" in str(rows[2][5]) and " M parameters" in str(rows[2][5])


def test_a_set_may_be_learned_from_with_others(falldet_command: Command, painted_sets: tuple[Path, Path]):
    train, develop = painted_sets
    pools = ", ".join(
        f"{{source: {{type: coco, file: {file}}}, share: {share}}}"
        for file, share in ((train, 3), (develop, 1))
    )
    code, out, err = falldet_command("check", *settings_of(*painted_sets), f"data.train=[{pools}]")
    assert code == 0, err
    assert out.count("learn ") == 2 and "3 shares" in out and "1 shares" in out
