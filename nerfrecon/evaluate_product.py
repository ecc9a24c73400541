"""A product judged: held-out views of its field, its textured mesh and its baked model, and its surface.

Pictures are compared where the object is: inside its mask, or where the mesh is seen where there is no mask.
Surfaces are compared in the truth's world: that of known poses, or one that poses known by name align with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerfrecon.backends.base import RayCamera, Rendered
from nerfrecon.bake.file import read_baked
from nerfrecon.bake.render import render_baked
from nerfrecon.evaluate import GREYS, over, psnr, ssim
from nerfrecon.product_folder import GLB, field_folder, product_glb, read_json
from nerfrecon.render_views import open_run
from nerfrecon.scene import Scene, View
from nerfrecon.scenes.read import read_scene
from nerfrecon.simulate.subject import read_subject
from nerfrecon.surface_score import SHARES, SurfaceScore, score_surface
from nerfrecon.texture.glb import read_textured_glb
from nerfrecon.texture.render import Renderer
from nerfrecon.train import open_scene
from nerfrecon.training.exposure import fitted_gain
from nerfrecon.training.views import training_views
from suite.errors import BadInput
from suite.geometry.mesh import Mesh
from suite.progress import track
from suite.report.table import Column, Table

Render = Callable[[RayCamera], Rendered]
_FEWEST_ALIKE = 4


@dataclass(frozen=True)
class ProductJudged:
    """Figures by key, and tables for people."""

    figures: dict[str, float]
    tables: tuple[Table, ...]


def evaluate_product(
    product: Path, truth: Path | None = None, *, views: bool = True, poses: Path | None = None
) -> ProductJudged:
    """Judge a product's folder; `poses` names a scene in the truth's world with poses of the same pictures.

    Raises BadInput for what is no product, has no held-out views, or cannot be aligned.
    """
    figures: dict[str, float] = {}
    tables: list[Table] = []
    config, backend = open_run(field_folder(product))
    scene = open_scene(config)
    if views:
        background = GREYS[config.background]
        renders: dict[str, Render] = {"field": lambda camera: backend.render(camera, background)}
        if (product / GLB).is_file():
            renders["glb"] = _of_glb(product / GLB, scene, background)
        if (baked := product / "bake" / "baked.bin").is_file():
            model = read_baked(baked)
            renders["baked"] = lambda camera: render_baked(model, camera, background).rendered
        _, held_out = scene.split(config.train.hold_out_every)
        if not held_out:
            raise BadInput("no views were held out", product, hint="set field.train.hold_out_every")
        scale = config.picture_scale
        found = judge_renders(renders, scene, held_out, background[0], scale, config.train.exposure)
        figures |= {f"{kind}_{name}": value for name, one in found.items() for kind, value in one.items()}
        rows: list[list[Any]] = [[name, *one.values()] for name, one in found.items()]
        columns: list[str | Column] = ["of", Column("PSNR", "dB", 2), Column("SSIM", "", 4)]
        tables.append(Table(columns, rows, caption=f"{len(held_out)} held-out views, where the object is"))
    if truth is not None:
        learned, _ = scene.split(config.train.hold_out_every)
        score = score_product(product, truth, scene, learned, poses)
        figures |= score_figures(score)
        tables.append(
            Table(["surface", "value"], [[key, value] for key, value in score_figures(score).items()])
        )
    return ProductJudged(figures, tuple(tables))


def judge_renders(
    renders: dict[str, Render],
    scene: Scene,
    views: Sequence[int],
    grey: float | int,
    scale: float | int = 1.0,
    fit_gain: bool = False,
) -> dict[str, dict[str, float]]:
    """Mean PSNR and SSIM of each kind of render over the views, where the object is."""
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in renders}
    for view in track(training_views(scene, views, scale), "Judging"):
        pictures = {name: render(view.camera) for name, render in renders.items()}
        if view.pixels.shape[2] == 4:
            inside = view.pixels[..., 3] > 127
        else:
            inside = pictures.get("glb", next(iter(pictures.values()))).opacity > 0.5
        if view.usable is not None:
            inside = inside & view.usable
        wanted = over(view.pixels, grey)
        for name, one in pictures.items():
            seen = _at_its_best_gain(one, wanted, grey) if fit_gain else one.rgb
            scores[name].append((psnr(seen, wanted, inside), ssim(seen, wanted, inside)))
    return {name: dict(zip(("psnr", "ssim"), _means(pairs), strict=True)) for name, pairs in scores.items()}


def score_product(
    product: Path, truth: Path, scene: Scene, learned: Iterable[int], poses: Path | None = None
) -> SurfaceScore:
    """The exported mesh against the true one, in the truth's world."""
    glb = read_textured_glb(product_glb(product))
    if poses is not None:
        T_object_world = np.linalg.inv(aligned(scene.views, read_scene(poses).views, poses))
    else:
        noted = read_json(product / "object" / "object.json").get("T_object_world")
        if noted is None:
            raise BadInput("does not say where its object lies", product / "object")
        T_object_world = np.array(noted, np.float64)
    T_world_object = np.linalg.inv(T_object_world)
    mesh = Mesh(np.asarray(glb.vertices, np.float64), np.asarray(glb.faces, np.int64))
    moved = [_moved(scene.views[number], T_world_object) for number in learned]
    return score_surface(mesh.transformed(T_world_object), read_subject(truth), moved)


