"""What is known of depth in training views: maps from a sensor, and points found with the poses.

Depths are lengths along rays in the unit cube, as `Seen.depth` is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from nerfrecon.render.random import Draw, torch_below
from nerfrecon.render.rays import Pixels
from suite.errors import BadInput


@dataclass(frozen=True, eq=False)
class ViewDepths:
    """A map with NaN where nothing is known, or None; and points at (u, v) with depth and trust in [0, 1]."""

    map: Float32[np.ndarray, "h w"] | None = None
    positions_px: Float[np.ndarray, "n 2"] = field(default_factory=lambda: np.zeros((0, 2)))
    depth: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))
    trust: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if not len(self.positions_px) == len(self.depth) == len(self.trust):
            raise BadInput("points of a view, their depths and their trusts differ in number")


class Depths:
    """The depths of all training views on one device."""

    def __init__(self, views: Sequence[ViewDepths], device: torch.device) -> None:
        maps = [view.map for view in views]
        self.has_maps = any(one is not None for one in maps)
        self._first: list[int] = []
        at, parts, widths = 0, [], []
        for one in maps:
            self._first.append(at)
            widths.append(0 if one is None else one.shape[1])
            if one is not None:
                parts.append(one.ravel())
                at += one.size
        self._maps = torch.from_numpy(np.concatenate([*parts, np.full(1, np.nan, np.float32)])).to(device)
        self._starts = torch.tensor(self._first, device=device)
        self._widths = torch.tensor(widths, device=device)
        numbers = np.concatenate([np.full(len(view.depth), n) for n, view in enumerate(views)])
        self.point_view = torch.from_numpy(numbers.astype(np.int64)).to(device)
        self.point_px = torch.from_numpy(np.concatenate([view.positions_px for view in views])).to(device)
        self.point_depth = torch.from_numpy(np.concatenate([v.depth for v in views])).float().to(device)
        self.point_trust = torch.from_numpy(np.concatenate([v.trust for v in views])).float().to(device)

    @property
    def points(self) -> int:
        """Sightings of points, in all views."""
        return len(self.point_depth)

    def at(self, pixels: Pixels) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Depth of the maps at pixels, and the trust in it: 1, or 0 where nothing is known."""
        width = self._widths[pixels.view]
        number = self._starts[pixels.view] + pixels.row * width + pixels.column
        known = width > 0
        depth = self._maps[torch.where(known, number, len(self._maps) - 1)]
        return torch.nan_to_num(depth), (~depth.isnan()).float()

    def drawn(self, seed: int, step: int, count: int) -> Tensor:
        """Numbers of `count` sightings, drawn at random."""
        numbers = torch.arange(count, device=self.point_view.device)
        return torch_below(self.points, seed, step, numbers, Draw.POINT)
