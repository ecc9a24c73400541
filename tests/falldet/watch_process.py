"""`falldet watch` in a process of its own, with a detector that sees bright boxes; to be ended and killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def command_of(*arguments: str) -> list[str]:
    """What starts it."""
    return [sys.executable, str(Path(__file__)), *arguments]


def environment(**more: str) -> dict[str, str]:
    """With this checkout first, and one thread."""
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **more}


class Running:
    """A watch that runs; what it says on stderr goes to ``log``."""

    def __init__(self, log: Path, *arguments: str, **variables: str) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command_of(*arguments), stderr=file, stdout=file, env=environment(**variables), cwd=log.parent
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str, count: int = 1, seconds: float = 40.0) -> None:
        """Until it has said so."""
        until = time.monotonic() + seconds
        while self.said().count(text) < count:
            assert time.monotonic() < until, f"never said {text!r}:\n{self.said()}"
            assert self.process.poll() is None or self.said().count(text) >= count, self.said()
            time.sleep(0.05)

    def end(self, signal_number: int, seconds: float = 20.0) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(signal_number)
        return self.process.wait(seconds)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from bright_boxes import BrightBoxes

    from falldet.cli import main
    from falldet.watch import command

    command.open_detector = lambda _: BrightBoxes()
    sys.argv[0] = "falldet"
    main()
