"""Stochastic depth (Huang et al. 2016) over a whole network."""

from __future__ import annotations

from torch import nn
from torchvision.ops import StochasticDepth


def spread_drop_path(net: nn.Module, rate: float) -> bool:
    """Set the branches of `net` to be left out at rates rising linearly from 0 to `rate` at the last.

    False where the network has no such branches.
    """
    branches = [module for module in net.modules() if isinstance(module, StochasticDepth)]
    for i, branch in enumerate(branches):
        branch.p = rate * i / max(len(branches) - 1, 1)
    return bool(branches)
