"""Clocks: durations never go back, waiting ends early when it is told to, compressed time is compressed."""

from __future__ import annotations

import threading
import time

import pytest

from falldet.watch.clock import Clock, RealClock, SimulatedClock
from suite.errors import BadInput

CLOCKS: list[Clock] = [RealClock(), SimulatedClock(1), SimulatedClock(50)]


@pytest.mark.parametrize("clock", CLOCKS)
def test_time_goes_forward_and_a_wait_takes_at_least_its_time(clock: Clock) -> None:
    before_s, wall_s = clock.now_s(), clock.unix_s()
    assert clock.wait(0.05) is False
    assert clock.now_s() - before_s >= 0.049
    assert clock.unix_s() - wall_s >= 0.049


@pytest.mark.parametrize("clock", CLOCKS)
def test_an_event_ends_a_wait_at_once(clock: Clock) -> None:
    event = threading.Event()
    threading.Timer(0.05, event.set).start()
    started_s = time.monotonic()
    assert clock.wait(2000, event) is True
    assert clock.wait(2000, event) is True
    assert time.monotonic() - started_s < 10


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_wait_that_is_not_cut_short_says_so_and_less_than_nothing_is_nothing(clock: Clock) -> None:
    assert clock.wait(0.01, threading.Event()) is False
    assert clock.wait(-5) is False


def test_compressed_time_runs_as_many_times_as_fast() -> None:
    clock = SimulatedClock(100)
    real_s, before_s = time.monotonic(), clock.now_s()
    clock.wait(10)
    simulated_s, passed_s = clock.now_s() - before_s, time.monotonic() - real_s
    assert simulated_s >= 10
    assert simulated_s == pytest.approx(100 * passed_s, abs=20)
    assert passed_s < 5


def test_a_jump_moves_the_wall_only() -> None:
    clock = SimulatedClock(1, start_unix_s=1_000_000)
    before_s = clock.now_s()
    clock.jump(-3600)
    assert clock.unix_s() == pytest.approx(1_000_000 - 3600, abs=60)
    assert 0 <= clock.now_s() - before_s < 60


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_that_stands_still_or_goes_back_is_refused(speed: float) -> None:
    with pytest.raises(BadInput, match="speed of the clock"):
        SimulatedClock(speed)
