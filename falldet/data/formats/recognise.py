"""Which format a path holds, by looking."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from falldet.data.formats.listing import PICTURES, read_json_object
from falldet.data.formats.yolo import NAMES_FILES, label_file
from falldet.data.options import CocoSource, LabelmeSource, Source, YoloSource
from suite.errors import BadInput

_LOOKED_AT = 50
_KINDS = "give a COCO .json, a folder of pictures with labelme JSONs, or one with YOLO text files"


def recognise(path: str | Path, rename: dict[str, str | None] | None = None) -> Source:
    """The source at ``path``: a COCO file, or a folder of labelme, YOLO or one COCO file.

    Raises BadInput for anything else.
    """
    path = Path(path)
    rename = rename or {}
    if path.is_dir():
        return _folder(path, rename)
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        raise BadInput("is not labelled data by itself", path, "give the folder of one split, such as train")
    if path.suffix.lower() != ".json" and path.is_file():
        raise BadInput("is not labelled data", path, _KINDS)
    if _json_kind(path) == "labelme":
        raise BadInput("is the labelme file of one picture", path, "give its folder")
    return CocoSource(file=path, rename=rename)  # whose reader says what is wrong with another JSON


def _folder(path: Path, rename: dict[str, str | None]) -> Source:
    jsons = sorted(path.glob("*.json")) or sorted(islice(path.rglob("*.json"), _LOOKED_AT))
    kinds = {file: _kind_or_none(file) for file in jsons[:_LOOKED_AT]}
    coco = [file for file, kind in kinds.items() if kind == "coco"]
    if len(coco) > 1:
        names = ", ".join(file.name for file in coco[:5])
        raise BadInput(f"holds several COCO files: {names}", path, "give one of them")
    if coco:
        return CocoSource(file=coco[0], rename=rename)
    if "labelme" in kinds.values():
        return LabelmeSource(root=path, rename=rename)
    named = any((path / name).is_file() for name in NAMES_FILES)
    pictures = (file for file in path.rglob("*") if file.suffix.lower() in PICTURES)
    if named or any(label_file(file).is_file() for file in islice(pictures, _LOOKED_AT)):
        return YoloSource(root=path, rename=rename)
    raise BadInput("holds no labelled data", path, _KINDS)


def _json_kind(path: Path) -> str:
    entry = read_json_object(path)
    return "labelme" if "shapes" in entry and "imagePath" in entry else "coco" if "images" in entry else ""


def _kind_or_none(path: Path) -> str:
    try:
        return _json_kind(path)
    except BadInput:
        return ""  # one damaged file hides no folder; its reader will name it
