"""NanoDet-m as published in ncnn's format, into our light detectors: backbone, neck, and the head's person
class."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from falldet.model.dense import DenseHead
from falldet.model.options import PixelOptions
from falldet.model.shufflenet import ShuffleNet
from falldet.model.weights.ncnn import ConvWeights, read_ncnn
from suite.errors import BadInput

COCO_CLASSES, PERSON = 80, 0
NANODET_PIXELS = PixelOptions(
    long_px=320, order="bgr", mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395)
)
"""How pictures were fed where NanoDet-m was trained."""


def load_nanodet(param: Path, backbone: ShuffleNet, laterals: nn.ModuleList, head: DenseHead) -> None:
    """Fill the three parts; every class of ``head`` starts as COCO's person.

    Convolutions of the file are taken in their order, which is that of the network. Deformable ones start as
    plain ones. Raises BadInput where the file is of another network.
    """
    convolutions = list(read_ncnn(param).items())
    layers = [m for part in (backbone, laterals) for m in part.modules() if isinstance(m, nn.Conv2d)]
    outputs = []
    for convs, output in zip(head.convs, head.outputs, strict=True):
        layers += [m for m in convs.modules() if isinstance(m, nn.Conv2d)] + [output]
        outputs.append(output)
    if len(layers) != len(convolutions):
        what = f"has {len(convolutions)} convolutions, not the {len(layers)} of NanoDet-m with this backbone"
        raise BadInput(what, param)
    for layer, (name, given) in zip(layers, convolutions, strict=True):
        _fill(layer, given, f"{param}, layer {name}", head if layer in outputs else None)


@torch.no_grad()
def _fill(layer: nn.Module, given: ConvWeights, where: str, head: DenseHead | None) -> None:
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    weight = torch.from_numpy(given.weight)
    bias = torch.zeros(len(weight)) if given.bias is None else torch.from_numpy(given.bias)
    if head is not None and len(weight) == COCO_CLASSES + 4 * head.bins:
        rows = [PERSON] * head.classes + list(range(COCO_CLASSES, len(weight)))
        weight, bias = weight[rows], bias[rows]
    if weight.shape != layer.weight.shape:
        raise BadInput(f"is {tuple(weight.shape)}, not {tuple(layer.weight.shape)}: another network", where)
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
