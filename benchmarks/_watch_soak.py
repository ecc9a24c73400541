"""Hours of a watch in minutes: scripted people fall before scripted cameras while all around it breaks.

The whole watch runs (tracking, events, clips with blur, store, retention, webhook, MQTT) on a clock that goes
up to `speed` times as fast, as long as every look is taken: this measures no speed. Meanwhile the web server
is killed, the broker restarted, the disk full, the watch itself ended and started while people lie on the
floor. Every fall must reach both receivers: once each for its beginning and its end, where repetitions are
known by their key.
"""

from __future__ import annotations

import gc
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._watch_receivers import Broker, ReceiverProcess, Subscriber
from benchmarks._watch_script import (
    CYCLE_S,
    LOOKS_PER_S,
    START_UNIX_S,
    PatientClock,
    ScriptedModel,
    ScriptedStream,
    cycle_at,
)
from falldet.watch.config import WatchConfig
from falldet.watch.health import rss_mb
from falldet.watch.store import Store
from falldet.watch.watch import EVENTS, Watch
from suite.report.metric import Metric
from suite.report.table import Table

SHOWN_S = 25.0
SMALL_DISK_MB = 24


@dataclass
class Soak:
    """What became of it. ``lost`` and ``doubled`` name falls, ``missing`` messages by receiver."""

    falls: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    rss_growth_mb: float = float("nan")
    real_disk: bool = False
    most_in_memory: int = 0
    looks: int = 0
    said: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    """The health line during each outage."""


