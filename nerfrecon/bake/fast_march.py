"""The march of render.py as the fit needs it, thousands of times: compiled where the native core is built."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from nerfrecon.bake.options import OpticsOptions
from nerfrecon.bake.render import Lookup, Marched, entered, march
from nerfrecon.bake.voxels import Voxels
from nerfrecon.native import load_native
from suite.errors import BackendUnavailable


class Marcher:
    """Marches rays through voxels; `compiled` says by what.

    Both ways look at the same lattice points. They differ by rounding alone: where a ray is about to end, one
    may take a point that the other leaves out.
    """

    def __init__(self, voxels: Voxels) -> None:
        self._lookup = Lookup(voxels)
        try:
            native = load_native()
        except BackendUnavailable:
            self._compiled: Any = None
        else:
            rows = self._lookup.rows.numpy()
            slot = voxels.slot.ravel()
            self._compiled = native.BakedVoxels(
                voxels.resolution, slot, rows, voxels.distance.ravel(), voxels.count + 1
            )

    @property
    def compiled(self) -> bool:
        return self._compiled is not None

    def march(
        self,
        codes: Float32[Tensor, " rows"],
        optics: OpticsOptions,
        origins: Float32[Tensor, "rays 3"],
        directions: Float32[Tensor, "rays 3"],
        offset: Float32[Tensor, " rays"] | None = None,
    ) -> Marched:
        """What render.march gives, but for what it counts, which is 0 here."""
        if self._compiled is None:
            return march(self._lookup, codes, optics, origins, directions, offset)
        rays = entered(self._lookup, optics, origins, directions, offset)
        how = (optics.step, optics.low, optics.high, optics.stop)
        arrays = [one.contiguous().numpy() for one in (codes, *rays)]
        found = self._compiled.march(*arrays, how, torch.get_num_threads())
        nothing = torch.zeros(len(origins), dtype=torch.int64)
        rows, weights, t, starts = (torch.from_numpy(one) for one in found)
        return Marched(rows, weights, t, starts, nothing, nothing)
