"""Any model of timm: convolutional, hierarchical (NHWC) or a transformer of tokens."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from imcls.model.backbones import Backbone, FeatureMaps, Stages, child_stages, colours, first_line
from imcls.model.names import check_name
from imcls.model.options import Timm
from imcls.model.starting_weights import load_starting_weights
from suite.errors import BadInput


class TimmBackbone(Backbone):
    """A timm model without its classifier; tokens and NHWC maps become (n, c, h, w), and go back to pool."""

    def __init__(self, net: nn.Module, options: Timm, maps: int = 1) -> None:
        """`maps`: how many of the last stages are given out."""
        config: dict[str, Any] = net.pretrained_cfg  # type: ignore[assignment]  # set by timm's builder
        super().__init__(
            net,
            _stages(net, coarse=True),
            colours(options, config["mean"], config["std"]),
            layers=_stages(net, coarse=False),
        )
        self.maps = maps
        self.nhwc = getattr(net, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> FeatureMaps:
        if self.maps == 1:
            last, earlier = self.net.forward_features(images), []  # type: ignore[operator]
        else:
            last, stages = self.net.forward_intermediates(  # type: ignore[operator]
                images, indices=self.maps, output_fmt="NCHW"
            )
            earlier = stages[:-1]
        map_, rest = self._map(last)
        return FeatureMaps([*earlier, map_], rest)

    def native_pool(self, maps: FeatureMaps) -> Float[Tensor, "n d"]:
        return self.net.forward_head(self._raw(maps), pre_logits=True)  # type: ignore[operator]

    def _map(self, raw: Any) -> tuple[Tensor, Any]:
        """What the model's trunk gives -> (map, rest), from which `_raw` makes it again."""
        if isinstance(raw, list | tuple):  # side by side, as in CrossViT; a real map before mere tokens
            return self._map(next((part for part in raw[::-1] if part.ndim == 4), raw[-1]))[0], raw
        if raw.ndim == 4:
            return (raw.permute(0, 3, 1, 2) if self.nhwc else raw), None
        prefix = self._prefix(raw.shape[1])
        tokens = raw[:, prefix:].transpose(1, 2)  # n c t
        side = math.isqrt(tokens.shape[2])
        square = side * side == tokens.shape[2]
        return tokens.unflatten(2, (side, side) if square else (tokens.shape[2], 1)), raw[:, :prefix]

    def _raw(self, maps: FeatureMaps) -> Any:
        if isinstance(maps.rest, list | tuple):
            return maps.rest
        if maps.rest is None:
            return maps[-1].permute(0, 2, 3, 1) if self.nhwc else maps[-1]
        return torch.cat([maps.rest, maps[-1].flatten(2).transpose(1, 2)], 1)

    def _prefix(self, tokens: int) -> int:
        """How many tokens come before those of the patches."""
        said = getattr(self.net, "num_prefix_tokens", None)
        if said is not None:
            return int(said)
        return 0 if math.isqrt(tokens) ** 2 == tokens else 1


def build_timm(options: Timm, image_px: int, maps: int) -> TimmBackbone:
    """The model of that name with its starting weights. Raises BadInput for what timm or it refuses."""
    import timm

    check_name("timm", options.name, "model.backbone.name")
    arguments: dict[str, Any] = {"num_classes": 0, **options.options}
    if options.drop_path:
        arguments["drop_path_rate"] = options.drop_path
    config = timm.get_pretrained_cfg(options.name)
    if config is not None and config.fixed_input_size:
        arguments.setdefault("img_size", image_px)
    file = options.weights if isinstance(options.weights, Path) else None
    pretrained = options.weights == "pretrained"
    try:
        net = timm.create_model(options.name, pretrained=pretrained, **arguments)
    except (TypeError, ValueError, AssertionError, AttributeError) as error:
        raise BadInput(
            f"{options.name} does not take these settings ({first_line(error)})",
            where="model.backbone",
            hint="see options, drop_path and input.image_px",
        ) from error
    except Exception as error:
        if not pretrained:
            raise
        raise BadInput(
            f"the weights of {options.name} could not be had ({first_line(error)})",
            where="model.backbone.weights",
            hint="give a file of weights instead of `pretrained`, or leave it out",
        ) from error
    _check_net(net, options, maps)
    backbone = TimmBackbone(net, options, maps)
    if file is not None:
        adapt = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
        load_starting_weights(backbone, file, adapt)
    return backbone


def _check_net(net: nn.Module, options: Timm, maps: int) -> None:
    if not hasattr(net, "forward_features") or not hasattr(net, "forward_head"):
        raise BadInput(f"{options.name} with these options is no classifier", where="model.backbone.options")
    if maps > 1:
        stages = len(net.feature_info) if hasattr(net, "forward_intermediates") else 0  # type: ignore[arg-type]
        if stages < maps:
            raise BadInput(
                f"{options.name} gives the maps of {stages} stages"
                if stages
                else f"{options.name} gives no maps of earlier stages",
                where="model.neck.pooling.stages",
                hint="take fewer, or another pooling than concat",
            )
    if options.drop_path and not any(getattr(module, "drop_prob", 0) for module in net.modules()):
        raise BadInput(f"{options.name} has no stochastic depth", where="model.backbone.drop_path")


def _stages(net: nn.Module, coarse: bool) -> Stages:
    """Names of parameters by timm's own grouping; what the groups leave out belongs to the last."""
    from timm.models import group_parameters

    if not hasattr(net, "group_matcher"):
        return child_stages(net)
    try:
        matcher = net.group_matcher(coarse=coarse)  # type: ignore[operator]
    except AssertionError:  # a few know fine groups only
        return child_stages(net)
    depths: dict[str, int] = group_parameters(net, matcher, reverse=True)
    return tuple(
        tuple(f"net.{name}" for name in depths if depths[name] == depth)
        for depth in sorted(set(depths.values()))
    )
