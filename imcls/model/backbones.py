"""What every backbone gives: feature maps, the pooling it was trained with, and its stages by name.

A backbone wraps a network as `net` and never holds a classifier. Its stages are listed from the image upward,
each as a tuple of prefixes of parameter names; they serve freezing and layer-wise learning rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from imcls.model.options import Starting

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Stages = tuple[tuple[str, ...], ...]
Colour = tuple[float, float, float]


class FeatureMaps(list[Tensor]):
    """Maps (n, c, h, w) from fine to coarse, and `rest`: what has no place in a map, such as class tokens."""

    def __init__(self, maps: Iterable[Tensor], rest: Any = None) -> None:
        super().__init__(maps)
        self.rest = rest


class Backbone(nn.Module):
    """A network without its classifier. Subclasses give `forward`, and `native_pool` unless it averages."""

    channels: tuple[int, ...] = ()
    """Channels of each map, found by `measure`."""
    frozen: tuple[str, ...] = ()
    """Modules that stay in eval mode whatever `train()` is told."""
    fresh: tuple[str, ...] = ()
    """Prefixes of parameter names that no file of weights covers: trained as new parts."""
    starts_from_images: bool = False
    """Whether `start_from` is to be called with training images before the training."""

    def __init__(
        self,
        net: nn.Module,
        stages: Stages,
        colours: tuple[Colour, Colour],
        *,
        layers: Stages | None = None,
    ) -> None:
        """`stages` for freezing; `layers`, finer, for layer-wise learning rates (the stages where not given);
        `colours`: mean and standard deviation of red, green and blue in [0, 1]."""
        super().__init__()
        self.net = net
        self.stages = stages
        self.layers = stages if layers is None else layers
        self.mean, self.std = colours

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> FeatureMaps:
        """Normalised images -> maps, fine to coarse."""
        raise NotImplementedError

    def native_pool(self, maps: FeatureMaps) -> Float[Tensor, "n d"]:
        """Maps -> the vector that the network's own classifier was trained on."""
        return maps[-1].mean((2, 3))

    def start_from(self, images: Float[Tensor, "n 3 h w"]) -> None:
        """Set what depends on the data, from normalised training images; nothing, unless a subclass does."""

    def train(self, mode: bool = True) -> Backbone:
        """As in torch, except that what is frozen stays in eval mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self


def measure(backbone: Backbone, image_px: int) -> FeatureMaps:
    """Maps of one black image in eval mode; sets `backbone.channels`."""
    training = backbone.training
    backbone.eval()
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, image_px, image_px))
    backbone.train(training)
    backbone.channels = tuple(map_.shape[1] for map_ in maps)
    return maps


def stage_of(name: str, stages: Stages) -> int | None:
    """Index of the first stage that has a prefix of `name`; None where there is none."""
    return next((i for i, prefixes in enumerate(stages) if name.startswith(prefixes)), None)


def child_stages(net: nn.Module) -> Stages:
    """Stages of a network that does not say its own: children in their order, lists of modules one by one.

    Parameters that the network holds itself (position embeddings, class tokens) belong to the first.
    """
    stages: list[tuple[str, ...]] = []
    for name, child in net.named_children():
        parts = [part for part, module in child.named_children() if any(True for _ in module.parameters())]
        if isinstance(child, nn.Sequential | nn.ModuleList) and len(parts) > 1:
            stages += [(f"net.{name}.{part}.",) for part in parts]
        elif any(True for _ in child.parameters()):
            stages.append((f"net.{name}.",))
    own = tuple(f"net.{name}" for name, _ in net.named_parameters(recurse=False))
    return ((*own, *stages[0]), *stages[1:]) if stages else (own,)


def prefixed(groups: Sequence[Sequence[str]]) -> Stages:
    """Modules of `net`, stage by stage -> prefixes of their parameters' names in the backbone."""
    return tuple(tuple(f"net.{name}." for name in group) for group in groups)


def first_line(error: Exception) -> str:
    """What an error of a library says, as part of a sentence."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")


def colours(options: Starting, mean: Sequence[float], std: Sequence[float]) -> tuple[Colour, Colour]:
    """Mean and standard deviation for a backbone: those of the options before those of its data config."""
    (r, g, b), (r_std, g_std, b_std) = options.mean or mean, options.std or std
    return (float(r), float(g), float(b)), (float(r_std), float(g_std), float(b_std))
