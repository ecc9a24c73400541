"""Adam (Kingma and Ba 2015) over named tensors, each with a rate of its own.

Entries of a sparse tensor whose gradient is exactly 0 keep value and moments, as in tiny-cuda-nn: a row of a
hash table that no sample touched stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nerfrecon.options import OptimiserOptions


@dataclass
class Adam:
    """First and second moments by name; `step` moves parameters in place."""

    options: OptimiserOptions
    first: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def step(
        self,
        parameters: Mapping[str, Tensor],
        rates: Mapping[str, float | int],
        applied: int,
        sparse: frozenset[str] = frozenset(),
    ) -> None:
        """Move every parameter that has a gradient; `applied` counts the steps, this one included."""
        options = self.options
        correction1, correction2 = 1 - options.beta1**applied, 1 - options.beta2**applied
        for name, parameter in parameters.items():
            grad = parameter.grad
            if grad is None:
                continue
            m = self.first.setdefault(name, torch.zeros_like(parameter))
            v = self.second.setdefault(name, torch.zeros_like(parameter))
            if name in sparse:
                rows = torch.nonzero(grad.flatten())[:, 0]
                values = parameter.view(-1)[rows], grad.flatten()[rows], m.view(-1)[rows], v.view(-1)[rows]
            else:
                rows, values = None, (parameter.data, grad, m, v)
            p, g, m_new, v_new = values
            m_new = m_new * options.beta1 + g * (1 - options.beta1)
            v_new = v_new * options.beta2 + g.square() * (1 - options.beta2)
            step = rates[name] / correction1
            moved = p - step * m_new / (v_new.sqrt() / correction2**0.5 + options.epsilon)
            if rows is None:
                parameter.copy_(moved)
                m.copy_(m_new)
                v.copy_(v_new)
            else:
                parameter.view(-1)[rows] = moved
                m.view(-1)[rows] = m_new
                v.view(-1)[rows] = v_new


def clip_gradients(groups: Mapping[str, list[Tensor]], largest: float | int) -> None:
    """Scale the gradient of each group of parameters to a norm of `largest` at most; 0 does not clip."""
    if not largest:
        return
    for parameters in groups.values():
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if grads:
            norm = torch.stack([grad.double().square().sum() for grad in grads]).sum().sqrt()
            share = (largest / norm.clamp(min=largest)).float()
            for grad in grads:
                grad.mul_(share)
