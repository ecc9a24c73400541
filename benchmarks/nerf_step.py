"""A whole training step of the fused core against PyTorch eager, and both against what the machine can do.

The field has 16 levels of 2^17 entries and the networks 32-64-16 and 32-64-64-3. Both backends take the same
steps from the same state of a half-trained object, on the same rays and points: nothing ends early, so every
sample that is marched is trained on. They take turns; each figure is the least CPU time of its turns, on one
thread.

- `speedup_fp32`, `speedup_bf16`: CPU time a sample of PyTorch by that of the core; at least 10 and 15 asked.
- `roofline_fp32`, `roofline_bf16`: the least time that the step's multiply-adds and its reads and writes of
  the table could take, by the time that it takes; at least .60 of bf16 asked. Peaks are measured in the same
  run: multiply-adds on registers, and the rows of these very points read, and added to, in their order.

bf16 is measured where the machine has AVX-512-BF16, whose multiply-adds of pairs are then the peak; the table
is fp32 in either. The tables after the first say where a core's time goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import BenchmarkResult, Data
from benchmarks._nerf import one_thread
from benchmarks._nerf_object import render_object
from nerfrecon.backends.base import Backend, TrainingView
from nerfrecon.backends.native import NativeBackend, has_bf16, load_native
from nerfrecon.backends.torch import TorchBackend
from nerfrecon.fields.grid import grid_layout
from nerfrecon.ops.hash_grid.reference import corners_of
from nerfrecon.options import (
    DensityFieldOptions,
    GridOptions,
    LossOptions,
    OptimiserOptions,
    Precision,
    SamplingOptions,
)
from nerfrecon.scenes.read import read_scene
from nerfrecon.training.carving import first_cells
from nerfrecon.training.views import training_views
from suite.report.metric import Metric
from suite.report.table import Cell, Column, Table

FIELD = DensityFieldOptions(grid=GridOptions(log2_table=17))
SAMPLING = SamplingOptions(stop=0.0, update_every=100_000)
SAMPLES, WARM_UP_STEPS, TURNS, STEPS_A_TURN = 32768, 192, 10, 2
DENSITY_MACS, COLOUR_MACS = 32 * 64 + 64 * 16, 16 * 64 + 64 * 64 + 64 * 3
"""Of a sample, forward. What the view direction adds to the first colour layer is counted once a ray."""
VIEW_MACS = 16 * 64
PASSES = 3
"""Forward, and backward to what goes in and to the weights."""
MISSING = "no such CPU here"


def run(data: Data) -> BenchmarkResult:
    """About two CPU minutes."""
    with TemporaryDirectory() as folder, one_thread():
        scene = read_scene(render_object(data, Path(folder)))
        learned, _ = scene.split()
        views = training_views(scene, learned)
        state = _half_trained(views, first_cells(scene, learned, SamplingOptions(), 1.0))
    cores = {"fp32": _native(views, state)}
    if has_bf16(load_native()):
        cores["bf16"] = _native(views, state, "bf16")
    raced = race({"torch": _torch(views, state), **cores})
    points = Points(cores["fp32"], views)
    least = {name: roof(core, points, raced[name]) for name, core in cores.items()}
    return summarised(raced, least, {name: parts(core, points) for name, core in cores.items()})


class Raced(NamedTuple):
    """Seconds of CPU time a sample, and samples, rays and loss of the turns."""

    sample_s: float
    samples: int
    rays: int
    loss: float


class Roof(NamedTuple):
    """The least CPU time of a sample, in parts, and the peaks it was computed from."""

    networks_s: float
    read_s: float
    write_s: float
    flops: float
    rows_read: float
    rows_written: float

    @property
    def sample_s(self) -> float:
        return self.networks_s + self.read_s + self.write_s


def race(backends: dict[str, Backend]) -> dict[str, Raced]:
    """All backends take the same steps in turn; the first turn warms up."""
    times: dict[str, list[float]] = {name: [] for name in backends}
    last: dict[str, Raced] = {}
    for _ in range(TURNS + 1):
        for name, backend in backends.items():
            report = backend.steps(STEPS_A_TURN)
            times[name].append(report.cpu_s / report.samples_kept)
            last[name] = Raced(0.0, report.samples_kept, report.rays, report.loss)
    return {name: one._replace(sample_s=min(times[name][1:])) for name, one in last.items()}


class Points:
    """Rays of a batch, their samples, and the rows of the table that these look at."""

    def __init__(self, core: NativeBackend, views: Sequence[TrainingView]) -> None:
        rng = np.random.default_rng(0)
        rays = []
        for view in views:
            size = [view.camera.width, view.camera.height]
            rays.append(core.rays(view.camera, (rng.integers(0, size, (150, 2))).astype(np.float32)))
        self.origins, self.directions = (np.concatenate([one[k] for one in rays]) for k in (0, 1))
        self.jitter = rng.random(len(self.origins), np.float32)
        self.starts, self.t, self.dt = core.march(self.origins, self.directions, self.jitter)
        ray = np.repeat(np.arange(len(self.origins)), np.diff(self.starts))
        self.xyz = (self.origins[ray] + self.t[:, None] * self.directions[ray]).clip(0, 1).astype(np.float32)
        self.colours = rng.random(self.origins.shape, np.float32)
        self.rows = [
            (corners_of(torch.from_numpy(self.xyz), level)[0] - level.offset).numpy().astype(np.int32).ravel()
            for level in grid_layout(FIELD.grid).levels
        ]


def roof(core: NativeBackend, points: Points, raced: Raced) -> Roof:
    """Peaks of the machine, and what the step's work would take at them."""
    native: Any = load_native()
    isa = core.name.partition("(")[2].rstrip(")")
    rounds = 3_000_000
    flops = native.multiply_adds(isa, rounds) / best_s(lambda: native.multiply_adds(isa, rounds))
    tables = [np.zeros((level.entries, 2), np.float32) for level in grid_layout(FIELD.grid).levels]
    pairs = list(zip(tables, points.rows, strict=True))
    count = sum(len(rows) for rows in points.rows)
    read_s = best_s(lambda: [native.gather_rows(table, rows) for table, rows in pairs]) / count
    write_s = best_s(lambda: [native.scatter_rows(table, rows) for table, rows in pairs]) / count
    macs = DENSITY_MACS + COLOUR_MACS + VIEW_MACS * raced.rays / raced.samples
    looked = 8 * len(tables)
    return Roof(2 * PASSES * macs / flops, looked * read_s, looked * write_s, flops, 1 / read_s, 1 / write_s)


