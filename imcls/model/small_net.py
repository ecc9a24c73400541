"""What the networks for images of about 32 px share: a stem and three stages, each halving the map."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from imcls.model.backbones import Backbone, FeatureMaps, colours, prefixed
from imcls.model.options import Starting

# Means and deviations of CIFAR-10's training pixels, close to those of most small photographs.
SMALL_MEAN = (0.4914, 0.4822, 0.4465)
SMALL_STD = (0.2470, 0.2435, 0.2616)


class SmallNet(Backbone):
    """`stem`, `stage1`, `stage2`, `stage3`, one after the other."""

    def __init__(self, stem: nn.Module, stages: tuple[nn.Module, ...], options: Starting, maps: int) -> None:
        """`maps`: how many of the last stages are given out, at most 3."""
        net = nn.Sequential()
        net.add_module("stem", stem)
        for i, stage in enumerate(stages):
            net.add_module(f"stage{i + 1}", stage)
        names = prefixed([(name,) for name, _ in net.named_children()])
        super().__init__(net, names, colours(options, SMALL_MEAN, SMALL_STD))
        self.maps = maps

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> FeatureMaps:
        x, maps = images, []
        for name, stage in self.net.named_children():
            x = stage(x)
            if name != "stem":
                maps.append(x)
        return FeatureMaps(maps[-self.maps :])

    def native_pool(self, maps: FeatureMaps) -> Float[Tensor, "n d"]:
        """The largest value of each channel."""
        return maps[-1].amax((2, 3))
