"""Which Cascade R-CNN a set of weights is of, read from their names (ours) and shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from falldet.model.options import (
    BoxHeadOptions,
    CascadeHeadOptions,
    CascadeOptions,
    FpnOptions,
    PersonProposalOptions,
    ResNetOptions,
    ShuffleNetOptions,
)
from falldet.model.resnet import BLOCKS
from suite.errors import BadInput

Shapes = Mapping[str, tuple[int, ...]]
_STAGES = 3
_X101 = ResNetOptions(depth=101, groups=32, width_per_group=4)
_GROUP_NORM_HEAD = BoxHeadOptions(convs=4, fcs=1, norm="group")
PRESETS = {
    "cascade_r50": CascadeOptions(),
    "cascade_r101": CascadeOptions(backbone=ResNetOptions(depth=101)),
    "cascade_x101_32x4d": CascadeOptions(backbone=_X101),
    "cascade_x101_64x4d": CascadeOptions(backbone=_X101.model_copy(update={"groups": 64})),
    "cascade_r50_dcn": CascadeOptions(backbone=ResNetOptions(deformable="v1")),
    "cascade_r50_dcnv2": CascadeOptions(backbone=ResNetOptions(deformable="v2")),
    "cascade_r101_dcn": CascadeOptions(backbone=ResNetOptions(depth=101, deformable="v1")),
    "cascade_x101_32x4d_dcn": CascadeOptions(backbone=_X101.model_copy(update={"deformable": "v1"})),
    "cascade_x152_32x8d_dcn": CascadeOptions(
        backbone=ResNetOptions(depth=152, groups=32, width_per_group=8, deformable="v1"),
        head=CascadeHeadOptions(box=_GROUP_NORM_HEAD, average="probabilities"),
    ),
}
"""Architectures with public weights: mmdet's; the last is detectron2's X_152_32x8d_FPN_IN5k_gn_dconv."""


def architecture(
    shapes: Shapes,
    style: Literal["pytorch", "caffe"] = "pytorch",
    average: Literal["logits", "probabilities"] = "logits",
) -> CascadeOptions:
    """Options of the detector that weights of these names and shapes belong to.

    What shapes do not tell (where a bottleneck has its stride, what is averaged) is given. Parts that are not
    there, as in weights of a backbone alone, are the usual ones. BadInput where it is none that can be built.
    """
    backbone = _backbone(shapes, style)
    if not any(name.startswith("neck.") for name in shapes):
        return CascadeOptions(backbone=backbone)
    channels = _shape(shapes, "neck.lateral_convs.0.conv.weight")[0]
    norm = "group" if "neck.lateral_convs.0.gn.weight" in shapes else "none"
    head = CascadeHeadOptions(box=_box_head(shapes), pool_px=_pool_px(shapes, channels), average=average)
    return CascadeOptions(backbone=backbone, neck=FpnOptions(channels=channels, norm=norm), head=head)


def file_classes(shapes: Shapes) -> int | None:
    """Classes the weights tell apart, without the background; None where they are of a backbone alone."""
    found = shapes.get("roi_head.bbox_head.0.fc_cls.weight")
    return None if found is None else found[0] - 1


def named(options: CascadeOptions) -> str:
    """The architecture in words."""
    neck = f"{options.neck.type.upper()}-{options.neck.channels}"
    if isinstance(options.neck, FpnOptions) and options.neck.norm == "group":
        neck += " with group norm"
    box = options.head.box
    layers = [f"{box.convs} convolutions"] if box.convs else []
    layers += [f"{box.fcs} fully connected of {box.fc_channels}"]
    head = f"heads of {' and '.join(layers)}{' with group norm' if box.norm == 'group' else ''}"
    from_person = isinstance(options.proposals, PersonProposalOptions)
    return f"Cascade R-CNN, {_net(options)}, {neck}, {head}{', proposals of NanoDet' if from_person else ''}"


def _net(options: CascadeOptions) -> str:
    net = options.backbone
    if isinstance(net, ShuffleNetOptions):
        return f"ShuffleNetV2 {net.width}"
    kind = f"ResNet-{net.depth}"
    if net.groups > 1:
        kind = f"ResNeXt-{net.depth} {net.groups}x{net.width_per_group}d"
    norm = " with group norm" if net.norm == "group" else ""
    return kind + norm + ("" if net.deformable == "none" else f" with DCN{net.deformable}")


def _backbone(shapes: Shapes, style: Literal["pytorch", "caffe"]) -> ResNetOptions:
    blocks = tuple(
        len({found[1] for name in shapes if (found := re.match(rf"backbone\.layer{k}\.(\d+)\.", name))})
        for k in (1, 2, 3, 4)
    )
    bottleneck = "backbone.layer1.0.conv3.weight" in shapes
    depth: Any = next((d for d, count in BLOCKS.items() if count == blocks and (d >= 50) == bottleneck), None)
    if depth is None:
        kind = "bottlenecks" if bottleneck else "blocks"
        raise BadInput(f"its backbone is no ResNet of {', '.join(map(str, BLOCKS))} layers ({blocks} {kind})")
    groups, width = 1, 64
    if bottleneck:
        wide, width = _shape(shapes, "backbone.layer1.0.conv2.weight")[:2]
        groups = wide // width
    norm = "group" if "backbone.gn1.weight" in shapes else "batch"
    return ResNetOptions(
        depth=depth,
        groups=groups,
        width_per_group=width,
        norm=norm,
        style=style,
        deformable=_deformable(shapes),
    )


def _deformable(shapes: Shapes) -> Literal["none", "v1", "v2"]:
    offsets = {name: shape[0] for name, shape in shapes.items() if name.endswith("conv_offset.weight")}
    if not offsets:
        return "none"
    first, channels = next(iter(offsets.items()))
    stages = sorted({name.split(".")[1] for name in offsets})
    if stages != ["layer2", "layer3", "layer4"]:
        raise BadInput(
            f"deformable convolutions in {', '.join(stages)}; only those in layers 2 to 4 are known"
        )
    if channels not in (18, 27) or len(set(offsets.values())) > 1:
        raise BadInput(f"{first} has {channels} channels; 18 (version 1) and 27 (version 2) are known")
    return "v1" if channels == 18 else "v2"


def _box_head(shapes: Shapes) -> BoxHeadOptions:
    def layers(of: str) -> list[tuple[int, ...]]:
        pattern = re.compile(rf"roi_head\.bbox_head\.0\.{of}\.\d+(\.conv)?\.weight$")
        return [shape for name, shape in shapes.items() if pattern.match(name)]

    stages = {name.split(".")[2] for name in shapes if name.startswith("roi_head.bbox_head.")}
    if len(stages) != _STAGES:
        raise BadInput(f"a cascade of {len(stages)} stages; {_STAGES} are known")
    regression = _shape(shapes, "roi_head.bbox_head.0.fc_reg.weight")[0]
    if regression != 4:
        raise BadInput(
            f"boxes are refined for each of {regression // 4} classes; here they are for all together"
        )
    convs, fcs = layers("shared_convs"), layers("shared_fcs")
    if not fcs:
        raise BadInput("heads without a fully connected layer")
    given = {"conv_channels": convs[0][0]} if convs else {}
    norm = "group" if any(".shared_convs.0.gn." in name for name in shapes) else "none"
    return BoxHeadOptions(convs=len(convs), fcs=len(fcs), fc_channels=fcs[0][0], norm=norm, **given)


def _pool_px(shapes: Shapes, channels: int) -> int:
    last = [
        s[0]
        for name, s in shapes.items()
        if re.match(r"roi_head\.bbox_head\.0\.shared_convs\..*weight", name)
    ]
    return math.isqrt(
        _shape(shapes, "roi_head.bbox_head.0.shared_fcs.0.weight")[1] // (last or [channels])[-1]
    )


def _shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    if name not in shapes:
        raise BadInput(f"{name} is missing")
    return shapes[name]
