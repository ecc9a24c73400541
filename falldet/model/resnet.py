"""ResNet and ResNeXt with mmdet's names, deformable where asked (He et al. 2015, Xie et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from falldet.model.deform import DeformConv
from falldet.model.norms import NAMES, norm_layer
from falldet.model.options import ResNetOptions

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
PLANES = (64, 128, 256, 512)
STEM = 64
EXPANSION = 4
"""From 50 layers on a block is a bottleneck, its output four times as wide as its stage's planes."""


class Block(nn.Module):
    """Convolutions, each with its norm, and a way around: conv1, bn1 (or gn1), conv2, ..., downsample."""

    def __init__(self, convs: Sequence[nn.Module], widths: Sequence[int], options: ResNetOptions) -> None:
        super().__init__()
        self.names = [(f"conv{i}", f"{NAMES[options.norm]}{i}") for i in range(1, len(convs) + 1)]
        for (conv_name, norm_name), conv, width in zip(self.names, convs, widths, strict=True):
            self.add_module(conv_name, conv)
            self.add_module(norm_name, norm_layer(options.norm, width))
        nn.init.zeros_(self.get_parameter(f"{self.names[-1][1]}.weight"))  # starts as the way around
        self.downsample: nn.Module | None = None

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        out = x
        for i, (conv, norm) in enumerate(self.names):
            out = self.get_submodule(norm)(self.get_submodule(conv)(out if i == 0 else relu(out)))
        return relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """Pictures -> c2 ... c5. `channels` and `strides` are those of the maps."""

    strides = (4, 8, 16, 32)

    def __init__(self, options: ResNetOptions) -> None:
        super().__init__()
        self.options = options
        self.names = ("conv1", f"{NAMES[options.norm]}1")
        self.add_module(self.names[0], conv(3, STEM, 7, 2))
        self.add_module(self.names[1], norm_layer(options.norm, STEM))
        channels = [STEM]
        for stage, (planes, count) in enumerate(zip(PLANES, BLOCKS[options.depth], strict=True)):
            deformable = options.deformable if stage > 0 else "none"
            of_stage = options.model_copy(update={"deformable": deformable})
            blocks, width = [], channels[-1]
            for i in range(count):
                blocks.append(block(width, planes, 2 if stage and not i else 1, of_stage))
                width = planes * (EXPANSION if options.depth >= 50 else 1)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            channels.append(width)
        self.channels = tuple(channels[1:])
        self.frozen = [*self.names, *(f"layer{i}" for i in range(1, options.frozen_stages + 1))]
        if not options.frozen_stages:
            self.frozen = []
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> ResNet:
        """As in torch, but batch norms always keep their statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> tuple[Tensor, ...]:
        x = images
        for name in self.names:
            x = self.get_submodule(name)(x)
        x = max_pool2d(relu(x), 3, stride=2, padding=1)
        maps = []
        for i in range(1, len(PLANES) + 1):
            x = self.get_submodule(f"layer{i}")(x)
            maps.append(x)
        return tuple(maps)


def block(in_channels: int, planes: int, stride: int, options: ResNetOptions) -> Block:
    """Two 3x3 convolutions, or from 50 layers on 1x1, 3x3 in groups, 1x1; the second may deform."""
    if options.depth < 50:
        out_channels, widths = planes, (planes, planes)
        convs = [conv(in_channels, planes, 3, stride), second(planes, 1, 1, options)]
    else:
        out_channels = planes * EXPANSION
        width = planes * options.width_per_group // PLANES[0] * options.groups
        widths = (width, width, out_channels)
        first, later = (1, stride) if options.style == "pytorch" else (stride, 1)
        convs = [
            conv(in_channels, width, 1, first),
            second(width, later, options.groups, options),
            conv(width, out_channels, 1, 1),
        ]
    made = Block(convs, widths, options)
    if stride > 1 or in_channels != out_channels:
        made.downsample = nn.Sequential(
            conv(in_channels, out_channels, 1, stride), norm_layer(options.norm, out_channels)
        )
    return made


def second(width: int, stride: int, groups: int, options: ResNetOptions) -> nn.Module:
    """The convolution of a block that deforms where the options say so."""
    if options.deformable == "none":
        return conv(width, width, 3, stride, groups)
    return DeformConv(width, width, stride, groups, mask=options.deformable == "v2")


def conv(in_channels: int, out_channels: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
    """Without bias, as a norm follows; keeps the variance of what flows back (He et al. 2015)."""
    made = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return made
