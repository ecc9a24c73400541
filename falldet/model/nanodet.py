"""The dense detector: one look at the picture, no proposals; the baseline beside the cascade."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import batched_nms, clip_boxes_to_image

from falldet.model.dense import DenseHead
from falldet.model.options import DenseOptions
from falldet.model.pan import Pan
from falldet.model.pixels import Size
from falldet.model.shufflenet import ShuffleNet
from falldet.model.target import Found, Target

BEFORE_NMS = 1000
"""Places of a picture that are looked at before suppression."""


class NanoDet(nn.Module):
    """ShuffleNetV2, PAN, dense head (Lyu 2020); reads as backbone -> neck -> places -> suppression."""

    def __init__(self, options: DenseOptions, classes: int) -> None:
        super().__init__()
        self.options = options
        self.backbone = ShuffleNet(options.backbone)
        self.neck = Pan(self.backbone.channels, options.neck)
        self.bbox_head = DenseHead(self.neck.channels, self.neck.strides, classes, options.bins)

    def forward(self, images: Float[Tensor, "n 3 h w"], sizes_px: Sequence[Size]) -> list[Found]:
        """People of each picture, in pixels of the input. ``sizes_px`` are heights and widths before
        padding."""
        places = self.bbox_head(self.neck(self.backbone(images)))
        boxes, scores = places.boxes(), places.logits.sigmoid()
        return [self._suppressed(*one) for one in zip(boxes, scores, sizes_px, strict=True)]

    def losses(
        self, images: Float[Tensor, "n 3 h w"], sizes_px: Sequence[Size], targets: Sequence[Target]
    ) -> dict[str, Tensor]:
        """Loss terms, to be summed."""
        return self.bbox_head.losses(self.bbox_head(self.neck(self.backbone(images))), targets)

    def _suppressed(self, boxes: Tensor, scores: Tensor, size_px: Size) -> Found:
        place, label = (scores > self.options.score).nonzero(as_tuple=True)
        sure = scores[place, label]
        first = sure.topk(min(BEFORE_NMS, len(sure))).indices
        place, label, sure = place[first], label[first], sure[first]
        box = clip_boxes_to_image(boxes[place], size_px)
        kept = batched_nms(box, sure, label, self.options.nms_iou)[: self.options.most]
        return Found(box[kept], sure[kept], label[kept])
