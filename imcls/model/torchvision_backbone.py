"""The classification models of torchvision, without their classifiers."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision import models
from torchvision.models.googlenet import GoogLeNet
from torchvision.models.inception import Inception3

from imcls.model.backbones import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    FeatureMaps,
    Stages,
    colours,
    first_line,
    prefixed,
)
from imcls.model.drop_path import spread_drop_path
from imcls.model.names import check_name
from imcls.model.options import Torchvision
from imcls.model.starting_weights import fit_state, load_starting_weights
from suite.errors import BadInput

AS_PUBLISHED_PX = 224
"""Side at which stages are told apart: a stage ends where the map becomes smaller."""


class StepsBackbone(Backbone):
    """A network that is a row of modules; each map is the last one of its size."""

    def __init__(self, net: nn.Module, options: Torchvision, maps: int = 1) -> None:
        """`maps`: how many of the last stages are given out."""
        steps, head = _steps(net)
        setattr(net, head, _without_classifier(getattr(net, head)))
        self.steps, self.head, self.maps = steps, head, maps
        self.nhwc = isinstance(net, models.SwinTransformer)
        super().__init__(net, (), colours(options, IMAGENET_MEAN, IMAGENET_STD))
        sides = self._sides()
        self.ends = tuple(i for i, side in enumerate(sides) if i + 1 == len(sides) or sides[i + 1] != side)
        self.stages = self.layers = self._stages()
        if maps > len(self.ends):
            raise BadInput(f"{options.name} has {len(self.ends)} stages", where="model.neck.pooling.stages")

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> FeatureMaps:
        x, maps = self._input(images), []
        wanted = self.ends[-self.maps :]
        for i, step in enumerate(self.steps):
            x = self.net.get_submodule(step)(x)
            if i in wanted:
                maps.append(x)
        if isinstance(self.net, models.SwinTransformer):
            maps[-1] = self.net.norm(maps[-1])
            maps = [map_.permute(0, 3, 1, 2) for map_ in maps]
        return FeatureMaps(maps)

    def native_pool(self, maps: FeatureMaps) -> Float[Tensor, "n d"]:
        match self.net:
            case models.MaxVit():  # its classifier pools
                pooled = maps[-1]
            case models.ConvNeXt():  # its classifier normalises, then flattens
                pooled = self.net.avgpool(maps[-1])
            case models.VGG() | models.AlexNet():
                pooled = self.net.avgpool(maps[-1]).flatten(1)
            case _:
                pooled = maps[-1].mean((2, 3))
        return self.net.get_submodule(self.head)(pooled)

    def _input(self, images: Tensor) -> Tensor:
        if isinstance(self.net, GoogLeNet | Inception3):  # their weights want other colours
            return self.net._transform_input(images)
        return images

    @torch.no_grad()
    def _sides(self) -> list[int]:
        """Side of the map after each step."""
        training, sides = self.net.training, []
        self.net.eval()
        x = self._input(torch.zeros(1, 3, AS_PUBLISHED_PX, AS_PUBLISHED_PX))
        for step in self.steps:
            x = self.net.get_submodule(step)(x)
            sides.append(x.shape[1 if self.nhwc else 2])
        self.net.train(training)
        return sides

    def _stages(self) -> Stages:
        starts = (0, *(end + 1 for end in self.ends[:-1]))
        stages = [self.steps[a : b + 1] for a, b in zip(starts, self.ends, strict=True)]
        stages[-1] = (*stages[-1], "norm", self.head)
        return prefixed(stages)


class VitBackbone(Backbone):
    """A vision transformer: the patches as a map, the class token as the rest."""

    net: models.VisionTransformer

    def __init__(self, net: models.VisionTransformer, options: Torchvision, maps: int = 1) -> None:
        """`maps`: how many of the last layers are given out; all have the same size."""
        net.heads = nn.Sequential()
        names = list(dict(net.encoder.layers.named_children()))
        stages = (
            ("net.class_token", "net.conv_proj.", "net.encoder.pos_embedding"),
            *((f"net.encoder.layers.{name}.",) for name in names[:-1]),
            (f"net.encoder.layers.{names[-1]}.", "net.encoder.ln."),
        )
        super().__init__(net, stages, colours(options, IMAGENET_MEAN, IMAGENET_STD))
        self.maps = maps

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> FeatureMaps:
        encoder = self.net.encoder
        patches = self.net._process_input(images)  # n t c
        tokens = torch.cat([self.net.class_token.expand(len(patches), -1, -1), patches], 1)
        tokens = encoder.dropout(tokens + encoder.pos_embedding)
        layers = []
        for layer in encoder.layers:
            tokens = layer(tokens)
            layers.append(tokens)
        layers[-1] = encoder.ln(tokens)
        side = self.net.image_size // self.net.patch_size
        maps = [t[:, 1:].transpose(1, 2).unflatten(2, (side, side)) for t in layers[-self.maps :]]
        return FeatureMaps(maps, rest=layers[-1][:, :1])

    def native_pool(self, maps: FeatureMaps) -> Float[Tensor, "n d"]:
        return maps.rest[:, 0]


def build_torchvision(options: Torchvision, image_px: int, maps: int) -> Backbone:
    """The model of that name with its starting weights. Raises BadInput for what torchvision refuses."""
    check_name("torchvision", options.name, "model.backbone.name")
    arguments: dict[str, Any] = {"weights": None}
    if options.name.startswith("vit_"):
        arguments["image_size"] = image_px
    elif options.name.startswith("maxvit_"):
        arguments["input_size"] = (image_px, image_px)
    elif options.name in ("googlenet", "inception_v3"):
        arguments |= {"aux_logits": False, "init_weights": True, "transform_input": bool(options.weights)}
    try:
        net = models.get_model(options.name, **arguments)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise BadInput(
            f"{options.name} is not made for {image_px} px ({first_line(error)})", where="input.image_px"
        ) from error
    if not spread_drop_path(net, options.drop_path) and options.drop_path:
        raise BadInput(
            f"torchvision's {options.name} has no stochastic depth", where="model.backbone.drop_path"
        )
    backbone: Backbone
    if isinstance(net, models.VisionTransformer):
        backbone = VitBackbone(net, options, maps)
    else:
        backbone = StepsBackbone(net, options, maps)
    if options.weights == "pretrained":
        fit_state(backbone, downloaded(options.name), options.name, _resized)
    elif options.weights is not None:
        load_starting_weights(backbone, options.weights, _resized)
    return backbone


def downloaded(name: str) -> dict[str, Tensor]:
    """State of torchvision's best weights of a model. Raises BadInput when they cannot be had."""
    try:
        return dict(models.get_model_weights(name)["DEFAULT"].get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError, KeyError) as error:  # URLError is an OSError
        raise BadInput(
            f"the weights of {name} could not be had ({first_line(error)})",
            where="model.backbone.weights",
            hint="give a file of weights instead of `pretrained`, or leave it out",
        ) from error


