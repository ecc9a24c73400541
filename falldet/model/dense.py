"""NanoDet-m's head: at every place of every level a score for each class and four distances to the edges.

A distance is the mean of a distribution over bins of one stride (generalised focal loss, Li et al. 2020);
places are matched to people by how well score and box already agree with them (task alignment, Feng et al.
2021, TOOD).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from falldet.model.shufflenet import SLOPE, scaled_conv
from falldet.model.target import Target

PRIOR = 0.01
"""Score of every place before training."""
ALIGNED_PLACES, SCORE_POWER, IOU_POWER = 10, 1.0, 6.0
"""TOOD section 3.2.1: places for each person, and the powers of score and overlap in the alignment."""
BOX_WEIGHT, BIN_WEIGHT = 2.0, 0.25
"""Weights of the overlap loss and of the distributions' loss beside the score's, as in NanoDet."""


class Places(NamedTuple):
    """What the head says at all p places of n pictures, finest level first."""

    logits: Float[Tensor, "n p classes"]
    bins: Float[Tensor, "n p 4 bins"]
    centres: Float[Tensor, "p 2"]
    strides: Float[Tensor, " p"]

    def boxes(self) -> Float[Tensor, "n p 4"]:
        """The boxes, (x1, y1, x2, y2) in pixels of the input."""
        steps = torch.arange(self.bins.shape[-1], dtype=self.bins.dtype, device=self.bins.device)
        distances = (self.bins.softmax(-1) @ steps) * self.strides[:, None]
        return torch.cat([self.centres - distances[..., :2], self.centres + distances[..., 2:]], -1)


class DenseHead(nn.Module):
    """Two depthwise separable convolutions and an output layer for each level."""

    def __init__(self, channels: int, strides: Sequence[int], classes: int, bins: int) -> None:
        super().__init__()
        self.classes, self.bins, self.strides = classes, bins, tuple(strides)
        self.convs = nn.ModuleList(
            nn.Sequential(*_separable(channels), *_separable(channels)) for _ in strides
        )
        self.outputs = nn.ModuleList(nn.Conv2d(channels, classes + 4 * bins, 1) for _ in strides)
        for output in self.outputs:
            _start_with_nobody(output, classes)

    def forward(self, levels: Sequence[Tensor]) -> Places:
        """Scores and distributions at all places."""
        logits, bins, centres, strides = [], [], [], []
        for level, convs, output, stride in zip(levels, self.convs, self.outputs, self.strides, strict=True):
            # Scores and boxes in float32 also where the convolutions are computed in fewer bits.
            said = output(convs(level)).float().flatten(2).transpose(1, 2)
            logits.append(said[..., : self.classes])
            bins.append(said[..., self.classes :].unflatten(-1, (4, self.bins)))
            place = _centres(level, stride)
            centres.append(place)
            strides.append(torch.full_like(place[:, 0], float(stride)))
        return Places(torch.cat(logits, 1), torch.cat(bins, 1), torch.cat(centres), torch.cat(strides))

    def losses(self, places: Places, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Quality focal loss of the scores, GIoU of the boxes, and the distributions' cross entropy."""
        boxes = places.boxes()
        with torch.no_grad():
            matches = [
                aligned(logits, said, places.centres, target)
                for logits, said, target in zip(places.logits.sigmoid(), boxes, targets, strict=True)
            ]
        quality = torch.stack([match.quality for match in matches])
        total = quality.sum().clamp(min=1.0)
        scores = _quality_focal(places.logits, quality).sum() / total
        matched = [match.person >= 0 for match in matches]
        mask = torch.stack(matched)
        if not mask.any():
            nothing = boxes.sum() * 0.0
            return {"score": scores, "box": nothing, "bins": nothing}
        wanted = torch.cat(
            [
                target.boxes[match.person[k]]
                for match, target, k in zip(matches, targets, matched, strict=True)
            ]
        )
        weight = quality.amax(-1)[mask]
        overlap = generalized_box_iou_loss(boxes[mask], wanted, reduction="none")
        centres = places.centres.expand(len(targets), -1, -1)[mask]
        strides = places.strides.expand(len(targets), -1)[mask]
        distances = torch.cat([centres - wanted[:, :2], wanted[:, 2:] - centres], -1) / strides[:, None]
        spread = _distribution(places.bins[mask], distances)
        return {
            "score": scores,
            "box": BOX_WEIGHT * (overlap * weight).sum() / total,
            "bins": BIN_WEIGHT * (spread * weight).sum() / total,
        }


