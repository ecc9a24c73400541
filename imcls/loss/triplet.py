"""Triplet loss on the hardest positive and negative of the batch (Hermans et al. 2017, eq. 5)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import relu, softplus

NO_IDENTITY = -1


def batch_hard(
    features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], margin: float | int | None
) -> Float[Tensor, ""]:
    """Mean over anchors of max(0, margin + furthest positive - nearest negative), distances in L2.

    ``margin`` None is the soft margin log(1 + exp(positive - negative)). Images labelled NO_IDENTITY take no
    part. Anchors without a positive or without a negative are left out; with no anchor the loss is 0 and has
    a gradient, of zeros.
    """
    known = (labels != NO_IDENTITY)[:, None] & (labels != NO_IDENTITY)
    alike = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive, negative = alike & known & ~itself, ~alike & known
    # By differences: |a|^2 + |b|^2 - 2ab loses all digits for rows that nearly agree. The slope of cdist is 0
    # where two rows are the same.
    apart = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    furthest = apart.masked_fill(~positive, -torch.inf).amax(dim=1)
    nearest = apart.masked_fill(~negative, torch.inf).amin(dim=1)
    anchors = positive.any(dim=1) & negative.any(dim=1)
    # Not by indexing with the mask: that would wait for the device in every step.
    gap = torch.where(anchors, furthest, 0.0) - torch.where(anchors, nearest, 0.0)
    cost = softplus(gap) if margin is None else relu(gap + margin)
    return (cost * anchors).sum() / anchors.sum().clamp_min(1)
