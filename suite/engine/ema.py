"""The exponential moving average of a model's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn

from suite.engine import options


class Ema:
    """``module`` holds the average of ``model``: parameters and floating buffers; integers as they are.

    average <- d * average + (1 - d) * weight, with d = decay, or during warm-up
    min(decay, (1 + step) / (10 + step)) with ``step`` counting from 1.
    """

    def __init__(self, model: nn.Module, settings: options.Ema) -> None:
        self.settings = settings
        self.module = copy.deepcopy(model).requires_grad_(False)
        self.module.eval()
        ours = [*self.module.parameters(), *self.module.buffers()]
        theirs = [*model.parameters(), *model.buffers()]
        floating = [tensor.is_floating_point() for tensor in ours]
        self._averages = [tensor for tensor, soft in zip(ours, floating, strict=True) if soft]
        self._weights = [tensor.detach() for tensor, soft in zip(theirs, floating, strict=True) if soft]
        self._copies = [(tensor, theirs[index]) for index, tensor in enumerate(ours) if not floating[index]]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the model after its optimizer step number ``step``, which counts from 1."""
        decay = self.settings.decay
        if self.settings.warmup:
            decay = min(decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)  # pyright: ignore
        for average, buffer in self._copies:
            average.copy_(buffer)
