"""Detectors as the exporter can follow them: one picture, sizes that are tensors, no branch on what is found.

The layers are the detector's own. What is said anew is the choosing between them, which in `NanoDet`,
`CascadeRCNN`, `RpnHead`, `PersonProposals` and `pool_regions` reads numbers from tensors; `export` compares
both.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import nms

from falldet.model import nanodet, person
from falldet.model.boxes import decode
from falldet.model.cascade import CascadeHead
from falldet.model.dense import Places
from falldet.model.detector import CascadeRCNN
from falldet.model.nanodet import NanoDet
from falldet.model.person import PersonProposals
from falldet.model.pooling import fitting_level, region_align
from falldet.model.rpn import STDS, RpnHead
from falldet.model.suppression import suppress
from falldet.model.target import Levels

People = tuple[Float[Tensor, "k 4"], Float[Tensor, " k"], Int64[Tensor, " k"]]
Pair = Int64[Tensor, " 2"]
Edge = Float[Tensor, " 4"]
"""Width, height, width, height of the part of the input that is picture."""
_NO_EDGE = (2**24, 2**24)


class OnePicture(nn.Module):
    """Input (1, 3, H, W), (height, width) of the part that is picture and of the picture itself -> boxes in
    pixels of the picture, scores, labels; the most certain first."""

    def __init__(self, detector: NanoDet | CascadeRCNN) -> None:
        super().__init__()
        self.detector = detector

    def forward(
        self,
        images: Float[Tensor, "1 3 H W"],
        size_px: Pair,
        picture_size_px: Pair,
    ) -> People:
        edge = size_px.flip(0).repeat(2).float()
        match self.detector:
            case NanoDet():
                boxes, scores, labels = _dense(self.detector, images, edge)
            case CascadeRCNN():
                boxes, scores, labels = _cascade(self.detector, images, edge)
        scale = (size_px.double() / picture_size_px.double()).float().flip(0).repeat(2)
        limit = picture_size_px.flip(0).repeat(2).float()
        return torch.minimum(boxes / scale, limit), scores, labels


def _dense(detector: NanoDet, images: Tensor, edge: Edge) -> People:
    options = detector.options
    places = detector.bbox_head(detector.neck(detector.backbone(images)))
    scores = places.logits[0].sigmoid()
    scores, first = _best(scores.flatten(), nanodet.BEFORE_NMS)
    place, labels = first // detector.bbox_head.classes, first % detector.bbox_head.classes
    boxes = _boxes_at(places, place, edge)
    sure = _places(scores > options.score)  # last, since ONNX Runtime cannot sum up what is empty
    boxes, scores, labels = boxes[sure], scores[sure], labels[sure]
    kept = suppress(boxes, scores, labels, options.nms_iou)[: options.most]
    return boxes[kept], scores[kept], labels[kept]


def _cascade(detector: CascadeRCNN, images: Tensor, edge: Edge) -> People:
    levels = detector.neck(detector.backbone(images))
    match detector.rpn_head:
        case RpnHead():
            boxes = _region_proposals(detector.rpn_head, levels, edge)
        case PersonProposals():
            boxes = _person_proposals(detector.rpn_head, levels, edge)
        case other:
            raise TypeError(f"proposals of {type(other).__name__} have no exported form")
    head, said = detector.roi_head, []
    for look, stds in zip(head.bbox_head, head.options.stds, strict=True):
        logits, deltas = look(_pooled(head, levels, boxes))
        boxes = _inside(decode(boxes, deltas, stds, _NO_EDGE), edge)
        said.append(logits)
    stages = torch.stack(said)
    of_logits = head.options.average == "logits"
    scores = stages.mean(0).softmax(-1) if of_logits else stages.softmax(-1).mean(0)
    place, labels = torch.nonzero(scores[:, :-1] > head.options.score, as_tuple=True)
    boxes, scores = boxes[place], scores[place, labels]
    kept = suppress(boxes, scores, labels, head.options.nms_iou)[: head.options.most]
    return boxes[kept], scores[kept], labels[kept]


def _region_proposals(head: RpnHead, levels: Levels, edge: Edge) -> Float[Tensor, "r 4"]:
    options = head.options
    scores, boxes, groups = [], [], []
    for group, (logits, deltas, anchors) in enumerate(head.say(levels)):
        score, place = _best(logits[0].sigmoid(), options.before_nms)
        scores.append(score)
        boxes.append(_inside(decode(anchors[place], deltas[0][place], STDS, _NO_EDGE), edge))
        groups.append(torch.full_like(place, group))
    score, box, group = torch.cat(scores), torch.cat(boxes), torch.cat(groups)
    real = _places((box[:, 2:] > box[:, :2]).all(-1))
    score, box, group = score[real], box[real], group[real]
    return box[suppress(box, score, group, options.nms_iou)[: options.after_nms]]


def _person_proposals(head: PersonProposals, levels: Levels, edge: Edge) -> Float[Tensor, "r 4"]:
    options, places = head.options, head.head(levels)
    scores, place = _best(places.logits[0, :, 0].sigmoid(), person.BEFORE_NMS)
    boxes = _boxes_at(places, place, edge)
    sure = _places(scores > options.score)
    boxes, scores = boxes[sure], scores[sure]
    return boxes[nms(boxes, scores, options.nms_iou)[: options.after_nms]]


def _pooled(head: CascadeHead, levels: Levels, boxes: Float[Tensor, "r 4"]) -> Float[Tensor, "r c p p"]:
    """`pool_regions`; each level fills its own rows: the exporter cannot add up counts it does not know."""
    options, side = head.options, head.options.pool_px
    regions = functional.pad(boxes, (1, 0))
    level_of = fitting_level(boxes, options.finest_scale_px, len(head.strides))
    pooled = boxes.new_zeros((boxes.shape[0], levels[0].shape[1], side, side))
    for i, (level, stride) in enumerate(zip(levels, head.strides, strict=False)):
        here = _places(level_of == i)
        found = region_align(level, regions[here], side, 1 / stride, aligned=True)
        pooled = pooled.index_put((here,), found)
    return pooled


def _best(scores: Float[Tensor, " n"], most: int) -> tuple[Float[Tensor, " k"], Int64[Tensor, " k"]]:
    """The highest scores and their places."""
    count: Any = torch.sym_min(most, scores.shape[0])
    values, places = scores.topk(count)
    return values, places


def _boxes_at(places: Places, chosen: Int64[Tensor, " k"], edge: Edge) -> Float[Tensor, "k 4"]:
    """Boxes of these places alone: most places are nobody. At least one, as `_best` gives."""
    bins, centres, strides = places.bins[:, chosen], places.centres[chosen], places.strides[chosen]
    return _inside(Places(places.logits[:, chosen], bins, centres, strides).boxes()[0], edge)


def _inside(boxes: Float[Tensor, "n 4"], edge: Edge) -> Float[Tensor, "n 4"]:
    return torch.minimum(boxes.clamp(min=0), edge)


def _places(mask: Tensor) -> Int64[Tensor, " n"]:
    return torch.nonzero(mask)[:, 0]


def example(divisor: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of :class:`OnePicture` to trace it with."""
    height, width = 4 * divisor, 6 * divisor
    return torch.zeros(1, 3, height, width), torch.tensor([height - 9, width]), torch.tensor([height, width])
