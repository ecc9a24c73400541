"""Every recipe: valid, about what its first line says, and its model and loss go through a training step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from imcls.cli import RECIPES
from imcls.config import ImclsConfig
from imcls.data.options import Balanced, Pk, Shuffle
from imcls.loss.build import build_loss
from imcls.loss.mixing import Mix
from imcls.loss.options import Asymmetric, BalancedSoftmax, Ldam
from imcls.model.build import build_classifier
from imcls.model.classifier import new_parameters, parameter_depths
from imcls.model.options import CbamResNet, MultiLabelHead, Timm, Torchvision, WhitenedCnn
from suite.config import load_config
from suite.engine.optimizers import build_optimizer, parameter_groups
from suite.engine.options import Rmsprop

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
CLASSES = 7


def recipe(name: str, *settings: str) -> ImclsConfig:
    return load_config(ImclsConfig, RECIPES / f"{name}.yaml", settings).config


@pytest.mark.parametrize("name", NAMES)
def test_the_first_line_says_what_it_is_for_and_the_run_is_named_after_it(name: str):
    first = (RECIPES / f"{name}.yaml").read_text().partition("\n")[0]
    assert first.startswith("# ")
    assert 20 < len(first) <= 120
    assert first.endswith(".")
    assert recipe(name).name == name.replace("_", "-")


@pytest.mark.parametrize("name", NAMES)
def test_model_loss_and_optimizer_fit_each_other(name: str, monkeypatch: pytest.MonkeyPatch):
    """Without numbers (torch's meta device), so that the largest costs nothing and nothing is downloaded."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)  # which does not know of meta
    config = recipe(name, "model.backbone.weights=null")
    head = config.model.head
    multi_label = isinstance(head, MultiLabelHead)
    with torch.device("meta"):
        model = build_classifier(config.model, CLASSES, image_px=config.input.image_px)
        output = model(torch.zeros(4, 3, config.input.image_px, config.input.image_px))
    assert output.logits.shape == (4, CLASSES)
    assert output.features.shape == (4, model.embedding_dim)
    assert (output.thresholds is not None) == (
        isinstance(head, MultiLabelHead) and head.threshold == "regressed"
    )
    depths = parameter_depths(model)
    trained = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained <= depths.keys()
    frozen = [key for key, _ in model.backbone.named_parameters(prefix="backbone") if key not in trained]
    fixed_by_design = isinstance(config.model.backbone, WhitenedCnn)  # its whitening, and scales of its norms
    assert (bool(config.model.backbone.frozen_stages) or fixed_by_design) == bool(frozen)
    groups = parameter_groups(model, config.train, depths, new_parameters(model))
    optimizer = build_optimizer(config.train, groups)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(trained)

    # The loss with numbers, on outputs of that shape.
    counts = np.arange(1, CLASSES + 1) * 10
    loss = build_loss(config.loss, counts, multi_label, mixed=Mix(config.mix, CLASSES).on)
    random = torch.Generator().manual_seed(0)
    numbers = [torch.randn(part.shape, generator=random) for part in output[:2]]
    limits = None if output.thresholds is None else torch.zeros(4, 1)
    logits, features = (value.requires_grad_() for value in numbers)
    targets = torch.eye(CLASSES)[:4] if multi_label else torch.tensor([0, 0, 1, 1])
    terms = loss(type(output)(logits, features, limits), targets)
    terms["loss"].backward()
    assert torch.isfinite(terms["loss"])
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["small_squeezenet", "small_shufflenet", "probe", "cbam_stem"])
def test_with_numbers_a_step_moves_what_is_trained(name: str):
    config = recipe(name, "model.backbone.weights=null", "input.image_px=64")
    if name == "cbam_stem":
        config = recipe(name, "model.backbone.depth=18", "input.image_px=64")
    torch.manual_seed(0)
    model = build_classifier(config.model, CLASSES, image_px=64)
    loss = build_loss(config.loss, np.full(CLASSES, 10), False)
    groups = parameter_groups(model, config.train, parameter_depths(model), new_parameters(model))
    optimizer = build_optimizer(config.train, groups)
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    targets = torch.arange(4)
    loss(model(torch.randn(4, 3, 64, 64), targets), targets)["loss"].backward()
    optimizer.step()
    moved = [key for key, parameter in model.named_parameters() if not torch.equal(parameter, before[key])]
    assert any(key.startswith("head.") for key in moved)
    assert any(key.startswith("backbone.") for key in moved)


def test_recipes_do_what_they_are_for():
    contest = recipe("contest")
    assert isinstance(contest.model.backbone, Timm)
    assert contest.model.backbone.name.startswith("resnest50d")
    assert contest.loss.criterion.smoothing > 0  # pyright: ignore[reportAttributeAccessIssue]
    assert (contest.data.split.folds, contest.data.split.use) == (5, "all")
    assert contest.train.schedule.type == "cosine"
    assert contest.train.warmup_epochs > 0
    assert contest.evaluation.tta.flips == ("horizontal",)
    assert isinstance(recipe("efficientnet").train.optimizer, Rmsprop)
    mobile = recipe("mobilenet_finetune")
    assert mobile.model.backbone.frozen_stages > 0
    assert mobile.train.layer_decay < 1
    reidentify = recipe("reidentify")
    assert isinstance(reidentify.input.sampling, Pk)
    assert reidentify.model.neck.bnneck
    assert reidentify.loss.triplet is not None
    assert isinstance(recipe("multilabel").loss.criterion, Asymmetric)
    assert recipe("multilabel").data.source.multi_label  # pyright: ignore[reportAttributeAccessIssue]
    assert recipe("probe").mode == "probe"
    small = [recipe(name).model.backbone for name in NAMES if name.startswith("small_")]
    assert all(isinstance(part, Torchvision) for part in small)
    found = sorted(part.name for part in small if isinstance(part, Torchvision))
    assert found == ["densenet121", "mnasnet1_0", "shufflenet_v2_x1_0", "squeezenet1_0"]


def test_an_ablation_by_base_differs_in_what_it_says_only():
    blocks, stem = recipe("cbam_blocks"), recipe("cbam_stem")
    assert isinstance(stem.model.backbone, CbamResNet)
    assert isinstance(blocks.model.backbone, CbamResNet)
    assert (blocks.model.backbone.attention, stem.model.backbone.attention) == ("blocks", "stem")
    again = {"name": "", "model": {"backbone": {"attention": ""}}}
    assert _without(blocks.model_dump(), again) == _without(stem.model_dump(), again)
    margins, softmax = recipe("imbalanced"), recipe("imbalanced_softmax")
    assert isinstance(margins.loss.criterion, Ldam)
    assert isinstance(softmax.loss.criterion, BalancedSoftmax)
    assert isinstance(margins.input.sampling, Balanced)
    assert isinstance(softmax.input.sampling, Shuffle)
    assert margins.train == softmax.train


def _without(dumped: dict, keys: dict) -> dict:
    return {
        key: _without(value, keys[key]) if isinstance(keys.get(key), dict) else value
        for key, value in dumped.items()
        if keys.get(key) != ""
    }


def test_recipes_name_no_files_of_one_machine():
    for name in NAMES:
        text = (RECIPES / f"{name}.yaml").read_text()
        assert str(Path.home()) not in text
        weights = recipe(name).model.backbone.weights
        assert weights in (None, "pretrained")
