"""Every backbone: shapes over many families, exact native pooling, sizes, stages, own networks by formula."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models
from torchvision.models.convnext import CNBlockConfig

from imcls.model.build import build_backbone, build_classifier
from imcls.model.cbam_resnet import Cbam
from imcls.model.classifier import parameter_depths
from imcls.model.options import (
    Average,
    CbamResNet,
    Concat,
    CustomBackbone,
    ModelOptions,
    NeckOptions,
    ResNet9,
    Timm,
    Torchvision,
)
from suite.errors import BadInput

# One small model of each kind: plain, split attention, mobile (pooled before its last convolution), dense,
# class token, two class tokens, tokens without one, NHWC, shrinking tokens, several resolutions side by side.
TIMM = {
    "resnet18": (512, 512),
    "resnest14d": (2048, 2048),
    "mobilenetv2_100": (1280, 1280),
    "mobilenetv3_small_050": (288, 1024),
    "efficientnet_b0": (1280, 1280),
    "densenet121": (1024, 1024),
    "vit_tiny_patch16_224": (192, 192),
    "deit_tiny_distilled_patch16_224": (192, 192),
    "mixer_s32_224": (512, 512),
    "swin_tiny_patch4_window7_224": (64, 64),
    "convnext_atto": (320, 320),
    "regnetx_002": (368, 368),
    "levit_128s": (384, 384),
    "hrnet_w18_small": (2048, 2048),
    "test_resnet": (96, 96),
}

# Narrower than published, where that is quicker.
NARROW = {
    "swin_tiny_patch4_window7_224": {"embed_dim": 8, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 4)},
}

SWIN = "swin_tiny_patch4_window7_224"

# Where each family of torchvision differs: what its last linear layer is called.
TORCHVISION = {
    "resnet18": "fc",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "densenet121": "classifier",
    "mnasnet0_5": "classifier.1",
    "shufflenet_v2_x0_5": "fc",
    "efficientnet_b0": "classifier.1",
    "regnet_y_400mf": "fc",
    "convnext_tiny": "classifier.2",
    "swin_t": "head",
    "vit_b_32": "heads.head",
    "googlenet": "fc",
}


# Of the same classes as the published ones, which are large.
SMALL: dict[str, Callable[[], nn.Module]] = {
    "vit_b_32": lambda: models.VisionTransformer(
        64, 16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    ),
    "swin_t": lambda: models.SwinTransformer([4, 4], 8, [1, 1, 2, 1], [1, 2, 4, 4], [7, 7]),
    "convnext_tiny": lambda: models.ConvNeXt(
        [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 2)]
    ),
}


@pytest.fixture(autouse=True)
def quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Truncated normals take most of the time of building a large network; here plain ones do as well."""

    def normal(tensor: torch.Tensor, mean: float = 0.0, std: float = 1.0, **_: float) -> torch.Tensor:
        with torch.no_grad():
            return tensor.normal_(mean, std)

    monkeypatch.setattr(nn.init, "trunc_normal_", normal)


