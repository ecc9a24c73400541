"""A small plain net for small images that learns in few epochs, after Jordan 2024 (94 % on CIFAR-10 in 3.29
seconds on a single GPU): a first layer that whitens patches, six convolutions that start as the identity, the
maximum over the last map. Narrower than the original, for a CPU.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import unfold

from imcls.model.backbones import FeatureMaps
from imcls.model.options import WhitenedCnn
from imcls.model.small_net import SmallNet
from imcls.model.starting_weights import load_starting_weights
from suite.errors import BadInput

PATCH_PX = 2
FILTERS = 2 * 3 * PATCH_PX**2
"""Both signs of every principal direction of a patch."""
_SMALLEST_VARIANCE = 5e-4
_NORM_MOMENTUM = 0.4  # few steps: statistics must follow fast
_LOGIT_SHARE = 1 / 9  # keeps the first logits small while the features are as large as they are


class WhitenedBackbone(SmallNet):
    """Whitening, then stages of two layers."""

    def __init__(self, options: WhitenedCnn, maps: int = 1) -> None:
        """`maps`: how many of the last stages are given out, at most 3."""
        whiten = nn.Conv2d(3, FILTERS, PATCH_PX)
        whiten.weight.requires_grad_(False)
        nn.init.zeros_(whiten.bias)  # pyright: ignore[reportArgumentType]
        stages, c_in = [], FILTERS
        for width in options.widths:
            stages.append(nn.Sequential(*_layer(c_in, width, pool=True), *_layer(width, width)))
            c_in = width
        super().__init__(nn.Sequential(whiten, nn.GELU()), tuple(stages), options, maps)
        self.starts_from_images = options.weights is None

    def native_pool(self, maps: FeatureMaps) -> Float[Tensor, "n d"]:
        """The largest value of each channel, scaled down."""
        return super().native_pool(maps) * _LOGIT_SHARE

    @torch.no_grad()
    def start_from(self, images: Float[Tensor, "n 3 h w"]) -> None:
        """Filters that whiten the patches of `images`: their principal directions over their deviations."""
        whiten = self.net.get_submodule("stem.0")
        assert isinstance(whiten, nn.Conv2d)
        patches = unfold(images, PATCH_PX).transpose(1, 2).reshape(-1, FILTERS // 2).double()
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (directions / (variances + _SMALLEST_VARIANCE).sqrt()).T.flip(0)
        filters = filters.reshape(-1, 3, PATCH_PX, PATCH_PX).to(whiten.weight)
        whiten.weight.copy_(torch.cat([filters, -filters]))


def build_whitened_cnn(options: WhitenedCnn, maps: int) -> WhitenedBackbone:
    """The network with its starting weights, which nobody publishes: `pretrained` is refused."""
    backbone = WhitenedBackbone(options, maps)
    if options.weights == "pretrained":
        raise BadInput("there are no published weights for whitened_cnn", where="model.backbone.weights")
    if options.drop_path:
        raise BadInput("has no branches to leave out", where="model.backbone.drop_path", hint="set it to 0")
    if options.weights is not None:
        load_starting_weights(backbone, options.weights)
    return backbone


def _layer(c_in: int, c_out: int, pool: bool = False) -> list[nn.Module]:
    conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    same = min(c_in, c_out)
    nn.init.dirac_(conv.weight.data[:same])
    norm = nn.BatchNorm2d(c_out, momentum=_NORM_MOMENTUM)
    norm.weight.requires_grad_(False)  # the next convolution can scale as well
    return [conv, *([nn.MaxPool2d(2)] if pool else []), norm, nn.GELU()]
