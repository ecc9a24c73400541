"""First parameters of a field, by counter-based random numbers, so that every backend starts alike.

The table is tensor 0, then come the matrices as they are listed below. Number i of tensor k is

    (2 * uniform(seed, step=k, ray=i, which=INIT) - 1) * bound

in float32, i counting row by row. The bound of the hash table is 1e-4, that of a matrix (out, in) is
sqrt(6 / (in + out)), Glorot and Bengio's rule (2010).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32

from nerfrecon.fields.grid import grid_layout
from nerfrecon.options import DensityFieldOptions, SdfFieldOptions
from nerfrecon.render.random import Draw, uniform

TABLE_BOUND = 1e-4

DENSITY_SHAPES = {
    "density_mlp": ((64, None), (16, 64)),
    "colour_mlp": ((64, 32), (64, 64), (3, 64)),
}
SDF_SHAPES = {
    "sdf_mlp": ((64, None), (16, 64)),
    "colour_mlp": ((64, 36), (64, 64), (3, 64)),
}


def first_numbers(
    seed: int, tensor: int, shape: tuple[int, ...], bound: float
) -> Float32[np.ndarray, "*shape"]:
    """Uniform numbers within +-bound for the tensor of this number."""
    count = math.prod(shape)
    drawn = uniform(seed, tensor, np.arange(count), Draw.INIT)
    return ((2 * drawn - np.float32(1)) * np.float32(bound)).reshape(shape)


def first_matrix(seed: int, tensor: int, shape: tuple[int, int]) -> Float32[np.ndarray, "rows columns"]:
    """A matrix (out, in) by Glorot and Bengio's rule."""
    return first_numbers(seed, tensor, shape, math.sqrt(6 / (shape[0] + shape[1])))


def first_parameters(options: DensityFieldOptions | SdfFieldOptions, seed: int) -> dict[str, np.ndarray]:
    """The state dict of a new field: what `DensityField` or `SdfField` starts from, without torch.

    The SDF's first output begins at zero, which makes the field the sphere it is told; `sharpness` is log s.
    """
    layout = grid_layout(options.grid)
    is_sdf = isinstance(options, SdfFieldOptions)
    encoded = layout.width + 4 if is_sdf else layout.width
    state = {"grid.table": first_numbers(seed, 0, (layout.rows, layout.features), TABLE_BOUND)}
    for name, shapes in (SDF_SHAPES if is_sdf else DENSITY_SHAPES).items():
        for index, (rows, columns) in enumerate(shapes):
            state[f"{name}.{index}"] = first_matrix(seed, len(state), (rows, columns or encoded))
    if is_sdf:
        state["sdf_mlp.1"][0] = 0
        state["sharpness"] = np.array(math.log(options.sharpness.first), np.float32)
        state["centre"] = np.full(3, 0.5, np.float32)
        state["radius"] = np.full(1, options.radius, np.float32)
    return state
