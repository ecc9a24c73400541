"""Labels that are probably wrong, by confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70).

p are out-of-fold probabilities, i the given label, j another class. t_j, the mean p_j of the images given j,
says how sure the model usually is of j. An image whose p_j reaches t_j counts as truly j (the largest such
p_j where several do), which fills the confident joint C[i, j]. Scaled to the counts of the given labels, what
lies off its diagonal is how many labels are wrong; that many images of the smallest margin p_i - max_j p_j
are named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from imcls.predictions import Predictions

ABSENT = -1
"""In place of a class, for multi-label: the label is not there."""


@dataclass(frozen=True)
class LabelFault:
    """One label in doubt: image ``index`` was given class ``given`` and is more likely ``likely``.

    For multi-label one of the two is ABSENT: a label too many, or one too few. ``margin`` in [0, 0.5] is
    (p_given - p_likely + 1) / 2, the normalised margin by which faults are ranked: the smaller, the surer.
    """

    index: int
    name: str
    given: int
    likely: int
    p_given: float
    p_likely: float
    margin: float


@dataclass(frozen=True)
class LabelFaults:
    """Likely faults, the likeliest first, and how many labels are wrong as a whole.

    ``joint`` (k, k) estimates how many images given class i (row) are truly j (column), summing to the
    images with a label; None for multi-label. ``wrong_share`` is the estimated share of wrong labels.
    """

    faults: tuple[LabelFault, ...]
    joint: Float[np.ndarray, "k k"] | None
    wrong_share: float


def find_label_faults(predictions: Predictions) -> LabelFaults:
    """Likely label faults among images whose predictions come from members that did not train on them.

    Images of unknown label are passed over. ValueError for predictions without labels.
    """
    if predictions.labels is None:
        raise ValueError("label faults are looked for among labels; these predictions have none")
    if predictions.multi_label:
        return _of_several_labels(predictions, predictions.labels)
    known = np.flatnonzero(predictions.labels >= 0)
    p, given = predictions.probabilities()[known], predictions.labels[known]
    joint = _joint(p, given)
    faults = [
        LabelFault(
            index=int(known[r]),
            name=predictions.names[known[r]],
            given=int(given[r]),
            likely=likely,
            p_given=float(p[r, given[r]]),
            p_likely=float(p[r, likely]),
            margin=margin,
        )
        for r, likely, margin in _least_margin(p, given, _off_diagonal(joint))
    ]
    return LabelFaults(tuple(faults), joint, _off_diagonal(joint) / max(len(known), 1))


def _of_several_labels(predictions: Predictions, labels: np.ndarray) -> LabelFaults:
    """Every class by itself, there or not there."""
    p = predictions.probabilities()
    faults: list[LabelFault] = []
    wrong = 0.0
    for c in range(p.shape[1]):
        given = labels[:, c].astype(np.int64)
        both = np.stack([1 - p[:, c], p[:, c]], axis=1)
        count = _off_diagonal(_joint(both, given))
        wrong += count
        faults += [
            LabelFault(
                index=int(r),
                name=predictions.names[r],
                given=c if given[r] else ABSENT,
                likely=ABSENT if given[r] else c,
                p_given=float(both[r, given[r]]),
                p_likely=float(both[r, likely]),
                margin=margin,
            )
            for r, likely, margin in _least_margin(both, given, count)
        ]
    faults.sort(key=lambda fault: (fault.margin, fault.index))
    return LabelFaults(tuple(faults), None, wrong / max(labels.size, 1))


def _joint(p: Float[np.ndarray, "n k"], given: Int[np.ndarray, " n"]) -> Float[np.ndarray, "k k"]:
    """The confident joint, each row scaled to as many images as were given its label."""
    n, k = p.shape
    counts = np.bincount(given, minlength=k)
    sums = np.bincount(given, p[np.arange(n), given], minlength=k)
    # A class that nobody was given has no usual confidence: it is never suspected.
    threshold = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    reached = np.where(p >= threshold, p, -np.inf)
    sure = np.flatnonzero(np.isfinite(reached).any(axis=1))
    joint = np.zeros((k, k))
    np.add.at(joint, (given[sure], reached[sure].argmax(axis=1)), 1.0)
    silent = np.flatnonzero(joint.sum(axis=1) == 0)
    joint[silent, silent] = 1.0  # no image of that label is confidently anything: taken as right
    return joint * (counts / joint.sum(axis=1))[:, None]


def _off_diagonal(joint: np.ndarray) -> float:
    return float(joint.sum() - np.trace(joint))


def _least_margin(
    p: Float[np.ndarray, "n k"], given: Int[np.ndarray, " n"], count: float
) -> list[tuple[int, int, float]]:
    """Row, likelier class and normalised margin of the ``count`` (rounded) rows with the least margin.

    Rows whose given class is the likeliest are never among them.
    """
    rows = np.arange(len(p))
    others = p.copy()
    others[rows, given] = -1.0
    likely = others.argmax(axis=1)
    margin = (p[rows, given] - p[rows, likely] + 1) / 2
    order = np.argsort(margin, kind="stable")[: round(count)]
    return [(int(r), int(likely[r]), float(margin[r])) for r in order if margin[r] < 0.5]
