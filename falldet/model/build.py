"""A detector from its options: every part is chosen here. Sizes are in `options`, depths in `resnet`."""

from __future__ import annotations

from falldet.model.cascade import CascadeHead
from falldet.model.detector import CascadeRCNN
from falldet.model.fpn import Fpn
from falldet.model.nanodet import NanoDet
from falldet.model.options import (
    Backbone,
    CascadeOptions,
    DenseOptions,
    Detector,
    FpnOptions,
    Neck,
    PanOptions,
    PersonProposalOptions,
    Proposals,
    ResNetOptions,
    RpnOptions,
    ShuffleNetOptions,
)
from falldet.model.pan import Pan
from falldet.model.person import PersonProposals
from falldet.model.resnet import ResNet
from falldet.model.rpn import RpnHead
from falldet.model.shufflenet import ShuffleNet


def build_detector(options: Detector, classes: int) -> CascadeRCNN | NanoDet:
    """A detector with random weights: a CascadeRCNN or a NanoDet, called and trained alike."""
    match options:
        case DenseOptions():
            return NanoDet(options, classes)
        case CascadeOptions():
            backbone = build_backbone(options.backbone)
            neck = build_neck(options.neck, backbone)
            rpn_head = build_proposer(options.proposals, neck)
            regions_from = neck.strides[: len(backbone.strides)]  # not from what a neck adds beyond
            roi_head = CascadeHead(neck.channels, regions_from, classes, options.head)
            return CascadeRCNN(backbone, neck, rpn_head, roi_head)


def build_backbone(options: Backbone) -> ResNet | ShuffleNet:
    """Pictures -> maps; has `channels` and `strides` of each."""
    match options:
        case ResNetOptions():  # c2 ... c5, strides 4 ... 32; 64 ... 512 channels, bottlenecks 256 ... 2048
            return ResNet(options)
        case ShuffleNetOptions():  # strides 8, 16, 32; at 1.0x 116, 232 and 464 channels
            return ShuffleNet(options)


def build_neck(options: Neck, backbone: ResNet | ShuffleNet) -> Fpn | Pan:
    """Maps -> levels; has `channels`, the same for all levels, and `strides`."""
    match options:
        case FpnOptions():  # one level for each map and one coarser
            return Fpn(backbone.channels, backbone.strides, options)
        case PanOptions():  # one level for each map
            return Pan(backbone.channels, options, backbone.strides)


def build_proposer(options: Proposals, neck: Fpn | Pan) -> RpnHead | PersonProposals:
    """Levels -> boxes to look at."""
    match options:
        case RpnOptions():
            return RpnHead(neck.channels, neck.strides, options)
        case PersonProposalOptions():
            return PersonProposals(neck.channels, options, neck.strides)
