"""Boxes that fit their picture and yet can not be meant: tiny ones, and one person labelled twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from falldet.data.faults import Fault, Kind
from falldet.data.labelled import LabelledImage

TINY_PX = 8.0
SAME_IOU = 0.9


def box_faults(image: LabelledImage, classes: tuple[str, ...]) -> Iterator[Fault]:
    """`tiny`: a side under 8 px; `double` or `contradiction`: IoU above .9, of one class or of two."""
    sides = image.boxes_px[:, 2:] - image.boxes_px[:, :2]
    for k in np.flatnonzero(sides.min(axis=1, initial=np.inf) < TINY_PX).tolist():
        width, height = sides[k].tolist()
        yield _fault("tiny", image, k, f"{classes[image.labels[k]]} of only {width:.3g} x {height:.3g} px")
    overlap = np.triu(iou_matrix(image.boxes_px, image.boxes_px), 1)
    for first, second in np.argwhere(overlap > SAME_IOU).tolist():
        one, other = (classes[image.labels[k]] for k in (first, second))
        shared = f"overlap {overlap[first, second]:.2f}"
        if one == other:
            yield _fault("double", image, second, f"the same {one} person as number {first + 1} ({shared})")
        else:
            yield _fault("contradiction", image, second, f"{other}, and number {first + 1} {one} ({shared})")


def iou_matrix(one: Float[np.ndarray, "n 4"], other: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of every box (x1, y1, x2, y2) of positive size with every other."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)


def _fault(kind: Kind, image: LabelledImage, k: int, text: str) -> Fault:
    x1, y1, x2, y2 = (float(edge) for edge in image.boxes_px[k])
    return Fault(kind, text, f"{image.path}: person {k + 1}", image.path, (x1, y1, x2, y2))
