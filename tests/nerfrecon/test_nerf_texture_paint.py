"""A mesh that is exactly right, with photographs of itself: what the texture has to show is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from painted_ball import ball_mesh, photographed_ball, with_views
from PIL import Image

from nerfrecon.evaluate import psnr
from nerfrecon.scene import Scene
from nerfrecon.simulate.subject import Subject
from nerfrecon.texture.casting import Caster, scene_camera
from nerfrecon.texture.glb import write_textured_glb
from nerfrecon.texture.options import RefineOptions, TextureOptions
from nerfrecon.texture.paint import judged, paint, painted
from nerfrecon.texture.refine import refined
from nerfrecon.texture.render import render_glb
from suite.errors import BadInput
from suite.geometry.ply import write_ply

HELD_OUT_EVERY = 5
SMALL = TextureOptions.model_validate({"atlas": {"smallest_px": 128, "largest_px": 256}})


@pytest.fixture(scope="module")
def photographed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Subject, Scene]:
    return photographed_ball(tmp_path_factory.mktemp("ball") / "scene")


def options(**solve: object) -> TextureOptions:
    return TextureOptions.model_validate({**SMALL.model_dump(), "solve": solve})


def test_the_texture_is_recovered_at_views_held_out(
    photographed: tuple[Subject, Scene], tmp_path: Path
) -> None:
    scene = photographed[1]
    learned, held_out = scene.split(HELD_OUT_EVERY)
    made = painted(ball_mesh(), scene, learned, SMALL)
    write_textured_glb(tmp_path / "ball.glb", made.mesh)
    scores = judged(tmp_path / "ball.glb", scene, held_out, 2000)
    assert min(scores.values()) > 34
    assert made.notes["coverage"] > 0.9
    assert not made.notes["exposed_differently"]
    # The render of the file covers what the photograph covers.
    camera = scene_camera(scene, held_out[0])
    (seen,) = render_glb(tmp_path / "ball.glb", [camera])
    alpha = scene.views[held_out[0]].load().pixels[..., 3] / 255
    assert np.abs(seen.opacity - alpha).max() < 0.3
    depth = Caster(made.mesh.vertices, made.mesh.faces).cast(camera, np.array([[35.5, 35.5]])).distance
    assert seen.depth[35:37, 35:37].mean() == pytest.approx(float(depth[0]), rel=1e-3)


def test_exposures_are_recovered_and_do_not_tint_the_texture(
    photographed: tuple[Subject, Scene], tmp_path: Path
) -> None:
    scene = photographed[1]
    learned, held_out = scene.split(HELD_OUT_EVERY)
    rng = np.random.default_rng(0)
    true = np.exp(rng.uniform(-0.3, -0.02, (len(scene.views), 3)))
    views = []
    for number, view in enumerate(scene.views):
        pixels = np.array(Image.open(view.image_path))
        pixels[..., :3] = np.round(pixels[..., :3] * true[number]).clip(0, 255)
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(path)
        views.append(replace(view, image_path=path) if number in learned else view)
    jittered = replace(scene, views=tuple(views))
    made = painted(ball_mesh(), jittered, learned, SMALL)
    found = np.array([made.notes["exposure_gains"][scene.views[view].name] for view in learned])
    wanted = true[list(learned)] / np.exp(np.log(true[list(learned)]).mean(0))
    assert np.abs(found / wanted - 1).max() < 0.02
    write_textured_glb(tmp_path / "fitted.glb", made.mesh)
    plain = painted(ball_mesh(), jittered, learned, options(exposure="off"))
    write_textured_glb(tmp_path / "plain.glb", plain.mesh)
    fitted = judged(tmp_path / "fitted.glb", scene, held_out, 2000, fit_gain=True)
    unfitted = judged(tmp_path / "plain.glb", scene, held_out, 2000, fit_gain=True)
    assert np.mean(list(fitted.values())) > np.mean(list(unfitted.values())) + 3


def test_a_highlight_that_moves_with_the_camera_is_not_believed(
    photographed: tuple[Subject, Scene], tmp_path: Path
) -> None:
    scene = photographed[1]
    learned, held_out = scene.split(HELD_OUT_EVERY)
    views = []
    for number, view in enumerate(scene.views):
        pixels = np.array(Image.open(view.image_path))
        pixels[24:32, 30:40, :3] = 255  # where the camera sees the lamp
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(path)
        views.append(replace(view, image_path=path) if number in learned else view)
    shiny = replace(scene, views=tuple(views))
    scores = {}
    for kind in ("none", "cauchy"):
        solving = options(robust={"type": kind}, exposure="off", rounds=6, iterations=12)
        made = painted(ball_mesh(), shiny, learned, solving)
        write_textured_glb(tmp_path / f"{kind}.glb", made.mesh)
        scores[kind] = np.mean(list(judged(tmp_path / f"{kind}.glb", scene, held_out, 2000).values()))
    assert scores["cauchy"] > scores["none"] + 3


def test_what_nobody_sees_is_filled_by_what_is_beside_it(photographed: tuple[Subject, Scene]) -> None:
    scene = photographed[1]
    above = tuple(k for k, view in enumerate(scene.views) if view.position[1] > 1.5)
    made = painted(ball_mesh(), with_views(scene, above), tuple(range(len(above))), SMALL)
    assert 0.4 < made.notes["coverage"] < 0.9
    assert "no photograph" in made.notes["flags"][0]
    # All over the ball, hidden underside included, colours are those of the pattern: none is black.
    v, u = (made.mesh.uv * made.mesh.texture.shape[1::-1]).astype(int).T[::-1]
    height, width = made.mesh.texture.shape[:2]
    colours = made.mesh.texture[v.clip(0, height - 1), u.clip(0, width - 1)]
    hidden = made.mesh.vertices[:, 1] < -0.9
    assert hidden.any()
    assert colours[hidden].astype(int).max(1).min() > 40
    lit = colours[made.mesh.vertices[:, 1] > 0].astype(float)
    assert (colours[hidden] <= lit.max(0) + 10).all()


def test_paint_writes_one_file_and_what_it_did(photographed: tuple[Subject, Scene], tmp_path: Path) -> None:
    scene = photographed[1]
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(f"scene: {scene.source}\ntrain: {{hold_out_every: {HELD_OUT_EVERY}}}\n")
    write_ply(tmp_path / "ball.ply", ball_mesh())
    glb = paint(tmp_path / "ball.ply", run, tmp_path / "out", SMALL)
    notes = json.loads((glb.parent / "texture.json").read_text())
    learned, held_out = scene.split(HELD_OUT_EVERY)
    assert set(notes["psnr"]["held_out"]) == {scene.views[k].name for k in held_out}
    assert notes["psnr_mean"]["held_out"] > 34
    assert notes["bytes"] == glb.stat().st_size < 300_000
    assert len(notes["exposure_gains"]) == len(learned)
    with pytest.raises(BadInput, match="exists already"):
        paint(tmp_path / "ball.ply", run, tmp_path / "out", SMALL)
    with pytest.raises(BadInput, match=r"no config\.yaml here"):
        paint(tmp_path / "ball.ply", tmp_path, tmp_path / "other", SMALL)
    away = ball_mesh().transformed(np.array([[1.0, 0, 0, 0], [0, 1, 0, 500], [0, 0, 1, 0], [0, 0, 0, 1]]))
    write_ply(tmp_path / "away.ply", away)
    with pytest.raises(BadInput, match="no camera sees the mesh") as raised:
        paint(tmp_path / "away.ply", run, tmp_path / "other", SMALL)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "other").exists()


def test_a_render_of_the_photographs_size_is_the_photograph(
    photographed: tuple[Subject, Scene], tmp_path: Path
) -> None:
    scene = photographed[1]
    learned, _ = scene.split(HELD_OUT_EVERY)
    made = painted(ball_mesh(), scene, learned, SMALL)
    write_textured_glb(tmp_path / "ball.glb", made.mesh, image="png")
    shown = {}
    for scale in (1.0, 0.25):  # from afar the mip map has to average
        picture = scene.views[1].load(scale)
        (seen,) = render_glb(tmp_path / "ball.glb", [scene_camera(scene, 1, scale)], (0.0, 0.0, 0.0))
        alpha = picture.pixels[..., 3:] / 255
        shown[scale] = psnr(seen.rgb, (picture.pixels[..., :3] / 255 * alpha).astype(np.float32))
    assert shown[1.0] > 30
    assert shown[0.25] > 28


def test_a_ball_that_is_too_large_is_drawn_to_where_photographs_agree(
    photographed: tuple[Subject, Scene],
) -> None:
    scene = photographed[1]
    learned, _ = scene.split(HELD_OUT_EVERY)
    wrong = ball_mesh().scaled(1.03)
    found = refined(
        wrong, scene, learned, 0.04, 2000, RefineOptions(rounds=5, spots=8000, blur_px=0.8, smooth=3)
    )
    assert np.array_equal(found.mesh.faces, wrong.faces)
    radii = np.linalg.norm(found.mesh.vertices, axis=1)
    seen = ball_mesh().vertices[:, 1] > -0.3
    assert np.abs(np.median(radii[seen]) - 1) < 0.012
    assert found.variation[-1] < 0.6 * found.variation[0]
