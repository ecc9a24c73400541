"""The readable training step: it learns, goes on exactly, and every term and filter does what it should."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ball_views import (
    BIG,
    DENSITY,
    SDF,
    backend_of,
    ball_views,
    cast,
    mean_psnr,
    rendered,
)

import nerfrecon.backends.torch as torch_backend
from nerfrecon.backends.base import Pace, RayCamera, TrainingView
from nerfrecon.backends.torch import CORRECTIONS, LOG_GAINS
from nerfrecon.options import LossOptions
from nerfrecon.render.rays import Pixels, camera_rays, pixel_grid
from nerfrecon.training.batches import Pictures
from nerfrecon.training.depths import ViewDepths
from nerfrecon.training.exposure import fitted_gain, gains
from nerfrecon.training.pose_refinement import refined, rotation
from suite.errors import BadInput, SuiteError


@pytest.fixture(scope="module")
def learned() -> dict[str, np.ndarray]:
    """The state of a density field that has learned the balls."""
    backend = backend_of()
    first = backend.steps(8)
    later = backend.steps(112)
    assert later.loss < first.loss and later.active_occupancy < 0.3
    assert later.samples_kept <= later.samples_marched
    assert abs(later.samples_kept / later.steps - 2048) < 600  # the batch is sized by what survives
    return backend.state()


def test_a_density_field_learns_balls_and_shows_them_from_elsewhere(learned):
    backend = backend_of()
    backend.load_state(learned)
    assert mean_psnr(backend, ball_views()[:4]) > 23.2
    assert mean_psnr(backend, ball_views(4, shift=0.4)) > 23.2


@pytest.mark.parametrize(("field", "steps", "reach"), [(SDF, 32, 18.5), (BIG, 80, 12.5)])
def test_the_other_fields_learn_too(field, steps, reach):
    backend = backend_of(field)
    backend.sharpness = 100.0
    before = mean_psnr(backend, ball_views()[:3])
    backend.steps(steps)
    after = mean_psnr(backend, ball_views()[:3])
    assert after > max(reach, before + 1)


@pytest.mark.parametrize(("field", "fits"), [(DENSITY, {"exposure": True, "poses": True}), (SDF, {})])
def test_it_goes_on_from_its_state_to_the_byte(field, fits):
    whole, parts = backend_of(field, **fits), backend_of(field, **fits)
    whole.steps(20)
    parts.steps(17)
    state = {name: value.copy() for name, value in parts.state().items()}
    fresh = backend_of(field, **fits)
    fresh.load_state(state)
    fresh.steps(3)
    expected, found = whole.state(), fresh.state()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert value.dtype == found[name].dtype and value.tobytes() == found[name].tobytes(), name


def test_a_state_of_another_field_is_refused_and_changes_nothing():
    backend = backend_of()
    before = backend.state()
    with pytest.raises(BadInput, match=r"no grid\.table"):
        backend.load_state(backend_of(BIG).state())
    state = backend.state()
    state["grid.table"] = state["grid.table"][:-8]
    with pytest.raises(BadInput, match="shape"):
        backend.load_state(state)
    assert all(np.array_equal(value, backend.state()[name]) for name, value in before.items())


def _opacity_error(backend, views):
    return np.mean([np.abs(rendered(backend, v).opacity - v.pixels[..., 3] / 255).mean() for v in views])


def _undecided(backend, views):
    opacity = np.stack([rendered(backend, view).opacity for view in views])
    return float((opacity * (1 - opacity)).mean())


def _depth_error(backend, views):
    errors = []
    for view in views:
        truth, seen = cast(view.camera)[1], rendered(backend, view)
        inside = np.isfinite(truth) & (seen.opacity > 0.5)
        errors.append(np.abs(seen.depth - truth)[inside].mean())
    return np.mean(errors)


def _spread(backend, views):
    """Mean spread of the weights along rays, by the loss itself."""
    from nerfrecon.render.losses import distortion_loss
    from nerfrecon.render.rays import Rays

    found = []
    for view in views:
        rays = Rays(*camera_rays(view.camera, pixel_grid(view.camera)))
        with torch.no_grad():
            seen = backend._seen(rays, torch.ones(3))
        samples = seen.samples
        middle = samples.t + samples.dt / 2
        found.append(float(distortion_loss(seen.weights.weight, middle, samples.dt, samples.starts)))
    return np.mean(found)


STEPS = 34


@pytest.fixture(scope="module")
def plain() -> dict[str, float]:
    """What every measure is after a training on colour alone."""
    backend = backend_of(losses=LossOptions(background="white"))
    backend.steps(STEPS)
    views = ball_views()[:3]
    return {m.__name__: float(m(backend, views)) for m in (_opacity_error, _undecided, _depth_error, _spread)}


@pytest.mark.parametrize(
    ("losses", "measure", "share"),
    [
        ({"mask": 0.1}, _opacity_error, 0.75),
        ({"opacity": 0.02}, _undecided, 0.82),
        ({"distortion": 0.05}, _spread, 0.35),
    ],
)
def test_each_loss_brings_down_what_it_is_of(plain, losses, measure, share):
    backend = backend_of(losses=LossOptions(background="white", **losses))
    backend.steps(STEPS)
    assert measure(backend, ball_views()[:3]) < share * plain[measure.__name__]


@pytest.mark.parametrize(("sparse", "share"), [(False, 0.75), (True, 0.55)])
def test_known_depths_pull_depth(plain, sparse, share):
    backend = backend_of(losses=LossOptions(background="white", depth=0.1 if sparse else 0.05))
    rng, depths = np.random.default_rng(0), []
    for view in ball_views():
        depth = cast(view.camera)[1]
        if not sparse:
            depths.append(ViewDepths(np.where(np.isfinite(depth), depth, np.nan).astype(np.float32)))
            continue
        row, column = np.nonzero(np.isfinite(depth))
        chosen = rng.choice(len(row), 40)
        row, column = row[chosen], column[chosen]
        pixels = np.stack([column, row], 1).astype(np.float64)
        depths.append(ViewDepths(None, pixels, depth[row, column], np.ones(40)))
    backend.set_depths(depths)
    backend.steps(STEPS)
    assert _depth_error(backend, ball_views()[:3]) < share * plain["_depth_error"]


def test_exposure_finds_the_gains_that_pictures_were_made_with(learned):
    log_gain = np.random.default_rng(1).uniform(-0.25, 0.25, (12, 3))
    truth = np.exp(log_gain - log_gain.mean(0))
    views = []
    for view, gain in zip(ball_views(), truth, strict=True):
        pixels = view.pixels.astype(np.float64)
        pixels[..., :3] *= gain
        views.append(TrainingView(view.camera, pixels.round().clip(0, 255).astype(np.uint8)))
    backend = backend_of(views=views, exposure=True)
    backend.load_state({name: value for name, value in learned.items() if not name.startswith("adam")})
    backend.pace = Pace(1e-5, 5e-3, 5, 2048)
    backend.steps(60)
    found = gains(torch.from_numpy(backend.state()[LOG_GAINS])).numpy()
    assert np.abs(np.log(found / truth)).mean() < 0.65 * np.abs(np.log(truth)).mean()
    np.testing.assert_allclose(np.log(found).mean(0), 0, atol=1e-5)
    # And a picture that is judged gets the gain that was taken from it.
    seen = rendered(backend, views[0])
    np.testing.assert_allclose(fitted_gain(0.8 * seen.rgb, seen.rgb, seen.opacity), 1.25, rtol=1e-3)


def test_refinement_brings_wrong_poses_closer():
    rng = np.random.default_rng(2)
    wrong = rng.normal(0, 0.02, (12, 6))
    wrong -= wrong.mean(0)
    views = []
    for view, error in zip(ball_views(), wrong, strict=True):
        T = view.camera.T_unit_camera.copy()
        T[:3, :3] = rotation(torch.from_numpy(error[None, :3]))[0].numpy() @ T[:3, :3]
        T[:3, 3] += error[3:]
        camera = view.camera
        there = RayCamera(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy, T)
        views.append(TrainingView(there, view.pixels))
    backend = backend_of(views=views, poses=True)
    backend.pace = Pace(1e-2, 5e-3, 3, 2048)  # coarse first: a sharp field holds wrong poses
    backend.steps(96)
    poses = torch.from_numpy(np.stack([view.camera.T_unit_camera[:3] for view in views]))
    found = refined(poses, torch.from_numpy(backend.state()[CORRECTIONS])).numpy()
    truth = np.stack([view.camera.T_unit_camera[:3] for view in ball_views()])

    def off_px(T: np.ndarray) -> float:
        """Mean shift in pixels of two points in the balls."""
        points = np.array([[0.5, 0.5, 0.5], [0.7, 0.6, 0.6]])
        shifts = []
        for one, right in zip(T, truth, strict=True):
            a, b = ((points - M[:, 3]) @ M[:, :3] for M in (one, right))
            shifts.append(28.0 * (a[:, :2] / a[:, 2:] - b[:, :2] / b[:, 2:]))
        return float(np.linalg.norm(np.array(shifts), axis=2).mean())

    assert off_px(found) < 0.7 * off_px(poses.numpy())
    # A rotation is one: exp(w) exp(-w) = 1, and it keeps lengths.
    w = torch.from_numpy(wrong[:, :3]) * 50
    identity = torch.eye(3, dtype=w.dtype).expand(12, 3, 3)
    torch.testing.assert_close(rotation(w) @ rotation(-w), identity)
    torch.testing.assert_close(rotation(w) @ rotation(w).transpose(1, 2), identity)


def test_a_step_that_is_not_finite_is_taken_back(monkeypatch):
    backend = backend_of()
    backend.steps(3)
    before = backend.state()
    real = torch_backend.objective
    monkeypatch.setattr(torch_backend, "objective", lambda *given: real(*given) * math.nan)
    report = backend.steps(1)
    assert report.steps_refused == 1 and report.steps == 0 and math.isnan(report.loss)
    after = backend.state()
    assert all(np.array_equal(after[n], before[n]) for n in before if n not in ("counters", "running"))
    assert after["running"][0] == 0.5  # more careful from now on
    monkeypatch.setattr(torch_backend, "objective", real)
    assert backend.steps(2).steps == 2
    monkeypatch.setattr(torch_backend, "objective", lambda *given: real(*given) * math.nan)
    with pytest.raises(SuiteError, match="3 steps in a row were not finite"):
        backend.steps(8)


def test_pixels_that_are_not_usable_teach_nothing():
    clean, dirty = [], []
    usable = np.ones((24, 24), bool)
    usable[:, :6] = False
    for view in ball_views():
        noise = view.pixels.copy()
        noise[:, :6] = 77
        clean.append(TrainingView(view.camera, view.pixels, usable))
        dirty.append(TrainingView(view.camera, noise, usable))
    a, b = backend_of(views=clean), backend_of(views=dirty)
    a.steps(6)
    b.steps(6)
    assert all(np.array_equal(value, b.state()[name]) for name, value in a.state().items())


def test_rays_of_a_batch_are_those_of_the_cameras():
    views = []
    for k, view in enumerate(ball_views(3)):
        c = view.camera
        lens = (0.1, -0.02, 0.003, 0.002) if k < 2 else ()
        bent = RayCamera(c.width, c.height, c.fx + k, c.fy, c.cx - k, c.cy, c.T_unit_camera, lens)
        views.append(TrainingView(bent, view.pixels))
    pictures = Pictures(views, torch.device("cpu"))
    for number, view in enumerate(views):
        grid = pixel_grid(view.camera)
        u, v = torch.from_numpy(grid.astype(np.int64)).unbind(1)
        pixels = Pixels(torch.full_like(u, number), u, v)
        expected = camera_rays(view.camera, grid)
        rays = pictures.rays(pixels, pictures.poses)
        torch.testing.assert_close(rays.directions, expected.directions, atol=1e-6, rtol=0)
        torch.testing.assert_close(rays.origins, expected.origins)
        between = pictures.rays_at(pixels.view, torch.from_numpy(grid), pictures.poses)
        torch.testing.assert_close(between.directions, expected.directions, atol=1e-6, rtol=0)
        shown = pictures.targets(pixels)
        rgba = torch.cat([shown.colour, shown.alpha[:, None]], 1).reshape(24, 24, 4)
        assert np.array_equal((rgba.numpy() * 255).round().astype(np.uint8), view.pixels)


def test_what_a_user_gets_wrong_is_one_line():
    with pytest.raises(SuiteError, match="no views"):
        backend_of(views=[]).steps(1)
    backend = backend_of()
    with pytest.raises(BadInput, match="depths of 1 views"):
        backend.set_depths([ViewDepths()])
    with pytest.raises(BadInput, match="no cell"):
        backend.restrict(np.zeros(32**3, bool))
    with pytest.raises(BadInput, match="27 cells for a grid of 32768"):
        backend.restrict(np.ones(27, bool))
    with pytest.raises(BadInput, match="density"):
        backend.sdf(np.zeros((1, 3), np.float32))
    assert backend.density(np.zeros((0, 3), np.float32)).shape == (0,)
    outside, border = np.array([[2.0, 0.5, 0.5], [1.0, 0.5, 0.5]], np.float32)
    assert np.array_equal(backend.density(outside[None]), backend.density(border[None]))
