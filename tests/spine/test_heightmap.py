"""Laws of the raster, of curvature on surfaces with known curvature, and of left-right asymmetry."""

from __future__ import annotations

import analytic_back
import numpy as np
import pytest

from spine.heightmap import (
    HeightMap,
    asymmetry_map,
    curvature_maps,
    mean_point_distance,
    posterior_layer,
    rasterize,
    smoothed,
)
from suite.errors import BadInput


def grid_of(function, half_mm: float = 100.0, step_mm: float = 2.0) -> HeightMap:
    axis = np.arange(-half_mm, half_mm + step_mm / 2, step_mm)
    x, y = np.meshgrid(axis, axis)
    return HeightMap(axis, axis, function(x, y), np.ones(x.shape, bool))


def scattered(function, n: int, half_mm: float = 100.0, seed: int = 0) -> np.ndarray:
    x, y = np.random.default_rng(seed).uniform(-half_mm, half_mm, (2, n))
    return np.stack([x, y, function(x, y)], axis=1)


def test_a_tilted_plane_comes_back():
    def plane(x, y):
        return 0.3 * x - 0.2 * y + 5

    height = rasterize(scattered(plane, 20_000))
    x, y = np.meshgrid(np.linspace(-90, 90, 37), np.linspace(-90, 90, 37))
    assert height.is_observed(x, y).all()
    assert np.abs(height.sample(x, y) - plane(x, y)).max() < 0.5
    assert np.sqrt(np.mean((height.sample(x, y) - plane(x, y)) ** 2)) < 0.12


def test_grid_nodes_lie_on_multiples_of_the_spacing():
    height = rasterize(scattered(lambda x, y: 0 * x, 3000), spacing_mm=2.5)
    assert height.spacing_mm == 2.5
    assert np.allclose(height.x_mm / 2.5, np.rint(height.x_mm / 2.5))


def test_a_hole_is_not_observed_and_is_filled_finitely():
    points = scattered(lambda x, y: 0.1 * x, 20_000)
    points = points[np.hypot(points[:, 0], points[:, 1]) > 25]
    height = rasterize(points)
    assert not height.is_observed(0.0, 0.0)
    assert height.is_observed(40.0, 0.0)
    assert not height.is_observed(500.0, 0.0)
    assert abs(height.sample(0.0, 0.0)) < 1.0


def test_rows_without_points_are_filled_from_their_neighbours():
    points = scattered(lambda x, y: y, 20_000)
    height = rasterize(points[np.abs(points[:, 1]) > 20])
    assert not height.is_observed(0.0, 0.0)
    assert height.sample(0.0, 0.0) == pytest.approx(0, abs=2)
    assert height.sample(0.0, 10.0) == pytest.approx(10, abs=4)


def test_beyond_the_sides_the_edge_goes_on():
    height = rasterize(scattered(lambda x, y: np.abs(x), 20_000))
    assert height.sample(300.0, 0.0) == pytest.approx(99, abs=3)


def test_the_posterior_layer_hides_what_is_in_front_of_it():
    back = scattered(lambda x, y: 0 * x, 20_000)
    chest = scattered(lambda x, y: 0 * x - 180, 20_000, seed=1)
    both = np.concatenate([chest, back])
    keep = posterior_layer(both)
    assert not keep[: len(chest)].any() and keep[len(chest) :].all()
    height = rasterize(both)
    assert np.abs(height.z_mm).max() < 1e-6


def test_one_flying_pixel_does_not_hide_the_skin():
    points = scattered(lambda x, y: 0 * x, 40_000)
    stray = np.array([[0.0, 0.0, 90.0]])
    assert posterior_layer(np.concatenate([points, stray]))[:-1].all()


@pytest.mark.parametrize("n", [20_000, 5_000])
def test_the_furrow_stays_while_noise_falls(n):
    """A furrow of 7 mm, sigma 14 mm, in 3.5 mm of noise: at most 12 % of it go, and 3/4 of the noise."""
    truth = grid_of(lambda x, y: -7 * np.exp(-0.5 * (x / 14) ** 2))
    points = scattered(lambda x, y: -7 * np.exp(-0.5 * (x / 14) ** 2), n)
    points[:, 2] += 3.5 * np.random.default_rng(3).standard_normal(n)
    height = smoothed(rasterize(points), sigma_x_mm=3.0, sigma_y_mm=10.0)
    y = np.arange(-80, 81, 2.0)
    beside = np.mean([height.sample(side * 60.0, y) for side in (-1, 1)])
    depth = beside - height.sample(0.0, y).mean()
    assert 0.88 * 7 < depth < 1.05 * 7
    inside = np.abs(truth.x_mm) < 80
    x, yy = np.meshgrid(truth.x_mm[inside], y)
    error = height.sample(x, yy) + 7 * np.exp(-0.5 * (x / 14) ** 2)
    assert error.std() < 3.5 / 4


def test_mean_point_distance_of_a_square_lattice():
    x, y = np.meshgrid(np.arange(0, 300, 3.0), np.arange(0, 300, 3.0))
    lattice = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3)
    assert mean_point_distance(lattice) == pytest.approx(3, rel=0.02)


