"""Every criterion against its formula written out, finite differences, and what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from imcls.loss import criteria
from imcls.loss.build import ImclsLoss, build_loss
from imcls.loss.options import (
    Asymmetric,
    BalancedSoftmax,
    BinaryCrossEntropy,
    Criterion,
    CrossEntropy,
    Focal,
    Ldam,
    LossOptions,
    Triplet,
)
from imcls.loss.targets import class_weights, smooth
from imcls.loss.triplet import NO_IDENTITY, batch_hard
from suite.errors import BadInput

COUNTS = np.array([400, 90, 10])


class Output(NamedTuple):
    logits: Tensor
    features: Tensor = torch.zeros(1, 1)
    thresholds: Tensor | None = None


def loss_of(criterion: Criterion, multi_label: bool = False, counts: np.ndarray = COUNTS) -> ImclsLoss:
    return build_loss(LossOptions(criterion=criterion), counts, multi_label)


def value(criterion: Criterion, logits: Tensor, targets: Tensor, multi_label: bool = False) -> float:
    return float(loss_of(criterion, multi_label)(Output(logits), targets)["loss"])


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return 3 * torch.randn(16, 3, dtype=torch.float64), torch.randint(0, 3, (16,))


def soft(n: int = 16, classes: int = 3) -> Tensor:
    return torch.rand(n, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).softmax(1)


def test_cross_entropy_is_that_of_torch(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    for smoothing in (0.0, 0.1):
        torchs = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        assert value(CrossEntropy(smoothing=smoothing), logits, labels) == pytest.approx(float(torchs))
    assert value(CrossEntropy(), logits, soft()) == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, soft()))
    )


def test_smoothing_to_others_leaves_the_true_class_exactly_the_rest() -> None:
    shares = smooth(torch.eye(4), 0.2, "others")
    assert torch.allclose(shares.diagonal(), torch.tensor(0.8))
    assert torch.allclose(shares - torch.diag(shares.diagonal()), (1 - torch.eye(4)) * 0.2 / 3)


@given(st.floats(0, 0.99), st.sampled_from(["uniform", "others"]), st.integers(2, 9))
def test_smoothing_keeps_the_sum_of_mixed_shares(smoothing: float, mode: str, classes: int) -> None:
    shares = soft(5, classes)
    smoothed = smooth(shares, smoothing, mode)  # pyright: ignore[reportArgumentType]
    assert torch.allclose(smoothed.sum(1), torch.ones(5, dtype=torch.float64))
    assert torch.equal(smooth(shares, 0.0, mode), shares)  # pyright: ignore[reportArgumentType]


def test_weights_are_one_over_frequency_with_mean_one_over_the_labels() -> None:
    balanced = class_weights("balanced", COUNTS, "")
    assert balanced is not None
    np.testing.assert_allclose(balanced.numpy() * COUNTS, np.full(3, COUNTS.sum() / 3), rtol=1e-6)
    effective = class_weights("effective", COUNTS, "")
    assert effective is not None
    ratio = (1 - 0.999**400) / (1 - 0.999**10)
    assert float(effective[2] / effective[0]) == pytest.approx(ratio, rel=1e-5)
    for weights in (balanced, effective, class_weights((1.0, 5.0, 2.0), COUNTS, "")):
        assert weights is not None
        assert float((weights * torch.tensor(COUNTS)).sum()) == pytest.approx(COUNTS.sum(), rel=1e-6)
    assert class_weights("none", COUNTS, "") is None


@pytest.mark.parametrize("which", ["balanced", "effective", (3.0, 3.0, 3.0)])
def test_weights_are_neutral_where_classes_are_balanced(which: str | tuple[float, ...]) -> None:
    weights = class_weights(which, np.array([50, 50, 50]), "")  # pyright: ignore[reportArgumentType]
    assert weights is not None and torch.allclose(weights, torch.ones(3))


def test_a_class_without_images_counts_as_one() -> None:
    with_none, with_one = (class_weights("balanced", np.array([9, n]), "") for n in (0, 1))
    assert with_none is not None and with_one is not None and torch.equal(with_none, with_one)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", [CrossEntropy, Focal, BinaryCrossEntropy])
def test_mixed_images_cost_what_their_parts_cost(
    kind: Callable[..., Criterion], smoothing: float, batch: tuple[Tensor, Tensor]
) -> None:
    logits, labels = batch
    other = labels.flip(0)
    criterion = kind(class_weights="balanced", **({} if kind is Focal else {"smoothing": smoothing}))
    one_hot = torch.eye(3, dtype=torch.float64)
    mixed = 0.7 * one_hot[labels] + 0.3 * one_hot[other]
    apart = 0.7 * value(criterion, logits, labels) + 0.3 * value(criterion, logits, other)
    assert value(criterion, logits, mixed) == pytest.approx(apart, rel=1e-6)


def test_class_weights_weigh_each_image_by_its_class(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    weights = class_weights("balanced", COUNTS, "")
    assert weights is not None
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    expected = float((weights[labels] * each).mean())
    assert value(CrossEntropy(class_weights="balanced"), logits, labels) == pytest.approx(expected)


def test_focal_fades_on_the_easy_and_is_cross_entropy_at_gamma_0(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    assert value(Focal(gamma=0), logits, labels) == pytest.approx(value(CrossEntropy(), logits, labels))
    p = logits.softmax(1)[torch.arange(16), labels]
    assert value(Focal(gamma=2), logits, labels) == pytest.approx(float((-((1 - p) ** 2) * p.log()).mean()))


def test_yes_or_no_losses_are_their_formulae() -> None:
    torch.manual_seed(1)
    z, t = torch.randn(8, 3, dtype=torch.float64), torch.randint(0, 2, (8, 3)).double()
    p = z.sigmoid()
    plain = float(-(t * p.log() + (1 - t) * (1 - p).log()).mean())
    assert value(BinaryCrossEntropy(), z, t, True) == pytest.approx(plain)
    assert value(Focal(gamma=0), z, t, True) == pytest.approx(plain)
    no_asymmetry = Asymmetric(gamma_positive=0, gamma_negative=0, clip=0)
    assert value(no_asymmetry, z, t, True) == pytest.approx(plain)
    focal = -(t * (1 - p) ** 2 * p.log() + (1 - t) * p**2 * (1 - p).log()).mean()
    assert value(Focal(gamma=2), z, t, True) == pytest.approx(float(focal))
    q = (p - 0.05).clamp(min=0)
    asymmetric = -(t * (1 - p) * p.log() + (1 - t) * q**4 * (1 - q).log()).mean()
    assert value(Asymmetric(gamma_positive=1), z, t, True) == pytest.approx(float(asymmetric))


def test_smoothing_of_yes_or_no_goes_to_one_half_or_to_all_classes() -> None:
    z = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(8) % 3
    one_hot = torch.eye(3, dtype=torch.float64)[labels]
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    several = bce(z, 0.9 * one_hot + 0.05)
    assert value(BinaryCrossEntropy(smoothing=0.1), z, one_hot, True) == pytest.approx(float(several))
    single = bce(z, 0.9 * one_hot + 0.1 / 3)
    assert value(BinaryCrossEntropy(smoothing=0.1), z, labels) == pytest.approx(float(single))


def test_an_easy_negative_costs_nothing_in_the_asymmetric_loss() -> None:
    z = torch.tensor([[-4.0, -3.0]], requires_grad=True)  # p = 0.018 and 0.047, below the clip
    cost = criteria.asymmetric(z, torch.zeros(1, 2), 0, 4, 0.05)
    cost.backward()
    assert float(cost.detach()) == 0 and z.grad is not None and not z.grad.any()


def test_ldam_takes_the_margin_from_the_true_class(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    margins = COUNTS**-0.25
    margins = torch.tensor(16 * 0.5 * margins / margins.max())
    moved = logits.clone()
    moved[torch.arange(16), labels] -= margins[labels]
    expected = float(torch.nn.functional.cross_entropy(moved, labels))
    assert value(Ldam(), logits, labels) == pytest.approx(expected, rel=1e-6)


def test_balanced_softmax_adds_the_prior(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    numerators = torch.tensor(COUNTS) * logits.exp()
    p = (numerators / numerators.sum(1, keepdim=True))[torch.arange(16), labels]
    assert value(BalancedSoftmax(), logits, labels) == pytest.approx(float(-p.log().mean()), rel=1e-6)


CRITERIA = [
    (CrossEntropy(smoothing=0.1, smoothing_mode="others", class_weights="balanced"), False),
    (Focal(gamma=0.5, class_weights="effective"), False),
    (Focal(gamma=2), True),
    (BinaryCrossEntropy(smoothing=0.1, class_weights="balanced"), True),
    (Asymmetric(gamma_positive=1, gamma_negative=3), True),
    (Ldam(class_weights="balanced"), False),
    (BalancedSoftmax(smoothing=0.1), False),
]


@pytest.mark.parametrize(("criterion", "multi_label"), CRITERIA, ids=lambda part: getattr(part, "type", None))
def test_gradients_are_finite_differences(criterion: Criterion, multi_label: bool) -> None:
    loss = loss_of(criterion, multi_label)
    z = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3), requires_grad=True)
    for targets in (soft(5), torch.eye(3, dtype=torch.float64)[[0, 1, 2, 2, 0]]):
        assert torch.autograd.gradcheck(lambda z, t=targets: loss(Output(z), t)["loss"], (z,))


@pytest.mark.parametrize("scale", [50.0, 500.0])
@pytest.mark.parametrize(
    ("criterion", "multi_label"),
    [*CRITERIA, (Asymmetric(gamma_positive=0.5, gamma_negative=0.5, clip=0), True)],
    ids=lambda part: getattr(part, "type", None),
)
def test_sure_logits_right_or_wrong_have_finite_gradients(
    criterion: Criterion, multi_label: bool, scale: float
) -> None:
    z = (scale * torch.tensor([[1.0, -1, 0], [-1, 1, 0]])).requires_grad_()
    cost = loss_of(criterion, multi_label)(Output(z), torch.eye(3)[[0, 0]])["loss"]
    cost.backward()
    assert cost.isfinite() and z.grad is not None and z.grad.isfinite().all()


def test_what_does_not_fit_is_refused_by_key() -> None:
    for criterion in (CrossEntropy(), Ldam(), BalancedSoftmax()):
        with pytest.raises(BadInput, match=r"loss\.criterion\.type: .*use bce, focal or asymmetric"):
            loss_of(criterion, multi_label=True)
    with pytest.raises(BadInput, match=r"loss\.criterion\.class_weights: 2 class weights for 3 classes"):
        loss_of(CrossEntropy(class_weights=(1.0, 2.0)))
    triplet = LossOptions(criterion=BinaryCrossEntropy(), triplet=Triplet())
    with pytest.raises(BadInput, match=r"loss\.triplet: images with several labels"):
        build_loss(triplet, COUNTS, multi_label=True)
    with pytest.raises(BadInput, match=r"loss\.triplet: mixed images .*mix\.mixup"):
        build_loss(triplet, COUNTS, multi_label=False, mixed=True)


def hardest(features: Tensor, labels: Tensor, margin: float | None) -> float:
    """The loss by loops over anchors."""
    costs = []
    for a in range(len(labels)):
        apart = [float((features[a] - other).norm()) for other in features]
        same = [d for i, d in enumerate(apart) if i != a and labels[i] == labels[a]]
        others = [d for i, d in enumerate(apart) if labels[i] != labels[a]]
        if same and others:
            gap = max(same) - min(others)
            costs.append(np.log1p(np.exp(gap)) if margin is None else max(0.0, gap + margin))
    return float(np.mean(costs)) if costs else 0.0


@pytest.mark.parametrize("margin", [0.3, None])
def test_triplet_takes_the_hardest_of_the_batch(margin: float | None) -> None:
    torch.manual_seed(2)
    features = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3])  # the last has no positive
    cost = float(batch_hard(features, labels, margin).detach())
    assert cost == pytest.approx(hardest(features.detach(), labels, margin))
    assert torch.autograd.gradcheck(lambda f: batch_hard(f, labels, margin), (features,))


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, NO_IDENTITY, NO_IDENTITY]])
def test_triplet_without_a_positive_or_negative_is_zero_with_a_gradient(labels: list[int]) -> None:
    features = torch.randn(4, 3, requires_grad=True)
    cost = batch_hard(features, torch.tensor(labels), 0.3)
    cost.backward()
    assert float(cost.detach()) == 0 and features.grad is not None and not features.grad.any()


@pytest.mark.parametrize("margin", [0.3, None])
def test_triplet_of_copies_has_a_finite_gradient(margin: float | None) -> None:
    features = torch.ones(4, 3, requires_grad=True)
    batch_hard(features, torch.tensor([0, 0, 1, 1]), margin).backward()
    assert features.grad is not None and features.grad.isfinite().all()


def test_triplet_joins_the_loss_with_its_weight_and_without_mixtures() -> None:
    torch.manual_seed(5)
    output = Output(torch.randn(6, 3), torch.randn(6, 4))
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    loss = build_loss(LossOptions(triplet=Triplet(weight=2.5)), COUNTS, multi_label=False)
    parts = loss(output, labels)
    assert float(parts["loss"]) == pytest.approx(float(parts["criterion"] + 2.5 * parts["triplet"]))
    shares = torch.eye(3)[labels]
    assert torch.equal(loss(output, shares)["triplet"], parts["triplet"])
    shares[4:] = torch.tensor([0.5, 0.0, 0.5])
    without = batch_hard(output.features[:4], labels[:4], 0.3)
    assert torch.allclose(loss(output, shares)["triplet"], without)


def test_the_threshold_gets_its_gradient_and_leaves_the_logits_alone() -> None:
    torch.manual_seed(6)
    logits, thresholds = torch.randn(7, 3, requires_grad=True), torch.randn(7, 1, requires_grad=True)
    targets = torch.randint(0, 2, (7, 3)).float()
    loss = loss_of(BinaryCrossEntropy(), multi_label=True)
    parts = loss(Output(logits, thresholds=thresholds), targets)
    torch.testing.assert_close(parts["loss"], parts["criterion"] + parts["threshold"])
    parts["loss"].backward()
    assert logits.grad is not None and thresholds.grad is not None
    expected = ((logits - thresholds).sigmoid() - targets).mean(1, keepdim=True) / -7
    assert torch.allclose(thresholds.grad, expected.detach(), atol=1e-7)
    alone = logits.detach().clone().requires_grad_()
    loss(Output(alone), targets)["loss"].backward()
    assert alone.grad is not None and torch.equal(alone.grad, logits.grad)


def test_a_threshold_learns_the_shift_of_each_image() -> None:
    """Scores that are right only up to an offset of the image: the threshold finds the offset."""
    rng = np.random.default_rng(0)
    offset = torch.tensor(rng.normal(0, 3, (400, 1)), dtype=torch.float32)
    targets = torch.tensor(rng.random((400, 6)) < 0.4).float()
    logits = offset + 4 * (targets - 0.5) + 0.3 * torch.tensor(rng.normal(size=(400, 6)), dtype=torch.float32)
    model = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(model.weight)
    loss = loss_of(BinaryCrossEntropy(), multi_label=True, counts=np.full(6, 160))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss(Output(logits, thresholds=model(offset)), targets)["threshold"].backward()
        optimizer.step()
    right = ((logits > model(offset)).float() == targets).float().mean()
    assert right > 0.98 > 0.8 > ((logits > 0).float() == targets).float().mean()


def test_half_precision_is_widened_and_nothing_is_kept_in_the_weights() -> None:
    loss = loss_of(Ldam(class_weights="balanced"))
    assert (
        loss(Output(torch.randn(4, 3, dtype=torch.bfloat16)), torch.arange(4) % 3)["loss"].dtype
        == torch.float32
    )
    assert loss.state_dict() == {} and {name for name, _ in loss.named_buffers()} == {"weights", "margins"}


def recalls(criterion: Criterion, counts: tuple[int, int], dimensions: int, gap: float) -> np.ndarray:
    """Recall of two normal clouds after a linear model was fitted to unequal numbers of them."""
    rng = np.random.default_rng(1)
    centres = np.zeros((2, dimensions))
    centres[1, 0] = gap
    labels, fresh = np.repeat([0, 1], counts), np.repeat([0, 1], 2000)
    x, unseen = (
        torch.tensor(centres[of] + rng.normal(size=(len(of), dimensions)), dtype=torch.float32)
        for of in (labels, fresh)
    )
    model = torch.nn.Linear(dimensions, 2)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    loss, y = loss_of(criterion, counts=np.array(counts)), torch.tensor(labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(120):
        optimizer.zero_grad()
        loss(Output(model(x)), y)["loss"].backward()
        optimizer.step()
    right = model(unseen).argmax(1).numpy() == fresh
    return np.array([right[fresh == label].mean() for label in (0, 1)])


@pytest.mark.parametrize(
    "criterion", [BalancedSoftmax(), CrossEntropy(class_weights="balanced")], ids=lambda part: part.type
)
def test_prior_and_weights_find_the_rare_where_classes_overlap(criterion: Criterion) -> None:
    plain, better = (recalls(loss, (950, 50), 2, 1.8) for loss in (CrossEntropy(), criterion))
    assert better[1] > plain[1] + 0.3 and better.mean() > plain.mean() + 0.1


def test_margins_find_the_rare_where_classes_can_be_told_apart() -> None:
    """What LDAM is for: a model that fits its training images moves the border towards the common class."""
    plain, better = (recalls(loss, (400, 10), 60, 3.0) for loss in (CrossEntropy(), Ldam()))
    assert better[1] > plain[1] + 0.05 and better.mean() > plain.mean()
