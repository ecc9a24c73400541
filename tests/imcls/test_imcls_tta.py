"""Test-time augmentation: which views there are, and that probabilities are what is averaged."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from imcls.config import TtaOptions
from imcls.voting.tta import View, judge_views, predict_views, views
from suite.errors import BadInput


class Output(NamedTuple):
    logits: Tensor
    features: Tensor
    thresholds: Tensor | None = None


class Small(torch.nn.Module):
    """A net that does not see all views alike."""

    def __init__(self, thresholds: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(3)
        )
        self.head = torch.nn.Linear(72, 4)
        self.thresholds = thresholds

    def forward(self, images: Tensor) -> Output:
        features = self.net(images).flatten(1)
        limits = features.mean(dim=1, keepdim=True) if self.thresholds else None
        return Output(20 * self.head(features), features, limits)


IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))
ALL = TtaOptions(flips=("horizontal", "vertical"), crops=5, scales=(1.0, 1.25), shift_px=1)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (TtaOptions(), 1),
        (TtaOptions(flips=("horizontal",)), 2),
        (TtaOptions(flips=("vertical", "horizontal", "vertical")), 4),
        (TtaOptions(crops=5), 5),
        (TtaOptions(shift_px=1), 5),
        (TtaOptions(crops=5, shift_px=1, flips=("horizontal",)), 18),
        (TtaOptions(scales=(1.0, 1.25, 1.0)), 2),
        (ALL, 72),
    ],
)
def test_views_are_all_different(options: TtaOptions, count: int) -> None:
    found = views(options, 16)
    assert len(found) == len(set(found)) == count
    shown = [view.of(IMAGES) for view in found]
    assert all(
        image.shape == (5, 3, view.side_px, view.side_px) for image, view in zip(shown, found, strict=True)
    )
    assert len({tuple(image.double().flatten().tolist()) for image in shown}) == count
    assert torch.equal(shown[0], IMAGES)


def test_flips_turn_what_they_say() -> None:
    horizontal = views(TtaOptions(flips=("horizontal",)), 16)[1].of(IMAGES)
    assert torch.equal(horizontal[..., 0], IMAGES[..., -1])
    vertical = views(TtaOptions(flips=("vertical",)), 16)[1].of(IMAGES)
    assert torch.equal(vertical[..., 0, :], IMAGES[..., -1, :])


def test_shifts_reflect_at_the_border() -> None:
    moved = View(16, shift_px=(2, -1)).of(IMAGES)  # down by two, left by one
    assert torch.equal(moved[..., 2:, :-1], IMAGES[..., :-2, 1:])
    assert torch.equal(moved[..., 0, :-1], IMAGES[..., 2, 1:])
    assert torch.equal(moved[..., 2:, -1], IMAGES[..., :-2, -2])


def test_corners_are_seven_eighths_of_the_side() -> None:
    ramp = torch.arange(16.0).expand(1, 3, 16, 16).contiguous()
    left, right = (View(14, corner=(-1, x)).of(ramp) for x in (-1, 1))
    assert torch.equal(left[0, 0, 0], torch.arange(14.0)) and torch.equal(
        right[0, 0, 0], torch.arange(2.0, 16.0)
    )


def test_scales_change_the_side() -> None:
    assert [view.side_px for view in views(TtaOptions(scales=(0.75, 1.0, 1.25)), 224)] == [168, 224, 280]


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_mean_is_of_probabilities(multi_label: bool) -> None:
    model = Small().eval()
    to_probability = torch.sigmoid if multi_label else lambda z: z.softmax(dim=1)
    each = [to_probability(model(view.of(IMAGES)).logits.double()) for view in views(ALL, 16)]
    mean = torch.stack(each).mean(dim=0)
    logits = predict_views(model, IMAGES, ALL, 16, multi_label=multi_label)
    assert not logits.requires_grad
    torch.testing.assert_close(to_probability(logits.double()), mean.detach(), rtol=1e-4, atol=1e-7)
    assert (torch.stack(each).std(dim=0) > 0.01).any()


def test_one_view_is_the_model_itself() -> None:
    model = Small().eval()
    assert torch.equal(
        predict_views(model, IMAGES, TtaOptions(), 16, multi_label=False), model(IMAGES).logits
    )


def test_sure_views_that_disagree_stay_finite() -> None:
    def model(images: Tensor) -> Output:
        sign = torch.where(images[:, 0, 0, :1] > images[:, 0, 0, -1:], 1.0, -1.0)
        return Output(sign * torch.tensor([[300.0, -300.0]]), images.flatten(1))

    both = TtaOptions(flips=("horizontal",))
    single = predict_views(model, IMAGES, both, 16, multi_label=False)
    several = predict_views(model, IMAGES, both, 16, multi_label=True)
    torch.testing.assert_close(single.softmax(1), torch.full((5, 2), 0.5))
    torch.testing.assert_close(several.sigmoid(), torch.full((5, 2), 0.5))


def test_a_symmetric_model_gains_and_loses_nothing() -> None:
    def model(images: Tensor) -> Output:
        means = images.mean(dim=(2, 3))
        return Output(30 * means, means)

    logits = predict_views(model, IMAGES, TtaOptions(flips=("horizontal", "vertical")), 16, multi_label=False)
    torch.testing.assert_close(logits.softmax(1), model(IMAGES).logits.softmax(1))


def test_thresholds_and_features_are_averaged() -> None:
    model = Small(thresholds=True).eval()
    mean = judge_views(model, IMAGES, ALL, 16, multi_label=True)
    outputs = [model(view.of(IMAGES)) for view in views(ALL, 16)]
    limits = torch.stack([output.thresholds for output in outputs if output.thresholds is not None]).mean(
        dim=0
    )
    assert mean.thresholds is not None
    torch.testing.assert_close(mean.thresholds, limits.detach())
    torch.testing.assert_close(mean.features, torch.stack([out.features for out in outputs]).mean(0).detach())


def test_a_shift_as_large_as_the_image_is_refused() -> None:
    with pytest.raises(BadInput, match=r"evaluation\.tta\.shift_px: images of 16 px"):
        views(TtaOptions(shift_px=16), 16)
