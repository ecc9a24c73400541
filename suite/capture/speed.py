"""How quick ways of writing are, on this computer: ``python -m suite.capture.speed``.

Images are those of the simulated D415 at 1280 x 720 px, 4.6 MB a frame. First each way of packing an image on
one core (the best of several, processor time), then the writer as `capture-rgbd record` uses it, to which
frames are handed at 30 a second.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from suite.capture.simulated import SimulatedCamera
from suite.data.encoding import encode_jpeg, encode_png
from suite.data.recording import RecordingInfo, RecordingWriter
from suite.geometry.camera import PinholeCamera

SIZE, FPS, SECONDS, REPEATS = (1280, 720), 30, 5, 5


def main() -> None:
    """Print both tables. An argument is the folder to write to, else a temporary one."""
    camera = SimulatedCamera("D415", pictures=2)
    depth, color = camera.counts(0, SIZE), camera.color(0, SIZE)
    ways: dict[str, Callable[[np.ndarray], bytes]] = {
        "PNG by Pillow, level 1": _pillow,
        "PNG, quick": encode_png,
        "PNG, stored": lambda image: encode_png(image, "stored"),
        "JPEG, quality 95": encode_jpeg,
    }
    print(f"{'':24}{'depth':>18}{'colour':>18}")
    for name, way in ways.items():
        cells = ["-" if way is encode_jpeg else _cost(way, depth), _cost(way, color)]
        print(f"{name:24}{cells[0]:>18}{cells[1]:>18}")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for threads in (1, 2):
        with tempfile.TemporaryDirectory(dir=folder) as out:
            print(_paced(camera, Path(out) / "recording", threads))


def _pillow(image: np.ndarray) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _cost(way: Callable[[np.ndarray], bytes], image: np.ndarray) -> str:
    best_s, size = float("inf"), 0
    for _ in range(REPEATS):
        began = time.process_time()
        size = len(way(image))
        best_s = min(best_s, time.process_time() - began)
    return f"{1000 * best_s:.0f} ms {size / 1e6:.2f} MB"


def _paced(camera: SimulatedCamera, out: Path, threads: int) -> str:
    """Hand frames over at their time, as a camera does, and say what became of them."""
    info = RecordingInfo("speed", 0.0001, PinholeCamera(*SIZE, 930, 930, 639.5, 359.5))
    frames = [(camera.counts(i, SIZE), camera.color(i, SIZE)) for i in range(2)]
    late, waited_s = 0, 0.0
    started, before = time.monotonic(), time.process_time()
    with RecordingWriter(out, info, threads=threads) as writer:
        for i in range(FPS * SECONDS):
            time.sleep(max(started + i / FPS - time.monotonic(), 0))
            began = time.monotonic()
            writer.add_counts(*frames[i % 2][:1], i / FPS, frames[i % 2][1], i)
            waited_s = max(waited_s, time.monotonic() - began)
            late += time.monotonic() - (started + i / FPS) > 1 / FPS
        handed_s = time.monotonic() - started
    done_s, cpu_s = time.monotonic() - started, time.process_time() - before
    n = writer.written
    size = sum(path.stat().st_size for path in out.rglob("*.png")) / n / 1e6
    return (
        f"{threads} threads, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}: {n} frames handed over "
        f"in {handed_s:.1f} s, on disk after {done_s:.1f} s; {1000 * cpu_s / n:.0f} ms of processor and "
        f"{size:.1f} MB a frame; queue at most {writer.deepest}, {writer.stored} stored unpacked, "
        f"{late} late, longest wait {1000 * waited_s:.0f} ms"
    )


if __name__ == "__main__":
    main()
