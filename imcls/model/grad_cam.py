"""Grad-CAM (Selvaraju et al. 2017, section 3): where in an image the evidence for a class lies.

A (c, h, w) is the last feature map and s the class's logit. The weight of channel c is the mean of ds/dA over
the map; the heat is what is positive of the weighted sum of channels, its maximum scaled to 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from imcls.model.classifier import Classifier

# Where transformers keep their list of blocks: timm's, torchvision's.
_BLOCKS = ("blocks", "encoder.layers")


def grad_cam(
    model: Classifier, images: Float[Tensor, "n 3 h w"], classes: np.ndarray | Tensor
) -> Float[np.ndarray, "n h w"]:
    """Heat in [0, 1] for one class (``classes``, n integers) of each normalised image, at the image's size.

    All zero where nothing speaks for the class. A transformer that decides by a class token has no gradient
    on its last patches; there the input of its last block is taken instead. Weights, gradients and mode of
    the model stay as they are.
    """
    with _evaluating(model), torch.inference_mode(False), torch.enable_grad(), _Taps(model) as taps:
        wanted = torch.as_tensor(classes, dtype=torch.int64, device=images.device).clone()
        # A frozen backbone builds its graph only if the images ask for it.
        logits = model(images.detach().clone().requires_grad_()).logits
        score = logits.gather(1, wanted[:, None]).sum()
        map_ = taps.map
        sources = [map_] if taps.tokens is None else [map_, taps.tokens]
        slope, *of_tokens = torch.autograd.grad(score, sources, allow_unused=True)
        if taps.tokens is not None and (slope is None or not slope.any()):
            map_, slope = (_as_map(values, map_.shape[2:]) for values in (taps.tokens, of_tokens[0]))
        if slope is None:
            slope = torch.zeros_like(map_)
        heat = (slope.mean((2, 3), keepdim=True) * map_).sum(1, keepdim=True).clamp(min=0)
        heat = nn.functional.interpolate(heat.detach().float(), images.shape[2:], mode="bilinear")[:, 0]
        # By the maximum after enlarging: it is 1 whatever the sizes.
        peak = heat.flatten(1).amax(1)[:, None, None]
        return torch.where(peak > 0, heat / peak.clamp(min=1e-30), heat).cpu().numpy()


def overlay(
    rgb: UInt8[np.ndarray, "h w 3"], heat: Float[np.ndarray, "hh hw"], strength: float | int = 0.75
) -> UInt8[np.ndarray, "h w 3"]:
    """``heat`` in [0, 1] over the picture: cold parts grey, warm ones from violet to yellow."""
    from matplotlib import colormaps
    from PIL import Image

    height, width = rgb.shape[:2]
    resized = Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    warm = np.clip(np.asarray(resized, np.float64), 0, 1)
    colour = colormaps["inferno"](0.15 + 0.8 * warm)[..., :3] * 255
    grey = rgb @ np.array([0.299, 0.587, 0.114])
    cover = strength * np.sqrt(warm)[..., None]
    return np.round((1 - cover) * grey[..., None] + cover * colour).astype(np.uint8)


class _Taps:
    """Holds the last feature map of a pass, and the tokens that went into the last block, if there is one."""

    map: Tensor
    tokens: Tensor | None = None

    def __init__(self, model: Classifier) -> None:
        self._hooks = [model.backbone.register_forward_hook(self._keep_map)]
        block = _last_block(model.backbone.net)
        if block is not None:
            self._hooks.append(block.register_forward_pre_hook(self._keep_tokens))

    def __enter__(self) -> _Taps:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _keep_map(self, module: nn.Module, given: Any, maps: Any) -> None:
        self.map = maps[-1]

    def _keep_tokens(self, module: nn.Module, given: Any) -> None:
        if given and isinstance(given[0], Tensor) and given[0].ndim == 3:
            self.tokens = given[0]


def _last_block(net: nn.Module) -> nn.Module | None:
    for path in _BLOCKS:
        found: Any = net
        for name in path.split("."):
            found = getattr(found, name, None)
        if isinstance(found, nn.Sequential | nn.ModuleList) and len(found):
            return found[-1]
    return None


def _as_map(tokens: Tensor | None, size: torch.Size) -> Any:
    """(n, t, d) -> (n, d, h, w) of the patches, which are the last h w tokens."""
    if tokens is None:
        return None
    return tokens[:, tokens.shape[1] - size.numel() :].transpose(1, 2).unflatten(2, tuple(size))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
