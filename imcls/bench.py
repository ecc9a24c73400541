"""How fast a classifier reads, thinks, and thinks in ONNX Runtime, on this machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch

from imcls.config import ImclsConfig, TtaOptions
from imcls.member import Member, Preparation, card_of
from imcls.model.build import build_classifier
from imcls.onnx.graph import open_onnx, run_onnx, write_onnx
from imcls.voting.vote import Voters
from suite.progress import track
from suite.report.metric import Metric
from suite.report.table import Column, Table

BATCHES = (1, 32)
_FEWEST, _MOST = 3, 200
_Task = Callable[[], object]


@dataclass(frozen=True)
class Speed:
    """``what`` at a batch size: medians of the wall time, means of the CPU time over all threads."""

    what: str
    batch: int
    threads: int
    repeats: int
    wall_s: float
    """Of one batch."""
    cpu_s: float
    """Of one batch."""

    @property
    def images_per_s(self) -> float:
        """Images a second of the clock."""
        return self.batch / self.wall_s


def untrained(config: ImclsConfig, classes: tuple[str, ...]) -> Voters:
    """One member as an experiment describes it, with random weights: they do not change the speed."""
    backbone = config.model.backbone.model_copy(update={"weights": None})
    options = config.model.model_copy(update={"backbone": backbone})
    model = build_classifier(
        options, len(classes), image_px=config.input.image_px, allow_code=config.allow_code
    )
    return Voters((Member(model.eval(), card_of(model, config, classes)),), (1.0,))


def bench(
    voters: Voters,
    images: Sequence[Path],
    tta: TtaOptions | None = None,
    *,
    threads: int = 1,
    least_s: float | int = 1.0,
    batches: Sequence[int] = BATCHES,
) -> list[Speed]:
    """Reading, the forward pass, the same with TTA where it has views, and ONNX Runtime, each at every batch
    size, for at least ``least_s`` seconds a figure.

    ``images`` are real files, and the pixels that are judged come from them.
    """
    ways = voters.preparations
    files = list(islice(cycle(images), max(batches)))
    squares = {way: torch.stack([way.square(path) for path in files]) for way in ways}
    speeds = []
    with tempfile.TemporaryDirectory() as temporary, _threads(threads):
        graph = Path(temporary) / "model.onnx"
        if len(ways) == 1:
            write_onnx(graph, voters)
        session = open_onnx(graph, threads) if len(ways) == 1 else None
        for batch in track(batches, "Measuring"):
            part = {way: pixels[:batch] for way, pixels in squares.items()}
            tasks: dict[str, _Task] = {
                "read and prepare": lambda n=batch: [_read(path, ways) for path in files[:n]],
                "torch": lambda p=part: voters.vote(p, TtaOptions()),
            }
            if tta is not None and tta != TtaOptions():
                tasks["torch with TTA"] = lambda p=part: voters.vote(p, tta)
            if session is not None:
                pixels = part[ways[0]].numpy()
                tasks["ONNX Runtime"] = lambda p=pixels: run_onnx(session, p)
            speeds += [_timed(what, task, batch, threads, least_s) for what, task in tasks.items()]
    return speeds


def speed_table(speeds: Sequence[Speed]) -> Table:
    """For a person: a row for each figure."""
    rows = [
        [s.what, s.batch, s.threads, s.images_per_s, 1e3 * s.wall_s / s.batch, 1e3 * s.cpu_s / s.batch]
        for s in speeds
    ]
    columns = [
        "what",
        "batch",
        "threads",
        Column("images", "1/s", 1),
        Column("time", "ms an image", 2),
        Column("CPU", "ms an image", 2),
    ]
    return Table(columns, rows, caption="Speed on this machine")


def speed_metrics(speeds: Sequence[Speed]) -> list[Metric]:
    """For a machine: images a second and CPU milliseconds an image, by what and batch size."""
    found = []
    for s in speeds:
        key = f"{s.what.lower().replace(' ', '_')}_batch{s.batch}"
        note = f"{s.threads} threads, {s.repeats} repeats"
        found.append(Metric(f"{key}_images_per_s", s.images_per_s, "1/s", "higher", None, note))
        found.append(Metric(f"{key}_cpu_ms", 1e3 * s.cpu_s / s.batch, "ms", "lower", None, note))
    return found


def _timed(what: str, task: _Task, batch: int, threads: int, least_s: float | int) -> Speed:
    task()  # the first one allocates and compiles
    walls: list[float] = []
    cpu = time.process_time()
    while len(walls) < _FEWEST or (sum(walls) < least_s and len(walls) < _MOST):
        wall = time.perf_counter()
        task()
        walls.append(time.perf_counter() - wall)
    cpu = (time.process_time() - cpu) / len(walls)
    return Speed(what, batch, threads, len(walls), float(np.median(walls)), cpu)


def _read(path: Path, ways: Sequence[Preparation]) -> list[torch.Tensor]:
    return [way.square(path) for way in ways]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
