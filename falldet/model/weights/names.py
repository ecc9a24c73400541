"""Whose weights these are, told by their names, and those names as ours, which are mmdet 3's.

detectron2's names: its `modeling/backbone/{resnet,fpn}.py`, `modeling/proposal_generator/rpn.py` and
`modeling/roi_heads/{box_head,fast_rcnn,cascade_rcnn}.py`. Both count the background as the last class, order
anchors, deltas and the offsets of deformable convolutions alike, and flatten a region channel first; so only
names differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from suite.errors import BadInput

Family = Literal["mmdet", "detectron2", "imagenet"]

_DROPPED = (
    "roi_head.mask_head.",
    "roi_head.mask_iou_head.",
    "roi_head.semantic_head.",
    "data_preprocessor.",
    "roi_heads.mask_head.",
    "sem_seg_head.",
    "pixel_mean",
    "pixel_std",
    "proposal_generator.anchor_generator.",
    "fc.",
    "head.fc.",
)
"""Parts that find no boxes: masks, segmentation, ImageNet's classifier, what follows from settings."""

# What is refused, told by a name that it must have: (a name's beginning or pattern, what it is)
_REFUSED = (
    (r"roi_head\.bbox_head\.(fc_cls|shared_fcs)", "a single-stage head (Faster or Mask R-CNN of mmdet)"),
    (
        r"roi_heads\.box_(head\.fc|predictor\.(cls_score|bbox_pred))",
        "a single-stage head (Faster or Mask R-CNN)",
    ),
    (r"backbone\.body\.", "a detector of torchvision, with a single-stage head"),
    (r"bbox_head\.[0-9]+\.", "a cascade of mmdet 1, whose background is the first class"),
    (r"bbox_head\.", "a one-stage detector of mmdet"),
    (r"head\.(cls|bbox|reg)_", "a one-stage detector of detectron2"),
    (r"(res[2-5]_[0-9]+_branch|conv1_w$|res_conv1_bn)", "an ImageNet ResNet under Caffe2's names"),
    (r"backbone\.stem\.[0-9]|(^|backbone\.)stem\.0", "a ResNet with a deep stem (ResNetV1c, V1d, ResNeSt)"),
    (r"(backbone\.)?(patch_embed|layers\.0\.blocks|blocks\.0\.attn)", "a transformer"),
)

_DETECTRON2 = (
    (r"backbone\.bottom_up\.stem\.conv1\.", "backbone.conv1."),
    (r"backbone\.bottom_up\.res([2-5])\.(\d+)\.", lambda m: f"backbone.layer{int(m[1]) - 1}.{m[2]}."),
    (r"backbone\.fpn_lateral([2-5])\.", lambda m: f"neck.lateral_convs.{int(m[1]) - 2}.conv."),
    (r"backbone\.fpn_output([2-5])\.", lambda m: f"neck.fpn_convs.{int(m[1]) - 2}.conv."),
    (r"proposal_generator\.rpn_head\.conv\.", "rpn_head.rpn_conv."),
    (r"proposal_generator\.rpn_head\.objectness_logits\.", "rpn_head.rpn_cls."),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.", "rpn_head.rpn_reg."),
    (
        r"roi_heads\.box_head\.(\d+)\.conv(\d+)\.",
        lambda m: f"roi_head.bbox_head.{m[1]}.shared_convs.{int(m[2]) - 1}.conv.",
    ),
    (
        r"roi_heads\.box_head\.(\d+)\.fc(\d+)\.",
        lambda m: f"roi_head.bbox_head.{m[1]}.shared_fcs.{int(m[2]) - 1}.",
    ),
    (r"roi_heads\.box_predictor\.(\d+)\.cls_score\.", r"roi_head.bbox_head.\1.fc_cls."),
    (r"roi_heads\.box_predictor\.(\d+)\.bbox_pred\.", r"roi_head.bbox_head.\1.fc_reg."),
)


@dataclass(frozen=True, eq=False)
class Renamed:
    """Weights under our names; of which family they were, and how many of each other part were left out."""

    tensors: Mapping[str, Tensor]
    family: Family
    dropped: Mapping[str, int]


def renamed(tensors: Mapping[str, Tensor], where: object = None) -> Renamed:
    """Weights of any known family under our names. BadInput, saying what they are, where they are no use."""
    dropped: dict[str, int] = {}
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        part = next((part for part in _DROPPED if name.startswith(part)), None)
        if part is None:
            kept[name] = tensor
        else:
            dropped[part.rstrip(".")] = dropped.get(part.rstrip("."), 0) + 1
    family = _family(kept, where)
    match family:
        case "mmdet":
            return Renamed(kept, family, dropped)
        case "detectron2":
            norms = {name.rpartition(".")[0] for name in kept if name.endswith(".running_mean")}
            return Renamed({_from_detectron2(name, norms): kept[name] for name in kept}, family, dropped)
        case "imagenet":
            return Renamed(
                {f"backbone.{name.removeprefix('backbone.')}": kept[name] for name in kept}, family, dropped
            )


def _family(names: Iterable[str], where: object) -> Family:
    names = list(names)
    if any(name.startswith("roi_head.bbox_head.0.") for name in names):
        return "mmdet"
    if any(name.startswith("roi_heads.box_predictor.0.") for name in names):
        return "detectron2"
    place = None if where is None else str(where)
    for pattern, what in _REFUSED:
        if any(re.match(pattern, name) for name in names):
            raise BadInput(f"holds {what}; a Cascade R-CNN on a ResNet was expected", where=place)
    if names and all(re.match(r"(backbone\.)?(conv1|bn1|gn1|layer[1-4]\.)", name) for name in names):
        return "imagenet"
    first = ", ".join(names[:3]) or "nothing that finds boxes"
    raise BadInput(f"holds neither a Cascade R-CNN nor a ResNet (it begins with {first})", where=place)


def _from_detectron2(name: str, batch_norms: set[str]) -> str:
    """Our name of one weight. A norm is part of its convolution there, and our name of it tells its kind."""
    ours = name
    for pattern, replacement in _DETECTRON2:
        ours, found = re.subn(f"^{pattern}", replacement, name)
        if found:
            break
    ours = ours.replace(".conv2_offset.", ".conv2.conv_offset.")
    norm, _, last = ours.rpartition(".")
    if not norm.endswith(".norm"):
        return re.sub(r"\.shortcut\.(?=weight$|bias$)", ".downsample.0.", ours)
    kind = "bn" if name.rpartition(".")[0] in batch_norms else "gn"
    conv = norm.removesuffix(".norm")
    if conv.endswith(".shortcut"):
        return f"{conv.removesuffix('.shortcut')}.downsample.1.{last}"
    if conv.startswith("backbone."):
        return f"{re.sub('conv(?=[123]$)', kind, conv)}.{last}"
    return f"{conv.removesuffix('.conv')}.{kind}.{last}"
