"""Labelled data as others write it: COCO, labelme, YOLO; `read.py` is the door."""

from falldet.data.formats.coco import write_coco
from falldet.data.formats.labelme import write_labelme
from falldet.data.formats.read import Reading, inspect_labelled, read_labelled
from falldet.data.formats.recognise import recognise
from falldet.data.formats.yolo import write_yolo

__all__ = [
    "Reading",
    "inspect_labelled",
    "read_labelled",
    "recognise",
    "write_coco",
    "write_labelme",
    "write_yolo",
]
