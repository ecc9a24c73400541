"""Draws pictures of people and writes them as a COCO file; picture i is a function of the options and i."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from falldet.detections import CLASSES
from falldet.synthetic.camera import View, draw_view
from falldet.synthetic.finish import developed
from falldet.synthetic.options import SyntheticOptions
from falldet.synthetic.people import draw_shape
from falldet.synthetic.render import render
from falldet.synthetic.scene import draw_scene
from falldet.synthetic.stills import Still, Stills
from falldet.synthetic.wear import Wardrobe
from suite.body import ShapedBody, load_body
from suite.errors import BadInput
from suite.files import atomic_write
from suite.progress import track

_ATTEMPTS = 6
_TRACE_PX = 30  # of a person without a label, this much may be seen


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture; ``kinds`` are the postures of the people whose boxes are given."""

    rgb: UInt8[np.ndarray, "h w 3"]
    boxes_px: Float[np.ndarray, "n 4"]
    labels: tuple[int, ...]
    kinds: tuple[str, ...]
    jpeg_quality: int


class Studio:
    """Bodies and backgrounds, ready to take pictures."""

    def __init__(self, options: SyntheticOptions, backgrounds: Sequence[np.ndarray] = ()) -> None:
        """``backgrounds`` are photographs (h, w, 3) uint8 beside those of the folder in the options."""
        self.options = options
        self.backgrounds = list(backgrounds)
        if options.backgrounds is not None:
            self.backgrounds += _photographs(options.backgrounds)
        self._body = load_body()
        self._wardrobe = Wardrobe(self._body)
        rng = np.random.default_rng([options.seed, 0])
        shapes = [draw_shape(rng) for _ in range(options.people)]
        self._bodies: list[ShapedBody] = [self._body.shaped(shape) for shape in shapes]
        self._stills = Stills(options)

    def picture(self, index: int) -> Picture:
        """Picture ``index``: the same whatever was drawn before."""
        rng = np.random.default_rng([self.options.seed, 1, index])
        take = partial(self._stills.take, index) if self._stills.has(index) else self._taken
        still = take(rng)
        boxes, people, clear = self._seen(still)
        for _ in range(_ATTEMPTS):
            if clear and (people or not still.people):
                break
            still = take(rng)
            boxes, people, clear = self._seen(still)
        rgb = developed(still.rendered.rgb, still.rendered.person, rng)
        kinds = tuple(still.people[k].kind for k in people)
        labels = tuple(0 if still.people[k].fallen else 1 for k in people)
        return Picture(rgb, boxes, labels, kinds, int(rng.integers(45, 96)))

    def _taken(self, rng: np.random.Generator) -> Still:
        o = self.options
        aspect = o.aspects[rng.integers(len(o.aspects))]
        w = o.image_px if aspect >= 1 else round(o.image_px * aspect)
        h = round(o.image_px / aspect) if aspect >= 1 else o.image_px
        with_photo = bool(self.backgrounds) and rng.random() < o.background_share
        scene = draw_scene(o, self._bodies, self._wardrobe, with_photo, rng)
        view = draw_view(scene, w, h, rng)
        backdrop = None
        if with_photo:
            photo = self.backgrounds[rng.integers(len(self.backgrounds))]
            backdrop = _cropped(photo, w, h, rng).astype(np.float32) / 255
        return Still(scene.people, view, render(scene, view, backdrop, rng))

    def _seen(self, still: Still) -> tuple[np.ndarray, list[int], bool]:
        """Boxes of those who are seen well enough, who they are, and whether nobody else is seen at all."""
        boxes, people, clear = [], [], True
        for k, person in enumerate(still.people):
            mask = still.rendered.person == k
            if not mask.any():
                continue
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            small = min(box[2] - box[0], box[3] - box[1]) < self.options.min_side_px
            if small or visible_share(person.vertices, still.view, mask) < self.options.min_visible:
                clear = clear and int(mask.sum()) < _TRACE_PX
                continue
            boxes.append(box)
            people.append(k)
        return np.array(boxes, np.float32).reshape(-1, 4), people, clear


