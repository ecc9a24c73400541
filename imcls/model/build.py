"""A classifier from its options: every part is chosen here."""

from __future__ import annotations

import torch
from torch import nn

from imcls.model.backbones import Backbone, FeatureMaps, first_line, measure
from imcls.model.cbam_resnet import build_cbam_resnet
from imcls.model.classifier import Classifier
from imcls.model.custom_backbone import build_custom
from imcls.model.freezing import freeze
from imcls.model.heads import build_head
from imcls.model.necks import NativePooling, Neck, build_pooling
from imcls.model.options import (
    BackboneOptions,
    CbamResNet,
    Concat,
    CustomBackbone,
    ModelOptions,
    ResNet9,
    Timm,
    Torchvision,
    WhitenedCnn,
)
from imcls.model.resnet9 import build_resnet9
from imcls.model.timm_backbone import build_timm
from imcls.model.torchvision_backbone import build_torchvision
from imcls.model.whitened_cnn import build_whitened_cnn
from suite.errors import BadInput


def build_classifier(
    options: ModelOptions, classes: int, *, image_px: int = 224, allow_code: bool = False
) -> Classifier:
    """A classifier on the CPU, in training mode, with its starting weights; what is frozen is frozen.

    `image_px` sizes models that know one size only. `allow_code` lets `type: custom` import what it names.
    Raises BadInput for unknown names, weights that do not fit, and sizes the backbone cannot take.
    """
    maps = options.neck.pooling.stages if isinstance(options.neck.pooling, Concat) else 1
    backbone = build_backbone(options.backbone, image_px, maps, allow_code=allow_code)
    found = _measured(backbone, image_px, maps)
    pooling = build_pooling(options.neck.pooling)
    with torch.no_grad():
        dim = pooling(found, backbone.eval()).shape[1]
    neck = Neck(options.neck, pooling, dim)
    head = build_head(options.head, dim, classes)
    model = Classifier(
        backbone, neck, head, embedding_dim=dim, classes=classes, image_px=image_px, options=options
    )
    if not isinstance(pooling, NativePooling):
        _leave_untrained_what_is_unused(model)
    freeze(backbone, options.backbone.frozen_stages, options.backbone.frozen_norm)
    return model.train()


def build_backbone(
    options: BackboneOptions, image_px: int = 224, maps: int = 1, *, allow_code: bool = False
) -> Backbone:
    """The backbone of that type, giving out the maps of its last `maps` stages."""
    match options:
        case Timm():
            return build_timm(options, image_px, maps)
        case Torchvision():
            return build_torchvision(options, image_px, maps)
        case CbamResNet():
            return build_cbam_resnet(options, maps)
        case ResNet9():
            return build_resnet9(options, maps)
        case WhitenedCnn():
            return build_whitened_cnn(options, maps)
        case CustomBackbone():
            return build_custom(options, maps, allow_code)


def _measured(backbone: Backbone, image_px: int, maps: int) -> FeatureMaps:
    try:
        found = measure(backbone, image_px)
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        raise BadInput(
            f"the backbone cannot take images of {image_px} px ({first_line(error)})", where="input.image_px"
        ) from error
    if len(found) < maps:
        raise BadInput(f"the backbone has {len(found)} stages", where="model.neck.pooling.stages")
    return found


def _leave_untrained_what_is_unused(model: Classifier) -> None:
    """Parameters of the native pooling that another pooling goes round get no gradient: distributed training
    would wait for it, and weight decay would wear them down."""
    model.eval()
    model.embed(torch.zeros(1, 3, model.image_px, model.image_px)).sum().backward()
    for parameter in model.backbone.parameters():
        if parameter.grad is None:
            parameter.requires_grad_(False)
    for parameter in nn.ModuleList([model.backbone, model.neck]).parameters():
        parameter.grad = None
