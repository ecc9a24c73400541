"""Region proposals: at every anchor, is somebody there, and how should the box move (Ren et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu, smooth_l1_loss

from falldet.model.anchors import anchor_shapes, level_anchors
from falldet.model.boxes import decode, encode
from falldet.model.matching import match
from falldet.model.options import RpnOptions
from falldet.model.sampling import RandomSampler, Sampler
from falldet.model.suppression import suppress
from falldet.model.target import Levels, Sizes, Target

STDS = (1.0, 1.0, 1.0, 1.0)
POSITIVE_IOU, NEGATIVE_IOU, RESCUE_IOU = 0.7, 0.3, 0.3
BETA = 1 / 9
"""Where the regression loss turns from a parabola into a line."""


class Said(NamedTuple):
    """What the head says of the a anchors of one level, in all n pictures."""

    logits: Float[Tensor, "n a"]
    deltas: Float[Tensor, "n a 4"]
    anchors: Float[Tensor, "a 4"]


class RpnHead(nn.Module):
    """A 3x3 convolution shared by all levels, then objectness and deltas of each anchor.

    `sampler` chooses the anchors of a picture that are learned from; only those inside it are asked.
    """

    def __init__(self, channels: int, strides: Sequence[int], options: RpnOptions) -> None:
        super().__init__()
        self.options, self.strides = options, tuple(strides)
        self.sampler: Sampler = RandomSampler(options.sampled, options.positive_share)
        self.rpn_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.rpn_cls = nn.Conv2d(channels, len(options.ratios), 1)
        self.rpn_reg = nn.Conv2d(channels, 4 * len(options.ratios), 1)
        for module in (self.rpn_conv, self.rpn_cls, self.rpn_reg):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, levels: Levels, sizes_px: Sizes) -> list[Float[Tensor, "_ 4"]]:
        """Proposals of each picture, the most certain first."""
        said = self.say(levels)
        options = self.options
        return [
            self._proposals(said, i, size, options.before_nms, options.after_nms)
            for i, size in enumerate(sizes_px)
        ]

    def losses(
        self, levels: Levels, sizes_px: Sizes, targets: Sequence[Target]
    ) -> tuple[dict[str, Tensor], list[Float[Tensor, "_ 4"]]]:
        """Losses of objectness and boxes, and proposals (without gradient) to train the next stage on."""
        said = self.say(levels)
        logits, deltas = torch.cat([s.logits for s in said], 1), torch.cat([s.deltas for s in said], 1)
        anchors = torch.cat([s.anchors for s in said])
        objectness, regression, count = logits.new_zeros(()), deltas.new_zeros(()), 0
        for i, (size, target) in enumerate(zip(sizes_px, targets, strict=True)):
            inside = torch.nonzero(_inside(anchors, size))[:, 0]
            matched = match(target.boxes, anchors[inside], POSITIVE_IOU, NEGATIVE_IOU, RESCUE_IOU)
            sample = self.sampler(matched)
            positive, negative = inside[sample.positive], inside[sample.negative]
            wanted = encode(anchors[positive], target.boxes[matched[sample.positive]], STDS)
            chosen = logits[i, torch.cat([positive, negative])]
            truth = (torch.arange(len(chosen), device=chosen.device) < len(positive)).to(chosen.dtype)
            objectness = objectness + binary_cross_entropy_with_logits(chosen, truth, reduction="sum")
            regression = regression + smooth_l1_loss(deltas[i, positive], wanted, reduction="sum", beta=BETA)
            count += max(len(positive), 1) + max(len(negative), 1)  # mmdet counts at least one of each
        with torch.no_grad():
            before, after = self.options.before_nms_train, self.options.after_nms_train
            proposals = [self._proposals(said, i, size, before, after) for i, size in enumerate(sizes_px)]
        return {"loss_rpn_cls": objectness / count, "loss_rpn_bbox": regression / count}, proposals

    def say(self, levels: Levels) -> list[Said]:
        """Logits, deltas and anchors of each level, in mmdet's order of places and anchors."""
        said = []
        for level, stride in zip(levels, self.strides, strict=True):
            shared = relu(self.rpn_conv(level))
            logits = self.rpn_cls(shared).permute(0, 2, 3, 1).flatten(1).float()
            deltas = self.rpn_reg(shared).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)).float()
            shapes = anchor_shapes(stride * self.options.anchor_scale, self.options.ratios).to(logits.device)
            said.append(Said(logits, deltas, level_anchors(shapes, (level.shape[2], level.shape[3]), stride)))
        return said

    def _proposals(
        self, said: list[Said], picture: int, size_px: tuple[int, int], before: int, after: int
    ) -> Float[Tensor, "_ 4"]:
        """The best of each level, moved, without those that overlap a better one of their level."""
        scores, boxes, groups = [], [], []
        for group, (logits, deltas, anchors) in enumerate(said):
            score, move = logits[picture].sigmoid(), deltas[picture]
            if score.shape[0] > before:
                # sorted, not topk: among equal scores, which are common, this is the order that mmdet sees
                place = score.argsort(descending=True)[:before]
                score, move, anchors = score[place], move[place], anchors[place]
            scores.append(score)
            boxes.append(decode(anchors, move, STDS, size_px))
            groups.append(torch.full_like(score, group, dtype=torch.int64))
        score, box, group = torch.cat(scores), torch.cat(boxes), torch.cat(groups)
        real = (box[:, 2:] > box[:, :2]).all(-1)
        score, box, group = score[real], box[real], group[real]
        return box[suppress(box, score, group, self.options.nms_iou)[:after]]


def _inside(anchors: Float[Tensor, "a 4"], size_px: tuple[int, int]) -> Tensor:
    """Which anchors lie wholly inside a picture: nothing is learned at its edges from half a person."""
    height, width = size_px
    return (anchors[:, :2] >= 0).all(-1) & (anchors[:, 2] < width) & (anchors[:, 3] < height)
