"""What a detector says of one picture: boxes with a score and a class; the currency between all parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64, Shaped

CLASSES = ("fallen", "not_fallen")
"""The two classes of every person, in the order of a model's outputs; background comes after them."""
FALLEN = 0


@dataclass(frozen=True, eq=False)
class Detections:
    """n people of one picture, the most certain first.

    ``boxes_px`` are (x1, y1, x2, y2) in pixels of the picture as a person sees it, 0 at the outer edge of its
    first pixel; ``labels`` are places in ``classes``.
    """

    boxes_px: Float32[np.ndarray, "n 4"]
    scores: Float32[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]
    classes: tuple[str, ...] = CLASSES

    def __post_init__(self) -> None:
        if not len(self.boxes_px) == len(self.scores) == len(self.labels):
            sizes = f"{len(self.boxes_px)} boxes, {len(self.scores)} scores, {len(self.labels)} labels"
            raise ValueError(f"{sizes} do not belong together")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(f"a label is not among the {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.scores)

    @staticmethod
    def none(classes: tuple[str, ...] = CLASSES) -> Detections:
        """Nobody."""
        return Detections(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), classes
        )

    def chosen(self, keep: Shaped[np.ndarray, " k"]) -> Detections:
        """Those at ``keep``, places or a mask."""
        return Detections(self.boxes_px[keep], self.scores[keep], self.labels[keep], self.classes)

    def above(self, threshold: float) -> Detections:
        """Those with at least this score."""
        return self.chosen(self.scores >= threshold)

    def as_dicts(self) -> list[dict[str, Any]]:
        """For JSON: class, score, box_px, one for each person."""
        return [
            {
                "class": self.classes[label],
                "score": round(float(score), 4),
                "box_px": [round(float(edge), 1) for edge in box],
            }
            for box, score, label in zip(self.boxes_px, self.scores, self.labels, strict=True)
        ]


@runtime_checkable
class Card(Protocol):
    """What a model says of itself: ``threshold`` is the score from which a person counts as fallen."""

    @property
    def threshold(self) -> float: ...


@runtime_checkable
class Detecting(Protocol):
    """A model that looks at pictures, (h, w, 3) uint8 RGB of any sizes, some at a time."""

    @property
    def card(self) -> Card: ...
    def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]: ...
