"""COCO's JSON of object boxes: images, annotations, categories.

https://cocodataset.org/#format-data. Beyond it, `tags` of an annotation and `group` (or `video`) of an image
are read, and written as `tags` and `group`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from falldet.data.faults import Faults
from falldet.data.formats.listing import (
    NOWHERE,
    ListedBox,
    ListedImage,
    Listing,
    number,
    read_json_object,
    words,
)
from falldet.data.labelled import LabelledSet
from falldet.data.options import CocoSource
from suite.errors import BadInput
from suite.files import atomic_write

_DECIMALS = 3


def list_coco(source: CocoSource, faults: Faults) -> Listing:
    """Every image of the file with its boxes, but no crowds. Raises BadInput for what is not COCO."""
    file = source.file
    coco = read_json_object(file)
    for key in ("images", "annotations", "categories"):
        if not isinstance(coco.get(key), list):
            hint = "give a COCO file of object boxes; for labelme, give the folder"
            raise BadInput(f"has no list {key!r}", file, hint)
    root = file.parent if source.root is None else source.root
    categories: dict[Any, str] = {}
    for place, entry in enumerate(coco["categories"], 1):
        where = f"{file}: category number {place}"
        categories[_value(entry, "id", where)] = str(_value(entry, "name", where))
    images = _by_id(coco["images"], file, "image", faults)
    boxes: dict[Any, list[ListedBox]] = {image: [] for image in images}
    for mark, annotation in _by_id(coco["annotations"], file, "annotation", faults).items():
        where = f"{file}: annotation {mark}"
        image, category = _value(annotation, "image_id", where), _value(annotation, "category_id", where)
        if image not in images:
            faults.add("label_file", f"belongs to image {image}, which is not listed", where)
        elif category not in categories:
            faults.add("label_file", f"is of category {category}, which is not listed", where)
        elif annotation.get("iscrowd"):
            faults.add("crowd", "is a crowd", where)
        else:
            corners = _corners(annotation.get("bbox"))
            tags = words(annotation.get("tags"))
            boxes[image].append(ListedBox(categories[category], corners, where, tags))
    listed = []
    for mark, image in images.items():
        where = f"{file}: image {mark}"
        name = str(_value(image, "file_name", where))
        stated = image.get("width"), image.get("height")
        group = image.get("group", image.get("video"))
        listed.append(
            ListedImage(
                path=root / name,
                where=where,
                boxes=boxes[mark],
                stated_px=None if stated == (None, None) else (number(stated[0]), number(stated[1])),
                group=None if group is None else str(group),
            )
        )
    return Listing(f"{file.absolute().parent.name}/{file.stem}", file, listed, tuple(categories.values()))


def write_coco(data: LabelledSet, file: Path, names: Sequence[str] | None = None) -> None:
    """One file for the whole set, corners to a thousandth of a pixel. Atomic.

    ``names`` of the images are relative to the file's folder, and found from their paths where not given.
    """
    if names is None:
        folder = file.parent.absolute()
        names = [Path(os.path.relpath(image.path.absolute(), folder)).as_posix() for image in data.images]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number_, (image, name) in enumerate(zip(data.images, names, strict=True), 1):
        entry = {"id": number_, "file_name": name, "width": image.width_px, "height": image.height_px}
        images.append(entry if image.group is None else entry | {"group": image.group})
        for box, label, tags in zip(image.boxes_px.tolist(), image.labels.tolist(), image.tags, strict=True):
            x1, y1, x2, y2 = (round(edge, _DECIMALS) for edge in box)
            width, height = round(x2 - x1, _DECIMALS), round(y2 - y1, _DECIMALS)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number_,
                    "category_id": label + 1,
                    "bbox": [x1, y1, width, height],
                    "area": round(width * height, _DECIMALS),
                    "iscrowd": 0,
                    "tags": list(tags),
                }
            )
    categories = [{"id": k, "name": name} for k, name in enumerate(data.classes, 1)]
    with atomic_write(file, "w") as stream:
        coco = {"images": images, "annotations": annotations, "categories": categories}
        json.dump(coco, stream, ensure_ascii=False)


def _by_id(entries: list[Any], file: Path, kind: str, faults: Faults) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for place, entry in enumerate(entries, 1):
        mark = _value(entry, "id", f"{file}: {kind} number {place}")
        if mark in found:
            faults.add("listed_twice", f"two {kind}s have the id {mark}", f"{file}: {kind} {mark}")
            continue
        found[mark] = entry
    return found


def _value(entry: Any, key: str, where: str) -> Any:
    value = entry.get(key) if isinstance(entry, Mapping) else None
    if value is None or isinstance(value, list | dict):
        raise BadInput(f"has no {key!r}", where)
    return value


def _corners(bbox: Any) -> tuple[float, float, float, float]:
    if not isinstance(bbox, list) or len(bbox) != 4:
        return NOWHERE
    x, y, width, height = (number(value) for value in bbox)
    return x, y, x + width, y + height
