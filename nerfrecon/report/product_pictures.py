"""Pictures for the page of a product: photographs with the object's outline, held-out views beside what was
made of them, and the model from four sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from nerfrecon.backends.base import RayCamera, Rendered
from nerfrecon.evaluate import GREYS, over, psnr
from nerfrecon.render_views import open_run
from nerfrecon.scene import Scene
from nerfrecon.scenes.picture import read_mask
from nerfrecon.train import open_scene
from nerfrecon.training.exposure import fitted_gain
from nerfrecon.training.preview import eight_bits
from nerfrecon.training.views import training_views, usable_scale

OUTLINE = (230, 97, 0)
STRIP_HEIGHT_PX, MOST_IN_STRIP, GAP_PX = 170, 15, 6
LOOK_PX, MOST_LOOKS = 480, 4
WIDE_PX, TALL_PX = 1200, 360
FULL_DIFFERENCE = 0.25
"""Of the colours' range: the difference that is drawn darkest."""


@dataclass(frozen=True, eq=False)
class Look:
    """A held-out view: pictures side by side, and PSNR (dB) where the object is; NaN without a GLB."""

    name: str
    pixels: UInt8[np.ndarray, "h w 3"]
    field_psnr: float
    glb_psnr: float


def photo_strip(scene: Scene, most: int = MOST_IN_STRIP) -> UInt8[np.ndarray, "h w 4"]:
    """Photographs spread over the capture, the mask's outline drawn in; rows of up to five, gaps transparent.
    Raises BadInput for pictures that cannot be read."""
    count = min(most, len(scene.views))
    chosen = np.linspace(0, len(scene.views) - 1, count).round().astype(int).tolist()
    return _grid([_outlined(scene, view) for view in chosen], 5)


def held_out_looks(product: Path, most: int = MOST_LOOKS) -> list[Look]:
    """Held-out views, spread evenly: photograph | field | GLB | difference of photograph and GLB.

    Without a GLB its place is left out and the difference is the field's. Raises BadInput for a run that
    cannot be opened, or whose photographs are gone.
    """
    config, backend = open_run(product / "field")
    scene = open_scene(config)
    _, held_out = scene.split(config.train.hold_out_every)
    background = GREYS[config.background]
    chosen = [
        held_out[i]
        for i in np.unique(np.linspace(0, len(held_out) - 1, min(most, len(held_out))).round().astype(int))
    ]
    glb = _glb_renderer(product / "model.glb", scene, background)
    looks = []
    for number in chosen:
        camera = scene.views[number].camera
        scale = min(config.picture_scale, LOOK_PX / max(camera.width, camera.height))
        (view,) = training_views(scene, [number], scale)
        wanted = over(view.pixels, background[0])
        renders = {"field": backend.render(view.camera, background)}
        if glb is not None:
            renders["glb"] = glb(view.camera)
        shown = {
            kind: _at_its_gain(one, wanted, background[0]) if config.train.exposure else one.rgb
            for kind, one in renders.items()
        }
        last = "glb" if glb is not None else "field"
        if view.pixels.shape[2] == 4:
            inside = view.pixels[..., 3] > 127
        else:
            inside = renders[last].opacity > 0.5
        if view.usable is not None:
            inside = inside & view.usable
        parts = [eight_bits(wanted), *(eight_bits(one) for one in shown.values())]
        parts.append(_difference(wanted, shown[last], inside))
        scores = {kind: psnr(one, wanted, inside) for kind, one in shown.items()}
        name = scene.views[number].name
        pixels = _side_by_side([part[_around(inside)] for part in parts])
        looks.append(Look(name, pixels, scores["field"], scores.get("glb", math.nan)))
    return looks


def turned_model(product: Path, side_px: int = 260) -> UInt8[np.ndarray, "h w 4"]:
    """The GLB from four sides, from 20 degrees above, with nothing behind it. Raises BadInput for no GLB."""
    from nerfrecon.texture.glb import read_textured_glb
    from nerfrecon.texture.render import Renderer

    renderer = Renderer(read_textured_glb(product / "model.glb"))
    low, high = renderer.mesh.vertices.min(0), renderer.mesh.vertices.max(0)
    middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    rise, distance = math.radians(20), 6.0 * radius
    f, centre = 0.5 * side_px / math.tan(math.asin(radius / distance)), (side_px - 1) / 2
    tiles = []
    for turn in np.radians([35, 125, 215, 305]):
        right = np.array([math.cos(turn), 0.0, -math.sin(turn)])
        ahead = -np.array(
            [math.cos(rise) * math.sin(turn), math.sin(rise), math.cos(rise) * math.cos(turn)], np.float64
        )
        T = np.eye(4)
        T[:3, :3] = np.stack([right, np.cross(ahead, right), ahead], axis=1)
        T[:3, 3] = middle - distance * ahead
        seen = renderer.render(RayCamera(side_px, side_px, f, f, centre, centre, T), (1.0, 1.0, 1.0))
        opacity = seen.opacity[..., None]
        straight = (seen.rgb - (1 - opacity)) / np.maximum(opacity, 1e-3)
        tiles.append(np.dstack([eight_bits(straight), (opacity * 255).round().astype(np.uint8)]))
    strip = np.concatenate(tiles, axis=1)
    rows = np.flatnonzero(strip[..., 3].any(axis=1))
    return strip if not len(rows) else strip[max(rows[0] - GAP_PX, 0) : rows[-1] + GAP_PX + 1]


