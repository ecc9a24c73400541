"""The light detectors: ShuffleNet, PAN, dense head, person proposals, and NanoDet's weights in them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from falldet.data.formats import read_labelled
from falldet.data.options import CocoSource
from falldet.model.build import build_detector
from falldet.model.dense import ALIGNED_PLACES, BIN_WEIGHT, PRIOR, DenseHead, Places, aligned
from falldet.model.file import Model, ModelCard
from falldet.model.nanodet import NanoDet
from falldet.model.options import (
    CascadeHeadOptions,
    CascadeOptions,
    DenseOptions,
    PanOptions,
    PersonProposalOptions,
    PixelOptions,
    ShuffleNetOptions,
)
from falldet.model.pan import Pan
from falldet.model.person import PersonProposals
from falldet.model.shufflenet import ShuffleNet, shuffled
from falldet.model.start import new_parameters, started_detector
from falldet.model.target import Target
from falldet.model.weights.nanodet import NANODET_PIXELS
from falldet.model.weights.ncnn import read_ncnn
from suite.data.images import read_image
from suite.errors import BadInput

SEEDS = st.integers(0, 10_000)
SMALL = DenseOptions(backbone=ShuffleNetOptions(width="0.5x", frozen_stages=0), neck=PanOptions(channels=32))
NOBODY = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def two_pictures() -> tuple[Tensor, list[Target]]:
    """Noise with a wide patch of one colour and a tall one of another."""
    images = 0.1 * torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[[20.0, 30, 80, 60]], [[30.0, 10, 60, 80]]])
    images[0, :, 30:60, 20:80] += torch.tensor([2.0, -1.0, 0.5])[:, None, None]
    images[1, :, 10:80, 30:60] += torch.tensor([-1.0, 1.0, 2.0])[:, None, None]
    return images, [Target(box, torch.tensor([k])) for k, box in enumerate(boxes)]


def iou(one: Tensor, other: Tensor) -> Tensor:
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / (
        (one[..., 2:] - one[..., :2]).prod(-1) + (other[..., 2:] - other[..., :2]).prod(-1) - shared
    )


@pytest.mark.parametrize(("width", "channels"), [("0.5x", (48, 96, 192)), ("1.0x", (116, 232, 464))])
def test_shufflenet_has_its_papers_channels_at_strides_8_16_32(width, channels: tuple[int, ...]):
    net = ShuffleNet(ShuffleNetOptions(width=width))
    levels = net(torch.randn(1, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (1, c, 64 // s, 96 // s) for c, s in zip(channels, (8, 16, 32), strict=True)
    ]
    assert net.channels == channels and net.strides == (8, 16, 32)


def test_shuffling_interleaves_the_halves():
    features = torch.arange(6.0).view(1, 6, 1, 1).expand(2, 6, 3, 4)
    assert shuffled(features)[1, :, 2, 3].tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize("frozen", [0, 2, 4])
def test_frozen_stages_get_no_gradient(frozen: int):
    net = ShuffleNet(ShuffleNetOptions(width="0.5x", frozen_stages=frozen))
    levels = net(torch.randn(1, 3, 64, 64))
    if frozen < 4:
        torch.stack([level.square().sum() for level in levels if level.requires_grad]).sum().backward()
    else:
        assert not any(level.requires_grad for level in levels)
    stages = [net.conv1, net.stage2, net.stage3, net.stage4]
    for number, stage in enumerate(stages):
        for parameter in stage.parameters():
            assert (parameter.grad is None) == (number < frozen)
            assert parameter.grad is None or parameter.grad.abs().sum() > 0


def test_a_new_network_hands_its_picture_on():
    """Without norms the spread must neither die out nor explode on its way through fifty convolutions."""
    torch.manual_seed(0)
    levels = ShuffleNet(ShuffleNetOptions())(torch.randn(1, 3, 96, 96))
    assert all(0.2 < float(level.std().detach()) < 10 for level in levels)


def test_a_deformable_convolution_starts_as_if_it_were_not_there():
    features = [torch.randn(1, c, s, s) for c, s in ((8, 12), (16, 6), (32, 3))]
    torch.manual_seed(0)
    plain = Pan((8, 16, 32), PanOptions(channels=16))
    torch.manual_seed(0)
    deformable = Pan((8, 16, 32), PanOptions(channels=16, deformable="v2"))
    with torch.no_grad():
        for one, other in zip(plain(features), deformable(features), strict=True):
            assert torch.equal(one, other)
        nn.init.normal_(deformable.deform_conv.weight)  # pyright: ignore
        levels = list(zip(plain(features), deformable(features), strict=True))
    assert [torch.equal(*level) for level in levels] == [True, True, False]


def test_every_level_of_the_pyramid_sees_all_levels():
    features = [torch.randn(1, c, s, s + 2, requires_grad=True) for c, s in ((8, 12), (16, 6), (32, 3))]
    levels = Pan((8, 16, 32), PanOptions(channels=16))(features)
    assert [level.shape[1:] for level in levels] == [(16, 12, 14), (16, 6, 8), (16, 3, 5)]
    for level in levels:
        for gradient in torch.autograd.grad(level.square().sum(), features, retain_graph=True):
            assert gradient.abs().sum() > 0


def one_hot_bins(distances: Tensor, bins: int = 8) -> Tensor:
    """Logits of distributions over two neighbouring bins whose means are the distances, in strides."""
    lower = distances.floor().long().clamp(max=bins - 2)
    share = distances - lower
    p = torch.zeros(*distances.shape, bins).scatter_(-1, lower[..., None], (1 - share)[..., None])
    return (
        (p + torch.zeros_like(p).scatter_(-1, lower[..., None] + 1, share[..., None])).clamp(min=1e-12).log()
    )


def test_boxes_are_centres_and_distances_in_strides():
    head = DenseHead(8, (8, 16), 2, 8)
    places = head([torch.zeros(1, 8, 2, 3), torch.zeros(1, 8, 1, 2)])
    assert places.centres.tolist() == [
        *([4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]),
        *([8, 8], [24, 8]),
    ]
    assert places.strides.tolist() == [8] * 6 + [16] * 2
    steps = torch.tensor([[0.0, 1, 2, 3], [7, 6, 5, 4]]).repeat(4, 1)[None]
    boxes = places._replace(bins=one_hot_bins(steps)).boxes()
    torch.testing.assert_close(boxes[0, 0], torch.tensor([4.0, -4, 20, 28]))
    torch.testing.assert_close(boxes[0, 7], torch.tensor([24.0 - 112, 8 - 96, 24 + 80, 8 + 64]))


def test_a_new_head_says_that_nobody_is_there():
    torch.manual_seed(0)
    scores = DenseHead(8, (8,), 2, 8)([torch.randn(1, 8, 6, 6)]).logits.sigmoid()
    assert (scores < 3 * PRIOR).all()


def test_the_loss_of_an_exact_distance_is_least_and_its_entropy():
    """One place whose distribution lies on the two bins around each edge's distance (Li et al. 2020)."""
    distances = torch.tensor([[[2.3, 1.5, 3.25, 4.0]]])
    centre, stride = torch.tensor([[40.0, 40.0]]), torch.tensor([8.0])
    bins = one_hot_bins(distances).requires_grad_()
    places = Places(torch.zeros(1, 1, 2), bins, centre, stride)
    target = Target(places.boxes().detach()[0], torch.tensor([1]))
    head = DenseHead(8, (8,), 2, 8)
    terms = head.losses(places, [target])
    entropy = -sum(
        p * math.log(p) for d in distances.flatten().tolist() for p in (d % 1, 1 - d % 1) if p > 1e-6
    )
    assert float(terms["bins"].detach()) == pytest.approx(BIN_WEIGHT * entropy / 4, rel=1e-4)
    assert float(terms["box"].detach()) == pytest.approx(0, abs=1e-5)
    (gradient,) = torch.autograd.grad(terms["bins"], bins)
    assert gradient.abs().max() < 1e-5
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        other = places._replace(bins=bins.detach() + 0.3 * torch.randn(bins.shape, generator=generator))
        worse = head.losses(other, [target])
        assert float(worse["bins"]) > 0.8 * float(terms["bins"].detach())
        assert float(worse["box"]) > 0


