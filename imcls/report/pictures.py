"""Images with what is said of them: confident errors with Grad-CAM, and likely label faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from imcls.metrics.label_faults import ABSENT, LabelFault
from imcls.model.grad_cam import overlay
from imcls.predictions import Predictions
from suite.report.page import Flow

Pictures = Callable[[str], np.ndarray]
"""Name of an image -> uint8 (h, w, 3) RGB, as the model sees it (after resize and crop)."""
Cams = Callable[[str, int], np.ndarray]
"""Name of an image and a class -> heat (h, w) in [0, 1]."""
ACROSS, LARGE_PX, GAP_PX = 3, 320, 8
_GROUND = (221, 227, 233)


@dataclass(frozen=True)
class Statement:
    """An image's wrong answer: class ``said`` with probability ``p_said`` where ``true`` is right.

    For multi-label one of the two is ABSENT: said what is not there, or not said what is.
    """

    name: str
    true: int
    said: int
    p_said: float
    p_true: float


def confident_errors(predictions: Predictions, most: int) -> list[Statement]:
    """The ``most`` wrong answers with the highest confidence in what was said."""
    labels, p, decided = predictions.labels, predictions.probabilities(), predictions.decisions()
    if labels is None:
        return []
    found: list[Statement] = []
    if predictions.multi_label:
        wrong = np.argwhere(decided != labels)
        for i, c in wrong:
            yes, there = float(p[i, c]), bool(labels[i, c])
            said, true = (ABSENT, int(c)) if there else (int(c), ABSENT)
            name = predictions.names[i]
            found.append(Statement(name, true, said, 1 - yes if there else yes, yes if there else 1 - yes))
    else:
        for i in np.flatnonzero((decided != labels) & (labels >= 0)):
            said, true = int(decided[i]), int(labels[i])
            found.append(Statement(predictions.names[i], true, said, float(p[i, said]), float(p[i, true])))
    return sorted(found, key=lambda one: -one.p_said)[:most]


def show_errors(
    page: Flow, errors: Sequence[Statement], classes: Sequence[str], pictures: Pictures, cams: Cams | None
) -> None:
    """Cards, three in a row: the picture, beside it what spoke for the class said and for the true one."""
    cards = []
    for error in errors:
        rgb = pictures(error.name)
        beside = []
        if cams is not None:
            beside = [overlay(rgb, cams(error.name, c)) for c in (error.said, error.true) if c != ABSENT]
        if error.said == ABSENT:
            text = f"{classes[error.true]} missed ({_percent(error.p_said)} sure that it is not there)"
        elif error.true == ABSENT:
            text = f"{classes[error.said]} said ({_percent(error.p_said)}), is not there"
        else:
            said, true = classes[error.said], classes[error.true]
            text = (
                f"{true} taken for {said}: {_percent(error.p_said)} {said}, {_percent(error.p_true)} {true}"
            )
        cards.append((mosaic(rgb, beside), f"{error.name}: {text}", f"{text}. {error.name}"))
    _rows(page, cards)


def show_faults(
    page: Flow,
    faults: Sequence[LabelFault],
    predictions: Predictions,
    pictures: Pictures,
) -> None:
    """Cards: the picture in doubt, beside it typical pictures of the class given and of the likely one."""
    typical = _typical(predictions, {fault.name for fault in faults})
    cards = []
    for fault in faults:
        text = fault_text(fault, predictions.classes)
        beside = [typical[c] for c in (fault.given, fault.likely) if c in typical]
        image = mosaic(pictures(fault.name), [pictures(name) for name in beside])
        cards.append((image, f"{fault.name}: {text}", f"{text}. {fault.name}"))
    _rows(page, cards)


def fault_text(fault: LabelFault, classes: Sequence[str]) -> str:
    """`Given cat (2 %), likely dog (97 %)` in words."""
    if fault.given == ABSENT:
        return f"Label {classes[fault.likely]} seems to be missing ({_percent(fault.p_likely)})"
    if fault.likely == ABSENT:
        return f"Label {classes[fault.given]} seems to be too much ({_percent(fault.p_given)})"
    return (
        f"Given {classes[fault.given]} ({_percent(fault.p_given)}), "
        f"likely {classes[fault.likely]} ({_percent(fault.p_likely)})"
    )


def mosaic(
    large: UInt8[np.ndarray, "h w 3"], small: Sequence[UInt8[np.ndarray, "_h _w 3"]] = ()
) -> UInt8[np.ndarray, "side width 3"]:
    """A square; to its right one of its size, or two of half its size one above the other."""
    side = LARGE_PX if len(small) == 1 else (LARGE_PX - GAP_PX) // 2
    width = LARGE_PX + (GAP_PX + side if small else 0)
    sheet = np.full((LARGE_PX, width, 3), _GROUND, np.uint8)
    _put(sheet, large, 0, 0, LARGE_PX)
    for number, picture in enumerate(small[:2]):
        _put(sheet, picture, number * (side + GAP_PX), LARGE_PX + GAP_PX, side)
    return sheet


def _put(sheet: np.ndarray, rgb: np.ndarray, top: int, left: int, side: int) -> None:
    """The picture in a square of ``side``, whole and in proportion; tiny ones show their pixels."""
    from PIL import Image

    image = Image.fromarray(rgb)
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    kind = Image.Resampling.NEAREST if scale > 3 else Image.Resampling.LANCZOS
    y, x = top + (side - height) // 2, left + (side - width) // 2
    sheet[y : y + height, x : x + width] = np.asarray(image.resize((width, height), kind))


def _rows(page: Flow, cards: Sequence[tuple[np.ndarray, str, str]]) -> None:
    for start in range(0, len(cards), ACROSS):
        columns = page.columns(*(1,) * ACROSS)
        for column, (image, alt, caption) in zip(columns, cards[start : start + ACROSS], strict=False):
            column.image(image, alt, caption, photo=True)


def _typical(predictions: Predictions, without: set[str]) -> dict[int, str]:
    """The image of each class that is recognised most surely."""
    labels, p = predictions.labels, predictions.probabilities()
    if labels is None:
        return {}
    found: dict[int, str] = {}
    for c in range(len(predictions.classes)):
        of_class = labels[:, c] == 1 if predictions.multi_label else labels == c
        for i in np.argsort(-np.where(of_class, p[:, c], -1.0)):
            if of_class[i] and predictions.names[i] not in without:
                found[c] = predictions.names[i]
                break
    return found


def _percent(p: float) -> str:
    """Never `100 %` for what is not certain."""
    text = f"{100 * p:.0f}" if 0.01 <= p <= 0.99 else "<1" if p < 0.01 else ">99"
    return f"{text}\N{NO-BREAK SPACE}%"
