"""Volume density and colour from a hash grid and two tiny networks (Mueller et al. 2022, section 5.4)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfrecon.fields.colours import colours_of
from nerfrecon.fields.grid import grid_layout
from nerfrecon.fields.init import first_parameters
from nerfrecon.fields.mlp import HashGrid, Mlp
from nerfrecon.ops.view_basis import WIDTH, view_basis
from nerfrecon.options import DensityFieldOptions

FEATURES = 16
"""What the density network hands to the colour network; the first is the logarithm of density."""
HIDDEN = 64
LARGEST_LOG_DENSITY = 15.0


class DensityField(nn.Module):
    """density(x) per unit length of the unit cube, and colour(x, d) in [0, 1]."""

    def __init__(self, options: DensityFieldOptions, seed: int = 0) -> None:
        super().__init__()
        self.options = options
        self.grid = HashGrid(grid_layout(options.grid))
        self.density_mlp = Mlp((HIDDEN, self.grid.layout.width), (FEATURES, HIDDEN))
        self.colour_mlp = Mlp((HIDDEN, FEATURES + WIDTH), (HIDDEN, HIDDEN), (3, HIDDEN))
        first = first_parameters(options, seed)
        self.load_state_dict({name: torch.from_numpy(values) for name, values in first.items()})

    def density(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 16"]]:
        """Density at points in [0, 1]^3, and the features that `colour` takes."""
        features = self.density_mlp(self.grid(points))
        return exp_clamped(features[:, 0]), features

    def colour(
        self, features: Float[Tensor, "n 16"], directions: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        """Red, green and blue as seen along unit `directions`."""
        return colours_of(self.colour_mlp(torch.cat([features, view_basis(directions)], 1)))


def exp_clamped(logarithm: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """exp, level from 15 on, where its gradient is zero."""
    return torch.exp(logarithm.clamp(max=LARGEST_LOG_DENSITY))
