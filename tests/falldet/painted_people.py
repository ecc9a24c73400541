"""Generated pictures for tests of training: red rectangles lie (fallen), blue ones stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from falldet.data.formats import write_coco
from falldet.data.labelled import LabelledImage, LabelledSet
from suite.data.images import write_image

HEIGHT, WIDTH = 72, 96
RED, BLUE = (220, 40, 40), (40, 60, 220)
TAGS = (("fall",), ("lie",))


def painted(rng: np.random.Generator, label: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and the box of the one person in it, wide for label 0 and tall for label 1."""
    rgb = rng.integers(100, 130, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    width, height = (50, 24) if label == 0 else (24, 50)
    x, y = int(rng.integers(0, WIDTH - width + 1)), int(rng.integers(0, HEIGHT - height + 1))
    rgb[y : y + height, x : x + width] = RED if label == 0 else BLUE
    return rgb, np.array([[x, y, x + width, y + height]], np.float32)


def painted_set(folder: Path, pictures: int, seed: int, name: str = "painted") -> LabelledSet:
    """Half of them fallen, in groups of four, written below ``folder``."""
    rng = np.random.default_rng(seed)
    images = []
    for number in range(pictures):
        label = number % 2
        rgb, boxes = painted(rng, label)
        path = folder / f"{seed}-{number:02d}.png"
        write_image(path, rgb)
        group = f"clip {number // 4}"
        images.append(LabelledImage(path, WIDTH, HEIGHT, boxes, np.array([label]), (TAGS[label],), group))
    return LabelledSet(name, tuple(images))


def write_painted(folder: Path, pictures: int, seed: int) -> Path:
    """The same as a COCO file, labels.json."""
    file = folder / "labels.json"
    write_coco(painted_set(folder, pictures, seed), file)
    return file
