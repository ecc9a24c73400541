"""labelme's JSON: one file for each picture, beside it.

https://github.com/wkentaro/labelme. A person is a rectangle labelled "1" (fallen) or "0" (not fallen), or
with the class's own name; the true flags of a shape are tags. A top-level key `group`, which labelme keeps
when it saves, names the clip or scene.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from falldet.data.faults import Faults
from falldet.data.formats.listing import (
    NOWHERE,
    PICTURES,
    ListedBox,
    ListedImage,
    Listing,
    number,
    place_of,
    read_json_object,
    words,
)
from falldet.data.labelled import LabelledSet
from falldet.data.options import LabelmeSource
from falldet.detections import CLASSES
from suite.errors import BadInput
from suite.files import atomic_write

ALIASES = {"1": "fallen", "0": "not_fallen"}
"""The labels of the first fall detectors that were labelled so."""
_BOXED = ("rectangle", "polygon", "mask")  # whose points span their box
_DECIMALS = 3


def list_labelme(source: LabelmeSource, faults: Faults) -> Listing:
    """Every JSON of the folder and those below; pictures without one are told and left out."""
    root = source.root
    if not root.is_dir():
        raise BadInput("no such folder", root)
    listed: list[ListedImage] = []
    for file in sorted(root.rglob("*.json")):
        try:
            image = _image(file, faults)
        except BadInput as error:
            faults.add("label_file", error.what, error.where or file, hint=error.hint)
            continue
        listed.append(image)
    if not listed and not faults.found:
        raise BadInput("holds no labelme JSON", root)
    labelled = {place_of(image.path) for image in listed}
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in PICTURES):
        if place_of(path) not in labelled:
            faults.add("unlabelled", f"has no {path.stem}.json", path, path)
    return Listing(root.absolute().name, root, listed, aliases=ALIASES)


def write_labelme(data: LabelledSet, folder: Path, names: Sequence[str]) -> None:
    """A JSON beside each picture ``folder / name``, corners to a thousandth of a pixel. Each is atomic.

    Labels are "1" and "0" for fallen and not fallen, else the names of the classes.
    """
    ours = {name: label for label, name in ALIASES.items()} if data.classes == CLASSES else {}
    for image, name in zip(data.images, names, strict=True):
        path = Path(name)
        boxes = image.boxes_px.astype(float).round(_DECIMALS).reshape(-1, 2, 2).tolist()
        shapes = [
            {
                "label": ours.get(data.classes[label], data.classes[label]),
                "points": corners,
                "group_id": None,
                "description": "",
                "shape_type": "rectangle",
                "flags": dict.fromkeys(tags, True),
            }
            for corners, label, tags in zip(boxes, image.labels.tolist(), image.tags, strict=True)
        ]
        entry: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": path.name,
            "imageData": None,
            "imageHeight": image.height_px,
            "imageWidth": image.width_px,
        }
        if image.group is not None:
            entry["group"] = image.group
        with atomic_write((folder / path).with_suffix(".json"), "w") as stream:
            json.dump(entry, stream, ensure_ascii=False, indent=1)


def _image(file: Path, faults: Faults) -> ListedImage:
    entry = read_json_object(file)
    shapes, name = entry.get("shapes"), entry.get("imagePath")
    if not isinstance(shapes, list) or not isinstance(name, str) or not name:
        raise BadInput("has no 'shapes' or no 'imagePath'", file, "give a folder of labelme JSONs alone")
    boxes = []
    for place, shape in enumerate(shapes, 1):
        where = f"{file}: shape {place}"
        if not isinstance(shape, dict) or not isinstance(label := shape.get("label"), str | int):
            raise BadInput("has no label", where)
        kind = shape.get("shape_type", "polygon")  # what the first versions drew
        if kind not in _BOXED:
            faults.add("shape", f"is a {kind}, which has no box", where, hint="draw a rectangle")
            continue
        boxes.append(ListedBox(str(label), _span(shape.get("points")), where, words(shape.get("flags"))))
    stated = entry.get("imageWidth"), entry.get("imageHeight")
    group = entry.get("group", entry.get("video"))
    return ListedImage(
        path=_picture(file, name),
        where=str(file),
        boxes=boxes,
        stated_px=None if stated == (None, None) else (number(stated[0]), number(stated[1])),
        group=None if group is None else str(group),
    )


def _picture(file: Path, name: str) -> Path:
    """What imagePath says, relative to the file; where that is gone, the picture of that name beside it."""
    said = file.parent / name.replace("\\", "/")
    beside = file.parent / said.name
    return beside if not said.is_file() and beside.is_file() else Path(os.path.normpath(said))


def _span(points: Any) -> tuple[float, float, float, float]:
    if not isinstance(points, list) or len(points) < 2:
        return NOWHERE
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        return NOWHERE
    xs, ys = ([number(point[axis]) for point in points] for axis in (0, 1))
    if any(value != value for value in (*xs, *ys)):  # min and max would step over a NaN
        return NOWHERE
    return min(xs), min(ys), max(xs), max(ys)
