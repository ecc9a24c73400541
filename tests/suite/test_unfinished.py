"""Which run `--resume` goes on with, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.config import Config
from suite.errors import BadInput
from suite.run import Run
from suite.unfinished import unfinished


class Part(Config):
    rate: float = 0.5
    sides: tuple[int, ...] = (1, 2)


class Settings(Config):
    epochs: int = 3
    file: Path | None = None
    part: Part = Part()


def stopped(folder: Path, config: Config) -> Path:
    """A run that was interrupted, and left something."""
    with pytest.raises(KeyboardInterrupt), Run.create(folder, config=config) as run:
        run.path("half.txt").write_text("half")
        raise KeyboardInterrupt
    return run.folder


def finished(folder: Path, config: Config) -> None:
    with Run.create(folder, config=config):
        pass


def test_the_newest_of_a_name_is_taken_up(tmp_path: Path):
    config = Settings(epochs=5, file=tmp_path / "a b.json", part=Part(rate=1e-3))
    finished(tmp_path / "run", config)
    stopped(tmp_path / "run-2", config)
    run = unfinished(tmp_path / "run", config, numbered=True)
    assert run.folder == tmp_path / "run-2"
    assert run.status == "running" and run.record["resumes"] == 1
    assert (run.folder / "half.txt").read_text() == "half"


def test_a_folder_that_was_named_is_the_one(tmp_path: Path):
    stopped(tmp_path / "run", Settings())
    stopped(tmp_path / "run-2", Settings())
    assert unfinished(tmp_path / "run", Settings(), numbered=False).folder == tmp_path / "run"


def refused(folder: Path, config: Config, numbered: bool = False) -> str:
    before = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}
    with pytest.raises(BadInput) as caught:
        unfinished(folder, config, numbered=numbered)
    assert {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()} == before
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_what_cannot_be_taken_up_is_left_as_it_is(tmp_path: Path):
    folder = tmp_path / "run"
    assert "there is no run to go on with; leave out --resume" in refused(folder, Settings())
    folder.mkdir()
    assert "no config.yaml here" in refused(folder, Settings())
    folder.rmdir()
    finished(folder, Settings())
    assert "the run has finished" in refused(folder, Settings())
    stopped(tmp_path / "run-2", Settings(part=Part(rate=0.25)))
    text = refused(folder, Settings(), numbered=True)
    assert text.startswith(f"{folder}-2: was started with other settings (part.rate: 0.25, now 0.5)")
    text = refused(tmp_path / "run-2", Settings(epochs=4))
    assert "(epochs: 3, now 4 and 1 more)" in text


def test_lists_and_missing_keys_count_as_settings(tmp_path: Path):
    stopped(tmp_path / "run", Settings(part=Part(sides=(1, 2, 3))))
    assert "part.sides: [1, 2, 3], now [1, 2]" in refused(tmp_path / "run", Settings())
    unfinished(tmp_path / "run", Settings(part=Part(sides=(1, 2, 3))), numbered=False)
