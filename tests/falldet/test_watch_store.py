"""The file of events: once each, together with what is owed, whatever ends the process or the room."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from watch_falls import Said, ended, fall

from benchmarks._watch_receivers import Receiver
from falldet.watch.store import Store
from suite.errors import BadInput

TARGETS = ("webhook", "mqtt")


def owed(store: Store, target: str) -> list[tuple[str, str]]:
    return [(delivery.event, delivery.state) for delivery in store.pending(target)]


def test_an_event_is_recorded_once_in_each_state_and_owed_to_each_target(tmp_path: Path):
    store = Store(tmp_path / "events.db", TARGETS)
    first, second = fall(1), fall(2, "ward")
    for event in (first, first, second, ended(first), first, ended(first)):
        assert store.record(event)
    for target in TARGETS:
        assert owed(store, target) == [
            (first.id, "confirmed"),
            (second.id, "confirmed"),
            (first.id, "recovered"),
        ]
    assert [(e["id"], e["state"]) for e in store.events()] == [
        (second.id, "confirmed"),
        (first.id, "recovered"),
    ]
    assert [e["id"] for e in store.events(camera="hall")] == [first.id]
    assert store.events(limit=1)[0]["id"] == second.id
    assert store.open_events() == [second]
    third = fall(3)
    assert store.record(ended(third)) and store.record(third)  # out of order: it stays ended
    assert store.events(1)[0]["state"] == "recovered" and store.open_events() == [second]
    message = store.pending("mqtt")[0].message
    assert message["key"] == f"{first.id}:confirmed"
    assert message["confidence"] == 0.81


def test_what_is_acknowledged_stays_so_after_a_restart_and_what_failed_is_still_owed(tmp_path: Path):
    store = Store(tmp_path / "events.db", TARGETS)
    for number in range(3):
        store.record(fall(number))
    one, two, three = store.pending("webhook")
    store.delivered(one, 5.0)
    store.failed(two, "answered 400 Bad Request", refused=True)
    store.failed(three, "answered 503", refused=False)
    store.close()
    again = Store(tmp_path / "events.db", TARGETS)
    left = again.pending("webhook")
    assert [(d.event, d.tries, d.refused) for d in left] == [(three.event, 1, False), (two.event, 1, True)]
    assert again.waiting_for() == {"webhook": 2, "mqtt": 3}
    told = {event["id"]: event["deliveries"]["webhook"] for event in again.events()}
    assert told[one.event]["delivered"]
    assert told[two.event] == {"delivered": False, "tries": 1, "why": "answered 400 Bad Request"}


# A child that records events with numbers from where it stands and delivers them, until it is killed. It is
# forked from a process that has imported everything, so that most kills meet it at work.
ZYGOTE = """
import os, sys
sys.path[:0] = sys.argv[3].split(os.pathsep)
from watch_falls import ended, fall
from falldet.watch.clock import RealClock
from falldet.watch.deliver.outbox import Outbox
from falldet.watch.deliver.webhook import WebhookTarget
from falldet.watch.store import Store

