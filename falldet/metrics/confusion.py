"""Who was taken for whom: labelled people against people who are said to be there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from falldet.detections import FALLEN
from falldet.metrics.intervals import Interval, Resampling
from falldet.metrics.overlap import match
from falldet.metrics.people import NOBODY, NOT_FALLEN


@dataclass(frozen=True)
class Confusion:
    """``counts[true][said]`` people, each fallen, not fallen, nobody: missed ones and ghosts.

    The intervals are of people called fallen (precision) and of people who are (recall), over groups.
    """

    counts: tuple[tuple[int, int, int], ...]
    recall: Interval
    precision: Interval
    f1: Interval
    recall_not_fallen: Interval
    precision_not_fallen: Interval

    @property
    def ghosts(self) -> tuple[int, int]:
        """People called fallen, and not fallen, where nobody is labelled."""
        return self.counts[NOBODY][FALLEN], self.counts[NOBODY][NOT_FALLEN]


@dataclass(frozen=True, eq=False)
class Outcome:
    """One picture: what each of its n labelled people is called, NOBODY if missed, and how many ghosts."""

    said: Int64[np.ndarray, " n"]
    ghosts_fallen: int
    ghosts_not_fallen: int

    def counts(self, labels: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, "3 3"]:
        """People by what they are (rows) and are called (columns)."""
        counts = np.bincount(labels * 3 + self.said, minlength=9).reshape(3, 3)
        counts[NOBODY, :NOBODY] = self.ghosts_fallen, self.ghosts_not_fallen
        return counts


def outcome(calls: Int64[np.ndarray, " p"], overlap: Float64[np.ndarray, "p n"]) -> Outcome:
    """From what p people in the picture are called, the most certain first, and their IoU with labelled ones.

    People are matched whatever they are called, and compared then.
    """
    of = match(overlap)
    said = np.full(overlap.shape[1], NOBODY, np.int64)
    said[of[of >= 0]] = calls[of >= 0]
    ghosts = np.bincount(calls[of < 0], minlength=2)
    return Outcome(said, int(ghosts[FALLEN]), int(ghosts[NOT_FALLEN]))


def confusion(counts: Int64[np.ndarray, "n 3 3"], again: Resampling) -> Confusion:
    """All pictures together."""
    hits, kept = counts[:, FALLEN, FALLEN], counts[:, NOT_FALLEN, NOT_FALLEN]
    fallen, others = counts[:, FALLEN].sum(axis=1), counts[:, NOT_FALLEN].sum(axis=1)
    called, called_not = counts[:, :, FALLEN].sum(axis=1), counts[:, :, NOT_FALLEN].sum(axis=1)
    a, b, c = counts.sum(axis=0).tolist()
    return Confusion(
        counts=(tuple(a), tuple(b), tuple(c)),
        recall=again.ratio(hits, fallen),
        precision=again.ratio(hits, called),
        f1=again.ratio(2 * hits, fallen + called),
        recall_not_fallen=again.ratio(kept, others),
        precision_not_fallen=again.ratio(kept, called_not),
    )
