"""A head that tells other classes apart, cut down to ours."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from falldet.model.weights.architecture import file_classes
from suite.errors import BadInput

COCO_CLASSES, COCO_PERSON = 80, 0


def class_rows(count: int, names: Sequence[str] | None, classes: Sequence[str]) -> tuple[int, ...]:
    """Which of a file's ``count`` classes each of ours starts as.

    Where the file names our classes they are taken by name, and otherwise in their order if they are as many;
    else all of ours start as its `person`, which of COCO's 80 is the first. BadInput where there is none.
    """
    if names is not None and len(names) == count:
        if set(classes) <= set(names):
            return tuple(list(names).index(name) for name in classes)
        if "person" in names:
            return (list(names).index("person"),) * len(classes)
    if count == len(classes):
        return tuple(range(count))
    if count == COCO_CLASSES:
        return (COCO_PERSON,) * len(classes)
    hint = "say which of its classes ours are to start as (--rows 0,0)"
    raise BadInput(
        f"tells {count} classes apart, not COCO's {COCO_CLASSES} nor our {len(classes)}", hint=hint
    )


def cut_classes(tensors: Mapping[str, Tensor], rows: Sequence[int]) -> dict[str, Tensor]:
    """The weights with the outputs ``rows`` of each stage's classifier, then the background.

    A row that k of ours start from loses ln k of its bias: together they are as likely, against the
    background, as it was alone. Boxes are refined for all classes together, so that part stays as it is.
    """
    count = file_classes({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    if count is None:
        return dict(tensors)
    if not all(0 <= row < count for row in rows):
        raise BadInput(f"rows {', '.join(map(str, rows))} are not all among its classes 0 to {count - 1}")
    shared = Counter(rows)
    shift = torch.tensor([math.log(shared[row]) for row in rows] + [0.0])
    places = torch.tensor([*rows, count])
    made = dict(tensors)
    for name, tensor in tensors.items():
        if name.endswith(".fc_cls.weight"):
            made[name] = tensor[places].clone()
        elif name.endswith(".fc_cls.bias"):
            made[name] = tensor[places] - shift
    return made
