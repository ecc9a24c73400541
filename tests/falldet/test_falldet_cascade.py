"""The two-stage detector as a whole: unusual pictures, gradients, sizes, and that it learns."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from falldet.model.box_head import BoxHead
from falldet.model.boxes import iou
from falldet.model.build import build_detector
from falldet.model.cascade import CascadeHead, Regions, stage_losses
from falldet.model.detector import CascadeRCNN
from falldet.model.options import (
    BoxHeadOptions,
    CascadeHeadOptions,
    CascadeOptions,
    FpnOptions,
    PanOptions,
    PersonProposalOptions,
    ResNetOptions,
    RpnOptions,
    ShuffleNetOptions,
)
from falldet.model.pooling import fitting_level, pool_regions
from falldet.model.sampling import Sample
from falldet.model.target import Sizes, Target
from suite.errors import BadInput

NOBODY = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
TWO = Target(torch.tensor([[10.0, 12, 60, 90], [70, 20, 120, 60]]), torch.tensor([0, 1]))
FEW = RpnOptions(
    anchor_scale=1, before_nms=50, after_nms=20, before_nms_train=100, after_nms_train=60, sampled=64
)
NARROW = BoxHeadOptions(fc_channels=64)
SMALL = CascadeOptions(
    backbone=ResNetOptions(depth=18, frozen_stages=0, norm="group"),
    neck=FpnOptions(channels=32),
    proposals=FEW,
    head=CascadeHeadOptions(sampled=32, box=NARROW),
)
LIGHT = CascadeOptions(
    backbone=ShuffleNetOptions(width="0.5x", frozen_stages=0),
    neck=PanOptions(channels=32),
    proposals=PersonProposalOptions(score=0.0),
    head=CascadeHeadOptions(sampled=32, box=NARROW, finest_scale_px=56),
)
SIZES = [(96, 128), (110, 96)]
SHAPE = (2, 3, 128, 128)


def build(options: CascadeOptions, seed: int = 0) -> CascadeRCNN:
    torch.manual_seed(seed)
    detector = build_detector(options, 2)
    assert isinstance(detector, CascadeRCNN)
    return detector


def shaken(detector: CascadeRCNN) -> CascadeRCNN:
    """Weights away from zero, so that gradients and boxes do not vanish at the start."""
    with torch.no_grad():
        for value in detector.parameters():
            value.add_(0.02 * torch.randn(value.shape))
    return detector


@pytest.mark.parametrize("options", [SMALL, LIGHT], ids=["heavy", "light"])
def test_batch_is_as_good_as_single_pictures(options: CascadeOptions) -> None:
    detector = shaken(build(options)).eval()
    images = torch.randn(SHAPE)
    with torch.no_grad():
        both = detector(images, SIZES)
        alone = [detector(images[i : i + 1], SIZES[i : i + 1])[0] for i in range(2)]
    for found, single, (height, width) in zip(both, alone, SIZES, strict=True):
        assert len(found.scores) > 3
        torch.testing.assert_close(found, single, atol=1e-3, rtol=1e-4)
        assert (found.boxes >= 0).all()
        assert (found.boxes <= torch.tensor([width, height] * 2)).all()
        assert (found.scores.diff() <= 0).all()


@pytest.mark.parametrize("options", [SMALL, LIGHT], ids=["heavy", "light"])
@pytest.mark.parametrize(
    "targets", [[TWO, TWO], [TWO, NOBODY], [NOBODY, NOBODY]], ids=["both", "one", "none"]
)
def test_losses_are_finite_and_flow(options: CascadeOptions, targets: list[Target]) -> None:
    detector = shaken(build(options)).train()
    losses = detector.losses(torch.randn(SHAPE), SIZES, targets)
    assert all(term.ndim == 0 and term.isfinite() for term in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    lost = [n for n, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    assert not lost
    grads = [p.grad for p in detector.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)
    if options is SMALL and all(len(target.labels) for target in targets):
        assert all(grad.abs().max() > 0 for grad in grads)


def test_deformable_offsets_get_gradients() -> None:
    options = SMALL.model_copy(update={"backbone": ResNetOptions(depth=18, deformable="v2", norm="group")})
    detector = shaken(build(options)).train()
    losses = detector.losses(torch.randn(SHAPE), SIZES, [TWO, TWO])
    torch.stack(list(losses.values())).sum().backward()
    trained = {n: p.grad for n, p in detector.named_parameters() if p.requires_grad}
    assert sum("conv_offset" in name for name in trained) == 12
    assert all(grad is not None and grad.abs().max() > 0 for grad in trained.values())
    assert not any(name.startswith(("backbone.conv1", "backbone.layer1")) for name in trained)


class Nothing(nn.Module):
    """Proposes nothing at all."""

    def forward(self, levels: object, sizes_px: Sizes) -> list[Tensor]:
        return [torch.zeros(0, 4) for _ in sizes_px]

    def losses(
        self, levels: object, sizes_px: Sizes, targets: Sequence[Target]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        return {}, self(levels, sizes_px)


def test_no_proposals_are_no_detections() -> None:
    detector = build(SMALL)
    blind = CascadeRCNN(detector.backbone, detector.neck, Nothing(), detector.roi_head)
    with torch.no_grad():
        for found in blind.eval()(torch.randn(SHAPE), SIZES):
            assert found.boxes.shape == (0, 4)
            assert found.scores.shape == found.labels.shape == (0,)
    losses = blind.train().losses(torch.randn(SHAPE), SIZES, [NOBODY, NOBODY])
    assert all(float(term.detach()) == 0 and term.requires_grad for term in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    taught = blind.losses(torch.randn(SHAPE), SIZES, [TWO, NOBODY])  # true boxes are mixed in
    assert float(taught["s0.loss_cls"].detach()) > 0
    assert float(taught["s2.loss_cls"].detach()) > 0


def test_picture_smaller_than_every_anchor() -> None:
    options = SMALL.model_copy(update={"proposals": FEW.model_copy(update={"anchor_scale": 8})})
    detector = build(options).train()
    losses = detector.losses(torch.randn(1, 3, 32, 32), [(9, 7)], [NOBODY])
    assert float(losses["loss_rpn_cls"].detach()) == 0
    assert all(term.isfinite() for term in losses.values())


def test_mixed_precision_is_finite() -> None:
    options = SMALL.model_copy(update={"backbone": ResNetOptions(depth=18, deformable="v2")})
    detector = build(options).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = detector.losses(torch.randn(SHAPE), SIZES, [TWO, NOBODY])
        found = detector.eval()(torch.randn(SHAPE), SIZES)
    assert all(term.isfinite() for term in losses.values())
    assert all(one.boxes.dtype == torch.float32 for one in found)


def test_regions_are_read_from_the_level_that_fits() -> None:
    sides = torch.tensor([10.0, 111, 112, 223, 224, 448, 2000])
    box = torch.stack([sides * 0, sides * 0, sides, sides], -1)
    assert fitting_level(box, 56, 4).tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert fitting_level(box, 112, 3).tolist() == [0, 0, 0, 0, 1, 2, 2]


def test_pooling_keeps_the_order_of_boxes() -> None:
    """Levels hold their own stride, pictures a sign: every region must show where it was read."""
    strides = (4, 8, 16)
    levels = [torch.full((2, 1, 512 // s, 512 // s), float(s)) for s in strides]
    for level in levels:
        level[1] *= -1
    box = torch.tensor([[0.0, 0, 300, 300], [5, 5, 50, 50], [8, 8, 140, 140]])
    pooled = pool_regions([*levels, torch.zeros(2, 1, 1, 1)], [box, box[:2]], strides, 56, 7)
    assert pooled.shape == (5, 1, 7, 7)
    assert pooled.mean((1, 2, 3)).tolist() == [16, 4, 8, -16, -4]


def test_true_boxes_are_left_out_between_stages() -> None:
    """A sampler that takes everything shows what each stage gets."""
    seen: list[int] = []

    def everything(matched: Tensor) -> Sample:
        seen.append(len(matched))
        return Sample(torch.nonzero(matched >= 0)[:, 0], torch.nonzero(matched == -1)[:, 0])

    head = CascadeHead(8, (4, 8), 2, CascadeHeadOptions(box=NARROW))
    head.sampler = everything
    proposals = [torch.tensor([[10.0, 10, 60, 88], [60, 60, 90, 90], [0, 0, 9, 9]])]
    levels = [torch.randn(1, 8, 32, 32), torch.randn(1, 8, 16, 16)]
    losses = head.losses(levels, proposals, [(128, 128)], [TWO])
    assert seen == [5, 5, 5]  # two true boxes and three proposals, never four of the former
    assert list(losses) == [f"s{i}.loss_{kind}" for i in range(3) for kind in ("cls", "bbox")]


def test_stage_losses_by_hand() -> None:
    regions = Regions(
        torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]]),
        torch.tensor([1, 2]),
        torch.tensor([[1.0, 0, 11, 10]]),
        torch.tensor([False, False]),
    )
    logits, deltas = torch.zeros(2, 3), torch.zeros(2, 4)
    classification, regression = stage_losses(logits, deltas, [regions], (0.1,) * 4, 2)
    assert float(classification) == pytest.approx(1.0986123)  # log 3
    assert float(regression) == pytest.approx(0.5 * 1.0**2 / 2)  # dx = .1 / .1, half its square, over two


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_scores_are_averaged_as_asked(average: str) -> None:
    options = CascadeHeadOptions.model_validate({"box": NARROW.model_dump(), "average": average})
    head = CascadeHead(4, (4,), 2, options)
    said = torch.tensor([[4.0, 0, 0], [0, 2, 0], [0, 0, -3]])
    with torch.no_grad():
        for stage, logits in zip(head.bbox_head, said, strict=True):
            assert isinstance(stage, BoxHead)
            stage.fc_cls.weight.zero_()
            stage.fc_cls.bias.copy_(logits)
        (found,) = head([torch.randn(1, 4, 8, 8)], [torch.tensor([[0.0, 0, 9, 9]])], [(32, 32)])
    expected = said.mean(0).softmax(-1) if average == "logits" else said.softmax(-1).mean(0)
    torch.testing.assert_close(found.scores, expected[None, :2])


def test_stages_must_agree_in_number() -> None:
    with pytest.raises(BadInput, match="one IoU, loss weight and stds for each stage, not 2, 3 and 3"):
        CascadeHead(4, (4,), 2, CascadeHeadOptions(ious=(0.5, 0.6)))


def test_prize_winning_net_has_its_size() -> None:
    """X152-32x8d, group norm, DCNv1, four convolutions in each head; nothing is allocated."""
    group: dict = {"norm": "group"}
    options = CascadeOptions(
        backbone=ResNetOptions(depth=152, groups=32, width_per_group=8, deformable="v1", **group),
        neck=FpnOptions(**group),
        head=CascadeHeadOptions(box=BoxHeadOptions(convs=4, fcs=1, **group)),
    )
    with torch.device("meta"):
        detector = build(options)
    from torchvision.models.resnet import Bottleneck, ResNet

    with torch.device("meta"):
        plain = ResNet(Bottleneck, [3, 8, 36, 3], groups=32, width_per_group=8)
    count = sum(p.numel() for name, p in plain.named_parameters() if not name.startswith("fc."))
    count += sum(n * (width * 9 + 1) * 18 for n, width in ((8, 512), (36, 1024), (3, 2048)))
    assert sum(p.numel() for p in detector.backbone.parameters()) == count
    fpn = sum((c + 2) * 256 for c in (256, 512, 1024, 2048)) + 4 * (256 * 9 + 2) * 256
    rpn = (256 * 9 + 1) * 256 + 257 * 15
    head = 4 * (256 * 9 + 2) * 256 + (256 * 49 + 1) * 1024 + 1025 * (3 + 4)
    assert sum(p.numel() for p in detector.parameters()) == count + fpn + rpn + 3 * head
    names = set(detector.state_dict())
    assert {
        "backbone.gn1.weight",
        "backbone.layer4.2.gn3.bias",
        "backbone.layer2.0.conv2.conv_offset.weight",
        "neck.lateral_convs.0.gn.weight",
        "neck.fpn_convs.3.conv.weight",
        "roi_head.bbox_head.2.shared_convs.3.gn.weight",
        "roi_head.bbox_head.0.shared_fcs.0.weight",
    } <= names


def test_learns_two_pictures_by_heart() -> None:
    """Two bright people on noise: after some steps each is found with its class and place."""
    torch.manual_seed(0)
    images = 0.1 * torch.randn(2, 3, 96, 96)
    boxes = (torch.tensor([[12.0, 8, 44, 80]]), torch.tensor([[16.0, 40, 80, 72]]))
    targets = [Target(box, torch.tensor([label])) for label, box in enumerate(boxes)]
    for image, (box, label) in zip(images, targets, strict=True):
        x1, y1, x2, y2 = (int(edge) for edge in box[0])
        image[int(label), y1:y2, x1:x2] += 2
    sizes = [(96, 96), (90, 96)]
    backbone = ResNetOptions(depth=18, norm="group", frozen_stages=1)
    proposals = FEW.model_copy(update={"anchor_scale": 4})
    detector = build(SMALL.model_copy(update={"backbone": backbone, "proposals": proposals})).train()
    optimizer = torch.optim.AdamW(detector.parameters(), 1e-3)
    for _ in range(55):
        loss = torch.stack(list(detector.losses(images, sizes, targets).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
        optimizer.step()
    with torch.no_grad():
        found = detector.eval()(images, sizes)
    for one, target in zip(found, targets, strict=True):
        assert one.labels[0] == target.labels[0]
        assert one.scores[0] > 0.7
        assert iou(one.boxes[:1], target.boxes) > 0.7
        assert (one.scores > 0.5).sum() == 1
