"""Which true box, if any, each candidate box stands for (Ren et al. 2015, section 3.1.2)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from falldet.model.boxes import iou

BACKGROUND = -1
BETWEEN = -2


def match(
    truth: Float[Tensor, "m 4"],
    boxes: Float[Tensor, "n 4"],
    positive_iou: float,
    negative_iou: float,
    rescue_iou: float | None = None,
) -> Int64[Tensor, " n"]:
    """Place in `truth` for each box, or BACKGROUND, or BETWEEN: neither, not to be learned from.

    A box belongs to the true box it overlaps most, if by `positive_iou`; below `negative_iou` it is
    background. With `rescue_iou`, a true box also gets the boxes that overlap it most, if by that much, so
    that few stay without any; where two true boxes claim the same box, the later one has it, as in mmdet.
    """
    if not len(truth):
        return torch.full((len(boxes),), BACKGROUND, device=boxes.device)
    if not len(boxes):
        return torch.zeros(0, dtype=torch.int64, device=boxes.device)
    overlap = iou(truth, boxes)
    most, nearest = overlap.max(0)
    matched = torch.where(most >= positive_iou, nearest, BETWEEN)
    matched = torch.where((most < negative_iou) & (matched == BETWEEN), BACKGROUND, matched)
    if rescue_iou is None:
        return matched
    reached = overlap.amax(1, keepdim=True)
    claims = (overlap == reached) & (reached >= rescue_iou)
    place = torch.arange(1, len(truth) + 1, device=boxes.device)[:, None]
    claimed = (claims * place).amax(0) - 1
    return torch.where(claimed >= 0, claimed, matched)
