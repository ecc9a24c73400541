"""Stages: made once, made again when what they depend on changes, gone on with after a kill, one line for
faults."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from nerfrecon.stage_cost import Meter
from nerfrecon.stages import RECORD, WORK, Stage, StageStopped, read_record, run_stages
from suite.config import Config
from suite.errors import BadInput, SuiteError


class Times(Config):
    """By what a number is multiplied."""

    times: int = 2


class Chain:
    """source.txt -> OUT/first (x times) -> OUT/second (its square); counts what is run."""

    def __init__(self, folder: Path) -> None:
        self.source, self.root = folder / "source.txt", folder / "out"
        self.source.write_text("3")
        self.ran: list[str] = []

    def run(self, times: int = 2, offset: int = 0):
        first, second = self.root / "first", self.root / "second"

        def multiply(out: Path, work: Path) -> None:
            self.ran.append("first")
            out.mkdir(parents=True)
            (out / "n.txt").write_text(str(int(self.source.read_text()) * times))

        def square(out: Path, work: Path) -> None:
            self.ran.append("second")
            out.mkdir()
            (out / "n.txt").write_text(str(int((first / "n.txt").read_text()) ** 2 + offset))

        stages = [
            Stage("first", first, multiply, (self.source,), Times(times=times)),
            Stage("second", second, square, (first,), Times(times=offset)),
        ]
        self.ran.clear()
        return run_stages(stages, self.root)

    @property
    def result(self) -> str:
        return (self.root / "second/n.txt").read_text()


def test_only_what_depends_on_a_change_is_made_again(tmp_path):
    chain = Chain(tmp_path)
    records = chain.run()
    assert chain.ran == ["first", "second"] and chain.result == "36"
    assert [one.cached for one in records] == [False, False] and records[0].bytes == 1
    assert [one.cached for one in chain.run()] == [True, True] and chain.ran == []
    chain.run(offset=1)
    assert chain.ran == ["second"] and chain.result == "37"
    chain.run(times=5, offset=1)
    assert chain.ran == ["first", "second"] and chain.result == "226"
    chain.source.write_text("4")
    chain.run(times=5, offset=1)
    assert chain.ran == ["first", "second"] and chain.result == "401"
    assert not list((chain.root / WORK).iterdir())


def test_a_result_that_is_the_same_again_spares_what_comes_behind(tmp_path):
    chain = Chain(tmp_path)
    chain.run(times=4)
    chain.source.write_text("6")
    chain.run(times=2)
    assert chain.ran == ["first"] and chain.result == "144"


def test_a_folder_without_its_record_is_not_done(tmp_path):
    chain = Chain(tmp_path)
    chain.run()
    (chain.root / "first" / RECORD).unlink()
    chain.run()
    assert chain.ran == ["first"]
    assert read_record(chain.root / "first") is not None and read_record(tmp_path) is None


def test_what_was_there_stays_when_a_stage_fails_and_its_inputs_are_named(tmp_path):
    chain = Chain(tmp_path)
    chain.run()
    chain.source.write_text("no number")
    with pytest.raises(ValueError):
        chain.run()
    assert (chain.root / "first/n.txt").read_text() == "6" and chain.result == "36"
    chain.source.unlink()
    with pytest.raises(BadInput, match=r"source\.txt: no such file"):
        chain.run()
    with pytest.raises(BadInput, match="has made nothing"):
        run_stages([Stage("empty", tmp_path / "none", lambda out, work: None, ())], tmp_path)


def test_a_root_inside_its_inputs_is_no_input(tmp_path):
    (tmp_path / "photo.txt").write_text("a")

    def make(out: Path, work: Path) -> None:
        out.mkdir(parents=True)

    stage = Stage("one", tmp_path / "out/one", make, (tmp_path,))
    assert not run_stages([stage], tmp_path / "out")[0].cached
    assert run_stages([stage], tmp_path / "out")[0].cached
    (tmp_path / "photo.txt").write_text("b")
    assert not run_stages([stage], tmp_path / "out")[0].cached


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("sqlite: database or disk is full"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line(tmp_path, error):
    def write(out: Path, work: Path) -> None:
        raise error

    with pytest.raises(SuiteError, match=r"disk is full in stage 1 of 1 \(big\); make room") as caught:
        run_stages([Stage("big", tmp_path / "big", write, ())], tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_signal_stops_a_stage_and_what_it_kept_is_found_again(tmp_path):
    attempts: list[str] = []

    def count(out: Path, work: Path) -> None:
        out.mkdir(exist_ok=True)
        so_far = (out / "n.txt").read_text() if (out / "n.txt").exists() else ""
        attempts.append(so_far)
        (out / "n.txt").write_text(so_far + "x")
        (work / "kept.txt").write_text("kept")
        if len(attempts) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        assert len(attempts) == 2 and (work / "kept.txt").is_file()

    before = signal.getsignal(signal.SIGTERM)
    stage = Stage("count", tmp_path / "count", count, (), resumes=True)
    with pytest.raises(StageStopped, match=r"stopped in stage 1 of 1 \(count\)") as caught:
        run_stages([stage], tmp_path)
    assert caught.value.exit_code == 143 and signal.getsignal(signal.SIGTERM) is before
    record = run_stages([stage], tmp_path)[0]
    assert attempts == ["", "x"] and record.attempts == 2
    assert (tmp_path / "count/n.txt").read_text() == "xx" and not (tmp_path / WORK / "count").exists()


def test_a_killed_process_goes_on_and_ends_with_the_same_bytes(tmp_path):
    code = """
        import os, signal, sys
        from pathlib import Path
        from nerfrecon.stages import Stage, run_stages
        root, killed = Path(sys.argv[1]), sys.argv[2] == "kill"
        def first(out, work):
            out.mkdir(parents=True); (out / "a.txt").write_text("a" * 1000)
        def second(out, work):
            out.mkdir(exist_ok=True)
            with (out / "b.txt").open("a") as stream:
                while stream.tell() < 100:
                    stream.write("b"); stream.flush()
                    if killed and stream.tell() == 50:
                        os.kill(os.getpid(), signal.SIGKILL)
        run_stages([Stage("first", root / "first", first, ()),
                    Stage("second", root / "second", second, (root / "first",), resumes=True)], root)
    """

    def run(root: Path, how: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", textwrap.dedent(code), str(root), how]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert run(tmp_path / "killed", "kill").returncode == -signal.SIGKILL
    assert (tmp_path / "killed/second/b.txt").read_text() == "b" * 50
    gone_on = run(tmp_path / "killed", "on")
    assert gone_on.returncode == 0 and "first: as it was made before" in gone_on.stderr
    assert run(tmp_path / "whole", "on").returncode == 0
    for name in ("first/a.txt", "second/b.txt"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_costs_are_measured(tmp_path):
    meter = Meter()
    held = np.ones(20_000_000)
    total = sum(float(np.sqrt(held).sum()) for _ in range(5))
    cost = meter.read()
    assert total > 0 and cost.cpu_s > 0.05 and 0.3 < cost.peak_gb < 8 and cost.wall_s > 0
    child = Meter()
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    assert child.read().cpu_s > 0.02


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_what_the_kernel_says_of_a_full_disk_is_understood(tmp_path):
    def write(out: Path, work: Path) -> None:
        out.mkdir()
        (out / "kept.txt").write_text("finished before")

    def overflow(out: Path, work: Path) -> None:
        with Path("/dev/full").open("w") as stream:
            stream.write("x" * 10_000)

    stages = [Stage("small", tmp_path / "small", write, ()), Stage("big", tmp_path / "big", overflow, ())]
    with pytest.raises(SuiteError, match=r"disk is full in stage 2 of 2 \(big\).*finished stages are kept"):
        run_stages(stages, tmp_path)
    assert (tmp_path / "small/kept.txt").is_file() and read_record(tmp_path / "small") is not None
