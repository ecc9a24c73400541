"""The compiled core in bf16: its arithmetic against PyTorch's roundings, its distance from fp32, training.

Where there is AVX-512-BF16 its instructions are tested, and what imitates them everywhere: the same bits.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from ball_views import DENSITY, OPTIMISER, SAMPLING, SDF, WHITE, ball_views

from nerfrecon.backends import choose as choose_module
from nerfrecon.backends.base import Pace
from nerfrecon.backends.choose import choose
from nerfrecon.backends.torch import TorchBackend
from nerfrecon.config import NerfreconConfig
from nerfrecon.evaluate import over, psnr
from nerfrecon.fields.density import DensityField, exp_clamped
from nerfrecon.ops.view_basis import view_basis
from nerfrecon.options import (
    DensityFieldOptions,
    GridOptions,
    LossOptions,
    OptimiserOptions,
    Precision,
    SamplingOptions,
    TrainOptions,
)
from nerfrecon.render.losses import colour_loss
from nerfrecon.render.march import Samples
from nerfrecon.render.volume import see
from suite.errors import BackendUnavailable, BadInput

native = pytest.importorskip("nerfrecon.native._native", reason="the native core is not built")
from nerfrecon.backends.native import NativeBackend, has_bf16  # noqa: E402

ISAS = native.runnable(bf16=True)
FIELD = DensityFieldOptions(grid=GridOptions(log2_table=14))
SMALLEST = 2.0**-126
COUNTS = {
    "one sample": [1],
    "7 rays, long and empty": [0, 1, 300, 64, 65, 3, 0],
    "many units": [(37 * i) % 90 for i in range(150)],
}


def rounded(values: torch.Tensor) -> torch.Tensor:
    """To the nearest bf16 number by PyTorch, still as fp32; what is below 2^-126 is 0."""
    near = values.to(torch.bfloat16).float()
    return torch.where(values.abs() < SMALLEST, torch.zeros_like(near), near)


class Product(torch.autograd.Function):
    """x w^T of rounded numbers, and both gradients from a rounded derivative; sums in double precision."""

    @staticmethod
    def forward(ctx, x, w):  # type: ignore[override]
        ctx.save_for_backward(rounded(x), rounded(w))
        return (rounded(x).double() @ rounded(w).double().T).float()

    @staticmethod
    def backward(ctx, d):  # type: ignore[override]
        x, w = (one.double() for one in ctx.saved_tensors)
        d = rounded(d).double()
        return (d @ w).float(), (d.T @ x).float()


def product(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return Product.apply(x, w)  # type: ignore[return-value]


class RoundedField(DensityField):
    """The density field with every product in bf16; what a direction adds is one product a ray."""

    def density(self, points):
        first, second = self.density_mlp.parameters()
        features = product(torch.relu(product(self.grid(points), first)), second)
        return exp_clamped(features[:, 0]), features

    def colour(self, features, directions):
        first, second, third = self.colour_mlp.parameters()
        rays, of = torch.unique(directions, dim=0, return_inverse=True)
        by_view = product(view_basis(rays), first[:, 16:])
        hidden = torch.relu(by_view[of] + product(features, first[:, :16]))
        return torch.sigmoid(product(torch.relu(product(hidden, second)), third))


def core_of(
    isa: str | None = None, precision: Precision = "bf16", field=FIELD, seed: int = 5, **more
) -> NativeBackend:
    """A core whose parameters are so large that everything matters."""
    parts = SamplingOptions(occupancy_resolution=32), LossOptions(), OptimiserOptions()
    core = NativeBackend(field, *parts, isa=isa, precision=precision, **{"threads": 1, **more})
    state = core.state()
    table = np.random.default_rng(seed).normal(0, 0.3, state["grid.table"].shape).astype(np.float32)
    core.load_state(state | {"grid.table": table, "density_mlp.1": state["density_mlp.1"] * np.float32(2)})
    return core


def reference_of(core: NativeBackend, kind: type[DensityField], field=FIELD) -> DensityField:
    made = kind(field)
    state = core.state()
    made.load_state_dict({name: torch.from_numpy(state[name]) for name in made.state_dict()})
    return made


def rays(counts: list[int]):
    """Rays with so many samples each: starts, origins, directions, t, dt, targets, backgrounds."""
    rng = np.random.default_rng(0)
    n = len(counts)
    directions = rng.normal(size=(n, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    t = np.concatenate([np.sort(rng.random(k) * 0.4) for k in counts]).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    origins = (rng.random((n, 3)) * 0.2 + 0.4).astype(np.float32)
    colours = rng.random((2, n, 3), dtype=np.float32)
    return starts, origins, directions.astype(np.float32), t, np.full(len(t), 0.05, np.float32), *colours


def seen_by(field: DensityField, given):
    """Loss, colours and gradients in PyTorch."""
    starts, origins, directions, t, dt, targets, backgrounds = map(torch.from_numpy, given)
    ray = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
    points = (origins[ray] + t[:, None] * directions[ray]).clamp(0, 1)
    samples = Samples(points, t, dt, ray, torch.zeros(len(t), dtype=torch.bool), starts)
    seen = see(field, samples, directions, backgrounds, 1e-4)
    loss = colour_loss(LossOptions().colour, seen.colour, targets)
    loss.backward()
    gradients = {name: p.grad.numpy() for name, p in field.named_parameters() if p.grad is not None}
    return float(loss.detach()), seen.colour.detach().numpy(), gradients


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-20))


def summed_in_pairs(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """x w, the odd one of each two first, rounded to fp32 after every product (itself exact in fp32)."""
    total = np.zeros((len(x), w.shape[1]), np.float32)
    for k in range(0, x.shape[1], 2):
        for i in (k + 1, k):
            if i < x.shape[1]:
                total = total + x[:, i, None] * w[i]
    return total


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("n", [1, 2, 7, 63, 64, 65, 131])
def test_products_are_exactly_those_that_are_stated(isa: str, n: int):
    core, rng = core_of(isa), np.random.default_rng(n)
    w = rng.normal(size=(64, 64)).astype(np.float32)
    x, d = rng.normal(size=(2, n, 64)).astype(np.float32)
    x[0, :4] = [1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1 - 2**-9]  # ties
    x[0, 4:8] = [1e-40, -1e-40, 3e30, 0]
    core.load_state(core.state() | {"colour_mlp.1": w})
    y, d_x, d_w = core._core.layer(x, d)
    x, d, w = (rounded(torch.from_numpy(values)).numpy() for values in (x, d, w))
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.array_equal(y, summed_in_pairs(x, np.ascontiguousarray(w.T)), equal_nan=True)
        assert np.array_equal(d_x, summed_in_pairs(d, w), equal_nan=True)
        assert np.array_equal(d_w, summed_in_pairs(np.ascontiguousarray(d.T), x), equal_nan=True)


@pytest.mark.parametrize("isa", ISAS)
def test_what_is_not_a_number_stays_so(isa: str):
    core, x, d = core_of(isa), np.ones((9, 64), np.float32), np.ones((9, 64), np.float32)
    x[2, 3] = np.frombuffer(np.uint32(0x7F800001).tobytes(), np.float32)[0]  # bits that rounding would drop
    d[5, 60] = np.inf
    y, d_x, d_w = core._core.layer(x, d)
    assert np.array_equal(np.isnan(y).any(1), np.arange(9) == 2)
    assert np.array_equal(~np.isfinite(d_x).any(1), np.arange(9) == 5)
    assert np.isnan(d_w[:, 3]).all() and np.isinf(d_w[60, :3]).all() and np.isfinite(d_w[:60, 4:]).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS.keys())
def test_values_and_gradients_are_those_of_rounded_products(isa: str, counts: list[int]):
    """Sums that differ in the last bit of fp32 may be rounded to the next bf16 number: hence the bounds."""
    core, given = core_of(isa), rays(counts)
    found = core.evaluate(*given)
    loss, colours, gradients = seen_by(reference_of(core, RoundedField), given)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert np.abs(found.rgb - colours).max() < 1e-4
    for name, gradient in gradients.items():
        assert relative(found.gradients[name], gradient) < 1e-3, name


@pytest.mark.parametrize("isa", ISAS)
def test_fp32_is_near(isa: str):
    """Density within 1 %, colours within 0.002, gradients within 6 % of the reference's, but not the same."""
    core, given = core_of(isa), rays([(37 * i) % 90 for i in range(150)])
    exact = reference_of(core, DensityField)
    points = np.random.default_rng(1).random((500, 3), dtype=np.float32)
    density = exact.density(torch.from_numpy(points))[0].detach().numpy()
    assert 1e-4 < np.abs(core.density(points) / density - 1).max() < 0.01
    found = core.evaluate(*given)
    loss, colours, gradients = seen_by(exact, given)
    assert found.loss == pytest.approx(loss, rel=1e-4)
    assert 1e-5 < np.abs(found.rgb - colours).max() < 0.002
    for name, gradient in gradients.items():
        assert 1e-4 < relative(found.gradients[name], gradient) < 0.06, name


