"""ResNet-9 for images of about 32 px, after the shape of Page 2018 (How to train your ResNet; DAWNBench)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from imcls.model.backbones import Backbone, FeatureMaps, colours, prefixed
from imcls.model.drop_path import spread_drop_path
from imcls.model.options import ResNet9
from imcls.model.starting_weights import load_starting_weights
from suite.errors import BadInput

# Means and deviations of CIFAR-10's training pixels, close to those of most small photographs.
SMALL_MEAN = (0.4914, 0.4822, 0.4465)
SMALL_STD = (0.2470, 0.2435, 0.2616)


class Residual(nn.Module):
    """x + two layers of x, the sum left out at random in training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(_layer(channels, channels), _layer(channels, channels))
        self.drop_path = StochasticDepth(0.0, "row")

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x + self.drop_path(self.branch(x))


class ResNet9Backbone(Backbone):
    """Stem and three stages, each halving the map; residual pairs in the first and the last."""

    def __init__(self, options: ResNet9, maps: int = 1) -> None:
        """`maps`: how many of the last stages are given out, at most 3."""
        w = options.width
        net = nn.Sequential()
        net.add_module("stem", _layer(3, w))
        net.add_module("stage1", nn.Sequential(_layer(w, 2 * w, pool=True), Residual(2 * w)))
        net.add_module("stage2", _layer(2 * w, 4 * w, pool=True))
        net.add_module("stage3", nn.Sequential(_layer(4 * w, 4 * w, pool=True), Residual(4 * w)))
        stages = prefixed([("stem",), ("stage1",), ("stage2",), ("stage3",)])
        super().__init__(net, stages, colours(options, SMALL_MEAN, SMALL_STD))
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


def build_resnet9(options: ResNet9, maps: int) -> ResNet9Backbone:
    """The network with its starting weights, which nobody publishes: `pretrained` is refused."""
    backbone = ResNet9Backbone(options, maps)
    spread_drop_path(backbone.net, options.drop_path)
    if options.weights == "pretrained":
        raise BadInput("there are no published weights for resnet9", where="model.backbone.weights")
    if options.weights is not None:
        load_starting_weights(backbone, options.weights)
    return backbone


def _layer(c_in: int, c_out: int, pool: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    halving = [nn.MaxPool2d(2)] if pool else []  # before the norm: a quarter of its work
    return nn.Sequential(conv, *halving, nn.BatchNorm2d(c_out), nn.GELU())