def _outlined(scene: Scene, number: int) -> UInt8[np.ndarray, "h w 3"]:
    """The whole photograph, small, with a line around the object."""
    import cv2

    view = scene.views[number]
    scale = usable_scale(scene, number, min(1.0, STRIP_HEIGHT_PX / view.camera.height))
    pixels = replace(view, mask_path=None).load(scale).pixels
    tile = np.ascontiguousarray((over(pixels, 1.0) * 255).round().astype(np.uint8))
    inside = pixels[..., 3] if pixels.shape[2] == 4 else None
    if view.mask_path is not None and view.mask_shows == "object":
        whole = read_mask(view.mask_path, (view.camera.width, view.camera.height))
        inside = np.asarray(cv2.resize(whole, tile.shape[1::-1], interpolation=cv2.INTER_AREA))
    if inside is not None:
        edges, _ = cv2.findContours((inside > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, edges, -1, OUTLINE, 1 if min(tile.shape[:2]) < 100 else 2, cv2.LINE_AA)
    return tile


def _glb_renderer(
    path: Path, scene: Scene, background: tuple[float, float, float]
) -> Callable[[RayCamera], Rendered] | None:
    """Draws the GLB for cameras of the unit cube; None where there is no GLB."""
    if not path.is_file():
        return None
    from nerfrecon.texture.glb import read_textured_glb
    from nerfrecon.texture.render import Renderer

    renderer = Renderer(read_textured_glb(path))

    def render(camera: RayCamera) -> Rendered:
        T = camera.T_unit_camera.copy()
        T[:3, 3] = (T[:3, 3] - 0.5) * scene.side + scene.box.mean(axis=0)
        lens = (camera.fx, camera.fy, camera.cx, camera.cy)
        return renderer.render(
            RayCamera(camera.width, camera.height, *lens, T, camera.distortion), background
        )

    return render


def _around(inside: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of what is inside and a margin; all where nothing is."""
    if not inside.any():
        return slice(None), slice(None)
    found = []
    for axis in (1, 0):
        where = np.flatnonzero(inside.any(axis=axis))
        margin = 2 + (where[-1] - where[0]) // 12
        found.append(slice(max(int(where[0] - margin), 0), int(where[-1] + margin + 1)))
    return found[0], found[1]


def _side_by_side(parts: Sequence[np.ndarray]) -> UInt8[np.ndarray, "h w 3"]:
    """As wide as a page, small ones enlarged; white between them."""
    import cv2

    h, w = parts[0].shape[:2]
    factor = min((WIDE_PX / len(parts) - GAP_PX) / w, TALL_PX / h)
    size = (max(1, round(w * factor)), max(1, round(h * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    gap = np.full((size[1], GAP_PX, 3), 255, np.uint8)
    row = [one for part in parts for one in (np.asarray(cv2.resize(part, size, interpolation=way)), gap)]
    return np.concatenate(row[:-1], axis=1).astype(np.uint8)


def _at_its_gain(rendered: Rendered, wanted: np.ndarray, grey: float) -> np.ndarray:
    behind = (1 - rendered.opacity[..., None]) * np.float32(grey)
    gain = fitted_gain(rendered.rgb - behind, wanted - behind, rendered.opacity)
    return ((rendered.rgb - behind) * gain + behind).clip(0, 1).astype(np.float32)


def _difference(
    wanted: Float[np.ndarray, "h w 3"], seen: Float[np.ndarray, "h w 3"], inside: np.ndarray
) -> UInt8[np.ndarray, "h w 3"]:
    """Where the object is: white for none, through orange, to dark."""
    share = np.abs(wanted - seen).mean(2).clip(0, FULL_DIFFERENCE) / FULL_DIFFERENCE * inside
    stops = np.array([[255, 255, 255], [253, 208, 162], [230, 97, 0], [90, 20, 30]], np.float64)
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(share, places, stops[:, c]) for c in range(3)], -1).round().astype(np.uint8)


def _grid(tiles: Sequence[np.ndarray], across: int) -> UInt8[np.ndarray, "h w 4"]:
    rows = [tiles[start : start + across] for start in range(0, len(tiles), across)]
    width = max(sum(tile.shape[1] for tile in row) + GAP_PX * (len(row) - 1) for row in rows)
    height = sum(max(len(tile) for tile in row) for row in rows) + GAP_PX * (len(rows) - 1)
    canvas = np.zeros((height, width, 4), np.uint8)
    top = 0
    for row in rows:
        left = 0
        for tile in row:
            canvas[top : top + len(tile), left : left + tile.shape[1]] = np.dstack(
                [tile, np.full(tile.shape[:2], 255, np.uint8)]
            )
            left += tile.shape[1] + GAP_PX
        top += max(len(tile) for tile in row) + GAP_PX
    return canvas
