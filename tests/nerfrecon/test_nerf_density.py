"""The density field: first parameters, what it gives, derivatives, and that it can be taught."""

from __future__ import annotations

import numpy as np
import torch

from nerfrecon.fields.colours import LEAST_SLOPE, colours_of
from nerfrecon.fields.density import DensityField, exp_clamped
from nerfrecon.fields.init import first_parameters
from nerfrecon.fields.schedule import active_levels
from nerfrecon.options import DensityFieldOptions, GridOptions, LevelSchedule
from nerfrecon.render.random import Draw, uniform

TINY = GridOptions(levels=2, log2_table=8, coarsest_resolution=2, finest_resolution=8)
OPTIONS = DensityFieldOptions(grid=TINY)


def points_of(count: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed))


def directions_of(count: int) -> torch.Tensor:
    drawn = torch.randn(count, 3, generator=torch.Generator().manual_seed(2))
    return torch.nn.functional.normalize(drawn, dim=1)


def test_parameters_have_the_names_and_shapes_that_backends_exchange():
    field = DensityField(DensityFieldOptions())
    shapes = {name: tuple(value.shape) for name, value in field.state_dict().items()}
    assert shapes == {
        "grid.table": (6098120, 2),
        "density_mlp.0": (64, 32),
        "density_mlp.1": (16, 64),
        "colour_mlp.0": (64, 32),
        "colour_mlp.1": (64, 64),
        "colour_mlp.2": (3, 64),
    }
    assert all(value.dtype == torch.float32 for value in field.state_dict().values())


def test_first_parameters_are_those_of_the_recipe():
    first = first_parameters(OPTIONS, seed=7)
    field = DensityField(OPTIONS, seed=7)
    for name, value in field.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), first[name])
    table = first["grid.table"]
    assert table[2, 1] == (2 * uniform(7, 0, 5, Draw.INIT) - 1) * np.float32(1e-4)
    bound = np.sqrt(6 / (64 + 64))
    assert first["colour_mlp.1"][1, 3] == (2 * uniform(7, 4, 67, Draw.INIT) - 1) * np.float32(bound)
    for name, value in first.items():
        limit = 1e-4 if name == "grid.table" else np.sqrt(6 / sum(value.shape))
        assert 0.9 * limit < np.abs(value).max() <= limit * (1 + 1e-6)
    assert not np.array_equal(table, first_parameters(OPTIONS, seed=8)["grid.table"])


def test_values_are_in_their_ranges():
    field = DensityField(OPTIONS)
    density, features = field.density(points_of(50))
    colour = field.colour(features, directions_of(50))
    assert (density > 0).all() and features.shape == (50, 16)
    torch.testing.assert_close(density, features[:, 0].exp())
    assert ((colour > 0) & (colour < 1)).all()


def test_density_is_level_beyond_its_largest_and_has_no_gradient_there():
    logarithm = torch.tensor([14.9, 15.1, 1000.0], requires_grad=True)
    density = exp_clamped(logarithm)
    density.sum().backward()
    assert density[1] == density[2] == torch.tensor(15.0).exp()
    assert logarithm.grad is not None
    assert logarithm.grad.tolist()[1:] == [0, 0] and logarithm.grad[0] > 0


def test_derivatives():
    field = DensityField(OPTIONS).double()
    with torch.no_grad():  # out of the flat start, where most second terms vanish
        field.grid.table.mul_(5e3)
    points, directions = points_of(2).double().requires_grad_(), directions_of(2).double().requires_grad_()

    def seen(points: torch.Tensor, directions: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        density, features = field.density(points)
        return torch.cat([density, field.colour(features, directions).flatten()])

    assert torch.autograd.gradcheck(seen, (points, directions, *field.parameters()), fast_mode=True)


def test_levels_come_in_one_by_one():
    schedule = LevelSchedule(first=6, share=0.4)
    active = [active_levels(schedule, 16, progress) for progress in np.linspace(0, 1, 401)]
    assert active[0] == 6 and active[-1] == 16 and active[160] == 16 and active[159] == 15
    assert set(np.diff(active).tolist()) == {0, 1}
    assert active_levels(LevelSchedule(first=6, share=0), 16, 0) == 16
    assert active_levels(LevelSchedule(first=16), 4, 0) == 4


def test_it_learns_a_function():
    field = DensityField(DensityFieldOptions(grid=GridOptions(levels=6, log2_table=12, finest_resolution=64)))
    optimiser = torch.optim.Adam(field.parameters(), lr=1e-2, eps=1e-15)

    def error(points: torch.Tensor) -> torch.Tensor:
        density, features = field.density(points)
        colour = field.colour(features, directions_of(len(points)))
        inside = (points - 0.5).norm(dim=1) < 0.3
        return ((density.log() - torch.where(inside, 4.0, -4.0)) / 8).abs().mean() + (
            colour - points
        ).abs().mean()

    before = float(error(points_of(500, seed=99)).detach())
    for step in range(70):
        loss = error(points_of(300, seed=step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(error(points_of(500, seed=99)).detach()) < before / 3


def test_a_saturated_colour_can_come_back_but_is_not_driven_further():
    raw = torch.tensor([-30.0, -30.0, 30.0, 30.0, 0.5], requires_grad=True)
    found = colours_of(raw)
    assert torch.equal(found, torch.sigmoid(raw))
    wanted = torch.tensor([-1.0, 1.0, 1.0, -1.0, 1.0])  # brighter, darker, darker, brighter, darker
    (slope,) = torch.autograd.grad(found, raw, wanted)
    own = torch.sigmoid(raw) * (1 - torch.sigmoid(raw))
    assert slope[0] == -LEAST_SLOPE and slope[2] == LEAST_SLOPE
    assert torch.allclose(slope[[1, 3, 4]], (wanted * own)[[1, 3, 4]])
