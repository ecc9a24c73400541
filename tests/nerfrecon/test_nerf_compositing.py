"""Compositing: laws of emission and absorption, and of the loss terms on samples."""

from __future__ import annotations

import math

import pytest
import torch

from nerfrecon.ops.compositing import accumulate, exclusive_sum, weigh
from nerfrecon.options import CharbonnierOptions, HuberOptions, SquaredOptions
from nerfrecon.render import losses

COUNTS = [3, 0, 7, 1, 0]


def starts_of(counts: list[int]) -> torch.Tensor:
    return torch.tensor([0, *torch.tensor(counts).cumsum(0).tolist()])


def drawn(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_weights_are_those_of_the_product_formula():
    starts, thickness = starts_of(COUNTS), drawn(11)
    found = weigh(thickness, starts)
    for ray, (first, last) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        left = 1.0
        for i in range(first, last):
            alpha = 1 - math.exp(-float(thickness[i]))
            assert float(found.weight[i]) == pytest.approx(left * alpha, rel=1e-12)
            left *= 1 - alpha
        assert float(found.remaining[ray]) == pytest.approx(left, rel=1e-12)


@pytest.mark.parametrize("stop", [0, 1e-4, 0.3])
def test_weights_and_what_remains_sum_to_one(stop: float):
    starts = starts_of(COUNTS)
    found = weigh(drawn(11) * 5, starts, stop)
    total = accumulate(found.weight[:, None], starts)[:, 0]
    torch.testing.assert_close(total + found.remaining, torch.ones(5, dtype=torch.float64))
    assert (found.weight >= 0).all() and (total <= 1 + 1e-12).all()


def test_an_opaque_wall_hides_what_is_behind():
    starts = starts_of([4])
    found = weigh(torch.tensor([0.0, 0, 1e6, 3]), starts)
    assert found.weight.tolist() == [0, 0, 1, 0] and found.remaining.tolist() == [0]


def test_empty_space_lets_all_through():
    found = weigh(torch.zeros(11), starts_of(COUNTS))
    assert not found.weight.any() and found.remaining.tolist() == [1] * 5


def test_no_samples_and_no_rays():
    found = weigh(torch.zeros(0), starts_of([0, 0]))
    assert found.remaining.tolist() == [1, 1]
    assert weigh(torch.zeros(0), torch.zeros(1, dtype=torch.int64)).remaining.shape == (0,)


def test_order_matters_along_a_ray_but_not_between_rays():
    thickness, colour = drawn(4) + 0.1, drawn(12, 1).reshape(4, 3)

    def seen(order: list[int], counts: list[int]) -> torch.Tensor:
        starts = starts_of(counts)
        weight = weigh(thickness[order], starts).weight
        return accumulate(weight[:, None] * colour[order], starts)

    forward, backward = seen([0, 1, 2, 3], [4]), seen([3, 2, 1, 0], [4])
    assert (forward - backward).abs().max() > 1e-3
    # What a ray lets through does not depend on the order.
    torch.testing.assert_close(
        weigh(thickness, starts_of([4])).remaining, weigh(thickness.flip(0), starts_of([4])).remaining
    )
    torch.testing.assert_close(seen([0, 1, 2, 3], [1, 3])[[1, 0]], seen([1, 2, 3, 0], [3, 1]))


def test_splitting_sections_in_two_leaves_the_colour():
    thickness, colour = drawn(11), drawn(33, 1).reshape(11, 3)
    whole = weigh(thickness, starts_of(COUNTS))
    halves = weigh(thickness.repeat_interleave(2) / 2, starts_of([2 * count for count in COUNTS]))
    torch.testing.assert_close(whole.remaining, halves.remaining)
    torch.testing.assert_close(
        accumulate(whole.weight[:, None] * colour, starts_of(COUNTS)),
        accumulate(
            halves.weight[:, None] * colour.repeat_interleave(2, 0), starts_of([2 * c for c in COUNTS])
        ),
    )


def test_a_ray_ends_where_it_is_told():
    thickness = torch.full((6,), 1.0, dtype=torch.float64).requires_grad_()
    found = weigh(thickness, starts_of([6]), stop=math.exp(-2.5))
    assert found.kept.tolist() == [True] * 3 + [False] * 3
    assert found.remaining[0].item() == pytest.approx(math.exp(-3))
    (found.weight.square().sum() + found.remaining.sum()).backward()
    assert thickness.grad is not None
    assert thickness.grad[:3].all() and not thickness.grad[3:].any()


@pytest.mark.parametrize("stop", [0.0, 0.2])
def test_derivatives(stop: float):
    starts = starts_of(COUNTS)
    thickness = drawn(11).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: weigh(x, starts, stop)[0], (thickness,))
    assert torch.autograd.gradcheck(lambda x: weigh(x, starts, stop)[3], (thickness,))


