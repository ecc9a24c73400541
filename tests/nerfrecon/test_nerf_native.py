"""The compiled core against the PyTorch reference: values, gradients, rays, marches, over awkward sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nerfrecon.backends.base import RayCamera
from nerfrecon.fields.density import DensityField
from nerfrecon.options import (
    CharbonnierOptions,
    DensityFieldOptions,
    GridOptions,
    HuberOptions,
    LossOptions,
    OptimiserOptions,
    SamplingOptions,
    SquaredOptions,
)
from nerfrecon.render.losses import colour_loss, mask_loss, opacity_loss
from nerfrecon.render.march import Samples, march
from nerfrecon.render.occupancy import Occupancy, updated
from nerfrecon.render.random import bits
from nerfrecon.render.rays import camera_rays
from nerfrecon.render.volume import see
from suite.errors import BadInput

native = pytest.importorskip("nerfrecon.native._native", reason="the native core is not built")
from nerfrecon.backends.native import NativeBackend  # noqa: E402

ISAS = native.runnable()
FIELD = DensityFieldOptions(grid=GridOptions(log2_table=14))
SAMPLING = SamplingOptions(occupancy_resolution=32)
SIZES = {
    "no ray": [],
    "one sample": [1],
    "empty rays": [0, 0, 0],
    "7 rays, long and empty": [0, 1, 300, 64, 65, 3, 0],
    "17 rays": [*range(17)],
    "many units": [(37 * i) % 90 for i in range(150)],
}


def backend(isa: str, field: DensityFieldOptions = FIELD, **more) -> tuple[NativeBackend, DensityField]:
    """The core and the reference with the same parameters, large enough that everything matters."""
    options = {"sampling": SAMPLING, "losses": LossOptions(), "optimiser": OptimiserOptions()} | more
    core = NativeBackend(field, **options, threads=2, isa=isa)
    reference = DensityField(field)
    rng = np.random.default_rng(5)
    with torch.no_grad():
        reference.grid.table.copy_(torch.from_numpy(rng.normal(0, 0.3, reference.grid.table.shape)))
        reference.density_mlp.get_parameter("1").mul_(2)
    core.load_state({name: values.numpy() for name, values in reference.state_dict().items()})
    return core, reference


def rays(counts: list[int], seed: int = 0):
    """Rays with so many samples each: starts, origins, directions, t, dt, targets, backgrounds."""
    rng = np.random.default_rng(seed)
    n, total = len(counts), sum(counts)
    directions = rng.normal(size=(n, 3))
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)
    t = np.concatenate([np.zeros(0), *(np.sort(rng.random(k) * 0.4) for k in counts)])
    return (
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        (rng.random((n, 3)) * 0.2 + 0.4).astype(np.float32),
        directions.astype(np.float32),
        t.astype(np.float32),
        np.full(total, 0.05, np.float32),
        rng.random((n, 3), dtype=np.float32),
        rng.random((n, 3), dtype=np.float32),
    )


def reference_loss(field: DensityField, given, losses: LossOptions, stop: float = 1e-4):
    starts, origins, directions, t, dt, targets, backgrounds = map(torch.from_numpy, given)
    ray = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
    points = (origins[ray] + t[:, None] * directions[ray]).clamp(0, 1)
    samples = Samples(points, t, dt, ray, torch.zeros(len(t), dtype=torch.bool), starts)
    seen = see(field, samples, directions, backgrounds, stop)
    loss = colour_loss(losses.colour, seen.colour, targets)
    if losses.mask:
        loss = loss + losses.mask * mask_loss(seen.opacity, torch.ones_like(seen.opacity))
    if losses.opacity:
        loss = loss + losses.opacity * opacity_loss(seen.opacity)
    return loss, seen


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-20))


@pytest.mark.parametrize("isa", ISAS)
def test_exponential_is_within_its_stated_error(isa: str):
    x = np.linspace(-87, 88, 100_001).astype(np.float32)
    assert np.abs(native.exponential(x, isa) / np.exp(x.astype(np.float64)) - 1).max() < 3e-7
    edges = native.exponential(np.array([-1e30, -np.inf, np.inf, 1e30, 0], np.float32), isa)
    assert np.isfinite(edges).all() and edges[4] == 1


def test_random_bits_are_those_of_the_reference():
    for seed, step, ray, which in [(0, 0, 0, 0), (2**64 - 1, 2**32 - 1, 5, 11), (7, 3, 2**32 - 1, 2**20)]:
        assert native.bits(seed, step, ray, which) == int(bits(seed, step, ray, which))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("count", [0, 1, 7, 17, 500])
def test_encoding_and_density(isa: str, count: int):
    core, reference = backend(isa)
    points = np.random.default_rng(1).random((count, 3), dtype=np.float32)
    points[:1], points[1:2] = 1, 0  # the corners of the cube
    features, density = (
        reference.grid(torch.from_numpy(points)),
        reference.density(torch.from_numpy(points))[0],
    )
    assert np.abs(core.encode(points) - features.detach().numpy()).max(initial=0) < 1e-6
    assert np.abs(core.density(points) / density.detach().numpy() - 1).max(initial=0) < 1e-5


def test_any_point_is_looked_up_within_the_table():
    core, _ = backend("portable")
    wild = np.array([[-1e30, 2, 0.5], [np.nan, np.inf, -np.inf]], np.float32)
    moved = np.array([[0, 1, 0.5], [0, 1, 0]], np.float32)
    assert np.array_equal(core.density(wild), core.density(moved))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("counts", SIZES.values(), ids=SIZES.keys())
def test_colours_and_all_gradients(isa: str, counts: list[int]):
    core, reference = backend(isa)
    given = rays(counts)
    found = core.evaluate(*given)
    if not counts:
        assert found.loss == 0 and not any(g.any() for g in found.gradients.values())
        return
    loss, seen = reference_loss(reference, given, LossOptions())
    assert found.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    assert np.abs(found.rgb - seen.colour.detach().numpy()).max() < 2e-6
    assert np.abs(found.opacity - seen.opacity.detach().numpy()).max() < 2e-6
    assert np.abs(found.depth - seen.depth.detach().numpy()).max() < 2e-6
    if not sum(counts):
        assert not any(g.any() for g in found.gradients.values())
        return
    loss.backward()
    for name, parameter in reference.named_parameters():
        assert parameter.grad is not None
        assert relative(found.gradients[name], parameter.grad.numpy()) < 2e-5, name


@pytest.mark.parametrize(
    "losses",
    [
        LossOptions(colour=SquaredOptions()),
        LossOptions(colour=CharbonnierOptions(), mask=0.2, opacity=0.1),
        LossOptions(colour=HuberOptions(delta=0.01), mask=0.1),
    ],
    ids=["squared", "charbonnier, mask, opacity", "huber, mask"],
)
def test_losses(losses: LossOptions):
    core, reference = backend(ISAS[0], losses=losses)
    given = rays([5, 40, 0, 12, 70, 33])
    loss, _ = reference_loss(reference, given, losses)
    loss.backward()
    found = core.evaluate(*given)
    assert found.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    for name, parameter in reference.named_parameters():
        assert relative(found.gradients[name], parameter.grad.numpy()) < 2e-5, name  # type: ignore[union-attr]


def test_saturated_colours_come_back_as_in_the_reference():
    core, reference = backend(ISAS[0])
    with torch.no_grad():
        reference.colour_mlp.get_parameter("2").mul_(60)
    core.load_state({name: values.numpy() for name, values in reference.state_dict().items()})
    given = rays([5, 40, 12, 70, 33])
    loss, _ = reference_loss(reference, given, LossOptions())
    loss.backward()
    found = core.evaluate(*given)
    for name, parameter in reference.named_parameters():
        assert relative(found.gradients[name], parameter.grad.numpy()) < 1e-4, name  # type: ignore[union-attr]
    with torch.no_grad():
        colours = reference.colour(
            reference.density(torch.full((64, 3), 0.5))[1], torch.nn.functional.normalize(torch.randn(64, 3))
        )
    assert ((colours < 0.02) | (colours > 0.98)).float().mean() > 0.3


@pytest.mark.parametrize("levels,active", [(16, 5), (5, 5), (13, 13), (1, 1)])
def test_levels_that_are_off_or_not_there(levels: int, active: int):
    core, reference = backend(ISAS[0], DensityFieldOptions(grid=GridOptions(levels=levels, log2_table=12)))
    core._core.set_active(active)
    reference.grid.active = active
    given = rays([20, 3, 50])
    loss, _ = reference_loss(reference, given, LossOptions())
    loss.backward()
    found = core.evaluate(*given)
    for name, parameter in reference.named_parameters():
        assert relative(found.gradients[name], parameter.grad.numpy()) < 2e-5, name  # type: ignore[union-attr]


def test_what_lies_behind_the_end_of_a_ray_changes_nothing():
    core, _ = backend(ISAS[0])
    state = core.state()
    state["density_mlp.1"][0] = np.abs(state["density_mlp.1"][0]) * 50  # dense everywhere
    core.load_state(state)
    starts, origins, directions, t, dt, targets, backgrounds = rays([200, 200])
    far = dt.copy()
    far[[150, 350]] *= 3
    first = core.evaluate(starts, origins, directions, t, dt, targets, backgrounds)
    second = core.evaluate(starts, origins, directions, t, far, targets, backgrounds)
    assert first.opacity.min() > 0.9998
    assert np.array_equal(first.rgb, second.rgb)
    assert all(np.array_equal(first.gradients[k], second.gradients[k]) for k in first.gradients)


@pytest.mark.parametrize("isa", ISAS[:-1])
def test_instruction_sets_agree(isa: str):
    given = rays([60, 11, 0, 240])
    wide, narrow = (backend(name)[0].evaluate(*given) for name in (isa, "portable"))
    assert np.abs(wide.rgb - narrow.rgb).max() < 1e-6
    for name, gradient in narrow.gradients.items():
        assert relative(wide.gradients[name], gradient) < 1e-5, name


@pytest.mark.parametrize("share", [0.3, 0.02], ids=["blocks", "a few blocks"])
@pytest.mark.parametrize(
    "cone,step",
    [(0.0, 3**0.5 / 1024), (1 / 256, 3**0.5 / 1024), (0.0, 2.0**-9), (0.0, (2 + 2**-21) / 1024), (0.0, 2e-4)],
)
def test_marches_are_those_of_the_reference_to_the_last_bit(cone: float, step: float, share: float):
    sampling = SamplingOptions(occupancy_resolution=32, cone=cone, step=step, most_samples=200)
    core, _ = backend(ISAS[0], sampling=sampling)
    rng = np.random.default_rng(3)
    on = rng.random((8, 8, 8)) < share
    on = np.kron(on, np.ones((4, 4, 4), bool)).reshape(-1) & (rng.random(32**3) < 0.7)
    state = core.state()
    state["occupancy.occupied"] = on
    core.load_state(state)
    origins = (rng.random((300, 3)) * 2 - 0.5).astype(np.float32)
    directions = rng.normal(size=(300, 3))
    directions[:3] = np.eye(3)
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    jitter = rng.random(300, dtype=np.float32)
    starts, t, dt = core.march(origins, directions, jitter)
    o, d, cells, first = (torch.from_numpy(values) for values in (origins, directions, on, jitter))
    wanted = march(o, d, cells, sampling, first)
    assert len(t) > 1000 * share
    assert np.array_equal(starts, wanted.starts.numpy())
    assert np.array_equal(t, wanted.t.numpy())
    assert np.array_equal(dt, wanted.dt.numpy())


@pytest.mark.parametrize(
    "distortion", [(), (0.06, -0.08, -0.001, 0.0002), (-0.2, 0.05, 0.001, 0, 0.01, 0.1, 0, 0)]
)
def test_rays_of_a_distorted_camera(distortion: tuple[float, ...]):
    pose = np.eye(4)
    angle = math.radians(30)
    pose[:3, :3] = [[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]]
    pose[:3, 3] = 0.2, 0.7, 1.4
    camera = RayCamera(270, 480, 344.0, 343.5, 138.3, 241.0, pose, distortion)
    pixels = np.random.default_rng(0).random((50, 2), dtype=np.float32) * [270, 480]
    origins, directions = backend(ISAS[0])[0].rays(camera, pixels.astype(np.float32))
    wanted = camera_rays(camera, pixels.astype(np.float32).astype(np.float64))
    assert np.array_equal(origins, wanted.origins.numpy())
    assert np.abs(directions - wanted.directions.numpy()).max() < 1e-7


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_an_occupancy_update_is_that_of_the_reference(share: float):
    sampling = SamplingOptions(occupancy_resolution=32, update_all_until=0, update_share=share, threshold=1)
    core, reference = backend(ISAS[0], sampling=sampling)
    rng = np.random.default_rng(0)
    before = Occupancy(
        torch.from_numpy(rng.random(32**3, dtype=np.float32) * 0.01),
        torch.from_numpy(rng.random(32**3) < 0.6),
        torch.from_numpy(rng.random(32**3) < 0.5),
    )
    state = core.state()
    state |= {f"occupancy.{key}": getattr(before, key).numpy() for key in ("value", "allowed", "occupied")}
    core.load_state(state)
    core.update_occupancy()
    after = core.state()
    wanted = updated(before, lambda points: reference.density(points)[0], sampling, 0, 0)
    assert np.abs(after["occupancy.value"] - wanted.value.numpy()).max() < 1e-6
    assert (after["occupancy.occupied"] != wanted.occupied.numpy()).mean() < 1e-3
    assert 0.01 < after["occupancy.occupied"].mean() < 0.6


def test_refusals_are_one_line():
    core, _ = backend(ISAS[0])
    starts, origins, directions, t, dt, targets, backgrounds = rays([4, 5])
    bad = [
        (starts, origins[:1], directions, t, dt, targets, backgrounds),
        (starts, origins, directions, t[:-1], dt, targets, backgrounds),
        (starts[::-1].copy(), origins, directions, t, dt, targets, backgrounds),
        (starts, origins, directions, t.astype(np.float64), dt, targets, backgrounds),
        (starts, np.repeat(origins, 2, 1)[:, ::2], directions, t, dt, targets, backgrounds),
        (starts.astype(np.int32), origins, directions, t, dt, targets, backgrounds),
    ]
    for given in bad:
        with pytest.raises(BadInput) as refusal:
            core.evaluate(*given)
        assert "\n" not in str(refusal.value)
    with pytest.raises(BadInput, match="points have shape"):
        core.density(np.zeros((3, 2), np.float32))
    with pytest.raises(BadInput, match="kernels 'sse9' do not run here"):
        backend("sse9")
