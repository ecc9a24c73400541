"""Events and the deliveries they owe, in one SQLite file that survives being killed at any moment.

An event and its outbox rows are written in one transaction (write-ahead log, synced before `record` returns).
Where the disk takes nothing, both are kept in memory, still delivered, and written as soon as there is room.
"""

from __future__ import annotations

import errno
import json
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from falldet.events.event import FallEvent
from falldet.watch.log import Say, silent
from suite.errors import BadInput

_VERSION = 1
_TRY_EVERY_S = 0.5
_SCHEMA = """
CREATE TABLE events (
    id TEXT PRIMARY KEY, camera TEXT NOT NULL, confirmed_unix_s REAL NOT NULL, state TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE TABLE messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL REFERENCES events(id) ON DELETE CASCADE,
    state TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (event, state));
CREATE TABLE deliveries (
    message INTEGER NOT NULL REFERENCES messages(number) ON DELETE CASCADE,
    target TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
    why TEXT NOT NULL DEFAULT '', delivered_unix_s REAL, PRIMARY KEY (message, target));
CREATE INDEX waiting ON deliveries (target, refused, message) WHERE delivered_unix_s IS NULL;
"""
Key = tuple[str, str]
"""An event's id and its state: what happens once, and is told once."""


@dataclass(frozen=True)
class Delivery:
    """One message that one target has not acknowledged. ``refused``: the target said it never will."""

    event: str
    state: str
    target: str
    tries: int
    refused: bool
    message: dict[str, Any]


@dataclass(frozen=True)
class _Mark:
    """What became of a delivery, not yet on disk."""

    tries: int
    refused: bool
    why: str
    delivered_unix_s: float | None


