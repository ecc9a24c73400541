"""Anchors against values worked out by hand."""

from __future__ import annotations

import torch

from falldet.model.anchors import anchor_shapes, level_anchors
from falldet.model.options import RpnOptions
from falldet.model.rpn import RpnHead


def test_shapes_have_equal_area_and_their_ratio() -> None:
    shapes = anchor_shapes(32, (0.5, 1.0, 2.0))
    # sides 32 / sqrt(ratio) and 32 * sqrt(ratio), halved
    expected = [
        [-22.627417, -11.313708, 22.627417, 11.313708],
        [-16, -16, 16, 16],
        [-11.313708, -22.627417, 11.313708, 22.627417],
    ]
    torch.testing.assert_close(shapes, torch.tensor(expected))


def test_places_go_row_by_row_from_zero() -> None:
    anchors = level_anchors(anchor_shapes(32, (0.5, 1.0)), (2, 3), 4)
    centres = ((anchors[:, :2] + anchors[:, 2:]) / 2)[::2]
    assert centres.tolist() == [[0, 0], [4, 0], [8, 0], [0, 4], [4, 4], [8, 4]]
    torch.testing.assert_close(anchors[1], torch.tensor([-16.0, -16, 16, 16]))
    torch.testing.assert_close(anchors[-1], torch.tensor([8.0 - 16, 4 - 16, 8 + 16, 4 + 16]))


def test_outputs_are_in_the_order_of_anchors() -> None:
    """One channel of one place is lit: the proposal must be that anchor."""
    head = RpnHead(1, (8,), RpnOptions(anchor_scale=2, before_nms=1))
    with torch.no_grad():
        for module in (head.rpn_conv, head.rpn_cls, head.rpn_reg):
            module.weight.zero_()
        head.rpn_conv.weight[0, 0, 1, 1] = 1
        head.rpn_cls.weight[2] = 1  # the third shape, twice as high as wide
    level = torch.zeros(1, 1, 6, 7)
    level[0, 0, 3, 4] = 5
    (box,) = head([level], [(48, 56)])[0]
    half = torch.tensor([16 / 2**0.5 / 2, 16 * 2**0.5 / 2])
    centre = torch.tensor([32.0, 24])
    torch.testing.assert_close(box, torch.cat([centre - half, centre + half]))
