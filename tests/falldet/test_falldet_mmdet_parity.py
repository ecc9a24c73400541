"""The cascade against mmdet 3.3: same random weights, same pictures, same samples."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
import torch

if importlib.util.find_spec("mmdet") is None:
    pytest.skip("mmdet is not installed (the extra `mmdet`)", allow_module_level=True)

from benchmarks._falldet_mmdet import (
    CASES,
    X101,
    Case,
    Pair,
    build_pair,
    compare_detections,
    compare_losses,
    near,
    picture,
)
from falldet.model.boxes import decode
from falldet.model.deform import DeformConv
from falldet.model.options import PixelOptions
from falldet.model.pixels import batched, to_input

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

PIXELS = PixelOptions(long_px=192, short_px=144)
BOX_PX, SCORE, LOSS = 1e-3, 1e-5, 1e-4


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    case: Case = request.param
    yield build_pair(case, PIXELS, proposals=100)


def test_detections_are_mmdets(pair: Pair) -> None:
    apart = compare_detections(pair, picture(300, 420))
    assert apart.found > 30
    assert apart.same_labels
    assert apart.box_px <= BOX_PX
    assert apart.score <= SCORE


def test_losses_of_a_step_are_mmdets(pair: Pair) -> None:
    """Two pictures of different shapes in a batch; more candidates than are sampled, drawn from one seed."""
    inputs = [to_input(picture(300, 420, 1), PIXELS), to_input(picture(400, 310, 2), PIXELS)]
    images, sizes = batched(inputs, PIXELS.divisor)
    with torch.no_grad():
        targets = [near(found) for found in pair.ours.eval()(images, sizes)]
        terms = compare_losses(pair, images, sizes, targets, seed=3)
    assert len(terms) == 8
    assert all(theirs > 1e-4 for theirs, _ in terms.values())
    assert max(abs(theirs - ours) for theirs, ours in terms.values()) <= LOSS
    assert max(abs(theirs / ours - 1) for theirs, ours in terms.values()) <= LOSS


def test_comparison_sees_wrong_details(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that holds whatever the detector does shows nothing: small faults must exceed the limits."""
    pair = build_pair(CASES[0], PIXELS, proposals=50)
    rgb, head = picture(300, 420), pair.ours.roi_head

    def fails() -> bool:
        apart = compare_detections(pair, rgb)
        return not apart.same_labels or apart.box_px > BOX_PX or apart.score > SCORE

    assert not fails()
    with monkeypatch.context() as patch:
        wrong = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.0671))
        patch.setattr(head, "options", head.options.model_copy(update={"stds": wrong}))
        assert fails()
    with monkeypatch.context() as patch:
        patch.setattr(head, "options", head.options.model_copy(update={"average": "probabilities"}))
        assert fails()
    with monkeypatch.context() as patch:  # boxes cut at the padding, not at the picture
        padded = lambda box, move, stds, size: decode(box, move, stds, (size[0] + 9, size[1]))  # noqa: E731
        patch.setattr("falldet.model.cascade.decode", padded)
        assert fails()


def test_x101_deformable_features_are_mmdets() -> None:
    pair = build_pair(X101, PIXELS)
    assert sum(isinstance(module, DeformConv) for module in pair.ours.modules()) == 4 + 23 + 3
    images = batched([to_input(picture(90, 120), PixelOptions(long_px=128))], 32)[0]
    with torch.no_grad():
        theirs, ours = pair.theirs.extract_feat(images), pair.ours.neck(pair.ours.backbone(images))
    assert len(theirs) == len(ours) == 5
    for one, other in zip(theirs, ours, strict=True):
        assert float(one.std()) > 1e-3
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5)


def test_bridge_says_what_it_lacks() -> None:
    from mmcv.ops import soft_nms
    from mmcv.ops.roi_align import RoIAlign

    with pytest.raises(NotImplementedError, match="no operator 'softnms'"):
        soft_nms(torch.tensor([[0.0, 0, 5, 5]]), torch.tensor([0.5]))
    regions = torch.tensor([[0.0, 0, 0, 4, 4]])
    with pytest.raises(NotImplementedError, match="pool_mode='max'"):
        RoIAlign((2, 2), pool_mode="max")(torch.ones(1, 1, 8, 8), regions)


def test_bridge_without_mmdet_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from falldet.mmdet import bridge
    from suite.errors import BackendUnavailable

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match="mmengine is not installed; install mmdet"):
        bridge.install()