def score_figures(score: SurfaceScore) -> dict[str, float]:
    """By key, such as `f_1` and `interior_f_1` for the F-scores within 1 % of the diagonal."""
    figures = {
        "accuracy": score.accuracy,
        "completeness": score.completeness,
        "normal_consistency": score.normal_consistency,
    }
    lists = {
        "precision": score.precision,
        "recall": score.recall,
        "f": score.f_score,
        "interior_precision": score.interior_precision,
        "interior_recall": score.interior_recall,
        "interior_f": score.interior_f_score,
    }
    for name, values in lists.items():
        figures |= {f"{name}_{100 * share:g}": one for share, one in zip(SHARES, values, strict=False)}
    return figures


def aligned(ours: Sequence[View], truth: Sequence[View], where: Path) -> Float[np.ndarray, "4 4"]:
    """The similarity from our frame to the truth's, by the centres of cameras whose pictures have the same
    name (Umeyama 1991). Raises BadInput for fewer than four of them."""
    known = {Path(view.name).stem: view for view in truth}
    pairs = [
        (view.position, known[Path(view.name).stem].position)
        for view in ours
        if Path(view.name).stem in known
    ]
    if len(pairs) < _FEWEST_ALIKE:
        raise BadInput(f"{len(pairs)} pictures have names that the product's have too", where)
    ours_at, true_at = (np.stack(one) for one in zip(*pairs, strict=True))
    middle, true_middle = ours_at.mean(0), true_at.mean(0)
    a, b = ours_at - middle, true_at - true_middle
    u, stretch, vt = np.linalg.svd(b.T @ a)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = float((stretch * np.diag(flip)).sum() / np.square(a).sum())
    T = np.eye(4)
    T[:3, :3] = scale * (u @ flip @ vt)
    T[:3, 3] = true_middle - T[:3, :3] @ middle
    return T


def _of_glb(path: Path, scene: Scene, background: tuple[float, float, float]) -> Render:
    renderer = Renderer(read_textured_glb(path))

    def render(camera: RayCamera) -> Rendered:
        return renderer.render(in_scene(camera, scene), background)

    return render


def in_scene(camera: RayCamera, scene: Scene) -> RayCamera:
    """A camera of the unit cube with its centre in the scene's frame, which is that of the GLB."""
    T = camera.T_unit_camera.copy()
    T[:3, 3] = (T[:3, 3] - 0.5) * scene.side + scene.box.mean(axis=0)
    return RayCamera(
        camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy, T, camera.distortion
    )


def _at_its_best_gain(rendered: Rendered, wanted: np.ndarray, grey: float | int) -> np.ndarray:
    behind = (1 - rendered.opacity[..., None]) * np.float32(grey)
    gain = fitted_gain(rendered.rgb - behind, wanted - behind, rendered.opacity)
    return ((rendered.rgb - behind) * gain + behind).clip(0, 1).astype(np.float32)


def _moved(view: View, T: Float[np.ndarray, "4 4"]) -> View:
    """The view after a similarity of the world; its axes stay of length 1."""
    pose = T @ view.T_world_camera
    pose[:3, :3] /= np.cbrt(np.linalg.det(T[:3, :3]))
    return View(view.name, view.image_path, view.camera, pose)


def _means(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    values = np.nanmean(np.array(pairs), axis=0)
    return float(values[0]), float(values[1])
