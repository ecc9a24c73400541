"""What voxels learn from: renderings of the source, or photographs of it, drawn from in patches of rays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

from nerfrecon.backends.base import RayCamera, Rendered
from nerfrecon.bake.source import Source
from nerfrecon.render.rays import camera_directions, pixel_grid
from suite.errors import BadInput

PATCH = 8
"""Rays come in patches of so many by so many pixels: neighbours read the same voxels."""
EMPTY_SHARE = 0.03
"""Of the patches that show nothing, as many as this share of the others is learned from too."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """Pictures as rays: premultiplied colour and opacity; and renderings of the source, for their depth."""

    cameras: Sequence[RayCamera]
    rendered: Sequence[Rendered]
    origins: Float32[Tensor, "views 3"]
    directions: Sequence[Float32[Tensor, "pixels 3"]]
    colours: Sequence[Float[Tensor, "pixels 4"]]
    patches: np.ndarray
    """(view, row, column) of patches' first pixels, those that show something before the others."""
    shown: int


def teach(
    source: Source,
    cameras: Sequence[RayCamera],
    photographs: Mapping[int, UInt8[np.ndarray, "h w 4"]] | None = None,
) -> Teacher:
    """Render the source at these cameras; some may have photographs (RGBA, straight alpha), by their number,
    which are learned from instead. BadInput for a camera of less than 8 px."""
    if min(min(camera.width, camera.height) for camera in cameras) < PATCH:
        raise BadInput("a picture to learn from is less than 8 px wide or high", hint="raise most_px")
    rendered, directions, colours, shown, empty = [], [], [], [], []
    for number, camera in enumerate(cameras):
        seen = source.render(camera, (0.0, 0.0, 0.0))
        rendered.append(seen)
        away = camera_directions(camera, pixel_grid(camera)) @ camera.T_unit_camera[:3, :3].T
        directions.append(torch.from_numpy(away.astype(np.float32)))
        both = np.concatenate([seen.rgb, seen.opacity[..., None]], 2)
        if photographs and number in photographs:
            both = photographs[number] / np.float32(255)
            both[..., :3] *= both[..., 3:]
        colours.append(torch.from_numpy(both.reshape(-1, 4).astype(np.float16)))
        rows, columns = (_starts(side) for side in (camera.height, camera.width))
        for row in rows:
            for column in columns:
                part = slice(row, row + PATCH), slice(column, column + PATCH)
                some = max(seen.opacity[part].max(), both[part][..., 3].max()) > 1e-3
                (shown if some else empty).append((number, row, column))
    origins = np.stack([camera.T_unit_camera[:3, 3] for camera in cameras]).astype(np.float32)
    patches = np.array(shown + empty, np.int64).reshape(-1, 3)
    return Teacher(cameras, rendered, torch.from_numpy(origins), directions, colours, patches, len(shown))


class Batch(NamedTuple):
    origins: Float32[Tensor, "n 3"]
    directions: Float32[Tensor, "n 3"]
    colours: Float32[Tensor, "n 4"]


def rounds(teacher: Teacher, rays: int, rng: np.random.Generator) -> Iterator[Int[np.ndarray, "n 3"]]:
    """Patches for batches of about so many rays, without end: each that shows something once a round."""
    count = max(1, rays // PATCH**2)
    empty = len(teacher.patches) - teacher.shown
    waiting = np.zeros((0, 3), np.int64)
    while True:
        while len(waiting) < count:
            some = teacher.shown + rng.permutation(empty)[: round(EMPTY_SHARE * teacher.shown)]
            chosen = rng.permutation(np.concatenate([np.arange(teacher.shown), some]))
            waiting = np.concatenate([waiting, teacher.patches[chosen]])
        yield waiting[:count]
        waiting = waiting[count:]


def rays_of(teacher: Teacher, patches: Int[np.ndarray, "n 3"]) -> Batch:
    """All rays of these patches."""
    parts = []
    for view, row, column in patches:
        width = teacher.cameras[view].width
        pixels = torch.arange(row, row + PATCH)[:, None] * width + torch.arange(column, column + PATCH)
        pixels = pixels.ravel()
        origin = teacher.origins[view].expand(len(pixels), 3)
        parts.append((origin, teacher.directions[view][pixels], teacher.colours[view][pixels].float()))
    return Batch(*(torch.cat(one) for one in zip(*parts, strict=True)))


def _starts(side: int) -> list[int]:
    """First pixels of patches that cover a side; the last may overlap the one before."""
    return sorted({min(at, side - PATCH) for at in range(0, side, PATCH)})
