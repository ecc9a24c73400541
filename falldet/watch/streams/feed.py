"""What every kind of source gives to its camera's thread, and how it says that it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from suite.errors import SuiteError

_EARLY = 0.1  # of the time between two looks


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture. ``time_s`` is the clock's; ``sent_px`` width and height before any scaling."""

    rgb: UInt8[np.ndarray, "h w 3"]
    time_s: float
    sent_px: tuple[int, int]


@runtime_checkable
class Feed(Protocol):
    """An open source. ``endless`` ones do not end by themselves: where they do, the camera was lost."""

    @property
    def endless(self) -> bool: ...
    def pictures(self) -> Iterator[Picture]:
        """A picture for every look that is due, until the end or until ``stop`` is set. Raises Lost."""
        ...

    def close(self) -> None: ...


class Lost(SuiteError):
    """The camera does not answer, or no more; it is asked again soon."""


class Refused(Lost):
    """The camera answers and says no; somebody has to change something. It is asked again, seldom."""


class Looks:
    """Says when a look is due, ``per_s`` times a second of a time that only goes forward."""

    def __init__(self, per_s: float | int) -> None:
        self.period_s = 1 / per_s
        self._next_s: float | None = None

    def due(self, time_s: float | int, *, cheap: bool = False) -> bool:
        """Whether to look now; a little early where the look is ``cheap``, as key frames are."""
        early_s = _EARLY * self.period_s if cheap else 1e-6
        return self._next_s is None or time_s >= self._next_s - early_s

    def taken(self, time_s: float | int) -> None:
        """A look was taken. Looks that were missed are not made up for."""
        if self._next_s is None or not -1e-6 <= time_s - self._next_s < self.period_s:
            self._next_s = time_s
        self._next_s += self.period_s
