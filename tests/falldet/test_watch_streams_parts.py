"""The parts of a camera's thread: when to look, when to wait, what is late, what is known of its health."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from watch_cameras import read_number, write_video

from falldet.watch.clock import SimulatedClock
from falldet.watch.streams.backoff import Backoff
from falldet.watch.streams.decoding import LazyDecoder, ToRgb
from falldet.watch.streams.feed import Looks
from falldet.watch.streams.health import StreamHealth, Vitals
from falldet.watch.streams.lag import Effort, Lag
from falldet.watch.streams.options import RetryOptions
from falldet.watch.streams.pixels import fitted
from falldet.watch.streams.shot import LatestShot, Shot


def test_looks_keep_their_rate_and_are_not_made_up_for() -> None:
    looks, taken = Looks(2), []
    for tick in range(25 * 60):  # a minute at 25 pictures/s
        if looks.due(tick / 25):
            looks.taken(tick / 25)
            taken.append(tick / 25)
    assert len(taken) == 120
    assert looks.due(100.0)
    looks.taken(100.0)
    assert not looks.due(100.3)
    assert looks.due(100.5)


def test_a_key_frame_is_looked_at_a_little_early() -> None:
    looks = Looks(2)
    looks.taken(10.0)
    assert not looks.due(10.4, cheap=True)
    assert looks.due(10.46, cheap=True)
    assert not looks.due(10.46)
    looks.taken(10.46)  # and looks go on from there, so that they stay with the key frames
    assert not looks.due(10.9)
    assert looks.due(10.96)


@pytest.mark.parametrize("seed", range(5))
def test_waits_double_up_to_the_longest_and_begin_anew(seed: int) -> None:
    backoff = Backoff(RetryOptions(first_s=1, longest_s=40), seed)
    waits = [backoff.next_s() for _ in range(2000)]
    for number, wait_s in enumerate(waits):
        whole_s = min(40, 2.0 ** min(number, 9))
        assert whole_s / 2 <= wait_s <= whole_s
    assert len(set(waits)) > 1900
    backoff.steady()
    assert backoff.next_s() <= 1
    assert 270 <= backoff.refused_s() <= 300


@pytest.mark.parametrize("pace", [1.0, 1.00005, 0.9, 1.4])
def test_whoever_waits_for_packets_is_not_late_whatever_they_are_stamped(pace: float) -> None:
    lag = Lag()
    assert not any(lag.late(100 + pace * n / 25, n / 25, 0.03) for n in range(25 * 600))
    assert not lag.late(100 + pace * 600, 7.0, 0)  # began anew
    assert not lag.late(100 + pace * 600 + 0.1, 9000.0, 0)  # or was set forward
    assert not lag.late(100 + pace * 600 + 0.2, None, 0)


def test_packets_that_waited_for_us_are_late_until_we_have_caught_up() -> None:
    lag = Lag()
    assert not lag.late(100, 0.0, 0.03)
    assert not lag.late(101, 0.04, 0)
    assert not lag.late(102, 0.08, 0)
    assert lag.late(103, 0.12, 0)
    assert lag.late(103.01, 0.8, 0)
    assert not lag.late(103.02, 1.6, 0)
    assert lag.late(105.5, 1.64, 0)
    assert not lag.late(105.54, 1.68, 0.03)  # we were made to wait, so nothing is left
    assert not lag.late(106, 1.72, 0)


def test_key_frames_only_are_looked_at_for_a_while_where_decoding_takes_too_long() -> None:
    effort = Effort()
    for begun_s in np.arange(0, 10, 0.5).tolist():  # half of the time
        effort.spent(begun_s, begun_s + 0.25)
        effort.spent(begun_s + 0.26, begun_s + 0.265)
        assert not effort.keys_only(begun_s + 0.3)
    for begun_s in np.arange(10, 16, 0.5).tolist():
        effort.spent(begun_s, begun_s + 0.48)
    assert effort.keys_only(16)
    effort.spent(20, 20.02)
    assert effort.keys_only(20.1)
    assert not effort.keys_only(27)


def test_the_slot_keeps_the_newest_shot_only() -> None:
    slot = LatestShot()
    shots = [Shot("a", np.zeros((2, 3, 3), np.uint8), n, float(n), 0.0) for n in (1, 2, 3)]
    assert slot.newer(0) is None
    assert slot.put(shots[0]) is False
    assert slot.put(shots[1]) is True  # nobody had taken the first
    assert slot.newer(0) is shots[1]
    assert slot.newer(1) is shots[1]  # several may look at it
    assert slot.newer(2) is None
    assert slot.put(shots[2]) is False
    assert shots[2].size_px == (3, 2)


def test_health_is_one_line_and_tells_what_is_new() -> None:
    clock, told = SimulatedClock(1000), []
    vitals = Vitals(clock, lambda text: text.replace("geheim", "***"), told.append)
    vitals.enter("reconnecting", "lost geheim")
    vitals.enter("reconnecting", "lost geheim")
    assert [health.line("door") for health in told] == ["door: reconnecting (lost ***)"]
    vitals.enter("live")
    vitals.resized((640, 480))
    vitals.resized((1280, 720))
    assert vitals.health().line("door") == "door: live (pictures changed from 640x480 to 1280x720 px)"
    vitals.resized((640, 480))
    assert len(told) == 3  # the third is the change, told once a minute
    clock.wait(70)
    assert vitals.health() == StreamHealth("live", "", told[1].since_s, size_px=(640, 480))
    assert vitals.health().as_dict()["size_px"] == (640, 480)


def test_a_camera_whose_thread_hangs_is_not_called_live() -> None:
    clock = SimulatedClock(1)
    vitals = Vitals(clock, str)
    vitals.enter("live")
    vitals.heard(0.05)
    assert vitals.health().state == "live"
    threading.Event().wait(0.1)
    assert vitals.health().line("door") == "door: reconnecting (no picture for 0 s)"
    vitals.heard(9)
    assert vitals.health().state == "live"


def test_a_listener_that_fails_does_no_harm() -> None:
    def fail(_: StreamHealth) -> None:
        raise RuntimeError

    vitals = Vitals(SimulatedClock(1), str, fail)
    vitals.enter("live")
    assert vitals.health().state == "live"


@pytest.mark.parametrize(("gop", "b_frames", "most"), [(25, 0, 0.6), (50, 0, 0.8), (25, 2, 0.5), (1, 0, 0.1)])
def test_only_what_a_look_needs_is_decoded(tmp_path: Path, gop: int, b_frames: int, most: float) -> None:
    av = pytest.importorskip("av")
    path = write_video(tmp_path / "a.mp4", 100, gop=gop, b_frames=b_frames)
    seen: dict[float, int] = {}
    with av.open(str(path)) as container:
        decoder, looks, rgb = LazyDecoder(container.streams.video[0]), Looks(2), ToRgb(0, 1920)
        for packet in container.demux(video=0):
            if not packet.size:
                break
            decoder.add(packet)
            time_s = float(packet.dts * packet.time_base)
            if looks.due(time_s, cheap=packet.is_keyframe) and (frame := decoder.newest()) is not None:
                looks.taken(time_s)
                seen[frame.time] = read_number(rgb(frame))
    assert decoder.damaged == 0
    assert 7 <= len(seen) <= 10
    assert decoder.decoded <= most * 100
    for time_s, number in seen.items():
        assert number == round(time_s * 25) % 25
    assert all(b - a < 0.7 for a, b in pairwise(sorted(seen)))


def test_damaged_packets_are_counted_and_the_next_key_frame_heals(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    rng = np.random.default_rng(3)
    numbers = []
    with av.open(str(write_video(tmp_path / "a.mp4", 75, gop=25))) as container:
        decoder, rgb = LazyDecoder(container.streams.video[0]), ToRgb(0, 1920)
        for number, packet in enumerate(p for p in container.demux(video=0) if p.size):
            if 25 <= number < 28:  # a key frame among them
                noise = av.Packet(rng.integers(0, 256, packet.size, np.uint8).tobytes())
                noise.pts, noise.dts, noise.time_base = packet.pts, packet.dts, packet.time_base
                noise.is_keyframe = packet.is_keyframe
                packet = noise
            decoder.add(packet)
            frame = decoder.newest()
            numbers += [] if frame is None else [read_number(rgb(frame))]
    assert decoder.damaged >= 1
    assert numbers[:20] == list(range(20))
    assert numbers[-25:] == list(range(25)) or numbers[-20:] == list(range(3, 23))


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_pictures_are_turned_clockwise_and_made_smaller(turn: int) -> None:
    rgb = np.zeros((60, 120, 3), np.uint8)
    rgb[:20, :20] = 255  # top left
    corner = fitted(rgb, 60, turn)
    assert corner.shape[:2] == ((30, 60) if turn in (0, 180) else (60, 30))
    bright = {0: (0, 0), 90: (0, -1), 180: (-1, -1), 270: (-1, 0)}[turn]
    assert corner[bright].min() > 250
    assert corner.mean() == pytest.approx(rgb.mean(), abs=1)
