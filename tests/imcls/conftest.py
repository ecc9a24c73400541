"""What tests of whole trainings share: folders of digits, tiny settings, and the command called in place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from imcls.cli import main
from imcls.config import ImclsConfig
from imcls.train import train
from suite.config import load_config
from suite.run import Run

Command = Callable[..., tuple[object, str, list[str]]]

SMALL = (
    "model.backbone={type: resnet9, width: 8}",
    "input.image_px=16",
    "input.crop_share=1.0",
    "input.batch_size=16",
    "input.augment.transforms=[{type: random_crop, padding: 0.0625, border: zero}]",
    "train.optimizer={type: sgd, lr: 0.1}",
    "train.precision=fp32",
    "train.channels_last=no",
    "train.accelerator=cpu",
    "data.split={folds: 3, use: all, near_duplicates: false}",
    "evaluation.bootstrap=100",
    "report.pictures=2",
    "report.grad_cam=false",
)
"""An experiment of seconds; precision is given, since what `auto` measures may differ between two runs."""


def write_digit_folders(root: Path, each: int, classes: int = 10, start: int = 0) -> Path:
    """``each`` images of 16 px of the digits 0 to ``classes`` - 1, from the ``start``-th on."""
    pixels, labels = load_digits(n_class=classes, return_X_y=True)
    for label in range(classes):
        (root / str(label)).mkdir(parents=True)
        for i, grey in enumerate(pixels[labels == label][start : start + each]):
            large = np.kron(grey.reshape(8, 8), np.ones((2, 2))) * 15.9
            Image.fromarray(large.astype(np.uint8)).save(root / str(label) / f"{start + i}.png")
    return root


def train_small(images: Path, folder: Path, settings: Sequence[str] = ()) -> Path:
    """A run with ``settings`` over SMALL."""
    own = (f"data.source.root={images}", f"data.cache={folder.parent / 'cache'}")
    loaded = load_config(ImclsConfig, overrides=[*SMALL, *own, *settings])
    with Run.create(folder, config=loaded) as run:
        train(loaded, run)
    return run.folder


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Settings of an experiment of seconds, as the command takes them."""
    return SMALL


@pytest.fixture(scope="session")
def digit_folders() -> Callable[..., Path]:
    """(root, each, classes=10, start=0) -> class folders of digits."""
    return write_digit_folders


@pytest.fixture(scope="session")
def train_run() -> Callable[..., Path]:
    """(images, folder, settings) -> the folder of a small run."""
    return train_small


@pytest.fixture
def imcls_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Calls the command in an empty folder; gives exit code, stdout, and stderr without progress."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> tuple[object, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["imcls", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        said = [line for line in lines if not line.endswith(" ...") and " done in " not in line]
        return left.value.code, captured.out, said

    return call
