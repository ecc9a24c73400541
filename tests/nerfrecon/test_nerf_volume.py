"""Fields seen along rays: walls, empty space, early ends, and a field that learns a picture."""

from __future__ import annotations

import pytest
import torch

from nerfrecon.fields.big_mlp import BigMlpField
from nerfrecon.fields.density import DensityField
from nerfrecon.fields.sdf import SdfField
from nerfrecon.options import (
    BigMlpFieldOptions,
    DensityFieldOptions,
    GridOptions,
    HuberOptions,
    SamplingOptions,
    SdfFieldOptions,
)
from nerfrecon.render.losses import colour_loss
from nerfrecon.render.march import Samples, march
from nerfrecon.render.occupancy import Occupancy, cells_along
from nerfrecon.render.volume import density_normals, drawn_for_normals, ends, render_rays, see, visible

OPTIONS = SamplingOptions(occupancy_resolution=32)
TINY = GridOptions(levels=3, log2_table=10, coarsest_resolution=4, finest_resolution=16)
EVERYWHERE = Occupancy.full(32).occupied
RED, GREY = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.3, 0.3, 0.3])


class Slab(DensityField):
    """Red, of one density between two depths along x, and green behind."""

    def __init__(self, low: float, high: float, density: float) -> None:
        super().__init__(DensityFieldOptions(grid=TINY))
        self.low, self.high, self.value = low, high, density

    def density(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = points[:, 0]
        features = torch.zeros(len(points), 16)
        features[:, 1] = (x > self.high).float()
        inside = ((x >= self.low) & (x < self.high)) | (x > 0.9)
        return inside * self.value, features

    def colour(self, features: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        return torch.where(features[:, 1:2] > 0, torch.tensor([0.0, 1.0, 0.0]), RED)


def along_x(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    yz = torch.rand(count, 2, generator=torch.Generator().manual_seed(0))
    origins = torch.cat([torch.full((count, 1), -1.0), yz], 1)
    return origins, torch.tensor([[1.0, 0, 0]]).repeat(count, 1)


def seen_of(field: DensityField | BigMlpField | SdfField, options: SamplingOptions = OPTIONS, count: int = 8):
    origins, directions = along_x(count)
    return render_rays(field, origins, directions, EVERYWHERE, options, GREY.expand(count, 3))


def test_an_opaque_wall_gives_its_colour_and_depth():
    seen = seen_of(Slab(0.4, 0.6, 1e5))
    torch.testing.assert_close(seen.colour, RED.expand(8, 3))
    torch.testing.assert_close(seen.opacity, torch.ones(8))
    assert (seen.depth - 1.4).abs().max() < OPTIONS.step
    # And nothing was asked of what is behind: one opaque sample a ray, and what is empty before it.
    assert (seen.samples.points[:, 0] < 0.4 + 2 * OPTIONS.step).all()


def test_empty_space_gives_the_background():
    seen = seen_of(Slab(2, 3, 0))
    assert torch.equal(seen.colour, GREY.expand(8, 3))
    assert not seen.opacity.any() and not seen.depth.any()
    # So does a grid without occupied cells, whatever the field.
    origins, directions = along_x(8)
    nothing = render_rays(Slab(0, 1, 1e5), origins, directions, ~EVERYWHERE, OPTIONS, GREY.expand(8, 3))
    assert torch.equal(nothing.colour, GREY.expand(8, 3)) and not nothing.opacity.any()


def test_thin_fog_is_what_the_formula_says():
    seen = seen_of(Slab(0.2, 0.5, 3.0))
    opacity = 1 - torch.exp(torch.tensor(-3.0 * 0.3))
    background = torch.tensor([0.0, 1.0, 0.0])  # the green wall at x = 0.9 has density 3 over 0.1
    wall = (1 - opacity) * (1 - torch.exp(torch.tensor(-0.3)))
    left = (1 - opacity) * torch.exp(torch.tensor(-0.3))
    wanted = opacity * RED + wall * background + left * GREY
    torch.testing.assert_close(seen.colour, wanted.expand(8, 3), atol=4e-3, rtol=0)


def test_smaller_steps_see_the_same():
    field = Slab(0.2, 0.5, 5.0)
    whole = seen_of(field)
    halves = seen_of(field, OPTIONS.model_copy(update={"step": OPTIONS.step / 2, "most_samples": 4096}))
    torch.testing.assert_close(whole.colour, halves.colour, atol=5e-3, rtol=0)
    torch.testing.assert_close(whole.depth, halves.depth, atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    "field",
    [
        DensityField(DensityFieldOptions(grid=TINY)),
        BigMlpField(BigMlpFieldOptions(layers=3, width=16, skip=1)),
        SdfField(SdfFieldOptions(grid=TINY, normal_weight=0)),
    ],
    ids=["density", "big_mlp", "sdf"],
)
def test_what_lies_behind_a_rays_end_changes_neither_colour_nor_gradient(field):
    origins, directions = along_x(6)
    background = GREY.expand(6, 3)
    samples = march(origins, directions, EVERYWHERE, OPTIONS, torch.zeros(6))
    stop = 0.5

    def gradients(part: Samples) -> tuple[torch.Tensor, list[torch.Tensor]]:
        seen = see(field, part, directions, background, stop)
        parameters = [parameter for parameter in field.parameters() if parameter.requires_grad]
        loss = (seen.colour * torch.linspace(0.5, 1.5, 3)).sum() + seen.depth.sum() + seen.opacity.sum()
        return seen.colour, list(torch.autograd.grad(loss, parameters))

    needed = visible(field, samples, stop)
    assert needed.float().mean() < 0.95
    colour, gradient = gradients(samples)
    few_colour, few_gradient = gradients(samples.subset(needed))
    torch.testing.assert_close(colour, few_colour)
    for whole, part in zip(gradient, few_gradient, strict=True):
        assert whole.any()
        torch.testing.assert_close(whole, part, rtol=1e-3, atol=1e-5 * float(whole.abs().max()))


def test_a_signed_distance_is_seen_at_its_surface_with_its_normal():
    field = SdfField(SdfFieldOptions(grid=TINY, radius=0.3, normal_weight=0))
    with torch.no_grad():
        field.sharpness.fill_(7.0)
    origins, directions = along_x(40)
    seen = render_rays(field, origins, directions, EVERYWHERE, OPTIONS, GREY.expand(40, 3))
    away = (origins[:, 1:] - 0.5).norm(dim=1)
    hit = away < 0.27
    surface = 1.5 - (0.09 - away[hit] ** 2).sqrt()
    assert (seen.depth[hit] - surface).abs().max() < 2e-3
    torch.testing.assert_close(seen.opacity[hit], torch.ones(int(hit.sum())), atol=1e-3, rtol=0)
    assert seen.opacity[away > 0.33].max() < 0.01
    assert seen.normal is not None
    wanted = (origins + surface.new_zeros(40, 1)).clone()[hit]
    wanted[:, 0] += surface
    wanted = torch.nn.functional.normalize(wanted - 0.5, dim=1)
    # The finite-difference step of this grid is 1/16: normals are those of a blurred ball.
    assert (torch.nn.functional.normalize(seen.normal[hit], dim=1) * wanted).sum(1).min() > 0.97


def test_normals_are_found_only_where_they_count():
    field = SdfField(SdfFieldOptions(grid=TINY, radius=0.3, normal_weight=2e-3))
    origins, directions = along_x(30)
    samples = march(origins, directions, EVERYWHERE, OPTIONS, torch.zeros(30))
    background = GREY.expand(30, 3)
    seen = see(field, samples, directions, background, 1e-4)
    assert seen.near_surface is not None
    counted = (seen.weights.weight >= 2e-3).sum()
    assert len(seen.near_surface.gradient) == counted < 0.5 * len(samples.t)
    drawn = drawn_for_normals(samples, seed=4, step=2, share=0.05)
    assert drawn.float().mean() == pytest.approx(0.05, abs=0.01)
    more = see(field, samples, directions, background, 1e-4, drawn)
    assert more.near_surface is not None
    wanted = (seen.weights.weight >= 2e-3) | (drawn & seen.weights.kept)
    assert len(more.near_surface.gradient) == wanted.sum() > counted
    # The same samples are drawn before and after those behind a ray's end are dropped.
    needed = visible(field, samples, 1e-4)
    assert torch.equal(drawn_for_normals(samples.subset(needed), 4, 2, 0.05), drawn[needed])
    # What is left out weighs little.
    all_ = see(
        SdfField(field.options.model_copy(update={"normal_weight": 0})), samples, directions, background
    )
    assert (seen.colour - all_.colour).abs().max() < 0.1


def test_cells_that_no_ray_reaches_are_those_behind_the_wall():
    origins, directions = along_x(400)
    seen = render_rays(Slab(0.4, 0.6, 1e5), origins, directions, EVERYWHERE, OPTIONS, GREY.expand(400, 3))
    length = ends(seen, OPTIONS.stop)
    assert (length - 1.4).abs().max() < 3 * OPTIONS.step
    x = torch.arange(32**3) % 32
    reached = cells_along(origins, directions, length, 32)
    assert not reached[x >= 14].any() and reached[x < 12].float().mean() > 0.2
    through = render_rays(Slab(0, 1, 0.1), origins, directions, EVERYWHERE, OPTIONS, GREY.expand(400, 3))
    assert torch.isinf(ends(through, OPTIONS.stop)).all()


def test_normals_of_a_density_point_to_where_it_falls():
    class Ball(DensityField):
        def density(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return (-(points - 0.5).square().sum(1) * 9).exp(), torch.zeros(len(points), 16)

    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    wanted = torch.nn.functional.normalize(points - 0.5, dim=1)
    torch.testing.assert_close(density_normals(Ball(DensityFieldOptions(grid=TINY)), points), wanted)


@pytest.mark.parametrize("kind", ["density", "sdf"])
def test_a_field_learns_a_coloured_ball(kind: str):
    grid = GridOptions(levels=6, log2_table=12, coarsest_resolution=4, finest_resolution=32)
    field: DensityField | SdfField
    field = DensityField(DensityFieldOptions(grid=grid))
    if kind == "sdf":
        field = SdfField(SdfFieldOptions(grid=grid, radius=0.4, normal_share=0))
    options = OPTIONS.model_copy(update={"step": 1 / 48})
    parameters = [parameter for parameter in field.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=1e-2, eps=1e-15)

    def loss_of(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        origins = torch.nn.functional.normalize(torch.randn(100, 3, generator=generator), dim=1) * 1.2 + 0.5
        targets = 0.2 + 0.6 * torch.rand(100, 3, generator=generator)
        directions = torch.nn.functional.normalize(targets - origins, dim=1)
        # The ball of radius 0.25: coloured by where it is hit, white around.
        along = ((0.5 - origins) * directions).sum(1)
        nearest = origins + along[:, None] * directions - 0.5
        depth = (0.0625 - nearest.square().sum(1)).clamp(min=0).sqrt()
        hit = depth > 0
        where = origins + (along - depth)[:, None] * directions
        wanted = torch.where(hit[:, None], where, 1.0)
        seen = render_rays(field, origins, directions, EVERYWHERE, options, torch.ones(100, 3))
        return colour_loss(HuberOptions(), seen.colour, wanted)

    before = loss_of(999).item()
    for step in range(30):
        loss = loss_of(step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss_of(999).item() < before / 3