@pytest.mark.parametrize("name", TIMM)
def test_timm_families_give_a_map_and_pool_it_as_timm_does(name: str) -> None:
    channels, dim = TIMM[name]
    backbone = build_backbone(Timm(name=name, options=NARROW.get(name, {})), 64).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps = backbone(images)
        assert [m.ndim for m in maps] == [4]
        assert maps[-1].shape[:2] == (2, channels)
        pooled = backbone.native_pool(maps)
        whole = backbone.net(images)
    assert pooled.shape == (2, dim)
    torch.testing.assert_close(pooled, whole[0] if isinstance(whole, tuple) else whole, rtol=0, atol=0)
    placed = [n for n, _ in backbone.named_parameters() if any(n.startswith(s) for s in backbone.stages)]
    assert len(placed) == len(list(backbone.parameters())), "every parameter belongs to a stage"


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_classifiers_work_on_our_pooled_vectors(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    if name in SMALL:
        monkeypatch.setattr(models, "get_model", lambda *_, **__: SMALL[name]())
    extra = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    whole = models.get_model(name, weights=None, **extra).eval()
    classifier = whole.get_submodule(TORCHVISION[name])
    nn.init.normal_(classifier.weight)  # type: ignore[arg-type]  # some start at zero
    backbone = build_backbone(Torchvision(name=name), 64).eval()
    backbone.net.load_state_dict(whole.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = classifier(backbone.native_pool(backbone(images)))
        torch.testing.assert_close(logits, whole(images), rtol=1e-5, atol=1e-5)
    if isinstance(whole, models.VisionTransformer):
        nn.init.normal_(whole.class_token)  # the law must notice a change
        with torch.no_grad():
            assert not torch.allclose(logits, whole(images), atol=1e-4)


def test_squeezenet_gives_the_map_before_its_class_convolution() -> None:
    whole = models.squeezenet1_1(num_classes=7).eval()
    backbone = build_backbone(Torchvision(name="squeezenet1_1"), 64).eval()
    backbone.net.load_state_dict(whole.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(whole.classifier(backbone(images)[-1]).flatten(1), whole(images))


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [
        (Timm(name="resnet18"), (128, 256, 512)),
        (Timm(name="mobilenetv2_100"), (32, 96, 1280)),
        (Timm(name="vit_tiny_patch16_224"), (192, 192, 192)),
        (Timm(name=SWIN, options=NARROW[SWIN]), (16, 32, 64)),
        (Torchvision(name="mobilenet_v2"), (32, 96, 1280)),
        (CbamResNet(depth=18), (128, 256, 512)),
        (ResNet9(width=8), (16, 32, 32)),
    ],
    ids=lambda value: getattr(value, "name", getattr(value, "type", "")),
)
def test_concat_joins_the_averages_of_three_stages(backbone, channels: tuple[int, ...]) -> None:
    options = ModelOptions(backbone=backbone, neck=NeckOptions(pooling=Concat(stages=3)))
    model = build_classifier(options, 4, image_px=64).eval()
    assert model.backbone.channels == channels
    assert model.embedding_dim == sum(channels)
    with torch.no_grad():
        images = torch.randn(2, 3, 64, 64)
        maps = model.backbone(images)
        sides = [m.shape[-1] for m in maps]
        assert sides == sorted(sides, reverse=True)
        torch.testing.assert_close(model.features(images)[:, -channels[-1] :], maps[-1].mean((2, 3)))


def test_too_many_stages_for_concat_are_refused() -> None:
    for backbone in (ResNet9(width=8), Torchvision(name="squeezenet1_1"), CbamResNet(depth=18)):
        with pytest.raises(BadInput, match=r"model\.neck\.pooling\.stages"):
            build_classifier(
                ModelOptions(backbone=backbone, neck=NeckOptions(pooling=Concat(stages=9))), 3, image_px=64
            )
    with pytest.raises(BadInput, match=r"pooling\.stages: test_resnet gives the maps of 5 stages"):
        build_backbone(Timm(name="test_resnet"), 64, maps=9)


def test_transformers_are_built_for_the_size_of_the_images() -> None:
    model = build_backbone(Timm(name="vit_tiny_patch16_224"), 96).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 96, 96))[-1].shape == (1, 192, 6, 6)
    fixed = Timm(name="vit_tiny_patch16_224", options={"img_size": 64})
    with pytest.raises(BadInput, match=r"image_px: the backbone cannot take images of 50 px") as caught:
        build_classifier(ModelOptions(backbone=fixed), 3, image_px=50)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="maxvit_t is not made for 64 px") as caught:
        build_classifier(ModelOptions(backbone=Torchvision(name="maxvit_t")), 3, image_px=64)
    assert "\n" not in str(caught.value)


def test_tokens_become_a_map_with_each_patch_in_its_place() -> None:
    backbone = build_backbone(Timm(name="vit_tiny_patch16_224"), 64).eval()
    with torch.no_grad():
        raw = backbone.net.forward_features(torch.randn(1, 3, 64, 64))  # type: ignore[operator]
        map_, rest = backbone._map(raw)  # type: ignore[operator]
    row, column = 2, 1
    torch.testing.assert_close(map_[0, :, row, column], raw[0, 1 + row * 4 + column])
    torch.testing.assert_close(rest[0, 0], raw[0, 0])


