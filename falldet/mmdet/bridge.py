"""Lets mmdet run on mmcv-lite, mmcv without its compiled operators: torchvision has those of a detector.

mmcv looks for its operators in a module `mmcv._ext`. Where that is missing, `install` puts one in its place
whose operators raise NotImplementedError, and hands suppression, RoIAlign and both deformable convolutions to
torchvision.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch import Tensor
from torchvision import ops

from suite.errors import BackendUnavailable

EXTENSION = "mmcv._ext"


class MissingOperators(ModuleType):
    """Stands for the compiled operators; each says that it is missing only when it is called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> Any:
            raise NotImplementedError(
                f"mmcv-lite has no operator {name!r}, and torchvision none in its place: this part of mmdet "
                "needs the full mmcv, compiled for this PyTorch"
            )

        return missing


def install() -> None:
    """Make `import mmdet` work; nothing to do where mmcv is compiled. BackendUnavailable without mmdet."""
    for package in ("mmengine", "mmcv", "mmdet"):
        if importlib.util.find_spec(package) is None:
            raise BackendUnavailable(
                "mmdet",
                f"the package {package} is not installed",
                "install mmdet 3.3.0, mmcv-lite 2.1.0 and mmengine 0.10.7 (the extra `mmdet`)",
            )
    if EXTENSION in sys.modules or importlib.util.find_spec(EXTENSION) is not None:
        return
    extension = MissingOperators(EXTENSION)
    extension.__spec__ = importlib.machinery.ModuleSpec(EXTENSION, None)
    vars(extension)["nms"] = nms
    sys.modules[EXTENSION] = extension
    try:
        package = importlib.import_module("mmcv.ops")
    except Exception as error:
        del sys.modules[EXTENSION]
        raise BackendUnavailable("mmdet", f"mmcv does not load: {error}") from error
    for module, name, replacement in (
        ("roi_align", "roi_align", roi_align),
        ("deform_conv", "deform_conv2d", deform_conv2d),
        ("modulated_deform_conv", "modulated_deform_conv2d", modulated_deform_conv2d),
    ):
        # mmcv's layers look the function up in its module; others take it from the package
        setattr(sys.modules[f"mmcv.ops.{module}"], name, replacement)
        setattr(package, name, replacement)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """mmcv's kernel of the same name; `offset` 1 is the box arithmetic of mmdet 1."""
    if offset:
        raise NotImplementedError("suppression with offset=1 (boxes of mmdet 1) needs the full mmcv")
    return ops.nms(boxes, scores, iou_threshold)


def roi_align(
    input: Tensor,
    rois: Tensor,
    output_size: Any,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    pool_mode: str = "avg",
    aligned: bool = True,
) -> Tensor:
    """mmcv.ops.roi_align; a `sampling_ratio` of 0 is torchvision's -1: as many samples as pixels."""
    if pool_mode != "avg":
        raise NotImplementedError(f"RoIAlign with pool_mode={pool_mode!r} needs the full mmcv")
    pool: Any = ops.roi_align  # wrapped for torch.fx, which hides its type
    return pool(input, rois, output_size, spatial_scale, sampling_ratio or -1, aligned)


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    deform_groups: int = 1,
    bias: bool = False,
    im2col_step: int = 32,
) -> Tensor:
    """mmcv.ops.deform_conv2d (version 1); torchvision sees the groups in the shapes."""
    return ops.deform_conv2d(input, offset, weight, None, stride, padding, dilation)


def modulated_deform_conv2d(
    input: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    """mmcv.ops.modulated_deform_conv2d (version 2)."""
    return ops.deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask)
