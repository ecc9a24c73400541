"""What a training minimises: one term, one pure function, each a mean.

Packed samples are as in `nerfrecon.ops.compositing`: `starts` bounds each ray's.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from nerfrecon.ops.compositing import exclusive_sum
from nerfrecon.options import CharbonnierOptions, ColourLoss, HuberOptions

SMALLEST_SHARE = 1e-3
"""Opacities are kept this far from 0 and 1 where a logarithm is taken."""

Scalar = Float[Tensor, ""]


def colour_loss(
    options: ColourLoss, seen: Float[Tensor, "rays 3"], wanted: Float[Tensor, "rays 3"]
) -> Scalar:
    """Mean over rays and channels of the loss that `options` name."""
    difference = seen - wanted
    if isinstance(options, HuberOptions):
        return huber(difference, options.delta)
    if isinstance(options, CharbonnierOptions):
        return charbonnier(difference, options.epsilon)
    return difference.square().mean()


def huber(difference: Float[Tensor, "*shape"], delta: float | int) -> Scalar:
    """r^2 / 2 up to delta, delta (|r| - delta / 2) beyond (Huber 1964)."""
    size = difference.abs()
    return torch.where(size <= delta, size.square() / 2, delta * (size - delta / 2)).mean()


def charbonnier(difference: Float[Tensor, "*shape"], epsilon: float | int) -> Scalar:
    """sqrt(r^2 + epsilon^2) - epsilon (Charbonnier et al. 1994)."""
    return ((difference.square() + epsilon**2).sqrt() - epsilon).mean()


def mask_loss(opacity: Float[Tensor, " rays"], mask: Float[Tensor, " rays"]) -> Scalar:
    """Binary cross-entropy of a ray's opacity and its mask, which is 1 on the object."""
    share = opacity.clamp(SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    return -(mask * share.log() + (1 - mask) * (1 - share).log()).mean()


def depth_loss(
    depth: Float[Tensor, " rays"],
    wanted: Float[Tensor, " rays"],
    trust: Float[Tensor, " rays"],
    met: Bool[Tensor, " rays"],
) -> Scalar:
    """Absolute difference, each ray weighted by `trust`; 0 where a ray has no depth.

    Rays that have not `met` anything cannot be wrong about its depth (their colour says that something is
    missing): they count as right, so that the mean is over rays that are known before they are seen.
    """
    known = torch.where(trust > 0, wanted, 0)
    away = torch.where(met, (depth - known).abs(), 0)
    return (trust * away).sum() / trust.sum().clamp(min=1e-6)


def opacity_loss(opacity: Float[Tensor, " rays"]) -> Scalar:
    """Entropy of a ray's opacity, which is least for a ray that is opaque or clear."""
    share = opacity.clamp(SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    return -(share * share.log() + (1 - share) * (1 - share).log()).mean()


def distortion_loss(
    weight: Float[Tensor, " n"],
    t: Float[Tensor, " n"],
    dt: Float[Tensor, " n"],
    starts: Int64[Tensor, " bounds"],
) -> Scalar:
    """sum_ij w_i w_j |t_i - t_j| + sum_i w_i^2 dt_i / 3, a mean over rays (Barron et al. 2022, eq. 15).

    `t` are the middles of the samples' sections; in a ray they rise, so that two prefix sums do.
    """
    weight_before = exclusive_sum(weight, starts)
    moment_before = exclusive_sum(weight * t, starts)
    between = 2 * weight * (t * weight_before - moment_before)
    return (between + weight.square() * dt / 3).sum() / max(len(starts) - 1, 1)


def prior_loss(f: Float[Tensor, " n"], wanted: Float[Tensor, " n"], cell: float | int) -> Scalar:
    """Sum of sqrt(e^2 + 1/16) - 1/4, e how many cells a signed distance is off the one of a lattice."""
    off = (f - wanted) / cell
    return ((off.square() + 0.0625).sqrt() - 0.25).sum()


def eikonal_loss(gradient: Float[Tensor, "n 3"]) -> Scalar:
    """(|gradient| - 1)^2 of a signed distance (Gropp et al. 2020, eq. 2); 0 for no points."""
    return (gradient.square().sum(1).clamp(min=1e-12).sqrt() - 1).square().sum() / max(len(gradient), 1)


def curvature_loss(laplacian: Float[Tensor, " n"]) -> Scalar:
    """Mean size of a signed distance's Laplacian (Li et al. 2023, eq. 8); 0 for no points."""
    return laplacian.abs().sum() / max(len(laplacian), 1)
