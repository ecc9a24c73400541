"""A signed distance and colour from a hash grid, rendered as NeuS does.

f(x) = |x - centre| - radius + first output of a tiny network, positive outside. A sample of a ray becomes
opaque as f falls over the section to the next sample; with s the sharpness and Phi the logistic function
(Wang et al., NeuS, 2021, eq. 13)

    alpha_i = max(1 - Phi(s f_{i+1}) / Phi(s f_i), 0),      tau_i = -log(1 - alpha_i)

Normals and the Laplacian come from finite differences over one cell of the finest active level. That also
smooths the surface and spares second derivatives (Li et al., Neuralangelo, 2023, section 3.1). The corners of
a tetrahedron do: four points, and a gradient that is off by the step times mixed second derivatives.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, normalize, softplus

from nerfrecon.fields.colours import colours_of
from nerfrecon.fields.density import FEATURES, HIDDEN
from nerfrecon.fields.grid import grid_layout
from nerfrecon.fields.init import first_parameters
from nerfrecon.fields.mlp import HashGrid, Mlp
from nerfrecon.ops.view_basis import WIDTH, view_basis
from nerfrecon.options import LearnedSharpness, SdfFieldOptions

TETRAHEDRON = ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1))
"""Corners k of a tetrahedron: sum k k^T = 4 I."""
SMALLEST_DISTANCE2 = 1e-8


class Differences(NamedTuple):
    """Gradient of f, unit normals along it, and the Laplacian of f."""

    gradient: Float[Tensor, "n 3"]
    normal: Float[Tensor, "n 3"]
    laplacian: Float[Tensor, " n"]


class SdfField(nn.Module):
    """sdf(x) in lengths of the unit cube, its differences, and colour(x, d, normal) in [0, 1]."""

    centre: Tensor
    radius: Tensor

    def __init__(self, options: SdfFieldOptions, seed: int = 0) -> None:
        super().__init__()
        self.options = options
        self.grid = HashGrid(grid_layout(options.grid))
        self.sdf_mlp = Mlp((HIDDEN, self.grid.layout.width + 4), (FEATURES, HIDDEN))
        self.colour_mlp = Mlp((HIDDEN, FEATURES + WIDTH + 4), (HIDDEN, HIDDEN), (3, HIDDEN))
        learned = isinstance(options.sharpness, LearnedSharpness)
        self.sharpness = nn.Parameter(torch.zeros(()), requires_grad=learned)
        """log s; a schedule writes it, where it is not learned."""
        self.register_buffer("centre", torch.zeros(3))
        self.register_buffer("radius", torch.zeros(1))
        first = first_parameters(options, seed)
        self.load_state_dict({name: torch.from_numpy(values) for name, values in first.items()})

    def sdf(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 16"]]:
        """Signed distance at points in [0, 1]^3, and the features that `colour` takes."""
        plain = torch.cat([self.grid(points), 2 * points - 1, torch.ones_like(points[:, :1])], 1)
        features = self.sdf_mlp(plain)
        distance = ((points - self.centre).square().sum(1) + SMALLEST_DISTANCE2).sqrt()
        return distance - self.radius + features[:, 0], features

    def differences(
        self, points: Float[Tensor, "n 3"], sdf: Float[Tensor, " n"], step: float | None = None
    ) -> Differences:
        """From f at the points, which is `sdf`, and at four points around each.

        The four are kept within the cube: within a step of its sides the differences are not those of f.
        """
        h = self.grid.step if step is None else step
        corners = points.new_tensor(TETRAHEDRON)
        around = (points[:, None] + h * corners).clamp(0, 1)
        values = self.sdf(around.reshape(-1, 3))[0].reshape(-1, 4)
        gradient = values @ corners / (4 * h)
        laplacian = (values.sum(1) - 4 * sdf) / (2 * h * h)
        return Differences(gradient, normalize(gradient, dim=1), laplacian)

    def colour(
        self,
        features: Float[Tensor, "n 16"],
        directions: Float[Tensor, "n 3"],
        normals: Float[Tensor, "n 3"],
    ) -> Float[Tensor, "n 3"]:
        """Red, green and blue as seen along unit `directions`."""
        ones = torch.ones_like(normals[:, :1])
        inputs = torch.cat([features, view_basis(directions), normals, ones], 1)
        return colours_of(self.colour_mlp(inputs))


def section_thickness(
    sdf: Float[Tensor, " n"],
    starts: Int64[Tensor, " bounds"],
    joined: Bool[Tensor, " n"],
    sharpness: Float[Tensor, ""],
) -> Float[Tensor, " n"]:
    """Optical thickness of the section behind each sample; `sharpness` is s.

    `joined` says which samples follow the one before without a gap: there is no section across a gap, nor
    behind a ray's last sample. A ray's first sample also has the section that enters: from outside, where
    Phi = 1, to it. Without that a ray that begins inside sees through, and the whole field may empty itself.
    """
    logarithm = logsigmoid(sharpness * sdf)
    fall = torch.relu(logarithm[:-1] - logarithm[1:])
    thickness = torch.cat([torch.where(joined[1:], fall, 0), fall.new_zeros(min(1, len(sdf)))])
    first = starts[:-1][starts.diff() > 0]
    return thickness.index_add(0, first, softplus(-sharpness * sdf[first]))
