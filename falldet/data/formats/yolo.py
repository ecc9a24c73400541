"""YOLO's text files: `class cx cy w h` a line, in shares of the picture's width and height.

A picture's file lies beside it, or below `labels` where the picture lies below `images`; without one, or with
an empty one, nobody is in the picture. A line of a class and three or more corners is a polygon, whose box is
taken. Names of the classes stand in data.yaml. There is no place for tags and groups.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from falldet.data.faults import Faults
from falldet.data.formats.listing import NOWHERE, PICTURES, ListedBox, ListedImage, Listing
from falldet.data.labelled import LabelledSet
from falldet.data.options import YoloSource
from suite.errors import BadInput
from suite.files import atomic_write

NAMES_FILES = ("data.yaml", "data.yml", "dataset.yaml")


def list_yolo(source: YoloSource, faults: Faults) -> Listing:
    """Every picture of the folder and those below. Raises BadInput where class numbers have no names."""
    root = source.root
    if not root.is_dir():
        raise BadInput("no such folder", root)
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in PICTURES)
    if not paths:
        raise BadInput("holds no pictures", root)
    names = class_names(root) if source.names is None else dict(enumerate(source.names))
    listed, files = [], 0
    for path in paths:
        file = label_file(path)
        if not file.is_file():
            faults.add("unlabelled", f"has no {file.name}; nobody is said to be in it", path, path)
            listed.append(ListedImage(path, str(path), (), unit="share"))
            continue
        files += 1
        try:
            boxes = _boxes(file, names)
        except BadInput as error:
            faults.add("label_file", error.what, error.where or file, path, hint=error.hint)
            continue
        listed.append(ListedImage(path, str(file), boxes, unit="share"))
    if not files:
        raise BadInput(
            f"has no label file for any of its {len(paths)} pictures",
            root,
            f"{label_file(paths[0])} would be the first",
        )
    return Listing(root.absolute().name, root, listed, tuple(names.values()))


def write_yolo(data: LabelledSet, folder: Path, names: Sequence[str]) -> None:
    """Text files below ``folder/labels`` for pictures ``folder/images/name``, and data.yaml; 6 decimals."""
    for image, name in zip(data.images, names, strict=True):
        lines = []
        for (x1, y1, x2, y2), label in zip(image.boxes_px.tolist(), image.labels.tolist(), strict=True):
            width, height = image.width_px, image.height_px
            shares = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
            lines.append(f"{label} " + " ".join(f"{share:.6f}" for share in shares) + "\n")
        with atomic_write((folder / "labels" / name).with_suffix(".txt"), "w") as stream:
            stream.writelines(lines)
    with atomic_write(folder / "data.yaml", "w") as stream:
        stream.write("train: images\nval: images\nnames:\n")
        stream.writelines(f"  {k}: {json.dumps(name)}\n" for k, name in enumerate(data.classes))


def label_file(path: Path) -> Path:
    """Where the labels of a picture are looked for."""
    parts = list(path.absolute().parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parallel = Path(*parts[:place], "labels", *parts[place + 1 :]).with_suffix(".txt")
            beside = path.with_suffix(".txt")
            return beside if beside.is_file() and not parallel.is_file() else parallel
    return path.with_suffix(".txt")


def class_names(root: Path) -> dict[int, str]:
    """Number -> name, of data.yaml in the folder or up to two above. Raises BadInput where there is none."""
    import yaml

    folders = [root, *Path(os.path.normpath(root.absolute())).parents[:2]]
    files = [folder / name for folder in folders for name in NAMES_FILES]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        hint = (
            "put `names: [fallen, not_fallen]` there, in the order of the numbers, or set names in the source"
        )
        raise BadInput("has no data.yaml that names the classes", root, hint)
    try:
        # Every scalar as the text it is: a class may be called `no`.
        values: Any = yaml.load(file.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"is not YAML ({str(error).splitlines()[0]})", file) from None
    names = values.get("names") if isinstance(values, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise BadInput("has no names of classes", file, "write `names: [fallen, not_fallen]`")
    if not all(str(number).isdecimal() for number in names):
        raise BadInput("names must be a list, or a mapping from numbers", file)
    return {int(number): name for number, name in names.items()}


def _boxes(file: Path, names: dict[int, str]) -> list[ListedBox]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadInput("is not a text file", file) from None
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", file) from None
    return [
        _box(line.split(), names, f"{file}:{place}") for place, line in enumerate(lines, 1) if line.strip()
    ]


def _box(fields: list[str], names: dict[int, str], where: str) -> ListedBox:
    try:
        number, values = int(fields[0]), [float(field) for field in fields[1:]]
    except ValueError:
        raise BadInput(f"{' '.join(fields)[:60]!r} is not a class and numbers", where) from None
    if number not in names:
        known = ", ".join(f"{k} {name}" for k, name in sorted(names.items()))
        raise BadInput(f"is of class {number}, which has no name", where, f"there are {known}")
    if len(values) == 4:
        x, y, width, height = values
        return ListedBox(names[number], (x - width / 2, y - height / 2, x + width / 2, y + height / 2), where)
    if len(values) < 6 or len(values) % 2:
        raise BadInput(f"has {len(values)} numbers after the class, not 4 (cx cy w h)", where)
    xs, ys = values[::2], values[1::2]
    if any(value != value for value in values):
        return ListedBox(names[number], NOWHERE, where)
    return ListedBox(names[number], (min(xs), min(ys), max(xs), max(ys)), where)
