"""What shapes do not tell of weights: how pictures were fed, where bottlenecks have their stride, classes.

A file says it (mmdet's `meta`), or it is the custom of those it comes from: mmdet's and torchvision's weights
take RGB over ImageNet's spread; detectron2's ResNets come from Caffe, which took BGR without dividing and had
the stride in the first 1x1 convolution, and its ResNeXts from Torch, with BGR over ImageNet's spread
(detectron2, MODEL_ZOO.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from falldet.model.options import CascadeOptions, PixelOptions, ResNetOptions
from falldet.model.weights.names import Family, Renamed
from falldet.model.weights.read import WeightsFile

Triple = tuple[float, float, float]
_BGR_MEAN = (103.53, 116.28, 123.675)
_BGR_STD = (57.375, 57.12, 58.395)
_ONES = (1.0, 1.0, 1.0)
_LONG_PX, _SHORT_PX = 1333, 800
"""Size that all of them were trained at."""


def averaging(family: Family) -> Literal["logits", "probabilities"]:
    """What is averaged over the stages."""
    return "probabilities" if family == "detectron2" else "logits"


def bottleneck_style(meta: Mapping[str, Any], found: Renamed) -> Literal["pytorch", "caffe"]:
    """Where bottlenecks have their stride."""
    if found.family == "detectron2":
        second = found.tensors.get("backbone.layer1.0.conv2.weight")
        grouped = second is not None and second.shape[0] != second.shape[1]
        return "pytorch" if grouped else "caffe"
    said = re.search(r"\bstyle\s*=\s*'(\w+)'", _config(meta))
    return "caffe" if said and said[1] == "caffe" else "pytorch"


def input_pixels(file: WeightsFile, family: Family, options: CascadeOptions) -> PixelOptions:
    """How pictures were fed where the weights were trained."""
    if "falldet.pixels" in file.meta:
        return PixelOptions.model_validate_json(file.meta["falldet.pixels"])
    usual = PixelOptions(long_px=_LONG_PX, short_px=_SHORT_PX)
    if family == "detectron2":
        mean, std = (_triple(file, name) for name in ("pixel_mean", "pixel_std"))
        grouped = isinstance(options.backbone, ResNetOptions) and options.backbone.groups > 1
        spread = std or (_BGR_STD if grouped else _ONES)
        return usual.model_copy(update={"order": "bgr", "mean": mean or _BGR_MEAN, "std": spread})
    config = _config(file.meta)
    bgr = re.search(r"\b(bgr_to_rgb|to_rgb)\s*=\s*False", config) is not None
    mean, std = (_numbers(rf"\b{name}\s*=\s*\[([^\]]*)\]", config) for name in ("mean", "std"))
    given = {"mean": mean, "std": std} if mean and std else {}
    return usual.model_copy(update={"order": "bgr" if bgr else "rgb", **given})


def class_names(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names of a file's classes, where it says them."""
    if "falldet.classes" in meta:
        return tuple(json.loads(meta["falldet.classes"]))
    about = meta.get("dataset_meta")
    names = about.get("classes", about.get("CLASSES")) if isinstance(about, Mapping) else meta.get("CLASSES")
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _config(meta: Mapping[str, Any]) -> str:
    """Text of the mmdet config that a checkpoint was trained with."""
    text = meta.get("cfg", meta.get("config", ""))
    return text if isinstance(text, str) else ""


def _numbers(pattern: str, text: str) -> Triple | None:
    found = re.search(pattern, text)
    numbers = [float(number) for number in re.findall(r"[\d.]+", found[1])] if found else []
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _triple(file: WeightsFile, name: str) -> Triple | None:
    tensor = file.tensors.get(name)
    if tensor is None or tensor.numel() != 3:
        return None
    first, second, third = tensor.flatten().tolist()
    return first, second, third
