"""A training that is killed, stopped or sent astray: what resumes, resumes exactly; the rest is one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engine_problem as problem
import pytest
import torch
from torch import nn

from suite.engine import random_state
from suite.engine.interrupts import Stopped
from suite.engine.logs import read_log
from suite.engine.loop import Trained
from suite.engine.options import AdamW
from suite.errors import BadInput

ROOT = Path(__file__).parents[2]
SCRIPT = Path(problem.__file__)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """A training that nothing disturbed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    return problem.train(folder), folder


def run_script(folder: Path, number: int, epoch: int, batch: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(folder), "plain", str(int(number)), str(epoch), str(batch)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def assert_same(resumed: Trained, folder: Path, whole: tuple[Trained, Path]) -> None:
    """Bit for bit: weights, buffers, optimizer, average, history, log."""
    trained, other = whole
    for (name, ours), (_, theirs) in zip(
        resumed.model.state_dict().items(), trained.model.state_dict().items(), strict=True
    ):
        assert torch.equal(ours, theirs), name
    saved, expected = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (folder, other))
    for part in ("model", "ema", "optimizer", "means", "random", "learning_rate"):
        assert flat(saved[part]) == flat(expected[part]), part
    assert without_times(resumed.history) == without_times(trained.history)
    assert (folder / "log.csv").read_text() == (other / "log.csv").read_text()


def flat(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: flat(part) for key, part in value.items()}
    return [flat(part) for part in value] if isinstance(value, (list, tuple)) else value


def without_times(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if not key.endswith("_s")} for row in history]


def test_killed_in_an_epoch_and_resumed_gives_the_same_bits(tmp_path: Path, whole: tuple[Trained, Path]):
    done = run_script(tmp_path, signal.SIGKILL, 1, 5)
    assert done.returncode == -signal.SIGKILL
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (saved["position"]["epoch"], saved["position"]["batch"]) == (1, 4)  # batch 4 was lost
    assert_same(problem.train(tmp_path, resume=True), tmp_path, whole)


def test_sigterm_saves_says_so_and_leaves_with_143(tmp_path: Path, whole: tuple[Trained, Path]):
    done = run_script(tmp_path, signal.SIGTERM, 2, 2)
    assert done.returncode == 143
    assert done.stderr.splitlines()[-1].startswith("stopped in epoch 2 (counted from 0) after 10 optimizer")
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert (saved["position"]["epoch"], saved["position"]["batch"]) == (2, 4)  # the group was finished
    assert_same(problem.train(tmp_path, resume=True), tmp_path, whole)


@pytest.mark.parametrize("batch", [1, 6])
def test_stopped_in_this_process_and_resumed(tmp_path: Path, whole: tuple[Trained, Path], batch: int):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped) as caught:
        problem.train(tmp_path, (signal.SIGINT, 1, batch))
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert_same(problem.train(tmp_path, resume=True), tmp_path, whole)


def test_stopped_in_an_evaluation_begins_with_it(tmp_path: Path, whole: tuple[Trained, Path]):
    calls = []

    def evaluate(model: nn.Module, epoch: int) -> dict[str, float]:
        calls.append(epoch)
        torch.rand(3)  # drawn in vain: resuming draws it again
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        return problem.accuracy(model, epoch)

    def undisturbed(model: nn.Module, epoch: int) -> dict[str, float]:
        torch.rand(3)
        return problem.accuracy(model, epoch)

    with pytest.raises(Stopped, match="epoch 1"):
        problem.train(tmp_path / "stopped", evaluate=evaluate)
    expected = problem.train(tmp_path / "whole", evaluate=undisturbed), tmp_path / "whole"
    resumed = problem.train(tmp_path / "stopped", evaluate=evaluate, resume=True)
    assert calls == [0, 1, 1, 2]
    assert_same(resumed, tmp_path / "stopped", expected)


def test_a_finished_training_resumes_to_what_it_gave(whole: tuple[Trained, Path], capsys: Any):
    trained, folder = whole
    again = problem.train(folder, resume=True)
    assert_same(again, folder, whole)
    assert again.best_epoch == trained.best_epoch
    assert again.history == trained.history
    assert capsys.readouterr().err == ""  # nothing was done, so nothing is said


