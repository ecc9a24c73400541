"""A line that changes in place on a terminal; elsewhere what changes is not said, only what stays."""

from __future__ import annotations

import sys
import time

_PERIOD_S = 0.2


class Live:
    """Everything goes to stderr, so that results on stdout can be piped."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last, self._open = 0.0, False

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    @property
    def due(self) -> bool:
        """Whether the line may change again; five times a second is what an eye follows."""
        return time.monotonic() - self._last >= _PERIOD_S

    def show(self, line: str) -> None:
        """Change the line."""
        self._last = time.monotonic()
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._open = True

    def clear(self) -> None:
        """Take the line away."""
        if self._open:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._open = False

    def say(self, line: str) -> None:
        """A line that stays."""
        self.clear()
        print(line, file=sys.stderr, flush=True)
