"""How long to wait before a lost camera is asked again."""

from __future__ import annotations

import random

from falldet.watch.streams.options import RetryOptions


class Backoff:
    """Waits that double from ``first_s`` to ``longest_s``, each shortened at random by up to a half.

    Cameras that were lost together, as after a power cut, are so not asked together again and again.
    """

    def __init__(self, options: RetryOptions, seed: int | str | None = None) -> None:
        self._options = options
        self._random = random.Random(seed)
        self._tries = 0

    def next_s(self) -> float:
        """The next wait."""
        doubled_s = self._options.first_s * 2.0 ** min(self._tries, 30)
        self._tries += 1
        return min(doubled_s, self._options.longest_s) * self._random.uniform(0.5, 1.0)

    def refused_s(self) -> float:
        """The wait after a login or an address that was refused."""
        return self._options.refused_s * self._random.uniform(0.9, 1.0)

    def steady(self) -> None:
        """All was well for a while: begin anew."""
        self._tries = 0