@pytest.mark.parametrize("levels,active", [(16, 5), (13, 13), (1, 1)])
def test_levels_that_are_off_or_not_there(levels: int, active: int):
    field = DensityFieldOptions(grid=GridOptions(levels=levels, log2_table=12))
    core, given = core_of(field=field), rays([20, 3, 50])
    core._core.set_active(active)
    rounded_field = reference_of(core, RoundedField, field)
    rounded_field.grid.active = active
    found = core.evaluate(*given)
    for name, gradient in seen_by(rounded_field, given)[2].items():
        assert relative(found.gradients[name], gradient) < 1e-3, name


def trained(
    steps: int, precision: Precision = "bf16", threads: int = 1, isa: str | None = None
) -> NativeBackend:
    parts = SAMPLING, LossOptions(), OPTIMISER, ball_views()
    made = NativeBackend(DENSITY, *parts, threads=threads, precision=precision, isa=isa)
    made.pace = Pace(1e-2, 5e-3, 5, 4096)
    made.steps(steps)
    return made


def judged(backend: NativeBackend | TorchBackend) -> float:
    """PSNR over white of views between the training views, in dB."""
    views = ball_views(6, 0.5)
    return float(
        np.mean([psnr(backend.render(v.camera, WHITE).rgb, over(v.pixels, 1.0)) for v in views]),
    )


