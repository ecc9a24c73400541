"""Backbones, necks and heads as they are written in YAML. Light: imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from suite.config import Config

Rate = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Target = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


class Starting(Config):
    """What every backbone has: where its weights start from and what of it stays as it is."""

    weights: Path | Literal["pretrained"] | None = None
    """A file of weights (.safetensors, .pth), `pretrained` for what the library downloads, or none."""
    frozen_stages: Annotated[int, Field(ge=0)] = 0
    """Stages that are not trained, counted from the image; 1 is the stem."""
    frozen_norm: bool = False
    """Whether batch norms keep their statistics and are not trained."""
    drop_path: Rate = 0.0
    """Stochastic depth: share of residual branches left out at random, rising to this at the last block."""
    mean: tuple[Share, Share, Share] | None = None
    """Red, green and blue (of 1) that are subtracted from images; what the backbone's own data config says
    where it is not given."""
    std: tuple[Positive, Positive, Positive] | None = None
    """What they are then divided by; see `mean`."""


class Timm(Starting):
    """Any model of timm, WSL ResNeXt (resnext101_32x8d.fb_wsl_ig1b_ft_in1k) and ResNeSt (resnest50d) among
    them."""

    type: Literal["timm"] = "timm"
    name: str = "resnet18"
    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of timm.create_model, such as pad_type: same."""


class Torchvision(Starting):
    """A classification model of torchvision, without its classifier."""

    type: Literal["torchvision"] = "torchvision"
    name: str = "mobilenet_v2"


class CbamResNet(Starting):
    """ResNet with channel and spatial attention (Woo et al. 2018, CBAM), in every block or at the stem
    only."""

    type: Literal["cbam_resnet"] = "cbam_resnet"
    depth: Literal[18, 34, 50, 101] = 50
    attention: Literal["blocks", "stem"] = "blocks"
    """`stem`: once after the stem and once after the last stage, as the contest version had it."""
    reduction: Annotated[int, Field(ge=1)] = 16
    """How much narrower the hidden layer of the channel attention is."""


class ResNet9(Starting):
    """A small residual net for small images, built to train in minutes on a CPU."""

    type: Literal["resnet9"] = "resnet9"
    width: Annotated[int, Field(ge=8)] = 32
    """Channels after the first layer; the stages have 1, 2, 4 and 8 times as many (the last capped at 4)."""


class WhitenedCnn(Starting):
    """Eight layers for small images whose first whitens patches (Jordan 2024); learns in few epochs."""

    type: Literal["whitened_cnn"] = "whitened_cnn"
    widths: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (
        32,
        96,
        96,
    )
    """Channels of the three stages."""


class CustomBackbone(Starting):
    """A class of your own, called with `options`; needs allow_code: true at the top of the file."""

    type: Literal["custom"] = "custom"
    target: Target
    """`package.module:Class`; an nn.Module whose forward gives a feature map or a list of them."""
    options: dict[str, Any] = Field(default_factory=dict)


BackboneOptions = Annotated[
    Timm | Torchvision | CbamResNet | ResNet9 | WhitenedCnn | CustomBackbone, Field(discriminator="type")
]


class Native(Config):
    """The pooling that the backbone itself was trained with: right for transformers too."""

    type: Literal["native"] = "native"


class Average(Config):
    """Global average of the last feature map."""

    type: Literal["average"] = "average"


class Gem(Config):
    """Generalised mean (Radenovic et al. 2018); p = 1 is the average, a large p the maximum."""

    type: Literal["gem"] = "gem"
    p: Positive = 3.0
    trained: bool = True
    """Whether p is learned."""


class Flatten(Config):
    """The last feature map as one long vector; ties the model to one image size."""

    type: Literal["flatten"] = "flatten"


class Concat(Config):
    """Averages of the feature maps of several stages, one after the other."""

    type: Literal["concat"] = "concat"
    stages: Annotated[int, Field(ge=2)] = 2
    """How many of the last stages."""


Pooling = Annotated[Native | Average | Gem | Flatten | Concat, Field(discriminator="type")]


class NeckOptions(Config):
    """Feature maps to one vector: pooling, then BNNeck and dropout where they are asked for."""

    pooling: Pooling = Native()
    bnneck: bool = False
    """Batch norm without a bias between the vector and the head (Luo et al. 2019); a triplet loss sees the
    vector before it."""
    dropout: Rate = 0.0


class LinearHead(Config):
    """One linear layer."""

    type: Literal["linear"] = "linear"


class CosineHead(Config):
    """Cosine between the vector and each class's own, times a learned scale."""

    type: Literal["cosine"] = "cosine"
    scale: Positive = 16.0


class ArcFaceHead(Config):
    """Cosine with an angular margin on the true class while training (Deng et al. 2019)."""

    type: Literal["arcface"] = "arcface"
    scale: Positive = 30.0
    margin_rad: Annotated[float, Field(ge=0, le=1)] = 0.3


class MultiLabelHead(Config):
    """One yes or no for each class, and how the yes is decided."""

    type: Literal["multi_label"] = "multi_label"
    threshold: Literal["half", "per_class", "regressed"] = "half"
    """`per_class`: chosen on out-of-fold predictions; `regressed`: a threshold for each image from its
    features."""


HeadOptions = Annotated[LinearHead | CosineHead | ArcFaceHead | MultiLabelHead, Field(discriminator="type")]


class ModelOptions(Config):
    """head(neck(backbone(images)))."""

    backbone: BackboneOptions = Timm()
    neck: NeckOptions = NeckOptions()
    head: HeadOptions = LinearHead()
