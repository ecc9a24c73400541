"""The classic radiance field: positional encoding and one big network (Mildenhall et al. 2020, section 5).

Two things differ from the paper, so that a comparison with a hash grid compares nothing else: density is the
exponential that `DensityField` has, and positions are those of the unit cube, stretched to [-1, 1].
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfrecon.fields.colours import colours_of
from nerfrecon.fields.density import exp_clamped
from nerfrecon.fields.init import first_matrix
from nerfrecon.options import BigMlpFieldOptions


class BigMlpField(nn.Module):
    """density(x) and colour(x, d), with the interface of `DensityField`."""

    def __init__(self, options: BigMlpFieldOptions, seed: int = 0) -> None:
        super().__init__()
        self.options = options
        width, position = options.width, 3 + 6 * options.position_frequencies
        direction = 3 + 6 * options.direction_frequencies
        inputs = [position] + [width] * (options.layers - 1)
        inputs[options.skip] += position
        self.trunk = nn.ModuleList(nn.Linear(count, width) for count in inputs)
        self.density_head = nn.Linear(width, 1)
        self.bottleneck = nn.Linear(width, width)
        self.view = nn.Linear(width + direction, width // 2)
        self.colour_head = nn.Linear(width // 2, 3)
        with torch.no_grad():
            for number, parameter in enumerate(self.parameters()):
                if parameter.ndim == 2:
                    shape = (parameter.shape[0], parameter.shape[1])
                    parameter.copy_(torch.from_numpy(first_matrix(seed, number, shape)))
                else:
                    parameter.zero_()

    def density(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n width"]]:
        """Density at points in [0, 1]^3, and the features that `colour` takes."""
        encoded = encode_position(2 * points - 1, self.options.position_frequencies)
        features = encoded
        for index, layer in enumerate(self.trunk):
            if index == self.options.skip:
                features = torch.cat([encoded, features], 1)
            features = torch.relu(layer(features))
        return exp_clamped(self.density_head(features)[:, 0]), features

    def colour(
        self, features: Float[Tensor, "n width"], directions: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        """Red, green and blue as seen along unit `directions`."""
        encoded = encode_position(directions, self.options.direction_frequencies)
        hidden = torch.relu(self.view(torch.cat([self.bottleneck(features), encoded], 1)))
        return colours_of(self.colour_head(hidden))


def encode_position(values: Float[Tensor, "n 3"], frequencies: int) -> Float[Tensor, "n encoded"]:
    """The values themselves, then sin and cos of pi 2^k times them for k below `frequencies` (eq. 4)."""
    factors = math.pi * 2.0 ** torch.arange(frequencies, dtype=values.dtype, device=values.device)
    angles = values[:, None] * factors[:, None]  # n frequencies 3
    return torch.cat([values, torch.cat([angles.sin(), angles.cos()], 2).flatten(1)], 1)
