"""Muon (Jordan et al. 2024, An optimizer for hidden layers in neural networks): momentum, then the nearest
orthogonal matrix of it, for weights that are matrices; SGD with momentum for everything else.

    M <- mu M + G;   U = G + mu M;   W <- W - lr * orthogonal(U)        W as (outputs, all the rest)

The orthogonal factor comes from a few Newton-Schulz steps X <- a X + (b A + c A A) X with A = X X^T, whose
coefficients push singular values towards 1 fast rather than exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrix: Tensor, steps: int = 3) -> Tensor:
    """(m, n): about the nearest matrix whose singular values are all 1; those of the result lie near 1."""
    a, b, c = NEWTON_SCHULZ
    X = matrix / (matrix.norm() + 1e-7)
    tall = X.shape[0] > X.shape[1]
    X = X.T if tall else X
    for _ in range(steps):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if tall else X


class Muon(torch.optim.Optimizer):
    """Groups with ``matrix`` True take Muon's step, the others SGD with Nesterov momentum.

    With ``unit_norm``, each matrix is scaled so that its outputs have weights of norm 1 in the mean before
    every step: right where a normalisation follows, which takes the scale out again.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float, unit_norm: bool) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "matrix": True})
        self.unit_norm = unit_norm

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step from the gradients as they are."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return value

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        state, mu = self.state[weight], group["momentum"]
        gradient = weight.grad
        assert gradient is not None
        matrix = group["matrix"]
        if group["weight_decay"] and not matrix:
            gradient = gradient.add(weight, alpha=group["weight_decay"])
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].mul_(mu).add_(gradient)
        direction = gradient.add(momentum, alpha=mu)
        if matrix:
            if self.unit_norm:
                weight.mul_(len(weight) ** 0.5 / weight.norm().clamp_min(1e-7))
            elif group["weight_decay"]:
                weight.mul_(1 - group["lr"] * group["weight_decay"])
            direction = orthogonalised(direction.reshape(len(direction), -1)).view(direction.shape)
        weight.add_(direction, alpha=-group["lr"])
