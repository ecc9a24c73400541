"""Pictures and the people labelled in them, whatever format they came in; checked once, trusted inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from falldet.detections import CLASSES


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One picture and the n people in it.

    ``boxes_px`` are (x1, y1, x2, y2) in pixels of the picture as it is seen (its EXIF turn applied), inside
    it and of positive size; ``labels`` are places in the set's classes. ``tags`` are words on each person
    (lie, sit, danger, ...) that evaluation is divided by. Pictures of one ``group`` (a clip, a scene) are
    alike and must not be on both sides of a split.
    """

    path: Path
    width_px: int
    height_px: int
    boxes_px: Float32[np.ndarray, "n 4"]
    labels: Int64[np.ndarray, " n"]
    tags: tuple[tuple[str, ...], ...]
    group: str | None = None

    def __post_init__(self) -> None:
        if not len(self.boxes_px) == len(self.labels) == len(self.tags):
            raise ValueError(f"{self.path}: boxes, labels and tags do not belong together")
        if len(self.boxes_px):
            low, high = self.boxes_px[:, :2], self.boxes_px[:, 2:]
            inside = (low >= 0).all() and (high <= (self.width_px, self.height_px)).all()
            if not (inside and (high > low).all()):
                raise ValueError(f"{self.path}: a box is empty or leaves the picture")


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Labelled pictures of one source. ``name`` is for people: tables, messages."""

    name: str
    images: tuple[LabelledImage, ...]
    classes: tuple[str, ...] = CLASSES

    def __len__(self) -> int:
        return len(self.images)

    def counts(self) -> dict[str, int]:
        """People of each class."""
        labels = np.concatenate([image.labels for image in self.images] or [np.zeros(0, np.int64)])
        return {name: int((labels == k).sum()) for k, name in enumerate(self.classes)}