class Match(NamedTuple):
    """For each of p places the person it shall find (-1: nobody), and how sure each class shall be."""

    person: Int64[Tensor, " p"]
    quality: Float[Tensor, "p classes"]


def aligned(
    scores: Float[Tensor, "p classes"],
    boxes: Float[Tensor, "p 4"],
    centres: Float[Tensor, "p 2"],
    target: Target,
) -> Match:
    """Places inside a person's box whose score and overlap agree best; a place serves the person it overlaps
    most."""
    people = len(target.labels)
    quality = torch.zeros_like(scores)
    if people == 0:
        return Match(torch.full((len(scores),), -1, device=scores.device), quality)
    low, high = target.boxes[:, None, :2], target.boxes[:, None, 2:]
    inside = ((centres > low) & (centres < high)).all(-1)
    overlap = _iou(target.boxes, boxes) * inside
    alignment = scores[:, target.labels].T ** SCORE_POWER * overlap**IOU_POWER
    best = alignment.topk(min(ALIGNED_PLACES, alignment.shape[1]), dim=1)
    taken = torch.zeros_like(alignment).scatter_(1, best.indices, 1.0).bool() & (overlap > 0)
    claimed = torch.where(taken, overlap, -1.0)
    found, person = claimed.max(0)
    person = torch.where(found > 0, person, -1)
    served = torch.nn.functional.one_hot(person.clamp(min=0), people).T.bool() & (person >= 0)
    alignment = alignment * served
    # The best place of each person shall be as sure as its box is good, the others in proportion.
    peak = alignment.amax(1, keepdim=True).clamp(min=torch.finfo(alignment.dtype).tiny)
    sure = (alignment / peak * (overlap * served).amax(1, keepdim=True)).amax(0)
    quality[torch.arange(len(scores), device=scores.device), target.labels[person.clamp(min=0)]] = sure
    return Match(person, quality)


def _quality_focal(logits: Tensor, quality: Tensor) -> Tensor:
    """Li et al. 2020, equation 6, with the usual power of 2."""
    distance = (quality - logits.sigmoid()).abs() ** 2
    return distance * functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def _distribution(bins: Float[Tensor, "m 4 bins"], distances: Float[Tensor, "m 4"]) -> Float[Tensor, " m"]:
    """Li et al. 2020, equation 7: cross entropy with the two bins around each distance, mean over edges."""
    distances = distances.clamp(0, bins.shape[-1] - 1.01)
    lower = distances.floor().long()
    upper_share = distances - lower
    log_p = bins.log_softmax(-1)
    at = [log_p.gather(-1, k[..., None])[..., 0] for k in (lower, lower + 1)]
    return -(at[0] * (1 - upper_share) + at[1] * upper_share).mean(-1)


def _iou(people: Float[Tensor, "t 4"], boxes: Float[Tensor, "p 4"]) -> Float[Tensor, "t p"]:
    low = torch.maximum(people[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(people[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area = [(b[:, 2:] - b[:, :2]).clamp(min=0).prod(-1) for b in (people, boxes)]
    return shared / (area[0][:, None] + area[1][None] - shared).clamp(min=1e-9)


def _centres(level: Tensor, stride: int) -> Float[Tensor, "p 2"]:
    y, x = (
        (torch.arange(side, device=level.device, dtype=torch.float32) + 0.5) * stride
        for side in level.shape[-2:]
    )
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y], -1).flatten(0, 1)


@torch.no_grad()
def _start_with_nobody(output: nn.Module, classes: int) -> None:
    """At first nearly every place says that nobody is there, as nearly every place must (Lin et al. 2017,
    section 4.1)."""
    assert isinstance(output, nn.Conv2d) and output.bias is not None
    nn.init.normal_(output.weight, std=0.01)
    nn.init.zeros_(output.bias)
    output.bias[:classes] = -math.log(1 / PRIOR - 1)


def _separable(channels: int) -> list[nn.Module]:
    return [
        scaled_conv(channels, channels, 3, groups=channels),
        nn.LeakyReLU(SLOPE, inplace=True),
        scaled_conv(channels, channels, 1),
        nn.LeakyReLU(SLOPE, inplace=True),
    ]
