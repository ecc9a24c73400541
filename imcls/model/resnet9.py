"""ResNet-9 for images of about 32 px, after the shape of Page 2018 (How to train your ResNet; DAWNBench)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from imcls.model.drop_path import spread_drop_path
from imcls.model.options import ResNet9
from imcls.model.small_net import SmallNet
from imcls.model.starting_weights import load_starting_weights
from suite.errors import BadInput


class Residual(nn.Module):
    """x + two layers of x, the sum left out at random in training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(_layer(channels, channels), _layer(channels, channels))
        self.drop_path = StochasticDepth(0.0, "row")

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x + self.drop_path(self.branch(x))


class ResNet9Backbone(SmallNet):
    """Residual pairs in the first and the last stage."""

    def __init__(self, options: ResNet9, maps: int = 1) -> None:
        """`maps`: how many of the last stages are given out, at most 3."""
        w = options.width
        stages = (
            nn.Sequential(_layer(w, 2 * w, pool=True), Residual(2 * w)),
            _layer(2 * w, 4 * w, pool=True),
            nn.Sequential(_layer(4 * w, 4 * w, pool=True), Residual(4 * w)),
        )
        super().__init__(_layer(3, w), stages, options, maps)


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
