"""What the figures of shipped detectors share: each judged on a set at its own threshold, and its cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from falldet.data.formats import read_labelled
from falldet.data.labelled import LabelledSet
from falldet.data.options import CocoSource
from falldet.evaluate import look_at
from falldet.metrics.evaluation import Evaluation, evaluate
from falldet.model.file import Model, read_model
from falldet.models import DEFAULT, model_file, shipped_names
from suite.data.images import read_image


def shipped() -> list[Model]:
    """The models that come with the package, the default first."""
    names = sorted(shipped_names(), key=lambda name: (name != DEFAULT, name))
    return [read_model(model_file(name)) for name in names]


def judged(model: Model, labelled: LabelledSet, name: str) -> Evaluation:
    """Its figures at its own threshold, with 1000 resamplings."""
    look = look_at(model, labelled)
    card = model.card
    found = evaluate(look.predictions, look.labelled, card.threshold, floor=card.not_fallen_floor)
    return replace(found, name=name)


def coco(file: Path) -> LabelledSet:
    """The labelled pictures of a COCO file."""
    return read_labelled(CocoSource(file=file))


def pictures(labelled: LabelledSet, most: int) -> list[np.ndarray]:
    """Up to ``most`` pictures, evenly over the set, decoded."""
    places = np.unique(np.linspace(0, len(labelled) - 1, min(most, len(labelled))).astype(int))
    return [read_image(labelled.images[k].path) for k in places]


def images_per_cpu_s(
    detect: Callable[[np.ndarray], object], rgbs: Sequence[np.ndarray], repeats: int = 3
) -> float:
    """Pictures that ``detect`` looks at in a CPU second, one by one; the best of ``repeats`` rounds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for rgb in rgbs[:3]:
            detect(rgb)
        rounds = []
        for _ in range(repeats):
            began = time.process_time()
            for rgb in rgbs:
                detect(rgb)
            rounds.append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    return len(rgbs) / min(rounds)
