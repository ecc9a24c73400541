"""Deformable convolutions and the backbones that have them."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d
from torchvision.models import resnet as torchvision_resnet

from falldet.model.deform import DeformConv
from falldet.model.fpn import Fpn
from falldet.model.options import FpnOptions, ResNetOptions
from falldet.model.resnet import BLOCKS, ResNet


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 4), (2, 4)])
@pytest.mark.parametrize("mask", [False, True])
def test_starts_as_a_plain_convolution(stride: int, groups: int, mask: bool) -> None:
    torch.manual_seed(0)
    layer = DeformConv(8, 12, stride, groups, mask)
    x = torch.randn(2, 8, 9, 11)
    plain = conv2d(x, layer.weight, None, stride, 1, groups=groups)
    torch.testing.assert_close(layer(x), plain * (0.5 if mask else 1.0), atol=1e-5, rtol=1e-5)


def test_offsets_are_y_then_x_of_each_tap() -> None:
    layer = DeformConv(1, 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 1, 1] = 1  # reads its own place ...
        assert layer.conv_offset.bias is not None
        layer.conv_offset.bias[2 * 4] = 2  # ... which moves two down
        layer.conv_offset.bias[2 * 4 + 1] = -1  # and one to the left
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(layer(x)[..., :6, 1:], x[..., 2:, :7])


def test_mask_weighs_each_tap() -> None:
    layer = DeformConv(1, 1, mask=True)
    with torch.no_grad():
        layer.weight.fill_(1)
        assert layer.conv_offset.bias is not None
        layer.conv_offset.bias[18:] = -100  # all taps off
        layer.conv_offset.bias[18 + 5] = 100  # but the one to the right
    x = torch.randn(1, 1, 6, 6)
    torch.testing.assert_close(layer(x)[..., :5], x[..., 1:])


@pytest.mark.parametrize(("depth", "groups", "width"), [(18, 1, 64), (50, 1, 64), (50, 32, 4)])
def test_backbone_is_torchvisions(depth: int, groups: int, width: int) -> None:
    torch.manual_seed(0)
    block = torchvision_resnet.BasicBlock if depth < 50 else torchvision_resnet.Bottleneck
    theirs = torchvision_resnet.ResNet(block, list(BLOCKS[depth]), groups=groups, width_per_group=width)
    weights = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    for name in weights:  # norms far from their start
        if "bn" in name and weights[name].dtype == torch.float32:
            weights[name].uniform_(0.5, 1.0)
    ours = ResNet(ResNetOptions.model_validate({"depth": depth, "groups": groups, "width_per_group": width}))
    ours.load_state_dict(weights, strict=True)
    theirs.eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        maps = ours(x)
        expected = theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x)))))
        torch.testing.assert_close(maps[0], expected)
        torch.testing.assert_close(maps[-1], theirs.layer4(theirs.layer3(theirs.layer2(expected))))
    assert tuple(map_.shape[1] for map_ in maps) == ours.channels
    assert tuple(64 // map_.shape[2] for map_ in maps) == ours.strides


def test_styles_differ_in_where_the_stride_is() -> None:
    caffe, pytorch = (
        ResNet(ResNetOptions(style="caffe")),
        ResNet(ResNetOptions(style="pytorch")),
    )
    for net, strides in ((caffe, (2, 1)), (pytorch, (1, 2))):
        block = net.get_submodule("layer2.0")
        convs = block.get_submodule("conv1"), block.get_submodule("conv2")
        assert tuple(conv.stride[0] for conv in convs) == strides  # pyright: ignore


def test_what_is_deformable_frozen_and_kept() -> None:
    net = ResNet(ResNetOptions(depth=50, deformable="v2", frozen_stages=2)).train()
    deformable = {n.rpartition(".")[0] for n, m in net.named_modules() if isinstance(m, DeformConv)}
    assert len(deformable) == 4 + 6 + 3
    assert {name.partition(".")[0] for name in deformable} == {"layer2", "layer3", "layer4"}
    trained = {name.partition(".")[0] for name, p in net.named_parameters() if p.requires_grad}
    assert trained == {"layer3", "layer4"}
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 53
    assert not any(m.training for m in norms)


def test_pyramid_sums_levels_of_odd_sizes() -> None:
    fpn = Fpn((4, 8, 16), (4, 8, 16), FpnOptions(channels=32, norm="group"))
    sizes = ((13, 9), (7, 5), (4, 3))
    levels = fpn([torch.randn(2, c, *size) for c, size in zip((4, 8, 16), sizes, strict=True)])
    assert fpn.strides == (4, 8, 16, 32)
    assert [tuple(level.shape) for level in levels] == [(2, 32, *s) for s in (*sizes, (2, 2))]
    torch.testing.assert_close(levels[-1], levels[-2][..., ::2, ::2])
