"""Grad-CAM finds the planted patch that decides the class, and equals CAM where theory says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from imcls.model.build import build_classifier
from imcls.model.classifier import Classifier
from imcls.model.grad_cam import grad_cam, overlay
from imcls.model.options import (
    Average,
    BackboneOptions,
    Gem,
    ModelOptions,
    Native,
    NeckOptions,
    Pooling,
    ResNet9,
    Timm,
)


def classifier(backbone: BackboneOptions, pooling: Pooling, image_px: int, classes: int = 3) -> Classifier:
    torch.manual_seed(0)
    options = ModelOptions(backbone=backbone, neck=NeckOptions(pooling=pooling))
    return build_classifier(options, classes, image_px=image_px).eval()


def planted(n: int, seed: int, px: int = 32, side: int = 10) -> tuple[torch.Tensor, torch.Tensor, list]:
    """Noise with one patch each, bright in the colour that is the class; where the patches are."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.4, (n, 3, px, px)).astype(np.float32)
    labels = rng.integers(0, 3, n)
    corners = rng.integers(0, px - side + 1, (n, 2))
    places = [(slice(y, y + side), slice(x, x + side)) for y, x in corners]
    for i, (rows, columns) in enumerate(places):
        images[i, labels[i], rows, columns] += 2.0
    return torch.from_numpy(images), torch.from_numpy(labels), places


def test_the_patch_that_decides_the_class_lights_up():
    model = classifier(ResNet9(width=8), Average(), 32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(30):
        images, labels, _ = planted(32, step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images).logits, labels).backward()
        optimizer.step()
    images, labels, places = planted(40, 1000, px=80, side=20)  # a map of 10 x 10 cells
    assert (model.eval()(images).logits.argmax(1) == labels).float().mean() > 0.9
    heats = grad_cam(model, images, labels)
    inside = np.array([heat[place].mean() for heat, place in zip(heats, places, strict=True)])
    overall = heats.mean(axis=(1, 2))
    hottest = [np.unravel_index(heat.argmax(), heat.shape) for heat in heats]
    hits = [
        rows.start - 4 <= y < rows.stop + 4 and columns.start - 4 <= x < columns.stop + 4
        for (y, x), (rows, columns) in zip(hottest, places, strict=True)
    ]
    print(f"inside over overall {np.median(inside / overall):.2f}, hits {np.mean(hits):.2f}")
    assert np.mean(hits) > 0.9
    assert np.median(inside / overall) > 3  # the patch is a sixteenth of the image
    wrong = grad_cam(model, images, (labels + 1) % 3)
    elsewhere = np.array([heat[place].mean() for heat, place in zip(wrong, places, strict=True)])
    assert np.median(elsewhere) < 0.5 * np.median(inside)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet10t"])
def test_over_an_average_and_a_linear_head_it_is_cam(name: str):
    """Zhou et al. 2016: with global average pooling the weights of the channels are those of the head."""
    model = classifier(Timm(name=name), Average(), 64)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        map_ = model.backbone(images)[-1]
        weight = next(p for p in model.head.parameters() if p.ndim == 2)[[2, 0]]
        cam = (weight[:, :, None, None] * map_).sum(1, keepdim=True).clamp(min=0)
        cam = nn.functional.interpolate(cam, (64, 64), mode="bilinear")[:, 0]
        cam = cam / cam.amax((1, 2), keepdim=True).clamp(min=1e-30)
    assert grad_cam(model, images, np.array([2, 0])) == pytest.approx(cam.numpy(), abs=1e-5)


VIT = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 64}


@pytest.mark.parametrize(
    ("backbone", "pooling"),
    [
        (Timm(name="vit_tiny_patch16_224", options=VIT), Native()),  # decides by its class token
        (Timm(name="vit_tiny_patch16_224", options=VIT), Gem()),
        (Timm(name="vit_tiny_patch16_224", options={**VIT, "global_pool": "avg"}), Native()),
        (Timm(name="mobilenetv3_small_050", options={}), Native()),  # a layer between pooling and head
        (Timm(name="convnext_atto", options={"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}), Native()),
    ],
)
def test_every_kind_of_backbone_gives_heat_that_depends_on_class_and_image(backbone: Timm, pooling: Pooling):
    model = classifier(backbone, pooling, 64)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)).repeat(4, 1, 1, 1)
    images[3] = images[3].flip(-1)
    heats = grad_cam(model, images, np.array([0, 1, 2, 0]))
    assert heats.shape == (4, 64, 64) and heats.dtype == np.float32
    assert heats.min() >= 0 and heats.max() == 1
    assert np.isfinite(heats).all()
    different = [np.abs(heats[a] - heats[b]).max() for a, b in ((0, 1), (0, 2), (1, 2), (0, 3))]
    assert min(different) > 1e-3


def test_tokens_lie_as_their_patches_do():
    """What is put into one corner changes the map in that corner most."""
    model = classifier(Timm(name="vit_tiny_patch16_224", options=VIT), Gem(), 64)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    changed = images.clone()
    changed[..., :16, 48:] = 3.0
    with torch.no_grad():
        before, after = (model.backbone(x)[-1] for x in (images, changed))
    moved = (after - before).abs().sum(1)[0]
    assert np.unravel_index(int(moved.argmax()), moved.shape) == (0, 3)


def test_frozen_models_keep_mode_weights_and_gradients():
    model = classifier(Timm(name="resnet10t"), Average(), 64).train()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.head.requires_grad_(True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    hooks = sum(len(module._forward_hooks) for module in model.modules())
    with torch.inference_mode():  # as during evaluation
        heats = grad_cam(model, torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))
    assert heats.max() == 1
    assert model.training and model.backbone.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert sum(len(module._forward_hooks) for module in model.modules()) == hooks


def test_no_evidence_is_no_heat():
    model = classifier(Timm(name="resnet10t"), Average(), 64)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.zero_()
    assert (grad_cam(model, torch.randn(1, 3, 64, 64), np.array([1])) == 0).all()


def test_overlay_is_grey_where_cold_and_warm_where_hot():
    rgb = np.zeros((40, 60, 3), np.uint8)
    rgb[..., 2] = 200
    heat = np.zeros((4, 6), np.float32)
    heat[1, 4] = 1
    painted = overlay(rgb, heat)
    assert painted.shape == rgb.shape and painted.dtype == np.uint8
    cold, hot = painted[35, 5].astype(int), painted[15, 45].astype(int)
    assert np.ptp(cold) == 0
    assert hot[0] > hot[2] + 60
