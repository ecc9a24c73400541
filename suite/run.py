"""The run folder: what was asked, with what, on what machine, and what came out.

``run.json`` (command, times, environment, status, artefacts), ``config.yaml`` (every value with its origin),
``data.json`` (inputs with sizes and hashes), ``metrics.json``, and beside them what the run itself writes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import environment
from suite.errors import BadInput, SuiteError
from suite.files import atomic_write, sha256

if TYPE_CHECKING:
    from suite.config import Config, Loaded
    from suite.report.metric import Metric

RECORD, CONFIG, DATA, METRICS = "run.json", "config.yaml", "data.json", "metrics.json"
_OWN = (RECORD, CONFIG, DATA, METRICS)
_VERSION = 1
_MOST_NUMBERS = 10_000


class Run:
    """One run and its folder; a context manager, so that ``run.json`` says how the run ended.

    A run that ends by BadInput before it wrote anything of its own leaves no folder behind; any other failure
    leaves the folder, with ``status`` "failed" and the error.
    """

    def __init__(
        self, folder: Path, record: dict[str, Any], inputs: list[dict[str, Any]], metrics: list[Metric]
    ) -> None:
        """Use :meth:`create` or :meth:`open`."""
        self.folder = folder
        self.record = record
        self.inputs = inputs
        self.metrics = metrics
        self._clocks = time.monotonic(), time.process_time()
        self._spent_s = 0.0, 0.0  # wall and CPU, before the run was taken up again

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        config: Loaded[Any] | Config | None = None,
        command: Sequence[str] | None = None,
        inputs: Iterable[str | Path] = (),
        numbered: bool = False,
    ) -> Run:
        """Make the folder and write what is known at the start. ``command`` is by default this process's own.

        Raises BadInput when the folder has something in it already; with ``numbered`` the next free one of
        ``folder-2``, ``folder-3``, ... is taken instead.
        """
        described = [_describe(path) for given in inputs for path in _files(Path(given))]
        run = cls(_claim(Path(folder), numbered), {}, described, [])
        run.record = {
            "version": _VERSION,
            "status": "running",
            "error": None,
            "command": list(sys.argv if command is None else command),
            "started": _now(),
            "finished": None,
            "wall_s": None,
            "cpu_s": None,
            "environment": _environment(),
            "artefacts": [],
        }
        if config is not None:
            with atomic_write(run.folder / CONFIG, "w") as stream:
                stream.write(_as_yaml(config))
        run._write(RECORD, run.record)
        run._write(DATA, {"inputs": run.inputs})
        run._write(METRICS, {"metrics": {}})
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Read a run back. Raises BadInput when the folder is no run."""
        folder = Path(folder)
        record = _read(folder, RECORD)
        if record.get("version") != _VERSION or not isinstance(record.get("status"), str):
            raise BadInput("not the record of a run of this version", where=folder / RECORD)
        metrics = [_metric(folder, *item) for item in _read(folder, METRICS).get("metrics", {}).items()]
        return cls(folder, record, _read(folder, DATA).get("inputs", []), metrics)

    @classmethod
    def resume(cls, folder: str | Path) -> Run:
        """Take up a run that failed or was killed: it is running again, its start is kept, `resumes` counts.

        Times add up over what is known of them. Raises BadInput when the folder is no run, or one that
        finished.
        """
        run = cls.open(folder)
        if run.status == "finished":
            raise BadInput("the run has finished", where=run.folder, hint="start a new one in another folder")
        return run._take_up()

    @classmethod
    def again(cls, folder: str | Path, *, config: Loaded[Any] | Config | None = None) -> Run:
        """Take up a run whatever became of it, also one that finished, from now on with `config`.

        For work that is known by its parts, of which only what is missing is done. Raises BadInput when the
        folder is no run.
        """
        run = cls.open(folder)
        if config is not None:
            with atomic_write(run.folder / CONFIG, "w") as stream:
                stream.write(_as_yaml(config))
        return run._take_up()

    def _take_up(self) -> Run:
        self._spent_s = float(self.record["wall_s"] or 0), float(self.record["cpu_s"] or 0)
        resumes = int(self.record.get("resumes", 0)) + 1
        self.record |= {
            "status": "running",
            "error": None,
            "finished": None,
            "artefacts": [],
            "resumes": resumes,
        }
        self._write(RECORD, self.record)
        return self

    @property
    def status(self) -> str:
        """``running``, ``finished`` or ``failed``; a run that was killed stays ``running``."""
        return self.record["status"]

    @property
    def artefacts(self) -> tuple[Path, ...]:
        """The files the run wrote, known once it has ended."""
        return tuple(self.folder / entry["path"] for entry in self.record["artefacts"])

    def path(self, name: str) -> Path:
        """Where the artefact ``name`` goes; the folders above it are made."""
        path = self.folder / name
        if name in _OWN or not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"{name!r} cannot be the name of an artefact")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add_input(self, path: str | Path) -> None:
        """Record a file, or all files of a folder, that the result depends on."""
        self._must_be_running()
        self.inputs.extend(_describe(file) for file in _files(Path(path)))
        self._write(DATA, {"inputs": self.inputs})

    def add_metrics(self, metrics: Iterable[Metric]) -> None:
        """Record measured figures; a key counts once, the later value."""
        from suite.report.metric import metrics_dict

        self._must_be_running()
        self.metrics = list({metric.key: metric for metric in (*self.metrics, *metrics)}.values())
        self._write(METRICS, {"metrics": metrics_dict(self.metrics)})

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        artefacts = [
            path for path in _files(self.folder) if path.parent != self.folder or path.name not in _OWN
        ]
        if isinstance(error, BadInput) and not artefacts and not self.record.get("resumes"):
            shutil.rmtree(self.folder)
            return
        wall, cpu = (clock - spent for clock, spent in zip(self._clocks, self._spent_s, strict=True))
        self.record |= {
            "status": "finished" if error is None else "failed",
            "error": None if error is None else _one_line(error),
            "finished": _now(),
            "wall_s": round(time.monotonic() - wall, 3),
            "cpu_s": round(time.process_time() - cpu, 3),
            "artefacts": [_describe(path, self.folder) for path in artefacts],
        }
        self._write(RECORD, self.record)

    def _write(self, name: str, data: dict[str, Any]) -> None:
        with atomic_write(self.folder / name, "w") as stream:
            json.dump(data, stream, indent=2, allow_nan=False)
            stream.write("\n")

    def _must_be_running(self) -> None:
        if self.status != "running":
            raise SuiteError(f"{self.folder}: the run has {self.status}; start a new one")


