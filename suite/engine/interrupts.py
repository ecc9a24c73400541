"""Being asked to stop: SIGTERM and Ctrl-C become a flag that the loop reads between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from suite.errors import SuiteError


class Stopped(SuiteError):
    """The training was asked to stop, and saved where it was."""

    def __init__(self, signal_number: int, checkpoint: Path, epoch: int, step: int) -> None:
        super().__init__(signal_number, checkpoint, epoch, step)
        self.checkpoint = checkpoint
        self.exit_code = 128 + signal_number  # as shells count: 143 for SIGTERM, 130 for Ctrl-C
        self.epoch, self.step = epoch, step

    def __str__(self) -> str:
        return (
            f"stopped in epoch {self.epoch} (counted from 0) after {self.step} optimizer steps; "
            f"{self.checkpoint} holds everything: resume to go on"
        )


class Interrupted(BaseException):
    """Raised where the signal finds the program, inside :meth:`Interrupts.at_once`."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class Interrupts:
    """While the block runs, a first SIGTERM or SIGINT sets ``signal_number``; a second acts as ever.

    Outside the main thread, where Python takes no handlers, signals keep their own effect.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._at_once = False
        self._before: dict[int, Any] = {}

    @contextmanager
    def at_once(self, wanted: bool = True) -> Iterator[None]:
        """In this block, which may take long and has nothing to lose, a signal raises Interrupted."""
        self._at_once = wanted
        try:
            if wanted and self.signal_number:
                raise Interrupted(self.signal_number)
            yield
        finally:
            self._at_once = False

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._put_back()

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal_number = number
        self._put_back()
        if self._at_once:
            raise Interrupted(number)

    def _put_back(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)
