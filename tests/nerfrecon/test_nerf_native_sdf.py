"""The compiled signed distance against the PyTorch reference: values, gradients, steps, occupancy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ball_views import OPTIMISER, SAMPLING, SDF, ball_views, camera

from nerfrecon.backends.base import Pace
from nerfrecon.backends.torch import TorchBackend
from nerfrecon.fields.from_density import distance_of, fit_distance
from nerfrecon.fields.sdf import SdfField
from nerfrecon.options import (
    CharbonnierOptions,
    GridOptions,
    HuberOptions,
    LearnedSharpness,
    LevelSchedule,
    LossOptions,
    SdfFieldOptions,
)
from nerfrecon.render.losses import colour_loss, curvature_loss, eikonal_loss, mask_loss
from nerfrecon.render.march import Samples, bounds
from nerfrecon.render.occupancy import Occupancy, updated_by_sdf
from nerfrecon.render.volume import drawn_for_normals, see, visible
from nerfrecon.training.depths import ViewDepths
from suite.errors import BadInput

native = pytest.importorskip("nerfrecon.native._native", reason="the native core is not built")
from nerfrecon.backends.native_sdf import NativeSdfBackend  # noqa: E402

ISAS = native.runnable()
GRID = GridOptions(levels=6, log2_table=11, coarsest_resolution=4, finest_resolution=64)
FIELD = SdfFieldOptions(grid=GRID, active=LevelSchedule(first=3), normal_share=0.3)
STEP = 1 / 64
SIZES = {
    "no ray": [],
    "one sample": [1],
    "empty rays": [0, 0, 0],
    "7 rays, long and empty": [0, 1, 300, 64, 65, 3, 0],
    "17 rays": [*range(17)],
    "many units": [(37 * i) % 60 for i in range(150)],
}


def backend(isa: str, field: SdfFieldOptions = FIELD, s: float = 40, threads: int = 2, **more):
    """The core and the reference with the same parameters, large enough that everything matters."""
    options = {"sampling": SAMPLING, "losses": LossOptions(), "optimiser": OPTIMISER} | more
    core = NativeSdfBackend(field, **options, threads=threads, isa=isa)
    reference = SdfField(field)
    rng = np.random.default_rng(5)
    with torch.no_grad():
        reference.grid.table.copy_(torch.from_numpy(rng.normal(0, 0.05, reference.grid.table.shape)))
        reference.sdf_mlp.get_parameter("1").mul_(0.5)
        reference.sdf_mlp.get_parameter("1")[0] = torch.from_numpy(rng.normal(0, 0.03, 64))
        reference.centre.copy_(torch.tensor([0.45, 0.5, 0.55]))
        reference.sharpness.fill_(math.log(s))
    core.load_state({name: values.numpy() for name, values in reference.state_dict().items()})
    return core, reference


def rays(counts: list[int], seed: int = 0):
    """Rays through the ball: starts, origins, directions, t, dt, targets, backgrounds; a third has gaps."""
    rng = np.random.default_rng(seed)
    n, total = len(counts), sum(counts)
    directions = rng.normal(size=(n, 3))
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)
    steps = []
    for number, count in enumerate(counts):
        dt = np.float32(min(STEP, 0.9 / max(count, 1)))
        t = [np.float32(rng.random() * 0.2)]
        for _ in range(count - 1):
            t.append(t[-1] + dt)
            if number % 3 == 0 and rng.random() < 0.1:
                t[-1] += dt
        steps.append((np.array(t[:count], np.float32), np.full(count, dt)))
    empty = [np.zeros(0, np.float32)]
    return (
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        (0.5 - 0.45 * directions + rng.normal(0, 0.05, (n, 3))).clip(0, 1).astype(np.float32),
        directions.astype(np.float32),
        np.concatenate(empty + [t for t, _ in steps]),
        np.concatenate(empty + [dt for _, dt in steps]).astype(np.float32),
        rng.random((n, 3), dtype=np.float32),
        rng.random((n, 3), dtype=np.float32),
    ), total


def samples_of(given) -> Samples:
    starts, origins, directions, t, dt = (torch.from_numpy(part) for part in given[:5])
    ray = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
    points = (origins[ray] + t[:, None] * directions[ray]).clamp(0, 1)
    joined = torch.zeros(len(t), dtype=torch.bool)
    if len(t):
        joined[1:] = (ray[1:] == ray[:-1]) & (t[1:] <= t[:-1] + dt[:-1])
    return Samples(points, t, dt, ray, joined, bounds(starts.diff()))


def reference_loss(field: SdfField, given, losses: LossOptions, stop: float, draws: bool = True):
    directions, targets, backgrounds = (torch.from_numpy(given[k]) for k in (2, 5, 6))
    samples = samples_of(given)
    drawn = drawn_for_normals(samples, 0, 0, field.options.normal_share) if draws else None
    chosen = visible(field, samples, stop)
    drawn = None if drawn is None else drawn[chosen]
    seen = see(field, samples.subset(chosen), directions, backgrounds, stop, drawn)
    loss = colour_loss(losses.colour, seen.colour, targets)
    if losses.mask:
        loss = loss + losses.mask * mask_loss(seen.opacity, torch.ones_like(seen.opacity))
    if seen.near_surface is not None:
        loss = loss + losses.eikonal * eikonal_loss(seen.near_surface.gradient)
        first = field.grid.layout.step(field.options.active.first)
        fall = field.grid.step / first
        loss = loss + losses.curvature * fall * curvature_loss(seen.near_surface.laplacian)
    return loss, seen


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-20))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("count", [0, 1, 7, 17, 500])
def test_values(isa: str, count: int):
    core, reference = backend(isa)
    points = np.random.default_rng(1).random((count, 3), dtype=np.float32)
    points[:1], points[1:2] = 1, 0  # the corners of the cube
    f = reference.sdf(torch.from_numpy(points))[0].detach().numpy()
    assert np.abs(core.sdf(points) - f).max(initial=0) < 1e-6


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("s", [15.0, 200.0])
def test_gradients_are_those_of_the_reference(isa: str, name: str, s: float):
    losses = LossOptions(colour=CharbonnierOptions(), mask=0.1, eikonal=0.1, curvature=1e-3)
    core, reference = backend(isa, s=s, losses=losses)
    given, _ = rays(SIZES[name])
    found = core.evaluate(*given)
    assert found.rgb.shape == (len(SIZES[name]), 3)
    if not SIZES[name]:
        return
    loss, seen = reference_loss(reference, given, losses, SAMPLING.stop)
    if loss.requires_grad:
        loss.backward()
    assert found.loss == pytest.approx(loss.item(), rel=1e-5)
    assert np.abs(found.opacity - seen.opacity.detach().numpy()).max(initial=0) < 2e-6
    assert np.abs(found.depth - seen.depth.detach().numpy()).max(initial=0) < 1e-5
    assert np.abs(found.rgb - seen.colour.detach().numpy()).max(initial=0) < 2e-6
    for key, parameter in reference.named_parameters():
        if parameter.grad is not None:
            wanted = parameter.grad.numpy().reshape(found.gradients[key].shape)
            assert relative(found.gradients[key], wanted) < 1e-5, key


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_levels_that_are_not_active_give_nothing_and_get_nothing(levels: int):
    losses = LossOptions(curvature=1e-3)
    core, reference = backend(ISAS[0], losses=losses)
    core._core.set_active(levels)
    reference.grid.active = levels
    given, _ = rays(SIZES["17 rays"])
    found = core.evaluate(*given)
    loss, _ = reference_loss(reference, given, losses, SAMPLING.stop)
    loss.backward()
    assert found.loss == pytest.approx(loss.item(), rel=1e-5)
    for key in ("grid.table", "sdf_mlp.0"):
        wanted = reference.get_parameter(key).grad
        assert wanted is not None and relative(found.gradients[key], wanted.numpy()) < 1e-5
    first_off = reference.grid.layout.levels[levels].offset
    assert np.all(found.gradients["grid.table"][first_off:] == 0)


def test_a_learned_sharpness_has_its_gradient():
    field = FIELD.model_copy(update={"sharpness": LearnedSharpness(first=50)})
    core, reference = backend(ISAS[0], field)
    given, _ = rays(SIZES["many units"])
    loss, _ = reference_loss(reference, given, LossOptions(), SAMPLING.stop)
    loss.backward()
    assert reference.sharpness.grad is not None
    found = core.evaluate(*given).gradients["sharpness"]
    assert found.item() == pytest.approx(reference.sharpness.grad.item(), rel=1e-4)


def test_one_direction_of_all_parameters_against_a_finite_difference():
    losses = LossOptions(colour=HuberOptions(), mask=0.3, curvature=0)
    field = FIELD.model_copy(update={"normal_weight": 0.0})
    core, reference = backend(ISAS[0], field, s=20, losses=losses)
    given, _ = rays(SIZES["17 rays"])
    first = {name: values.numpy().copy() for name, values in reference.state_dict().items()}
    gradients = core.evaluate(*given).gradients
    rng = np.random.default_rng(2)
    names = [name for name in gradients if name != "sharpness"]
    way = {
        name: rng.choice([-1.0, 1.0], first[name].shape) * np.sqrt((first[name] ** 2).mean())
        for name in names
    }
    expected = sum(float((gradients[name] * way[name]).sum()) for name in names)

    def moved(share: float) -> float:
        core.load_state(
            first | {name: (first[name] + share * way[name]).astype(np.float32) for name in names}
        )
        with torch.no_grad():
            for name in names:
                reference.get_parameter(name).copy_(torch.from_numpy(first[name] + share * way[name]))
        return core.evaluate(*given).loss  # of its own forward pass, terms included

    found = (moved(1e-3) - moved(-1e-3)) / 2e-3
    assert found == pytest.approx(expected, rel=2e-2)


def test_threads_change_nothing():
    states = []
    for threads in (1, 2, 3):
        core = trained(threads=threads, count=20)
        states.append(core.state())
    for name, values in states[0].items():
        assert all(np.array_equal(values, other[name]) for other in states[1:]), name


def trained(threads: int = 2, count: int = 20, field: SdfFieldOptions = SDF, **more) -> NativeSdfBackend:
    losses = LossOptions(mask=0.1, curvature=0)
    core = NativeSdfBackend(field, SAMPLING, losses, OPTIMISER, ball_views(), threads=threads, **more)
    core.pace = Pace(grid_lr=5e-3, network_lr=2e-3, samples=2048)
    core.sharpness = None if isinstance(field.sharpness, LearnedSharpness) else 40.0
    core.steps(count)
    return core


def test_a_training_step_is_the_reference_s():
    losses = LossOptions(mask=0.1, curvature=0)
    sampling = SAMPLING.model_copy(update={"update_every": 1})
    given = (SDF, sampling, losses, OPTIMISER, ball_views())
    backends = [kind(*given, seed=3) for kind in (NativeSdfBackend, TorchBackend)]
    for one in backends:
        one.pace, one.sharpness = Pace(samples=1024), 30.0
    for tolerance in (1e-5, 2e-3, 2e-3):  # the second and third begin with an update of the occupancy
        ours, theirs = (one.steps(1) for one in backends)
        assert ours.samples_marched == theirs.samples_marched
        assert ours.loss == pytest.approx(theirs.loss, rel=tolerance)
    ours, theirs = (one.state() for one in backends)
    assert np.array_equal(ours["counters"], theirs["counters"])
    assert (ours["occupancy.occupied"] != theirs["occupancy.occupied"]).mean() < 1e-3  # at the band's edge
    for name in ("sdf_mlp.0", "colour_mlp.1"):
        assert relative(ours[name], theirs[name]) < 5e-3


@pytest.mark.parametrize("maps,points", [(True, False), (False, True)])
def test_prior_and_depth_move_it_as_they_move_the_reference(maps: bool, points: bool):
    losses = LossOptions(curvature=0, depth=0.3)
    backends = [
        kind(SDF, SAMPLING, losses, OPTIMISER, ball_views(), seed=3)
        for kind in (NativeSdfBackend, TorchBackend)
    ]
    axis = (np.arange(20) + 0.5) / 20 - 0.5
    ball = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) - 0.2
    rng = np.random.default_rng(2)
    known = []
    for view in ball_views():
        h, w = view.pixels.shape[:2]
        n = 5 if points else 0
        depth = rng.uniform(0.8, 1.8, (h, w)).astype(np.float32) if maps else None
        known.append(
            ViewDepths(depth, rng.uniform(0, w - 1, (n, 2)), rng.uniform(0.8, 1.8, n), rng.random(n))
        )
    losses_seen = []
    for one in backends:
        one.set_prior(ball)
        one.set_depths(known)
        one.pace, one.sharpness = Pace(samples=1024, prior=0.5), 30.0
        losses_seen.append(one.steps(1).loss)
    assert losses_seen[0] == pytest.approx(losses_seen[1], rel=1e-5)
    ours, theirs = (one.state() for one in backends)
    assert np.array_equal(ours["prior"], theirs["prior"])
    for name in ("adam.m.grid.table", "adam.m.sdf_mlp.0", "adam.m.colour_mlp.0"):
        assert relative(ours[name], theirs[name]) < 1e-3
    bare = NativeSdfBackend(SDF, SAMPLING, LossOptions(curvature=0), OPTIMISER, ball_views(), seed=3)
    bare.pace, bare.sharpness = Pace(samples=1024), 30.0
    assert bare.steps(1).loss < 0.9 * losses_seen[0]


def test_a_prior_holds_a_shape_that_colours_would_move():
    axis = (np.arange(32) + 0.5) / 32 - 0.5
    ball = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) - 0.15
    away = []
    for weight in (0.0, 100.0):
        core = NativeSdfBackend(SDF, SAMPLING, LossOptions(curvature=0), OPTIMISER, ball_views(), seed=3)
        core.set_prior(ball)
        fit_distance(core, ball.astype(np.float32), steps=60)
        core.pace, core.sharpness = Pace(5e-3, 2e-3, samples=2048, prior=weight), 60.0
        core.steps(60)
        points = 0.5 + 0.15 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]], np.float32)
        away.append(np.abs(core.sdf(points.astype(np.float32))).max())
    assert away[1] < 0.01 < away[0]
    state = core.state()
    again = NativeSdfBackend(SDF, SAMPLING, LossOptions(curvature=0), OPTIMISER, ball_views(), seed=3)
    again.load_state(state)
    for one in (core, again):
        one.pace, one.sharpness = Pace(5e-3, 2e-3, samples=2048, prior=1.0), 60.0
        one.steps(2)
    assert np.array_equal(core.state()["grid.table"], again.state()["grid.table"])


def test_occupancy_is_the_reference_s():
    core, reference = backend(ISAS[0], s=60)
    n = SAMPLING.occupancy_resolution
    allowed = np.random.default_rng(0).random(n**3) < 0.7
    core.restrict(allowed)
    core.update_occupancy()
    occupancy = Occupancy.full(n).restricted(torch.from_numpy(allowed))
    wanted = updated_by_sdf(occupancy, lambda x: reference.sdf(x)[0], 60.0).occupied.numpy()
    found = core.state()["occupancy.occupied"].astype(bool)
    assert 0 < wanted.sum() < allowed.sum()
    assert (found != wanted).mean() < 1e-4  # f within the last bit of the band


def test_states_go_to_the_torch_backend_and_back():
    core = trained(count=10)
    core.sharpness = None
    other = TorchBackend(SDF, SAMPLING, LossOptions(), OPTIMISER)
    other.load_state(core.state())
    other.pace = core.pace
    view = camera(0.3, 0.2)
    ours, theirs = core.render(view, (1.0, 1.0, 1.0)), other.render(view, (1.0, 1.0, 1.0))
    assert np.abs(ours.rgb - theirs.rgb).max() < 1e-4
    assert np.abs(ours.opacity - theirs.opacity).max() < 1e-4
    back = NativeSdfBackend(SDF, SAMPLING, LossOptions(), OPTIMISER)
    back.load_state(other.state())
    for name, values in core.state().items():
        if name != "running_normals":
            assert np.array_equal(back.state()[name], values), name


@pytest.mark.parametrize("learned", [False, True])
def test_going_on_from_a_state_is_exact(learned: bool):
    field = SDF.model_copy(update={"sharpness": LearnedSharpness(first=40)}) if learned else SDF
    whole, half = trained(count=24, field=field), trained(count=12, field=field)
    rest = NativeSdfBackend(field, SAMPLING, LossOptions(mask=0.1, curvature=0), OPTIMISER, ball_views())
    rest.load_state(half.state())
    rest.pace, rest.sharpness = half.pace, half.sharpness
    rest.steps(12)
    ours, theirs = whole.state(), rest.state()
    assert ours.keys() == theirs.keys() and ("adam.m.sharpness" in ours) == learned
    for name, values in ours.items():
        assert np.array_equal(values, theirs[name]), name


def test_it_learns_the_balls():
    core = trained(count=0)
    report = None
    for share in np.linspace(0, 1, 30):
        core.sharpness = 40.0 * 10**share
        report = core.steps(20)
    assert report is not None and report.steps == 20
    assert report.active_occupancy < 0.5
    middle = core.sdf(np.array([[0.5, 0.5, 0.5], [0.72, 0.6, 0.62], [0.05, 0.05, 0.05]], np.float32))
    assert middle[0] < -0.1 and middle[1] < 0 < 0.1 < middle[2]
    surface = 0.5 + 0.22 * np.array([[-1, 0, 0.0], [0, -0.6, 0.8], [0, 0, 1]])
    assert np.abs(core.sdf(surface.astype(np.float32))).max() < 0.03


def test_it_fits_an_opened_shell():
    # The shape that a start from a sphere closes: a cup, seen into.
    x, y, z = np.meshgrid(*[(np.arange(48) + 0.5) / 48 - 0.5] * 3, indexing="ij")
    r = np.sqrt(x**2 + y**2 + z**2)
    cup = np.maximum(np.abs(r - 0.26) - 0.06, x - 0.1).transpose(2, 1, 0)
    distance = distance_of(cup.astype(np.float32))
    grid = GridOptions(levels=6, log2_table=14, coarsest_resolution=8, finest_resolution=48)
    core = NativeSdfBackend(SdfFieldOptions(grid=grid), SAMPLING, LossOptions(), OPTIMISER, threads=2)
    inside = np.array([[0.5, 0.5, 0.5], [0.7, 0.5, 0.5], [0.24, 0.5, 0.5]], np.float32)
    assert core.sdf(inside)[0] < -0.2  # closed
    colours = core.state()["colour_mlp.0"]
    assert fit_distance(core, distance, steps=300) < 2e-3
    f = core.sdf(inside)
    assert f[0] > 0.03 and f[1] > 0.03 and f[2] < -0.02
    assert np.array_equal(core.state()["colour_mlp.0"], colours)


def test_a_step_that_is_not_finite_changes_nothing():
    core = trained(count=4)
    state = core.state()
    broken = {name: values.copy() for name, values in state.items()}
    broken["colour_mlp.1"][0, 0] = np.inf
    core.load_state(broken)
    report = core.steps(1)
    assert report.steps == 0 and report.steps_refused == 1
    assert np.array_equal(core.state()["grid.table"], state["grid.table"])


def test_what_does_not_fit_is_one_line():
    core, reference = backend(ISAS[0])
    with pytest.raises(BadInput, match="signed distance"):
        core.density(np.zeros((1, 3), np.float32))
    with pytest.raises(BadInput, match="shape"):
        core.sdf(np.zeros((1, 2), np.float32))
    state = {name: values.numpy() for name, values in reference.state_dict().items()}
    with pytest.raises(BadInput, match="no sharpness"):
        core.load_state({name: values for name, values in state.items() if name != "sharpness"})
    with pytest.raises(BadInput, match=r"sdf_mlp.0"):
        core.load_state(state | {"sdf_mlp.0": np.zeros((64, 32), np.float32)})
