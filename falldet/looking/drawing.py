"""Detections drawn over a picture, to be read at a glance, also by colour-blind people and in print.

Fallen people have a doubly thick frame and black on vermilion, others white on blue (Okabe and Ito 2008):
the two differ in thickness and in lightness too, and every line has a rim that shows it on any ground.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import UInt8

from falldet.detections import FALLEN, Detections

Rgb = tuple[int, int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
VERMILION, BLUE = (230, 97, 0), (0, 92, 158)
_Box = tuple[int, int, int, int]


def draw(rgb: UInt8[np.ndarray, "h w 3"], detections: Detections) -> UInt8[np.ndarray, "h w 3"]:
    """A copy of the picture with the boxes, classes and scores of ``detections``, fallen ones on top."""
    canvas = rgb.copy()
    side = min(canvas.shape[:2])
    line, text = max(1, round(side / 180)), max(11, round(side / 25))
    fallen = detections.labels == FALLEN
    order = np.lexsort((detections.scores, fallen))  # the last is on top
    boxes = {int(k): _inside(detections.boxes_px[k], canvas) for k in order}
    for k, box in boxes.items():
        thickness, colour, ink = (2 * line, VERMILION, BLACK) if fallen[k] else (line, BLUE, WHITE)
        _frame(canvas, box, thickness + max(1, line // 2), ink)
        _frame(canvas, box, thickness, colour)
    taken: list[_Box] = []
    for k in reversed(boxes):  # who is on top has the first choice of a place
        name = detections.classes[detections.labels[k]].replace("_", " ")
        colour, ink = (VERMILION, BLACK) if fallen[k] else (BLUE, WHITE)
        label = _label(f"{name} {detections.scores[k]:.2f}", text, ink, colour)
        place = _place(label.shape[0], label.shape[1], boxes[k], canvas, taken)
        x1, y1, x2, y2 = place
        canvas[y1:y2, x1:x2] = label[: y2 - y1, : x2 - x1]
        taken.append(place)
    return canvas


def _inside(box_px: np.ndarray, canvas: np.ndarray) -> _Box:
    """The box in whole pixels of the picture, at least one each way."""
    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = (round(float(edge)) for edge in np.nan_to_num(box_px))
    x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    return x1, y1, min(max(x2, x1 + 1), width), min(max(y2, y1 + 1), height)


def _frame(canvas: np.ndarray, box: _Box, thickness: int, colour: Rgb) -> None:
    """A frame that lies inside its box, so that it can be seen where the box fills the picture."""
    x1, y1, x2, y2 = box
    inside = canvas[y1:y2, x1:x2]
    inside[:thickness], inside[-thickness:] = colour, colour
    inside[:, :thickness], inside[:, -thickness:] = colour, colour


def _place(height: int, width: int, box: _Box, canvas: np.ndarray, taken: list[_Box]) -> _Box:
    """Where a label goes: above its box, else inside it, else below, wherever no other label is."""
    rows, columns = canvas.shape[:2]
    x1, y1, x2, y2 = box
    wanted = [(x1, y1 - height), (x1, y1), (x2 - width, y1), (x1, y2), (x1, y2 - height)]
    free = []
    for x, y in wanted:
        x = max(0, min(x, columns - width))
        place = (x, y, min(x + width, columns), min(y + height, rows))
        if 0 <= y <= max(0, rows - height) and not any(_overlap(place, other) for other in taken):
            free.append(place)
    if free:
        return free[0]
    x, y = max(0, min(x1, columns - width)), max(0, min(y1, rows - height))
    return x, y, min(x + width, columns), min(y + height, rows)


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@lru_cache(maxsize=1024)
def _label(words: str, text_px: int, ink: Rgb, ground: Rgb) -> np.ndarray:
    """Words on a filled ground, (h, w, 3) uint8, in the font that Pillow carries."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(text_px)
    left, top, right, bottom = font.getbbox("Ayg" + words)  # one height for all words
    right = left + font.getlength(words)
    pad = max(2, text_px // 4)
    size = (round(right - left) + 2 * pad, round(bottom - top) + 2 * pad)
    image = Image.new("RGB", size, ground)
    ImageDraw.Draw(image).text((pad - left, pad - top), words, fill=ink, font=font)
    label = np.asarray(image)
    label.setflags(write=False)
    return label
