"""What a watch costs and how long it lasts.

- `streams`: how many cameras of 1280 x 720 H.264 (25 pictures a second, 2 Mbit/s, over HTTP on loopback) two
  cores hold at 2 looks a second each without falling behind: over 15 s every camera gets at least 95 % of its
  looks, but for one, and 95 % of all pictures are looked at within half a second of their arrival. The whole
  watch runs, with the shipped detector, tracking, clips and the file of events; the process that sends shares
  the two cores. At least 8 are asked.
- `rss_growth_mb` and what else the soak tells: see `benchmarks._watch_soak`. At most 20 MB are asked.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import BenchmarkResult
from benchmarks._watch_soak import soak_part
from benchmarks._watch_streams import write_scene
from falldet.detections import Detecting
from falldet.models import SHIPPED
from falldet.watch.command import open_detector
from falldet.watch.config import WatchConfig
from falldet.watch.watch import Watch
from suite.data.images import read_image
from suite.report.metric import Metric
from suite.report.table import Table

LOOKS_PER_S, WARM_S, MEASURED_S, MOST = 2.0, 5.0, 15.0, 40
ENOUGH, LATE_S = 0.95, 0.5
CORES = 2


@dataclass
class Load:
    """One trial. ``least`` is the worst camera's share of its looks; ``late_s`` the 95th
    percentile of the ages of pictures."""

    streams: int
    least: float
    late_s: float
    cpu: float

    @property
    def held(self) -> bool:
        return self.least >= ENOUGH and self.late_s <= LATE_S


def run() -> BenchmarkResult:
    """About two minutes for the streams, on a machine that does nothing else; and the soak."""
    import torch

    torch.set_num_threads(1)
    trials = []
    with tempfile.TemporaryDirectory() as name, _on_cores(CORES):
        scene = Path(name) / "scene.mp4"
        pictures = sorted((SHIPPED / "pictures" / "images").glob("*.jpg"))
        write_scene(scene, [read_image(path) for path in pictures[:4]])
        model = open_detector(WatchConfig.model_validate({"cameras": [{"name": "any", "source": "0"}]}))
        with _sender(scene) as port:

            def hold(streams: int) -> bool:
                trials.append(_trial(streams, port, model, Path(name) / f"watch{len(trials)}"))
                return trials[-1].held

            most = _most_held(hold)
    rows = [
        [t.streams, "yes" if t.held else "no", t.least, t.late_s, t.cpu]
        for t in sorted(trials, key=lambda t: t.streams)
    ]
    columns = ["streams", "held", "least share of looks", "95th percentile of age, s", "CPU, cores"]
    metric = Metric("streams", most, "1", "higher", note=f"{CORES} cores, 2 looks/s each")
    soaked, table = soak_part()
    return BenchmarkResult([metric, *soaked], [Table(columns, rows), table])


def _most_held(hold: Callable[[int], bool]) -> int:
    """The most streams that are held, to two: doubled from 8 on, then halved between."""
    good, bad = 0, MOST + 2
    trying = 8
    while bad - good > 2:
        if hold(trying):
            good = trying
        else:
            bad = trying
        trying = min(2 * good, MOST) if good and bad > MOST else (good + bad) // 4 * 2
    return good


def _trial(streams: int, port: int, model: Detecting, folder: Path) -> Load:
    """Watch so many cameras, and count once all of them give pictures."""
    cameras = [
        {"name": f"camera {number}", "source": f"http://127.0.0.1:{port}/", "looks_per_s": LOOKS_PER_S}
        for number in range(streams)
    ]
    config = WatchConfig.model_validate({"cameras": cameras, "folder": folder, "page": {"on": False}})
    watch = Watch(config, model)
    watch.start()
    try:
        _run_for(watch, WARM_S)
        until = time.monotonic() + WARM_S  # a crowd takes its time to connect
        while time.monotonic() < until:
            if all(camera.counts.looks > 2 for camera in watch.cameras.values()):
                break
            _run_for(watch, 0.5)
        before = {name: camera.counts.looks for name, camera in watch.cameras.items()}
        watch.ages_s.clear()
        cpu_s, began_s = time.process_time(), time.monotonic()
        _run_for(watch, MEASURED_S)
        wall_s = time.monotonic() - began_s
        cpu = (time.process_time() - cpu_s) / wall_s
        looks = [camera.counts.looks - before[name] for name, camera in watch.cameras.items()]
        late_s = float(np.percentile(watch.ages_s, 95)) if watch.ages_s else float("inf")
    finally:
        watch.stop()
    # One more: the time that is measured begins and ends between two looks.
    return Load(streams, min(1.0, (min(looks) + 1) / (LOOKS_PER_S * wall_s)), late_s, cpu)


def _run_for(watch: Watch, seconds: float) -> None:
    until = time.monotonic() + seconds
    watch.run(lambda: time.monotonic() >= until)


@contextmanager
def _sender(scene: Path) -> Iterator[int]:
    """The port of a process that sends."""
    command = [sys.executable, "-m", "benchmarks._watch_streams", str(scene)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


@contextmanager
def _on_cores(count: int) -> Iterator[None]:
    """This process, its threads to come and its children on so many cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