def parts(core: NativeBackend, points: Points) -> dict[str, float]:
    """CPU time of a sample in the core's parts, by what each call does more than the one before."""
    n = len(points.t)

    def seen(gradients: bool) -> Callable[[], object]:
        given = (points.starts, points.origins, points.directions, points.t, points.dt)
        return lambda: core.evaluate(*given, points.colours, points.colours, gradients)

    march = best_s(lambda: core.march(points.origins, points.directions, points.jitter)) / n
    density = best_s(lambda: core.density(points.xyz)) / n
    forward, both = best_s(seen(False)) / n, best_s(seen(True)) / n
    return {
        "marching": march,
        "hash grid and density network, forward": density,
        "colour network and compositing, forward": forward - density,
        "backward, with the table's gradients": both - forward,
    }


def best_s(call: Callable[[], object], turns: int = 5) -> float:
    """Least CPU time of several calls."""
    times = []
    for _ in range(turns):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times)


def _half_trained(views: Sequence[TrainingView], cells: np.ndarray) -> dict[str, np.ndarray]:
    """A state in which rays have as many samples as they have in most of a training."""
    backend = NativeBackend(FIELD, SamplingOptions(), LossOptions(), OptimiserOptions(), views, threads=1)
    backend.restrict(cells)
    backend.steps(WARM_UP_STEPS)
    return backend.state()


