"""What tests of whole trainings share: painted sets, runs over them, and the command called in place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from falldet_command import Command, settings_of
from painted_people import write_painted

from suite.config import load_config
from suite.run import Run


@pytest.fixture(scope="session")
def painted_sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """COCO files of 16 pictures to learn from and 8 to choose the threshold on."""
    root = tmp_path_factory.mktemp("painted sets")
    return write_painted(root / "learned", 16, 1), write_painted(root / "chosen", 8, 2)


def _trained(folder: Path, settings: tuple[str, ...]) -> Path:
    import torch

    from falldet.config import FalldetConfig
    from falldet.train import train

    torch.set_num_threads(1)
    loaded = load_config(FalldetConfig, None, settings)
    with Run.create(folder, config=loaded) as run:
        train(loaded.config, run)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, painted_sets: tuple[Path, Path]) -> Path:
    """A run of two epochs."""
    return _trained(tmp_path_factory.mktemp("run") / "tiny", settings_of(*painted_sets))


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory, painted_sets: tuple[Path, Path]) -> Path:
    """A run long enough to know who lies."""
    more = (
        "train.epochs=12",
        "batches.augment.mosaic=0",
        "batches.augment.grey=0",
        "evaluation.every_epochs=0",
    )
    return _trained(tmp_path_factory.mktemp("run") / "learned", settings_of(*painted_sets, *more))


@pytest.fixture
def falldet_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs `falldet` in an empty folder; the code, what was said, and the lines of what went wrong."""
    from falldet.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[object, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["falldet", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return left.value.code, said.out, said.err.splitlines()

    return call