def soak(folder: Path, hours: float, speed: float, cameras: int = 3) -> Soak:
    """Run it: ``hours / speed`` on a machine that is fast enough. Needs mosquitto and paho-mqtt."""
    found, clock, shown = Soak(), PatientClock(speed), {}
    whole_s = hours * 3600
    quiet_s = (whole_s - 30.0) // CYCLE_S * CYCLE_S
    server, broker = ReceiverProcess(folder / "heard.txt"), Broker(folder / "broker")
    subscriber = Subscriber(broker.port)
    rss: list[tuple[float, float]] = []
    with small_disk(folder / "disk") as real:
        found.real_disk = real
        config = _config(folder / "disk" / "watch", cameras, server.url, broker.port)

        def say(event: str, /, **_: Any) -> None:
            found.said[event] += 1

        def watch() -> Watch:
            return Watch(
                config, ScriptedModel(), clock=clock, say=say,
                streams=lambda options: ScriptedStream(options, clock, quiet_s, shown),
            )  # fmt: skip

        house = _House(watch, clock, found)
        ballast = folder / "disk" / "ballast"
        outages: list[tuple[float, Callable[[], object]]] = [
            (0.10, server.kill),
            (0.24, lambda: found.lines.append(house.watch.health()["line"])),
            (0.25, server.start),
            (0.30, broker.stop),
            (0.40, broker.start),
            (0.45, lambda: house.disk_is_full(ballast if real else None)),
            (0.64, lambda: found.lines.append(house.watch.health()["line"])),
            (0.65, house.disk_has_room),
            (0.70, lambda: server.kill() or server.start()),
            ((0.75 * whole_s // CYCLE_S * CYCLE_S + 35.0) / whole_s, house.restart),  # people are down
        ]
        try:
            house.start()
            while clock.now_s() < whole_s:
                share = clock.now_s() / whole_s
                while outages and share >= outages[0][0]:
                    outages.pop(0)[1]()
                house.keep_full()
                found.most_in_memory = max(found.most_in_memory, house.watch.store.waiting)
                rss.append((share, rss_mb() or 0.0))
                time.sleep(0.1)
            _drain(house, subscriber, server)
            rss.append((1.0, rss_mb() or 0.0))
        finally:
            house.stop()
            server.kill()
            subscriber.close()
            broker.kill()
        _judge(found, folder / "disk" / "watch", shown, {"webhook": server.keys(), "mqtt": subscriber.keys})
    early = [mb for share, mb in rss if 0.08 <= share <= 0.2]
    late = [mb for share, mb in rss if share >= 0.9]
    if early and late and max(late) > 0:
        found.rss_growth_mb = statistics.median(late) - statistics.median(early)
    return found


class _House:
    """The watch in its thread, which can be ended and started, and its disk."""

    def __init__(self, make: Callable[[], Watch], clock: PatientClock, found: Soak) -> None:
        self._make, self._clock, self._found = make, clock, found
        self.watch = make()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._full = False
        self._ballast: Path | None = None

    def start(self) -> None:
        self._ended.clear()
        self.watch.start()
        self._threads = [
            threading.Thread(target=self.watch.run, args=(self._ended.is_set,), name="watch"),
            threading.Thread(target=self._pictures_arrive, name="pictures", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._found.looks += sum(camera.counts.looks for camera in self.watch.cameras.values())
        self.watch.stop()

    def restart(self) -> None:
        self.stop()
        self.watch = self._make()
        self.start()

    def disk_is_full(self, ballast: Path | None) -> None:
        """``ballast`` takes all room; without one, SQLite's own bound on its file gives the same error."""
        self._full, self._ballast = True, ballast
        if ballast is None:
            self._pragma("max_page_count = 1")
        self.keep_full()

    def keep_full(self) -> None:
        """Retention makes room, which somebody else takes at once."""
        if self._full and self._ballast is not None:
            with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(b"x" * 4096)

    def disk_has_room(self) -> None:
        self._full = False
        if self._ballast is None:
            self._pragma("max_page_count = 1000000")
        else:
            self._ballast.unlink()

    def _pragma(self, what: str) -> None:
        with self.watch.store._lock:
            self.watch.store._db.execute(f"PRAGMA {what}")

    def _pictures_arrive(self) -> None:
        while not self._ended.is_set():
            self.watch.arrived.set()
            time.sleep(0.25 / LOOKS_PER_S / self._clock.speed)


def _config(folder: Path, cameras: int, url: str, mqtt_port: int) -> WatchConfig:
    return WatchConfig.model_validate(
        {
            "cameras": [{"name": f"room {n}", "source": "http://127.0.0.1:9/"} for n in range(cameras)],
            "folder": folder,
            "page": {"on": False},
            "targets": [
                {"type": "webhook", "url": url, "timeout_s": 5.0},
                {"type": "mqtt", "host": "127.0.0.1", "port": mqtt_port, "timeout_s": 5.0},
            ],
            "retention": {"clips_gb": 0.001, "free_mb": 0.0},
        }
    )


def _drain(house: _House, subscriber: Subscriber, server: ReceiverProcess) -> None:
    """A while for what is still on its way."""
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        store = house.watch.store
        if not any(store.waiting_for().values()) and store.save():
            break
        time.sleep(0.1)
    time.sleep(0.3)  # from the broker to its subscriber
    gc.collect()


def _judge(
    found: Soak, folder: Path, shown: dict[tuple[str, int], list[float]], heard: dict[str, list[str]]
) -> None:
    """Falls that were shown, against events on disk and messages that arrived."""
    store = Store(folder / EVENTS, ["webhook", "mqtt"])
    told: dict[tuple[str, int], list[str]] = {}
    for event in store.events(10**6):
        cycle, _ = cycle_at(event["camera"], event["onset_unix_s"] - START_UNIX_S)
        told.setdefault((event["camera"], cycle), []).append(event["id"])
        if event["state"] == "confirmed":
            found.lost.append(f"the end of {event['id']}")
    store.close()
    wanted = {fall for fall, (first_s, last_s) in shown.items() if last_s - first_s >= SHOWN_S}
    found.falls = len(wanted)
    found.lost += [f"{camera}, cycle {cycle}" for camera, cycle in sorted(wanted - set(told))]
    found.doubled = [f"{fall}: {ids}" for fall, ids in told.items() if len(ids) > 1 or fall not in shown]
    ids = [name for names in told.values() for name in names]
    for receiver, keys in heard.items():
        arrived = Counter(keys)
        ends = {name for name in ids if {f"{name}:recovered", f"{name}:lost"} & set(arrived)}
        missing = [f"{name}:confirmed" for name in ids if f"{name}:confirmed" not in arrived]
        found.missing[receiver] = missing + [f"the end of {name}" for name in ids if name not in ends]
        found.repeated[receiver] = sum(arrived.values()) - len(arrived)
        strange = [key for key in arrived if key.partition(":")[0] not in ids]
        found.doubled += [f"{receiver} heard of {key}, which is not on disk" for key in strange]


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of its own of a few MB, where root may mount one; else a plain folder, and False."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "none", str(folder)]
    mounted = (
        os.name == "posix"
        and shutil.which("mount") is not None
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def soak_part(hours: float = 2.0, speed: float = 60.0) -> tuple[list[Metric], Table]:
    """The figures of a soak; none, and a table that says why, where there is no broker to restart."""
    if Broker.program() is None:
        return [], Table(["soak", ""], [["not run", "mosquitto is not installed (Debian: mosquitto)"]])
    with tempfile.TemporaryDirectory() as name:
        found = soak(Path(name), hours, speed)
    missing = sum(len(names) for names in found.missing.values())
    metrics = [
        Metric("rss_growth_mb", found.rss_growth_mb, "MB", "lower", note=f"over {hours:g} simulated hours"),
        Metric("falls_lost", len(found.lost), "", "lower", note=f"of {found.falls}"),
        Metric("falls_doubled", len(found.doubled), "", "lower"),
        Metric("messages_lost", missing, "", "lower", note="of webhook and MQTT"),
    ]
    rows = [
        ["falls, their beginnings and ends", found.falls],
        ["looks", found.looks],
        ["messages acknowledged", found.said["delivered"]],
        ["repeated with the same key", sum(found.repeated.values())],
        ["events in memory while the disk was full", found.most_in_memory],
        ["clips written", found.said["clip_written"]],
        [
            "disk",
            f"{SMALL_DISK_MB} MB of its own, filled" if found.real_disk else "SQLite's bound on its file",
        ],
        *([f"health, outage {number + 1}", line] for number, line in enumerate(found.lines)),
    ]
    return metrics, Table(["soak", ""], rows)