def test_training_reaches_what_fp32_reaches():
    bf16, fp32 = judged(trained(250)), judged(trained(250, "fp32"))
    assert fp32 > 20 and bf16 > fp32 - 0.5


def test_any_count_of_threads_gives_the_same_bytes():
    states = [trained(20, threads=threads).state() for threads in (1, 2, 3)]
    for other in states[1:]:
        assert all(np.array_equal(states[0][key], other[key]) for key in states[0])


def test_going_on_from_a_state_is_exact():
    through, first = trained(19), trained(11)
    second = trained(0)
    second.load_state(first.state())
    second.steps(8)
    ends = through.state(), second.state()
    assert all(np.array_equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_states_go_from_any_precision_to_any_other():
    half = trained(120)
    state = half.state()
    assert all(values.dtype != np.uint16 for values in state.values())
    exact = trained(0, "fp32")
    reference = TorchBackend(DENSITY, SAMPLING, LossOptions(), OPTIMISER, ball_views())
    for other in (exact, reference):
        other.load_state(state)
        assert judged(other) == pytest.approx(judged(half), abs=0.2)
    exact.steps(30)
    back = trained(0)
    back.load_state(exact.state())
    assert judged(back) == pytest.approx(judged(exact), abs=0.2)
    back.steps(5)
    assert np.isfinite(back.state()["density_mlp.0"]).all()


def test_a_step_that_is_not_finite_is_refused():
    backend = trained(5)
    state = backend.state()
    state["colour_mlp.1"][3, 4] = np.nan
    backend.load_state(state)
    report = backend.steps(1)
    assert report.steps == 0 and report.steps_refused == 1
    assert np.array_equal(backend.state()["grid.table"], state["grid.table"])


def test_names_say_what_is_computed():
    fast = has_bf16(native)
    assert core_of(isa="portable").name == "native bf16 emulated (portable)"
    assert core_of().name == ("native bf16 (avx512bf16)" if fast else f"native bf16 emulated ({ISAS[0]})")
    assert core_of(precision="auto").name.startswith("native bf16 (" if fast else "native fp32 (")
    assert core_of(precision="fp32").name.startswith("native fp32 (")
    assert "avx512bf16" not in native.runnable()
    with pytest.raises(BadInput, match="kernels 'avx512bf16' do not run here"):
        core_of("avx512bf16", "fp32")


def test_bf16_is_for_the_density_field_of_the_native_core(monkeypatch: pytest.MonkeyPatch):
    def config(backend: str, precision: str, **more) -> NerfreconConfig:
        train = TrainOptions.model_validate({"backend": backend, "precision": precision})
        return NerfreconConfig(**{"field": DENSITY, **more, "train": train})

    monkeypatch.setattr(choose_module, "TcnnBackend", None)  # nothing asks for a GPU here
    assert choose(config("auto", "bf16")).backend.name.startswith("native bf16")
    for asked, why in (
        (config("native", "bf16", field=SDF), "it has no bf16 for a signed distance"),
        (config("torch", "bf16", device="cpu"), "it computes in fp32"),
        (config("tcnn", "bf16"), "it computes in fp16"),
    ):
        with pytest.raises(BackendUnavailable, match=re.escape(why)):
            choose(asked)
    assert choose(config("native", "auto", field=SDF)).backend.name.startswith("native fp32")
