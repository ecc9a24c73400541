"""Proposals from NanoDet's head with one class, person: COCO has taught it to find people in any pose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image, nms

from falldet.model.dense import DenseHead, Places
from falldet.model.options import PersonProposalOptions
from falldet.model.pixels import Size
from falldet.model.target import Target

_BINS = 8
BEFORE_NMS = 400
"""Places of a picture that are looked at before suppression."""


class PersonProposals(nn.Module):
    """The boxes of the most certain people, whatever their pose; trained with every person as one class."""

    def __init__(
        self, channels: int, options: PersonProposalOptions, strides: Sequence[int] = (8, 16, 32)
    ) -> None:
        super().__init__()
        self.options = options
        self.head = DenseHead(channels, strides, 1, _BINS)

    def forward(self, levels: Sequence[Tensor], sizes_px: Sequence[Size]) -> list[Tensor]:
        """For each picture boxes (k, 4), the most certain first."""
        return self._proposals(self.head(levels), sizes_px)

    def losses(
        self, levels: Sequence[Tensor], sizes_px: Sequence[Size], targets: Sequence[Target]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Loss terms of the proposals, and the proposals."""
        places = self.head(levels)
        people = [Target(target.boxes, torch.zeros_like(target.labels)) for target in targets]
        terms = {f"person_{name}": value for name, value in self.head.losses(places, people).items()}
        return terms, self._proposals(places, sizes_px)

    @torch.no_grad()
    def _proposals(self, places: Places, sizes_px: Sequence[Size]) -> list[Tensor]:
        scores, boxes = places.logits[..., 0].sigmoid(), places.boxes()
        return [self._best(*one) for one in zip(boxes, scores, sizes_px, strict=True)]

    def _best(self, boxes: Tensor, scores: Tensor, size_px: Size) -> Tensor:
        sure, place = scores.topk(min(BEFORE_NMS, len(scores)))
        place = place[sure > self.options.score]
        box = clip_boxes_to_image(boxes[place], size_px)
        return box[nms(box, scores[place], self.options.nms_iou)[: self.options.after_nms]]