def test_points_too_few_or_too_wide_are_refused():
    with pytest.raises(BadInput, match="no surface"):
        rasterize(np.full((50, 3), np.nan))
    with pytest.raises(BadInput, match="too wide"):
        rasterize(np.array([[0, 0, 0], [1e6, 1e6, 0], [0, 1e6, 0.0]]))


def test_a_height_map_checks_itself():
    axis = np.arange(4.0)
    with pytest.raises((ValueError, TypeError)):
        HeightMap(axis, axis, np.zeros((4, 3)), np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match="finite"):
        HeightMap(axis, axis, np.full((4, 4), np.nan), np.zeros((4, 4), bool))


def centre(values: np.ndarray) -> float:
    return float(values[values.shape[0] // 2, values.shape[1] // 2])


def test_curvature_of_a_sphere():
    maps = curvature_maps(grid_of(lambda x, y: np.sqrt(200.0**2 - x**2 - y**2)), sigma_mm=6.0)
    for k in (maps.k1_per_mm, maps.k2_per_mm, maps.mean_per_mm):
        assert centre(k) == pytest.approx(1 / 200, rel=0.02)
        assert k[30:70, 40] == pytest.approx(np.full(40, 1 / 200), rel=0.03)  # away from the centre too
    assert centre(maps.gaussian_per_mm2) == pytest.approx(1 / 200**2, rel=0.04)
    assert centre(maps.shape_index) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("angle_deg", [0, 30, 90])
def test_curvature_of_a_cylinder_in_any_direction(angle_deg):
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    maps = curvature_maps(grid_of(lambda x, y: np.sqrt(150.0**2 - (c * x + s * y) ** 2)), sigma_mm=6.0)
    assert centre(maps.k1_per_mm) == pytest.approx(1 / 150, rel=0.02)
    assert centre(maps.k2_per_mm) == pytest.approx(0, abs=1e-5)
    assert centre(maps.gaussian_per_mm2) == pytest.approx(0, abs=1e-7)
    assert centre(maps.shape_index) == pytest.approx(0.5, abs=0.01)


def test_curvature_of_a_saddle_and_of_a_furrow():
    saddle = curvature_maps(grid_of(lambda x, y: (x**2 - y**2) / 400), sigma_mm=6.0)
    assert centre(saddle.k1_per_mm) == pytest.approx(1 / 200, rel=0.02)
    assert centre(saddle.k2_per_mm) == pytest.approx(-1 / 200, rel=0.02)
    assert centre(saddle.mean_per_mm) == pytest.approx(0, abs=1e-8)
    assert centre(saddle.gaussian_per_mm2) == pytest.approx(-1 / 200**2, rel=0.04)
    assert centre(saddle.shape_index) == pytest.approx(0, abs=1e-6)
    furrow = curvature_maps(grid_of(lambda x, y: -7 * np.exp(-0.5 * (x / 14) ** 2)), sigma_mm=4.0)
    assert centre(furrow.shape_index) == pytest.approx(-0.5, abs=0.01)


def test_curvature_is_valid_only_away_from_what_was_not_seen():
    height = grid_of(lambda x, y: 0 * x)
    observed = height.observed.copy()
    observed[50, 50] = False
    maps = curvature_maps(HeightMap(height.x_mm, height.y_mm, height.z_mm, observed), sigma_mm=6.0)
    assert not maps.valid[50, 54] and not maps.valid[1, 1] and maps.valid[50, 70]


def test_asymmetry_is_odd_and_finds_the_hump_on_the_right():
    height = rasterize(analytic_back.scan(hump_mm=12.0, noise_mm=0.0))
    asymmetry = asymmetry_map(height, np.zeros(len(height.y_mm)))
    assert np.allclose(asymmetry.z_mm, -asymmetry.z_mm[:, ::-1])
    assert (asymmetry.observed == asymmetry.observed[:, ::-1]).all()
    y, x = 0.65 * analytic_back.HEIGHT_MM, 70.0
    assert asymmetry.sample(x, y) == pytest.approx(6, abs=0.7)
    straight = rasterize(analytic_back.scan(noise_mm=0.0))
    flat = asymmetry_map(straight, np.zeros(len(straight.y_mm)))
    inner = flat.observed & (np.abs(flat.x_mm) < 90) & (flat.y_mm[:, None] < 0.8 * analytic_back.HEIGHT_MM)
    assert np.abs(flat.z_mm[inner]).max() < 1.2


def test_asymmetry_follows_a_bent_line():
    def bent(x, y):
        return -((x - 20 * np.sin(y / 60)) ** 2) / 400

    height = grid_of(bent, half_mm=140.0)
    along = asymmetry_map(height, 20 * np.sin(height.y_mm / 60), half_width_mm=80.0)
    assert np.abs(along.z_mm).max() < 0.02
    with pytest.raises(ValueError, match="line"):
        asymmetry_map(height, np.zeros(3))
