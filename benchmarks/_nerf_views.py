"""Trainings on pictures, judged on every 8th, each in a process of its own that can be cut short."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._nerf import work_folder
from nerfrecon.config import NerfreconConfig
from nerfrecon.report.page import peak_memory_gb
from suite.errors import SuiteError
from suite.progress import track
from suite.report.metric import Metric
from suite.report.table import Column, Table
from suite.run import Run


def trained(name: str, configs: Mapping[str, NerfreconConfig]) -> dict[str, dict[str, float]]:
    """Figures of the run of each configuration, by its name; runs that an earlier call finished are read."""
    found = {}
    with work_folder(name) as folder:
        for key, config in track(list(configs.items()), f"Training {name}"):
            run = folder / key
            if not run.is_dir() or Run.open(run).status != "finished":
                in_child(train_once, config.model_dump(mode="json"), str(run))
            found[key] = {metric.key: metric.value for metric in Run.open(run).metrics}
    return found


def train_once(config: Mapping[str, Any], folder: str) -> None:
    """Train into `folder`, or go on with what is there, and note the peak of memory; for a child process."""
    import torch

    from nerfrecon.train import train

    torch.set_num_threads(1)
    options = NerfreconConfig.model_validate(config)
    begun = (Path(folder) / "run.json").is_file()
    run = Run.resume(folder) if begun else Run.create(folder, config=options)
    with run:
        train(options, run, resume=begun)
        run.add_metrics([Metric("peak_gb", peak_memory_gb(), "GB", "lower")])


def trainer_memory_gb(name: str, config: NerfreconConfig) -> float:
    """The most memory that a process of its own holds that reads the scene and trains, without any look."""
    with work_folder(name) as folder:
        in_child(_train_only, config.model_dump(mode="json"), str(folder))
        return float((folder / "peak_gb").read_text())


def _train_only(config: Mapping[str, Any], folder: str) -> None:
    import torch

    from nerfrecon.backends.choose import choose
    from nerfrecon.train import open_scene
    from nerfrecon.training.course import Course
    from nerfrecon.training.fit import Fit
    from suite.engine.interrupts import Interrupts

    torch.set_num_threads(1)
    options = NerfreconConfig.model_validate(config)
    scene = open_scene(options)
    learned, held_out = scene.split(options.train.hold_out_every)
    fit = Fit(options, scene, learned, held_out, Path(folder), Course(), Interrupts())
    fit.begin(choose(options).backend, options.field, None)
    fit.go_on(1 - 1e-6)
    (Path(folder) / "peak_gb").write_text(str(peak_memory_gb()))


def in_child(function: Any, *given: object) -> None:
    """Run in a fresh process, so that its memory and CPU time are its own. SuiteError where it fails."""
    child = multiprocessing.get_context("spawn").Process(target=function, args=given)
    child.start()
    child.join()
    if child.exitcode:
        raise SuiteError(f"a training ended with exit code {child.exitcode}; its message is above")


def table(found: Mapping[str, Mapping[str, float]], caption: str) -> Table:
    """A row a run."""
    columns: Sequence[str | Column] = [
        "run",
        Column("PSNR", "dB", 2),
        Column("SSIM", "", 4),
        Column("CPU time", "s", 1),
        "steps",
        Column("samples", "M / CPU-s", 3),
        Column("memory", "GB", 2),
    ]
    keys = ("psnr", "ssim", "train_cpu_s", "steps", "samples_per_cpu_s", "peak_gb")
    rows = [[name, *(run[key] for key in keys)] for name, run in found.items()]
    return Table(columns, rows, caption=caption)
