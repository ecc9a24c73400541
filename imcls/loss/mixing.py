"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): a pure function of a batch and a seed.

Labels are mixed in exactly the shares of the images: mixup takes its share in steps of 1 / 128, which whole
numbers of 16 bits can carry, and cutmix the area that was pasted, after clipping at the border.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from imcls.loss.options import MixOptions
from imcls.loss.targets import class_shares

Images = Shaped[Tensor, "n 3 h w"]
_STEPS = 1 << 7  # 255 * 128 + 64 still fits into int16


class Mix:
    """Mixes a batch with itself, in another order; one share and one box for the whole batch."""

    def __init__(self, options: MixOptions, classes: int) -> None:
        self.options = options
        self.classes = classes

    @property
    def on(self) -> bool:
        """Whether any batch will be mixed."""
        return self.options.probability > 0 and (self.options.mixup > 0 or self.options.cutmix > 0)

    def __call__(
        self, images: Images, targets: Tensor, progress: float | int, seed: tuple[int, ...]
    ) -> tuple[Images, Float[Tensor, "n k"]]:
        """Images of the same type (uint8 is rounded, not widened) and shares of classes, float32.

        ``targets`` (n,) int64 or (n, k); ``progress`` is the share of the training that has passed; all that
        is random comes from ``seed``. The images given are left as they are.
        """
        shares = class_shares(targets, self.classes).float()
        rng = np.random.default_rng(seed)
        if not self.on or progress >= self.options.until or rng.random() >= self.options.probability:
            return images, shares
        both = self.options.mixup > 0 and self.options.cutmix > 0
        cut = rng.random() < 0.5 if both else self.options.cutmix > 0
        alpha = self.options.cutmix if cut else self.options.mixup
        keep = float(rng.beta(alpha, alpha))
        other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
        mixed, keep = _cutmix(images, other, keep, rng) if cut else _mixup(images, other, keep)
        return mixed, keep * shares + (1 - keep) * shares[other.to(shares.device)]


def _mixup(images: Tensor, other: Tensor, keep: float) -> tuple[Tensor, float]:
    """keep * images + (1 - keep) * others, and the share kept."""
    mine = round(keep * _STEPS)
    if images.dtype != torch.uint8:
        return torch.lerp(images[other], images, mine / _STEPS), mine / _STEPS
    total = images.to(torch.int16).mul_(mine)
    total.add_(images[other].to(torch.int16), alpha=_STEPS - mine).add_(_STEPS // 2)
    return total.bitwise_right_shift_(7).to(torch.uint8), mine / _STEPS


def _cutmix(images: Tensor, other: Tensor, keep: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    """A box of about 1 - keep of the area taken from the others, and the share kept."""
    h, w = images.shape[-2:]
    side = (1 - keep) ** 0.5
    y0, y1 = _span(h, side, rng)
    x0, x1 = _span(w, side, rng)
    mixed = images.clone()
    mixed[..., y0:y1, x0:x1] = images[other, :, y0:y1, x0:x1]
    return mixed, 1 - (y1 - y0) * (x1 - x0) / (h * w)


def _span(length: int, side: float, rng: np.random.Generator) -> tuple[int, int]:
    """Start and end of ``side`` of the length around a random place, clipped."""
    wanted = round(length * side)
    start = int(rng.integers(length)) - wanted // 2
    return max(start, 0), min(start + wanted, length)
