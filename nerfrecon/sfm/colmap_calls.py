"""COLMAP's functions as steps that show how far they are and that Ctrl-C ends.

They let go of Python's lock, so a step runs in a thread, while the main thread waits and sets COLMAP's
cancellation token when it is interrupted. Its database is not looked at meanwhile: another SQLite in the same
process, such as Python's own, would drop its locks (sqlite.org/howtocorrupt.html, section 2.2.1). Long steps
are therefore made of parts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, TypeVar

from suite.errors import BackendUnavailable
from suite.progress import status, track

T = TypeVar("T")
P = TypeVar("P")
_POLL_S = 0.1
_END_S = 60.0


def colmap() -> ModuleType:
    """The package pycolmap, quiet: what goes wrong is told by who calls it.

    Its wheel (4.2) lets its own zlib be seen by libraries that are loaded after it: a PNG that Pillow or
    OpenCV then writes, or Python's zlib, ends the process by "double free". Loaded before, they keep theirs.
    """
    import zlib  # noqa: F401

    import PIL.Image  # noqa: F401

    try:
        import pycolmap
    except ImportError as error:
        raise BackendUnavailable("pycolmap", str(error), hint="pip install pycolmap") from None
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.FATAL)
    return pycolmap


def run_step(what: str, call: Callable[[Any], T], placed: list[int] | None = None, total: int = 0) -> T:
    """The result of `call(token)`, which may count in `placed[0]` how many of `total` are done."""
    work = _InThread(call)
    with work:
        work.start()
        if placed is None:
            with status(what):
                work.wait()
        else:
            for _ in track(_ticks(work, placed, total), what, total):
                pass
    return work.result()


def run_parts(what: str, parts: Sequence[Sequence[P]], call: Callable[[Sequence[P], Any], None]) -> None:
    """`call(part, token)` for one part after the other."""
    for part in track(parts, what):
        with _InThread(lambda token, part=part: call(part, token)) as work:
            work.start()
            work.wait()
        work.result()


class _InThread:
    """A call in a thread; leaving the block before its end cancels it and waits."""

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self._call = call
        self._token = colmap().CancellationToken()
        self._found: list[Any] = []
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="colmap", daemon=True)

    def start(self) -> None:
        """Within the block, so that an interrupt that comes at once cancels, too."""
        self._thread.start()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def wait(self, most_s: float | None = None) -> None:
        """In short pieces, so that signals are heard."""
        if most_s is not None:
            self._thread.join(most_s)
            return
        while self._thread.is_alive():
            self._thread.join(_POLL_S)

    def result(self) -> Any:
        if self._fault is not None:
            raise self._fault
        return self._found[0]

    def __enter__(self) -> _InThread:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._token.cancel()
            self._thread.join(_END_S)

    def _work(self) -> None:
        try:
            self._found.append(self._call(self._token))
        except BaseException as error:
            self._fault = error


def _ticks(work: _InThread, placed: list[int], total: int) -> Iterator[int]:
    shown = 0
    while work.is_running():
        work.wait(_POLL_S)
        now = min(placed[0], total)
        yield from range(shown, now)
        shown = max(shown, now)