def visible_share(vertices: Float[np.ndarray, "n 3"], view: View, mask: np.ndarray) -> float:
    """How much of a body is seen: of the cells of 4 px that its vertices fall into, in the picture or not."""
    pixels, front = view.project(vertices[::2])
    cells = np.unique(np.floor(np.clip(pixels[front], -1e4, 1e4) / 4).astype(int), axis=0)
    if not len(cells):
        return 0.0
    h, w = mask.shape
    inside = (cells >= 0).all(axis=1) & (cells[:, 0] * 4 < w) & (cells[:, 1] * 4 < h)
    coarse = cv2.dilate(mask.astype(np.uint8), np.ones((4, 4), np.uint8))
    x, y = cells[inside].T
    seen = coarse[np.minimum(y * 4 + 2, h - 1), np.minimum(x * 4 + 2, w - 1)].sum()
    return float(seen / len(cells))


def synthesize(options: SyntheticOptions, out: Path) -> Path:
    """Write ``count`` pictures below ``out`` and a COCO file over them; gives its path.

    Pictures that are there already are kept, so that an interrupted run goes on. Raises BadInput where the
    folder holds pictures of other settings.
    """
    out = Path(out)
    _claim(out, options)
    studio = Studio(options)
    records = []
    for index in track(range(options.first, options.first + options.count), "drawing people"):
        record = out / "records" / f"{index:06d}.json"
        if not record.exists():
            _write(studio.picture(index), index, record, out)
        records.append(json.loads(record.read_text()))
    path = out / "train.json"
    with atomic_write(path, "w") as stream:
        json.dump(_coco(records), stream)
    return path


def _claim(out: Path, options: SyntheticOptions) -> None:
    for folder in ("images", "records"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    settings = options.model_dump(mode="json", exclude={"count", "first"})
    file = out / "settings.json"
    if file.exists() and json.loads(file.read_text()) != settings:
        raise BadInput("holds pictures that were drawn with other settings", out, hint="give another folder")
    with atomic_write(file, "w") as stream:
        json.dump(settings, stream)


def _write(picture: Picture, index: int, record: Path, out: Path) -> None:
    """The picture, then its record, which says that it is complete."""
    name = f"images/{index:06d}.jpg"
    ok, coded = cv2.imencode(".jpg", picture.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, picture.jpeg_quality])
    assert ok
    (out / name).write_bytes(coded.tobytes())
    h, w = picture.rgb.shape[:2]
    image = {"file_name": name, "width": w, "height": h, "group": f"scene {index}"}
    people = []
    for (x1, y1, x2, y2), label, kind in zip(
        picture.boxes_px.tolist(), picture.labels, picture.kinds, strict=True
    ):
        box, area = [x1, y1, x2 - x1, y2 - y1], (x2 - x1) * (y2 - y1)
        people.append({"category_id": label + 1, "bbox": box, "area": area, "iscrowd": 0, "tags": [kind]})
    with atomic_write(record, "w") as stream:
        json.dump({"image": image, "people": people}, stream)


def _coco(records: list[dict[str, Any]]) -> dict[str, Any]:
    images, annotations = [], []
    for number, record in enumerate(records, start=1):
        images.append({"id": number, **record["image"]})
        for person in record["people"]:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **person})
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _photographs(folder: Path) -> list[np.ndarray]:
    from suite.data.images import read_image

    if not folder.is_dir():
        raise BadInput("no such folder of background photographs", folder)
    return [read_image(p) for p in sorted(folder.iterdir()) if p.suffix.lower() in (".jpg", ".jpeg", ".png")]


def _cropped(photo: np.ndarray, w: int, h: int, rng: np.random.Generator) -> np.ndarray:
    """A part of the photograph of the picture's proportions, perhaps mirrored."""
    most = min(photo.shape[1] / w, photo.shape[0] / h)
    scale = most * float(rng.uniform(0.7, 1.0))
    cw, ch = int(w * scale), int(h * scale)
    x, y = int(rng.integers(photo.shape[1] - cw + 1)), int(rng.integers(photo.shape[0] - ch + 1))
    part = cv2.resize(photo[y : y + ch, x : x + cw], (w, h), interpolation=cv2.INTER_AREA)
    return part[:, ::-1].copy() if rng.random() < 0.5 else part
