"""The boxes of a COCO file, each an image of its category."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imcls.data.listing import Listing
from imcls.data.options import CocoSource
from suite.errors import BadInput, did_you_mean

Box = tuple[float, float, float, float]


def read_coco(source: CocoSource, classes: tuple[str, ...] | None = None) -> Listing:
    """One row for each box of the categories in ``classes`` (all that have boxes, where None), sorted by
    image. Boxes of one image are one group.

    Boxes are widened by the margin, clipped to the image and, where the file's sizes are those of an image
    before it is turned as its EXIF says, turned with it. Crowds and boxes that are too small are left out
    and counted in the notes. Raises BadInput for a file that is not COCO or does not belong to the images.
    """
    file = source.file
    coco = _load(file)
    root = file.parent if source.root is None else source.root
    images = {_key(image, "id", file, "image"): image for image in coco["images"]}
    categories = {_key(c, "id", file, "category"): str(_key(c, "name", file, "category"))
                  for c in coco["categories"]}  # fmt: skip
    for name in classes or ():
        if name not in categories.values():
            close = did_you_mean(name, categories.values())
            raise BadInput(
                f"the class {name!r} is no category of {file}",
                where="data.classes",
                hint=f"did you mean {close!r}?" if close else f"there are {', '.join(categories.values())}",
            )
    listing = Listing(place=str(file), groups=[], boxes=[])
    left_out = {"crowds": 0, "small": 0, "others": 0}
    order = {image: place for place, image in enumerate(images)}
    sizes: dict[Any, _Turned] = {}
    annotations = sorted(
        coco["annotations"], key=lambda a: order.get(a.get("image_id") if isinstance(a, dict) else None, -1)
    )
    for number, annotation in enumerate(annotations):
        mark = _key(annotation, "id", file, "annotation", number)
        where = f"{file}: annotation {mark}"
        image_id = _key(annotation, "image_id", file, "annotation", number)
        category = _key(annotation, "category_id", file, "annotation", number)
        if image_id not in images:
            raise BadInput(f"belongs to image {image_id}, which is not listed", where=where)
        if category not in categories:
            raise BadInput(f"is of category {category}, which is not listed", where=where)
        if annotation.get("iscrowd"):
            left_out["crowds"] += 1
            continue
        if classes is not None and categories[category] not in classes:
            left_out["others"] += 1
            continue
        image = images[image_id]
        name = str(_key(image, "file_name", file, "image"))
        if image_id not in sizes:
            sizes[image_id] = _Turned.of(root / name, image, f"{file}: image {image_id}")
        box = _box(annotation.get("bbox"), where)
        if min(box[2] - box[0], box[3] - box[1]) < source.smallest_px:
            left_out["small"] += 1
            continue
        listing.add(f"{name}#{mark}", root / name, (categories[category],), where)
        listing.boxes.append(sizes[image_id].upright(_widened(box, source.margin), where))  # type: ignore[union-attr]
        listing.groups.append(name)  # type: ignore[union-attr]
    if not listing.names:
        raise BadInput("holds no boxes that can be used", where=file)
    _note(listing, left_out, source, categories)
    return listing


class _Turned:
    """Size of an image as the COCO file has it, and how to turn its boxes upright."""

    def __init__(self, width: float | int, height: float | int, orientation: int) -> None:
        self.width, self.height, self.orientation = width, height, orientation

    @classmethod
    def of(cls, path: Path, image: Mapping[str, Any], where: str) -> _Turned:
        if not path.is_file():
            raise BadInput(
                f"no image {path}",
                where=where,
                hint="set data.source.root to the folder the names start from",
            )
        stated = image.get("width"), image.get("height")
        stored, orientation = _stored_size(path)
        if stored is None:  # unreadable: the cache will say so
            return cls(stated[0] or float("inf"), stated[1] or float("inf"), 1)
        upright = (stored[1], stored[0]) if orientation >= 5 else stored
        if stated in ((None, None), upright):
            return cls(upright[0], upright[1], 1)
        if stated == stored:
            return cls(stored[0], stored[1], orientation)
        raise BadInput(
            f"is stated as {stated[0]} x {stated[1]} px, but {path} has {upright[0]} x {upright[1]}",
            where=where,
            hint="use the images that the boxes were drawn in",
        )

    def upright(self, box: Box, where: str) -> Box:
        """Clipped to the image, in pixels of the upright image."""
        w, h = self.width, self.height
        x0, y0, x1, y1 = max(box[0], 0.0), max(box[1], 0.0), min(box[2], w), min(box[3], h)
        if x1 <= x0 or y1 <= y0:
            raise BadInput(f"the box {box} lies outside of the image of {w} x {h} px", where=where)
        # What ImageOps.exif_transpose does to the image, done to the corners.
        turns = {
            1: (x0, y0, x1, y1),
            2: (w - x1, y0, w - x0, y1),
            3: (w - x1, h - y1, w - x0, h - y0),
            4: (x0, h - y1, x1, h - y0),
            5: (y0, x0, y1, x1),
            6: (h - y1, x0, h - y0, x1),
            7: (h - y1, w - x1, h - y0, w - x0),
            8: (y0, w - x1, y1, w - x0),
        }
        return turns[self.orientation]


def _stored_size(path: Path) -> tuple[tuple[int, int] | None, int]:
    """Width and height before turning, and the EXIF orientation (1 to 8)."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(0x0112, 1)
            return image.size, orientation if orientation in range(1, 9) else 1
    except Exception:  # whatever a decoder raises on a broken header
        return None, 1


def _load(file: Path) -> Any:
    if not file.is_file():
        raise BadInput("no such file", where=file, hint="set data.source.file to the COCO annotations")
    try:
        coco = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"is not JSON ({error})", where=file) from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(coco, dict) or not isinstance(coco.get(key), list):
            raise BadInput(f"has no list {key!r}", where=file, hint="give a COCO file of object boxes")
    return coco


def _key(entry: Any, key: str, file: Path, kind: str, number: int | None = None) -> Any:
    if not isinstance(entry, dict) or entry.get(key) is None or isinstance(entry[key], list | dict):
        place = f" (entry {number})" if number is not None else ""
        raise BadInput(f"{kind} without {key!r}{place}", where=file)
    return entry[key]


def _box(bbox: Any, where: str) -> Box:
    try:
        x, y, width, height = (float(edge) for edge in bbox)
        if not all(abs(edge) < 1e7 for edge in (x, y, width, height)):
            raise ValueError
    except (TypeError, ValueError):
        raise BadInput(f"bbox {bbox!r} is not [x, y, width, height]", where=where) from None
    return x, y, x + width, y + height


def _widened(box: Box, margin: float | int) -> Box:
    across, down = margin * (box[2] - box[0]), margin * (box[3] - box[1])
    return box[0] - across, box[1] - down, box[2] + across, box[3] + down


def _note(
    listing: Listing, left_out: dict[str, int], source: CocoSource, categories: Mapping[Any, str]
) -> None:
    used = {row[0] for row in listing.labels}
    empty = [name for name in categories.values() if name not in used]
    small, crowds, others = left_out["small"], left_out["crowds"], left_out["others"]
    notes = {
        f"boxes left out for a side under {source.smallest_px} px: {small}": small,
        f"boxes left out as crowds: {crowds}": crowds,
        f"boxes left out as of categories that data.classes does not name: {others}": others,
        f"categories without boxes: {', '.join(empty[:8])}": 0 if others else len(empty),
    }
    listing.notes += [note for note, count in notes.items() if count]