def _native(
    views: Sequence[TrainingView], state: dict[str, np.ndarray], precision: Precision = "fp32"
) -> NativeBackend:
    parts = FIELD, SAMPLING, LossOptions(), OptimiserOptions(), views
    return _at(NativeBackend(*parts, threads=1, precision=precision), state)


def _torch(views: Sequence[TrainingView], state: dict[str, np.ndarray]) -> TorchBackend:
    return _at(TorchBackend(FIELD, SAMPLING, LossOptions(), OptimiserOptions(), views), state)


def _at(backend: Any, state: dict[str, np.ndarray]) -> Any:
    backend.load_state(state)
    backend.pace = type(backend.pace)(samples=SAMPLES)
    return backend


def summarised(
    raced: dict[str, Raced], roofs: dict[str, Roof], splits: dict[str, dict[str, float]]
) -> BenchmarkResult:
    """The figures; speeds beside the roof; and where each core's time goes."""
    nothing = float("nan")
    metrics = []
    for key, wanted in (("fp32", "at least 10 asked, aim 25"), ("bf16", "at least 15 asked")):
        known = key in raced
        value = raced["torch"].sample_s / raced[key].sample_s if known else nothing
        metrics.append(Metric(f"speedup_{key}", value, "", "higher", note=wanted if known else MISSING))
    for key, wanted in (("fp32", ""), ("bf16", "at least .60 asked")):
        value = roofs[key].sample_s / raced[key].sample_s if key in raced else nothing
        metrics.append(
            Metric(f"roofline_{key}", value, "", "higher", note=wanted if key in raced else MISSING)
        )
    rows: list[list[Cell]] = [
        [name, 1e-6 / one.sample_s, one.samples, one.rays, one.loss] for name, one in raced.items()
    ]
    rows += [[f"the roof of {name}", 1e-6 / one.sample_s, None, None, None] for name, one in roofs.items()]
    if "bf16" not in raced:
        rows.append(["bf16", MISSING, None, None, None])
    speeds = Table(
        ["", Column("samples a CPU-second", "M/s", 3), "samples", "rays", Column("loss", "", 6)],
        rows,
        caption=f"{STEPS_A_TURN} steps in {TURNS} turns",
    )
    where = [time_table(name, split, roofs[name], raced[name]) for name, split in splits.items()]
    return BenchmarkResult(metrics, [speeds, *where])


def time_table(name: str, split: dict[str, float], bound: Roof, raced: Raced) -> Table:
    """Parts of a core's step beside the least time that they could take."""
    forward_s, share = bound.networks_s / PASSES, DENSITY_MACS / (DENSITY_MACS + COLOUR_MACS)
    least = {
        "hash grid and density network, forward": bound.read_s + share * forward_s,
        "colour network and compositing, forward": (1 - share) * forward_s,
        "backward, with the table's gradients": (PASSES - 1) * forward_s + bound.write_s,
    }
    rest = raced.sample_s - sum(split.values())
    rows: list[list[Cell]] = [
        [part, 1e9 * value, 1e9 * least[part] if part in least else None, value / raced.sample_s]
        for part, value in {**split, "Adam, rays, losses and the rest": rest}.items()
    ]
    rows.append(["all", 1e9 * raced.sample_s, 1e9 * bound.sample_s, 1.0])
    return Table(
        [
            f"{name} core",
            Column("CPU time a sample", "ns", 0),
            Column("at the roof", "ns", 0),
            Column("share", "", 2),
        ],
        rows,
        caption=f"peaks: {bound.flops / 1e9:.0f} GFLOP/s, {bound.rows_read / 1e6:.0f} M rows/s read, "
        f"{bound.rows_written / 1e6:.0f} M rows/s added to",
    )
