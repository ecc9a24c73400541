"""A mesh and the photographs its field was trained on to one textured GLB: read first.

    mesh -> atlas of charts -> which pixel shows which texels -> least squares against the photographs
         -> padding -> model.glb in the scene's frame, texture.json

The photographs are those the field learned from; the held-out ones only judge. How the exported file, read
back, looks beside both is in texture.json.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerfrecon.config import NerfreconConfig
from nerfrecon.evaluate import over, psnr
from nerfrecon.scene import Scene
from nerfrecon.texture.atlas import Atlas, Covered, covered_texels, texel_length, unwrap
from nerfrecon.texture.casting import Caster, scene_camera
from nerfrecon.texture.exposure import differ
from nerfrecon.texture.glb import read_textured_glb, write_textured_glb
from nerfrecon.texture.options import TextureOptions
from nerfrecon.texture.padding import padded
from nerfrecon.texture.refine import refined
from nerfrecon.texture.render import Renderer
from nerfrecon.texture.solve import Solved, solve
from nerfrecon.texture.textured import TexturedMesh
from nerfrecon.texture.visibility import SOLID, Sampled, believed, glimpse, pixel_size, sampled
from nerfrecon.train import open_scene
from nerfrecon.training.exposure import fitted_gain
from nerfrecon.training.views import usable_scale
from suite.config import load_config
from suite.errors import BadInput
from suite.files import atomic_folder, atomic_write
from suite.geometry.mesh import Mesh
from suite.geometry.mesh_io import read_geometry
from suite.progress import status, track
from suite.run import CONFIG

MODEL, NOTES = "model.glb", "texture.json"
_JUDGED_LEARNED = 8
_GUESS_FROM, _GUESS_NEAREST = 200_000, 6


class Painted(NamedTuple):
    """A textured mesh, and what is to be told of it."""

    mesh: TexturedMesh
    notes: dict[str, Any]


def paint(mesh: Path, field_run: Path, out: Path, options: TextureOptions | None = None) -> Path:
    """Write model.glb and texture.json into the folder `out`; returns the GLB's path.

    Scene and held-out views are those of the field's run. Raises BadInput for a mesh or run that cannot be
    used, photographs that are damaged or show nothing of the mesh, and an `out` that is not empty.
    """
    options = TextureOptions() if options is None else options
    before = time.process_time()
    if not (field_run / CONFIG).is_file():
        raise BadInput(f"no {CONFIG} here", field_run, hint="name the folder of a field's run")
    config = load_config(NerfreconConfig, field_run / CONFIG, ()).config
    scene = open_scene(config)
    learned, held_out = scene.split(config.train.hold_out_every)
    surface = read_geometry(mesh)
    if not isinstance(surface, Mesh):
        raise BadInput("holds points without faces", mesh, hint="give the mesh of the stage `mesh`")
    made = painted(surface, scene, learned, options)
    with atomic_folder(out) as folder:
        write_textured_glb(
            folder / MODEL,
            made.mesh,
            image=options.image.format,
            quality=options.image.quality,
            material=options.material,
        )
        exposed = bool(made.notes["exposed_differently"])
        with status("Judging the texture"):
            few = learned[:: max(1, len(learned) // _JUDGED_LEARNED)]
            scores = judged(folder / MODEL, scene, (*held_out, *few), options.picture_px, exposed)
        names = {
            key: [scene.views[view].name for view in views]
            for key, views in (("held_out", held_out), ("learned", few))
        }
        notes = {
            **made.notes,
            "psnr": {key: {name: scores[name] for name in names[key]} for key in names},
            "psnr_mean": {key: _mean([scores[name] for name in names[key]]) for key in names},
            "bytes": (folder / MODEL).stat().st_size,
            "cpu_s": round(time.process_time() - before, 2),
        }
        with atomic_write(folder / NOTES, "w") as stream:
            json.dump(notes, stream, indent=2)
    for line in notes["flags"]:
        print(line, file=sys.stderr)
    return out / MODEL


def painted(mesh: Mesh, scene: Scene, views: tuple[int, ...], options: TextureOptions) -> Painted:
    """`mesh`, in the scene's frame, with the texture that photographs of these views give it."""
    clock = _Clock()
    caster = Caster(mesh.vertices, mesh.faces)
    pixel = pixel_size(caster, [scene_camera(scene, view, _scale(scene, view, options)) for view in views])
    if not pixel > 0:
        raise BadInput("no camera sees the mesh", hint="check that mesh and scene are in the same frame")
    variation: tuple[float, ...] = ()
    if options.refine.rounds:
        with status("Refining the surface"):
            mesh, variation = refined(mesh, scene, views, pixel, options.picture_px, options.refine)
        caster = Caster(mesh.vertices, mesh.faces)
        clock.lap("refine")
    with status("Unwrapping"):
        atlas = unwrap(mesh, texel_length(mesh.area(), pixel, options.atlas), options.atlas)
        covered = covered_texels(atlas.faces, atlas.uv, atlas.size_px)
    clock.lap("unwrap")
    glimpses = []
    for view in track(views, "Looking which texels photographs show"):
        glimpses.append(
            glimpse(caster, atlas.faces, atlas.uv, scene, view, options.picture_px, options.views)
        )
    chosen = believed(glimpses, atlas.size_px, options.views)
    rays = options.views.rays_a_side
    looks = [sampled(caster, atlas.faces, atlas.uv, one, atlas.size_px, rays) for one in chosen]
    clock.lap("visibility")
    with status("Solving for the texture"):
        texture, solved, unknowns = _texture(mesh, atlas, covered, looks, options)
    clock.lap("solve")
    normals = mesh.vertex_normals()[atlas.vertex]
    made = TexturedMesh(mesh.vertices[atlas.vertex], atlas.faces, normals, atlas.uv, texture)
    coverage = float(solved.seen[covered.where.ravel()[unknowns]].mean())
    flags = [f"{1 - coverage:.0%} of the surface is seen by no photograph"] if coverage < 0.9 else []
    gains = {scene.views[view].name: gain.tolist() for view, gain in zip(views, solved.gains, strict=True)}
    notes = {
        "texture_px": list(atlas.size_px),
        "texel": float(np.sqrt(mesh.area() / max(len(covered.face), 1))),
        "charts": atlas.charts,
        "used": atlas.used,
        "faces": len(atlas.faces),
        "vertices": len(atlas.vertex),
        "coverage": coverage,
        "pixels": int(sum(len(one.pixels) for one in chosen)),
        "pixels_left_out": int(
            sum(len(one.pixels) for one in glimpses) - sum(len(one.pixels) for one in chosen)
        ),
        "not_believed": solved.outliers,
        "residual_rms": list(solved.rms),
        "exposed_differently": differ(solved.gains),
        "exposure_gains": gains,
        "material": options.material,
        "refined": {"rounds": options.refine.rounds, "variation": list(variation)},
        "stages_cpu_s": clock.laps,
        "flags": flags,
    }
    return Painted(made, notes)


