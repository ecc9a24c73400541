"""From pictures with poses to a radiance field that is judged on views it has not seen: read first.

    scene -> box, views in the frustums and masks -> backend -> steps -> PSNR and SSIM of held-out views
          -> report

A run folder holds training/{checkpoint.safetensors, log.csv} and preview.png while it trains; at the end
field.safetensors, history.json, metrics.json and report.html. With a budget of steps, a training that was
stopped and resumed ends with the same bytes as one that was not; a budget of CPU-seconds depends on the
machine.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

from nerfrecon.backends.base import Backend
from nerfrecon.backends.choose import choose
from nerfrecon.backends.native_sdf import NativeSdfBackend
from nerfrecon.backends.torch import TorchBackend
from nerfrecon.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from nerfrecon.config import NerfreconConfig
from nerfrecon.evaluate import Judged, judge_views
from nerfrecon.options import DensityFieldOptions, SdfFieldOptions
from nerfrecon.report.page import Reported, run_metrics, write_report
from nerfrecon.scene import Scene
from nerfrecon.scenes.read import read_scene
from nerfrecon.training.course import Course
from nerfrecon.training.density_start import begin
from nerfrecon.training.fit import CHECKPOINT, Fit
from suite.engine.interrupts import Interrupts
from suite.errors import BadInput
from suite.progress import status
from suite.run import Run

FIELD, HISTORY, PAGE = "field.safetensors", "history.json", "report.html"


def train(config: NerfreconConfig, run: Run, resume: bool = False) -> list[Judged]:
    """Train a field, judge it, and write field, figures and report into `run`.

    Raises BadInput for scenes and checkpoints that cannot be used, BackendUnavailable, and Stopped after
    SIGTERM or Ctrl-C, when everything is saved.
    """
    scene = open_scene(config)
    learned, held_out = scene.split(config.train.hold_out_every)
    _record_inputs(scene, config, run)
    course, state = _begun(config, run) if resume else (Course(), None)
    with Interrupts() as interrupts:
        fit = Fit(config, scene, learned, held_out, run.folder, course, interrupts)
        if config.start is not None and isinstance(config.field, SdfFieldOptions):
            _density_first(fit, config, config.field, state)
        if fit.backend is None:
            fit.begin(_backend(config), config.field, state)
        fit.go_on(1.0)
    return _finish(fit, run)


def open_scene(config: NerfreconConfig) -> Scene:
    """The scene that is named, with the box that is named. Raises BadInput naming what is wrong with it."""
    if config.scene is None:
        raise BadInput("no scene to learn from", "scene", "name one: scene=FOLDER")
    scene = read_scene(config.scene)
    if config.box is not None:
        scene = replace(scene, box=np.array(config.box, np.float64), box_from="file")
    for note in scene.notes:
        print(note, file=sys.stderr)
    return scene


def _backend(config: NerfreconConfig, field: DensityFieldOptions | None = None) -> Backend:
    chosen = choose(config, field)
    print(chosen.line, file=sys.stderr)
    return chosen.backend


def _density_first(fit: Fit, config: NerfreconConfig, field: SdfFieldOptions, state: dict | None) -> None:
    """Train a density field for its share, and begin the signed distance at the surface it has found."""
    assert config.start is not None
    if state is not None and fit.course.phase == "field":
        return  # that is done
    fit.course.phase = "density"
    density = DensityFieldOptions(grid=field.grid)
    rates = config.train.model_copy(update={"optimiser": config.start.optimiser})
    fit.begin(_backend(config.model_copy(update={"train": rates}), density), density, state)
    fit.go_on(config.start.share)
    assert fit.backend is not None
    before = time.process_time()
    with status("Fitting a signed distance to the density"):
        begun = begin(
            fit.backend,
            field,
            config.start,
            fit.scene,
            fit.learned,
            config.picture_scale,
            config.train.seed,
            config.sampling,
        )
    wrong = f"{begun.wrong_share:.1%} of the points off the surface on its wrong side"
    fit.course.cpu_s += time.process_time() - before  # it is a part of the budget
    fit.course.notes.append(f"began as the surface of a density field ({wrong})")
    fit.course.phase, fit.course.phase_step = "field", fit.course.step
    fit.begin(_backend(config), field, begun.state)
    if isinstance(fit.backend, (TorchBackend, NativeSdfBackend)) and all(config.start.prior):
        fit.backend.set_prior(begun.distance)
    if config.sampling.empty_space and config.sampling.carve:
        fit.backend.restrict(begun.cells)


def _begun(config: NerfreconConfig, run: Run) -> tuple[Course, dict[str, np.ndarray] | None]:
    """Where a run that is taken up again was; the start where it had saved nothing."""
    path = run.folder / CHECKPOINT
    if not path.is_file():
        return Course(), None
    found = read_checkpoint(path)
    course = Course.from_json(found.notes["course"])
    if course.phase == "field":
        found = read_checkpoint(path, config.field)
    return course, dict(found.state)


def _record_inputs(scene: Scene, config: NerfreconConfig, run: Run) -> None:
    """Note the hashes of poses and pictures, those that are not noted yet."""
    source = scene.source
    files = [source] if source.is_file() else sorted(p for p in source.iterdir() if p.is_file())
    files += [view.image_path for view in scene.views]
    noted = {entry["path"] for entry in run.inputs}
    for file in dict.fromkeys(files):
        if str(file) not in noted:
            run.add_input(file)


def _finish(fit: Fit, run: Run) -> list[Judged]:
    config, course = fit.config, fit.course
    assert fit.backend is not None
    with status("Judging"):
        views = fit.held_out or fit.learned[:1]
        judged = judge_views(
            fit.backend,
            fit.scene,
            views,
            config.background,
            config.picture_scale,
            fit_gain=config.train.exposure,
        )
    notes = {"name": config.name, "step": course.step, "background": config.background}
    field = Checkpoint(config.field, config.sampling, fit.backend.state(), fit.scene.T_unit_world, notes)
    write_checkpoint(run.path(FIELD), field.finished())
    fit.write_history(run.path(HISTORY))
    size_mb = (run.folder / FIELD).stat().st_size / 1e6
    reported = Reported(config, fit.scene, course, judged, fit.backend.name, size_mb, bool(fit.held_out))
    run.add_metrics(run_metrics(reported))
    write_report(run.path(PAGE), reported)
    (run.folder / CHECKPOINT).unlink(missing_ok=True)
    return judged
