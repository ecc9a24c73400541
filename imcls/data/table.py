"""The images to be learned from or judged: where they are, what they show, what belongs together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from suite.errors import BadInput

UNKNOWN = -1


@dataclass(frozen=True)
class ImageTable:
    """n images and their labels, in a fixed order.

    ``names`` are unique and stay the same wherever the data set lies (relative POSIX paths; crops add
    ``#number``). ``labels`` is (n,) int64 with a class index or UNKNOWN, or (n, k) uint8 for multi-label.
    ``boxes`` (n, 4) float64 are x0, y0, x1, y1 in pixels of the upright image, where parts of images are
    meant. ``notes`` say what was left out when the source was read, a sentence each.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    boxes: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n, k = len(self.names), len(self.classes)
        lengths = {len(self.paths), len(self.labels), n}
        lengths |= {len(extra) for extra in (self.groups, self.boxes) if extra is not None}
        if lengths != {n}:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")
        if len(set(self.names)) != n:
            twice = Counter(self.names).most_common(1)[0][0]
            raise BadInput(f"the image {twice!r} is listed twice", hint="list every image once")
        if self.multi_label:
            if self.labels.shape != (n, k) or self.labels.dtype != np.uint8:
                raise ValueError(f"multi-label labels are ({n}, {k}) uint8, got {self.labels.shape}")
        elif self.labels.dtype != np.int64 or (n and not -1 <= self.labels.min() <= self.labels.max() < k):
            raise ValueError("labels are int64 class indices, or -1 for unknown")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.labels.ndim == 2

    def class_counts(self) -> np.ndarray:
        """Images of each class, (k,) int64."""
        if self.multi_label:
            return self.labels.sum(axis=0, dtype=np.int64)
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.classes))

    def subset(self, indices: Sequence[int] | np.ndarray) -> ImageTable:
        """The images at ``indices``, in that order."""
        chosen = np.asarray(indices, np.int64)
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            paths=tuple(self.paths[i] for i in chosen),
            labels=self.labels[chosen],
            groups=None if self.groups is None else tuple(self.groups[i] for i in chosen),
            boxes=None if self.boxes is None else self.boxes[chosen],
        )
