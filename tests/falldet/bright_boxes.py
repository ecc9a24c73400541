"""A small detector that is right by construction: one bright rectangle, fallen if wider than tall.

Run as a program it is a command line around `predict`, for tests that interrupt or starve a process.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from falldet.detections import Detections
from falldet.predict import PredictOptions, predict


@dataclass(frozen=True)
class BrightCard:
    threshold: float = 0.5


@dataclass
class BrightBoxes:
    """The score is how bright the rectangle is, from 0 to 1. ``seen`` holds the sizes of all batches."""

    card: BrightCard = field(default_factory=BrightCard)
    pause_s: float = 0.0
    seen: list[int] = field(default_factory=list)

    def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]:
        self.seen.append(len(pictures))
        time.sleep(self.pause_s * len(pictures))
        return [self._one(rgb) for rgb in pictures]

    def _one(self, rgb: np.ndarray) -> Detections:
        grey = rgb.astype(np.float32).mean(axis=2)
        bright = grey > 60
        if not bright.any():
            return Detections.none()
        rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        x1, y1, x2, y2 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        score = float(np.median(grey[bright])) / 255
        return Detections(
            np.array([[x1, y1, x2, y2]], np.float32),
            np.array([score], np.float32),
            np.array([0 if x2 - x1 > y2 - y1 else 1]),
        )


def scene(
    box: tuple[int, int, int, int] | None, level: int = 250, size: tuple[int, int] = (72, 96)
) -> np.ndarray:
    """A dark picture, (height, width) in ``size``, with a grey rectangle x1, y1, x2, y2."""
    rgb = np.full((*size, 3), 12, np.uint8)
    if box is not None:
        x1, y1, x2, y2 = box
        rgb[y1:y2, x1:x2] = level
    return rgb


def main(source: str, out: str, pause_s: str, most_bytes: str, *flags: str) -> int:
    """``most_bytes`` limits the size of every file the process writes; 0 is no limit."""
    from suite.errors import SuiteError

    if int(most_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most_bytes), int(most_bytes)))
    options = PredictOptions(batch=2, draw="no-draw" not in flags)
    try:
        summary = predict(BrightBoxes(pause_s=float(pause_s)), source, Path(out), options)
    except SuiteError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(summary.line(), file=sys.stderr)
    return summary.exit_code


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(*sys.argv[1:]))
