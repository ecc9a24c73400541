"""A whole training on pictures on disk: its folder, going on to the byte, being stopped, and its faults."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from ball_views import BALLS, ball_views, cast, write_ball_scene
from PIL import Image
from scene_folders import known_scene, write_colmap, write_transforms

import nerfrecon.backends.torch_renderer as renderer_module
import nerfrecon.training.fit as fit_module
from nerfrecon.backends.base import Rendered
from nerfrecon.backends.torch import TorchBackend
from nerfrecon.checkpoint import read_checkpoint
from nerfrecon.config import DensityStart, NerfreconConfig
from nerfrecon.render.march import cell_number
from nerfrecon.render.rays import camera_rays
from nerfrecon.scene import SparsePoints
from nerfrecon.scenes.read import read_scene
from nerfrecon.train import FIELD, open_scene, train
from nerfrecon.training.carving import first_cells, passed_cells
from nerfrecon.training.course import Course
from nerfrecon.training.fit import CHECKPOINT, Fit, Stopped
from nerfrecon.training.schedule import (
    levels_at,
    pace_at,
    picture_scale_at,
    prior_at,
    rate_factor,
    sharpness_at,
)
from nerfrecon.training.views import ray_camera, training_views, view_depths
from nerfrecon.training.visibility import seen_cells
from suite.engine.interrupts import Interrupts
from suite.errors import BadInput, SuiteError
from suite.run import Run

GRID = {"levels": 4, "log2_table": 12, "coarsest_resolution": 8, "finest_resolution": 64}


def config(scene, steps=48, **more) -> NerfreconConfig:
    """A small training with the torch backend; `more` goes over it, section by section."""
    values = {
        "scene": scene,
        "box": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "field": {"type": "density", "grid": GRID},
        "sampling": {"occupancy_resolution": 32, "step": 0.02},
        "train": {
            "backend": "torch",
            "steps": steps,
            "cpu_s": None,
            "optimiser": {"warm_up_steps": 8, "network_lr": 5e-3},
            "batch": {"first_samples": 2048, "last_samples": 2048},
        },
        "look": {"times": 3, "views": 1, "most_px": 24},
    }
    for section, value in more.items():
        values[section] = {**values[section], **value} if isinstance(values.get(section), dict) else value
    return NerfreconConfig.model_validate(values)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("balls")
    return write_ball_scene(folder / "scene")


@pytest.fixture(scope="module")
def finished(scene, tmp_path_factory):
    """A run that nobody stopped."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    with Run.create(folder, config=config(scene)) as run:
        judged = train(config(scene), run)
    return folder, judged


def test_a_run_holds_field_figures_pictures_and_report(finished):
    folder, judged = finished
    metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
    assert metrics["psnr"]["value"] > 15.8 and metrics["steps"]["value"] == 48
    assert [one.name for one in judged] == ["0000.png", "0008.png"] or len(judged) == 2
    found = read_checkpoint(folder / FIELD)
    assert found.state["grid.table"].shape[1] == 2 and found.field == config("x").field
    page = (folder / "report.html").read_text()
    assert "PSNR" in page and page.count("<img") == 2 and "torch cpu" in page
    assert np.asarray(Image.open(folder / "preview.png")).shape[1] == 3 * 24
    history = json.loads((folder / "history.json").read_text())
    assert [row["progress"] for row in history][-1] == 1 and len(history) == 3
    assert (folder / "training/log.csv").read_text().count("\n") == 4
    assert not (folder / CHECKPOINT).exists()


def test_stopped_by_sigterm_it_saves_and_goes_on_to_the_same_bytes(scene, finished, tmp_path, monkeypatch):
    real, calls = fit_module.Fit._run_block, []

    def stopping(self):
        real(self)
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(fit_module.Fit, "_run_block", stopping)
    folder = tmp_path / "stopped"
    with pytest.raises(Stopped, match="after 32 steps") as stopped:  # noqa: SIM117
        with Run.create(folder, config=config(scene)) as run:
            train(config(scene), run)
    assert stopped.value.exit_code == 143 and (folder / CHECKPOINT).is_file()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with Run.resume(folder) as run:
        train(config(scene), run, resume=True)
    assert (folder / FIELD).read_bytes() == (finished[0] / FIELD).read_bytes()