class Store:
    """The events, and for each of ``targets`` what it has still to be told. Safe to use from any thread.

    ``trouble`` says in one line why nothing can be written, None where all is well; meanwhile at most
    ``most_waiting`` events are held in memory, and ``dropped`` counts those beyond. So it is with a disk that
    is full from the start, too; what an earlier run has left is then not seen until there is room. A file
    SQLite cannot read is put aside and a new one begun. Raises BadInput where the file cannot be made at
    all, and while another process has it open.
    """

    def __init__(
        self, path: str | Path, targets: Sequence[str] = (), *, say: Say = silent, most_waiting: int = 1000
    ) -> None:
        self.path, self.targets = Path(path), tuple(targets)
        self.trouble: str | None = None
        self.dropped = 0
        self._say, self._most = say, most_waiting
        self._lock = threading.RLock()
        self._unsaved: OrderedDict[Key, tuple[FallEvent, dict[str, Any]]] = OrderedDict()
        self._marks: dict[tuple[str, str, str], _Mark] = {}
        self._try_again_s = 0.0
        self._in_place_of_file = False
        self._held: IO[bytes] | None = None
        self._db = self._opened()

    @property
    def waiting(self) -> int:
        """Events that are in memory only."""
        return len(self._unsaved)

    def record(self, event: FallEvent, extra: Mapping[str, Any] | None = None) -> bool:
        """Keep the event and owe it to every target, once for each of its states, however often it is called.

        ``extra`` joins what the targets are sent. True where it is safe on disk, False where in memory only.
        """
        key = (event.id, event.state)
        with self._lock:
            if key in self._unsaved or self._known(key):
                return key not in self._unsaved
            body = event.as_dict() | {"key": f"{event.id}:{event.state}"} | dict(extra or {})
            self._unsaved[key] = (event, body)
            saved = self._save_soon()
            if len(self._unsaved) > self._most:
                self._drop_one()
            return saved

    def save(self) -> bool:
        """Write what waits in memory. False, and ``trouble`` says why, where the disk still takes nothing."""
        with self._lock:
            if not self._unsaved and not self._marks and not self._in_place_of_file:
                return self.trouble is None
            try:
                if self._in_place_of_file:
                    self._db, self._in_place_of_file = _connected(self.path), False
                with self._transaction():
                    for event, body in self._unsaved.values():
                        self._insert(event, body)
                    for (event_id, state, target), mark in self._marks.items():
                        self._mark(event_id, state, target, mark)
            except sqlite3.DatabaseError as error:
                if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)):
                    raise  # a fault of this file, not of the disk
                self._cannot_write(error)
                return False
            if self.trouble is not None:
                self._say("store_writes_again", path=str(self.path), events=len(self._unsaved))
            self.trouble = None
            self._unsaved.clear()
            self._marks.clear()
            return True

    def events(self, limit: int = 100, camera: str | None = None) -> list[dict[str, Any]]:
        """The newest first: the event's latest state as in its JSON, and ``deliveries`` by target."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, body FROM events WHERE ?1 IS NULL OR camera = ?1 ORDER BY rowid DESC LIMIT ?2",
                (camera, limit),
            ).fetchall()
            found = {name: json.loads(body) for name, body in reversed(rows)}
            for event, body in self._unsaved.values():
                if camera in (None, event.camera) and not (event.state == "confirmed" and event.id in found):
                    found[event.id] = body
            newest = [found[name] for name in list(found)[::-1][:limit]]
            return [body | {"deliveries": self._deliveries(body["id"])} for body in newest]

    def open_events(self) -> list[FallEvent]:
        """Confirmed and not ended, the oldest first: what a watch that starts again has to go on with."""
        with self._lock:
            rows = self._db.execute("SELECT body FROM events WHERE state = 'confirmed' ORDER BY rowid")
            return [FallEvent.from_dict(json.loads(body)) for (body,) in rows.fetchall()]

    def pending(self, target: str, most: int = 200) -> list[Delivery]:
        """What ``target`` has not acknowledged, the oldest first, what it refused after all else."""
        with self._lock:
            rows = self._db.execute(
                "SELECT event, state, tries, refused, body FROM deliveries JOIN messages ON number = message "
                "WHERE target = ? AND delivered_unix_s IS NULL ORDER BY refused, message LIMIT ?",
                (target, most + len(self._marks)),
            ).fetchall()
            found = [
                Delivery(event, state, target, tries, bool(refused), json.loads(body))
                for event, state, tries, refused, body in rows
            ]
            if target in self.targets:
                found += [
                    Delivery(event.id, event.state, target, 0, False, body)
                    for event, body in self._unsaved.values()
                ]
            now = [self._as_marked(delivery) for delivery in found]
            left = [delivery for delivery in now if delivery is not None]
            return sorted(left, key=lambda delivery: delivery.refused)[:most]

    def waiting_for(self) -> dict[str, int]:
        """How many messages each target has not acknowledged, also targets that are no longer asked for."""
        with self._lock:
            counts = dict.fromkeys(self.targets, 0)
            query = "SELECT target, count(*) FROM deliveries WHERE delivered_unix_s IS NULL GROUP BY target"
            counts.update(self._db.execute(query).fetchall())
            for target in self.targets:
                counts[target] += len(self._unsaved)
            for (*_, target), mark in self._marks.items():
                if mark.delivered_unix_s is not None and target in counts:
                    counts[target] -= 1
            return counts

    def delivered(self, delivery: Delivery, unix_s: float) -> None:
        """The target has acknowledged it."""
        self._note(delivery, _Mark(delivery.tries + 1, False, "", unix_s))

    def failed(self, delivery: Delivery, why: str, refused: bool) -> None:
        """An attempt failed; the message stays."""
        self._note(delivery, _Mark(delivery.tries + 1, refused, why, None))

    def count(self) -> int:
        """Events on disk."""
        with self._lock:
            return self._db.execute("SELECT count(*) FROM events").fetchone()[0]

    def used_bytes(self) -> int:
        """What the events take, without room that removed ones have left."""
        with self._lock:
            size, pages, free = (
                self._db.execute(f"PRAGMA {what}").fetchone()[0]
                for what in ("page_size", "page_count", "freelist_count")
            )
            return size * (pages - free)

    def forget(self, before_unix_s: float, after_unix_s: float = 0.0) -> int:
        """Remove events confirmed in that time that owe nothing to today's targets; how many."""
        marks = ",".join("?" * len(self.targets))
        return self._removed(
            "DELETE FROM events WHERE confirmed_unix_s < ? AND confirmed_unix_s >= ? AND id NOT IN "
            "(SELECT event FROM messages JOIN deliveries ON message = number "
            f"WHERE delivered_unix_s IS NULL AND refused = 0 AND target IN ({marks}))",
            (before_unix_s, after_unix_s, *self.targets),
        )

    def forget_oldest(self, count: int) -> int:
        """Remove the ``count`` oldest events, whatever they owe; how many there were."""
        ids = "SELECT id FROM events ORDER BY rowid LIMIT ?"
        return self._removed(f"DELETE FROM events WHERE id IN ({ids})", (count,))

    def close(self) -> None:
        """Write what can be written, and let go of the file."""
        with self._lock:
            self.save()
            self._db.close()
            if self._held is not None:
                self._held.close()

    def _opened(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._hold()
            return _connected(self.path)
        except (sqlite3.OperationalError, OSError) as error:
            if _is_full(error):
                self._cannot_write(error)
                self._in_place_of_file = True
                return _connected(Path(":memory:"))
            reason = getattr(error, "strerror", None) or str(error)
            raise BadInput(
                f"cannot be opened as the file of events ({reason})", self.path, "choose another folder"
            ) from None
        except sqlite3.DatabaseError as error:
            aside = self.path.with_name(f"{self.path.name}.damaged-{int(time.time())}")
            for suffix in ("", "-wal", "-shm"):
                part = self.path.with_name(self.path.name + suffix)
                if part.exists():
                    part.rename(aside.with_name(aside.name + suffix))
            self._say("store_was_damaged", path=str(self.path), why=str(error), put_aside=str(aside))
            return _connected(self.path)

    def _hold(self) -> None:
        """Two that deliver the same events would tell everything twice. A kill lets go."""
        try:
            import fcntl
        except ImportError:  # no POSIX
            return
        self._held = self.path.with_name(f"{self.path.name}.lock").open("ab")
        try:
            fcntl.lockf(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise BadInput("is open in another process", self.path, "one watch is enough a folder") from None

    def _cannot_write(self, error: Exception) -> None:
        if self.trouble is None:
            self._say("store_cannot_write", path=str(self.path), why=str(error))
        self.trouble = f"{self.path}: cannot be written ({error})"
        self._try_again_s = time.monotonic() + _TRY_EVERY_S

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _insert(self, event: FallEvent, body: dict[str, Any]) -> None:
        text = json.dumps(body, ensure_ascii=False)
        self._db.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET state = excluded.state, body = excluded.body WHERE excluded.state <> 'confirmed'",
            (event.id, event.camera, event.confirmed_unix_s, event.state, text),
        )
        added = self._db.execute(
            "INSERT OR IGNORE INTO messages (event, state, body) VALUES (?, ?, ?)",
            (event.id, event.state, text),
        )
        if added.rowcount:
            rows = [(added.lastrowid, target) for target in self.targets]
            self._db.executemany("INSERT INTO deliveries (message, target) VALUES (?, ?)", rows)

    def _mark(self, event: str, state: str, target: str, mark: _Mark) -> None:
        self._db.execute(
            "UPDATE deliveries SET tries = ?, refused = ?, why = ?, delivered_unix_s = ? WHERE target = ? "
            "AND message = (SELECT number FROM messages WHERE event = ? AND state = ?)",
            (mark.tries, mark.refused, mark.why, mark.delivered_unix_s, target, event, state),
        )

    def _note(self, delivery: Delivery, mark: _Mark) -> None:
        with self._lock:
            self._marks[delivery.event, delivery.state, delivery.target] = mark
            self._save_soon()

    def _save_soon(self) -> bool:
        """At once, unless the disk has refused a moment ago."""
        if self.trouble is not None and time.monotonic() < self._try_again_s:
            return False
        return self.save()

    def _as_marked(self, delivery: Delivery) -> Delivery | None:
        mark = self._marks.get((delivery.event, delivery.state, delivery.target))
        if mark is None:
            return delivery
        if mark.delivered_unix_s is not None:
            return None
        return Delivery(
            delivery.event, delivery.state, delivery.target, mark.tries, mark.refused, delivery.message
        )

    def _known(self, key: Key) -> bool:
        query = "SELECT 1 FROM messages WHERE event = ? AND state = ?"
        return self._db.execute(query, key).fetchone() is not None

    def _deliveries(self, event: str) -> dict[str, dict[str, Any]]:
        """By target, of the event's latest message."""
        query = (
            "SELECT target, tries, why, delivered_unix_s FROM deliveries JOIN messages ON number = message "
            "WHERE event = ? ORDER BY message"
        )
        rows = self._db.execute(query, (event,)).fetchall()
        rows += [
            (target, mark.tries, mark.why, mark.delivered_unix_s)
            for (name, _, target), mark in self._marks.items()
            if name == event
        ]
        return {
            target: {"delivered": at is not None, "tries": tries, "why": why}
            for target, tries, why, at in rows
        }

    def _drop_one(self) -> None:
        """The oldest in memory that every target has been told of, else the oldest."""

        def told(key: Key) -> bool:
            marks = [self._marks.get((*key, target)) for target in self.targets]
            return all(mark is not None and mark.delivered_unix_s is not None for mark in marks)

        key = next(filter(told, self._unsaved), next(iter(self._unsaved)))
        del self._unsaved[key]
        for target in self.targets:
            self._marks.pop((*key, target), None)
        self.dropped += 1
        why = "the disk takes nothing, and the memory set aside for it is full"
        self._say("event_dropped", id=key[0], state=key[1], why=why)

    def _removed(self, statement: str, values: tuple[Any, ...]) -> int:
        with self._lock:
            try:
                with self._transaction():
                    count = self._db.execute(statement, values).rowcount
                self._db.executescript("PRAGMA incremental_vacuum")  # to its end, not one page
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.OperationalError:  # a full disk; the next sweep tries again
                return 0
            return count


def _is_full(error: Exception) -> bool:
    """SQLite has an error of its own for a full disk, and calls a full shared-memory file an I/O error."""
    if isinstance(error, sqlite3.Error):
        return any(words in str(error) for words in ("is full", "disk I/O error"))
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _connected(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        for setting in (
            "auto_vacuum = INCREMENTAL",
            "journal_mode = WAL",
            "synchronous = FULL",  # also a power cut costs nothing that was recorded
            "foreign_keys = ON",
            "wal_autocheckpoint = 100",
            "journal_size_limit = 1000000",
            "cache_size = -1000",
        ):
            db.execute(f"PRAGMA {setting}").fetchall()
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        elif version != _VERSION:
            raise BadInput(f"is of version {version}, not {_VERSION}", path, "written by a newer falldet")
        elif (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
    except BaseException:
        db.close()
        raise
    return db
