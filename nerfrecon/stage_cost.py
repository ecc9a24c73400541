"""What a piece of work costs: CPU time with that of child processes, wall time, peak of memory."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Cost(NamedTuple):
    """Seconds of CPU (user and system, children that have ended too), seconds, and GB held at once."""

    cpu_s: float
    wall_s: float
    peak_gb: float


class Meter:
    """Counts from where it is made. The peak of memory starts anew on Linux; elsewhere it is the process's
    largest so far."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = _cpu_s(), time.monotonic()
        self._anew = _forget_peak()

    def read(self) -> Cost:
        """The cost so far."""
        return Cost(_cpu_s() - self._cpu_s, time.monotonic() - self._wall_s, self._peak_gb())

    def _peak_gb(self) -> float:
        if self._anew:
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024 / 1e9
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _forget_peak() -> bool:
    """Have Linux count the largest resident size from now on (proc(5), clear_refs: 5)."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True
