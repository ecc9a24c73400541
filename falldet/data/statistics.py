"""What the people of a set look like as boxes, in numbers that do not depend on the size of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from falldet.data.labelled import LabelledImage


@dataclass(frozen=True, eq=False)
class BoxStatistics:
    """Columns over all n people: sides, areas and centres as shares of the picture, width over height."""

    labels: Int64[np.ndarray, " n"]
    height_share: Float[np.ndarray, " n"]
    area_share: Float[np.ndarray, " n"]
    width_over_height: Float[np.ndarray, " n"]
    centre_share: Float[np.ndarray, "n 2"]

    @staticmethod
    def of(images: Sequence[LabelledImage]) -> BoxStatistics:
        """Of the people in these pictures."""
        boxes = np.concatenate([image.boxes_px for image in images] or [np.zeros((0, 4), np.float32)])
        people = [len(image.labels) for image in images]
        sizes = np.array([(image.width_px, image.height_px) for image in images], float).reshape(-1, 2)
        sizes = np.repeat(sizes, people, axis=0)
        sides = (boxes[:, 2:] - boxes[:, :2]).astype(float)
        return BoxStatistics(
            labels=np.concatenate([image.labels for image in images] or [np.zeros(0, np.int64)]),
            height_share=sides[:, 1] / sizes[:, 1],
            area_share=(sides / sizes).prod(axis=1),
            width_over_height=sides[:, 0] / sides[:, 1],
            centre_share=(boxes[:, 2:] + boxes[:, :2]) / 2 / sizes,
        )


def tag_counts(images: Sequence[LabelledImage], classes: int) -> dict[str, list[int]]:
    """Word -> people of each class that carry it; the commonest first."""
    counts: Counter[tuple[str, int]] = Counter()
    for image in images:
        for label, tags in zip(image.labels.tolist(), image.tags, strict=True):
            counts.update((tag, label) for tag in set(tags))
    words = {word: [counts[word, k] for k in range(classes)] for word in {word for word, _ in counts}}
    return dict(sorted(words.items(), key=lambda item: (-sum(item[1]), item[0])))
