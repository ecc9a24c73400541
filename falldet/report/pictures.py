"""Pictures of failures: who is labelled (dashed) and what was said (solid), nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from falldet.data.labelled import LabelledImage
from falldet.detections import CLASSES, Detections
from falldet.looking.drawing import draw
from falldet.metrics.failures import Box, Failure
from suite.data.images import read_image
from suite.errors import BadInput
from suite.report.page import Flow

ACROSS, SIDE_PX = 3, 440
_LINE_PX, _DASH_PX, _MARGIN = 3, 9, 0.9


def show_failures(page: Flow, failures: Sequence[Failure], images: Sequence[LabelledImage]) -> None:
    """Cards, three in a row; pictures that cannot be read any more are left out."""
    cards = []
    for failure in failures:
        try:
            rgb = read_image(images[failure.image].path)
        except BadInput:
            continue
        text = f"{failure.name}: {failure.text}"
        cards.append((failure_picture(rgb, failure), text))
    for start in range(0, len(cards), ACROSS):
        columns = page.columns(*(1,) * ACROSS)
        for column, (image, text) in zip(columns, cards[start : start + ACROSS], strict=False):
            column.image(image, text, text, photo=True)


def failure_picture(rgb: UInt8[np.ndarray, "h w 3"], failure: Failure) -> UInt8[np.ndarray, "_h _w 3"]:
    """The surroundings of the boxes in question, at most SIDE_PX large, with the boxes on it."""
    from PIL import Image

    boxes = np.array([box for box in (failure.labelled, failure.found) if box is not None], np.float64)
    x1, y1, x2, y2 = _surroundings(boxes, rgb.shape[1], rgb.shape[0])
    scale = SIDE_PX / max(x2 - x1, y2 - y1)
    size = max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))
    cut = Image.fromarray(rgb[y1:y2, x1:x2])
    canvas = np.array(cut.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC))

    def moved(box: Box) -> np.ndarray:
        return (np.array(box) - (x1, y1, x1, y1)) * scale

    if failure.labelled is not None:
        _dashed(canvas, moved(failure.labelled))
    if failure.found is not None:
        label = np.array([CLASSES.index(failure.said)], np.int64)
        box = moved(failure.found)[None].astype(np.float32)
        return draw(canvas, Detections(box, np.array([failure.score], np.float32), label))
    return canvas


def _surroundings(boxes: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """A square around the boxes with room on all sides, moved and cut so that it lies in the picture."""
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    side = max(*(high - low)) * (1 + _MARGIN)
    middle = (low + high) / 2
    x = int(np.clip(middle[0] - side / 2, 0, max(0, width - side)))
    y = int(np.clip(middle[1] - side / 2, 0, max(0, height - side)))
    return x, y, max(x + 1, min(width, round(x + side))), max(y + 1, min(height, round(y + side)))


def _dashed(canvas: np.ndarray, box: np.ndarray) -> None:
    """A dashed frame, white on black so that it shows on any ground."""
    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = np.clip(np.round(box).astype(int), 0, [width, height, width, height])
    for edge in (
        canvas[y1 : y1 + _LINE_PX, x1:x2],
        canvas[max(y2 - _LINE_PX, 0) : y2, x1:x2],
        canvas[y1:y2, x1 : x1 + _LINE_PX].swapaxes(0, 1),
        canvas[y1:y2, max(x2 - _LINE_PX, 0) : x2].swapaxes(0, 1),
    ):
        dark = np.arange(edge.shape[1]) // _DASH_PX % 2 == 1
        edge[:, dark], edge[:, ~dark] = 0, 255
