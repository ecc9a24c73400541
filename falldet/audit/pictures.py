"""Small pictures for an audit's page: people outlined in the colour of their class, a faulty box marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from falldet.data.faults import Box, Fault
from falldet.data.labelled import LabelledImage
from suite.data.images import read_image
from suite.errors import BadInput
from suite.report.figure import PALETTE

SIDE_PX, _GAP_PX = 300, 6
_GROUND = (221, 227, 233)
_MARK = "#e6007e"
_BEYOND = 0.25  # of the picture's sides: how much of what lies outside of it is shown


def class_colour(label: int) -> str:
    """The first class, fallen, stands out."""
    return (PALETTE[1], PALETTE[0], *PALETTE[2:])[label % len(PALETTE)]


def with_people(image: LabelledImage, side_px: int = SIDE_PX) -> UInt8[np.ndarray, "h w 3"]:
    """The picture, at most ``side_px`` long, with everybody in it; grey where the file cannot be read."""
    return _drawn(image, None, side_px)


def with_fault(image: LabelledImage, fault: Fault, side_px: int = SIDE_PX) -> UInt8[np.ndarray, "h w 3"]:
    """The same, with the box in question marked, on a margin where it leaves the picture."""
    return _drawn(image, fault.box_px, side_px)


def side_by_side(one: LabelledImage, other: LabelledImage) -> UInt8[np.ndarray, "h w 3"]:
    """Two pictures with their people."""
    pair = [with_people(image, SIDE_PX // 2) for image in (one, other)]
    sheet = np.full((max(len(picture) for picture in pair), SIDE_PX + _GAP_PX, 3), 255, np.uint8)
    for picture, left in zip(pair, (0, SIDE_PX // 2 + _GAP_PX), strict=True):
        height, width = picture.shape[:2]
        sheet[:height, left : left + width] = picture
    return sheet


def _drawn(image: LabelledImage, marked: Box | None, side_px: int) -> UInt8[np.ndarray, "h w 3"]:
    from PIL import Image, ImageDraw

    window = _window(image, marked)
    scale = side_px / max(window[2] - window[0], window[3] - window[1])
    sheet = Image.new("RGB", _size(window, scale), _GROUND)
    try:
        picture = Image.fromarray(read_image(image.path))
    except BadInput:  # the page says so in words
        picture = Image.new("RGB", (image.width_px, image.height_px), (128, 128, 128))
    whole = (0.0, 0.0, float(image.width_px), float(image.height_px))
    small = picture.resize(_size(whole, scale), Image.Resampling.BILINEAR)
    sheet.paste(small, (round(-window[0] * scale), round(-window[1] * scale)))
    draw = ImageDraw.Draw(sheet)

    def outline(box: Sequence[float | int], colour: str, width: int) -> None:
        # Kept within drawing range: a faulty box may be anywhere.
        corners = [(edge - window[k % 2]) * scale for k, edge in enumerate(box)]
        draw.rectangle([min(max(edge, -9.0), 2.0 * side_px) for edge in corners], outline=colour, width=width)

    for box, label in zip(image.boxes_px.tolist(), image.labels.tolist(), strict=True):
        outline(box, class_colour(label), 2)
    if marked is not None and marked[0] <= marked[2] and marked[1] <= marked[3]:
        outline(marked, _MARK, 3)
    return np.asarray(sheet)


def _window(image: LabelledImage, marked: Box | None) -> Box:
    """What is shown, in pixels of the picture: all of it, and of the marked box what is not too far."""
    width, height = float(image.width_px), float(image.height_px)
    if marked is None:
        return 0.0, 0.0, width, height
    left, top = _BEYOND * width, _BEYOND * height
    return (
        min(max(marked[0] - 2, -left), 0.0),
        min(max(marked[1] - 2, -top), 0.0),
        max(min(marked[2] + 2, width + left), width),
        max(min(marked[3] + 2, height + top), height),
    )


def _size(window: Box, scale: float | int) -> tuple[int, int]:
    return max(round((window[2] - window[0]) * scale), 1), max(round((window[3] - window[1]) * scale), 1)
