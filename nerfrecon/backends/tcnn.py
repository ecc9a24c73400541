"""A density field on a GPU by tiny-cuda-nn's networks and nerfacc's marching.

Both packages are imported on first use. The training step is that of `TorchBackend`; its networks and its
march are replaced. Parameters go to and from our names and shapes without loss:

* an `Encoding` of type HashGrid has one vector, levels after each other, a row's features together: our table
  read row by row;
* a `Network` has one vector, its matrices (out, in) after each other, row by row; the inputs of the first and
  the outputs of the last are rounded up to a multiple of 16. What is added is zero here and is not ours
  (tiny-cuda-nn, `fully_fused_mlp.cu`, `network_with_input_encoding.h`: without an encoding of its own a
  network has an identity that pads with ones).

tiny-cuda-nn computes in 16 bits, so values agree with the other backends' to about three digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor, nn

from nerfrecon.backends.base import TrainingView
from nerfrecon.backends.torch import TABLE, TorchBackend
from nerfrecon.fields.colours import colours_of
from nerfrecon.fields.density import FEATURES, HIDDEN, DensityField, exp_clamped
from nerfrecon.fields.grid import GridLayout, grid_layout
from nerfrecon.fields.init import first_parameters
from nerfrecon.ops.view_basis import WIDTH, view_basis
from nerfrecon.options import (
    BigMlpFieldOptions,
    DensityFieldOptions,
    LossOptions,
    OptimiserOptions,
    SamplingOptions,
    SdfFieldOptions,
)
from nerfrecon.render.march import Samples, bounds, enter_cube
from nerfrecon.render.rays import Rays
from nerfrecon.render.volume import Field, Seen, see, visible
from suite.errors import BackendUnavailable

ALIGNMENT = 16
NETWORKS = {"density_mlp": 2, "colour_mlp": 3}
"""Our networks, and how many matrices each has."""
_INSTALL = "install tinycudann and nerfacc, or take backend native or torch"


def load_packages() -> tuple[ModuleType, ModuleType]:
    """tinycudann and nerfacc. Raises BackendUnavailable, with the cause, where they cannot be used."""
    if not torch.cuda.is_available():
        raise BackendUnavailable("the tcnn backend", "there is no CUDA device here", "take native or torch")
    try:
        import nerfacc  # pyright: ignore[reportMissingImports]
        import tinycudann  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError) as error:  # OSError: built for another device or CUDA
        raise BackendUnavailable("the tcnn backend", " ".join(str(error).split()), _INSTALL) from None
    return tinycudann, nerfacc


def encoding_config(layout: GridLayout, growth: float | int, log2_table: int) -> dict[str, Any]:
    """tiny-cuda-nn's settings of the hash grid."""
    return {
        "otype": "HashGrid",
        "n_levels": len(layout.levels),
        "n_features_per_level": layout.features,
        "log2_hashmap_size": log2_table,
        "base_resolution": round(layout.levels[0].scale) + 1,
        "per_level_scale": growth,
        "interpolation": "Linear",
    }


def network_config(matrices: int) -> dict[str, Any]:
    """tiny-cuda-nn's settings of a network of so many matrices, 64 wide."""
    return {
        "otype": "FullyFusedMLP",
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": HIDDEN,
        "n_hidden_layers": matrices - 1,
    }


def to_vector(matrices: Sequence[np.ndarray]) -> Float32[np.ndarray, " n"]:
    """Matrices (out, in) as a network's vector; what padding adds is zero."""
    parts = []
    for index, matrix in enumerate(matrices):
        rows, columns = _padded(matrix.shape, index, len(matrices))
        padded = np.zeros((rows, columns), np.float32)
        padded[: matrix.shape[0], : matrix.shape[1]] = matrix
        parts.append(padded.ravel())
    return np.concatenate(parts)


