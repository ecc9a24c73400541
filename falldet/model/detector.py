"""The two-stage detector: read first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from falldet.model.cascade import CascadeHead
from falldet.model.suppression import best
from falldet.model.target import Found, Levels, Sizes, Target


@runtime_checkable
class Proposer(Protocol):
    """Says where to look: an RPN, or a person detector; also an nn.Module."""

    def __call__(self, levels: Levels, sizes_px: Sizes) -> list[Tensor]:
        """Proposed boxes (k, 4) of each picture, inside it, the most certain first."""
        ...

    def losses(
        self, levels: Levels, sizes_px: Sizes, targets: Sequence[Target]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Named loss terms (none, if it is not trained) and proposals without gradient."""
        ...


class CascadeRCNN(nn.Module):
    """backbone -> neck -> proposals -> cascade -> suppression; its parts have mmdet's names.

    `backbone` gives maps (its `channels`, `strides`), `neck` levels of one width (its `channels`, `strides`).
    """

    def __init__(
        self, backbone: nn.Module, neck: nn.Module, rpn_head: Proposer, roi_head: CascadeHead
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.rpn_head = rpn_head
        self.roi_head = roi_head

    def forward(self, images: Float[Tensor, "n 3 h w"], sizes_px: Sizes) -> list[Found]:
        """Who is in each picture; `images` are normalised and padded, `sizes_px` are those before padding."""
        maps = self.backbone(images)
        levels = self.neck(maps)
        proposals = self.rpn_head(levels, sizes_px)
        scored = self.roi_head(levels, proposals, sizes_px)
        return [best(one.boxes, one.scores, self.roi_head.options) for one in scored]

    def losses(
        self, images: Float[Tensor, "n 3 h w"], sizes_px: Sizes, targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        """Named scalar terms, to be summed."""
        maps = self.backbone(images)
        levels = self.neck(maps)
        proposing, proposals = self.rpn_head.losses(levels, sizes_px, targets)
        refining = self.roi_head.losses(levels, proposals, sizes_px, targets)
        return {**proposing, **refining}