def judged(
    glb: Path, scene: Scene, views: tuple[int, ...], picture_px: int, fit_gain: bool = False
) -> dict[str, float]:
    """PSNR in dB of the file, rendered at views of the scene, inside the object's mask where there is one.

    Where photographs are exposed differently, `fit_gain` gives each view the gains that suit it best.
    """
    renderer = Renderer(read_textured_glb(glb))
    scores = {}
    for view in views:
        size = max(scene.views[view].camera.width, scene.views[view].camera.height)
        scale = usable_scale(scene, view, min(1.0, picture_px / size))
        picture = scene.views[view].load(scale)
        seen = renderer.render(scene_camera(scene, view, scale), (1.0, 1.0, 1.0))
        wanted, inside = over(picture.pixels, 1.0), inside_mask(picture.pixels, picture.usable)
        if picture.pixels.shape[2] == 3:
            inside &= seen.opacity > 0.5  # without masks only the object can be judged
        rgb = seen.rgb
        if fit_gain:
            rgb = np.clip(rgb * fitted_gain(rgb, wanted, seen.opacity * inside), 0, 1)
        scores[scene.views[view].name] = psnr(rgb, wanted, inside)
    return scores


def inside_mask(pixels: np.ndarray, usable: np.ndarray | None) -> np.ndarray:
    """Pixels that the object fills, as far as they are usable; all that are usable where there is no mask."""
    inside = np.ones(pixels.shape[:2], bool) if pixels.shape[2] == 3 else pixels[..., 3] >= SOLID
    return inside if usable is None else inside & usable


