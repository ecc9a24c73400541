"""What networks say to colours in [0, 1]."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LEAST_SLOPE = 0.02


class _Colours(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, raw: Tensor) -> Tensor:
        colours = torch.sigmoid(raw)
        ctx.save_for_backward(colours)
        return colours

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (colours,), (grad,) = ctx.saved_tensors, grad_outputs
        slope = colours * (1 - colours)
        back = (grad < 0) == (colours < 0.5)
        return grad * torch.where(back, slope.clamp(min=LEAST_SLOPE), slope)


def colours_of(raw: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The sigmoid, of which no end is a dead one: where the loss wants a colour back from near 0 or 1, the
    slope counts as at least 0.02.

    While a scene is still fog, what lies behind shines through, and colours of dark objects are driven far
    below 0; by the sigmoid's own slope they would stay black.
    """
    found: Tensor = _Colours.apply(raw)  # type: ignore[assignment]
    return found
