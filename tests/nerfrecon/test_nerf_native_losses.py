"""Every loss of the compiled core against the readable step: the same rays, values and gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nerfrecon.backends.base import Pace, RayCamera, TrainingView
from nerfrecon.backends.choose import choose
from nerfrecon.backends.torch import TorchBackend
from nerfrecon.config import NerfreconConfig
from nerfrecon.options import (
    DensityFieldOptions,
    GridOptions,
    LossOptions,
    OptimiserOptions,
    SamplingOptions,
    SdfFieldOptions,
    TrainOptions,
)
from nerfrecon.training.depths import ViewDepths
from suite.errors import BackendUnavailable, BadInput

pytest.importorskip("nerfrecon.native._native", reason="the native core is not built")
from nerfrecon.backends.native import NativeBackend

FIELD = DensityFieldOptions(grid=GridOptions(levels=8, log2_table=12, finest_resolution=128))
SAMPLING = SamplingOptions(occupancy_resolution=32, step=3**0.5 / 128)
OPTIMISER = OptimiserOptions(clip=0)
SIZE = 20
RNG = np.random.default_rng(2)


def view(angle: float) -> TrainingView:
    """Noise, half of it transparent, a tenth unusable, from a circle around the cube's middle."""
    c, s = math.cos(angle), math.sin(angle)
    pose = np.eye(4)
    pose[:3, :3] = [[c, 0, -s], [0, 1, 0], [s, 0, c]]
    pose[:3, 3] = 0.5 - 1.3 * pose[:3, 2]
    camera = RayCamera(SIZE, SIZE, 22.0, 22.0, 9.5, 9.5, pose, (0.05, -0.02, 0.001, 0.0))
    pixels = RNG.integers(0, 256, (SIZE, SIZE, 4)).astype(np.uint8)
    pixels[..., 3] = np.where(RNG.random((SIZE, SIZE)) < 0.5, 0, pixels[..., 3])
    return TrainingView(camera, pixels, RNG.random((SIZE, SIZE)) < 0.9)


VIEWS = [view(angle) for angle in (0, 1.5, 3, 4.5)]


def depths(maps: bool, points: bool) -> list[ViewDepths]:
    """Maps of the second and third view with holes; points of all but the first, with trusts."""
    found = []
    for number in range(len(VIEWS)):
        depth = None
        if maps and number in (1, 2):
            depth = RNG.uniform(0.8, 1.8, (SIZE, SIZE)).astype(np.float32)
            depth[RNG.random((SIZE, SIZE)) < 0.3] = np.nan
        n = 9 if points and number else 0
        found.append(ViewDepths(depth, RNG.uniform(0, 19, (n, 2)), RNG.uniform(0.8, 1.8, n), RNG.random(n)))
    return found


def both(losses: LossOptions, exposure: bool = False) -> tuple[NativeBackend, TorchBackend]:
    """Both backends with the same parameters, large enough that rays are partly opaque."""
    native = NativeBackend(FIELD, SAMPLING, losses, OPTIMISER, VIEWS, threads=2, exposure=exposure)
    torch_ = TorchBackend(FIELD, SAMPLING, losses, OPTIMISER, VIEWS, exposure=exposure)
    state = native.state()
    rng = np.random.default_rng(5)
    state["grid.table"] = rng.normal(0, 0.3, state["grid.table"].shape).astype(np.float32)
    state["density_mlp.1"] *= 2
    if exposure:
        state["exposure.log_gain"] = rng.normal(0, 0.3, (len(VIEWS), 3)).astype(np.float32)
    for backend in (native, torch_):
        backend.load_state(state)
        backend.pace = Pace(1e-2, 1e-2, 8, 8192)
    return native, torch_


def assert_same_step(native: NativeBackend, torch_: TorchBackend) -> None:
    """Adam's first moments after one step are the gradients, times 1 - beta1."""
    reports = native.steps(1), torch_.steps(1)
    assert reports[0].loss == pytest.approx(reports[1].loss, rel=1e-5)
    for key in ("rays", "samples_marched", "samples_kept"):
        assert getattr(reports[0], key) == getattr(reports[1], key), key
    states = native.state(), torch_.state()
    assert set(states[0]) == set(states[1])
    moments = [name for name in states[0] if name.startswith("adam.m.")]
    for name in moments:
        ours, wanted = states[0][name], states[1][name]
        assert np.linalg.norm(wanted) > 0, name
        assert np.linalg.norm(ours - wanted) / np.linalg.norm(wanted) < 3e-5, name
    assert states[0]["running"] == pytest.approx(states[1]["running"])


