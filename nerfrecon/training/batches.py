"""Training pictures on one device: pixel numbers in, rays and what they should see out.

Pixels of all views lie in one table, view after view, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from nerfrecon.backends.base import RayCamera, TrainingView
from nerfrecon.render.rays import Pixels, Rays, undistort
from suite.errors import BadInput


class Targets(NamedTuple):
    """What pixels show: colour (not premultiplied) and alpha in [0, 1]; `usable` ones say something."""

    colour: Float32[Tensor, "n 3"]
    alpha: Float32[Tensor, " n"]
    usable: Bool[Tensor, " n"]

    def over(self, background: Float[Tensor, "n 3"]) -> Float32[Tensor, "n 3"]:
        """The pixels laid over a background."""
        return self.colour * self.alpha[:, None] + background * (1 - self.alpha[:, None])


class Pictures:
    """The views' pixels, lenses and poses."""

    def __init__(self, views: Sequence[TrainingView], device: torch.device) -> None:
        if not views:
            raise BadInput("there are no views to learn from", hint="give pictures with poses")
        self.cameras = [view.camera for view in views]
        self.sizes_px = torch.tensor([[c.width, c.height] for c in self.cameras], device=device)
        counts = self.sizes_px.prod(1)
        self._first = torch.cat([counts.new_zeros(1), counts.cumsum(0)])[:-1]
        self._pixels = torch.cat([_rgba(view) for view in views]).to(device)
        usable = [
            np.ones((v.camera.height, v.camera.width), bool) if v.usable is None else v.usable for v in views
        ]
        self._usable = None
        if any(view.usable is not None for view in views):
            self._usable = torch.from_numpy(np.concatenate([part.ravel() for part in usable])).to(device)
        self.poses = torch.from_numpy(np.stack([c.T_unit_camera[:3] for c in self.cameras])).to(device)
        lens = [[c.fx, c.fy, c.cx, c.cy] for c in self.cameras]
        self._lens = torch.tensor(lens, dtype=torch.float64, device=device)
        self._undistorted = _Undistorted(self.cameras, device)

    def targets(self, pixels: Pixels) -> Targets:
        """What the pixels show."""
        number = self._first[pixels.view] + pixels.row * self.sizes_px[pixels.view, 0] + pixels.column
        values = self._pixels[number].float() / 255
        usable = torch.ones_like(number, dtype=torch.bool) if self._usable is None else self._usable[number]
        return Targets(values[:, :3], values[:, 3], usable)

    def rays(self, pixels: Pixels, poses: Float64[Tensor, "views 3 4"]) -> Rays:
        """The rays through pixel centres, differentiable in the poses."""
        plane = self._undistorted.look_up(pixels)
        if plane is None:
            at = torch.stack([pixels.column, pixels.row], 1).double()
            plane = self._plane(at, pixels.view)
        return _rays(plane, poses[pixels.view])

    def rays_at(
        self,
        view: Int64[Tensor, " n"],
        positions_px: Float64[Tensor, "n 2"],
        poses: Float64[Tensor, "views 3 4"],
    ) -> Rays:
        """The rays through positions (u, v) between pixels."""
        plane = self._plane(positions_px, view)
        if self._undistorted.any:
            found = plane.cpu().numpy().copy()
            for number, camera in enumerate(self.cameras):
                mine = (view == number).cpu().numpy()
                found[mine] = undistort(found[mine], camera.distortion)
            plane = torch.from_numpy(found).to(plane.device)
        return _rays(plane, poses[view])

    def _plane(self, positions_px: Tensor, view: Tensor) -> Tensor:
        fx, fy, cx, cy = self._lens[view].unbind(1)
        return torch.stack([(positions_px[:, 0] - cx) / fx, (positions_px[:, 1] - cy) / fy], 1)


class _Undistorted:
    """Undistorted image coordinates of every pixel, a table for each lens that bends; None has no table."""

    def __init__(self, cameras: Sequence[RayCamera], device: torch.device) -> None:
        self.any = any(any(camera.distortion) for camera in cameras)
        if not self.any:
            return
        tables: dict[tuple[float | tuple[float, ...], ...], int] = {}
        parts: list[Tensor] = []
        self._start, self._width = [], []
        at = 0
        for c in cameras:
            key = (c.width, c.height, c.fx, c.fy, c.cx, c.cy, c.distortion)
            if key not in tables:
                v, u = np.mgrid[: c.height, : c.width].reshape(2, -1)
                plane = undistort(np.stack([(u - c.cx) / c.fx, (v - c.cy) / c.fy], -1), c.distortion)
                parts.append(torch.from_numpy(plane.astype(np.float32)))
                tables[key] = at
                at += c.width * c.height
            self._start.append(tables[key])
            self._width.append(c.width)
        self._starts = torch.tensor(self._start, device=device)
        self._widths = torch.tensor(self._width, device=device)
        self._table = torch.cat(parts).to(device)

    def look_up(self, pixels: Pixels) -> Tensor | None:
        if not self.any:
            return None
        number = self._starts[pixels.view] + pixels.row * self._widths[pixels.view] + pixels.column
        return self._table[number].double()


def _rays(plane: Tensor, poses: Tensor) -> Rays:
    directions = torch.cat([plane, torch.ones_like(plane[:, :1])], 1)
    directions = directions / directions.norm(dim=1, keepdim=True)
    turned = (poses[:, :, :3] @ directions[:, :, None])[:, :, 0]
    return Rays(poses[:, :, 3].float(), turned.float())


def _rgba(view: TrainingView) -> Tensor:
    pixels = view.pixels.reshape(-1, view.pixels.shape[2])
    if pixels.shape[1] == 3:
        pixels = np.concatenate([pixels, np.full((len(pixels), 1), 255, np.uint8)], 1)
    return torch.from_numpy(np.ascontiguousarray(pixels))
