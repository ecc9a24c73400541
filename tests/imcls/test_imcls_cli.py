"""The command line from the outside: what it does, and one clear line for each thing a user can get wrong."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from imcls.cli import RECIPES
from imcls.config import ImclsConfig
from imcls.member import WEIGHTS, card_of, write_member
from imcls.model.build import build_classifier
from suite.config import load_config
from suite.run import Run

VERBS = {
    *("check", "audit", "split", "train", "eval", "predict"),
    *("ensemble", "ablate", "export", "report", "bench", "schema"),
}
TINY = (
    "model.backbone={type: resnet9, width: 8}",
    "input.image_px=32",
    "input.batch_size=16",
    "train.epochs=2",
)
CLASSES = ("0", "1", "2")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders with twelve pictures each of scikit-learn's digits 0, 1 and 2."""
    root = tmp_path_factory.mktemp("digits")
    pixels, labels = load_digits(n_class=3, return_X_y=True)
    for label in range(3):
        (root / str(label)).mkdir()
        for i, picture in enumerate(pixels[labels == label][:12]):
            image = Image.fromarray((picture.reshape(8, 8) * 15.9).astype("uint8")).resize((40, 36 + i))
            image.save(root / str(label) / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def run(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two members that learned nothing."""
    loaded = load_config(ImclsConfig, overrides=[*TINY, f"data.source.root={digits}"])
    with Run.create(tmp_path_factory.mktemp("runs") / "digits", config=loaded, command=["imcls"]) as made:
        for fold in range(2):
            torch.manual_seed(fold)
            model = build_classifier(loaded.config.model, 3, image_px=32)
            write_member(
                made.folder / "members" / f"fold-{fold}",
                model,
                card_of(model, loaded.config, CLASSES, fold=fold),
            )
    return made.folder


def test_help_names_every_verb_and_imports_nothing_heavy():
    code = """
import sys
from imcls.cli import main
try:
    main()
finally:
    heavy = "torch torchvision timm numpy scipy sklearn PIL onnx pydantic".split()
    print("HEAVY", [name for name in heavy if name in sys.modules])
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"
    listed = {
        line.split()[0]
        for line in done.stdout.partition("Commands:")[2].splitlines()
        if line.startswith("  ")
    }
    assert listed >= VERBS


def test_check_says_what_would_be_trained(imcls_command, digits: Path):
    code, out, err = imcls_command("check", f"data.source.root={digits}", *TINY)
    assert code == 0
    assert "36 in 3 classes, 12 to 12 of each" in out
    assert "2 epochs of 1 steps" in out
    assert err == []
    code, _, err = imcls_command(
        "check", f"data.source.root={digits}", *TINY, "model.backbone.frozen_stages=1"
    )
    assert code == 0
    assert err == [
        "warning: model.backbone.frozen_stages holds random weights still: set model.backbone.weights"
    ]


def test_every_recipe_is_valid_and_listed(imcls_command):
    _, out, _ = imcls_command("check", "--list")
    assert [line.split()[0] for line in out.splitlines()] == sorted(
        path.stem for path in RECIPES.glob("*.yaml")
    )
    for path in RECIPES.glob("*.yaml"):
        load_config(ImclsConfig, path)


def copied(digits: Path, to: Path) -> Path:
    for path in digits.rglob("*.png"):
        target = to / path.relative_to(digits)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return to


def one_class(root: Path) -> None:
    for name in ("1", "2"):
        for path in (root / name).iterdir():
            path.unlink()
        (root / name).rmdir()


def table_with_a_stranger(root: Path) -> None:
    lines = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.rglob("*.png"))]
    (root / "table.csv").write_text("\n".join(["image,label", *lines, "0/0.png,nine"]) + "\n")


