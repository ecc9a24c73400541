"""What a training leaves to read: ``log.csv``, TensorBoard events if asked for, and a bar on the terminal.

Each line of the log carries the means of the loss terms since the line before; lines at the ends of epochs
carry the epoch's figures too. A column is added when a figure first appears.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import torch

from suite.files import atomic_write
from suite.progress import track

NAME = "log.csv"
TENSORBOARD = "tensorboard"
_MOST_PENDING = 256


class Means:
    """Running means of the loss terms since the last line of the log and since the epoch began.

    Values stay on their device until a mean is asked for: adding them waits for nothing. They are summed one
    by one in float64, so that the means do not depend on when that happens.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[tuple[str, ...], torch.Tensor | tuple[torch.Tensor, ...]]] = []
        self._sums: dict[str, dict[str, list[float]]] = {"line": {}, "epoch": {}}

    def add(self, terms: Mapping[str, torch.Tensor]) -> None:
        self._pending.append((tuple(terms), tuple(value.detach() for value in terms.values())))
        if len(self._pending) >= _MOST_PENDING:
            self._settle()

    def take(self, since: str) -> dict[str, float]:
        """Means since "line" or "epoch", which then starts anew."""
        self._settle()
        sums, self._sums[since] = self._sums[since], {}
        return {name: total / count for name, (total, count) in sums.items()}

    def _settle(self) -> None:
        if not self._pending:
            return
        flat = torch.stack([value.float() for _, values in self._pending for value in values]).tolist()
        values = iter(flat)
        for names, _ in self._pending:
            for name in names:
                value = next(values)
                for sums in self._sums.values():
                    total = sums.setdefault(name, [0.0, 0])
                    total[0] += value
                    total[1] += 1
        self._pending.clear()

    def state_dict(self) -> dict[str, Any]:
        self._settle()
        return {
            since: {name: list(total) for name, total in sums.items()} for since, sums in self._sums.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._pending.clear()
        self._sums = {
            since: {name: list(total) for name, total in sums.items()} for since, sums in state.items()
        }


class Log:
    """The CSV file ``folder``/log.csv and, with ``tensorboard``, event files beside it; a context manager.

    Lines after the first ``keep`` are cut off: a training resumed after ``step`` steps has none twice.
    With ``write`` False (on ranks other than 0) nothing is written.
    """

    def __init__(
        self, folder: Path, *, keep: int, step: int, tensorboard: bool = False, write: bool = True
    ) -> None:
        self.path = folder / NAME
        self.write = write
        self.lines = keep
        self._columns: list[str] = []
        self._events: Any = None
        if not write:
            return
        folder.mkdir(parents=True, exist_ok=True)
        rows = read_log(self.path)[:keep]
        self._columns = [name for name in _columns(self.path) if any(name in row for row in rows)]
        self._rewrite(rows)
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(folder / TENSORBOARD), purge_step=step + 1)

    def line(self, step: int, epoch: float, figures: Mapping[str, float]) -> int:
        """Append ``figures`` after ``step`` optimizer steps, ``epoch`` epochs; returns how many lines."""
        self.lines += 1
        if not self.write:
            return self.lines
        row = {"step": step, "epoch": round(epoch, 4), **figures}
        if new := [name for name in row if name not in self._columns]:
            rows = read_log(self.path) if self._columns else []
            self._columns += new
            self._rewrite(rows)
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(self._text([row]))
        if self._events is not None:
            for name, value in figures.items():
                self._events.add_scalar(name, value, step)
        return self.lines

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        if self._events is not None:
            self._events.close()

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with atomic_write(self.path, "w") as stream:
            stream.write(self._text([dict(zip(self._columns, self._columns, strict=True)), *rows]))

    def _text(self, rows: list[dict[str, Any]]) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writerows(
            [{k: f"{v:.8g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
        )
        return text.getvalue() if self._columns else ""


def read_log(path: Path) -> list[dict[str, str]]:
    """Lines of a log by column, values that a line does not have left out; a torn last line is dropped."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(io.StringIO(whole, newline=""))
    return [{name: value for name, value in row.items() if value} for row in rows if row.get("step")]


def ticks(total: int, what: str, show: bool) -> Generator[int]:
    """Take one item for each batch begun, one more at the end: a bar with the time left, on a terminal."""
    yield from track(range(total), what) if show else range(total)


def _columns(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return next(csv.reader(stream), [])