def test_a_checkpoint_of_another_field_is_not_gone_on_from(scene, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(SuiteError):  # noqa: SIM117
        with Run.create(folder, config=config(scene)) as run:
            fit = config(scene, steps=16)
            _save_some(fit, run, scene)
            raise SuiteError("stopped here")
    other = config(scene, field={"type": "density", "grid": {**GRID, "log2_table": 11}})
    with pytest.raises(BadInput, match=r"log2_table=12, not 11"):  # noqa: SIM117
        with Run.resume(folder) as run:
            train(other, run, resume=True)


def _save_some(options, run, scene):
    from suite.engine.interrupts import Interrupts

    fit = fit_module.Fit(options, read_scene(scene), (1, 2), (0,), run.folder, Course(), Interrupts())
    fit.begin(
        TorchBackend(options.field, options.sampling, options.losses, options.train.optimiser),
        options.field,
        None,
    )
    fit.save()


@pytest.mark.parametrize("backend", ["torch", "native"])
def test_a_signed_distance_begins_from_a_density(scene, tmp_path, backend):
    if backend == "native":
        pytest.importorskip("nerfrecon.native._native", reason="the native core is not built")
    options = config(
        scene,
        steps=84,
        train={"backend": backend},
        field={"type": "sdf", "grid": GRID, "active": {"first": 3}},
        start={"share": 0.69, "resolution": 32, "fit_steps": 40, "threshold": 2.0},
        visibility={"at": [0.8]},
        look={"times": 1},
    )
    with Run.create(tmp_path / "run", config=options) as run:
        judged = train(options, run)
    found = read_checkpoint(run.folder / FIELD, options.field)
    assert "sdf_mlp.0" in found.state and found.state["occupancy.occupied"].mean() < 0.2
    assert np.mean([one.psnr for one in judged]) > 16
    assert "began as the surface of a density field" in (run.folder / "report.html").read_text()


def test_depth_needs_a_scene_that_has_some(scene, tmp_path):
    with pytest.raises(BadInput, match="neither maps nor points"):  # noqa: SIM117
        with Run.create(tmp_path / "run") as run:
            train(config(scene, losses={"depth": 0.1}), run)
    folder = write_colmap(tmp_path / "colmap", known_scene(6))
    points = read_scene(folder)
    depths = view_depths(points, range(6))
    assert all(one.map is None and len(one.depth) > 10 for one in depths)
    # The points are where their pixels' rays are, at their lengths.
    rays = camera_rays(ray_camera(points, 2), depths[2].positions_px)
    there = rays.origins.numpy() + depths[2].depth[:, None] * rays.directions.numpy()
    assert points.points is not None
    expected = points.to_unit(points.points.positions[np.unique(points.points.seen_by(2))])
    gap = np.linalg.norm(there[:, None] - expected[None], axis=2).min(1)
    assert gap.max() < 1e-5


def test_cells_that_masks_and_boxes_leave(scene):
    options, learned = config(scene), tuple(range(1, 12))
    cells = first_cells(open_scene(options), learned, options.sampling, 1.0)
    balls = cell_number(torch.tensor([centre for centre, _, _ in BALLS]), 32).numpy()
    assert cells[balls].all() and 0.02 < cells.mean() < 0.3
    uncarved = options.sampling.model_copy(update={"carve": False})
    assert first_cells(open_scene(options), learned, uncarved, 1.0).mean() > 0.5
    flat = config(scene, box=((0.0, 0.0, 0.3), (1.0, 1.0, 0.7)))
    within = first_cells(open_scene(flat), learned, options.sampling, 1.0).reshape(32, 32, 32)
    assert within.any() and not within[:9].any() and not within[23:].any()


def seen_points(opened):
    """The scene with points on the balls, each seen from where no ball hides it."""
    rng, n, points, owner = np.random.default_rng(0), 600, [], []
    for k, (centre, radius, _) in enumerate(BALLS):
        away = rng.normal(size=(n, 3))
        points.append(np.array(centre) + radius * away / np.linalg.norm(away, axis=1, keepdims=True))
        owner += [k] * n
    positions = np.concatenate(points)
    sightings = []
    for number, view in enumerate(opened.views):
        lines = positions - view.position
        for k, line in enumerate(lines):
            middle, along = np.array(BALLS[owner[k]][0]) - view.position, line / np.linalg.norm(line)
            if middle @ along > np.linalg.norm(line) and not _hidden(view.position, positions[k], owner[k]):
                sightings.append((number, k))
    return replace(opened, points=SparsePoints(positions, sightings=np.array(sightings)))


def test_cells_that_lines_of_sight_pass_are_given_up(scene):
    """Points on the balls, seen where no ball hides them: cells before them go, cells of the balls stay."""
    opened = read_scene(scene)
    passed = passed_cells(seen_points(opened), range(12), 32, 1.0)
    numbers = np.arange(32**3)
    centres = np.stack([numbers % 32, numbers // 32 % 32, numbers // 1024], 1) / 32 + 1 / 64
    inside = np.min([np.linalg.norm(centres - c, axis=1) - r for c, r, _ in BALLS], axis=0)
    assert passed.mean() > 0.07 and not passed[inside < -0.5 / 32].any()
    assert passed[np.abs(inside) < 0.5 / 32].mean() < 0.01
    assert not passed_cells(opened, range(12), 32, 1.0).any()


@pytest.mark.parametrize("asked", [False, True])
def test_a_training_begins_without_them_where_that_is_asked_for(scene, tmp_path, asked):
    margin = {"lines_of_sight": asked, "margin_cells": 1.0}
    options = config(scene, visibility=margin, sampling={"carve": False})
    opened = seen_points(open_scene(options))
    learned, held_out = opened.split(8)
    begun = Fit(options, opened, learned, held_out, tmp_path, Course(), Interrupts())
    backend = TorchBackend(options.field, options.sampling, options.losses, options.train.optimiser)
    begun.begin(backend, options.field, None)
    left = backend.state()["occupancy.allowed"].astype(bool)
    all_ = first_cells(opened, learned, options.sampling, 1.0)
    passed = passed_cells(opened, learned, 32, 1.0)
    assert (all_ & passed).sum() > 0.05 * all_.sum()
    assert np.array_equal(left, all_ & ~passed if asked else all_)


def _hidden(origin, point, own) -> bool:
    """Whether another ball lies before the point."""
    line = point - origin
    for k, (centre, radius, _) in enumerate(BALLS):
        share = np.clip((np.array(centre) - origin) @ line / (line @ line), 0, 1)
        if k != own and np.linalg.norm(origin + share * line - centre) < radius:
            return True
    return False


def test_cells_behind_surfaces_are_not_seen():
    views = ball_views(12)
    surfaces = []
    for view in views:
        depth = cast(view.camera)[1]
        opaque = np.isfinite(depth).astype(np.float32)
        nothing = np.zeros((*depth.shape, 3), np.float32)
        surfaces.append(Rendered(nothing, np.where(opaque, depth, 0).astype(np.float32), opaque))
    cameras = [view.camera for view in views]
    before, after = seen_cells(cameras, 32), seen_cells(cameras, 32, surfaces, 0.0)
    assert not (after & ~before).any()
    numbers = np.arange(32**3)
    centres = np.stack([numbers % 32, numbers // 32 % 32, numbers // 1024], 1) / 32 + 1 / 64
    inside = np.min([np.linalg.norm(centres - c, axis=1) - r for c, r, _ in BALLS], axis=0)
    assert before.mean() > 0.5 and not after[inside < -0.12].any()
    near = np.abs(inside) < 0.01  # what is to be learned stays
    assert after[near & before].mean() > 0.97
    # A margin keeps what lies behind by less.
    deeper = seen_cells(cameras, 32, surfaces, 0.5)
    assert deeper[inside < -0.12].all()


def test_what_users_get_wrong_is_one_line(scene, tmp_path, monkeypatch):
    def refused(options: NerfreconConfig) -> str:
        with pytest.raises(SuiteError) as error:  # noqa: SIM117
            with Run.create(tmp_path / "refused") as run:
                train(options, run)
        assert "\n" not in str(error.value)
        shutil.rmtree(tmp_path / "refused", ignore_errors=True)
        return str(error.value)

    assert "no scene" in refused(NerfreconConfig())
    one = tmp_path / "one"
    one.mkdir()
    write_transforms(one, known_scene(1))
    assert "views with a pose and a picture: 1" in refused(config(one))
    assert "box" in refused(config(scene, box=((0.0, 0.0, 0.0), (1.0, 1.0, 0.0))))
    clear = tmp_path / "clear"
    clear.mkdir()
    write_transforms(clear, known_scene(4))
    Image.fromarray(np.zeros((48, 64, 4), np.uint8)).save(clear / "images/0001.png")
    assert "transparent everywhere" in refused(config(clear))
    monkeypatch.setattr(
        renderer_module, "updated", lambda old, *_: old._replace(occupied=old.occupied & False)
    )
    assert "no ray meets an occupied cell" in refused(config(scene))


def test_what_is_due_when():
    options = config("x").train
    assert picture_scale_at(options, 0.1) == 0.5 and picture_scale_at(options, 0.5) == 1
    optimiser = options.optimiser
    assert rate_factor(optimiser, 0.0, 0) == 1 / 8 and rate_factor(optimiser, 0.2, 100) == 1
    assert rate_factor(optimiser, 1.0, 1000) == pytest.approx(0.1)
    assert 0.1 < rate_factor(optimiser, 0.6, 1000) < rate_factor(optimiser, 0.5, 1000) < 1
    sdf = config("x", field={"type": "sdf", "grid": GRID, "active": {"first": 2}}).field
    assert [levels_at(sdf, p) for p in (0, 0.2, 0.4)] == [2, 3, 4]
    assert sharpness_at(sdf, 0) == 60 and sharpness_at(sdf, 1) == pytest.approx(1500)
    assert sharpness_at(config("x").field, 0.5) is None
    wide = options.model_copy(update={"batch": options.batch.model_copy(update={"last_samples": 4096})})
    assert [pace_at(sdf, wide, p, 9).samples for p in (0, 0.25, 1)] == [2048, 3072, 4096]


def test_progress_is_of_the_budget_that_ends_first():
    options = config("x", steps=100).train.model_copy(update={"cpu_s": 10.0})
    assert Course(step=20, cpu_s=5.0).progress(options) == 0.5
    assert Course(step=80, cpu_s=5.0).progress(options) == 0.8
    assert Course(step=300, cpu_s=5.0).progress(options) == 1
    course = Course(step=3, history=[{"psnr": 1.0}], notes=["a"])
    assert Course.from_json(json.loads(json.dumps(course.to_json()))) == course


def test_pictures_are_reduced_but_not_to_nothing(scene):
    opened = read_scene(scene)
    (less,) = training_views(opened, [0], 0.75)
    assert less.pixels.shape == (18, 18, 4) and less.camera.width == 18
    (least,) = training_views(opened, [0], 0.01)
    assert min(least.pixels.shape[:2]) == 16


def test_what_the_density_found_holds_less_and_less():
    start = DensityStart(share=0.2, prior=(1.0, 0.01))
    weights = [prior_at(start, progress) for progress in (0.1, 0.2, 0.6, 1.0)]
    assert weights == pytest.approx([1.0, 1.0, 0.1, 0.01])
    assert prior_at(DensityStart(prior=(1.0, 0.0)), 0.5) == 0
