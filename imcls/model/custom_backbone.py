"""A backbone of the user's own: any module whose forward gives a feature map or a list of them."""

from __future__ import annotations

import importlib

from jaxtyping import Float
from torch import Tensor, nn

from imcls.model.backbones import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    FeatureMaps,
    child_stages,
    colours,
    first_line,
)
from imcls.model.options import CustomBackbone
from imcls.model.starting_weights import load_starting_weights
from suite.errors import BadInput

WHERE = "model.backbone"


class OwnBackbone(Backbone):
    """Wraps the module; its children are the stages, its `mean` and `std` are used where it has them."""

    def __init__(self, net: nn.Module, options: CustomBackbone, maps: int = 1) -> None:
        """`maps`: how many of the last maps are given out."""
        mean, std = getattr(net, "mean", IMAGENET_MEAN), getattr(net, "std", IMAGENET_STD)
        super().__init__(net, child_stages(net), colours(options, mean, std))
        self.target, self.maps = options.target, maps

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> FeatureMaps:
        out = self.net(images)
        maps = list(out) if isinstance(out, list | tuple) else [out]
        if len(maps) < self.maps or not all(isinstance(m, Tensor) and m.ndim == 4 for m in maps):
            raise BadInput(f"{self.target} does not give {self.maps} maps (n, c, h, w)", where=WHERE)
        return FeatureMaps(maps[-self.maps :])


def build_custom(options: CustomBackbone, maps: int, allow_code: bool) -> OwnBackbone:
    """Import `package.module:Class` and call it with its options. Raises BadInput without `allow_code`."""
    if not allow_code:
        raise BadInput(
            f"{options.target} is code, which this file may not run",
            where=f"{WHERE}.target",
            hint="set allow_code: true if you trust it",
        )
    if options.drop_path:
        raise BadInput("is yours to build in", where=f"{WHERE}.drop_path", hint="pass it in options")
    module, name = options.target.split(":")
    try:
        made = getattr(importlib.import_module(module), name)(**options.options)
    except (ImportError, AttributeError, TypeError) as error:
        raise BadInput(
            f"{options.target} cannot be had ({first_line(error)})",
            where=f"{WHERE}.target",
            hint="its folder must be on PYTHONPATH",
        ) from error
    if not isinstance(made, nn.Module):
        raise BadInput(f"{options.target} is no torch.nn.Module", where=f"{WHERE}.target")
    backbone = OwnBackbone(made, options, maps)
    if options.weights == "pretrained":
        raise BadInput("there are no published weights for custom code", where=f"{WHERE}.weights")
    if options.weights is not None:
        load_starting_weights(backbone, options.weights)
    return backbone
