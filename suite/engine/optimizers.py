"""Optimizers, and the groups of parameters that share a learning rate and a weight decay."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from suite.engine import muon
from suite.engine.options import AdamW, EngineOptions, Muon, Rmsprop, Sgd
from suite.errors import BadInput


def parameter_groups(
    model: nn.Module,
    options: EngineOptions,
    layers: Mapping[str, int] | None = None,
    new: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Trainable parameters grouped by (learning rate, weight decay), in the order of their first members.

    ``layers`` gives parameters their depth from the image, 0 at the stem: the deepest have the full rate, and
    each layer below ``layer_decay`` of the one above; parameters it does not name have the full rate.
    Those whose name starts with one of ``new`` have ``new_lr`` of it. A group carries its rate at the top of
    the schedule as ``full_lr`` and its parameters' names as ``names``; for Muon, ``matrix`` says which are.
    Raises BadInput when nothing is trainable.
    """
    rate, decay = options.optimizer.lr, options.optimizer.weight_decay
    top = max(layers.values(), default=0) if layers else 0
    groups: dict[tuple[float, float, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        vector = parameter.ndim <= 1
        factor = options.layer_decay ** (top - layers[name]) if layers and name in layers else 1.0
        factor *= options.new_lr if name.startswith(tuple(new)) else 1.0
        factor *= options.bias_lr if vector and name.rpartition(".")[2] == "bias" else 1.0
        full, extra, matrix = rate, {}, False
        if isinstance(options.optimizer, Muon):
            matrix = parameter.ndim > 1 and not name.startswith(tuple(new))
            full = rate if matrix else options.optimizer.plain_lr
            momentum = options.optimizer.momentum if matrix else options.optimizer.plain_momentum
            extra = {"matrix": matrix, "momentum": momentum}
        key = (full * factor, 0.0 if vector and options.no_decay else decay, matrix)
        group = groups.setdefault(
            key, {"params": [], "names": [], "lr": key[0], "full_lr": key[0], "weight_decay": key[1], **extra}
        )
        group["params"].append(parameter)
        group["names"].append(name)
    if not groups:
        raise BadInput("no parameter is left to train", hint="freeze less of the model")
    return list(groups.values())


def build_optimizer(options: EngineOptions, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer of ``options`` over what :func:`parameter_groups` gave."""
    match options.optimizer:
        case Sgd() as sgd:
            nesterov = sgd.nesterov and sgd.momentum > 0  # PyTorch refuses it without momentum
            return torch.optim.SGD(groups, sgd.lr, sgd.momentum, nesterov=nesterov, fused=True)
        case AdamW() as adamw:
            return torch.optim.AdamW(groups, adamw.lr, adamw.betas, fused=True)
        case Rmsprop() as rms:
            return torch.optim.RMSprop(
                groups, rms.lr, rms.alpha, rms.eps, momentum=rms.momentum, foreach=True
            )
        case Muon() as orthogonal:
            return muon.Muon(groups, orthogonal.lr, orthogonal.momentum, orthogonal.unit_norm)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group to ``factor`` of its full rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * factor
