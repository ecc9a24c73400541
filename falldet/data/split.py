"""Pictures held back for choosing: whole groups of them, so that nothing held back resembles what was
learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from falldet.data.labelled import LabelledSet
from falldet.detections import FALLEN
from suite.errors import BadInput


def hold_back(labelled: LabelledSet, share: float, seed: int) -> tuple[LabelledSet, LabelledSet]:
    """(What is learned from, what is held back): whole groups, about ``share`` of the pictures, fallen
    people alike.

    A picture without a group is one of its own. Of many random choices the one is taken whose share of
    pictures and of fallen people is nearest. Raises BadInput where there are fewer than two groups.
    """
    names = [image.group or f"picture {k}" for k, image in enumerate(labelled.images)]
    groups, member = np.unique(names, return_inverse=True)
    if len(groups) < 2:
        what = "is all of one group, so that nothing can be held back"
        raise BadInput(what, labelled.name, "name pictures to choose the threshold on (data.develop)")
    pictures = np.bincount(member)
    fallen = np.bincount(member, [float((image.labels == FALLEN).sum()) for image in labelled.images])
    shares = np.stack([pictures / pictures.sum(), fallen / max(1.0, fallen.sum())])
    rng = np.random.default_rng([seed, len(groups)])
    best, nearest = np.zeros(0, np.int64), np.inf
    for _ in range(200):
        order = rng.permutation(len(groups))
        count = int(np.searchsorted(shares[0, order].cumsum(), share) + 1)
        chosen = order[: min(count, len(groups) - 1)]
        distance = float(np.abs(shares[:, chosen].sum(1) - share).sum())
        if distance < nearest:
            best, nearest = chosen, distance
    held = np.isin(member, best)
    learned, back = (
        tuple(image for image, out in zip(labelled.images, held, strict=True) if out == side)
        for side in (False, True)
    )
    return replace(labelled, images=learned), replace(
        labelled, name=f"{labelled.name}, held back", images=back
    )
