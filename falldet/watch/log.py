"""What happened, one JSON object a line, for machines and for people with patience; never a credential."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from falldet.watch.clock import Clock, RealClock
from falldet.watch.streams.address import without

_IN_HEADER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_NAMES = re.compile(r"(?i)password|passwd|secret|token|authorization|credential")
_HIDDEN = "***"


Say = Callable[..., None]
"""``say("camera_lost", camera="hall", why="timed out")``: one thing that happened."""


def silent(event: str, /, **fields: Any) -> None:
    """Says nothing."""


class Log:
    """A `Say` that writes to standard error, or to a file that turns over at ``most_bytes``.

    ``secrets`` are never written, whatever they are part of; nor are names and passwords inside URLs, or
    fields whose names speak of such. A line that cannot be written is counted in ``lost`` and never an error.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        secrets: Iterable[str] = (),
        clock: Clock | None = None,
        most_bytes: int = 10_000_000,
        kept: int = 2,
    ) -> None:
        self.lost = 0
        self._path = None if path is None else Path(path)
        self._secrets = tuple(secrets)
        self._clock = clock or RealClock()
        self._most_bytes, self._kept = most_bytes, kept
        self._lock = threading.Lock()

    def __call__(self, event: str, /, **fields: Any) -> None:
        stamp = datetime.fromtimestamp(self._clock.unix_s(), timezone.utc).isoformat(timespec="milliseconds")
        entry = {"time": stamp.replace("+00:00", "Z"), "event": event}
        entry |= {name: self._clean(value, name) for name, value in fields.items()}
        line = json.dumps(entry, ensure_ascii=False, default=lambda value: self._clean(str(value))) + "\n"
        with self._lock:
            try:
                self._write(line)
            except (OSError, ValueError):  # a full disk, a closed stream: the watch goes on
                self.lost += 1

    def _clean(self, value: Any, name: str = "") -> Any:
        if name and value is not None and _NAMES.search(name):
            return _HIDDEN
        if isinstance(value, str):
            return _IN_HEADER.sub(rf"\1 {_HIDDEN}", without(value, self._secrets))
        if isinstance(value, dict):
            return {str(key): self._clean(item, str(key)) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._clean(item) for item in value]
        return value

    def _write(self, line: str) -> None:
        if self._path is None:
            sys.stderr.write(line)
            sys.stderr.flush()
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        data = line.encode()
        with suppress(FileNotFoundError):
            if self._path.stat().st_size + len(data) > self._most_bytes:
                self._turn_over()
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            before = os.fstat(file).st_size
            if os.write(file, data) < len(data):
                os.ftruncate(file, before)  # no half lines
                raise OSError("the disk is full")
        finally:
            os.close(file)

    def _turn_over(self) -> None:
        assert self._path is not None
        names = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, self._kept + 1))]
        for older, newer in zip(names[::-1], names[-2::-1], strict=False):
            if newer.exists():
                newer.replace(older)
