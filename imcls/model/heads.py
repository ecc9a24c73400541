"""From a vector to one logit for each class: linear, cosine, ArcFace, multi-label.

Every head is called as head(embedding, targets); only ArcFace looks at the targets, and only while training.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from imcls.model.options import ArcFaceHead, CosineHead, HeadOptions, LinearHead, MultiLabelHead

Vectors = Float[Tensor, "n d"]
Logits = Float[Tensor, "n k"]


class Linear(nn.Module):
    """One linear layer, starting near zero so that all classes start alike."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, classes)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, embedding: Vectors, targets: Tensor | None = None) -> Logits:
        return self.linear(embedding)


class Cosine(nn.Module):
    """Cosine to each class's vector, times a learned scale, which stays positive as it is kept as a log."""

    def __init__(self, dim: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.normal_(self.weight, std=0.01)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, embedding: Vectors, targets: Tensor | None = None) -> Logits:
        return self.log_scale.exp() * cosines(embedding, self.weight)


class ArcFace(nn.Module):
    """scale * cos(theta); for the true class, while training, scale * cos(theta + margin) (Deng et al. 2019).

    The margin needs class numbers (n,) int64; mixed or smoothed targets (n, k) get plain cosines.
    """

    def __init__(self, dim: int, classes: int, scale: float, margin_rad: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.normal_(self.weight, std=0.01)
        self.scale, self.margin_rad = scale, margin_rad

    def forward(self, embedding: Vectors, targets: Tensor | None = None) -> Logits:
        cos = cosines(embedding, self.weight)
        if self.training and targets is not None and targets.ndim == 1 and not targets.is_floating_point():
            true = targets[:, None]
            cos = cos.scatter(1, true, with_margin(cos.gather(1, true), self.margin_rad))
        return self.scale * cos


class MultiLabel(nn.Module):
    """One logit for each class; yes where it exceeds the threshold, which is 0 (a probability of one half)
    unless it is regressed: then `thresholds` gives one for each image."""

    def __init__(self, dim: int, classes: int, regressed: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, classes)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)
        self.threshold = nn.Linear(dim, 1) if regressed else None
        if self.threshold is not None:  # starts as one half for every image
            nn.init.zeros_(self.threshold.weight)
            nn.init.zeros_(self.threshold.bias)

    def forward(self, embedding: Vectors, targets: Tensor | None = None) -> Logits:
        return self.linear(embedding)

    def thresholds(self, embedding: Vectors) -> Float[Tensor, "n 1"] | None:
        """Threshold of each image, in logits. It learns through a loss on (logits - thresholds)."""
        return None if self.threshold is None else self.threshold(embedding)


def cosines(embedding: Vectors, weight: Float[Tensor, "k d"]) -> Logits:
    """Cosine of every pair, in float32 at least: bfloat16 knows angles to several degrees only."""
    device = embedding.device.type
    low = torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False) if low else nullcontext():
        if embedding.dtype in (torch.bfloat16, torch.float16):
            embedding = embedding.float()
        return linear(normalize(embedding), normalize(weight.to(embedding.dtype)))


def with_margin(cos: Float[Tensor, "n 1"], margin_rad: float) -> Float[Tensor, "n 1"]:
    """cos(theta) -> cos(theta + margin).

    Beyond theta = pi - margin, where that would rise again, cos(theta) - 1 + cos(margin): it joins without a
    step and keeps falling. The sine's derivative at theta = 0 and pi, which is infinite, is taken as 0.
    """
    sin = (1 - cos.square()).clamp(min=torch.finfo(cos.dtype).eps).sqrt()
    turned = cos * math.cos(margin_rad) - sin * math.sin(margin_rad)
    return torch.where(cos > -math.cos(margin_rad), turned, cos - 1 + math.cos(margin_rad))


def build_head(options: HeadOptions, dim: int, classes: int) -> nn.Module:
    """The head of that type, from vectors of length `dim` to `classes` logits."""
    match options:
        case LinearHead():
            return Linear(dim, classes)
        case CosineHead():
            return Cosine(dim, classes, options.scale)
        case ArcFaceHead():
            return ArcFace(dim, classes, options.scale, options.margin_rad)
        case MultiLabelHead():
            return MultiLabel(dim, classes, options.threshold == "regressed")
