"""Which pictures fail, and why: every person who was missed, taken for the other, or seen where nobody is.

Kinds after Bolya et al. 2020 (TIDE): a box that overlaps a missed person by .1 to .5 is that person, badly
placed; one that overlaps anybody else by .1 or more is a second box; the others are ghosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.detections import CLASSES, FALLEN, Detections
from falldet.metrics.overlap import MATCH_IOU, iou, match
from falldet.metrics.people import Candidates, candidates

Kind = Literal["missed", "wrong class", "box off", "ghost", "second box"]
Box = tuple[float, float, float, float]
_NEAR_IOU = 0.1
_LOST: tuple[Kind, ...] = ("missed", "wrong class", "box off")
_FALSE: tuple[Kind, ...] = ("wrong class", "ghost", "box off", "second box", "missed")


@dataclass(frozen=True)
class Failure:
    """One error about one person of the picture at place ``image``.

    ``true`` and ``said`` are classes, "" for nobody. ``score`` is that of what was said; of somebody missed,
    the highest that any box on the person had for the true class, 0 without one. ``fallen_score`` is that of
    fallen, called so or not. ``labelled`` and ``found`` are boxes in px, and ``overlap`` their IoU.
    """

    image: int
    name: str
    kind: Kind
    true: str
    said: str
    score: float
    fallen_score: float
    labelled: Box | None
    found: Box | None
    overlap: float
    tags: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[int, float]:
        """Worse errors sort first: fallen people not called so, false alarms, fallen ghosts, the rest."""
        true, said = self.true == CLASSES[FALLEN], self.said == CLASSES[FALLEN]
        if true and self.kind in _LOST:
            return _LOST.index(self.kind), self.fallen_score  # the less the detector saw, the worse
        return (len(_LOST) if said else len(_LOST + _FALSE)) + _FALSE.index(self.kind), -self.score

    @property
    def text(self) -> str:
        """In words, such as `fallen missed (best score 0.31)`."""
        true, said = self.true.replace("_", " "), self.said.replace("_", " ")
        tags = f" [{', '.join(self.tags)}]" if self.tags else ""
        if self.kind == "missed":
            seen = f"best score {self.score:.2f}" if self.score else "no box on the person"
            return f"{true}{tags} missed ({seen})"
        if self.kind == "wrong class":
            less = f"; fallen {self.fallen_score:.2f}" if self.true == CLASSES[FALLEN] else ""
            return f"{true}{tags} called {said} ({self.score:.2f}{less})"
        if self.kind == "box off":
            return f"{true}{tags}: box off (called {said} {self.score:.2f}, IoU {self.overlap:.2f})"
        if self.kind == "second box":
            where = f"somebody {true}{tags}, IoU {self.overlap:.2f}"
            return f"second box on {where}, called {said} ({self.score:.2f})"
        return f"ghost called {said} ({self.score:.2f})"


def failures(
    predictions: Sequence[Detections], labelled: LabelledSet, threshold: float | int, floor: float | int
) -> tuple[Failure, ...]:
    """Every error at the operating threshold, the worst first."""
    found = [
        failure
        for number, (said, image) in enumerate(zip(predictions, labelled.images, strict=True))
        for failure in _of_image(number, candidates(said), image, threshold, floor)
    ]
    return tuple(sorted(found, key=lambda one: (one.rank, one.name)))


def _of_image(
    number: int, everybody: Candidates, image: LabelledImage, threshold: float | int, floor: float | int
) -> list[Failure]:
    people = everybody.called(threshold, floor)
    overlap = iou(people.boxes_px, image.boxes_px)
    of = match(overlap)
    scores = np.where(people.fallen, people.fallen_scores, people.other_scores)
    saids = [CLASSES[0] if fallen else CLASSES[1] for fallen in people.fallen]
    names = [CLASSES[label] for label in image.labels]
    boxes, truths = _boxes(people.boxes_px), _boxes(image.boxes_px)

    def failure(kind: Kind, p: int, n: int) -> Failure:
        best = _best_scores(everybody, image, n) if p < 0 else (0.0, 0.0)
        return Failure(
            image=number,
            name=image.path.name,
            kind=kind,
            true="" if n < 0 else names[n],
            said="" if p < 0 else saids[p],
            score=best[image.labels[n]] if p < 0 else float(scores[p]),
            fallen_score=best[FALLEN] if p < 0 else float(people.fallen_scores[p]),
            labelled=None if n < 0 else truths[n],
            found=None if p < 0 else boxes[p],
            overlap=float(overlap[p, n]) if p >= 0 and n >= 0 else 0.0,
            tags=() if n < 0 else image.tags[n],
        )

    said: list[Failure] = []
    missed = [n for n in range(len(truths)) if n not in of]
    for p, n in enumerate(of.tolist()):
        if n >= 0 and saids[p] != names[n]:
            said.append(failure("wrong class", p, n))
    loose = np.flatnonzero(of < 0)
    near = match(overlap[np.ix_(loose, np.array(missed, np.int64))], _NEAR_IOU)
    for p, place in zip(loose.tolist(), near.tolist(), strict=True):
        if place >= 0:
            said.append(failure("box off", p, missed[place]))
        elif len(truths) and overlap[p].max() >= _NEAR_IOU:
            said.append(failure("second box", p, int(overlap[p].argmax())))
        else:
            said.append(failure("ghost", p, -1))
    placed = {missed[place] for place in near.tolist() if place >= 0}
    return said + [failure("missed", -1, n) for n in missed if n not in placed]


def _best_scores(everybody: Candidates, image: LabelledImage, n: int) -> tuple[float, float]:
    """The highest scores of fallen and of not fallen, of anybody on labelled person n."""
    on = iou(everybody.boxes_px, image.boxes_px[n : n + 1])[:, 0] >= MATCH_IOU
    if not on.any():
        return 0.0, 0.0
    return float(everybody.fallen_scores[on].max()), float(everybody.other_scores[on].max())


def _boxes(boxes_px: np.ndarray) -> list[Box]:
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in boxes_px]
