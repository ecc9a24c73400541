"""Occupied space: updates, carving by masks and points, and what rays can reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nerfrecon.backends.base import RayCamera
from nerfrecon.options import SamplingOptions
from nerfrecon.render.march import cell_number
from nerfrecon.render.occupancy import (
    Occupancy,
    cells_along,
    corners,
    grown,
    near_points,
    updated,
    updated_by_sdf,
    within_masks,
)
from nerfrecon.render.rays import camera_rays, pixel_grid
from suite.errors import BadInput

R = 32
OPTIONS = SamplingOptions(occupancy_resolution=32)


def centres() -> torch.Tensor:
    return (corners(torch.arange(R**3), R) + 0.5) / R


def ball(points: torch.Tensor, radius: float = 0.2) -> torch.Tensor:
    return (points - 0.5).norm(dim=1) - radius


def looking_at_the_middle(angle: float, lens: tuple[float, ...] = ()) -> RayCamera:
    """A camera at distance 1.5 that turns about the vertical."""
    forward = np.array([-np.cos(angle), 0, -np.sin(angle)])
    down = np.array([0, 1.0, 0])
    T = np.eye(4)
    T[:3, :3] = np.stack([np.cross(down, forward), down, forward], 1)
    T[:3, 3] = 0.5 - 1.5 * forward
    return RayCamera(80, 60, 60.0, 60.0, 39.5, 29.5, T, lens)


def test_cells_are_numbered_x_first_and_bits_from_the_low_end():
    assert cell_number(torch.tensor([[0.99, 0, 0], [0, 0.99, 0], [0, 0, 0.99]]), R).tolist() == [
        R - 1,
        (R - 1) * R,
        (R - 1) * R * R,
    ]
    assert torch.equal(cell_number(centres(), R), torch.arange(R**3))
    one = torch.zeros(R**3, dtype=torch.bool)
    one[8 * 100 + 3] = True
    packed = Occupancy(torch.zeros(R**3), one, one).packed()
    assert len(packed) == R**3 // 8 and packed[100] == 8 and packed.sum() == 8


def test_an_update_finds_what_is_dense():
    occupancy = updated(Occupancy.full(R), lambda p: (ball(p) < 0) * 500.0, OPTIONS, seed=1, step=16)
    distance, diagonal = ball(centres()), 3**0.5 / 2 / R
    assert occupancy.occupied[distance < -diagonal].all()
    assert not occupancy.occupied[distance > diagonal].any()
    assert occupancy.value.max() == pytest.approx(500 * OPTIONS.step)
    assert occupancy.share == pytest.approx(4 / 3 * np.pi * 0.2**3, rel=0.1)


def test_what_was_dense_fades():
    all_ = SamplingOptions(occupancy_resolution=32, update_all_until=1000)
    occupancy = updated(Occupancy.full(R), lambda p: (ball(p) < 0) * 500.0, OPTIONS, seed=1, step=16)
    before, steps = occupancy.value.max(), 0
    while occupancy.occupied.any():
        occupancy = updated(occupancy, lambda p: torch.zeros(len(p)), all_, seed=1, step=32)
        steps += 1
        assert occupancy.value.max() == pytest.approx(float(before) * 0.8**steps, rel=1e-4)
        if steps > 100:
            break
    # Values fall together, and the mean of all with them: cells of the ball stay above it.
    assert steps > 100 and occupancy.share < 0.05


def test_later_updates_look_more_at_what_is_occupied_and_over_time_at_all():
    occupancy = Occupancy.full(R)
    occupancy = occupancy._replace(occupied=ball(centres()) < 0.1)
    seen = torch.zeros(R**3, dtype=torch.bool)
    shares = []

    def count(points: torch.Tensor) -> torch.Tensor:
        cells = cell_number(points, R)
        seen[cells] = True
        shares.append(
            [(occupancy.occupied[cells] == on).sum() / (occupancy.occupied == on).sum() for on in (1, 0)]
        )
        return torch.ones(len(points))

    for step in range(512, 512 + 16 * 200, 16):
        updated(occupancy, count, OPTIONS, seed=3, step=step)
    assert np.mean(shares, 0) == pytest.approx([0.25, 0.0625], abs=0.01)
    assert seen.all()


def test_what_is_dense_decides_which_fog_counts():
    """A hundredth of the cells is a wall: the mean is far above fog, and the threshold rules."""

    def wall_in_fog(points: torch.Tensor) -> torch.Tensor:
        return torch.where(points[:, 0] < 1 / R, 1e4, 2.0)

    occupancy = updated(Occupancy.full(R), wall_in_fog, OPTIONS, seed=3, step=16)
    assert occupancy.share == pytest.approx(1 / R)
    only_fog = updated(Occupancy.full(R), lambda p: 2 + p[:, 0], OPTIONS, seed=3, step=16)
    assert 0.3 < only_fog.share < 0.7


def test_points_of_an_update_are_within_their_cells_and_new_each_time():
    found = []

    def keep(points: torch.Tensor) -> torch.Tensor:
        found.append(points)
        return torch.zeros(len(points))

    for step in (0, 16):
        updated(Occupancy.full(R), keep, OPTIONS, seed=3, step=step)
    assert torch.equal(cell_number(found[0], R), torch.arange(R**3))
    assert (found[0] - found[1]).abs().mean() * R == pytest.approx(1 / 3, abs=0.01)


def test_a_cell_that_is_not_allowed_stays_off():
    allowed = centres()[:, 0] < 0.5
    occupancy = Occupancy.full(R).restricted(allowed)
    occupancy = updated(occupancy, lambda p: torch.full((len(p),), 500.0), OPTIONS, seed=0, step=0)
    assert not occupancy.occupied[~allowed].any() and not occupancy.value[~allowed].any()
    with pytest.raises(BadInput, match="no cell of the scene's box is left"):
        occupancy.restricted(~allowed)


def test_a_signed_distance_keeps_the_cells_near_its_surface():
    occupancy = updated_by_sdf(Occupancy.full(R), ball, sharpness=1e9)
    distance = ball(centres()).abs()
    half = 3**0.5 / 2 / R
    assert occupancy.occupied[distance < half].all()  # any cell that the surface passes through
    inside_the_cube = ((centres() > 1 / R) & (centres() < 1 - 1 / R)).all(1)
    assert not occupancy.occupied[(distance > 1.3 * half) & inside_the_cube].any()
    blunt = updated_by_sdf(Occupancy.full(R), ball, sharpness=60)
    assert blunt.share > 1.5 * occupancy.share


def test_the_edge_of_the_hull_stays_where_the_field_outgrew_it():
    hull = ball(centres(), 0.3) < 0
    occupancy = updated_by_sdf(Occupancy.full(R).restricted(hull), lambda p: torch.full((len(p),), -0.5), 1e3)
    assert occupancy.occupied.any()
    assert not occupancy.occupied[ball(centres(), 0.3) < -3 / R].any()


@pytest.mark.parametrize("lens", [(), (-0.1, 0.02, 0.001, -0.001)], ids=["pinhole", "lens"])
def test_masks_carve_to_the_visual_hull(lens: tuple[float, ...]):
    cameras = [looking_at_the_middle(angle, lens) for angle in np.linspace(0, 2 * np.pi, 8, endpoint=False)]
    masks = []
    for camera in cameras:
        rays = camera_rays(camera, pixel_grid(camera))
        along = ((0.5 - rays.origins) * rays.directions).sum(1, keepdim=True)
        nearest = (rays.origins + along * rays.directions - 0.5).norm(dim=1)
        masks.append((nearest < 0.2).numpy().reshape(60, 80))
    kept = within_masks(cameras, masks, R)
    distance = ball(centres())
    assert kept[distance < 3**0.5 / 2 / R].all()  # never a cell that the object touches
    assert not kept[(distance > 0.09) & ((centres()[:, 1] - 0.5).abs() < 0.1)].any()
    assert 0.03 < kept.float().mean() < 0.12
    # One view alone leaves a cone; no view leaves all.
    assert within_masks(cameras[:1], masks[:1], R).sum() > 2 * kept.sum()
    assert within_masks([], [], R).all()


def test_an_empty_mask_gives_up_what_its_view_shows_and_nothing_else():
    camera = looking_at_the_middle(0.0)
    kept = within_masks([camera], [np.zeros((60, 80), bool)], R)
    assert not kept[ball(centres(), 0.2) < 0].any()
    behind = RayCamera(80, 60, 60.0, 60.0, 39.5, 29.5, np.diag([1.0, -1, -1, 1]))
    assert within_masks([behind], [np.zeros((60, 80), bool)], R).all()


def test_cells_near_points():
    points = torch.tensor([[0.5, 0.5, 0.5], [1.5, 0, 0]])
    assert near_points(points, R, reach=0).nonzero().tolist() == [[(16 * R + 16) * R + 16]]
    assert near_points(points, R, reach=2).sum() == 5**3
    corner = near_points(torch.zeros(1, 3), R, reach=1)
    assert corner.sum() == 2**3 and torch.equal(grown(near_points(torch.zeros(1, 3), R, 0)), corner)


def test_cells_along_a_ray_are_those_it_passes():
    o, d = torch.tensor([[-1.0, 0.51, 0.51]]), torch.tensor([[1.0, 0, 0]])
    row = cells_along(o, d, torch.tensor([torch.inf]), R).nonzero()[:, 0]
    assert row.tolist() == [(16 * R + 16) * R + x for x in range(R)]
    half = cells_along(o, d, torch.tensor([1.5]), R)
    assert half.sum() == R // 2
    assert not cells_along(o, -d, torch.tensor([torch.inf]), R).any()


def test_no_cell_along_a_slanted_ray_is_missed():
    generator = torch.Generator().manual_seed(0)
    o = torch.nn.functional.normalize(torch.randn(20, 3, generator=generator), dim=1) * 1.4 + 0.5
    d = torch.nn.functional.normalize(torch.rand(20, 3, generator=generator) - o, dim=1)
    reached = cells_along(o, d, torch.full((20,), 2.0), R)
    t = torch.linspace(0, 2, 40001)
    passed = torch.zeros(R**3, dtype=torch.bool)
    for ray in range(20):
        points = o[ray] + t[:, None] * d[ray]
        passed[cell_number(points[((points > 1e-5) & (points < 1 - 1e-5)).all(1)], R)] = True
    # Rounding decides a few cells that a ray only grazes.
    assert (passed & ~reached).sum() <= 2 and (reached & ~passed).sum() <= 0.02 * reached.sum()
