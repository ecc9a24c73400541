"""Necks, heads, freezing and the whole classifier: laws, gradients, and what survives train()."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from imcls.model.backbones import FeatureMaps
from imcls.model.build import build_backbone, build_classifier
from imcls.model.classifier import Classifier, new_parameters
from imcls.model.heads import ArcFace, Cosine, with_margin
from imcls.model.necks import GemPooling
from imcls.model.options import (
    ArcFaceHead,
    Average,
    CbamResNet,
    CosineHead,
    Flatten,
    Gem,
    LinearHead,
    ModelOptions,
    MultiLabelHead,
    Native,
    NeckOptions,
    ResNet9,
    Timm,
    Torchvision,
)
from suite.errors import BadInput

TINY = ResNet9(width=8)


def tiny(classes: int = 4, image_px: int = 32, **options: object) -> Classifier:
    torch.manual_seed(0)
    return build_classifier(ModelOptions(backbone=TINY, **options), classes, image_px=image_px)  # type: ignore[arg-type]


@pytest.mark.parametrize("pooling", [Native(), Average(), Gem(), Flatten()], ids=lambda p: p.type)
@pytest.mark.parametrize(
    "head",
    [LinearHead(), CosineHead(), ArcFaceHead(), MultiLabelHead(threshold="regressed")],
    ids=lambda h: h.type,
)
def test_every_neck_goes_with_every_head(pooling, head) -> None:
    model = tiny(neck=NeckOptions(pooling=pooling, bnneck=True, dropout=0.1), head=head)
    images = torch.randn(6, 3, 32, 32)
    output = model(images, torch.arange(6) % 4)
    assert output.logits.shape == (6, 4)
    assert output.features.shape == (6, model.embedding_dim)
    assert model.embedding_dim == (32 * 16 if pooling.type == "flatten" else 32)
    assert (output.thresholds is not None) is (head.type == "multi_label")
    total = output.logits.square().sum() + output.features.sum()
    if output.thresholds is not None:
        total = total + (output.thresholds - 1).square().sum()
    total.backward()
    idle = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle, "distributed training waits for these"
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_parameters_that_the_neck_goes_round_are_not_trained() -> None:
    backbone = Timm(name="mobilenetv3_small_050")  # pools, then has one more convolution
    native = build_classifier(ModelOptions(backbone=backbone), 3, image_px=64)
    assert all(p.requires_grad for p in native.parameters())
    options = ModelOptions(backbone=backbone, neck=NeckOptions(pooling=Gem()))
    model = build_classifier(options, 3, image_px=64)
    left = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert left == {n for n, _ in model.named_parameters() if ".conv_head." in n} != set()
    assert all(p.grad is None for p in model.parameters())


def test_flatten_is_refused_at_no_size_but_tied_to_one() -> None:
    model = tiny(neck=NeckOptions(pooling=Flatten()))
    with pytest.raises(RuntimeError):
        model.eval()(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("p", [1.0, 3.0, 6.5])
def test_gem_is_the_generalised_mean(p: float) -> None:
    maps = torch.rand(2, 3, 4, 5, dtype=torch.float64) + 0.01
    gem = GemPooling(p, trained=True).double()
    pooled = gem(FeatureMaps([maps]), build_backbone(TINY))
    torch.testing.assert_close(pooled, maps.pow(p).mean((2, 3)).pow(1 / p))
    pooled.sum().backward()
    step = 1e-6
    high, low = (maps.pow(q).mean((2, 3)).pow(1 / q).sum() for q in (p + step, p - step))
    assert gem.p.grad is not None
    assert float(gem.p.grad) == pytest.approx(float(high - low) / (2 * step), rel=1e-5)


def test_gem_gradients_stay_finite_for_dead_and_for_huge_maps() -> None:
    backbone = build_backbone(TINY)
    gem = GemPooling(8.0, trained=True)
    for scale in (0.0, 1e-3, 1e6):
        maps = (torch.rand(2, 3, 4, 4) * scale).requires_grad_()
        pooled = gem(FeatureMaps([maps]), backbone)
        gem.p.grad = None
        pooled.sum().backward()
        assert torch.isfinite(pooled).all()
        assert maps.grad is not None and torch.isfinite(maps.grad).all()
        assert gem.p.grad is not None and torch.isfinite(gem.p.grad)


def test_bnneck_leaves_the_features_and_has_no_bias() -> None:
    model = tiny(neck=NeckOptions(bnneck=True))
    bnneck = model.neck.bnneck
    assert isinstance(bnneck, nn.BatchNorm1d)
    assert bnneck.weight.requires_grad and not bnneck.bias.requires_grad
    images = torch.randn(16, 3, 32, 32)
    output = model(images)
    normed = bnneck(output.features)
    torch.testing.assert_close(normed.mean(0), torch.zeros(32), atol=1e-5, rtol=0)
    assert not torch.allclose(output.features.mean(0), torch.zeros(32), atol=1e-2)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model.embed(images), bnneck(model.features(images)))
        torch.testing.assert_close(model.classify(model.features(images)).logits, model(images).logits)


def test_cosine_logits_forget_lengths_and_learn_their_scale() -> None:
    head = Cosine(5, 3, scale=16.0)
    vectors = torch.randn(4, 5)
    logits = head(vectors)
    torch.testing.assert_close(head(vectors * 7), logits)
    assert logits.abs().max() <= 16.0 + 1e-4
    expected = 16 * functional.cosine_similarity(vectors[:, None], head.weight[None], dim=-1)
    torch.testing.assert_close(logits, expected)
    logits.sum().backward()
    assert head.log_scale.grad is not None
    assert float(head.log_scale.grad) == pytest.approx(float(logits.detach().sum()), rel=1e-4)


def test_margin_is_the_cosine_of_the_turned_angle_and_falls_all_the_way() -> None:
    margin = 0.3
    theta = torch.linspace(0.01, math.pi - 0.01, 2001, dtype=torch.float64)
    turned = with_margin(theta.cos()[:, None], margin)[:, 0]
    inside = theta < math.pi - margin
    torch.testing.assert_close(turned[inside], (theta[inside] + margin).cos())
    assert bool((turned.diff() < 0).all()), "a larger angle never scores higher"
    assert float(turned.diff().abs().max()) < 0.01, "no step where the rule changes"
    assert bool((turned < theta.cos()).all())


def test_arcface_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(3)
    head = ArcFace(6, 4, scale=10.0, margin_rad=0.4).double().train()
    vectors = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 4, dtype=torch.float64)
    targets = torch.tensor([0, 1, 2, 3, 1])
    assert torch.autograd.gradcheck(
        lambda v: (head(v, targets) * weight).sum(), (vectors,), eps=1e-6, atol=1e-5
    )
    opposite = -head.weight.detach()[targets] * 3 + 0.05 * torch.randn(5, 6, dtype=torch.float64)
    opposite.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: (head(v, targets) * weight).sum(), (opposite,), eps=1e-6, atol=1e-4
    )


def test_arcface_margin_is_for_true_classes_in_training_only() -> None:
    head = ArcFace(6, 4, scale=10.0, margin_rad=0.4)
    vectors, targets = torch.randn(5, 6), torch.tensor([0, 1, 2, 3, 1])
    plain = head.eval()(vectors, targets)
    head.train()
    soft = functional.one_hot(targets, 4).float()
    torch.testing.assert_close(head(vectors), plain)
    torch.testing.assert_close(head(vectors, soft), plain)
    changed = head(vectors, targets) != plain
    assert torch.equal(changed, soft.bool())
    theta = torch.acos(plain.gather(1, targets[:, None]) / 10)
    torch.testing.assert_close(head(vectors, targets).gather(1, targets[:, None]), 10 * (theta + 0.4).cos())


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_arcface_is_finite_where_vectors_lie_on_their_class(sign: float, dtype: torch.dtype) -> None:
    head = ArcFace(6, 4, scale=30.0, margin_rad=0.5).train()
    vectors = (sign * head.weight.detach() * 50).to(dtype).requires_grad_()
    logits = head(vectors, torch.arange(4))
    functional.cross_entropy(logits.float(), torch.arange(4)).backward()
    assert torch.isfinite(logits).all()
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()
    assert head.weight.grad is not None and torch.isfinite(head.weight.grad).all()


def test_angles_keep_their_precision_under_autocast() -> None:
    head = Cosine(64, 3, scale=16.0)
    vectors = torch.randn(4, 64)
    expected = head(vectors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(head(vectors), expected, rtol=1e-5, atol=1e-5)


def test_regressed_threshold_starts_at_one_half_and_gets_its_gradient() -> None:
    model = tiny(head=MultiLabelHead(threshold="regressed"), neck=NeckOptions(bnneck=True))
    images, targets = torch.randn(8, 3, 32, 32), (torch.rand(8, 4) < 0.5).float()
    output = model(images)
    assert output.thresholds is not None
    assert torch.equal(output.thresholds, torch.zeros(8, 1))
    functional.binary_cross_entropy_with_logits(output.logits - output.thresholds, targets).backward()
    threshold = model.head.get_submodule("threshold")
    assert all(float(p.grad.abs().sum()) > 0 for p in threshold.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in threshold.parameters())
    assert tiny(head=MultiLabelHead())(images).thresholds is None


FREEZABLE = [
    pytest.param(Timm(name="test_resnet"), id="timm"),
    pytest.param(Torchvision(name="mobilenet_v3_small"), id="torchvision"),
    pytest.param(CbamResNet(depth=18), id="cbam"),
    pytest.param(TINY, id="resnet9"),
    pytest.param(Timm(name="test_vit"), id="vit"),
]


@pytest.mark.parametrize("backbone", FREEZABLE)
def test_frozen_stages_stand_still_through_training(backbone) -> None:
    options = backbone.model_copy(update={"frozen_stages": 2})
    model = build_classifier(ModelOptions(backbone=options), 3, image_px=64)
    stages = model.backbone.stages
    low = tuple(name for stage in stages[:2] for name in stage)
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    model.eval()
    model.train()  # must not thaw anything
    for _ in range(2):
        loss = functional.cross_entropy(model(torch.randn(4, 3, 64, 64)).logits, torch.tensor([0, 1, 2, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = model.backbone.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith(low) for name in moved), "weights and running statistics alike"
    for stage in stages[2:]:
        assert any(name.startswith(stage) for name in moved)
    frozen = {n for n, p in model.backbone.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in model.backbone.named_parameters() if n.startswith(low)}


def test_frozen_norms_keep_their_statistics_while_the_rest_learns() -> None:
    options = ModelOptions(backbone=ResNet9(width=8, frozen_norm=True), neck=NeckOptions(bnneck=True))
    model = build_classifier(options, 3, image_px=32)
    model.train()
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(m.training or m.weight.requires_grad or m.bias.requires_grad for m in norms)
    assert model.neck.bnneck.training, "the neck's own norm is no backbone's"
    before = [m.running_mean.clone() for m in norms if m.running_mean is not None]
    model(torch.randn(4, 3, 32, 32)).logits.sum().backward()
    after = [m.running_mean for m in norms if m.running_mean is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(m.weight.grad is not None for m in model.backbone.modules() if isinstance(m, nn.Conv2d))


def test_a_whole_backbone_may_be_frozen_but_no_more() -> None:
    model = build_classifier(ModelOptions(backbone=ResNet9(width=8, frozen_stages=4)), 3, image_px=32)
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert not any(m.training for m in model.backbone.net.modules() if m is not model.backbone.net)
    with pytest.raises(BadInput, match=r"frozen_stages: 5 is more than the 4 stages"):
        build_classifier(ModelOptions(backbone=ResNet9(width=8, frozen_stages=5)), 3, image_px=32)


def test_new_parameters_are_those_of_neck_and_head_and_of_unknown_attention() -> None:
    model = build_classifier(ModelOptions(backbone=CbamResNet(depth=18)), 3, image_px=32)
    new = [n for n, _ in model.named_parameters() if n.startswith(new_parameters(model))]
    assert {n for n in new if n.startswith("backbone.")} == {
        n for n, _ in model.named_parameters() if ".attention." in n
    }
    assert {n for n in new if not n.startswith("backbone.")} == {"head.linear.weight", "head.linear.bias"}


def test_a_small_network_learns_digits() -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    images = torch.from_numpy(np.repeat(digits.images[:, None], 3, 1)).float() / 16
    images = functional.interpolate(images, scale_factor=2)
    targets = torch.from_numpy(digits.target).long()
    options = ModelOptions(backbone=TINY, neck=NeckOptions(bnneck=True), head=ArcFaceHead(scale=10.0))
    torch.manual_seed(0)
    model = build_classifier(options, 10, image_px=16)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for batch in torch.randperm(1400).split(50):
        loss = functional.cross_entropy(model(images[batch], targets[batch]).logits, targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right: Tensor = model(images[1400:]).logits.argmax(1) == targets[1400:]
    assert float(right.float().mean()) > 0.85
