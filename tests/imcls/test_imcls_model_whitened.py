"""The whitening net: what its first layer does to patches, and what of it is trained."""

import pytest
import torch
from torch import nn
from torch.nn.functional import unfold

from imcls.model.build import build_backbone, build_classifier
from imcls.model.classifier import Classifier
from imcls.model.options import ModelOptions, WhitenedCnn
from imcls.model.whitened_cnn import FILTERS
from suite.errors import BadInput


def small() -> Classifier:
    torch.manual_seed(0)
    return build_classifier(ModelOptions(backbone=WhitenedCnn(widths=(8, 16, 16))), 3, image_px=32)


def smooth_images(n: int = 64) -> torch.Tensor:
    """Random images whose neighbouring pixels are alike, as in photographs."""
    noise = torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(noise, scale_factor=2, mode="bilinear")


def test_patches_come_out_white():
    backbone = small().backbone
    images = smooth_images()
    backbone.start_from(images)
    first = backbone.net.get_submodule("stem.0")
    assert isinstance(first, nn.Conv2d)
    half = FILTERS // 2
    out = first(images)[:, :half].detach().double()
    flat = out.permute(1, 0, 2, 3).reshape(half, -1)
    patches = unfold(images, 2).transpose(1, 2).reshape(-1, half).double()
    variances = torch.linalg.eigvalsh(patches.T @ patches / len(patches)).flip(0)
    expected = torch.diag(
        variances / (variances + 5e-4)
    )  # less than 1 only where there is next to no variance
    torch.testing.assert_close(flat @ flat.T / flat.shape[1], expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(first.weight[:half], -first.weight[half:])


def test_the_first_layer_stays_and_the_rest_learns():
    model = small()
    model(torch.randn(4, 3, 32, 32)).logits.sum().backward()
    still = [name for name, parameter in model.backbone.named_parameters() if not parameter.requires_grad]
    assert "net.stem.0.weight" in still and "net.stem.0.bias" not in still
    assert all(name == "net.stem.0.weight" or name.endswith("weight") for name in still)
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_sizes_and_stages():
    model = small()
    for px in (24, 28, 32):
        assert model(torch.randn(2, 3, px, px)).logits.shape == (2, 3)
    assert len(model.backbone.stages) == 4


def test_there_is_nothing_to_download_and_nothing_to_drop():
    with pytest.raises(BadInput, match="no published weights"):
        build_backbone(WhitenedCnn(weights="pretrained"))
    with pytest.raises(BadInput, match="drop_path"):
        build_backbone(WhitenedCnn(drop_path=0.1))