def scattered(seed: int, people: int) -> tuple[Tensor, Tensor, Tensor, Target]:
    """Random scores and boxes at 64 places, and people who may overlap."""
    g = torch.Generator().manual_seed(seed)
    line = torch.arange(8) * 8.0 + 4
    centres = torch.cartesian_prod(line, line)
    boxes = torch.cat(
        [centres - 25 * torch.rand(64, 2, generator=g), centres + 25 * torch.rand(64, 2, generator=g)], 1
    )
    low = 40 * torch.rand(people, 2, generator=g)
    target = torch.cat([low, low + 10 + 30 * torch.rand(people, 2, generator=g)], 1)
    labels = torch.randint(0, 2, (people,), generator=g)
    return 0.05 * torch.rand(64, 2, generator=g), boxes, centres, Target(target, labels)


@given(SEEDS, st.integers(1, 5))
def test_places_serve_people_they_lie_in(seed: int, people: int):
    scores, boxes, centres, target = scattered(seed, people)
    match = aligned(scores, boxes, centres, target)
    for place, person in enumerate(match.person.tolist()):
        if person < 0:
            assert (match.quality[place] == 0).all()
            continue
        x, y = centres[place].tolist()
        x1, y1, x2, y2 = target.boxes[person].tolist()
        assert x1 < x < x2 and y1 < y < y2
        label = int(target.labels[person])
        assert match.quality[place, 1 - label] == 0  # of no class but the person's
        assert iou(boxes[place], target.boxes[person]) > 0
    for person in range(people):
        served = match.person == person
        assert served.sum() <= ALIGNED_PLACES
        if served.any():
            overlap = iou(boxes[served], target.boxes[person])
            quality = match.quality[served].amax(-1)
            # The best place shall be as sure as the best of the boxes is good; nobody is surer.
            torch.testing.assert_close(quality.max(), overlap.max())
            alignment = scores[served, target.labels[person]] * overlap**6
            torch.testing.assert_close(quality, alignment / alignment.max() * overlap.max())