def test_normalisation_comes_from_the_backbone_unless_it_is_given() -> None:
    assert build_backbone(Timm(name="test_resnet"), 32).mean == (0.5, 0.5, 0.5)
    assert build_backbone(Timm(name="resnet18"), 32).mean == (0.485, 0.456, 0.406)
    given = build_backbone(ResNet9(width=8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)), 32)
    assert (given.mean, given.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


@pytest.mark.parametrize(
    "backbone", [Timm(name="resnet18"), Torchvision(name="efficientnet_b0"), CbamResNet(depth=18), ResNet9()]
)
def test_stochastic_depth_leaves_branches_out_in_training_only(backbone) -> None:
    changed = backbone.model_copy(update={"drop_path": 0.9})
    for options, noisy in ((backbone, False), (changed, True)):
        torch.manual_seed(0)
        built = build_backbone(options, 64)
        for module in built.train().modules():  # batch norm must not hide what differs between two calls
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.eval().weight)  # timm starts the last of each branch at zero
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            assert torch.equal(built(images)[-1], built(images)[-1]) is not noisy
            built.eval()
            assert torch.equal(built(images)[-1], built(images)[-1])
        rates = [
            getattr(m, "drop_prob", getattr(m, "p", 0.0))
            for m in built.modules()
            if type(m).__name__ in ("DropPath", "StochasticDepth")
        ]
        assert (max(rates, default=0.0) > 0) is noisy
        if noisy:
            assert rates == sorted(rates)
            assert rates[-1] == pytest.approx(0.9)


def test_stochastic_depth_is_refused_where_there_is_none() -> None:
    with pytest.raises(
        BadInput, match=r"model\.backbone\.drop_path: torchvision's resnet18 has no stochastic"
    ):
        build_backbone(Torchvision(name="resnet18", drop_path=0.1), 64)
    with pytest.raises(BadInput, match="densenet121"):
        build_backbone(Timm(name="densenet121", drop_path=0.1), 64)


def test_cbam_is_the_formula_of_the_paper() -> None:
    torch.manual_seed(1)
    cbam = Cbam(32, reduction=4)
    x = torch.randn(2, 32, 5, 6)
    p = dict(cbam.channel.mlp.named_parameters())
    w0, b0, w1, b1 = p["0.weight"].flatten(1), p["0.bias"], p["2.weight"].flatten(1), p["2.bias"]
    expected = torch.empty_like(x)
    for i in range(2):
        mlp = [
            w1 @ (w0 @ v + b0).clamp(min=0) + b1 for v in (x[i].flatten(1).mean(1), x[i].flatten(1).max(1)[0])
        ]
        refined = x[i] * torch.sigmoid(mlp[0] + mlp[1])[:, None, None]
        two = torch.stack([refined.mean(0), refined.max(0)[0]])
        padded = functional.pad(two, (3, 3, 3, 3))
        for row in range(5):
            for column in range(6):
                seen = (padded[:, row : row + 7, column : column + 7] * cbam.spatial.conv.weight[0]).sum()
                expected[i, :, row, column] = refined[:, row, column] * torch.sigmoid(seen)
    torch.testing.assert_close(cbam(x), expected)


@pytest.mark.parametrize(("depth", "blocks"), [(18, 8), (50, 16)])
def test_cbam_sits_in_every_block_or_at_the_two_ends(depth, blocks: int) -> None:
    with torch.device("meta"):  # shapes only
        in_blocks = build_backbone(CbamResNet(depth=depth))
        at_ends = build_backbone(CbamResNet(depth=depth, attention="stem"))
        plain = models.get_model(f"resnet{depth}")
    assert sum(isinstance(m, Cbam) for m in in_blocks.modules()) == blocks
    assert sum(isinstance(m, Cbam) for m in at_ends.modules()) == 2
    for backbone in (in_blocks, at_ends):
        own = {k: v.shape for k, v in backbone.net.state_dict().items() if "attention" not in k}
        assert own == {k: v.shape for k, v in plain.state_dict().items() if not k.startswith("fc.")}


