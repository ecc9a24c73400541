"""Training in the compiled core: it learns, is the same for any count of threads, and does not blow up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nerfrecon.backends.base import Pace, RayCamera, TrainingView
from nerfrecon.fields.density import DensityField
from nerfrecon.fields.grid import grid_layout
from nerfrecon.options import (
    DensityFieldOptions,
    GridOptions,
    LossOptions,
    OptimiserOptions,
    SamplingOptions,
    SquaredOptions,
)
from nerfrecon.render.losses import colour_loss
from nerfrecon.render.march import march
from nerfrecon.render.occupancy import Occupancy
from nerfrecon.render.random import Draw, torch_uniform
from nerfrecon.render.rays import camera_rays, draw_backgrounds, draw_pixels
from nerfrecon.render.volume import see
from suite.errors import BackendUnavailable, BadInput, SuiteError

native = pytest.importorskip("nerfrecon.native._native", reason="the native core is not built")
from nerfrecon.backends.native import NativeBackend, load_native  # noqa: E402

FIELD = DensityFieldOptions(grid=GridOptions(levels=8, log2_table=12, finest_resolution=128))
SAMPLING = SamplingOptions(occupancy_resolution=32, step=3**0.5 / 128, update_every=8)
SIZE = 24


def camera(angle: float) -> RayCamera:
    """Looks at the middle of the cube from a circle around it."""
    c, s = math.cos(angle), math.sin(angle)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    pose[:3, 3] = 0.5 - 1.3 * pose[:3, 2]
    return RayCamera(SIZE, SIZE, 30.0, 30.0, (SIZE - 1) / 2, (SIZE - 1) / 2, pose)


def views(count: int = 8) -> list[TrainingView]:
    """Pictures of a ball of radius 0.25, coloured by its normal, before nothing."""
    made = []
    for k in range(count):
        of = camera(2 * math.pi * k / count)
        pixels = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).reshape(-1, 2).astype(np.float64)
        origins, directions = (x.numpy() for x in camera_rays(of, pixels))
        along = ((0.5 - origins) * directions).sum(1)
        off = ((origins + along[:, None] * directions - 0.5) ** 2).sum(1)
        hit = off < 0.25**2
        surface = origins + (along - np.sqrt(np.maximum(0.25**2 - off, 0)))[:, None] * directions
        rgb = np.clip(((surface - 0.5) / 0.25 + 1) / 2, 0, 1) * hit[:, None]
        rgba = np.concatenate([rgb, hit[:, None]], 1)
        made.append(TrainingView(of, (rgba * 255).astype(np.uint8).reshape(SIZE, SIZE, 4)))
    return made


VIEWS = views()


def trainer(threads: int = 1, seed: int = 0, **more) -> NativeBackend:
    options = {"sampling": SAMPLING, "losses": LossOptions(), "optimiser": OptimiserOptions()} | more
    backend = NativeBackend(FIELD, **options, views=VIEWS, seed=seed, threads=threads)
    backend.pace = Pace(1e-2, 1e-2, 8, 4096)
    return backend


def test_it_learns_a_ball():
    backend = trainer()
    first = backend.steps(1)
    backend.steps(120)
    last = backend.steps(30)
    assert last.loss < first.loss / 10
    assert 0 < last.active_occupancy < 0.5
    assert last.samples_kept <= last.samples_marched and last.cpu_s > 0 and last.steps == 30
    seen = backend.render(VIEWS[1].camera, (1, 0, 1))
    alpha = VIEWS[1].pixels[..., 3:] / 255
    wanted = VIEWS[1].pixels[..., :3] / 255 * alpha + np.array([1, 0, 1]) * (1 - alpha)
    assert -10 * math.log10(np.square(seen.rgb - wanted).mean()) > 20
    middle = SIZE // 2
    assert seen.opacity[middle, middle] > 0.95 and seen.opacity[0, 0] < 0.05
    assert seen.depth[middle, middle] == pytest.approx(1.3 - 0.25, abs=0.06)


def test_the_first_step_costs_what_the_reference_says():
    """The same pixels, jitters, backgrounds, samples and colours, from the seed alone."""
    backend = trainer(seed=11, losses=LossOptions(colour=SquaredOptions()))
    report = backend.steps(1)
    field, ray = DensityField(FIELD, seed=11), torch.arange(report.rays)
    drawn = draw_pixels(11, 0, ray, torch.tensor([[SIZE, SIZE]] * len(VIEWS)))
    background = draw_backgrounds(11, 0, ray)
    origins, directions, targets = [], [], []
    for view, column, row, behind in zip(*drawn, background, strict=True):
        rays = camera_rays(VIEWS[view].camera, np.array([[float(column), float(row)]]))
        origins.append(rays.origins)
        directions.append(rays.directions)
        rgba = torch.from_numpy(VIEWS[view].pixels[row, column] / np.float32(255))
        targets.append(rgba[:3] * rgba[3] + behind * (1 - rgba[3]))
    o, d = torch.cat(origins), torch.cat(directions)
    jitter = torch_uniform(11, 0, ray, Draw.JITTER)
    samples = march(o, d, Occupancy.full(32).occupied, SAMPLING, jitter)
    seen = see(field, samples, d, background, SAMPLING.stop)
    assert report.samples_marched == len(samples.t)
    assert report.loss == pytest.approx(
        float(colour_loss(SquaredOptions(), seen.colour, torch.stack(targets)).detach()), rel=1e-5
    )


def test_any_count_of_threads_gives_the_same_bytes():
    states = []
    for threads in (1, 2, 3):
        backend = trainer(threads)
        backend.steps(20)
        states.append(backend.state())
    for other in states[1:]:
        assert states[0].keys() == other.keys()
        assert all(np.array_equal(states[0][key], other[key]) for key in other)


def test_going_on_from_a_state_is_exact():
    through = trainer()
    through.steps(19)
    first = trainer()
    first.steps(11)
    second = trainer(seed=0)
    second.load_state(first.state())
    second.steps(8)
    ends = through.state(), second.state()
    assert all(np.array_equal(ends[0][key], ends[1][key]) for key in ends[0])


@pytest.mark.parametrize("rate", [1e-2, 3e-2])
@pytest.mark.parametrize("seed", range(4))
def test_large_batches_at_a_high_rate_stay_finite(seed: int, rate: float):
    """As an early prototype ended in NaN: large batches, a high rate, an occupancy rarely renewed."""
    backend = trainer(threads=1, seed=seed, sampling=SAMPLING.model_copy(update={"update_every": 64}))
    backend.pace = Pace(rate, rate, 8, 65536)
    backend.steps(2)
    report = backend.steps(4)
    assert report.steps_refused == 0 and math.isfinite(report.loss)
    assert report.samples_kept / report.steps > 30_000
    assert all(np.isfinite(values).all() for values in backend.state().values())


def test_training_goes_on_after_a_fault():
    """A gradient that overflows is refused; with the weights mended, the next learn at half the rate."""
    backend = trainer()
    backend.steps(5)
    whole = backend.state()
    broken = whole | {"colour_mlp.2": whole["colour_mlp.2"] * np.float32(1e30)}
    broken["colour_mlp.1"] = whole["colour_mlp.1"] * np.float32(1e30)
    backend.load_state(broken)
    assert backend.steps(1).steps_refused == 1
    left = backend.state()
    assert all(
        np.array_equal(left[name], broken[name]) for name in broken if name not in ("counters", "running")
    )
    mended = left | {name: whole[name] for name in ("colour_mlp.1", "colour_mlp.2")}
    backend.load_state(mended)
    report = backend.steps(40)
    assert report.steps == 40 and report.steps_refused == 0
    assert backend.state()["running"][0] == 0.5
    assert report.loss < 0.75 * trainer().steps(1).loss


def test_a_step_that_is_not_finite_changes_nothing_but_the_rate():
    backend = trainer()
    backend.steps(5)
    state = backend.state()
    state["colour_mlp.1"][3, 4] = np.nan
    backend.load_state(state)
    report = backend.steps(1)
    after = backend.state()
    assert report.steps == 0 and report.steps_refused == 1 and math.isnan(report.loss)
    for name in state:
        if name not in ("counters", "running"):
            assert np.array_equal(state[name], after[name], equal_nan=True), name
    assert after["running"][0] == 0.5
    backend.steps(1)
    with pytest.raises(SuiteError, match="three steps in a row were not finite"):
        backend.steps(1)


def test_levels_that_are_off_do_not_move():
    backend = trainer()
    backend.pace = Pace(1e-2, 1e-2, 3, 4096)
    before = backend.state()["grid.table"]
    backend.steps(3)
    moved = np.flatnonzero((backend.state()["grid.table"] != before).any(1))
    assert moved.min() > 0 and moved.max() < grid_layout(FIELD.grid).levels[3].offset


def test_unusable_pixels_teach_nothing():
    view = VIEWS[0]
    wrong = view.pixels.copy()
    wrong[:, : SIZE // 2] = [255, 0, 255, 255]
    usable = np.ones((SIZE, SIZE), bool)
    usable[:, : SIZE // 2] = False
    states = []
    for pixels in (view.pixels, wrong):
        backend = trainer()
        backend.set_views([TrainingView(view.camera, pixels, usable)])
        backend.steps(3)
        states.append(backend.state())
    assert all(np.array_equal(states[0][key], states[1][key]) for key in states[0])


def test_cells_given_up_stay_off():
    backend = trainer()
    allowed = np.zeros((32, 32, 32), bool)
    allowed[8:24, 8:24, 8:24] = True
    backend.restrict(allowed.reshape(-1))
    report = backend.steps(20)
    on = backend.state()["occupancy.occupied"].astype(bool)
    assert on.any() and not (on & ~allowed.reshape(-1)).any()
    assert report.active_occupancy == pytest.approx(on.mean())
    with pytest.raises(BadInput, match="no cell of the scene's box is left"):
        backend.restrict(~allowed.reshape(-1))


def test_bad_input_is_one_line(monkeypatch: pytest.MonkeyPatch):
    backend = trainer()
    state = backend.state()
    for change, match in (
        ({"grid.table": state["grid.table"][1:]}, "grid.table has shape"),
        ({"adam.v.colour_mlp.2": np.zeros((3, 3), np.float32)}, "adam.v.colour_mlp.2 has shape"),
    ):
        with pytest.raises(BadInput, match=match):
            backend.load_state(state | change)
    with pytest.raises(BadInput, match=r"no density_mlp\.0"):
        backend.load_state({key: value for key, value in state.items() if key != "density_mlp.0"})
    with pytest.raises(BadInput, match="picture is 24 x 23 px"):
        TrainingView(camera(0), VIEWS[0].pixels[1:])
    backend.set_views([])
    with pytest.raises(SuiteError, match="no views to train on"):
        backend.steps(1)
    monkeypatch.setenv("SUITE_PURE", "1")
    with pytest.raises(BackendUnavailable, match="SUITE_PURE=1"):
        load_native()