def test_very_thick_sections_give_finite_gradients():
    thickness = torch.tensor([1e7, 1e7, 0.0, 1e-30], requires_grad=True)
    found = weigh(thickness, starts_of([4]), 1e-4)
    (found.weight * torch.arange(4)).sum().backward()
    assert thickness.grad is not None and thickness.grad.isfinite().all()


def test_sums_before_a_sample_do_not_know_other_rays():
    # In float32 a running sum over all rays would have lost the small ones behind the large.
    values = torch.tensor([1e8, 1.0, 1e-3, 1e-3, 1e-3])
    found = exclusive_sum(values, starts_of([2, 3]))
    torch.testing.assert_close(found, torch.tensor([0, 1e8, 0, 1e-3, 2e-3]), rtol=1e-6, atol=0)


def test_distortion_is_the_double_sum():
    starts = starts_of(COUNTS)
    weight, dt = drawn(11), drawn(11, 1) + 0.1
    t = torch.cat([torch.cat([torch.zeros(1), drawn(c, 2).float()]).cumsum(0)[1:] for c in COUNTS]).double()
    wanted = 0.0
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        w, s = weight[first:last], t[first:last]
        wanted += float((w[:, None] * w * (s[:, None] - s).abs()).sum() + (w**2 * dt[first:last]).sum() / 3)
    assert float(losses.distortion_loss(weight, t, dt, starts)) == pytest.approx(wanted / 5)
    checked = torch.autograd.gradcheck(
        lambda w: losses.distortion_loss(w, t, dt, starts), (weight.requires_grad_(),)
    )
    assert checked


def test_losses_are_least_where_they_should_be():
    colour = drawn(12).reshape(4, 3)
    for options in (HuberOptions(), CharbonnierOptions(), SquaredOptions()):
        assert float(losses.colour_loss(options, colour, colour)) == 0
        far = [float(losses.colour_loss(options, colour + gap, colour)) for gap in (0.05, 0.2, 0.4)]
        assert 0 < far[0] < far[1] < far[2]
    mask = torch.tensor([0.0, 1.0])
    right, wrong = losses.mask_loss(mask, mask), losses.mask_loss(1 - mask, mask)
    assert float(right) < 0.002 and float(wrong) > 6
    opacity = [float(losses.opacity_loss(torch.tensor([value]))) for value in (0.0, 0.2, 0.5, 0.8, 1.0)]
    assert opacity[0] < opacity[1] < opacity[2] > opacity[3] > opacity[4]
    nan = torch.tensor([2.0, torch.nan])
    seen, trust = torch.tensor([1.5, 9]), torch.tensor([1.0, 0])
    for met, wanted in ((True, 0.5), (False, 0.0)):
        assert float(losses.depth_loss(seen, nan, trust, torch.tensor([met, met]))) == pytest.approx(wanted)


def test_huber_is_smooth_where_it_turns_linear():
    at = torch.tensor([0.1], dtype=torch.float64)
    assert float(losses.huber(at, 0.1)) == pytest.approx(float(losses.huber(at + 1e-12, 0.1)))
    assert float(losses.huber(at * 3, 0.1)) == pytest.approx(0.1 * (0.3 - 0.05))


@pytest.mark.parametrize(
    "term",
    [
        lambda x: losses.huber(x - 0.5, 0.1),
        lambda x: losses.charbonnier(x - 0.5, 0.02),
        lambda x: losses.mask_loss(x, (x.detach() > 0.5).double()),
        losses.opacity_loss,
        lambda x: losses.depth_loss(x, 1 - drawn(9, 3), drawn(9, 4), drawn(9, 5) > 0.3),
        lambda x: losses.eikonal_loss(x.reshape(-1, 3)),
        losses.curvature_loss,
    ],
)
def test_derivatives_of_losses(term):
    values = (drawn(9) * 0.9 + 0.05).requires_grad_()
    assert torch.autograd.gradcheck(term, (values,))


def test_terms_of_nothing_are_zero():
    assert float(losses.eikonal_loss(torch.zeros(0, 3))) == 0
    assert float(losses.curvature_loss(torch.zeros(0))) == 0
    nobody = torch.zeros(3)
    assert float(losses.depth_loss(nobody, nobody, nobody, nobody > 0)) == 0
