"""What ends a training, in one line, with an exit code, and with no result half written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch


@pytest.fixture
def images(digit_folders: Callable[..., Path], tmp_path: Path) -> Path:
    return digit_folders(tmp_path / "images", 6, classes=3)


def one_class(root: Path) -> None:
    for name in ("1", "2"):
        for path in (root / name).iterdir():
            path.unlink()
        (root / name).rmdir()


def stranger(root: Path) -> None:
    lines = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.rglob("*.png"))]
    (root / "table.csv").write_text("\n".join(["image,label", *lines[:-1], "2/5.png,nine"]) + "\n")


TABLE = "data.source={type: csv, file: images/table.csv}"


@pytest.mark.parametrize(
    ("spoil", "settings", "parts"),
    [
        (lambda root: None, ["data.source.root=nowhere"], ["nowhere: no such folder"]),
        (one_class, [], ["images: only one class, '0'"]),
        (lambda root: (root / "empty").mkdir(), [], ["images/empty: the class folder holds no images"]),
        (stranger, [TABLE, "data.classes=['0', '1', '2']"], ["table.csv:19: the label 'nine'"]),
        (lambda root: (root / "1/3.png").write_bytes(b""), [], ["1/3.png", "0 bytes"]),
        (lambda root: None, ["data.split.use=[7]"], ["there is no fold 7"]),
        (lambda root: None, ["model.head.type=multi_label"], ["model.head.type=multi_label"]),
        (lambda root: None, ["loss.criterion.class_weights=[1, 2]"], ["class_weights"]),
    ],
    ids=["missing folder", "one class", "empty class", "label", "empty image", "fold", "head", "weights"],
)
def test_bad_input_is_one_line_and_leaves_no_result(
    imcls_command, images: Path, small, spoil, settings, parts
):
    spoil(images)
    given = [*small, "data.source.root=images", "data.cache=cache", *settings]
    code, _, err = imcls_command("train", *given, "--out", "run")
    assert code == 2
    assert len(err) == 1, err
    assert all(part in err[0] for part in parts), err
    assert not list(Path().rglob("member.json"))
    assert not list(Path().rglob("oof.npz"))
    assert not Path("run/report.html").exists()


def test_an_empty_image_may_be_left_out(imcls_command, images: Path, small):
    (images / "1" / "3.png").write_bytes(b"")
    given = ["data.source.root=images", "data.cache=cache", "data.unreadable=skip", "train.epochs=1"]
    code, _, _ = imcls_command("train", *small, *given, "--out", "run")
    assert code == 0
    assert "1/3.png" in Path("run/report.html").read_text()


def test_a_loss_that_is_not_a_number_says_the_step_and_keeps_the_batch(imcls_command, images: Path, small):
    given = ["data.source.root=images", "data.cache=cache", "train.optimizer.lr=1e30", "train.epochs=9"]
    code, _, err = imcls_command("train", *small, *given, "train.warmup_epochs=0", "--out", "run")
    assert code == 1
    assert len(err) == 1, err
    assert "the loss is nan in epoch" in err[0]
    assert "optimizer steps" in err[0]
    kept = torch.load("run/members/fold-0/nan_batch.pt", weights_only=True)
    assert any(isinstance(part, torch.Tensor) and part.shape[1:] == (3, 16, 16) for part in _parts(kept))
    assert not list(Path("run").rglob("member.json"))
    assert not Path("run/oof.npz").exists()


def _parts(held: object) -> list[object]:
    if isinstance(held, dict):
        held = list(held.values())
    return [leaf for part in held for leaf in _parts(part)] if isinstance(held, list | tuple) else [held]


def test_a_checkpoint_or_weights_of_another_model_are_refused(imcls_command, images: Path, small):
    given = [*small, "data.source.root=images", "data.cache=cache", "train.epochs=1", "data.split.use=[0]"]
    assert imcls_command("train", *given, "--out", "run")[0] == 0
    weights = "run/members/fold-0/model.safetensors"
    wider = ["model.backbone.width=16", f"model.backbone.weights={weights}"]
    code, _, err = imcls_command("train", *given, *wider, "--out", "other")
    assert code == 2
    assert len(err) == 1, err
    assert weights in err[0]

    # a checkpoint that was put into the folder of another training
    other = ["train.optimizer.lr=1e30"]  # of one step, so that no loss tells
    code, _, err = imcls_command("train", *given, *other, "--out", "third")
    assert code == 1
    assert len(err) == 1, err
    assert "values that are not finite" in err[0]
    folder = Path("third/members/fold-0")
    assert not (folder / "member.json").exists()
    folder.joinpath("checkpoint.pt").write_bytes(Path("run/members/fold-0/checkpoint.pt").read_bytes())
    code, _, err = imcls_command("train", *given, *other, "--out", "third", "--resume")
    assert code == 2
    assert len(err) == 1, err
    assert "checkpoint.pt" in err[0]
    assert not (folder / "member.json").exists()
