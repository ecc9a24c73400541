"""The one door to labelled data: whatever the format, boxes are checked against their pictures here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from falldet.data.faults import HARMLESS, WORDS, Fault, Faults, counted
from falldet.data.formats.coco import list_coco
from falldet.data.formats.labelme import list_labelme
from falldet.data.formats.listing import ListedBox, ListedImage, Listing, place_of
from falldet.data.formats.yolo import list_yolo
from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.data.options import CocoSource, LabelmeSource, Source, YoloSource
from falldet.detections import CLASSES
from suite.data.images import read_image_size
from suite.errors import BadInput, did_you_mean
from suite.progress import track

_ROUNDING_PX = 0.5  # by how much a box may leave its picture without a word
_MANY = 2000  # pictures from which progress is shown
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Reading:
    """A set as it can be used, and what was wrong with it as it was."""

    data: LabelledSet
    faults: tuple[Fault, ...] = ()

    def notes(self) -> list[str]:
        """One line for each kind of fault, for people."""
        return [f"{self.data.name}: {count} {WORDS[kind]}" for kind, count in counted(self.faults).items()]


def read_labelled(source: Source, classes: tuple[str, ...] = CLASSES, strict: bool = True) -> LabelledSet:
    """The pictures of a source with the people in them. Only headers of pictures are read.

    Boxes that reach out of their picture are clipped, crowds left out. Raises BadInput naming file and entry
    for anything else that cannot be right; where not ``strict``, it is left out instead, and
    :func:`inspect_labelled` tells what. Sources that are no labels at all and unknown categories are always
    refused.
    """
    return _read(source, classes, strict).data


def inspect_labelled(source: Source, classes: tuple[str, ...] = CLASSES) -> Reading:
    """The same, with everything that had to be left out or clipped told."""
    return _read(source, classes, strict=False)


def _read(source: Source, classes: tuple[str, ...], strict: bool) -> Reading:
    faults = Faults(strict)
    match source:
        case CocoSource():
            listing = list_coco(source, faults)
        case LabelmeSource():
            listing = list_labelme(source, faults)
        case YoloSource():
            listing = list_yolo(source, faults)
    numbers = _Numbers(listing, source.rename, classes)
    images: list[LabelledImage] = []
    seen: set[str] = set()
    listed = (
        listing.images if len(listing.images) < _MANY else track(listing.images, "Reading sizes of pictures")
    )
    for image in listed:
        key = place_of(image.path)
        if key in seen:
            faults.add("listed_twice", f"lists {image.path} a second time", image.where, image.path)
            continue
        seen.add(key)
        size = _size(image, faults)
        if size is not None:
            images.append(_checked(image, size, numbers, faults))
    if not images:
        first = next((fault for fault in faults.found if fault.kind not in HARMLESS), None)
        reason = "" if first is None else f" (the first, {first.where}: {first.text})"
        raise BadInput(f"has no picture that can be used{reason}", listing.where)
    return Reading(LabelledSet(listing.name, tuple(images), classes), tuple(faults.found))


class _Numbers:
    """A category's place among the classes."""

    def __init__(self, listing: Listing, rename: Mapping[str, str | None], classes: tuple[str, ...]) -> None:
        for new in rename.values():
            if new is not None and new not in classes:
                hint = f"give one of {', '.join(classes)}, or null"
                raise BadInput(f"renames a category to {new!r}, which is no class", listing.where, hint)
        self._classes = classes
        aliases = {name: new for name, new in (listing.aliases or {}).items() if new in classes}
        self._ours: dict[str, str | None] = {**aliases, **{name: name for name in classes}, **rename}

    def of(self, box: ListedBox) -> int | None:
        """None for what is left out; raises BadInput for a name that nobody knows."""
        if box.category not in self._ours:
            meant = did_you_mean(box.category, self._ours)
            ours = f" (did you mean {meant!r}?)" if meant else ""
            raise BadInput(
                f"the category {box.category!r} is none of {', '.join(self._classes)}{ours}",
                box.where,
                f"set rename: {{{box.category}: {self._classes[-1]}}} in the source, or null to leave it out",
            )
        new = self._ours[box.category]
        return None if new is None else self._classes.index(new)


def _size(image: ListedImage, faults: Faults) -> tuple[int, int] | None:
    """Width and height of the picture as it is seen; None where it is not there, or another."""
    try:
        size = read_image_size(image.path)
    except BadInput as error:
        if image.path.exists():
            faults.add("unreadable", f"the picture {image.path} {error.what}", image.where, image.path)
        else:
            hint = "names start from the folder of the labels, or from the source's root"
            faults.add("missing", f"no picture {image.path}", image.where, image.path, hint=hint)
        return None
    if image.stated_px is None or image.stated_px == size:
        return size
    said, is_ = (f"{width:g} x {height:g}" for width, height in (image.stated_px, size))
    hint = "use the pictures that the boxes were drawn in"
    if image.stated_px == size[::-1]:
        hint = "its EXIF turns the picture, and the boxes seem to be drawn before that: save it turned"
    text = f"says {said} px, but {image.path} has {is_} px"
    faults.add("size", text, image.where, image.path, hint=hint)
    return None


def _checked(image: ListedImage, size: tuple[int, int], numbers: _Numbers, faults: Faults) -> LabelledImage:
    boxes, labels, tags = [], [], []
    for box in image.boxes:
        label = numbers.of(box)
        if label is None:
            continue
        corners = box.corners
        if image.unit == "share":
            x1, y1, x2, y2 = corners
            corners = x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1]
        inside = _inside(corners, size, box.where, image.path, faults)
        if inside is not None:
            boxes.append(inside)
            labels.append(label)
            tags.append(box.tags)
    return LabelledImage(
        path=image.path,
        width_px=size[0],
        height_px=size[1],
        boxes_px=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        tags=tuple(tags),
        group=image.group,
    )


def _inside(corners: Box, size: tuple[int, int], where: str, path: Path, faults: Faults) -> Box | None:
    """The box clipped to its picture; None, and a fault, where nothing of it is left."""
    if not all(math.isfinite(edge) for edge in corners):
        faults.add("numbers", f"its box is not four finite numbers ({_spoken(corners)})", where, path)
        return None
    x1, y1, x2, y2 = corners
    if x2 <= x1 or y2 <= y1:
        text = f"its box has no area: {x2 - x1:g} x {y2 - y1:g} px at ({x1:g}, {y1:g})"
        faults.add("empty", text, where, path, corners)
        return None
    width, height = size
    clipped = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    stored = np.array(clipped, np.float32)
    text = f"its box ({_spoken(corners)}) {{}} the picture of {width} x {height} px"
    if not (stored[2:] > stored[:2]).all():
        faults.add("outside", text.format("lies outside of"), where, path, corners)
        return None
    if max(abs(one - other) for one, other in zip(clipped, corners, strict=True)) > _ROUNDING_PX:
        faults.add("clipped", text.format("reaches out of"), where, path, corners)
    return clipped


def _spoken(corners: Box) -> str:
    return ", ".join(f"{edge:g}" for edge in corners)
