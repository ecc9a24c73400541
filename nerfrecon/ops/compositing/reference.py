"""Emission and absorption along rays (Max 1995; Mildenhall et al. 2020, eq. 3).

The n samples of all rays lie one after another, ray r's at `starts[r] : starts[r + 1]`, near to far. Each
stands for a section of its ray of optical thickness tau (density times length, or NeuS's difference):

    alpha_i = 1 - exp(-tau_i)                   T_i = exp(-sum_{j < i} tau_j) = prod_{j < i} (1 - alpha_j)
    w_i     = T_i alpha_i where T_i >= stop, else 0
    T_end   = 1 - sum_i w_i                     what the background shines through

A ray ends at the first sample with T_i < stop: that sample and those behind weigh nothing, get no gradient,
and their thickness does not count for T_end.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


class Weights(NamedTuple):
    """`weight` and `transmittance` of n samples, whether each is `kept`, and what remains behind each ray.

    The transmittance of a sample that is not kept is the one at its ray's end.
    """

    weight: Float[Tensor, " n"]
    transmittance: Float[Tensor, " n"]
    kept: Bool[Tensor, " n"]
    remaining: Float[Tensor, " rays"]


def weigh(
    thickness: Float[Tensor, " n"], starts: Int64[Tensor, " bounds"], stop: float | int = 0.0
) -> Weights:
    """Weights of samples from the optical thickness of their sections, which is not negative."""
    with torch.no_grad():
        kept = torch.exp(-exclusive_sum(thickness, starts)) >= stop
    counted = torch.where(kept, thickness, 0)
    transmittance = torch.exp(-exclusive_sum(counted, starts))
    remaining = torch.exp(-accumulate(counted[:, None], starts)[:, 0])
    return Weights(transmittance * -torch.expm1(-counted), transmittance.detach(), kept, remaining)


def accumulate(values: Float[Tensor, "n c"], starts: Int64[Tensor, " bounds"]) -> Float[Tensor, "rays c"]:
    """Sum over the samples of each ray; zeros where a ray has none."""
    sums = values.new_zeros(len(starts) - 1, values.shape[1])
    return sums.index_add(0, ray_of_sample(starts), values)


def exclusive_sum(values: Float[Tensor, " n"], starts: Int64[Tensor, " bounds"]) -> Float[Tensor, " n"]:
    """For each sample, the sum over the samples of its ray before it."""
    ray = ray_of_sample(starts)
    place = torch.arange(len(values), device=values.device) - starts[ray]
    most = int(starts.diff().max()) if len(starts) > 1 else 0
    # A row a ray: sums over all samples at once would carry the rounding of every ray before.
    rows = values.new_zeros(len(starts) - 1, most + 1).index_put((ray, place + 1), values)
    return rows.cumsum(1)[ray, place]


def ray_of_sample(starts: Int64[Tensor, " bounds"]) -> Int64[Tensor, " n"]:
    """Which ray each sample belongs to."""
    return torch.repeat_interleave(torch.arange(len(starts) - 1, device=starts.device), starts.diff())
