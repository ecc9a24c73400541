"""Retention: by age and by size, the oldest first, and never at the word of a clock that jumped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from watch_falls import Said, fall

from falldet.watch.clock import SimulatedClock
from falldet.watch.keeping import RetentionOptions
from falldet.watch.retention import Sweeper, Swept
from falldet.watch.store import Store

NOW_UNIX_S, DAY_S = 1_790_000_000.0, 86_400.0
ROOM = 10**12


@pytest.fixture
def store(tmp_path: Path) -> Store:
    one = Store(tmp_path / "events.db", ["web"])
    one._db.execute("PRAGMA synchronous = OFF")  # nobody cuts the power here
    return one


def clip(folder: Path, name: str, days_old: float, size: int = 1000) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.mp4"
    path.write_bytes(b"x" * size)
    unix_s = NOW_UNIX_S - days_old * DAY_S
    os.utime(path, (unix_s, unix_s))
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sweeper(
    store: Store, folder: Path, free: int = ROOM, **options: float
) -> tuple[Sweeper, SimulatedClock, Said]:
    clock, said = SimulatedClock(1, NOW_UNIX_S), Said()
    return Sweeper(store, folder, clock, RetentionOptions(**options), said, lambda _: free), clock, said


def test_old_clips_and_events_go_and_what_is_owed_stays(store: Store, tmp_path: Path):
    folder = tmp_path / "clips"
    clip(folder, "old", 31)
    clip(folder, "new", 29)
    (folder / "notes.txt").write_text("not ours")
    os.utime(folder / "notes.txt", (0, 0))
    for number, days in enumerate((400, 380, 10)):
        store.record(fall(number, unix_s=NOW_UNIX_S - days * DAY_S))
    for delivery in store.pending("web"):
        if delivery.event != "hall-000001":
            store.delivered(delivery, 1.0)
    one, _, said = sweeper(store, folder)
    assert one.sweep() == Swept(clips=1, clips_bytes=1000, events=1)
    assert left(folder) == ["new.mp4", "notes.txt"]
    assert {event["id"] for event in store.events()} == {"hall-000001", "hall-000002"}
    assert [delivery.event for delivery in store.pending("web")] == ["hall-000001"]
    assert one.sweep() == Swept()
    assert len(said.of("old_removed")) == 1


def test_clips_beyond_their_room_go_the_oldest_first(store: Store, tmp_path: Path):
    folder = tmp_path / "clips"
    for number in range(10):
        clip(folder, f"c{number}", days_old=number, size=1000)
    one, *_ = sweeper(store, folder, clips_gb=4.5e-6)
    assert one.sweep().clips == 6
    assert left(folder) == ["c0.mp4", "c1.mp4", "c2.mp4", "c3.mp4"]


def test_a_disk_that_others_fill_costs_older_clips_but_not_todays(store: Store, tmp_path: Path):
    folder = tmp_path / "clips"
    for number in range(4):
        clip(folder, f"c{number}", days_old=0.5 + number, size=1000)
    one, *_ = sweeper(store, folder, free=999_000, free_mb=1.0)
    assert one.sweep().clips == 1  # 1000 bytes were missing
    one, *_ = sweeper(store, folder, free=0, free_mb=1.0)
    assert one.sweep().clips == 2
    assert left(folder) == ["c0.mp4"]


def test_the_file_of_events_is_bounded_whatever_is_owed_and_gives_its_room_back(store: Store, tmp_path: Path):
    for number in range(300):
        store.record(fall(number, unix_s=NOW_UNIX_S))
    before = store.path.stat().st_size
    one, *_ = sweeper(store, tmp_path, events_mb=before / 2e6)
    removed = one.sweep().events
    assert 100 < removed < 200
    assert store.used_bytes() <= before / 2
    assert store.path.stat().st_size < 0.6 * before
    assert store.events(1)[0]["id"] == "hall-000299"
    assert [d.event for d in store.pending("web", 1)] == [f"hall-{removed:06d}"]


def test_a_clock_that_jumps_removes_nothing_for_a_day_and_is_said(store: Store, tmp_path: Path):
    folder = tmp_path / "clips"
    clip(folder, "c", 1)
    store.record(fall(0, unix_s=NOW_UNIX_S - DAY_S))
    store.delivered(store.pending("web")[0], 1.0)
    one, clock, said = sweeper(store, folder)
    assert one.sweep() == Swept()
    clock.jump(10 * 365 * DAY_S)
    assert one.sweep() == Swept() == one.sweep()
    assert len(said.of("clock_jumped")) == 1
    clock.jump(-10 * 365 * DAY_S)  # put right
    one._rest_until_s = 0.0  # a day later
    assert one.sweep() == Swept()
    assert left(folder) == ["c.mp4"] and store.count() == 1


def test_labels_of_a_clock_that_was_never_set_say_nothing_about_age(store: Store, tmp_path: Path):
    folder = tmp_path / "clips"
    os.utime(clip(folder, "c", 1), (1000.0, 1000.0))
    store.record(fall(0, unix_s=5000.0))
    store.delivered(store.pending("web")[0], 1.0)
    one, *_ = sweeper(store, folder)
    assert one.sweep() == Swept()


def test_it_runs_by_itself_and_a_fault_does_not_end_it(store: Store, tmp_path: Path):
    calls: list[int] = []

    def free(_: Path) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise OSError("the disk is gone")
        return ROOM

    said = Said()
    one = Sweeper(store, tmp_path / "none", SimulatedClock(100), RetentionOptions(every_s=1), said, free)
    one.start()
    from watch_falls import until

    assert until(lambda: len(calls) > 4)
    one.stop()
    assert [line["why"] for line in said.of("retention_fault")] == ["OSError: the disk is gone"]