def from_vector(vector: Float32[np.ndarray, " n"], shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """The way back; ValueError for a vector of another length."""
    sizes = [_padded(shape, index, len(shapes)) for index, shape in enumerate(shapes)]
    if len(vector) != sum(rows * columns for rows, columns in sizes):
        raise ValueError(f"{len(vector)} parameters for matrices {list(shapes)}")
    matrices, at = [], 0
    for (rows, columns), shape in zip(sizes, shapes, strict=True):
        matrix = vector[at : at + rows * columns].reshape(rows, columns)
        matrices.append(np.ascontiguousarray(matrix[: shape[0], : shape[1]]))
        at += rows * columns
    return matrices


def grid_binaries(occupied: Bool[Tensor, " cells"]) -> Bool[Tensor, "1 x y z"]:
    """Our cells, numbered (z * r + y) * r + x, as nerfacc's levels of x, y, z."""
    r = round(len(occupied) ** (1 / 3))
    return occupied.reshape(r, r, r).permute(2, 1, 0)[None].contiguous()


def packed_samples(
    rays: Rays,
    ray: Int64[Tensor, " n"],
    start: Float[Tensor, " n"],
    end: Float[Tensor, " n"],
) -> Samples:
    """nerfacc's sections, near to far in each ray, as ours; a section is looked at where it begins."""
    points = (rays.origins[ray] + start[:, None] * rays.directions[ray]).clamp(0, 1)
    gap = torch.ones_like(ray, dtype=torch.bool)
    gap[1:] = (ray[1:] != ray[:-1]) | ((start[1:] - end[:-1]).abs() > 1e-5)
    counts = torch.bincount(ray, minlength=len(rays.origins))
    return Samples(points, start, end - start, ray, ~gap, bounds(counts))


def _padded(shape: Sequence[int], index: int, count: int) -> tuple[int, int]:
    """Size of matrix `index` of `count` with the padding of the network's ends."""
    rows, columns = shape
    if index == count - 1:
        rows = -(-rows // ALIGNMENT) * ALIGNMENT
    if index == 0:
        columns = -(-columns // ALIGNMENT) * ALIGNMENT
    return rows, columns


class TcnnField(DensityField):
    """A density field whose parameters are three vectors: `table`, `density_mlp`, `colour_mlp`."""

    def __init__(self, tcnn: ModuleType, options: DensityFieldOptions, seed: int) -> None:
        nn.Module.__init__(self)
        self.options = options
        layout = grid_layout(options.grid)
        growth = (options.grid.finest_resolution / options.grid.coarsest_resolution) ** (
            1 / max(len(layout.levels) - 1, 1)
        )
        config = encoding_config(layout, growth, options.grid.log2_table)
        self.grid = _Grid(tcnn.Encoding(3, config, dtype=torch.float32), layout)  # pyright: ignore
        for name, (inputs, outputs) in {
            "density_mlp": (layout.width, FEATURES),
            "colour_mlp": (FEATURES + WIDTH, 3),
        }.items():
            network = tcnn.Network(inputs, outputs, network_config(NETWORKS[name]))
            self.add_module(name, network)
        self.shapes = {name: array.shape for name, array in first_parameters(options, seed).items()}

    def density(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 16"]]:
        """Density at points in [0, 1]^3, and the features that `colour` takes."""
        features = self.density_mlp(self.grid(points)).float()
        return exp_clamped(features[:, 0]), features

    def colour(
        self, features: Float[Tensor, "n 16"], directions: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        """Red, green and blue as seen along unit `directions`."""
        inputs = torch.cat([features, view_basis(directions)], 1)
        return colours_of(self.colour_mlp(inputs).float())


class _Grid(nn.Module):
    """An encoding whose levels can be switched off: they give zeros and get no gradient."""

    def __init__(self, encoding: nn.Module, layout: GridLayout) -> None:
        super().__init__()
        self.encoding, self.layout, self.active = encoding, layout, len(layout.levels)

    def forward(self, points: Tensor) -> Tensor:
        on = torch.arange(self.layout.width, device=points.device) < self.active * self.layout.features
        return torch.where(on, self.encoding(points).float(), 0.0)


GRID = "grid.encoding.params"
VECTORS = {
    GRID: TABLE,
    "density_mlp.params": "density_mlp",
    "colour_mlp.params": "colour_mlp",
}
"""tiny-cuda-nn's vectors in the module, and what they hold."""


def ours(
    vectors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Float32[np.ndarray, ...]]:
    """Vectors of a TcnnField, parameters or moments of them, under our names and in our shapes."""
    found: dict[str, np.ndarray] = {}
    for key, vector in vectors.items():
        if VECTORS.get(key) == TABLE:
            found[TABLE] = vector.reshape(shapes[TABLE])
        elif key in VECTORS:
            names = [f"{VECTORS[key]}.{index}" for index in range(NETWORKS[VECTORS[key]])]
            found |= dict(zip(names, from_vector(vector, [shapes[name] for name in names]), strict=True))
        else:
            found[key] = vector
    return found


def theirs(arrays: Mapping[str, np.ndarray]) -> dict[str, Float32[np.ndarray, ...]]:
    """The way back."""
    found: dict[str, np.ndarray] = {}
    for key, name in VECTORS.items():
        if name == TABLE:
            found[key] = np.ascontiguousarray(arrays[TABLE], np.float32).ravel()
        else:
            found[key] = to_vector([arrays[f"{name}.{index}"] for index in range(NETWORKS[name])])
    return found


class TcnnBackend(TorchBackend):
    """`TorchBackend` with tiny-cuda-nn's field and nerfacc's march.

    Raises BackendUnavailable without a GPU or the packages, and for a field that they do not have.
    """

    def __init__(
        self,
        field: DensityFieldOptions | SdfFieldOptions | BigMlpFieldOptions,
        sampling: SamplingOptions,
        losses: LossOptions,
        optimiser: OptimiserOptions,
        views: Sequence[TrainingView] = (),
        *,
        seed: int = 0,
        most_rays: int = 65536,
        device: str = "cuda",
        exposure: bool = False,
        poses: bool = False,
    ) -> None:
        if not isinstance(field, DensityFieldOptions):
            raise BackendUnavailable("tcnn", f"it has no field of type {field.type}", "take backend torch")
        if grid_layout(field.grid).width % ALIGNMENT:
            raise BackendUnavailable(
                "tcnn",
                f"levels times features is not a multiple of {ALIGNMENT}",
                "take 16 levels of 2 features, or backend torch",
            )
        self._tcnn, self._nerfacc = load_packages()
        super().__init__(
            field,
            sampling,
            losses,
            optimiser,
            views,
            seed=seed,
            most_rays=most_rays,
            device=device,
            exposure=exposure,
            poses=poses,
        )
        self.field.load_state_dict(self._imported(first_parameters(field, seed)))
        self._estimator = self._nerfacc.OccGridEstimator([0.0, 0, 0, 1, 1, 1], sampling.occupancy_resolution)
        self._estimator = self._estimator.to(self.device)

    @property
    def name(self) -> str:
        """Such as `tcnn cuda`."""
        return f"tcnn {self.device}"

    def _made(self, options: DensityFieldOptions | SdfFieldOptions | BigMlpFieldOptions, seed: int) -> Field:
        assert isinstance(options, DensityFieldOptions)  # refused before
        field = TcnnField(self._tcnn, options, seed)
        expected = theirs(first_parameters(options, seed))
        for name, parameter in field.named_parameters():
            if parameter.numel() != len(expected[name]):
                raise BackendUnavailable(
                    "tcnn",
                    f"its {name} has {parameter.numel()} parameters, ours {len(expected[name])}: "
                    "its levels round otherwise",
                    "take another finest_resolution, or backend torch",
                )
        return field

    def _march(self, rays: Rays, sampling: SamplingOptions, jitter: Tensor) -> Samples:
        """nerfacc's march, its lattice moved by `jitter` as ours is."""
        self._estimator.binaries = grid_binaries(self.occupancy.occupied)
        entry, exit_ = enter_cube(rays.origins, rays.directions, sampling.near)
        ray, start, end = self._estimator.sampling(
            rays.origins,
            rays.directions,
            t_min=entry + jitter * sampling.step,
            t_max=exit_,
            render_step_size=sampling.step,
            cone_angle=sampling.cone,
        )
        return packed_samples(rays, ray.long(), start, end)

    def _seen(self, rays: Rays, background: Tensor) -> Seen:
        samples = self._march(rays, self.sampling, torch.full_like(rays.origins[:, 0], 0.5))
        samples = samples.subset(visible(self.field, samples, self.sampling.stop))
        behind = background.expand(len(rays.origins), 3)
        return see(self.field, samples, rays.directions, behind, self.sampling.stop)

    def _sparse(self) -> frozenset[str]:
        return frozenset({GRID})

    def _rate(self, name: str) -> float:
        return self.pace.grid_lr if name == GRID else super()._rate(name)

    def _exported(self, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        assert isinstance(self.field, TcnnField)
        return ours(super()._exported(tensors), self.field.shapes)

    def _imported(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        return {name: torch.tensor(value) for name, value in theirs(arrays).items()}
