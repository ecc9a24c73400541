"""The signed-distance field: differences, NeuS's sections, and a start from a density field."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nerfrecon.fields.from_density import TorchFit, distance_of, fit_distance, look_up
from nerfrecon.fields.schedule import scheduled_sharpness
from nerfrecon.fields.sdf import SdfField, section_thickness
from nerfrecon.ops.compositing import weigh
from nerfrecon.options import GridOptions, LearnedSharpness, ScheduledSharpness, SdfFieldOptions
from suite.errors import BadInput

TINY = GridOptions(levels=3, log2_table=8, coarsest_resolution=2, finest_resolution=8)
OPTIONS = SdfFieldOptions(grid=TINY, radius=0.3)


def points_of(count: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 0.6 + 0.2


def sections(f: torch.Tensor, s: float, joined: torch.Tensor | None = None) -> torch.Tensor:
    """Weights of one ray's samples."""
    starts = torch.tensor([0, len(f)])
    if joined is None:
        joined = torch.arange(len(f)) > 0
    return weigh(section_thickness(f, starts, joined, f.new_tensor(s)), starts).weight


def test_parameters_have_the_names_and_shapes_that_backends_exchange():
    field = SdfField(SdfFieldOptions())
    shapes = {name: tuple(value.shape) for name, value in field.state_dict().items()}
    assert shapes.pop("grid.table")[1] == 2
    assert shapes == {
        "sdf_mlp.0": (64, 36),
        "sdf_mlp.1": (16, 64),
        "colour_mlp.0": (64, 36),
        "colour_mlp.1": (64, 64),
        "colour_mlp.2": (3, 64),
        "sharpness": (),
        "centre": (3,),
        "radius": (1,),
    }
    assert not field.sharpness.requires_grad
    learned = SdfField(SdfFieldOptions(grid=TINY, sharpness=LearnedSharpness(first=80)))
    assert learned.sharpness.requires_grad
    assert learned.sharpness.exp().item() == pytest.approx(80)


def test_it_begins_as_its_sphere():
    field = SdfField(OPTIONS)
    points = points_of(100)
    f, _ = field.sdf(points)
    torch.testing.assert_close(f, (points - 0.5).norm(dim=1) - 0.3, atol=1e-6, rtol=0)
    near = field.differences(points, f, step=1e-3)
    outwards = torch.nn.functional.normalize(points - 0.5, dim=1)
    assert (near.normal * outwards).sum(1).min() > 0.99
    torch.testing.assert_close(near.gradient.norm(dim=1), torch.ones(100), atol=1e-2, rtol=0)


