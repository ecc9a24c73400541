"""How far it is: on a terminal a bar or a spinner, elsewhere one plain line at the start and one at the end.

Everything goes to stderr, so that results on stdout can be piped.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def status(what: str) -> Iterator[None]:
    """Say that ``what`` is going on while the block runs."""
    started = time.monotonic()
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(what):
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
        from rich.console import Console
        from rich.progress import track as bar

        for item in bar(items, what, total=total, console=Console(stderr=True), transient=True):
            yield item
            count += 1
    else:
        _say(f"{what} ..." if total is None else f"{what}: {total} ...")
        for item in items:
            yield item
            count += 1
    _say(f"{what}: {count} done in {_seconds(started)}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _seconds(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"
