"""Detectors as they are written in YAML: which parts, how wide, how deep. Light: imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class ResNetOptions(Config):
    """ResNet, or ResNeXt where `groups` is above 1 (He et al. 2015, Xie et al. 2016)."""

    type: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50, 101, 152] = 50
    groups: Count = 1
    width_per_group: Count = 64
    """ResNeXt-101 32x4d has 32 groups of 4."""
    norm: Literal["batch", "group"] = "batch"
    """`batch` norms keep their statistics, as detectors are fine-tuned; `group` ones (32 groups) are
    trained."""
    style: Literal["pytorch", "caffe"] = "pytorch"
    """Which convolution of a bottleneck has the stride: the 3x3 or the first 1x1."""
    deformable: Literal["none", "v1", "v2"] = "none"
    """Deformable 3x3 convolutions in stages c3-c5: offsets alone (Dai et al. 2017) or with a mask (Zhu et
    al. 2018)."""
    frozen_stages: Annotated[int, Field(ge=0, le=4)] = 1
    """Stages that are not trained; 1 is the stem and c2."""


class ShuffleNetOptions(Config):
    """ShuffleNetV2 without batch norms, as NanoDet-m has it once they are folded (Ma et al. 2018)."""

    type: Literal["shufflenet"] = "shufflenet"
    width: Literal["0.5x", "1.0x", "1.5x"] = "1.0x"
    frozen_stages: Annotated[int, Field(ge=0, le=4)] = 2
    """Stages that are not trained; 1 is the stem, 2 the first blocks."""


Backbone = Annotated[ResNetOptions | ShuffleNetOptions, Field(discriminator="type")]


class FpnOptions(Config):
    """Feature pyramid, top down (Lin et al. 2017)."""

    type: Literal["fpn"] = "fpn"
    channels: Count = 256
    norm: Literal["none", "group"] = "none"


class PanOptions(Config):
    """NanoDet's light pyramid: top down, then bottom up, without convolutions between."""

    type: Literal["pan"] = "pan"
    channels: Count = 96
    deformable: Literal["none", "v2"] = "none"
    """A deformable convolution added to the coarsest level; it begins at zero, so that weights trained
    without it stay what they were."""


Neck = Annotated[FpnOptions | PanOptions, Field(discriminator="type")]


class RpnOptions(Config):
    """Region proposals from anchors (Ren et al. 2015)."""

    type: Literal["rpn"] = "rpn"
    anchor_scale: Count = 8
    """Side of an anchor, in strides of its level."""
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    before_nms: Count = 1000
    """Proposals of each level that are kept before suppression, when predicting."""
    after_nms: Count = 1000
    """Proposals of a picture that are kept after it, when predicting."""
    before_nms_train: Count = 2000
    after_nms_train: Count = 2000
    nms_iou: Share = 0.7
    sampled: Count = 256
    """Anchors of a picture that the proposals are trained on."""
    positive_share: Share = 0.5


class PersonProposalOptions(Config):
    """Proposals from NanoDet's person head, which COCO has taught to find people in any pose."""

    type: Literal["person"] = "person"
    after_nms: Count = 24
    nms_iou: Share = 0.6
    score: Share = 0.02


Proposals = Annotated[RpnOptions | PersonProposalOptions, Field(discriminator="type")]


class BoxHeadOptions(Config):
    """What each stage of the cascade computes from a region's features."""

    convs: Annotated[int, Field(ge=0)] = 0
    conv_channels: Count = 256
    fcs: Annotated[int, Field(ge=1)] = 2
    fc_channels: Count = 1024
    norm: Literal["none", "group"] = "none"


class CascadeHeadOptions(Config):
    """Three stages that each refine the boxes of the one before (Cai and Vasconcelos 2018)."""

    box: BoxHeadOptions = BoxHeadOptions()
    pool_px: Count = 7
    finest_scale_px: Count = 56
    """Regions smaller than twice this side are read from the finest level, twice as large from the next,
    ..."""
    ious: tuple[Share, ...] = (0.5, 0.6, 0.7)
    loss_weights: tuple[float, ...] = (1.0, 0.5, 0.25)
    stds: tuple[tuple[float, float, float, float], ...] = (
        (0.1, 0.1, 0.2, 0.2),
        (0.05, 0.05, 0.1, 0.1),
        (0.033, 0.033, 0.067, 0.067),
    )
    """What box deltas (dx, dy, dw, dh) are divided by, for each stage."""
    average: Literal["logits", "probabilities"] = "logits"
    """What is averaged over the stages: mmdet's logits or detectron2's probabilities."""
    sampled: Count = 512
    """Regions of a picture that each stage is trained on."""
    positive_share: Share = 0.25
    score: Share = 0.05
    """Detections with a lower score are dropped before suppression."""
    nms_iou: Share = 0.5
    most: Count = 100
    """Detections of a picture at most."""


class CascadeOptions(Config):
    """Two-stage cascade detector: backbone, neck, proposals, cascade."""

    type: Literal["cascade"] = "cascade"
    backbone: Backbone = ResNetOptions()
    neck: Neck = FpnOptions()
    proposals: Proposals = RpnOptions()
    head: CascadeHeadOptions = CascadeHeadOptions()
    weights: Path | None = None
    """Weights to start from: a model of falldet, or mmdet's or detectron2's that `import-weights` has
    checked."""


class DenseOptions(Config):
    """NanoDet-m: one stage, a score and a box at every place of three levels (Li et al. 2020, Lyu 2020)."""

    type: Literal["dense"] = "dense"
    backbone: ShuffleNetOptions = ShuffleNetOptions()
    neck: PanOptions = PanOptions()
    bins: Count = 8
    """Bins of the distribution of each distance from the centre to an edge, in strides."""
    score: Share = 0.05
    nms_iou: Share = 0.6
    most: Count = 100
    weights: Path | None = None
    """Weights to start from: a model of falldet, or NanoDet-m in ncnn's format (the .param file)."""


Detector = Annotated[CascadeOptions | DenseOptions, Field(discriminator="type")]


class PixelOptions(Config):
    """How a picture becomes numbers: size, order of colours, mean and spread."""

    long_px: Count = 416
    """A picture is scaled, its proportions kept, to the largest size whose long side is at most this."""
    short_px: Count | None = None
    """And whose short side is at most this; by default the same as `long_px`."""
    order: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Of 255, in the model's order of colours."""
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    divisor: Count = 32
    """Pictures are padded with zeros at the right and the bottom to a multiple of this."""
