"""Stages of a pipeline: each makes one folder from files and options, once, and goes on after a kill.

A stage's key is a hash of its name and version, its options and the content of its inputs. What is made with
the same key is taken as it is; with another key it is made again. The key and the cost lie in the folder's
stage.json, which is written last: a folder without one is not done.

What outlives a kill lies in ROOT/.work/STAGE, under the key that it belongs to.
"""

from __future__ import annotations

import errno
import json
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from nerfrecon.stage_cost import Meter
from nerfrecon.stage_key import Hashes, stage_key
from suite.config import Config
from suite.errors import BadInput, SuiteError
from suite.files import atomic_write

RECORD, WORK = "stage.json", ".work"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_SAID = ("no space left on device", "disk is full", "quota exceeded")


@dataclass(frozen=True)
class Stage:
    """One step from paths to a folder.

    `make(out, work)` writes the folder `out`; `work` is a folder of its own that outlives a kill. A stage
    that `resumes` finds in `out` what an earlier attempt with the same key has left; for all others `out` is
    not there. `expected_s` is about what it will take, for the time that is left.
    """

    name: str
    out: Path
    make: Callable[[Path, Path], object]
    inputs: tuple[Path, ...]
    options: Config | None = None
    version: int = 1
    resumes: bool = False
    expected_s: float | int | None = None


@dataclass(frozen=True)
class StageRecord:
    """What stage.json holds. Costs are those of making it, however often it was interrupted; `cached` says
    that this call found it done."""

    name: str
    key: str
    cpu_s: float
    wall_s: float
    peak_gb: float
    bytes: int
    attempts: int = 1
    cached: bool = False


class StageStopped(SuiteError):
    """The pipeline was asked to stop; what is done stays."""

    def __init__(self, stage: str, number: int, of: int, root: Path, signal_number: int) -> None:
        super().__init__(stage, number, of, root, signal_number)
        self.exit_code = 128 + signal_number
        self._line = (
            f"stopped in stage {number} of {of} ({stage}); {root} keeps what is done: "
            "give the same command again to go on"
        )

    def __str__(self) -> str:
        return self._line


class _Signalled(BaseException):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run_stages(
    stages: Sequence[Stage],
    root: Path,
    after: Callable[[list[StageRecord]], None] = lambda records: None,
) -> list[StageRecord]:
    """Make what is not there yet, one after the other; `after` is told all records after each stage.

    Raises StageStopped after Ctrl-C or SIGTERM, SuiteError where the disk is full, and what a stage raises.
    """
    hashes, records = Hashes(root), []
    with _terminable():
        for number, stage in enumerate(stages, 1):
            records.append(_done_or_made(stage, number, stages, root, hashes))
            after(records)
    return records


def read_record(folder: Path) -> StageRecord | None:
    """The record of a finished stage; None where it is not finished, or says nothing readable."""
    try:
        return StageRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _done_or_made(
    stage: Stage, number: int, stages: Sequence[Stage], root: Path, hashes: Hashes
) -> StageRecord:
    place = f"[{number}/{len(stages)}] {stage.name}"
    try:
        key = stage_key(stage.name, stage.version, stage.options, stage.inputs, hashes)
        before = read_record(stage.out)
        if before is not None and before.key == key:
            _say(f"{place}: as it was made before")
            return StageRecord(**{**asdict(before), "cached": True})
        _say(f"{place}{_time_left(stages[number - 1 :])}")
        made = _made(stage, key, root)
    except KeyboardInterrupt:
        raise StageStopped(stage.name, number, len(stages), root, signal.SIGINT) from None
    except _Signalled as stop:
        raise StageStopped(stage.name, number, len(stages), root, stop.number) from None
    except SuiteError as error:
        if error.exit_code > 128:  # the training has a way of its own to stop
            stop = error.exit_code - 128
            raise StageStopped(stage.name, number, len(stages), root, stop) from None
        raise
    except Exception as error:
        if not _disk_is_full(error):
            raise
        raise SuiteError(
            f"{root}: the disk is full in stage {number} of {len(stages)} ({stage.name}); make room and give "
            "the same command again: finished stages are kept"
        ) from error
    _say(f"{place}: {made.wall_s:.0f} s, {made.cpu_s:.0f} CPU-s, {made.peak_gb:.2f} GB")
    return made


def _made(stage: Stage, key: str, root: Path) -> StageRecord:
    work = root / WORK / stage.name
    spent = _take_up(stage, work, key)
    earlier = work / "earlier"
    if stage.out.exists() and not (stage.resumes and spent is not None):
        shutil.rmtree(earlier, ignore_errors=True)
        stage.out.rename(earlier)
    spent = {"cpu_s": 0.0, "wall_s": 0.0, "peak_gb": 0.0, "attempts": 0} if spent is None else spent
    meter = Meter()
    try:
        stage.make(stage.out, work)
        if not stage.out.is_dir():
            raise BadInput(f"stage {stage.name} has made nothing", stage.out)
        cost = _sum(spent, meter)
        record = StageRecord(stage.name, key, bytes=_size(stage.out), **cost)
        with atomic_write(stage.out / RECORD, "w") as stream:
            json.dump(asdict(record), stream, indent=1)
    except BaseException:
        if not stage.resumes:
            _put_back(stage.out, earlier)
        _note(work, key, _sum(spent, meter))
        raise
    shutil.rmtree(work, ignore_errors=True)
    return record


def _take_up(stage: Stage, work: Path, key: str) -> dict[str, Any] | None:
    """What earlier attempts with this key have cost; None for the first of them, in an empty folder."""
    try:
        noted = json.loads((work / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        noted = {}
    if noted.get("key") == key:
        return noted["spent"]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    nothing = {"cpu_s": 0.0, "wall_s": 0.0, "peak_gb": 0.0, "attempts": 0}
    with atomic_write(work / RECORD, "w") as stream:
        json.dump({"key": key, "spent": nothing}, stream)
    return None


def _note(work: Path, key: str, spent: dict[str, Any]) -> None:
    try:
        with atomic_write(work / RECORD, "w") as stream:
            json.dump({"key": key, "spent": spent}, stream)
    except OSError:
        pass  # a full disk: the cost of this attempt is lost, nothing else


def _sum(spent: dict[str, Any], meter: Meter) -> dict[str, Any]:
    now = meter.read()
    return {
        "cpu_s": round(spent["cpu_s"] + now.cpu_s, 2),
        "wall_s": round(spent["wall_s"] + now.wall_s, 2),
        "peak_gb": round(max(spent["peak_gb"], now.peak_gb), 3),
        "attempts": spent["attempts"] + 1,
    }


def _put_back(out: Path, earlier: Path) -> None:
    """What was there before a stage failed belongs to other settings, but can still be looked at."""
    if earlier.exists():
        shutil.rmtree(out, ignore_errors=True)
        earlier.rename(out)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether it, or what it came from, is the disk's refusal; libraries in C++ say it in words."""
    while error is not None:
        said = str(error).lower()
        if getattr(error, "errno", None) in _FULL or any(words in said for words in _FULL_SAID):
            return True
        error = error.__cause__ or error.__context__
    return False


def _time_left(stages: Sequence[Stage]) -> str:
    expected = [stage.expected_s for stage in stages]
    known = [one for one in expected if one is not None]
    if not known:
        return " ..."
    left = sum(known)
    told = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
    return f" ... (about {told} of computing left{' or more' if len(known) < len(expected) else ''})"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the stage that runs as Ctrl-C does; outside the main thread Python takes no handlers."""

    def stop(number: int, _: FrameType | None) -> None:
        raise _Signalled(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