@given(SEEDS, st.integers(2, 5))
def test_the_order_of_people_does_not_matter(seed: int, people: int):
    scores, boxes, centres, target = scattered(seed, people)
    turn = torch.randperm(people, generator=torch.Generator().manual_seed(seed))
    one = aligned(scores, boxes, centres, target)
    other = aligned(scores, boxes, centres, Target(target.boxes[turn], target.labels[turn]))
    torch.testing.assert_close(one.quality, other.quality)
    there = torch.cat([turn, torch.tensor([-1])])[other.person]  # place -1 is nobody
    assert torch.equal(one.person, there)


def test_a_place_inside_two_people_serves_the_one_its_box_is_of():
    people = Target(torch.tensor([[0.0, 0, 40, 40], [8, 8, 60, 60]]), torch.tensor([0, 1]))
    centres = torch.tensor([[20.0, 20], [28, 28], [4, 4], [62, 62]])
    boxes = torch.tensor([[0.0, 0, 40, 38], [8, 10, 60, 60], [0, 0, 30, 30], [8, 8, 60, 60]])
    match = aligned(torch.full((4, 2), 0.5), boxes, centres, people)
    assert match.person.tolist() == [0, 1, 0, -1]  # the last one's box fits, but it lies outside
    assert match.quality[0, 0] == pytest.approx(0.95) and match.quality[0, 1] == 0


def test_where_nobody_is_no_place_serves():
    scores, boxes, centres, _ = scattered(0, 1)
    match = aligned(scores, boxes, centres, NOBODY)
    assert (match.person == -1).all() and (match.quality == 0).all()


@pytest.mark.parametrize("bits", [torch.float32, torch.bfloat16])
def test_losses_are_finite_and_teach_with_people_and_without(bits: torch.dtype):
    torch.manual_seed(0)
    net = NanoDet(SMALL, 2)
    images, targets = two_pictures()
    with torch.autocast("cpu", bits, enabled=bits is not torch.float32):
        alone = net.losses(images, [(96, 96)] * 2, [NOBODY, NOBODY])
        mixed = net.losses(images, [(96, 96)] * 2, [targets[0], NOBODY])
    assert alone["box"] == 0 and alone["bins"] == 0 and alone["score"] > 0
    assert mixed["box"] > 0 and mixed["bins"] > 0
    for terms in (alone, mixed):
        net.zero_grad()
        sum(terms.values()).backward()  # pyright: ignore
        gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
        assert len(gradients) == len(list(net.parameters()))
        assert all(g.isfinite().all() for g in gradients.values())
        assert all(g.abs().sum() > 0 for name, g in gradients.items() if "outputs" in name)


