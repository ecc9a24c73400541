"""COCO's figures of a detector, by faster-coco-eval (Lin et al. 2014, Microsoft COCO, and its own code).

What cannot be measured, such as the precision of a class that nobody is labelled with, is NaN, where COCO's
own code says -1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from falldet.data.labelled import LabelledSet
from falldet.detections import Detections


@dataclass(frozen=True)
class ClassPrecision:
    """COCO's figures of one class; ``people`` are labelled with it."""

    name: str
    people: int
    ap: float
    ap50: float
    ap75: float
    ar_100: float


@dataclass(frozen=True)
class CocoFigures:
    """Means over the classes that are labelled.

    AP is over IoU .50 to .95, or at .50 and .75; small is a box below 32 x 32 px of the picture, large one
    from 96 x 96 px on; AR is the recall of the 1, 10, 100 most certain boxes of a class and picture.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    classes: tuple[ClassPrecision, ...]


def coco_figures(predictions: Sequence[Detections], labelled: LabelledSet) -> CocoFigures:
    """COCO's figures of one Detections for each picture."""
    truth, found = coco_dicts(predictions, labelled)
    precision, recall = _evaluated(truth, found, len(labelled.classes))
    everything, most = 0, 2  # places among COCO's sizes (all, small, medium, large) and counts (1, 10, 100)
    half, three_quarters = 0, 5  # places among the IoU from .50 to .95
    counts = labelled.counts()
    classes = tuple(
        ClassPrecision(
            name=name,
            people=counts[name],
            ap=_mean(precision[:, :, k, everything, most]),
            ap50=_mean(precision[half, :, k, everything, most]),
            ap75=_mean(precision[three_quarters, :, k, everything, most]),
            ar_100=_mean(recall[:, k, everything, most]),
        )
        for k, name in enumerate(labelled.classes)
    )
    return CocoFigures(
        ap=_mean(precision[:, :, :, everything, most]),
        ap50=_mean(precision[half, :, :, everything, most]),
        ap75=_mean(precision[three_quarters, :, :, everything, most]),
        ap_small=_mean(precision[:, :, :, 1, most]),
        ap_medium=_mean(precision[:, :, :, 2, most]),
        ap_large=_mean(precision[:, :, :, 3, most]),
        ar_1=_mean(recall[:, :, everything, 0]),
        ar_10=_mean(recall[:, :, everything, 1]),
        ar_100=_mean(recall[:, :, everything, most]),
        classes=classes,
    )


def coco_dicts(
    predictions: Sequence[Detections], labelled: LabelledSet
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Labels and detections as COCO's annotation file and result file hold them; ids count from 1."""
    images, annotations, results = [], [], []
    for number, (image, found) in enumerate(zip(labelled.images, predictions, strict=True), 1):
        images.append({"id": number, "width": image.width_px, "height": image.height_px})
        for box, label in zip(_xywh(image.boxes_px), image.labels, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
        for box, label, score in zip(_xywh(found.boxes_px), found.labels, found.scores, strict=True):
            results.append(
                {"image_id": number, "category_id": int(label) + 1, "bbox": box, "score": float(score)}
            )
    categories = [{"id": k, "name": name} for k, name in enumerate(labelled.classes, 1)]
    return {"images": images, "annotations": annotations, "categories": categories, "info": {}}, results


def _evaluated(
    truth: dict[str, Any], found: list[dict[str, Any]], classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (10 IoU, 101 recalls, classes, 4 sizes, 3 counts), recall without the 101; -1 is none."""
    if not truth["annotations"]:
        return np.full((10, 101, classes, 4, 3), -1.0), np.full((10, classes, 4, 3), -1.0)
    from faster_coco_eval import COCO, COCOeval_faster

    labels = COCO(truth, print_function=_quietly)
    nothing = {"images": truth["images"], "annotations": [], "categories": truth["categories"]}
    boxes = labels.loadRes(found) if found else COCO(nothing, print_function=_quietly)
    run = COCOeval_faster(labels, boxes, "bbox", print_function=_quietly)
    run.evaluate()
    run.accumulate()
    return np.asarray(run.eval["precision"]), np.asarray(run.eval["recall"])


def _xywh(boxes: np.ndarray) -> list[list[float]]:
    boxes = boxes.astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()


def _mean(values: np.ndarray) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else math.nan


def _quietly(*_words: object) -> None:
    """Where the evaluation code would print."""
