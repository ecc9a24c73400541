"""Videos, folders, recordings and webcams as cameras: at their pace, to their end, whatever is in them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from watch_cameras import drawn, encoded, read_number, until, write_video

from falldet.watch.clock import SimulatedClock
from falldet.watch.streams.health import StreamHealth
from falldet.watch.streams.options import CameraOptions
from falldet.watch.streams.shot import Shot
from falldet.watch.streams.stream import CameraStream
from suite.data.images import write_image
from suite.data.recording import RecordingInfo, RecordingWriter
from suite.geometry.camera import PinholeCamera

pytest.importorskip("av")


def watched(
    stream: CameraStream, arrived: threading.Event, enough: int = 10**6, within_s: float = 20
) -> list[Shot]:
    """All shots until the camera has ended or failed, or until there are ``enough``."""
    shots: list[Shot] = []
    stream.start()

    def over() -> bool:
        shot = stream.latest(shots[-1].number if shots else 0)
        shots.extend([] if shot is None else [shot])
        return len(shots) >= enough or stream.health.state in ("ended", "failed")

    until(over, within_s)
    assert stream.stop()
    return shots


def camera(source: object, **options: Any) -> CameraOptions:
    return CameraOptions(name="room", source=str(source), **options)


def test_a_video_is_played_at_its_pace_and_ends(tmp_path: Path) -> None:
    clock, arrived, told = SimulatedClock(10), threading.Event(), []
    path = write_video(tmp_path / "a.mp4", 125, b_frames=2)
    begun_s = clock.now_s()
    stream = CameraStream(
        camera(path), clock, arrived=arrived, tell=lambda name, health: told.append((name, health))
    )
    shots = watched(stream, arrived)
    assert [(name, h.state, h.why) for name, h in told] == [
        ("room", "live", ""),
        ("room", "ended", "all of it was played"),
    ]
    health = stream.health
    assert health.shots == 10
    assert health.size_px == (320, 180)
    assert health.damaged == health.reconnects == 0
    assert clock.now_s() - begun_s >= 5
    assert len(shots) + health.dropped == health.shots
    times = {shot.number: shot.time_s - shots[0].time_s for shot in shots}
    for number, time_s in times.items():
        assert time_s == pytest.approx((number - shots[0].number) * 0.5, abs=0.2)
    for shot in shots:
        taken_s = (shot.time_s - shots[0].time_s) + (read_number(shots[0].rgb)) / 25
        assert (read_number(shot.rgb) - taken_s * 25 + 12.5) % 25 == pytest.approx(12.5, abs=3.5)


def test_a_video_goes_on_from_the_start_where_it_is_repeated(tmp_path: Path) -> None:
    clock, arrived = SimulatedClock(10), threading.Event()
    stream = CameraStream(camera(write_video(tmp_path / "a.mp4", 50), repeat=True), clock, arrived=arrived)
    shots = watched(stream, arrived, enough=12)
    assert stream.health.state == "live"
    times = [shot.time_s for shot in shots]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx((shots[-1].number - shots[0].number) * 0.5, abs=0.3)


def test_who_is_slow_skips_by_time_and_does_not_fall_behind(tmp_path: Path) -> None:
    clock = SimulatedClock(400)  # no machine decodes 10,000 pictures a second
    arrived = threading.Event()
    path = write_video(tmp_path / "a.mp4", 500, gop=25)
    stream = CameraStream(camera(path, looks_per_s=10), clock, arrived=arrived)
    begun_s, behind_s = clock.now_s(), []
    stream.start()
    last = 0

    def over() -> bool:
        nonlocal last
        assert stream.health.state != "failed"
        if (shot := stream.latest(last)) is not None:
            last = shot.number
            behind_s.append(clock.now_s() - shot.time_s)
        return stream.health.state == "ended"

    until(over)
    assert stream.stop()
    assert stream.health.dropped > 50  # of 200
    assert clock.now_s() - begun_s < 20 + 4000  # 20 s long; ten real seconds to open and end
    assert not behind_s or np.median(behind_s) < 400  # a real second


def test_a_folder_is_played_and_what_is_no_picture_is_passed_over(tmp_path: Path) -> None:
    for number in range(20):
        write_image(tmp_path / f"{number:03d}.png", drawn(number, 64, 48))
    (tmp_path / "010.png").write_bytes(b"no picture")
    clock, arrived = SimulatedClock(5), threading.Event()
    shots = watched(CameraStream(camera(tmp_path, rate_hz=4, rotate=90), clock, arrived=arrived), arrived)
    stream = CameraStream(camera(tmp_path, rate_hz=4), SimulatedClock(5), arrived=arrived)
    numbers = [read_number(shot.rgb) for shot in watched(stream, arrived)]
    assert set(numbers) <= {0, 2, 4, 6, 8, 11, 12, 14, 16, 18, 13, 15, 17, 19}
    assert len(numbers) >= 6
    assert stream.health.damaged == 1
    assert {shot.size_px for shot in shots} == {(48, 64)}


def test_a_recording_gives_its_colour_pictures_at_their_times(tmp_path: Path) -> None:
    lens = PinholeCamera(width=64, height=48, fx=50.0, fy=50.0, cx=31.5, cy=23.5)
    info = RecordingInfo("test", 0.001, lens)
    with RecordingWriter(tmp_path / "r", info) as writer:
        for number in range(12):
            writer.add(np.ones((48, 64), np.float32), 100 + number / 4, drawn(number, 64, 48))
    clock, arrived = SimulatedClock(4), threading.Event()
    stream = CameraStream(camera(tmp_path / "r"), clock, arrived=arrived)
    numbers = [read_number(shot.rgb) for shot in watched(stream, arrived)]
    assert len(numbers) >= 4
    assert set(numbers) <= {0, 2, 4, 6, 8, 10}
    assert stream.health.line("room") == "room: ended (all of it was played)"


def test_what_cannot_be_watched_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    with RecordingWriter(
        tmp_path / "deep",
        RecordingInfo("test", 0.001, PinholeCamera(width=4, height=4, fx=5.0, fy=5.0, cx=1.5, cy=1.5)),
    ) as writer:
        writer.add(np.ones((4, 4), np.float32), 0.0)
    arrived = threading.Event()
    for source, says in {
        "missing.mp4": "no such file",
        "empty": "holds no pictures",
        "text.mp4": "cannot be opened as a video",
        "deep": "has depth only",
    }.items():
        stream = CameraStream(camera(tmp_path / source), arrived=arrived)
        assert watched(stream, arrived) == []
        assert stream.health.state == "failed"
        assert says in stream.health.why
        assert "\n" not in stream.health.why


def test_a_video_that_was_cut_off_is_watched_up_to_there(tmp_path: Path) -> None:
    import av

    whole = tmp_path / "whole.ts"
    with av.open(str(whole), "w") as container, av.open(str(write_video(tmp_path / "a.mp4", 100))) as given:
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    data = bytearray(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    rng = np.random.default_rng(1)
    at = len(data) // 3
    data[at : at + 2000] = rng.integers(0, 256, 2000, np.uint8).tobytes()
    (tmp_path / "cut.ts").write_bytes(data)
    arrived = threading.Event()
    camera_stream = CameraStream(
        camera(tmp_path / "cut.ts", looks_per_s=25), SimulatedClock(2), arrived=arrived
    )
    shots = watched(camera_stream, arrived)
    health = camera_stream.health
    assert health.state == "ended"
    assert health.damaged > 0
    assert 30 <= health.shots <= 67
    assert len(shots) > 10


def test_a_stream_without_times_has_its_rate(tmp_path: Path) -> None:
    (tmp_path / "a.h264").write_bytes(b"".join(encoded(75)))
    clock, arrived = SimulatedClock(5), threading.Event()
    stream = CameraStream(camera(tmp_path / "a.h264"), clock, arrived=arrived)
    begun_s = clock.now_s()
    watched(stream, arrived)
    assert stream.health.state == "ended"
    assert 5 <= stream.health.shots <= 7
    assert clock.now_s() - begun_s >= 2.9


def test_large_pictures_are_made_smaller_but_their_size_is_told(tmp_path: Path) -> None:
    arrived = threading.Event()
    options = camera(write_video(tmp_path / "a.mp4", 10), longest_px=160, rotate=270)
    stream = CameraStream(options, SimulatedClock(5), arrived=arrived)
    assert watched(stream, arrived)[0].size_px == (90, 160)
    assert stream.health.size_px == (320, 180)


def test_a_wall_clock_that_jumps_is_a_line_and_changes_nothing_else(tmp_path: Path) -> None:
    clock, arrived = SimulatedClock(5, start_unix_s=1_700_000_000), threading.Event()
    stream = CameraStream(camera(write_video(tmp_path / "a.mp4", 400), looks_per_s=4), clock, arrived=arrived)
    stream.start()
    until(lambda: stream.latest(1))
    clock.jump(-3600)
    before = stream.health.shots
    until(lambda: stream.health.why)
    assert stream.health.line("room") == "room: live (the clock on the wall jumped by -3600 s)"
    until(lambda: stream.health.shots > before + 2)
    shot = stream.latest()
    assert shot is not None
    assert shot.time_s < 1000
    assert abs(shot.unix_s - (1_700_000_000 - 3600)) < 1000
    assert stream.stop()


class Webcam:
    """Gives so many pictures and is then unplugged; ``hang`` has it wait in its driver after them."""

    opened = 0

    def __init__(self, count: int, hang: threading.Event | None = None) -> None:
        self.left, self.hang, self.decoded = count, hang, 0
        self.released = False

    def isOpened(self) -> bool:
        return self.left > 0

    def grab(self) -> bool:
        threading.Event().wait(0.01)
        self.left -= 1
        if self.left <= 0 and self.hang is not None:
            self.hang.wait(20)
        return self.left > 0

    def retrieve(self) -> tuple[bool, Any]:
        self.decoded += 1
        return True, np.full((48, 64, 3), (10, 20, 30), np.uint8)  # blue first

    def release(self) -> None:
        self.released = True


def test_a_webcam_that_is_unplugged_comes_back() -> None:
    cameras = [Webcam(30), Webcam(0), Webcam(1000)]
    opened: list[Webcam] = []
    told: list[StreamHealth] = []

    def opener(index: int) -> Webcam:
        assert index == 2
        opened.append(cameras[len(opened)])
        return opened[-1]

    stream = CameraStream(
        camera("2", looks_per_s=10, retry={"first_s": 0.05}),
        tell=lambda _, health: told.append(health),
        opener=opener,
    )
    stream.start()
    until(lambda: stream.health.reconnects == 1)
    until(lambda: stream.health.shots > 6)
    shot = stream.latest()
    assert stream.stop()
    assert shot is not None
    assert shot.rgb[0, 0].tolist() == [30, 20, 10]
    assert [health.state for health in told] == ["live", "reconnecting", "reconnecting", "live"]
    assert "unplugged" in told[1].why
    assert "no such camera" in told[2].why
    assert all(webcam.released for webcam in opened)
    assert cameras[0].decoded < 15


def test_a_webcam_that_hangs_in_its_driver_is_not_called_live_and_does_not_keep_the_program() -> None:
    release = threading.Event()
    webcam = Webcam(10, release)
    stream = CameraStream(
        camera("0", looks_per_s=20, timeouts={"silent_s": 0.3}), opener=lambda index: webcam
    )
    stream.start()
    until(lambda: stream.health.state == "live")
    until(lambda: stream.health.state == "reconnecting")
    assert stream.health.why.startswith("no picture for")
    shots = stream.health.shots
    assert stream.stop(within_s=0.2) is False
    release.set()
    until(lambda: webcam.released)
    assert stream.health.shots == shots