def test_losses_do_not_depend_on_who_is_named_first():
    torch.manual_seed(0)
    net = NanoDet(SMALL, 2)
    images, _ = two_pictures()
    boxes = torch.tensor([[5.0, 10, 50, 40], [40, 30, 90, 90], [60, 5, 90, 50]])
    labels = torch.tensor([0, 1, 1])
    one, other = (
        net.losses(images[:1], [(96, 96)], [Target(boxes[turn], labels[turn])])
        for turn in (torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1]))
    )
    torch.testing.assert_close(one, other)


def test_two_pictures_are_learned_by_heart():
    torch.manual_seed(0)
    net = NanoDet(SMALL, 2)
    images, targets = two_pictures()
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    for _ in range(70):
        loss = sum(net.losses(images, [(96, 96)] * 2, targets).values())
        optimizer.zero_grad()
        loss.backward()  # pyright: ignore
        nn.utils.clip_grad_norm_(net.parameters(), 10)
        optimizer.step()
    with torch.no_grad():
        found = net.eval()(images, [(96, 96)] * 2)
    for one, target in zip(found, targets, strict=True):
        assert one.labels[0] == target.labels[0]
        assert one.scores[0] > 0.6
        assert iou(one.boxes[0], target.boxes[0]) > 0.8
        assert (one.scores[1:] < 0.5).all()


def test_what_is_found_lies_inside_and_is_sorted():
    torch.manual_seed(0)
    net = NanoDet(SMALL.model_copy(update={"score": 0.0, "most": 30}), 2)
    nn.init.normal_(net.bbox_head.outputs[0].weight)  # pyright: ignore
    with torch.no_grad():
        (found,) = net(torch.randn(1, 3, 96, 96), [(70, 90)])
    assert len(found.scores) == 30
    assert (found.boxes >= 0).all() and (found.boxes <= torch.tensor([90.0, 70, 90, 70])).all()
    assert (found.scores.diff() <= 0).all()
    for label in (0, 1):  # of one class no two overlap by more than was asked for
        boxes = found.boxes[found.labels == label]
        overlap = torch.nan_to_num(iou(boxes[:, None], boxes[None])).fill_diagonal_(0)
        assert (overlap <= 0.6 + 1e-5).all()


def test_proposals_are_the_surest_people_and_taught_without_class():
    torch.manual_seed(0)
    options = PersonProposalOptions(score=0.0, after_nms=5)
    proposer = PersonProposals(16, options)
    for output in proposer.head.outputs:
        nn.init.normal_(output.weight)  # pyright: ignore
    levels = [torch.randn(2, 16, s, s) for s in (12, 6, 3)]
    sizes = [(96, 96), (60, 80)]
    found = proposer(levels, sizes)
    places = proposer.head(levels)
    boxes, scores = places.boxes(), places.logits[..., 0].sigmoid()
    for k, (height, width) in enumerate(sizes):
        assert len(found[k]) == 5 and not found[k].requires_grad
        assert (found[k] >= 0).all()
        assert (found[k] <= torch.tensor([width, height] * 2)).all()
        clipped = boxes[k].clamp(min=0).minimum(torch.tensor([width, height] * 2))
        sure = [float(scores[k][(clipped == box).all(-1)].max().detach()) for box in found[k]]
        assert sure == sorted(sure, reverse=True)
        assert sure[0] == pytest.approx(float(scores[k].max().detach()))
    boxes = torch.tensor([[10.0, 10, 60, 60]])
    fallen, standing = (
        proposer.losses(levels, sizes, [Target(boxes, torch.tensor([k])), NOBODY]) for k in (0, 1)
    )
    assert set(fallen[0]) == {"person_score", "person_box", "person_bins"}
    torch.testing.assert_close(fallen[0], standing[0])
    assert all(torch.equal(one, other) for one, other in zip(fallen[1], found, strict=True))
    none = PersonProposals(16, PersonProposalOptions(score=0.5))
    assert [tuple(boxes.shape) for boxes in none(levels, sizes)] == [(0, 4), (0, 4)]