@pytest.mark.parametrize(
    ("spoil", "settings", "parts"),
    [
        (lambda root: None, ["data.source.root=nowhere"], ["nowhere", "no such folder"]),
        (one_class, [], ["class"]),
        (lambda root: (root / "empty").mkdir(), [], ["empty"]),
        (lambda root: (root / "1" / "3.png").write_bytes(b""), [], ["3.png", "0 bytes"]),
        (
            table_with_a_stranger,
            ["data.source={type: csv, file: ROOT/table.csv}", "data.classes=['0', '1', '2']"],
            ["table.csv", "nine"],
        ),
        (lambda root: None, ["train.epoch=3"], ["train.epoch", "unknown key; did you mean 'epochs'?"]),
        (lambda root: None, ["train.epochs=ten"], ["train.epochs", "integer"]),
        (
            lambda root: None,
            ["model.backbone={type: timm, name: resnett18}"],
            ["model.backbone.name", "did you mean 'resnet18'?"],
        ),
        (
            lambda root: None,
            ["model.backbone={type: custom, target: 'os:system'}"],
            ["allow_code"],
        ),
        (lambda root: None, ["loss.criterion.type=focall"], ["loss.criterion", "focal"]),
    ],
    ids=[
        "missing folder",
        "one class",
        "empty class",
        "empty image",
        "label not in the list",
        "unknown key",
        "wrong type",
        "unknown backbone",
        "code",
        "unknown criterion",
    ],
)
def test_bad_input_of_check_is_one_line(imcls_command, digits: Path, tmp_path: Path, spoil, settings, parts):
    root = copied(digits, tmp_path / "images")
    spoil(root)
    given = [setting.replace("ROOT", str(root)) for setting in settings]
    code, out, err = imcls_command("check", f"data.source.root={root}", *TINY, *given)
    assert code == 2, (out, err)
    assert len(err) == 1, err
    for part in parts:
        assert part in err[0]


def test_every_empty_file_has_its_line(imcls_command, digits: Path, tmp_path: Path):
    root = copied(digits, tmp_path / "images")
    for name in ("0/1.png", "2/5.png"):
        (root / name).write_bytes(b"")
    code, _, err = imcls_command("check", f"data.source.root={root}", *TINY)
    assert code == 2
    assert [line.partition(":")[0] for line in err] == [str(root / "0/1.png"), str(root / "2/5.png")]


