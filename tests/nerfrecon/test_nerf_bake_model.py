"""Baking what is known: how close it looks, what its file holds, what happens to small budgets and damage."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from baked_ball import OPTIONS, PLACED, Ball, cameras, held_out
from ball_views import GRID, SDF, backend_of, ball_views, write_ball_scene

from nerfrecon.backends.base import Rendered
from nerfrecon.bake.bake import bake, bake_source
from nerfrecon.bake.file import packed, read_baked, write_baked
from nerfrecon.bake.options import BakeOptions
from nerfrecon.bake.quantise import from_bytes, reduced, to_bytes
from nerfrecon.bake.render import Baked, render_baked
from nerfrecon.bake.source import FieldSource
from nerfrecon.config import NerfreconConfig
from nerfrecon.evaluate import over, psnr
from nerfrecon.render_views import open_run
from nerfrecon.train import open_scene, train
from suite.errors import BadInput, SuiteError
from suite.run import Run

WHITE = (1.0, 1.0, 1.0)


def away_from_edge(wanted: Rendered) -> np.ndarray:
    """Pixels of the ball whose neighbours above and below are of it."""
    inside = wanted.opacity > 0.999
    return inside & np.roll(inside, 1, 0) & np.roll(inside, -1, 0)


@pytest.fixture(scope="module")
def made() -> tuple[Baked, dict]:
    return bake_source(Ball(), cameras(), PLACED, OPTIONS)


def test_a_known_ball_looks_as_it_should(made):
    baked, notes = made
    wanted = Ball().render(held_out(), (0.2, 0.5, 0.9))
    looked = render_baked(baked, held_out(), (0.2, 0.5, 0.9))
    inside = away_from_edge(wanted)
    # At the edge the ball's pixels are single rays, which hit or miss.
    assert psnr(looked.rendered.rgb, wanted.rgb, inside) > 29.5 and psnr(looked.rendered.rgb, wanted.rgb) > 26
    assert np.abs(looked.rendered.depth - wanted.depth)[inside].mean() < 1.5 / baked.voxels.resolution
    assert np.abs(looked.rendered.opacity - wanted.opacity)[inside].mean() < 0.005
    assert notes["loss_last_quarter"] < 0.7 * notes["loss_first_quarter"]
    assert 1 < looked.steps_per_ray < 30 and looked.steps_per_ray < looked.reads_per_pixel < 80


def test_what_depends_on_the_direction_is_the_network_s(made):
    baked, _ = made
    plain = copy.deepcopy(baked.shader)
    for parameter in plain.last.parameters():
        torch.nn.init.zeros_(parameter)
    wanted = Ball().render(held_out(), (1.0, 1.0, 1.0))
    inside = away_from_edge(wanted)
    with_it, without = (
        psnr(render_baked(one, held_out()).rendered.rgb, wanted.rgb, inside)
        for one in (baked, replace(baked, shader=plain))
    )
    assert with_it > without + 5


def test_the_inside_that_nobody_sees_is_not_stored(made):
    baked, _ = made
    n = baked.voxels.resolution
    from_centre = np.linalg.norm((baked.voxels.places() + 0.5) / n - [0.5, 0.48, 0.52], axis=1)
    assert from_centre.min() > 0.3 - 9 / n and from_centre.max() < 0.3 + 3 / n


def test_a_file_comes_back_as_it_was(made, tmp_path):
    baked, _ = made
    size = write_baked(tmp_path / "baked.bin", baked, {"by": "test"})
    assert size == (tmp_path / "baked.bin").stat().st_size < 150_000
    found = read_baked(tmp_path / "baked.bin")
    assert packed(found, {"by": "test"}) == (tmp_path / "baked.bin").read_bytes()
    assert (found.T_unit_world == PLACED.T_unit_world).all() and (found.up == PLACED.up).all()
    before, after = (render_baked(one, held_out()).rendered.rgb for one in (baked, found))
    assert (before == after).all()


def test_a_damaged_file_is_one_line(made, tmp_path):
    whole, path = packed(made[0]), tmp_path / "baked.bin"

    def refused(data: bytes) -> str:
        path.write_bytes(data)
        with pytest.raises(BadInput) as error:
            read_baked(path)
        assert "\n" not in str(error.value) and "baked.bin" in str(error.value)
        return str(error.value)

    assert "no baked model" in refused(b"") and "no baked model" in refused(b"PNG" + whole)
    assert "header" in refused(whole[:200])
    assert "damaged" in refused(whole[:-1]) and "damaged" in refused(whole[: len(whole) // 2])
    assert "version 7" in refused(whole.replace(b'{"version":1', b'{"version":7'))
    assert "damaged" in refused(whole.replace(b'"resolution":48', b'"resolution":40'))
    assert "damaged" in refused(whole.replace(b'"resolution":48', b'"resolution":-8'))
    assert "damaged" in refused(whole.replace(b'"shader"', b'"shaded"'))
    rng = np.random.default_rng(0)
    for at in rng.integers(len(whole) * 9 // 10, len(whole), 8):
        changed = bytearray(whole)
        changed[at] ^= 0x10
        assert "damaged" in refused(bytes(changed))
    with pytest.raises(BadInput, match="no such file"):
        read_baked(tmp_path / "nothing.bin")


def test_a_small_budget_takes_resolution(made):
    full = len(packed(made[0]))
    options = OPTIONS.model_copy(update={"most_mb": 0.4 * full / 1e6, "fit_steps": 4, "look_rays": 4096})
    baked, notes = bake_source(Ball(), cameras(), PLACED, options)
    assert len(packed(baked)) <= 0.4 * full
    assert notes["resolutions_tried"][0] == 48 and notes["resolution"] < 48
    with pytest.raises(BadInput, match="larger budget"):
        bake_source(Ball(), cameras(4), PLACED, options.model_copy(update={"most_mb": 1e-3}))


def test_the_same_seed_bakes_the_same_bytes():
    options = OPTIONS.model_copy(update={"fit_steps": 3, "look_rays": 4096, "most_resolution": 24})
    first, second = (packed(bake_source(Ball(), cameras(5), PLACED, options)[0]) for _ in range(2))
    assert first == second


def test_photographs_go_before_renderings():
    options = OPTIONS.model_copy(update={"fit_steps": 25, "look_rays": 8192, "most_resolution": 32})
    inverted = {}
    for number, one in enumerate(cameras()):
        seen = Ball().render(one, (0.0, 0.0, 0.0))
        rgba = np.concatenate([1 - seen.rgb, seen.opacity[..., None]], 2)
        inverted[number] = np.round(255 * rgba).astype(np.uint8)
    baked, notes = bake_source(Ball(), cameras(), PLACED, options, inverted)
    assert notes["photographs"] == 12
    wanted, looked = Ball().render(held_out(), WHITE), render_baked(baked, held_out()).rendered.rgb
    inside = away_from_edge(wanted)
    assert psnr(looked, 1 - wanted.rgb, inside) > 22 > psnr(looked, wanted.rgb, inside)


def test_bytes_are_the_nearest_and_come_back_exactly():
    values = torch.rand(64, 8)
    stored = to_bytes(values)
    assert float((from_bytes(stored) - values).abs().max()) <= 0.5 / 255 + 1e-7
    assert (to_bytes(from_bytes(stored)) == stored).all()


def test_voxels_that_are_not_worth_it_go_and_values_stay_in_place(made):
    voxels = made[0].voxels
    table = torch.rand(voxels.count + 1, 8)
    table[0] = 0
    worth = np.zeros(len(table), bool)
    places = voxels.places()
    worth[1:] = places[:, 0] < 20
    fewer, values = reduced(voxels, table, worth)
    found = fewer.places()
    assert 0 < fewer.count < voxels.count and (values[0] == 0).all()
    old = table[torch.from_numpy(voxels.row_at(found).astype(np.int64))]
    assert (values[1:, 1:] == old[:, 1:]).all()
    filled = values[1:, 0] > 0
    assert (values[1:, 0][filled] == old[:, 0][filled]).all()
    assert found[filled.numpy(), 0].max() < 20 and found[:, 0].max() == 20


def test_a_signed_distance_counts_as_neus_density():
    backend = backend_of(SDF)
    source, sharpness = FieldSource(backend), float(np.exp(backend.state()["sharpness"]))
    assert source.occupied.shape == (32, 32, 32) and sharpness == pytest.approx(60)
    line = np.stack([np.linspace(0.6, 1, 2001), np.full(2001, 0.5), np.full(2001, 0.5)], 1)
    found = source.density(line.astype(np.float32))
    # Along the normal the thickness between two points is NeuS's: log Phi(s f) before - after.
    phi = 1 / (1 + np.exp(-sharpness * backend.sdf(line)))
    wanted = np.log(phi[-1] / phi[0])
    assert np.trapezoid(found, line[:, 0]) == pytest.approx(wanted, rel=0.01) and wanted > 5


def test_a_field_that_shows_nothing_is_said():
    class Nothing(Ball):
        def render(self, camera, background):
            size = (camera.height, camera.width)
            zeros = np.zeros(size, np.float32)
            return Rendered(np.zeros((*size, 3), np.float32), zeros, zeros)

    with pytest.raises(SuiteError, match="nothing of the field is seen"):
        bake_source(Nothing(), cameras(2), PLACED, OPTIONS)

    class Thin(Ball):
        def density(self, points):
            return np.zeros(len(points))

    with pytest.raises(SuiteError, match="dense enough"):
        bake_source(Thin(), cameras(2), PLACED, OPTIONS)


def test_the_field_of_a_run_becomes_a_file(tmp_path):
    pytest.importorskip("nerfrecon.native._native", reason="the native core is not built")
    scene = write_ball_scene(tmp_path / "scene")
    settings = {
        "scene": scene,
        "box": ((-0.1, -0.1, 0.0), (1.1, 1.1, 1.0)),
        "field": {"type": "density", "grid": GRID},
        "sampling": {"occupancy_resolution": 32, "step": 1 / 64},
        "train": {"steps": 150, "backend": "native", "batch": {"first_samples": 2048, "last_samples": 4096}},
        "look": {"times": 1},
    }
    config = NerfreconConfig.model_validate(settings)
    with Run.create(tmp_path / "run", config=config) as run:
        train(config, run)
    options = BakeOptions(most_resolution=48, fit_steps=50, look_rays=8192, rays=1024, orbit=4)
    path = bake(tmp_path / "run", tmp_path / "baked", options)
    told = json.loads((tmp_path / "baked" / "bake.json").read_text())
    assert told["bytes"] == path.stat().st_size and told["views"] == 14 and told["fit_steps"] == 50
    assert told["photographs"] == 10
    baked = read_baked(path)
    _, backend = open_run(tmp_path / "run")
    assert np.allclose(baked.T_unit_world, open_scene(config).T_unit_world)
    held_out_views = [ball_views(12)[number] for number in (0, 8)]
    field, model = (
        np.mean([psnr(look(view.camera), over(view.pixels, 1.0)) for view in held_out_views])
        for look in (
            lambda camera: backend.render(camera, WHITE).rgb,
            lambda camera: render_baked(baked, camera).rendered.rgb,
        )
    )
    assert model > field - 1 and field > 14
    with pytest.raises(BadInput, match="exists already"):
        bake(tmp_path / "run", tmp_path / "baked", options)
    with pytest.raises(BadInput, match="name the folder of a run"):
        bake(tmp_path, tmp_path / "other", options)
