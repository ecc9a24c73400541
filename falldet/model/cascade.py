"""The cascade: each stage gets the boxes the one before refined, and is stricter (Cai, Vasconcelos 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from falldet.model.box_head import BoxHead
from falldet.model.boxes import decode, encode
from falldet.model.matching import match
from falldet.model.options import CascadeHeadOptions
from falldet.model.pooling import pool_regions
from falldet.model.sampling import RandomSampler, Sampler
from falldet.model.target import Levels, Sizes, Target
from suite.errors import BadInput

ListOfBoxes = Sequence[Float[Tensor, "_ 4"]]


class Scored(NamedTuple):
    """Boxes of one picture with a probability for each class, background left out."""

    boxes: Float[Tensor, "n 4"]
    scores: Float[Tensor, "n c"]


class Regions(NamedTuple):
    """What one stage learns from in one picture, the p positive regions first."""

    boxes: Float[Tensor, "r 4"]
    labels: Int64[Tensor, " r"]
    truth: Float[Tensor, "p 4"]
    given: Bool[Tensor, " r"]
    """Which regions are true boxes that were mixed in, not proposals."""


class CascadeHead(nn.Module):
    """`bbox_head.0`, `.1`, ...: one head a stage. Regions are read from the levels with these `strides`."""

    def __init__(
        self, channels: int, strides: Sequence[int], classes: int, options: CascadeHeadOptions
    ) -> None:
        super().__init__()
        if not len(options.ious) == len(options.loss_weights) == len(options.stds) > 0:
            raise BadInput(
                f"a cascade needs one IoU, loss weight and stds for each stage, not {len(options.ious)}, "
                f"{len(options.loss_weights)} and {len(options.stds)}",
                where="head",
            )
        self.options, self.strides, self.classes = options, tuple(strides), classes
        self.sampler: Sampler = RandomSampler(options.sampled, options.positive_share)
        self.bbox_head = nn.ModuleList(
            BoxHead(channels, options.pool_px, classes, options.box) for _ in options.ious
        )

    def forward(self, levels: Levels, proposals: ListOfBoxes, sizes_px: Sizes) -> list[Scored]:
        """Refined boxes of each picture, scored by all stages together."""
        boxes, counts = list(proposals), [of_picture.shape[0] for of_picture in proposals]
        said = []
        for stage in range(len(self.bbox_head)):
            logits, deltas = self._look(stage, levels, boxes)
            boxes = self._refined(stage, boxes, deltas.split(counts), sizes_px)
            said.append(logits)
        if self.options.average == "logits":
            scores = torch.stack(said).mean(0).softmax(-1)
        else:
            scores = torch.stack(said).softmax(-1).mean(0)
        return [Scored(*pair) for pair in zip(boxes, scores[:, :-1].split(counts), strict=True)]

    def losses(
        self, levels: Levels, proposals: ListOfBoxes, sizes_px: Sizes, targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        """Losses of class and box of every stage, `s0.loss_cls`, `s0.loss_bbox`, `s1.loss_cls`, ..."""
        losses: dict[str, Tensor] = {}
        for stage, (stds, weight) in enumerate(
            zip(self.options.stds, self.options.loss_weights, strict=True)
        ):
            regions = [self._regions(stage, *pair) for pair in zip(proposals, targets, strict=True)]
            boxes = [of_picture.boxes for of_picture in regions]
            logits, deltas = self._look(stage, levels, boxes)
            classification, regression = stage_losses(logits, deltas, regions, stds, self.classes)
            losses[f"s{stage}.loss_cls"] = weight * classification
            losses[f"s{stage}.loss_bbox"] = weight * regression
            moves = deltas.detach().split([len(of_picture) for of_picture in boxes])
            refined = self._refined(stage, boxes, moves, sizes_px)
            proposals = [box[~of.given] for box, of in zip(refined, regions, strict=True)]
        return losses

    def _look(self, stage: int, levels: Levels, boxes: ListOfBoxes) -> tuple[Tensor, Tensor]:
        """Logits and deltas of one stage, all pictures in one batch."""
        options = self.options
        pooled = pool_regions(levels, boxes, self.strides, options.finest_scale_px, options.pool_px)
        return self.bbox_head[stage](pooled)

    def _refined(
        self, stage: int, boxes: ListOfBoxes, deltas: Sequence[Tensor], sizes_px: Sizes
    ) -> list[Float[Tensor, "_ 4"]]:
        stds = self.options.stds[stage]
        return [
            decode(box, move, stds, size) for box, move, size in zip(boxes, deltas, sizes_px, strict=True)
        ]

    def _regions(self, stage: int, proposals: Float[Tensor, "n 4"], target: Target) -> Regions:
        """Regions to learn from; true boxes are mixed in, so that every stage sees some that are right."""
        boxes = torch.cat([target.boxes, proposals])
        threshold = self.options.ious[stage]
        matched = match(target.boxes, boxes, threshold, threshold)
        positive, negative = self.sampler(matched)
        chosen, owner = torch.cat([positive, negative]), matched[positive]
        labels = torch.full_like(chosen, self.classes)
        labels[: len(positive)] = target.labels[owner]
        return Regions(boxes[chosen], labels, target.boxes[owner], chosen < len(target.boxes))


def stage_losses(
    logits: Float[Tensor, "r k"],
    deltas: Float[Tensor, "r 4"],
    regions: Sequence[Regions],
    stds: Sequence[float],
    classes: int,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Cross entropy of classes, smooth L1 of deltas, which only positive regions have; both a region."""
    labels = torch.cat([of_picture.labels for of_picture in regions])
    count, positive = max(len(labels), 1), labels < classes  # of no region at all: 0, with a gradient
    wanted = torch.cat([encode(of.boxes[: len(of.truth)], of.truth, stds) for of in regions])
    classification = cross_entropy(logits, labels, reduction="sum") / count
    regression = smooth_l1_loss(deltas[positive], wanted, reduction="sum") / count
    return classification, regression
