"""The loop: blocks of steps, what is due between them, looks, checkpoints, and being stopped."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from nerfrecon.backends.base import Backend, StepReport
from nerfrecon.backends.native import NativeBackend
from nerfrecon.backends.native_sdf import NativeSdfBackend
from nerfrecon.backends.torch import TorchBackend
from nerfrecon.checkpoint import AnyField, Checkpoint, write_checkpoint
from nerfrecon.config import NerfreconConfig
from nerfrecon.evaluate import judge_views
from nerfrecon.options import SamplingOptions
from nerfrecon.scene import Scene
from nerfrecon.training.carving import first_cells, passed_cells, visible_cells
from nerfrecon.training.course import Course
from nerfrecon.training.preview import side_by_side
from nerfrecon.training.schedule import pace_at, picture_scale_at, prior_at, sharpness_at
from nerfrecon.training.views import training_views, view_depths
from suite.data.images import write_image
from suite.engine.interrupts import Interrupts
from suite.errors import BadInput, SuiteError
from suite.files import atomic_write
from suite.progress import track

BLOCK_STEPS = 16
TICKS = 1000
PREVIEW, LOG, CHECKPOINT = "preview.png", "training/log.csv", "training/checkpoint.safetensors"


class Stopped(SuiteError):
    """The training was asked to stop, and saved where it was."""

    def __init__(self, signal_number: int, checkpoint: Path, step: int) -> None:
        super().__init__(signal_number, checkpoint, step)
        self.exit_code = 128 + signal_number  # as shells count: 143 for SIGTERM, 130 for Ctrl-C
        self.checkpoint, self.step = checkpoint, step

    def __str__(self) -> str:
        return f"stopped after {self.step} steps; {self.checkpoint} holds everything: go on with --resume"


class Fit:
    """A training that is going on: `begin` gives it a backend, `go_on` runs it to a share of its budget."""

    def __init__(
        self,
        config: NerfreconConfig,
        scene: Scene,
        learned: Sequence[int],
        held_out: Sequence[int],
        folder: Path,
        course: Course,
        interrupts: Interrupts,
    ) -> None:
        self.config, self.scene = config, scene
        self.learned, self.held_out = tuple(learned), tuple(held_out)
        self.folder, self.course = folder, course
        self.backend: Backend | None = None
        self._field: AnyField = config.field
        self._interrupts = interrupts
        self._last: StepReport | None = None
        self._started_s, self._started_at = time.monotonic(), course.progress(config.train)

    def begin(self, backend: Backend, field: AnyField, state: Mapping[str, np.ndarray] | None) -> None:
        """Train with this backend from now on; without a state that has them, cells are carved first."""
        self.backend, self._field = backend, field
        self.course.picture_scale = 0.0  # it has no pictures yet
        if state is not None:
            backend.load_state(state)
        sampling = self.config.sampling
        if sampling.empty_space and (state is None or "occupancy.value" not in state):
            with self._on_the_clock():
                backend.restrict(self._first_cells(sampling))

    def _first_cells(self, sampling: SamplingOptions) -> np.ndarray:
        cells = first_cells(self.scene, self.learned, sampling, self.config.picture_scale)
        if self.config.visibility.lines_of_sight:
            margin = self.config.visibility.margin_cells
            cells &= ~passed_cells(self.scene, self.learned, sampling.occupancy_resolution, margin)
        return cells

    def go_on(self, until: float | int) -> None:
        """Train until this share of the budget is spent. Raises Stopped."""
        ticks = self._ticks()
        while (progress := self.progress) < until:
            next(ticks, None)
            self._prepare(progress, until)
            self._look_if_due(progress)
            with self._on_the_clock():
                self._run_block()
            if self._interrupts.signal_number:
                self.save()
                raise Stopped(self._interrupts.signal_number, self.folder / CHECKPOINT, self.course.step)
            for _ in range(int(self.progress * TICKS) - int(progress * TICKS) - 1):
                next(ticks, None)
        ticks.close()
        if until >= 1:
            self._look(1.0)

    @property
    def progress(self) -> float:
        """Share of the budget that is spent."""
        return self.course.progress(self.config.train)

    def save(self) -> None:
        """Write the checkpoint and the log."""
        assert self.backend is not None
        notes = {"name": self.config.name, "course": self.course.to_json()}
        state, matrix = self.backend.state(), self.scene.T_unit_world
        checkpoint = Checkpoint(self._field, self.config.sampling, state, matrix, notes)
        write_checkpoint(self.folder / CHECKPOINT, checkpoint)
        self._write_log()

    def write_history(self, path: Path) -> None:
        """The figures of all looks."""
        with atomic_write(path, "w") as stream:
            json.dump(self.course.history, stream, indent=1)

    @contextmanager
    def _on_the_clock(self) -> Iterator[None]:
        """What is done here is paid from the budget: all but reading pictures, looks and checkpoints."""
        before = time.process_time()
        yield
        self.course.cpu_s += time.process_time() - before

    def _prepare(self, progress: float | int, until: float | int) -> None:
        """What is due: pictures of another size, rates, levels, batch, sharpness, cells that are hidden."""
        assert self.backend is not None
        train, field = self.config.train, self._field
        # A field that goes before another passes through all of its schedule in its own share.
        own = min(progress / until, 1.0) if self.course.phase == "density" else progress
        scale = self.config.picture_scale * picture_scale_at(train, progress)
        if scale != self.course.picture_scale:
            self._set_pictures(self.backend, scale)
        start, first = self.config.start, self.course.phase == "density"
        if start is not None and first:
            train = train.model_copy(update={"optimiser": start.optimiser, "batch": start.batch})
        pace = pace_at(field, train, own, self.course.step - self.course.phase_step)
        if start is not None and not first:
            pace = replace(pace, prior=prior_at(start, progress))
        self.backend.pace = pace
        if isinstance(self.backend, (TorchBackend, NativeSdfBackend)):
            self.backend.sharpness = sharpness_at(field, own)
        due = sum(progress >= share for share in self.config.visibility.at)
        if self.course.hidden < due and self.course.phase == "field":
            self.course.hidden = due
            self._hide(self.backend)

    def _hide(self, backend: Backend) -> None:
        """Give up cells that no training ray reaches any more."""
        sampling, margin = self.config.sampling, self.config.visibility.margin_cells
        if sampling.dynamic_visibility and sampling.empty_space:
            resolution, scale = sampling.occupancy_resolution, self.config.picture_scale
            with self._on_the_clock():
                backend.restrict(visible_cells(backend, self.scene, self.learned, resolution, scale, margin))

    def _set_pictures(self, backend: Backend, scale: float | int) -> None:
        backend.set_views(training_views(self.scene, self.learned, scale))
        if self.config.losses.depth and isinstance(backend, (TorchBackend, NativeBackend)):
            depths = view_depths(self.scene, self.learned, scale)
            if all(one.map is None and not len(one.depth) for one in depths):
                raise BadInput(
                    "losses.depth is not 0 but the scene has no depth: neither maps nor points",
                    self.scene.source,
                    hint="set losses.depth=0",
                )
            backend.set_depths(depths)
        self.course.picture_scale = scale

    def _run_block(self) -> None:
        assert self.backend is not None
        left = BLOCK_STEPS - self.course.step % BLOCK_STEPS
        if self.config.train.steps is not None:
            left = min(left, self.config.train.steps - self.course.step)
        report = self.backend.steps(left)
        if report.steps_refused:
            rate = "the learning rate is halved"
            print(
                f"step {self.course.step}: {report.steps_refused} steps not finite; {rate}", file=sys.stderr
            )
        self.course.add(report)
        self._last = report
        if report.steps and not report.samples_marched:
            raise SuiteError(
                f"training stopped at step {self.course.step}: no ray meets an occupied cell, the field has "
                "emptied itself or the box lies where no camera looks; check box, poses and masks, or lower "
                "the learning rates"
            )

    def _look_if_due(self, progress: float | int) -> None:
        if self.course.looks < int(progress * self.config.look.times):
            self._look(progress)

    def _look(self, progress: float | int) -> None:
        """Figures on a few views, a preview, a line for people, and a checkpoint."""
        assert self.backend is not None
        look, course = self.config.look, self.course
        course.looks = int(progress * look.times)
        views = (self.held_out or self.learned)[: look.views]
        camera = self.scene.views[views[0]].camera
        scale = min(self.config.picture_scale, look.most_px / max(camera.width, camera.height))
        judged = judge_views(
            self.backend,
            self.scene,
            views,
            self.config.background,
            scale,
            fit_gain=self.config.train.exposure,
        )
        mean = float(np.mean([one.psnr for one in judged]))
        row = {"step": float(course.step), "progress": progress, "psnr": mean, "cpu_s": course.cpu_s}
        if self._last is not None:
            row |= {
                "loss": self._last.loss,
                "rays_a_step": self._last.rays / max(self._last.steps, 1),
                "occupied": self._last.active_occupancy,
            }
        course.history.append({key: round(value, 6) for key, value in row.items()})
        write_image(self.folder / PREVIEW, side_by_side(judged[0]))
        self.save()
        told = "held out" if self.held_out else "learned from"
        print(
            f"step {course.step}, {progress:.0%}: PSNR {mean:.2f} dB ({told}), {course.cpu_s:.0f} CPU-s"
            f"{self._left(progress)}",
            file=sys.stderr,
        )

    def _left(self, progress: float | int) -> str:
        """Time that is left at the pace so far."""
        done = progress - self._started_at
        if done <= 0 or progress >= 1:
            return ""
        left_s = (time.monotonic() - self._started_s) * (1 - progress) / done
        return f", {left_s / 60:.0f} min left" if left_s >= 90 else f", {left_s:.0f} s left"

    def _ticks(self) -> Generator[int]:
        """A bar on a terminal; elsewhere the lines of the looks say how far it is."""
        items = range(int(self.progress * TICKS), TICKS)
        yield from track(items, f"Training {self.config.name}") if sys.stderr.isatty() else items

    def _write_log(self) -> None:
        text = io.StringIO()
        columns = list(dict.fromkeys(key for row in self.course.history for key in row))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.course.history)
        with atomic_write(self.folder / LOG, "w") as stream:
            stream.write(text.getvalue())