def test_a_log_torn_by_the_kill_is_mended(tmp_path: Path, whole: tuple[Trained, Path]):
    with pytest.raises(Stopped):
        problem.train(tmp_path, (signal.SIGTERM, 1, 3))
    with (tmp_path / "log.csv").open("a") as stream:
        stream.write("7,1.7,0.1,0.5,1.0,\n8,1.8")
    assert_same(problem.train(tmp_path, resume=True), tmp_path, whole)


def test_the_resumed_run_computes_as_the_first_did(tmp_path: Path):
    settings = problem.options(channels_last="auto")
    with pytest.raises(Stopped):
        problem.train(tmp_path, (signal.SIGTERM, 0, 1), options=settings)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    flipped = not saved["precision"]["channels_last"]  # whatever this machine finds, resuming must not probe
    saved["precision"]["channels_last"] = flipped
    torch.save(saved, tmp_path / "checkpoint.pt")
    resumed = problem.train(tmp_path, options=settings, resume=True)
    assert resumed.precision.channels_last is flipped
    assert resumed.model[0].weight.is_contiguous(memory_format=torch.channels_last) is flipped  # pyright: ignore


def test_nothing_to_resume_is_said_and_it_starts(tmp_path: Path, whole: tuple[Trained, Path], capsys: Any):
    assert_same(problem.train(tmp_path, resume=True), tmp_path, whole)
    assert f"Training: no {tmp_path / 'checkpoint.pt'} to resume, so it starts" in capsys.readouterr().err


def test_a_training_is_not_overwritten(whole: tuple[Trained, Path]):
    _, folder = whole
    before = (folder / "checkpoint.pt").read_bytes()
    with pytest.raises(BadInput, match="a training is here already; resume it"):
        problem.train(folder)
    assert (folder / "checkpoint.pt").read_bytes() == before


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("true",))


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "code", "other"])
def test_a_damaged_checkpoint_is_one_line(tmp_path: Path, whole: tuple[Trained, Path], kind: str):
    path = tmp_path / "checkpoint.pt"
    content = (whole[1] / "checkpoint.pt").read_bytes()
    match kind:
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("not a checkpoint\n")
        case "code":
            torch.save({"version": 1, "run": Malicious()}, path)
        case _:
            torch.save({"weight": torch.zeros(2)}, path)
    says = r"checkpoint\.pt: (the checkpoint is damaged|this is no checkpoint)"
    with pytest.raises(BadInput, match=says) as caught:
        problem.train(tmp_path, resume=True)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_identity_model_or_optimizer_is_refused(tmp_path: Path):
    short = problem.options(epochs=1)
    problem.train(tmp_path, options=short, identity="a")
    with pytest.raises(BadInput, match="belongs to another model, data or settings"):
        problem.train(tmp_path, options=short, identity="b", resume=True)
    with pytest.raises(BadInput, match="of another optimizer"):
        changed = problem.options(epochs=1, optimizer=AdamW())
        problem.train(tmp_path, options=changed, identity="a", resume=True)
    with pytest.raises(BadInput, match="an average of the weights"):
        problem.train(tmp_path, options=problem.options(epochs=1, ema=None), identity="a", resume=True)
    with pytest.raises(BadInput, match=r"of another model: 5\.bias, 5\.weight differ"):
        narrow = problem.network()
        narrow[5] = nn.Linear(128, 2)  # pyright: ignore
        problem.fit(narrow, problem.loss, problem.Batches(), short, tmp_path, identity="a", resume=True)


def test_random_states_are_captured_whole():
    import random

    import numpy as np

    def draw() -> list[float]:
        return [random.random(), random.gauss(0, 1), np.random.normal(), torch.rand(1).item()]  # noqa: NPY002

    random_state.seed_all(-5)
    np.random.normal()  # noqa: NPY002  leaves a second Gaussian waiting
    with random_state.untouched():
        first = draw()
    assert draw() == first
    random_state.seed_all(-5, rank=1)
    assert draw() != first


def test_lines_of_the_log(whole: tuple[Trained, Path]):
    trained, folder = whole
    rows = read_log(folder / "log.csv")
    assert [row["step"] for row in rows] == ["3", "4", "6", "8", "9", "12"]
    ends = [row for row in rows if "accuracy" in row]
    accuracies = [row["accuracy"] for row in trained.history]
    assert [float(row["accuracy"]) for row in ends] == pytest.approx(accuracies)
    assert all(float(row["twice"]) == pytest.approx(2 * float(row["loss"]), rel=1e-6) for row in rows)
