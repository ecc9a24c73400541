"""What is baked: something that says how thick it is at points, and can be rendered."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32

from nerfrecon.backends.base import Backend, Colour, RayCamera, Rendered
from suite.errors import BadInput


@runtime_checkable
class Source(Protocol):
    """A volume in the unit cube."""

    @property
    def occupied(self) -> Bool[np.ndarray, "r r r"]:
        """Cells [z, y, x] outside of which it is empty."""
        ...

    def density(self, points: Float32[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Optical thickness per unit length."""
        ...

    def render(self, camera: RayCamera, background: Colour) -> Rendered:
        """The view of a camera."""
        ...


class FieldSource:
    """A trained field of any backend.

    A signed distance f of sharpness s counts as the density s (1 - Phi(s f)) that NeuS has along its normal
    (Wang et al. 2021, eq. 10 with cos = 1).
    """

    def __init__(self, backend: Backend) -> None:
        self._backend: Any = backend
        state = backend.state()
        if "occupancy.occupied" not in state:
            raise BadInput("the field has no grid of occupied cells", hint="train it with backend native")
        cells = np.asarray(state["occupancy.occupied"]).astype(bool)
        side = round(len(cells) ** (1 / 3))
        self.occupied = cells.reshape(side, side, side)
        self._sharpness = float(np.exp(state["sharpness"])) if "sharpness" in state else None

    def density(self, points: Float32[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        if self._sharpness is None:
            return self._backend.density(points)
        s = self._sharpness
        return s / (1 + np.exp((s * self._backend.sdf(points)).clip(-60, 60)))

    def render(self, camera: RayCamera, background: Colour) -> Rendered:
        return self._backend.render(camera, background)
