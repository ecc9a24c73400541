"""The thread that works ahead of who needs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from suite.ahead import ahead
from suite.errors import BadInput


class Counted:
    """Numbers from 0, how many were asked for, and whether it was closed."""

    def __init__(self, count: int) -> None:
        self.count, self.made, self.closed = count, 0, threading.Event()

    def numbers(self) -> Iterator[int]:
        try:
            for k in range(self.count):
                self.made = k + 1
                yield k
        finally:
            self.closed.set()


def until(condition: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.002)


def test_ahead_keeps_the_order():
    assert list(ahead(range(500), 3)) == list(range(500))


def test_ahead_is_ahead_but_not_far():
    counted = Counted(100)
    items = ahead(counted.numbers(), 4)
    assert next(items) == 0
    until(lambda: counted.made >= 6)
    time.sleep(0.05)
    assert counted.made == 6  # one taken, four wait, one in the hand
    assert list(items) == list(range(1, 100))


def test_ahead_drops_the_oldest_of_what_does_not_wait():
    counted = Counted(100)
    items = ahead(counted.numbers(), 2, newest=True)
    first = next(items)
    assert counted.closed.wait(10)
    seen = [first, *items]
    assert len(seen) <= 3
    assert seen[-2:] == [98, 99]


def test_ahead_passes_errors_on_after_what_came_before():
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise BadInput("broken")

    seen = []
    with pytest.raises(BadInput, match="broken"):
        for item in ahead(failing(), 8):
            seen.append(item)
    assert seen == [1, 2]


def test_leaving_ahead_closes_its_source_and_ends_its_thread():
    counted = Counted(10**9)
    items = ahead(counted.numbers(), 2)
    next(items)
    items.close()
    assert counted.closed.wait(10)
    until(lambda: not [t for t in threading.enumerate() if t.name == "ahead"])
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
