"""What is minimised over the logits: one formula, one pure function.

z (n, k) are logits, t (n, k) shares of classes, w (k,) weights of classes, p the softmax or, for yes-or-no
losses, the sigmoid of z. Softmax losses are means over images, yes-or-no losses means over images and
classes.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from imcls.loss.targets import weighted

Shares = Float[Tensor, "n k"]
PerClass = Float[Tensor, " k"]
Scalar = Float[Tensor, ""]

_TINY = 1e-12  # keeps powers below 1 differentiable where their base is 0


def cross_entropy(z: Shares, t: Shares) -> Scalar:
    """- sum_j t_j log p_j, for shares that may be smoothed, mixed and weighted beforehand."""
    return -(t * log_softmax(z, dim=1)).sum(dim=1).mean()


def focal(z: Shares, t: Shares, gamma: float | int, w: PerClass | None = None) -> Scalar:
    """- sum_j w_j t_j (1 - p_j)^gamma log p_j (Lin et al. 2017, eq. 4), with the softmax."""
    log_p = log_softmax(z, dim=1)
    fading = (-torch.expm1(log_p)).clamp_min(_TINY) ** gamma
    return -(weighted(t, w) * fading * log_p).sum(dim=1).mean()


def binary_cross_entropy(z: Shares, t: Shares, w: PerClass | None = None) -> Scalar:
    """- [w t log p + (1 - t) log(1 - p)]; a class's weight is that of its yes."""
    return -(weighted(t, w) * logsigmoid(z) + (1 - t) * logsigmoid(-z)).mean()


def binary_focal(z: Shares, t: Shares, gamma: float | int, w: PerClass | None = None) -> Scalar:
    """- [w t (1 - p)^gamma log p + (1 - t) p^gamma log(1 - p)] (Lin et al. 2017, eq. 4)."""
    yes, no = logsigmoid(z), logsigmoid(-z)
    return -(weighted(t, w) * (gamma * no).exp() * yes + (1 - t) * (gamma * yes).exp() * no).mean()


def asymmetric(
    z: Shares, t: Shares, gamma_positive: float | int, gamma_negative: float | int, clip: float | int
) -> Scalar:
    """- [t (1 - p)^g+ log p + (1 - t) q^g- log(1 - q)] with q = max(p - clip, 0).

    Ridnik et al. 2021, eq. 7. log(1 - q) = log(1 - p + clip), at most 0, is taken without leaving logarithms.
    """
    yes, no = logsigmoid(z), logsigmoid(-z)
    spared = torch.full_like(no, math.log(clip) if clip else -math.inf)
    log_not_q = torch.logaddexp(no, spared).clamp_max(0)
    q = (-torch.expm1(log_not_q)).clamp_min(_TINY)
    positive = t * (gamma_positive * no).exp() * yes
    return -(positive + (1 - t) * q**gamma_negative * log_not_q).mean()


def ldam(z: Shares, t: Shares, margins: PerClass, w: PerClass | None = None) -> Scalar:
    """Cross entropy of z - margin of the true class (Cao et al. 2019, eq. 13).

    ``margins`` are on the logits' scale. The classes of a mixed image have their margins in their shares.
    """
    return cross_entropy(z - margins.to(z) * t, weighted(t, w))


def ldam_margins(counts: Float[Tensor, " k"], largest: float | int, scale: float | int) -> PerClass:
    """Margins proportional to n_j^(-1/4), the largest of them ``scale`` times ``largest``."""
    margins = counts.clamp_min(1) ** -0.25
    return scale * largest * margins / margins.max()


def balanced_softmax(z: Shares, t: Shares, log_prior: PerClass) -> Scalar:
    """Cross entropy of z + log n_j / N (Ren et al. 2020, eq. 4); z alone then judges as if classes were
    alike."""
    return cross_entropy(z + log_prior.to(z), t)