def test_differences_of_a_quadratic_function():
    # f = p A p / 2: the Laplacian is exact; a corner's three signs multiply to 1, so that the gradient along
    # an axis is off by the step times the mixed derivative of the other two.
    A = torch.tensor([[1.0, 0.3, -0.2], [0.3, 4, 0.5], [-0.2, 0.5, 9]]).double()

    class Quadratic(SdfField):
        def sdf(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return ((points - 0.5) @ A * (points - 0.5)).sum(1) / 2, torch.zeros(len(points), 16)

    field = Quadratic(OPTIONS).double()
    points, h = points_of(20).double(), 0.01
    near = field.differences(points, field.sdf(points)[0], step=h)
    torch.testing.assert_close(near.laplacian, torch.full((20,), 14.0).double())
    off = h * torch.stack([A[1, 2], A[0, 2], A[0, 1]])
    torch.testing.assert_close(near.gradient, (points - 0.5) @ A + off)


def test_the_step_follows_the_active_levels():
    field = SdfField(SdfFieldOptions(grid=GridOptions(log2_table=10)))
    assert field.grid.step == 1 / 2048
    field.grid.active = 6
    assert field.grid.step == 1 / 81


def test_a_plane_is_seen_where_it_is():
    # NeuS, section 3.1: the weight is greatest at the surface (unbiased), whatever the sharpness and slant.
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    middle = (t[1:] + t[:-1]) / 2
    for s in (20.0, 60.0, 400.0):
        for slope in (1.0, 0.5):
            weight = sections(slope * (0.6 - t), s)
            # Section i reaches from sample i to the next; the first has what lies before as well.
            assert abs(float(middle[weight[1:-1].argmax() + 1]) - 0.6) < 1e-3
            if s * slope >= 60:
                assert float((weight[:-1] * middle).sum() / weight.sum()) == pytest.approx(0.6, abs=2e-3)


def test_of_two_planes_the_nearer_is_seen():
    # A slab between 0.4 and 0.5, then a wall at 0.8 (NeuS, figure 2: occlusion-aware).
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    f = torch.minimum((t - 0.45).abs() - 0.05, 0.8 - t)
    weight = sections(f, 400.0)
    assert float(weight[(t > 0.35) & (t < 0.45)].sum()) > 0.99
    assert float(weight[t > 0.6].sum()) < 1e-6


def test_alpha_is_the_formula_of_the_paper():
    s, f = 30.0, torch.tensor([0.05, 0.02, -0.01, 0.03], dtype=torch.float64)
    phi = 1 / (1 + (-s * f).exp())
    starts, joined = torch.tensor([0, 4]), torch.arange(4) > 0
    alpha = -torch.expm1(-section_thickness(f, starts, joined, f.new_tensor(s)))
    entry = 1 - phi[0]
    assert float(alpha[0]) == pytest.approx(float(1 - (1 - entry) * phi[1] / phi[0]))
    assert float(alpha[1]) == pytest.approx(float((phi[1] - phi[2]) / phi[1]))
    assert alpha[2:].tolist() == [0, 0]  # leaving the surface, and behind the last sample


def test_there_is_no_section_across_a_gap_or_between_rays():
    f = torch.tensor([0.1, 0.05, -0.1, 0.2, -0.2], dtype=torch.float64)
    starts, s = torch.tensor([0, 3, 3, 5]), torch.tensor(50.0, dtype=torch.float64)
    whole = section_thickness(f, starts, torch.tensor([False, True, True, False, True]), s)
    gap = section_thickness(f, starts, torch.tensor([False, True, False, False, True]), s)
    assert whole[1] > 1 and gap[1] == 0
    assert gap[2] == whole[2] == 0
    torch.testing.assert_close(gap[[0, 3, 4]], whole[[0, 3, 4]])


def test_a_ray_that_begins_inside_sees_the_surface_at_once():
    weight = sections(torch.linspace(-0.1, -0.3, 5, dtype=torch.float64), 100.0)
    assert float(weight[0]) > 0.999


def test_far_from_a_sharp_surface_all_stays_finite():
    f = torch.tensor([1.0, -1, 1, -1], requires_grad=True)
    weight = sections(f, 1e5)
    weight.sum().backward()
    assert weight.isfinite().all() and f.grad is not None and f.grad.isfinite().all()


def test_derivatives_of_sections():
    starts, joined = torch.tensor([0, 3, 3, 6]), torch.tensor([False, True, True, False, False, True])
    f = torch.tensor([0.05, 0.01, -0.04, 0.02, -0.01, -0.05], dtype=torch.float64, requires_grad=True)
    s = torch.tensor(20.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, s: section_thickness(f, starts, joined, s), (f, s))


def test_derivatives_of_the_field():
    field = SdfField(OPTIONS).double()
    with torch.no_grad():
        field.grid.table.mul_(2e3)
        field.sdf_mlp.get_parameter("1")[0] = torch.linspace(-0.1, 0.1, 64)
    points = points_of(3).double().requires_grad_()
    directions = torch.nn.functional.normalize(points.detach() - 0.4, dim=1)

    def seen(points: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        f, features = field.sdf(points)
        near = field.differences(points, f, step=0.03)
        colour = field.colour(features, directions, near.normal)
        return torch.cat([f, colour.flatten(), near.gradient.flatten(), near.laplacian * 1e-2])

    parameters = [field.grid.table, *field.sdf_mlp.parameters(), *field.colour_mlp.parameters()]
    assert torch.autograd.gradcheck(seen, (points, *parameters), fast_mode=True, atol=1e-4)


def test_sharpness_grows_by_a_constant_factor():
    schedule = ScheduledSharpness(first=60, last=1500, share=0.9)
    values = [scheduled_sharpness(schedule, progress) for progress in (0, 0.3, 0.6, 0.9, 1)]
    assert values[0] == 60 and values[3] == values[4] == pytest.approx(1500)
    assert values[1] / values[0] == pytest.approx(values[2] / values[1]) == pytest.approx(25 ** (1 / 3))


def grid_of(resolution: int) -> np.ndarray:
    """Distance of cell centres (z, y, x) from the middle of the cube."""
    axis = (np.arange(resolution) + 0.5) / resolution - 0.5
    return np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)


def test_distances_of_a_ball():
    exact = grid_of(48) - 0.3
    found = distance_of(np.tanh(9 * exact).astype(np.float32))  # only where it is zero counts
    assert np.abs(found - exact).max() < 1 / 48
    near = np.abs(exact) < 3 / 48
    assert np.abs((found - exact)[near]).max() < 0.1 / 48


def test_what_is_shut_in_is_filled_and_what_is_open_is_not():
    r = grid_of(32)
    shell = np.abs(r - 0.3) - 0.05
    distance = distance_of(shell.astype(np.float32))
    assert (distance[r < 0.3] < 0).all() and (distance[r > 0.4] > 0).all()
    shell[:, :, 24:] = 1
    opened = distance_of(shell.astype(np.float32))
    assert (opened[r < 0.22] > 0).all() and (opened < 0).any()


@pytest.mark.parametrize(("filled", "word"), [(False, "empty"), (True, "filled")])
def test_a_density_without_a_surface_is_refused(filled: bool, word: str):
    with pytest.raises(BadInput, match=f"the density field is {word}"):
        distance_of(np.full((8, 8, 8), -1.0 if filled else 1.0, np.float32))


def test_values_between_cells_are_linear():
    axis = (torch.arange(8) + 0.5) / 8
    grid = axis[:, None, None] * 4 + axis[:, None] * 2 + axis  # z y x
    points = points_of(20) * 0.8 + 0.1
    torch.testing.assert_close(look_up(grid, points), points @ torch.tensor([1.0, 2.0, 4.0]))


def test_it_begins_as_an_opened_shell():
    # The shape that a start from a sphere closes: a cup, seen into.
    r = grid_of(48)
    x = ((np.arange(48) + 0.5) / 48)[None, None]
    distance = distance_of(np.maximum(np.abs(r - 0.26) - 0.06, x - 0.6).astype(np.float32))
    field = SdfField(
        SdfFieldOptions(
            grid=GridOptions(levels=6, log2_table=14, coarsest_resolution=8, finest_resolution=48)
        )
    )
    before = field.sdf(torch.tensor([[0.5, 0.5, 0.5]]))[0]
    assert before < -0.2  # closed, as any start from a sphere
    wrong = fit_distance(TorchFit(field), distance, steps=300)
    assert wrong < 1e-3
    points = torch.tensor(
        [[0.5, 0.5, 0.5], [0.4, 0.45, 0.5], [0.6, 0.5, 0.5], [0.7, 0.5, 0.5], [0.24, 0.5, 0.5]]
    )
    f = field.sdf(points)[0]
    assert (f[:4] > 0.03).all() and f[4] < -0.02
