"""What the sample filters, the hash grid and the fused core are worth: time to 25 dB, step after step.

A rendered object with exact poses (`_nerf_object`), every 8th view held out, each variant from the same seed:

- (a) the classic field, 8 layers of 256 on positional encoding, asked along whole rays from half to one and a
  half camera distances;
- (b) the same field and the same lattice, with the object's box, empty space (carved by masks, then learned)
  and dynamic visibility (rays end where they are opaque; cells behind surfaces are given up);
- (c) a hash grid and tiny networks in PyTorch instead, all filters on;
- (d) the same field in the fused core.

Figures: `filters_speedup` (a)/(b), at least 4 asked; `grid_speedup` (b)/(c), at least 2; `grid_gain_db`
(c) - (b) when (b) has spent its budget (where (c) has spent less: its last figure), at least 1;
`core_speedup` (c)/(d), at least 10. Where the slower of two did not reach 25 dB, what it spent counts and
the ratio is a lower bound; where the faster did not, what it ended with is taken for the 25 dB.
The second table switches off one filter at a time in (d).

PSNR is over white, a mean over two held-out views, of each 4th pixel of each 4th row. CPU-seconds are of one
thread, for carving, visibility and steps; reading pictures and these looks are not in them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import BenchmarkResult, Data
from benchmarks._nerf import one_thread, work_folder
from benchmarks._nerf_object import render_object, wide_box
from nerfrecon.backends.base import Backend, RayCamera
from nerfrecon.backends.native import NativeBackend
from nerfrecon.backends.torch import TorchBackend
from nerfrecon.checkpoint import read_checkpoint
from nerfrecon.config import NerfreconConfig
from nerfrecon.evaluate import over, psnr
from nerfrecon.options import BigMlpFieldOptions, DensityFieldOptions, GridOptions
from nerfrecon.scene import Scene
from nerfrecon.scenes.read import read_scene
from nerfrecon.training.course import Course
from nerfrecon.training.fit import CHECKPOINT, Fit
from nerfrecon.training.views import training_views
from suite.engine.interrupts import Interrupts
from suite.files import atomic_write
from suite.progress import track
from suite.report.metric import Metric
from suite.report.table import Cell, Column, Table

REACH_DB = 25.0
ASKED_OF_FILTERS = 4.0
LOOK_VIEWS, LOOK_EVERY_PX = 2, 4
CLASSIC_SAMPLES = 192
"""Of one ray between near and far (Mildenhall et al. 2020, section 5.3: 64 and 128)."""
NO_FILTER = {"empty_space": False, "carve": False, "dynamic_visibility": False, "stop": 0.0}
CLASSIC = BigMlpFieldOptions()
GRID = DensityFieldOptions(grid=GridOptions(log2_table=17))


@dataclass(frozen=True)
class Variant:
    """A field, a backend, the filters that differ from all on, and CPU-seconds at most."""

    name: str
    field: BigMlpFieldOptions | DensityFieldOptions
    backend: str
    cpu_s: float
    sampling: Mapping[str, Any] | None = None
    looks: int = 40
    wide: bool = False
    stop_at_db: float = np.inf


STAGES = (
    Variant("(a) big MLP, no filter", CLASSIC, "torch", 2400.0, NO_FILTER, looks=16, wide=True),
    Variant("(b) + filters", CLASSIC, "torch", 400.0, looks=20),
    Variant("(c) hash grid, tiny MLP", GRID, "torch", 150.0),
    Variant("(d) fused core", GRID, "native", 20.0),
)
FILTERS = (
    Variant("all filters", GRID, "native", 12.0),
    Variant("without the box", GRID, "native", 12.0, wide=True),
    Variant("without carving", GRID, "native", 12.0, {"carve": False}),
    Variant("without empty space", GRID, "native", 12.0, {"empty_space": False, "carve": False}),
    Variant("without early ends", GRID, "native", 12.0, {"stop": 0.0}),
    Variant("without giving up hidden cells", GRID, "native", 12.0, {"dynamic_visibility": False}),
    Variant("without any", GRID, "native", 12.0, NO_FILTER, wide=True),
)


@dataclass(frozen=True)
class Curve:
    """PSNR over CPU-seconds, and what the filters left to do."""

    cpu_s: tuple[float, ...]
    psnr: tuple[float, ...]
    marched: float  # samples a ray, mean over the training
    kept: float

    def reached_s(self, db: float | int) -> float:
        """CPU-seconds at which `db` was first reached, between looks by a line; NaN where it was not."""
        for k, value in enumerate(self.psnr):
            if value >= db:
                before, lower = (self.cpu_s[k - 1], self.psnr[k - 1]) if k else (0.0, 0.0)
                return before + (self.cpu_s[k] - before) * (db - lower) / max(value - lower, 1e-9)
        return float("nan")

    def at(self, cpu_s: float | int) -> float:
        """PSNR after so many CPU-seconds, between looks by a line."""
        return float(np.interp(cpu_s, self.cpu_s, self.psnr))


def run(data: Data) -> BenchmarkResult:
    """All variants, up to an hour of CPU time; goes on where an earlier run was cut short."""
    with one_thread(), work_folder("nerf_ablation") as folder:
        scene = read_scene(render_object(data, folder / "spot"))
        numbered = list(enumerate((*STAGES, *FILTERS)))
        curves = {}
        for number, variant in track([*numbered[1:], numbered[0]], "Variants"):
            if number == 0:
                variant = _enough(variant, curves[STAGES[1].name])
            curves[variant.name] = trained(variant, scene, folder / str(number))
    return summarised(curves)


def _enough(variant: Variant, fast: Curve) -> Variant:
    """With time to show, one way or the other, whether `fast` is `ASKED_OF_FILTERS` times as fast."""
    db = _common_db(fast)
    return replace(variant, cpu_s=1.02 * ASKED_OF_FILTERS * fast.reached_s(db), stop_at_db=db)


def _common_db(fast: Curve) -> float:
    """What a faster variant is asked to reach sooner."""
    return min(REACH_DB, max(fast.psnr))


def trained(variant: Variant, scene: Scene, folder: Path) -> Curve:
    """The curve of a variant: read back where it is done, gone on with where it was begun."""
    done = folder / "curve.json"
    if done.is_file():
        found = json.loads(done.read_text())
        return Curve(tuple(found["cpu_s"]), tuple(found["psnr"]), found["marched"], found["kept"])
    if variant.wide:
        scene = replace(scene, box=wide_box(scene.box))
    config = _config(variant, scene)
    learned, held_out = scene.split(config.train.hold_out_every)
    course, state = Course(), None
    if (folder / CHECKPOINT).is_file():
        found = read_checkpoint(folder / CHECKPOINT)
        course, state = Course.from_json(found.notes["course"]), found.state
    with Interrupts() as interrupts:
        fit = Fit(config, scene, learned, held_out, folder, course, interrupts)
        backend = _backend(variant, config)
        fit.begin(backend, config.field, state)
        looks = [[row["cpu_s"], row["psnr"]] for row in course.history]
        for number in range(1, variant.looks + 1):
            if fit.progress >= (share := (number / variant.looks) ** 2):  # more often at first
                continue
            fit.go_on(min(share, 0.9999))
            looks.append([course.cpu_s, _look(backend, scene, held_out)])
            course.history = [{"cpu_s": cpu_s, "psnr": db} for cpu_s, db in looks]
            fit.save()
            if looks[-1][1] >= variant.stop_at_db:
                break
    rays = max(course.rays, 1)
    seconds, psnrs = zip(*looks, strict=True)
    curve = Curve(seconds, psnrs, course.samples_marched / rays, course.samples_kept / rays)
    with atomic_write(done, "w") as stream:
        json.dump(asdict(curve), stream)
    return curve


def _config(variant: Variant, scene: Scene) -> NerfreconConfig:
    # The same lattice in the world whatever the box: the classic count between near and far.
    step = np.ptp(wide_box(scene.box), axis=0).max() / CLASSIC_SAMPLES / scene.side
    if variant.wide:
        step = 1 / CLASSIC_SAMPLES
    # Steps of 4096 samples are 18 rays of (a), and from these it learns that all is empty.
    samples = 32768 if variant.wide and variant.field is CLASSIC else 4096
    classic = {"network_lr": 5e-4, "beta2": 0.999, "epsilon": 1e-7}
    return NerfreconConfig.model_validate(
        {
            "field": variant.field,
            "sampling": {"step": step, **(variant.sampling or {})},
            "train": {
                "cpu_s": variant.cpu_s,
                "coarse_images": 1,
                # Short trainings on a CPU: many small steps, soon at their full rate.
                "optimiser": {"warm_up_steps": 20, **(classic if variant.field is CLASSIC else {})},
                "batch": {"first_samples": samples, "last_samples": samples},
            },
            "visibility": {"at": [0.5]},
            "look": {"times": 1, "views": 1, "most_px": 16},
        }
    )


def _backend(variant: Variant, config: NerfreconConfig) -> Backend:
    parts = (config.sampling, config.losses, config.train.optimiser)
    if variant.backend == "torch":
        return TorchBackend(variant.field, *parts)
    assert isinstance(variant.field, DensityFieldOptions)
    return NativeBackend(variant.field, *parts, threads=1)


def _look(backend: Backend, scene: Scene, views: tuple[int, ...]) -> float:
    found = []
    for view in training_views(scene, views[:: max(1, len(views) // LOOK_VIEWS)][:LOOK_VIEWS]):
        camera = view.camera
        thinned = view.pixels[::LOOK_EVERY_PX, ::LOOK_EVERY_PX]
        rows, columns = thinned.shape[:2]
        k = LOOK_EVERY_PX
        coarse = RayCamera(
            columns, rows, camera.fx / k, camera.fy / k, camera.cx / k, camera.cy / k, camera.T_unit_camera
        )
        seen = backend.render(coarse, (1.0, 1.0, 1.0))
        found.append(psnr(seen.rgb, over(thinned, 1.0)))
    return float(np.mean(found))


def summarised(curves: Mapping[str, Curve]) -> BenchmarkResult:
    """The figures, a table of the stages and one of the filters."""
    a, b, c, d = (curves[one.name] for one in STAGES)
    gain = c.at(b.cpu_s[-1]) - b.psnr[-1]
    metrics = [
        Metric("filters_speedup", faster(a, b), "", "higher", note="(a) / (b), at least 4 asked"),
        Metric("grid_speedup", faster(b, c), "", "higher", note="(b) / (c), at least 2 asked"),
        Metric("grid_gain_db", gain, "dB", "higher", note="(c) - (b) in equal time, at least 1 asked"),
        Metric("core_speedup", faster(c, d), "", "higher", note="(c) / (d), at least 10 asked"),
    ]
    columns = [
        "",
        Column(f"to {REACH_DB:.0f} dB", "CPU-s", 1),
        Column("in the end", "dB", 2),
        Column("after", "CPU-s", 0),
        Column("samples marched", "a ray", 1),
        Column("trained on", "a ray", 1),
    ]
    stages = [_row(one.name, curves[one.name]) for one in STAGES]
    everything = curves[FILTERS[0].name]
    filters = [
        [*_row(one.name, curves[one.name]), curves[one.name].psnr[-1] - everything.psnr[-1]]
        for one in FILTERS
    ]
    return BenchmarkResult(
        metrics,
        [
            Table(columns, stages, caption="field and core"),
            Table([*columns, Column("cost", "dB", 2)], filters, caption="one filter off, fused core"),
        ],
    )


def faster(slow: Curve, fast: Curve) -> float:
    """How much sooner `fast` reached 25 dB, or what it ended with; a bound where `slow` never did."""
    db = _common_db(fast)
    reached_s = slow.reached_s(db)
    return (reached_s if np.isfinite(reached_s) else slow.cpu_s[-1]) / fast.reached_s(db)


def _row(name: str, curve: Curve) -> list[Cell]:
    reached = curve.reached_s(REACH_DB)
    told: Cell = reached if np.isfinite(reached) else f"> {curve.cpu_s[-1]:.0f}"
    return [name, told, curve.psnr[-1], curve.cpu_s[-1], curve.marched, curve.kept]
