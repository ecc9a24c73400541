"""Old clips and events go, so that a disk lasts for years; a clock that is wrong must not empty it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from falldet.watch.clock import Clock
from falldet.watch.keeping import RetentionOptions
from falldet.watch.log import Say, silent
from falldet.watch.store import Store

_DAY_S = 86_400.0
_JUMP_S = 3600.0
_REST_S = _DAY_S
_KNOWN_UNIX_S = 1_577_836_800.0  # 2020: labels before it are of a clock that was never set


@dataclass(frozen=True)
class Swept:
    """What one sweep has removed."""

    clips: int = 0
    clips_bytes: int = 0
    events: int = 0


@dataclass(frozen=True)
class _File:
    path: Path
    size: int
    unix_s: float


class Sweeper:
    """Holds the folder of clips and the store to their bounds, every ``options.every_s`` in its own thread.

    Age is by the clock on the wall. Where that jumps by more than an hour, nothing is removed for its age
    for a day, which is said: time enough to set it right.
    """

    def __init__(
        self,
        store: Store,
        clips: Path,
        clock: Clock,
        options: RetentionOptions | None = None,
        say: Say = silent,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._store, self._clips, self._clock = store, clips, clock
        self._options, self._say, self._free_bytes = options or RetentionOptions(), say, free_bytes
        self._ahead_s = clock.unix_s() - clock.now_s()
        self._rest_until_s = -float("inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def sweep(self) -> Swept:
        """Once, now."""
        options, now_unix_s = self._options, self._clock.unix_s()
        by_age = self._wall_can_be_trusted()
        gone: list[_File] = []
        files = self._files()
        total, free = sum(file.size for file in files), self._free_bytes(self._existing())
        for file in files:  # the oldest first
            age_s = now_unix_s - file.unix_s
            old = by_age and file.unix_s > _KNOWN_UNIX_S and age_s > options.clips_days * _DAY_S
            in_the_way = free < options.free_mb * 1e6 and age_s > _DAY_S
            if not (old or in_the_way or total > options.clips_gb * 1e9):
                continue
            try:
                file.path.unlink(missing_ok=True)
            except OSError as error:
                self._say("clip_cannot_be_removed", file=file.path.name, why=error.strerror)
                continue
            gone.append(file)
            total, free = total - file.size, free + file.size
        events = 0
        if by_age:
            events += self._store.forget(now_unix_s - options.events_days * _DAY_S, _KNOWN_UNIX_S)
        while self._store.used_bytes() > options.events_mb * 1e6:
            count = self._store.forget_oldest(max(1, self._store.count() // 20))
            events += count
            if count == 0:
                break
        swept = Swept(len(gone), sum(file.size for file in gone), events)
        if swept != Swept():
            self._say("old_removed", clips=swept.clips, clips_bytes=swept.clips_bytes, events=swept.events)
        return swept

    def _wall_can_be_trusted(self) -> bool:
        ahead_s = self._clock.unix_s() - self._clock.now_s()
        if abs(ahead_s - self._ahead_s) > _JUMP_S:
            self._rest_until_s = self._clock.now_s() + _REST_S
            self._say("clock_jumped", by_s=round(ahead_s - self._ahead_s), nothing_removed_for_s=_REST_S)
        self._ahead_s = ahead_s
        return self._clock.now_s() >= self._rest_until_s

    def _files(self) -> list[_File]:
        found = []
        try:
            with os.scandir(self._clips) as entries:
                for entry in entries:
                    if entry.name.endswith(".mp4") and entry.is_file(follow_symlinks=False):
                        stat = entry.stat(follow_symlinks=False)
                        found.append(_File(Path(entry.path), stat.st_size, stat.st_mtime))
        except OSError:  # no folder yet, or a file that went meanwhile
            pass
        return sorted(found, key=lambda file: (file.unix_s, file.path.name))

    def _existing(self) -> Path:
        """The folder of clips, or the nearest above it that is there."""
        folder = self._clips.resolve()
        while not folder.exists():
            folder = folder.parent
        return folder

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.sweep()
            except Exception as error:  # without retention the watch is still a watch
                self._say("retention_fault", why=f"{type(error).__name__}: {error}")
            self._clock.wait(self._options.every_s, until=self._stopping)