LOSSES = {
    "mask and opacity": LossOptions(mask=0.3, opacity=0.1),
    "distortion": LossOptions(distortion=0.5),
    "all but depth": LossOptions(mask=0.3, opacity=0.1, distortion=0.5, background="white"),
}


@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES.keys())
def test_what_is_said_of_a_ray(losses: LossOptions):
    assert_same_step(*both(losses))


@pytest.mark.parametrize("maps,points", [(True, False), (False, True), (True, True)])
def test_depth(maps: bool, points: bool):
    backends = both(LossOptions(depth=0.7, distortion=0.1))
    known = depths(maps, points)
    for backend in backends:
        backend.set_depths(known)
    assert_same_step(*backends)


def test_distortion_alone_moves_the_gradient_by_what_it_says():
    """The term is linear in its weight: gradients of weights 0, 1 and 2 lie on a line, and it is not flat."""
    found = []
    for weight in (0.0, 1.0, 2.0):
        native, _ = both(LossOptions(distortion=weight))
        native.steps(1)
        found.append(native.state()["adam.m.density_mlp.0"].astype(np.float64))
    first, second = found[1] - found[0], found[2] - found[1]
    assert np.linalg.norm(first) > 0.01 * np.linalg.norm(found[0])
    assert np.linalg.norm(second - first) < 1e-3 * np.linalg.norm(first)


def test_exposure():
    native, torch_ = both(LossOptions(), exposure=True)
    assert_same_step(native, torch_)
    gains = native.state()["exposure.log_gain"]
    assert gains.shape == (4, 3)
    assert np.abs(gains - torch_.state()["exposure.log_gain"]).max() < 1e-4


def test_exposure_goes_on_exactly_and_for_any_count_of_threads():
    ends = []
    for threads, stop in ((1, 9), (2, 4)):
        options = FIELD, SAMPLING, LossOptions(), OPTIMISER, VIEWS
        first = NativeBackend(*options, threads=threads, exposure=True)
        first.pace = Pace(1e-2, 1e-2, 8, 4096)
        first.steps(stop)
        second = NativeBackend(*options, threads=threads, exposure=True)
        second.load_state(first.state())
        second.pace = first.pace
        second.steps(9 - stop)
        ends.append(second.state())
    assert np.abs(ends[0]["exposure.log_gain"]).max() > 0.01
    assert all(np.array_equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_gains_of_other_views_and_depths_of_other_views_are_refused():
    native, _ = both(LossOptions(depth=1.0), exposure=True)
    state = native.state()
    with pytest.raises(BadInput, match="of 3 views, not 4"):
        native.load_state(state | {"exposure.log_gain": np.zeros((3, 3), np.float32)})
    with pytest.raises(BadInput, match="depths of another number of views"):
        native.set_depths(depths(True, True)[:3])
    wrong = depths(True, False)
    wrong[1] = replace(wrong[1], map=np.ones((3, 3), np.float32))
    with pytest.raises(BadInput, match="a depth map has another size than its picture"):
        native.set_depths(wrong)


def test_what_native_lacks_is_refused_by_name_and_auto_takes_another_saying_so():
    sdf = SdfFieldOptions(grid=GridOptions(log2_table=10))
    for losses, train, cause in (
        (LossOptions(distortion=0.1), TrainOptions(), "no distortion loss for a signed distance"),
        (LossOptions(), TrainOptions(exposure=True), "does not fit exposures of a signed distance"),
        (LossOptions(), TrainOptions(poses=True), "does not refine poses"),
    ):
        config = NerfreconConfig(field=sdf, losses=losses, train=train)
        named = config.model_copy(update={"train": train.model_copy(update={"backend": "native"})})
        with pytest.raises(BackendUnavailable, match=cause) as refusal:
            choose(named)
        assert "\n" not in str(refusal.value)
        chosen = choose(config)
        assert isinstance(chosen.backend, TorchBackend) and cause in chosen.line
    all_of_it = LossOptions(distortion=0.1, depth=0.1, mask=0.1, opacity=0.1)
    config = NerfreconConfig(field=FIELD, losses=all_of_it, train=TrainOptions(exposure=True))
    assert isinstance(choose(config).backend, NativeBackend)