def _steps(net: nn.Module) -> tuple[tuple[str, ...], str]:
    """Modules from image to last map, in the order of the model's own forward; name of its classifier."""
    match net:
        case models.ResNet():
            return ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"), "fc"
        case models.ShuffleNetV2():
            return ("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5"), "fc"
        case models.RegNet():
            return ("stem", *_inside(net, "trunk_output")), "fc"
        case GoogLeNet() | Inception3():
            names = [name for name, _ in net.named_children()]
            return tuple(names[: names.index("avgpool")]), "fc"
        case models.MaxVit():
            return ("stem", *_inside(net, "blocks")), "classifier"
        case models.MNASNet():
            return _inside(net, "layers"), "classifier"
        case models.SwinTransformer():
            return _inside(net, "features"), "head"
        case models.DenseNet():
            net.features.add_module("relu5", nn.ReLU())  # a function in its forward
            return _inside(net, "features"), "classifier"
        case _:
            return _inside(net, "features"), "classifier"


def _inside(net: nn.Module, name: str) -> tuple[str, ...]:
    return tuple(f"{name}.{child}" for child, _ in net.get_submodule(name).named_children())


def _without_classifier(head: nn.Module) -> nn.Module:
    """The head up to its last linear layer, names kept; dropout is the neck's affair."""
    if isinstance(head, nn.Linear):
        return nn.Identity()
    assert isinstance(head, nn.Sequential)
    if any(isinstance(module, nn.Conv2d) for module in head):  # SqueezeNet: classes before pooling
        return nn.Identity()
    last = max(i for i, module in enumerate(head) if isinstance(module, nn.Linear))
    for i, module in enumerate(head):
        if i == last or isinstance(module, nn.Dropout):
            head[i] = nn.Identity()
    return head


def _resized(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Position embeddings of a vision transformer for the size of this one."""
    from torchvision.models.vision_transformer import interpolate_embeddings

    if not isinstance(net, models.VisionTransformer):
        return state
    return dict(interpolate_embeddings(net.image_size, net.patch_size, state))  # type: ignore[arg-type]