def test_predict_writes_names_and_scores(imcls_command, run: Path, digits: Path, tmp_path: Path):
    photos = copied(digits, tmp_path / "photos")
    (photos / "1" / "0.png").write_bytes(b"")
    code, out, err = imcls_command("predict", run, photos, "--out", "scores.csv")
    assert code == 0
    assert "35 images judged, 1 could not be read" in out
    assert len(err) == 1
    assert "1/0.png: is empty (0 bytes)" in err[0]
    with Path("scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["image"] for row in rows[:2]] == ["0/0.png", "0/1.png"]
    for row in rows[:35]:
        shares = {name: float(row[name]) for name in CLASSES}
        assert abs(sum(shares.values()) - 1) < 1e-5
        assert row["label"] == max(shares, key=shares.__getitem__)
    assert (rows[35]["image"], rows[35]["score"]) == ("1/0.png", "")
    code, out, _ = imcls_command(
        "predict", run / "members" / "fold-1", photos / "0" / "0.png", "--out", "one.json"
    )
    assert code == 0
    assert json.loads(Path("one.json").read_text())["images"][0]["image"] == "0.png"


def test_predict_refuses_in_one_line(imcls_command, run: Path, digits: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.jpg").touch()
    damaged = tmp_path / "damaged"
    for name in ("member.json", WEIGHTS):
        damaged.mkdir(exist_ok=True)
        (damaged / name).write_bytes((run / "members" / "fold-0" / name).read_bytes())
    (damaged / WEIGHTS).write_bytes((run / "members" / "fold-1" / WEIGHTS).read_bytes())
    for arguments, part in (
        ((tmp_path / "nowhere", digits), "nowhere: no such folder"),
        ((digits, digits), "holds no trained members"),
        ((run, tmp_path / "empty"), "holds no images"),
        ((run, tmp_path / "broken"), "none of 1 images could be read"),
        ((run, digits, "--out", "a.xlsx"), "a.xlsx: cannot be written as '.xlsx'"),
        ((run, digits, "--device", "cuda:99"), "--device cuda:99: cannot be used"),
        ((damaged, digits), "the weights are not those that the card was written with"),
    ):
        code, _, err = imcls_command("predict", *arguments)
        assert code == 2, err
        assert part in err[-1]
        assert len(err) == 1 or err[0].startswith("left out"), err
    assert not list(tmp_path.glob("*.csv"))


def test_export_writes_a_folder_that_agrees(imcls_command, run: Path):
    code, out, _ = imcls_command("export", run / "members" / "fold-0", "--out", "onnx", "--compare", "8")
    assert code == 0
    assert "12 images: pixels differ by up to 0 levels" in out
    assert Path("onnx/model.onnx").stat().st_size > 10_000
    code, _, err = imcls_command("export", run, "--out", "onnx")
    assert code == 2
    assert err == ["onnx: exists already; choose another name or remove it"]


def test_split_and_audit_write_their_files(imcls_command, digits: Path):
    code, out, _ = imcls_command("split", f"data.source.root={digits}", "name=digits")
    assert (code, out) == (0, "digits-split.json\n")
    images = json.loads(Path("digits-split.json").read_text())["images"]
    assert len(images) == 36
    assert {image["fold"] for image in images} == {0, 1, 2, 3, 4}
    code, out, _ = imcls_command(
        "audit", f"data.source.root={digits}", "data.split.manifest=digits-split.json"
    )
    assert (code, out) == (0, "experiment-audit.html\n")
    assert "<html" in Path("experiment-audit.html").read_text()


def test_resume_wants_the_same_settings_and_an_unfinished_run(imcls_command, digits: Path, run: Path):
    source = f"data.source.root={digits}"
    code, _, err = imcls_command("train", source, *TINY, "--resume", "--out", "gone")
    assert (code, err) == (2, ["gone: there is no run to go on with; leave out --resume to start it"])
    code, _, err = imcls_command("train", source, *TINY, "train.epochs=7", "--resume", "--out", run)
    assert code == 2
    assert "was started with other settings (train.epochs: 2, now 7)" in err[0]
    code, _, err = imcls_command("train", source, *TINY, "--resume", "--out", run)
    assert code == 2
    assert "the run has finished" in err[0]


def test_schema_is_that_of_an_experiment(imcls_command):
    code, out, _ = imcls_command("schema")
    assert code == 0
    assert set(json.loads(out)["properties"]) >= {
        "data",
        "input",
        "model",
        "loss",
        "mix",
        "train",
        "evaluation",
    }


def test_bench_measures_and_writes_figures(imcls_command, digits: Path):
    code, out, _ = imcls_command(*("bench", "own.yaml", f"data.source.root={digits}", *TINY))
    assert code == 2  # there is no such file
    Path("own.yaml").write_text("name: own\n")
    code, out, _ = imcls_command(
        *("bench", "own.yaml", f"data.source.root={digits}", *TINY, "evaluation.tta.flips=[horizontal]"),
        *("--seconds", "0", "--out", "speed.json"),
    )
    assert code == 0
    assert "ONNX Runtime" in out
    metrics = json.loads(Path("speed.json").read_text())["metrics"]
    whats = ("read_and_prepare", "torch", "torch_with_tta", "onnx_runtime")
    assert set(metrics) == {
        f"{w}_batch{b}_{u}" for w in whats for b in (1, 32) for u in ("images_per_s", "cpu_ms")
    }
    assert all(entry["value"] > 0 for entry in metrics.values())
    assert (
        metrics["torch_batch32_images_per_s"]["value"]
        > metrics["torch_with_tta_batch32_images_per_s"]["value"]
    )


def test_ablate_tabulates_changes_on_frozen_features(imcls_command, digits: Path):
    given = [f"data.source.root={digits}", *TINY, "mode=probe", "data.split.folds=2", "data.split.use=all"]
    arguments = ["--vary", "loss.criterion.smoothing=0.1,0.2", "--seeds", "2", "--out", "ablation"]
    code, out, _ = imcls_command("ablate", *given, *arguments)
    assert code == 0
    assert out.count("loss.criterion.smoothing=") == 2
    rows = json.loads(Path("ablation/ablation.json").read_text())["rows"]
    assert [row["name"] for row in rows] == [
        "base",
        "loss.criterion.smoothing=0.1",
        "loss.criterion.smoothing=0.2",
    ]
    assert Path("ablation/ablation.html").is_file()
    code, _, err = imcls_command("ablate", *given)
    assert code == 2
    assert "Give either --vary or --variants." in err[-1]