def work(first):
    target = WebhookTarget("webhook", sys.argv[2])
    store = Store(sys.argv[1], ["webhook"])
    outbox = Outbox(store, [target], RealClock())
    outbox.start()
    os.write(1, b"ready\\n")
    for number in range(first, 10**9):
        for event in (fall(number), ended(fall(number))):
            assert store.record(event)
            outbox.wake()
            os.write(1, f"{number} {event.state}\\n".encode())

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            work(int(line))
        finally:
            os._exit(1)
    os.write(1, f"child {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"gone\\n")
"""


def test_no_event_is_lost_or_doubled_by_sigkill(tmp_path: Path):
    receiver = Receiver()
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", ZYGOTE, str(tmp_path / "events.db"), receiver.url, paths]
    zygote = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert zygote.stdin is not None and zygote.stdout is not None
    draw = random.Random(7)
    acknowledged: set[str] = set()
    kills = 20
    for _ in range(kills):
        # Whoever starts again does not know whether its last event was recorded: it records it once more.
        last = max((int(key[5:11]) for key in acknowledged), default=0)
        zygote.stdin.write(f"{last}\n".encode())
        child, timer = 0, None
        while (line := zygote.stdout.readline().decode().split()) != ["gone"]:
            assert line, "the zygote ended"
            if line[0] == "child":
                child = int(line[1])
            elif line == ["ready"]:
                timer = threading.Timer(draw.uniform(0.0, 0.08), os.kill, (child, signal.SIGKILL))
                timer.start()
            else:
                acknowledged.add(f"hall-{int(line[0]):06d}:{line[1]}")
        assert timer is not None, "the child ended by itself"
        timer.join()
    zygote.stdin.close()
    zygote.wait()
    zygote.stdout.close()
    assert len(acknowledged) > kills

    db = sqlite3.connect(tmp_path / "events.db")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    recorded = [f"{event}:{state}" for event, state in db.execute("SELECT event, state FROM messages")]
    owed_rows = db.execute("SELECT count(*) FROM deliveries").fetchone()[0]
    db.close()
    assert len(recorded) == len(set(recorded)) == owed_rows  # none twice, none without its delivery
    assert acknowledged <= set(recorded)  # none lost
    assert len(set(recorded) - acknowledged) <= kills  # killed between the disk and the answer

    store = Store(tmp_path / "events.db", ["webhook"])  # one more restart, which is left alone
    assert store.count() == len({key.partition(":")[0] for key in recorded})
    left = {f"{d.event}:{d.state}" for d in store.pending("webhook", 10**6)}
    assert set(recorded) - set(receiver.keys) <= left  # what did not arrive is still owed
    repeated = len(receiver.keys) - len(set(receiver.keys))
    assert repeated <= kills  # a kill between the receiver's answer and its note: one message each, same key
    receiver.stop()
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here (that takes root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 512)
    return ballast


def test_a_full_disk_keeps_events_in_memory_tells_once_and_writes_them_later(small_disk: Path):
    said = Said()
    store = Store(small_disk / "events.db", ["webhook"], say=said, most_waiting=2000)
    store.record(fall(0))
    ballast = fill(small_disk)
    saved = [store.record(fall(number)) for number in range(1, 400)]
    assert not saved[-1]
    waiting = store.waiting
    assert waiting > 100
    assert store.record(fall(0)) and store.waiting == waiting  # it is on the disk
    assert len(said.of("store_cannot_write")) == 1
    assert store.trouble is not None and "full" in store.trouble
    assert len(store.events(1000)) == 400  # all are seen
    assert len(store.pending("webhook", 1000)) == 400  # and delivered
    for delivery in store.pending("webhook", 1000)[:399]:
        store.delivered(delivery, 7.0)
    assert store.waiting_for() == {"webhook": 1}
    assert [d.event for d in store.pending("webhook")] == ["hall-000399"]

    ballast.unlink()
    assert store.save()
    assert store.trouble is None and store.waiting == 0
    assert [fields["events"] for fields in said.of("store_writes_again")] == [waiting]
    store.close()
    again = Store(small_disk / "events.db", ["webhook"])
    assert again.count() == 400
    assert [d.event for d in again.pending("webhook")] == ["hall-000399"]
    again.close()


@pytest.mark.parametrize("known", [True, False])
def test_a_disk_that_is_full_from_the_start_is_no_reason_not_to_watch(small_disk: Path, known: bool):
    path, said = small_disk / "events.db", Said()
    if known:
        before = Store(path, ["webhook"])
        before.record(fall(0))
        before.record(fall(9))
        before.delivered(before.pending("webhook")[1], 1.0)
        before.close()
    ballast = fill(small_disk)
    store = Store(path, ["webhook"], say=said)
    for number in (1, 2, 1, 9):
        assert not store.record(fall(number))
    assert not store.save()
    assert store.trouble is not None and len(said.of("store_cannot_write")) == 1
    assert [delivery.event for delivery in store.pending("webhook")] == [
        "hall-000001",
        "hall-000002",
        "hall-000009",
    ]
    store.delivered(store.pending("webhook")[0], 1.0)
    ballast.unlink()
    assert store.save()
    left = ["hall-000000", "hall-000002"] if known else ["hall-000002", "hall-000009"]
    assert [delivery.event for delivery in store.pending("webhook")] == left  # 9 was told by the earlier run
    assert store.count() == 3 + known and len(said.of("store_writes_again")) == 1
    store.close()


def test_two_cannot_deliver_the_same_events(tmp_path: Path):
    path = tmp_path / "events.db"
    Store(path).close()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.lockf(f, 6); print(1, flush=True); input()"
    command = [sys.executable, "-S", "-c", hold, f"{path}.lock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None and other.stdout is not None and other.stdout.readline() == b"1\n"
        with pytest.raises(BadInput, match="is open in another process"):
            Store(path)
        other.kill()
    Store(path).close()


def limited(store: Store) -> None:
    """SQLite's own bound on the file: the same error as a full disk, where nothing can be mounted."""
    store._db.execute("PRAGMA synchronous = OFF")
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")


def test_memory_is_bounded_while_nothing_can_be_written(tmp_path: Path):
    said = Said()
    store = Store(tmp_path / "events.db", ["webhook"], say=said, most_waiting=50)
    limited(store)
    numbers = range(300)
    for number in numbers:
        store.record(fall(number))
        if number == 250:
            store.delivered(store.pending("webhook", 10**4)[-1], 1.0)
    assert store.trouble is not None and store.waiting == 50
    assert store.dropped == len(said.of("event_dropped")) > 100
    dropped = [fields["id"] for fields in said.of("event_dropped")]
    after = dropped[dropped.index("hall-000250") + 1]
    assert int(after[5:]) < 250  # whom everybody knows goes before those whom nobody knows
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert store.save()
    assert store.count() == 300 - store.dropped
    store.close()


def test_a_file_that_is_no_database_is_put_aside_and_said(tmp_path: Path):
    path, said = tmp_path / "events.db", Said()
    path.write_bytes(b"\x00not a database" * 400)
    store = Store(path, say=said)
    assert store.record(fall(1))
    (line,) = said.of("store_was_damaged")
    assert Path(line["put_aside"]).read_bytes().startswith(b"\x00not a database")
    store.close()


def test_a_place_that_cannot_be_written_and_a_newer_file_are_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be opened as the file of events"):
        Store(tmp_path / "file" / "events.db")
    Store(tmp_path / "new.db").close()
    db = sqlite3.connect(tmp_path / "new.db")
    db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(BadInput, match="is of version 7"):
        Store(tmp_path / "new.db")


def test_many_threads_record_and_note_at_once(tmp_path: Path):
    store = Store(tmp_path / "events.db", TARGETS)
    store._db.execute("PRAGMA synchronous = OFF")
    errors: list[BaseException] = []

    def work(camera: str) -> None:
        try:
            for number in range(20):
                store.record(fall(number, camera))
                for delivery in store.pending("mqtt", 3):
                    store.delivered(delivery, time.time())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"camera{k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert store.count() == 80
    assert store.waiting_for()["webhook"] == 80
    store.close()