def test_the_light_cascade_learns_its_proposals_and_its_stages():
    torch.manual_seed(0)
    options = CascadeOptions(
        backbone=ShuffleNetOptions(width="0.5x"),
        neck=PanOptions(channels=32, deformable="v2"),
        proposals=PersonProposalOptions(),
        head=CascadeHeadOptions.model_validate({"box": {"fc_channels": 32}, "sampled": 8}),
    )
    net = build_detector(options, 2)
    images, targets = two_pictures()
    terms = net.losses(images, [(96, 96)] * 2, targets)
    assert {"person_score", "person_box", "person_bins"} < set(terms)
    sum(terms.values()).backward()  # pyright: ignore
    trained = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    for part in ("backbone.stage3", "neck.lateral", "neck.deform_conv.weight", "rpn_head.head", "roi_head."):
        assert any(name.startswith(part) for name in trained), part
    assert not any(name.startswith(("backbone.conv1", "backbone.stage2")) for name in trained)
    assert all(any(n.startswith(b) for n, _ in net.named_parameters()) for b in new_parameters(net))


@pytest.fixture(scope="module")
def threads():
    torch.set_num_threads(1)


def test_nanodets_person_is_both_our_classes_to_begin_with(data):
    param = data("falldet/weights") / "nanodet_m.param"
    options = DenseOptions(weights=param)
    net = started_detector(options, ("fallen", "not_fallen")).detector
    head = net.bbox_head
    assert isinstance(head, DenseHead)
    parts = [
        net.backbone,
        net.neck,
        *(p for pair in zip(head.convs, head.outputs, strict=True) for p in pair),
    ]
    ours = [m for part in parts for m in part.modules() if isinstance(m, nn.Conv2d)]
    theirs = list(read_ncnn(param).values())
    assert len(ours) == len(theirs)
    convs = [
        (m.weight.detach().numpy(), w.weight)
        for m, w in zip(ours, theirs, strict=True)
        if len(m.weight) == len(w.weight)
    ]
    assert len(convs) == len(ours) - 3  # the three outputs have 80 classes there
    assert all(np.array_equal(one, other) for one, other in convs)

    bed = data("falldet/hospital_bed")
    labelled = read_labelled(CocoSource(file=bed / "test.json"))
    model = Model(net.eval(), ModelCard(model=options, pixels=NANODET_PIXELS))
    hits = 0
    for image in labelled.images[:3]:
        rgb = read_image(image.path)
        (found,) = model.detect([rgb])
        fallen, other = (found.chosen(found.labels == k) for k in (0, 1))
        np.testing.assert_array_equal(fallen.scores, other.scores)
        np.testing.assert_array_equal(fallen.boxes_px, other.boxes_px)
        sure = torch.from_numpy(fallen.above(0.4).boxes_px)
        overlap = iou(sure[:, None], torch.from_numpy(image.boxes_px)[None])
        hits += bool(len(sure) and (overlap > 0.5).any())
    assert hits >= 2

    started_detector(options, ("fallen", "not_fallen"), NANODET_PIXELS.model_copy(update={"long_px": 416}))
    with pytest.raises(BadInput, match=r"pictures fed otherwise .*write pixels: {order: bgr, mean"):
        started_detector(options, ("fallen", "not_fallen"), PixelOptions())


def test_other_weights_are_refused_in_a_line(data, tmp_path):
    param = data("falldet/weights") / "nanodet_m.param"
    for options, text in (
        (SMALL.model_copy(update={"weights": param}), "another network"),
        (CascadeOptions(weights=param), "NanoDet-m fits a shufflenet backbone"),
        (DenseOptions(weights=tmp_path / "nowhere.param"), "no such file"),
        (DenseOptions(weights=param.with_suffix(".bin")), "a dense detector starts from nothing else"),
    ):
        with pytest.raises(BadInput, match=text) as caught:
            started_detector(options, ("fallen", "not_fallen"))
        assert "\n" not in str(caught.value)


def test_a_network_with_fewer_convolutions_is_refused(tmp_path):
    line = "Convolution first 1 1 data a 0=4 1=3 5=0 6=108"
    (tmp_path / "net.param").write_text(f"7767517\n2 2\nInput data 0 1 data\n{line}\n")
    (tmp_path / "net.bin").write_bytes(bytes(4 + 4 * 108))
    with pytest.raises(BadInput, match="has 1 convolutions, not the"):
        started_detector(DenseOptions(weights=tmp_path / "net.param"), ("fallen", "not_fallen"))
