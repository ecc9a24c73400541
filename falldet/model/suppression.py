"""Of boxes that overlap, the one with the highest score stays (non-maximum suppression), class by class."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchvision.ops import nms

from falldet.model.options import CascadeHeadOptions
from falldet.model.target import Found


def suppress(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], groups: Int64[Tensor, " n"], iou: float
) -> Int64[Tensor, " k"]:
    """Places of the boxes that stay, the highest score first; boxes of different groups never meet.

    One call for all groups: each is moved to where no other is, as mmdet does. Boxes must not be negative.
    """
    beyond = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).max() + 1  # of no box at all: 1
    return nms(boxes + (groups * beyond)[:, None], scores, iou)


def best(boxes: Float[Tensor, "n 4"], scores: Float[Tensor, "n c"], options: CascadeHeadOptions) -> Found:
    """The most certain detections above `options.score`; a box may be found as several classes."""
    place, label = torch.nonzero(scores > options.score, as_tuple=True)
    boxes, scores = boxes[place], scores[place, label]
    keep = suppress(boxes, scores, label, options.nms_iou)[: options.most]
    return Found(boxes[keep], scores[keep], label[keep])
