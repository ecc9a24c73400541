"""Tiny networks without biases, and the hash grid as a module: parts of the fields."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nerfrecon.fields.grid import GridLayout
from nerfrecon.ops.hash_grid import encode


class Mlp(nn.Module):
    """Matrices (out, in) named 0, 1, ..., with ReLU between and nothing behind the last."""

    def __init__(self, *shapes: tuple[int, int]) -> None:
        super().__init__()
        for index, shape in enumerate(shapes):
            self.register_parameter(str(index), nn.Parameter(torch.zeros(shape)))

    def forward(self, values: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        *hidden, last = self.parameters()
        for matrix in hidden:
            values = torch.relu(values @ matrix.T)
        return values @ last.T


class HashGrid(nn.Module):
    """A table and the layout that says where its levels are."""

    def __init__(self, layout: GridLayout) -> None:
        super().__init__()
        self.layout = layout
        self.active = len(layout.levels)
        """Levels that are looked up; the others give zeros."""
        self.table = nn.Parameter(torch.zeros(layout.rows, layout.features))

    @property
    def step(self) -> float:
        """Side of a cell of the finest active level."""
        return self.layout.step(self.active)

    def forward(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n width"]:
        return encode(points, self.table, self.layout, self.active)
