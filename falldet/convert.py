"""Labelled data from one format into another, with its pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from falldet.data.faults import Fault
from falldet.data.formats import (
    Reading,
    inspect_labelled,
    read_labelled,
    write_coco,
    write_labelme,
    write_yolo,
)
from falldet.data.labelled import LabelledSet
from falldet.data.options import CocoSource, LabelmeSource, Source, YoloSource
from falldet.detections import CLASSES
from suite.errors import BadInput
from suite.files import atomic_folder
from suite.progress import track

Format = Literal["coco", "labelme", "yolo"]
COCO_FILE = "annotations.json"


@dataclass(frozen=True)
class Converted:
    """What was written. ``source`` reads it; ``lost`` says what the format has no place for."""

    source: Source
    pictures: int
    people: dict[str, int]
    lost: tuple[str, ...]
    faults: tuple[Fault, ...]


def convert(
    source: Source,
    to: Format,
    folder: Path,
    copy_images: bool = True,
    strict: bool = True,
    classes: tuple[str, ...] = CLASSES,
) -> Converted:
    """Write a source into a new folder, labels and pictures, whole or not at all.

    Pictures are copied, or stand there as symbolic links. Where not ``strict``, faulty boxes and pictures are
    left out and told. Raises BadInput as :func:`read_labelled` does, and where the folder is occupied.
    """
    reading = Reading(read_labelled(source, classes)) if strict else inspect_labelled(source, classes)
    data = reading.data
    written = write_labelled(data, to, folder, copy_images)
    return Converted(written, len(data), data.counts(), tuple(lost(data, to)), reading.faults)


def write_labelled(data: LabelledSet, to: Format, folder: Path, copy_images: bool = True) -> Source:
    """Write a set into a new folder with its pictures, whole or not at all; the source that reads it."""
    names = _picture_names(data, to)
    with atomic_folder(folder) as part:
        # labelme's pictures lie beside their labels.
        _place(data, part if to == "labelme" else part / "images", names, copy_images)
        match to:
            case "coco":
                write_coco(data, part / COCO_FILE, [f"images/{name}" for name in names])
            case "labelme":
                write_labelme(data, part, names)
            case "yolo":
                write_yolo(data, part, names)
    match to:
        case "coco":
            return CocoSource(file=folder / COCO_FILE)
        case "labelme":
            return LabelmeSource(root=folder)
        case "yolo":
            return YoloSource(root=folder)


def lost(data: LabelledSet, to: Format) -> list[str]:
    """One line for each thing that the format cannot hold."""
    if to != "yolo":
        return []
    tagged = sum(bool(tags) for image in data.images for tags in image.tags)
    grouped = sum(image.group is not None for image in data.images)
    lines = {"the tags of {} people": tagged, "the group (clip or scene) of {} pictures": grouped}
    return [f"YOLO has no place for {line.format(count)}" for line, count in lines.items() if count]


def _picture_names(data: LabelledSet, to: Format) -> list[str]:
    """A name for each picture: its path below the folder that all are below."""
    paths = [Path(os.path.normpath(image.path.absolute())) for image in data.images]
    root = os.path.commonpath([path.parent for path in paths]) if paths else ""
    names = [path.relative_to(root).as_posix() for path in paths]
    first: dict[str, str] = {}
    for name in names if to != "coco" else ():  # the others have a file for each picture
        stem = os.path.normcase(Path(name).with_suffix(""))
        if stem in first:
            hint = "rename one of them"
            raise BadInput(f"{first[stem]} and {name} would share one label file", data.name, hint)
        first[stem] = name
    return names


def _place(data: LabelledSet, folder: Path, names: Sequence[str], copy: bool) -> None:
    what = "Copying pictures" if copy else "Linking pictures"
    for image, name in track(list(zip(data.images, names, strict=True)), what):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if copy:
                shutil.copyfile(image.path, target)
            else:
                target.symlink_to(image.path.resolve())
        except OSError as error:
            raise BadInput(
                f"cannot be {'copied' if copy else 'linked'} ({error.strerror})", image.path
            ) from None
