"""Clips: from before the onset, bounded in memory, whole or absent on disk, and nobody to be recognised."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from watch_falls import Said, ended, fall, until

from falldet.watch.blur import blurred
from falldet.watch.clips import Clip, ClipKeeper, ClipWriter, Kept
from falldet.watch.clock import SimulatedClock
from falldet.watch.keeping import ClipOptions
from falldet.watch.streams.shot import Shot
from suite.data.video import VideoReader, VideoWriter

SIZE = (120, 160)  # height, width
NOBODY = np.zeros((0, 4), np.float32)


def shot(number: int, rgb: np.ndarray | None = None, time_s: float | None = None) -> Shot:
    """Two a second; a grey that tells its number, where no picture is given."""
    if rgb is None:
        rgb = np.full((*SIZE, 3), 40 + 4 * (number % 50), np.uint8)
    time_s = number / 2 if time_s is None else time_s
    return Shot("hall", rgb, number, time_s, 1_790_000_000.0 + time_s)


class Written:
    """In place of a writer: what it was given."""

    def __init__(self, folder: Path) -> None:
        self.writer = ClipWriter(folder, SimulatedClock())
        self.writer.put = self.clips_append  # type: ignore[method-assign]
        self.clips: list = []

    def clips_append(self, clip) -> None:
        self.clips.append(clip)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[ClipWriter]:
    (tmp_path / "clips").mkdir()
    one = ClipWriter(tmp_path / "clips", SimulatedClock(20), Said())
    one.start()
    yield one
    one.stop()


def test_a_clip_shows_what_was_before_and_after_at_its_times(writer: ClipWriter):
    keeper = ClipKeeper(ClipOptions(before_s=4, after_s=3, blur=False), writer)
    event = fall(1)  # confirmed 2 s after its onset
    for number in range(61):
        keeper.keep(shot(number))
        if number == 40:  # at 20 s: onset 18 s, so from 14 s to 23 s
            keeper.start(event)
            keeper.start(event)
    path = writer.folder / f"{event.id}.mp4"
    assert until(path.exists)
    with VideoReader(path) as video:
        frames = list(video.frames())
    assert [frame.time_s for frame in frames] == pytest.approx([k / 2 for k in range(19)], abs=0.01)
    greys = [float(frame.rgb.mean()) for frame in frames]
    assert greys == pytest.approx([40 + 4 * (number % 50) for number in range(28, 47)], abs=4)
    assert writer.written == 1 and not list(writer.folder.glob(".*"))


def test_the_ring_is_bounded_in_time_and_in_bytes(tmp_path: Path):
    written = Written(tmp_path)
    keeper = ClipKeeper(ClipOptions(before_s=5, blur=False), written.writer)
    for number in range(1000):
        keeper.keep(shot(number))
    assert len(keeper._ring) == 41  # 5 s before the onset, 15 s of doubt, at 2 a second

    noise = np.random.default_rng(3).integers(0, 256, (*SIZE, 3), np.uint8)
    options = ClipOptions(before_s=60, after_s=600, memory_mb=0.5, blur=False)
    keeper = ClipKeeper(options, written.writer)
    for number in range(1000):
        keeper.keep(shot(number, noise))
        if number == 100:
            keeper.start(fall(1))
        assert keeper.memory_bytes <= 2 * 0.5e6 + 60_000
    keeper.close()
    (clip,) = written.clips
    times_s = [kept.time_s for kept in clip.pictures]
    assert times_s == sorted(times_s) and times_s[-1] > 490  # thinned, but to its end
    assert clip.size_bytes <= 0.5e6


def test_a_camera_that_goes_leaves_the_clip_it_gave(tmp_path: Path):
    written = Written(tmp_path)
    keeper = ClipKeeper(ClipOptions(blur=False), written.writer)
    for number in range(21):
        keeper.keep(shot(number))
    keeper.start(fall(1))
    keeper.tend(15.0)
    assert not written.clips
    keeper.tend(30.0)
    assert len(written.clips[0].pictures) == 21


def test_a_wall_clock_that_jumps_takes_nothing_from_the_clip(tmp_path: Path):
    written = Written(tmp_path)
    keeper = ClipKeeper(ClipOptions(before_s=5, after_s=1, blur=False), written.writer)
    for number in range(41):
        keeper.keep(shot(number))
    event = fall(1)
    strange = type(event)(**{**vars(event), "onset_unix_s": event.confirmed_unix_s - 86_400})
    keeper.start(strange)
    keeper.close()
    assert written.clips[0].pictures[0].time_s == 0.0  # as far as the ring goes


def checks(rng: np.random.Generator) -> np.ndarray:
    """A picture of fine detail."""
    return rng.integers(0, 2, (*SIZE, 1), np.uint8).repeat(3, 2) * 255


def detail(rgb: np.ndarray) -> float:
    """How much neighbours differ."""
    return float(np.abs(np.diff(rgb.astype(float), axis=1)).mean())


def test_blur_leaves_means_inside_the_box_and_every_pixel_outside():
    rgb = checks(np.random.default_rng(5))
    out = blurred(rgb, np.array([[40.0, 30.0, 100.0, 90.0]]), grow=0.1)
    inside = np.zeros(SIZE, bool)
    inside[24:96, 34:106] = True  # 6 px larger on each side
    assert np.array_equal(out[~inside], rgb[~inside])
    assert detail(out[24:96, 34:106]) < 0.05 * detail(rgb[24:96, 34:106])
    assert out[inside].mean() == pytest.approx(rgb[inside].mean(), abs=4)


def test_whoever_is_blurred_cannot_be_told_from_another_with_the_same_means():
    rng = np.random.default_rng(9)
    one = np.full((*SIZE, 3), 120, np.uint8)
    other = one.copy()
    # Two patterns finer than the cells, each with the mean 128 in every 4 x 4 pixels.
    one[30:94, 40:104] = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (32, 32))[..., None]
    tile = np.array([[0, 0, 255, 255]] * 4, np.uint8)
    other[30:94, 40:104] = np.tile(tile, (16, 16))[..., None]
    box = np.array([[40.0, 30.0, 104.0, 94.0]])  # cells of 8 x 8
    left, right = blurred(one, box, 0.0), blurred(other, box, 0.0)
    assert np.abs(left.astype(int) - right).max() <= 2
    assert np.abs(one.astype(int) - other).max() == 255
    assert detail(blurred(checks(rng), np.array([[-50.0, -50.0, 400.0, 400.0], [5, 5, 5, 5]]))) < 2


def test_where_boxes_overlap_the_coarsest_counts():
    rgb = checks(np.random.default_rng(7))
    face, person = [60.0, 30.0, 68.0, 38.0], [40.0, 20.0, 88.0, 110.0]
    for order in ([face, person], [person, face]):
        assert np.array_equal(blurred(rgb, np.array(order)), blurred(rgb, np.array([person])))


def test_boxes_outside_and_without_size_do_no_harm():
    rgb = checks(np.random.default_rng(1))
    far = np.array([[300.0, 300.0, 400.0, 400.0], [np.nan, 0, 10, 10], [50, 50, 40, 40]])
    assert blurred(rgb, far).shape == rgb.shape
    assert np.array_equal(blurred(rgb, np.zeros((0, 4))), rgb)


def test_a_person_missed_in_one_look_is_hidden_in_it_all_the_same(tmp_path: Path):
    rng = np.random.default_rng(2)
    written = Written(tmp_path)
    keeper = ClipKeeper(ClipOptions(after_s=2, blur=True, quality=95), written.writer)
    person = np.array([[60.0, 40.0, 100.0, 100.0]], np.float32)
    plain = np.full((*SIZE, 3), 100, np.uint8)
    for number in range(20):
        rgb = plain.copy()
        if 5 <= number <= 15:
            rgb[40:100, 60:100] = checks(rng)[40:100, 60:100]
        found = person if 5 <= number <= 15 and number != 9 else NOBODY
        keeper.keep(shot(number, rgb), None if number == 12 else found)
        if number == 17:
            keeper.start(fall(1))
    keeper.close()
    (clip,) = written.clips
    assert len(clip.pictures) == 19  # the one at which nobody has looked is not kept
    for kept in clip.pictures:
        assert detail(kept.rgb()[45:95, 65:95]) < 5, kept.time_s
    assert detail(checks(rng)) > 100


def test_large_pictures_are_scaled_down_with_their_boxes(tmp_path: Path):
    written = Written(tmp_path)
    keeper = ClipKeeper(ClipOptions(long_px=80, after_s=0, blur=True), written.writer)
    rgb = checks(np.random.default_rng(4)).repeat(2, 0).repeat(2, 1)
    for number in range(3):
        keeper.keep(shot(number, rgb), np.array([[0.0, 0.0, 160.0, 240.0]], np.float32))
    keeper.start(fall(1))
    keeper.close()
    assert written.clips[0].pictures[0].rgb().shape == (60, 80, 3)


def test_a_stream_that_changes_its_resolution_still_gives_a_clip(tmp_path: Path, writer: ClipWriter):
    keeper = ClipKeeper(ClipOptions(after_s=2, blur=True), writer)
    for number in range(20):
        side = 64 if number < 10 else 96
        keeper.keep(shot(number, np.full((side, side, 3), 90, np.uint8)), NOBODY)
        if number == 12:
            keeper.start(fall(1))
    assert until(lambda: writer.written == 1)


def test_half_a_clip_is_never_seen_and_is_swept_away_at_the_next_start(tmp_path: Path):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / ".hall-1.mp4.x7.part").write_bytes(b"half")
    (folder / "hall-0.mp4").write_bytes(b"whole")
    writer = ClipWriter(folder, SimulatedClock())
    writer.start()
    assert [path.name for path in folder.iterdir()] == ["hall-0.mp4"]
    writer.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here (that takes root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_video_on_a_full_disk_is_an_error_and_no_crash(small_disk: Path):
    (small_disk / "ballast").write_bytes(b"x" * 200_000)
    noise = np.random.default_rng(6)
    with pytest.raises(OSError, match="No space left"), VideoWriter(small_disk / "a.mp4", 2) as video:
        for number in range(40):
            video.write(checks(noise), number / 2)


def test_on_a_full_disk_a_clip_waits_and_is_written_when_there_is_room(small_disk: Path):
    said = Said()
    writer = ClipWriter(small_disk, SimulatedClock(50), said)
    writer.start()
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"x" * 1024)
    keeper = ClipKeeper(ClipOptions(after_s=1, blur=False), writer)
    noise = np.random.default_rng(8)
    for number in range(12):
        keeper.keep(shot(number, checks(noise)))
        if number == 6:
            keeper.start(fall(1))
            keeper.start(ended(fall(1)))
    assert until(lambda: writer.trouble is not None)
    assert "no space left" in (writer.trouble or "")
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]  # no half clip
    ballast.unlink()
    assert until(lambda: writer.written == 1)
    assert writer.trouble is None and writer.waiting == 0
    assert len(said.of("clips_cannot_be_written")) == len(said.of("clips_can_be_written_again")) == 1
    writer.stop()


def test_clips_that_wait_are_bounded(tmp_path: Path):
    said = Said()
    writer = ClipWriter(tmp_path / "nowhere", SimulatedClock(), said)  # not started: nothing is written
    for number in range(20):
        writer.put(Clip(f"event-{number}", 0.0, [Kept(0.0, b"x" * 10_000_000)]))
    assert writer.waiting == 6
    assert writer.dropped == 14 == len(said.of("clip_dropped"))
