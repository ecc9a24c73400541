"""How far it is: on a terminal a bar or a spinner, elsewhere one plain line at the start and one at the end.

Everything goes to stderr, so that results on stdout can be piped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")


@contextmanager
def status(what: str) -> Iterator[None]:
    """Say that ``what`` is going on while the block runs."""
    started = time.monotonic()
    if sys.stderr.isatty():
        with _live(bar=False) as live:
            live.add_task(what, total=None)
            yield
    else:
        _say(f"{what} ...")
        yield
    _say(f"{what}: done in {_seconds(started)}")


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """``items`` one after the other, with a bar."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    started, count = time.monotonic(), 0
    if sys.stderr.isatty():
        with _live(bar=True) as live:
            task = live.add_task(what, total=total)
            for item in items:
                yield item
                count += 1
                live.advance(task)
    else:
        _say(f"{what} ..." if total is None else f"{what}: {total} ...")
        for item in items:
            yield item
            count += 1
    _say(f"{what}: {count} done in {_seconds(started)}")


def _live(bar: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn()) if bar else ()
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        *columns,
        console=Console(stderr=True),
        transient=True,
        # rich would print what goes to stdout above the bar, on stderr: right on a terminal, wrong in a pipe.
        redirect_stdout=sys.stdout.isatty(),
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _seconds(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"
