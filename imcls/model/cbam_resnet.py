"""ResNet (He et al. 2016) with CBAM, the attention of Woo et al. 2018 (Convolutional Block Attention Module).

Parameter names are those of torchvision and timm, so that plain ResNet weights load; attention starts anew.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from imcls.model.backbones import IMAGENET_MEAN, IMAGENET_STD, Backbone, FeatureMaps, colours, prefixed
from imcls.model.drop_path import spread_drop_path
from imcls.model.options import CbamResNet
from imcls.model.starting_weights import fit_state, load_starting_weights

Maps = Float[Tensor, "n c h w"]
Smaller = Float[Tensor, "n c_out h_out w_out"]

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
WIDTHS = (64, 128, 256, 512)


class ChannelAttention(nn.Module):
    """sigmoid(mlp(average over the map) + mlp(maximum over the map)), one weight a channel (eq. 2)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1)
        )

    def forward(self, x: Maps) -> Float[Tensor, "n c 1 1"]:
        return torch.sigmoid(self.mlp(x.mean((2, 3), keepdim=True)) + self.mlp(x.amax((2, 3), keepdim=True)))


class SpatialAttention(nn.Module):
    """sigmoid(7 x 7 convolution of [average over channels; maximum over channels]) (eq. 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Maps) -> Float[Tensor, "n 1 h w"]:
        return torch.sigmoid(self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


class Cbam(nn.Module):
    """Channel attention, then spatial attention (eq. 1)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = SpatialAttention()

    def forward(self, x: Maps) -> Maps:
        x = x * self.channel(x)
        return x * self.spatial(x)


class Block(nn.Module):
    """Basic (two 3 x 3) or bottleneck (1, 3, 1) residual block; attention before the sum (fig. 3)."""

    def __init__(self, c_in: int, width: int, stride: int, bottleneck: bool, attention: nn.Module) -> None:
        super().__init__()
        c_out = width * 4 if bottleneck else width
        if bottleneck:
            self.conv1, self.bn1 = _conv(c_in, width, 1), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = _conv(width, width, 3, stride), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = _conv(width, c_out, 1), nn.BatchNorm2d(c_out)
        else:
            self.conv1, self.bn1 = _conv(c_in, width, 3, stride), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = _conv(width, c_out, 3), nn.BatchNorm2d(c_out)
        self.bottleneck = bottleneck
        self.attention = attention
        self.drop_path = StochasticDepth(0.0, "row")
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1 or c_in != c_out:
            self.downsample = nn.Sequential(_conv(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out))

    def forward(self, x: Maps) -> Smaller:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            y = self.bn3(self.conv3(self.relu(y)))
        y = self.drop_path(self.attention(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class CbamResNetTrunk(nn.Module):
    """Stem, four stages; attention in every block, or after the stem and after the last stage."""

    def __init__(self, options: CbamResNet) -> None:
        super().__init__()
        in_blocks, bottleneck = options.attention == "blocks", options.depth >= 50
        self.conv1, self.bn1 = _conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        channels = 64
        self.attention_stem = nn.Identity() if in_blocks else Cbam(64, options.reduction)
        for stage, (blocks, width) in enumerate(zip(BLOCKS[options.depth], WIDTHS, strict=True), 1):
            layer = nn.Sequential()
            for i in range(blocks):
                c_out = width * 4 if bottleneck else width
                attention = Cbam(c_out, options.reduction) if in_blocks else nn.Identity()
                layer.append(Block(channels, width, 2 if stage > 1 and i == 0 else 1, bottleneck, attention))
                channels = c_out
            self.add_module(f"layer{stage}", layer)
        self.attention_last = nn.Identity() if in_blocks else Cbam(channels, options.reduction)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Maps of the four stages."""
        x = self.attention_stem(self.maxpool(self.relu(self.bn1(self.conv1(images)))))
        maps = []
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
            maps.append(x)
        maps[-1] = self.attention_last(maps[-1])
        return maps


class CbamResNetBackbone(Backbone):
    """CBAM-ResNet; stages: stem, layer1 ... layer4."""

    def __init__(self, options: CbamResNet, maps: int = 1) -> None:
        """`maps`: how many of the last stages are given out, at most 4."""
        net = CbamResNetTrunk(options)
        stages = prefixed(
            [
                ("conv1", "bn1", "attention_stem"),
                ("layer1",),
                ("layer2",),
                ("layer3",),
                ("layer4", "attention_last"),
            ]
        )
        super().__init__(net, stages, colours(options, IMAGENET_MEAN, IMAGENET_STD))
        self.maps = maps
        attention = [name for name, module in net.named_modules() if isinstance(module, Cbam)]
        self.fresh = tuple(f"net.{name}." for name in attention)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> FeatureMaps:
        return FeatureMaps(self.net(images)[-self.maps :])


def build_cbam_resnet(options: CbamResNet, maps: int) -> CbamResNetBackbone:
    """The network with its starting weights; `pretrained` takes torchvision's ResNet of that depth."""
    from imcls.model.torchvision_backbone import downloaded

    backbone = CbamResNetBackbone(options, maps)
    spread_drop_path(backbone.net, options.drop_path)
    if options.weights == "pretrained":
        fit_state(backbone, downloaded(f"resnet{options.depth}"), f"resnet{options.depth}")
    elif options.weights is not None:
        load_starting_weights(backbone, options.weights)
    return backbone


def _conv(c_in: int, c_out: int, side: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, side, stride, side // 2, bias=False)
