"""Freezing that lasts: the first stages, or all batch norms, neither trained nor moved by `train()`."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from imcls.model.backbones import Backbone, stage_of
from suite.errors import BadInput


def freeze(backbone: Backbone, stages: int, norms: bool) -> None:
    """Stop the first `stages` stages and, with `norms`, every batch norm from being trained.

    Their parameters need no gradient any more, and their modules are kept in eval mode by `Backbone.train`,
    so that running statistics, dropout and stochastic depth stand still too. Raises BadInput when the
    backbone has fewer stages.
    """
    if stages > len(backbone.stages):
        raise BadInput(
            f"{stages} is more than the {len(backbone.stages)} stages of this backbone",
            where="model.backbone.frozen_stages",
        )
    kept = {name for name, _ in backbone.named_parameters() if _below(name, backbone, stages)}
    modules = [name for name, module in backbone.named_modules() if name and _all_of(name, module, kept)]
    if norms:
        batch_norms = [name for name, m in backbone.named_modules() if isinstance(m, _BatchNorm)]
        modules += batch_norms
        kept |= {f"{n}.{p}" for n in batch_norms for p, _ in backbone.get_submodule(n).named_parameters()}
    for name, parameter in backbone.named_parameters():
        if name in kept:
            parameter.requires_grad_(False)
    backbone.frozen = _outermost(modules)
    backbone.train(backbone.training)


def _below(name: str, backbone: Backbone, stages: int) -> bool:
    stage = stage_of(name, backbone.stages)
    return stage is not None and stage < stages


def _all_of(name: str, module: nn.Module, kept: set[str]) -> bool:
    names = [f"{name}.{parameter}" for parameter, _ in module.named_parameters()]
    return bool(names) and kept.issuperset(names)


def _outermost(modules: list[str]) -> tuple[str, ...]:
    """The modules without those that lie inside another of them."""
    outer: list[str] = []
    for name in sorted(set(modules)):
        if not any(name.startswith(f"{other}.") for other in outer):
            outer.append(name)
    return tuple(outer)