def test_cbam_resnet_without_attention_is_the_resnet_of_torchvision() -> None:
    plain = models.resnet18().eval()
    backbone = build_backbone(CbamResNet(depth=18), 64).eval()
    backbone.net.load_state_dict(plain.state_dict(), strict=False)
    for module in list(backbone.modules()):
        if hasattr(module, "attention"):
            module.attention = nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(plain.fc(backbone.native_pool(backbone(images))), plain(images))


OWN = """
import torch
class Net(torch.nn.Module):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)
    def __init__(self, width=8):
        super().__init__()
        self.one = torch.nn.Conv2d(3, width, 3, 2, 1)
        self.two = torch.nn.Conv2d(width, 2 * width, 3, 2, 1)
    def forward(self, x):
        one = self.one(x)
        return [one, self.two(one.relu())]
class Flat(torch.nn.Linear):
    def __init__(self):
        super().__init__(3, 3)
    def forward(self, x):
        return x.mean((2, 3))
"""


def test_own_code_runs_only_when_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_net_of_a_test.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    backbone = CustomBackbone(target="own_net_of_a_test:Net", options={"width": 12}, frozen_stages=1)
    options = ModelOptions(backbone=backbone, neck=NeckOptions(pooling=Concat(stages=2)))
    with pytest.raises(BadInput, match=r"model\.backbone\.target: .*; set allow_code: true"):
        build_classifier(options, 3, image_px=32)
    model = build_classifier(options, 3, image_px=32, allow_code=True)
    assert model.embedding_dim == 36
    assert model.mean == (0.5, 0.4, 0.3)
    trained = {n for n, p in model.backbone.named_parameters() if p.requires_grad}
    assert trained == {"net.two.weight", "net.two.bias"}
    for target, said in (
        ("own_net_of_a_test:Nothing", "cannot be had"),
        ("no_such_module_here:Net", "PYTHONPATH"),
        ("own_net_of_a_test:Flat", "does not give 1 maps"),
    ):
        with pytest.raises(BadInput, match=said):
            build_classifier(ModelOptions(backbone=CustomBackbone(target=target)), 3, allow_code=True)


@pytest.mark.parametrize(
    "backbone", [Timm(name="resnet18"), Timm(name="vit_tiny_patch16_224"), Torchvision(name="mobilenet_v2")]
)
def test_depths_rise_from_the_image_to_the_head(backbone) -> None:
    model = build_classifier(ModelOptions(backbone=backbone), 3, image_px=64)
    depths = parameter_depths(model)
    assert set(depths) == {name for name, _ in model.named_parameters()}
    order = [depths[name] for name, _ in model.named_parameters() if name.startswith("backbone.")]
    assert order[0] == 0
    assert set(order) == set(range(max(order) + 1)), "no depth is left out"
    assert sum(b < a for a, b in itertools.pairwise(order)) <= 1
    assert all(depths[name] == max(order) + 1 for name in depths if not name.startswith("backbone."))


def test_a_copy_of_a_model_is_its_own(tmp_path: Path) -> None:
    model = build_classifier(ModelOptions(backbone=ResNet9(width=8, frozen_stages=1)), 3, image_px=32)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert all(
        float(p.detach().abs().sum()) > 0
        for n, p in twin.backbone.named_parameters()
        if n.endswith("0.weight")
    )
    assert twin.train().backbone.get_submodule("net.stem").training is False


def test_images_may_lie_channels_last() -> None:
    options = ModelOptions(backbone=ResNet9(width=8), neck=NeckOptions(pooling=Average()))
    model = build_classifier(options, 3, image_px=32).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        plain = model(images).logits
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        last = model(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last.logits, plain, rtol=1e-4, atol=1e-5)
