"""falldet's cascade beside mmdet's: the same random weights, the same picture, the same samples."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from falldet.mmdet import bridge
from falldet.model.build import build_detector
from falldet.model.detector import CascadeRCNN
from falldet.model.options import CascadeHeadOptions, CascadeOptions, PixelOptions, ResNetOptions, RpnOptions
from falldet.model.pixels import batched, to_input
from falldet.model.target import Found, Target

CLASSES = 2
DEFORMABLE = (False, True, True, True)
SPREAD = {"rpn_cls": 0.05, "rpn_reg": 0.02, "fc_cls": 0.3, "fc_reg": 0.1, "conv_offset": 0.01}
"""Standard deviation of random weights by name, so that scores, boxes and offsets are far from trivial."""


@dataclass(frozen=True)
class Case:
    """A config that mmdet ships, with changes, and the same backbone as our options."""

    name: str
    config: str
    backbone: ResNetOptions
    changes: Mapping[str, Any] = field(default_factory=dict)


CASES = (
    Case("R50 FPN", "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py", ResNetOptions()),
    Case(
        "R50 FPN, DCNv1 c3-c5",
        "dcn/cascade-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py",
        ResNetOptions(deformable="v1"),
    ),
    Case(
        "R50 FPN, DCNv2 c3-c5",
        "dcn/cascade-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py",
        ResNetOptions(deformable="v2"),
        {"model.backbone.dcn.type": "DCNv2"},
    ),
)
X101 = Case(
    "X101-32x4d FPN, DCNv1 c3-c5",
    "cascade_rcnn/cascade-rcnn_x101-32x4d_fpn_1x_coco.py",
    ResNetOptions(depth=101, groups=32, width_per_group=4, deformable="v1"),
    {
        "model.backbone.dcn": {"type": "DCN", "deform_groups": 1, "fallback_on_stride": False},
        "model.backbone.stage_with_dcn": DEFORMABLE,
    },
)


@dataclass(frozen=True)
class Pair:
    """mmdet's detector and ours with the same weights; `pixels` is the size both are fed at."""

    theirs: Any
    ours: CascadeRCNN
    pixels: PixelOptions


@dataclass(frozen=True)
class Difference:
    """How far the detections of one picture are apart, in pixels of the picture."""

    found: int
    box_px: float
    score: float
    same_labels: bool


def build_pair(case: Case, pixels: PixelOptions, proposals: int = 1000, seed: int = 0) -> Pair:
    """Both detectors; ours takes mmdet's weights strictly. BackendUnavailable without mmdet."""
    bridge.install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mmdet
        from mmdet.registry import MODELS
        from mmengine.config import Config
        from mmengine.registry import init_default_scope

        config = Config.fromfile(Path(mmdet.__file__).parent / ".mim" / "configs" / case.config)
        counts = {"nms_pre": proposals, "max_per_img": proposals}
        config.merge_from_dict(
            {
                "model.backbone.init_cfg": None,
                "model.test_cfg.rpn": counts,
                "model.train_cfg.rpn_proposal": counts,
                **case.changes,
            }
        )
        for head in config.model.roi_head.bbox_head:
            head.num_classes = CLASSES
        for step in config.test_dataloader.dataset.pipeline:
            if step["type"] == "Resize":
                step["scale"] = (pixels.long_px, pixels.short_px or pixels.long_px)
        init_default_scope("mmdet")
        torch.manual_seed(seed)
        theirs = MODELS.build(config.model)
        theirs.cfg = config
    randomise(theirs, seed)
    options = CascadeOptions(
        backbone=case.backbone,
        proposals=RpnOptions(
            before_nms=proposals,
            after_nms=proposals,
            before_nms_train=proposals,
            after_nms_train=proposals,
        ),
        head=CascadeHeadOptions(),
    )
    ours = build_detector(options, CLASSES)
    assert isinstance(ours, CascadeRCNN)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return Pair(theirs.eval(), ours.eval(), pixels)


@torch.no_grad()
def randomise(model: torch.nn.Module, seed: int) -> None:
    """Weights as a trained detector might have them: the statistics of norms differ, offsets are not zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        noise = torch.randn(value.shape, generator=generator)
        spread = next((SPREAD[part] for part in SPREAD if part in name), None)
        if "running_mean" in name:
            value.copy_(0.1 * noise)
        elif "running_var" in name:
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif spread is not None and name.endswith("weight"):
            value.copy_(spread * noise)
        elif "conv_offset" in name:
            value.copy_(0.5 * noise)
        elif ".bn" in name and name.endswith("weight"):
            value.copy_(0.5 + 0.5 * torch.rand(value.shape, generator=generator))


def picture(height: int, width: int, seed: int = 0) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Random blobs and a few rectangles, RGB."""
    import cv2

    rng = np.random.default_rng(seed)
    noise = rng.uniform(0, 255, (height // 16 + 1, width // 16 + 1, 3)).astype(np.float32)
    made = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    for _ in range(6):
        y, x = rng.integers(0, height - 16), rng.integers(0, width - 16)
        made[y : y + rng.integers(16, height // 2), x : x + rng.integers(16, width // 2)] = rng.integers(
            0, 256, 3
        )
    return made


@torch.no_grad()
def compare_detections(pair: Pair, rgb: UInt8[np.ndarray, "h w 3"]) -> Difference:
    """Each detector goes its own whole way, from the picture's pixels to boxes in them."""
    from mmdet.apis import inference_detector

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result: Any = inference_detector(pair.theirs, np.ascontiguousarray(rgb[..., ::-1]))
    theirs = result.pred_instances
    one = to_input(rgb, pair.pixels)
    found = pair.ours(*batched([one], pair.pixels.divisor))[0]
    boxes = found.boxes / torch.tensor(one.scale_xy * 2)
    if len(found.scores) != len(theirs.scores):
        return Difference(len(found.scores), float("inf"), float("inf"), same_labels=False)
    return Difference(
        found=len(found.scores),
        box_px=float((boxes - theirs.bboxes).abs().max()) if len(boxes) else 0.0,
        score=float((found.scores - theirs.scores).abs().max()) if len(boxes) else 0.0,
        same_labels=bool((found.labels == theirs.labels).all()),
    )


def compare_losses(
    pair: Pair,
    images: torch.Tensor,
    sizes_px: Sequence[tuple[int, int]],
    targets: Sequence[Target],
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Every loss term of one training step, (mmdet's, ours); both draw their samples from the same seed."""
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    samples = []
    for size, target in zip(sizes_px, targets, strict=True):
        sample = DetDataSample(
            metainfo={
                "img_shape": size,
                "pad_shape": tuple(images.shape[2:]),
                "batch_input_shape": tuple(images.shape[2:]),
                "scale_factor": (1.0, 1.0),
            }
        )
        sample.gt_instances = InstanceData(bboxes=target.boxes, labels=target.labels)
        samples.append(sample)
    torch.manual_seed(seed)
    theirs = pair.theirs.train().loss(images, samples)
    torch.manual_seed(seed)
    ours = pair.ours.train().losses(images, sizes_px, targets)
    return {
        name: (float(_total(theirs[name]).detach()), float(value.detach())) for name, value in ours.items()
    }


def _total(term: Any) -> torch.Tensor:
    """mmdet gives some terms level by level."""
    return torch.stack(list(term)).sum() if isinstance(term, list | tuple) else term


def near(found: Found, every: int = 3, most: int = 12) -> Target:
    """Targets beside some of what was found, so that every stage has regions that match."""
    return Target(found.boxes[:most:every] + 2, found.labels[:most:every])