def _texture(
    mesh: Mesh, atlas: Atlas, covered: Covered, looks: list[Sampled], options: TextureOptions
) -> tuple[np.ndarray, Solved, np.ndarray]:
    """The finished texture; what was solved; and the texels (row by row) that it was solved for."""
    from scipy.ndimage import binary_dilation

    width, height = atlas.size_px
    asked = np.asarray(binary_dilation(covered.where, np.ones((3, 3))))
    flat = asked.ravel()
    for one in looks:
        flat[np.unique(one.matrix.indices)] = True  # type: ignore[attr-defined]
    unknowns = np.flatnonzero(flat)
    number = np.full(flat.size, -1, np.int32)
    number[unknowns] = np.arange(len(unknowns), dtype=np.int32)
    looks = [_with_columns(one, number, len(unknowns)) for one in looks]
    grid = number.reshape(height, width)
    pairs = np.concatenate(
        [np.stack([a.ravel(), b.ravel()], 1) for a, b in ((grid[:, :-1], grid[:, 1:]), (grid[:-1], grid[1:]))]
    )
    pairs = pairs[(pairs >= 0).all(1)]
    places = np.einsum("nk,nkd->nd", covered.weights, mesh.vertices[atlas.vertex[atlas.faces[covered.face]]])
    on_chart = number[np.flatnonzero(covered.where)]

    def guess(colours: np.ndarray, seen: np.ndarray) -> np.ndarray:
        return _guess(colours, seen, places, on_chart, grid)

    solved = solve(looks, pairs, guess, options.solve)
    image = np.zeros((height * width, 3), np.float32)
    image[unknowns] = solved.texels
    image = padded(image.reshape(height, width, 3), flat.reshape(height, width), options.atlas.padding_px)
    return np.round(image.clip(0, 1) * 255).astype(np.uint8), solved, unknowns


def _with_columns(one: Sampled, number: np.ndarray, count: int) -> Sampled:
    from scipy.sparse import csr_matrix

    matrix: Any = one.matrix
    shape = (matrix.shape[0], count)
    return one._replace(matrix=csr_matrix((matrix.data, number[matrix.indices], matrix.indptr), shape=shape))


def _guess(
    colours: np.ndarray, seen: np.ndarray, places: np.ndarray, on_chart: np.ndarray, grid: np.ndarray
) -> np.ndarray:
    """Unseen texels of charts from the nearest seen ones in space, across all seams; those around charts from
    the nearest in the texture."""
    from scipy.ndimage import distance_transform_edt
    from scipy.spatial import KDTree

    filled = colours.copy()
    known, unknown = np.flatnonzero(seen[on_chart]), np.flatnonzero(~seen[on_chart])
    if len(known) and len(unknown):
        known = known[:: max(1, len(known) // _GUESS_FROM)]
        k = min(_GUESS_NEAREST, len(known))
        far, near = KDTree(places[known]).query(places[unknown], k=k)
        far, near = far.reshape(-1, k), near.reshape(-1, k)
        weight = 1 / np.maximum(far, 1e-12) ** 2
        mixed = (weight[..., None] * colours[on_chart[known[near]]]).sum(1) / weight.sum(1, keepdims=True)
        filled[on_chart[unknown]] = mixed
    done = seen.copy()
    done[on_chart] = True
    left = np.zeros(grid.shape, bool)
    inside = grid >= 0
    left[inside] = ~done[grid[inside]]
    if left.any() and done.any():
        have = inside & ~left
        nearest: Any = distance_transform_edt(~have, return_distances=False, return_indices=True)
        rows, columns = nearest[0][left], nearest[1][left]
        filled[grid[left]] = filled[grid[rows, columns]]
    return filled


def _scale(scene: Scene, view: int, options: TextureOptions) -> float:
    size = max(scene.views[view].camera.width, scene.views[view].camera.height)
    return usable_scale(scene, view, min(1.0, options.picture_px / size))


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


class _Clock:
    """CPU-seconds of the stages, one after the other."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        now = time.process_time()
        self.laps[name] = round(now - self._last, 2)
        self._last = now
