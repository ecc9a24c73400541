"""A fit at a time in a thread of its own: what stage it is at, and what came of it, for the page."""

from __future__ import annotations

import math
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spine.anatomy import LEVELS
from spine.annotate.session import Session, without_place
from spine.landmarks_file import write_content
from spine.reconstruction import Reconstruction
from spine.report.summary import check_lines, interval_text, main_indices, usual_text, value_text
from suite.errors import BadInput, SuiteError
from suite.geometry.rotations import se3_inverse

Stage = Callable[[str], AbstractContextManager[None]]
Fit = Callable[[Path | None, Stage], Reconstruction]
"""A fit of the scan with this landmarks file, or with what is found; it says what it is about to do."""


class Refit:
    """Runs `fit` for a session."""

    def __init__(self, session: Session, fit: Fit) -> None:
        self._session, self._fit = session, fit
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {"phase": "idle", "number": 0}
        self._began = 0.0

    def start(self, content: Mapping[str, Any] | None) -> None:
        """Begin, with these landmarks or with none; BadInput while another runs."""
        with self._lock:
            if self._state["phase"] == "running":
                raise BadInput("a fit is running already", "the page", "wait for it to end")
            number = self._state["number"] + 1
            self._state = {"phase": "running", "number": number, "stage": "Beginning"}
            self._began = time.monotonic()
        threading.Thread(target=self._run, args=(content, number), name="refit", daemon=True).start()

    def state(self) -> dict[str, Any]:
        """`phase` idle, running, done or failed, the `number` of the fit, and its `stage` and `seconds`, its
        `result` or its `error`."""
        with self._lock:
            state = dict(self._state)
        if state["phase"] == "running":
            state["seconds"] = round(time.monotonic() - self._began, 1)
        return state

    def _run(self, content: Mapping[str, Any] | None, number: int) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="annotate-") as folder:
                path = None if content is None else Path(folder) / "landmarks.json"
                try:
                    if path is not None and content is not None:
                        write_content(path, content)
                    said = fitted(self._session, self._fit(path, self._stage))
                except BadInput as error:
                    raise error if path is None else without_place(error, path) from None
            ended: dict[str, Any] = {"phase": "done", "result": said}
        except SuiteError as error:
            ended = {"phase": "failed", "error": " ".join(str(error).split())}
        except Exception as error:  # the page goes on, and what nobody thought of is told in full
            traceback.print_exc(file=sys.stderr)
            line = f"the fit ended unexpectedly ({type(error).__name__}: {error}); the terminal says more"
            ended = {"phase": "failed", "error": " ".join(line.split())}
        ended |= {"number": number, "seconds": round(time.monotonic() - self._began, 1)}
        with self._lock:
            self._state = ended

    @contextmanager
    def _stage(self, what: str) -> Iterator[None]:
        with self._lock:
            self._state = self._state | {"stage": what}
        yield


def fitted(session: Session, result: Reconstruction) -> dict[str, Any]:
    """What the page shows of a fit: frames of the vertebrae in the frame shown, their size, the indices read
    first, what makes it doubtful, and the landmarks that were found where none were given."""
    T_shown_body = session.surface.T_body_input @ se3_inverse(result.surface.T_body_input)
    frames = T_shown_body @ result.fit.T_body_vertebra
    low, high = result.intervals.centre_mm
    indices = [
        {
            "key": index.key,
            "title": index.title,
            "value": None if index.unit == "level" else index.value,
            "text": value_text(index),
            "unit": index.unit,
            "interval": interval_text(index),
            "usual": usual_text(index),
            "unusual": index.in_norm is False,
        }
        for index in main_indices(result)
    ]
    return {
        "frames": np.round(frames.reshape(len(LEVELS), 16), 5).tolist(),
        "size": result.template.size * math.exp(result.fit.pose.log_scale),
        "half_width_mm": np.round((high - low)[:, 0] / 2, 2).tolist(),
        "indices": indices,
        "verdict": result.verdict,
        "checks": check_lines(result),
        "marks": session.marks(result.landmarks, result.surface),
        "line_drawn": result.landmarks.line_drawn,
    }
