"""From feature maps to one vector: pooling, then BNNeck and dropout where they are asked for."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from imcls.model.backbones import Backbone, FeatureMaps
from imcls.model.options import Average, Concat, Flatten, Gem, Native, NeckOptions, Pooling

Vectors = Float[Tensor, "n d"]


class NativePooling(nn.Module):
    """What the backbone itself was trained with."""

    def forward(self, maps: FeatureMaps, backbone: Backbone) -> Vectors:
        return backbone.native_pool(maps)


class AveragePooling(nn.Module):
    """Average over the last map."""

    def forward(self, maps: FeatureMaps, backbone: Backbone) -> Vectors:
        return maps[-1].mean((2, 3))


class GemPooling(nn.Module):
    """Generalised mean (mean of x^p)^(1/p) of what is positive (Radenovic et al. 2018, eq. 3)."""

    def __init__(self, p: float, trained: bool) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(float(p)), requires_grad=trained)

    def forward(self, maps: FeatureMaps, backbone: Backbone) -> Vectors:
        x = _at_least_float32(maps[-1]).clamp(min=1e-6)
        # Homogeneous: dividing by the largest value keeps the powers within range and changes nothing.
        largest = x.amax((2, 3), keepdim=True).detach()
        means = (x / largest).pow(self.p).mean((2, 3)).pow(1 / self.p)
        return (largest[:, :, 0, 0] * means).to(maps[-1].dtype)


class FlattenPooling(nn.Module):
    """The last map as it is, as one vector."""

    def forward(self, maps: FeatureMaps, backbone: Backbone) -> Vectors:
        return maps[-1].flatten(1)


class ConcatPooling(nn.Module):
    """Averages of all maps, one after the other."""

    def forward(self, maps: FeatureMaps, backbone: Backbone) -> Vectors:
        return torch.cat([map_.mean((2, 3)) for map_ in maps], 1)


class Neck(nn.Module):
    """`pool` gives the features, `forward` what the head sees: after BNNeck (Luo et al. 2019) and dropout."""

    def __init__(self, options: NeckOptions, pooling: nn.Module, dim: int) -> None:
        """`dim`: length of the pooled vector."""
        super().__init__()
        self.pooling = pooling
        self.bnneck = nn.BatchNorm1d(dim) if options.bnneck else nn.Identity()
        if isinstance(
            self.bnneck, nn.BatchNorm1d
        ):  # classes are told apart by hyperplanes through the origin
            self.bnneck.bias.requires_grad_(False)
        self.dropout = nn.Dropout(options.dropout)

    def pool(self, maps: FeatureMaps, backbone: Backbone) -> Vectors:
        """Maps of `backbone` -> (n, d)."""
        return self.pooling(maps, backbone)

    def forward(self, features: Vectors) -> Vectors:
        return self.dropout(self.bnneck(features))


def build_pooling(options: Pooling) -> nn.Module:
    """The pooling of that type: a module of (maps, backbone)."""
    match options:
        case Native():
            return NativePooling()
        case Average():
            return AveragePooling()
        case Gem():
            return GemPooling(options.p, options.trained)
        case Flatten():
            return FlattenPooling()
        case Concat():
            return ConcatPooling()


def _at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