def _claim(folder: Path, numbered: bool) -> Path:
    """Make ``folder``, or the next free numbered one; an empty folder counts as free."""
    for number in range(1, _MOST_NUMBERS if numbered else 2):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            candidate.mkdir(parents=True)
            return candidate
        except FileExistsError:
            if candidate.is_dir() and not any(candidate.iterdir()):
                return candidate
    raise BadInput("exists already and is not empty", where=folder, hint="choose another folder or remove it")


def _environment() -> dict[str, Any]:
    name, flags = environment.cpu()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": name,
        "isa": list(flags),
        "cores": environment.cores(),
        "memory_gib": round(environment.memory_gib(), 1),
        "commit": environment.commit(),
        "SUITE_PURE": os.environ.get("SUITE_PURE"),
        "packages": environment.packages(),
    }


def _as_yaml(config: Loaded[Any] | Config) -> str:
    from suite.config import Config, dump

    return dump(config) if isinstance(config, Config) else config.to_yaml()


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise BadInput("no such file or folder", where=path)
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _describe(path: Path, below: Path | None = None) -> dict[str, Any]:
    name = str(path) if below is None else path.relative_to(below).as_posix()
    return {"path": name, "size": path.stat().st_size, "sha256": sha256(path)}


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        data = json.loads((folder / name).read_text(encoding="utf-8"))
    except OSError:
        raise BadInput(f"no {name} here", where=folder, hint="name the folder of a run") from None
    except ValueError as error:
        raise BadInput(f"not valid JSON ({error})", where=folder / name) from error
    if not isinstance(data, dict):
        raise BadInput("not the record of a run", where=folder / name)
    return data


def _metric(folder: Path, key: str, entry: dict[str, Any]) -> Metric:
    from suite.report.metric import Metric

    def number(value: float | None) -> float:
        return float("nan") if value is None else float(value)  # JSON has no NaN

    try:
        low, high = entry.get("interval", (None, None))
        interval = (number(low), number(high)) if "interval" in entry else None
        return Metric(
            key, number(entry["value"]), entry["unit"], entry["better"], interval, entry.get("note", "")
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"metric {key} cannot be read ({error})", where=folder / METRICS) from error


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, SuiteError) else f"{type(error).__name__}: {text}".removesuffix(": ")
