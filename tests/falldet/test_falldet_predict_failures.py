"""Prediction where disks are full and users interrupt: what is left is whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from prediction_files import ROOT, as_process, film, frames_in, lines_of, write_photos

from falldet.looking.results import Lines
from suite.data.images import read_image, write_image
from suite.data.video import VideoWriter

pytest.importorskip("av")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def test_a_device_that_is_full_refuses_the_line():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    lines = Lines(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        lines.add({"name": "a"})
    lines.close()


@pytest.mark.parametrize(
    ("most_bytes", "flag", "culprit"), [("1500", "no-draw", "detections.jsonl"), ("30000", "", "drawn.mp4")]
)
def test_where_files_cannot_grow_whole_lines_stay_and_one_is_told(
    tmp_path: Path, most_bytes: str, flag: str, culprit: str
):
    path = tmp_path / "noise.mp4"
    with VideoWriter(path, 10) as video:
        for k in range(60):
            rgb = np.random.default_rng(k).integers(0, 255, (72, 96, 3), dtype=np.uint8)
            video.write(rgb, k / 10)
    process = as_process(path, tmp_path / "out", "0", most_bytes, flag)
    told = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 1
    assert told[-1] == f"{tmp_path / 'out' / culprit}: cannot be written (file too large)"
    assert not any("Traceback" in line for line in told)
    assert len(lines_of(tmp_path / "out")) >= 5
    if culprit == "drawn.mp4":
        assert frames_in(tmp_path / "out/drawn.mp4")


def test_a_full_disk_leaves_whole_lines_and_whole_pictures(photos: Path, tmp_path: Path):
    """On a real file system of 200 kB, where mounting one is allowed."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    for k in range(40):
        noise = np.random.default_rng(k).integers(0, 255, (60, 80, 3), dtype=np.uint8)
        write_image(photos / f"x{k:02d}.png", noise)
    script = Path(__file__).with_name("bright_boxes.py")
    steps = [
        f"mount -t tmpfs -o size=200k tmpfs '{disk}' || exit 77",
        f"'{sys.executable}' '{script}' '{photos}' '{disk}/out' 0 0",
        "code=$?",
        f"cp -r '{disk}/out' '{kept}'",
        "exit $code",
    ]
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not on this machine")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", "\n".join(steps)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if not kept.exists():
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()[-100:]}")
    assert done.returncode == 1
    assert "cannot be written (no space left on device)" in done.stderr.splitlines()[-1]
    pictures = list((kept / "drawn").rglob("*.*"))
    assert 5 <= len(pictures) < 44
    for path in pictures:
        assert path.suffix in (".png", ".jpg")  # no half one under a temporary name
        read_image(path)
    assert len(lines_of(kept)) >= len(pictures)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_video_leaves_whole_lines_and_a_video_that_plays(
    tmp_path: Path, number: signal.Signals
):
    source, out = film(tmp_path / "clip.mp4", 250), tmp_path / "out"
    process = as_process(source, out, "0.004", "0")
    lines = out / "detections.jsonl"
    while process.poll() is None:
        if lines.exists() and lines.read_bytes().count(b"\n") >= 80:
            process.send_signal(number)
            break
    told = process.communicate(timeout=60)[1]
    found = lines_of(out) if number != signal.SIGKILL else lines.read_text().splitlines()
    drawn = frames_in(out / "drawn.mp4")
    assert 80 <= len(found) < 250
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        assert len(drawn) >= 20
        for line in lines.read_text().splitlines():
            json.loads(line)
        return
    assert process.returncode == 128 + number
    assert len(drawn) == len(found)
    assert "stopped early: what was found until then is kept" in told.splitlines()[-1]
    assert "Traceback" not in told
