"""Learns how likely somebody lies after a fall, from films whose people, and falls, are known.

Every look at everybody who is followed is an example. Films are also shown with what other cameras and
detectors may do: scores shifted, boxes moved, looks left out, and beginning when somebody lies already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from falldet.events.annotations import FALL, UNCLEAR
from falldet.events.course import FEATURES, Courses, log_odds
from falldet.events.follower import Followed
from falldet.events.lying import PIECES, LyingModel, ramps, towards_fall
from falldet.events.options import EventOptions
from falldet.events.scoring import Looked, follow
from falldet.events.zones import Box
from suite.errors import BadInput

LYING = frozenset({"side", "supine", "prone", "sprawled", "propped", "floor_sit"})
"""Postures of drawn people in which a fall ends."""
_ON_BED = "lie_bed"
_SAME, _EARLY_S = 0.25, 8.0
_EARLY, _LATE, _NOBODY = 2.0, 0.15, 0.35  # weights of looks soon after a fall, later, and at nobody
_AGAINST = 3.0  # how much all that is no fall counts beside all falls
_SMALL = 0.03  # of the squared rises, for each feature
_SHOWN_OTHERWISE = 3

People = Sequence[Sequence[tuple[Box, str]]]
"""Of each look, everybody who is really there: box and posture."""


@dataclass(frozen=True)
class _Example:
    """Somebody in a look, whether they lie after a fall (None: not to be learned from), and its weight."""

    one: Followed
    fallen: bool | None
    weight: float


def learn(films: Sequence[tuple[Looked, People]], told: dict[str, Any], seed: int = 0) -> LyingModel:
    """A model of these films; ``told`` is what its file says of how it was learned.

    Raises BadInput where nobody falls in them.
    """
    features, fallen, weights = [], [], []
    for number, (looked, people) in enumerate(films):
        rng = np.random.default_rng([seed, number])
        examples = _examples(looked, people)
        shown = [_shown(examples, looked)]
        shown += [_shown(_otherwise(examples, rng), looked) for _ in range(_SHOWN_OTHERWISE)]
        for act in looked.intervals:
            longest_s = act.end_s - act.onset_s - 4.0
            if act.kind in (FALL, _ON_BED) and longest_s > 2.0:
                begin_s = act.onset_s + float(rng.uniform(1.0, max(1.1, min(6.0, longest_s))))
                shown.append(_shown(_otherwise(examples, rng), looked, begin_s))
        for part in shown:
            for row, example in part:
                features.append(row)
                fallen.append(bool(example.fallen))
                weights.append(example.weight)
    if not any(fallen) or all(fallen):
        raise BadInput("nobody falls in these films, or everybody has fallen", hint="give more films")
    return _fitted(np.array(features), np.array(fallen), np.array(weights), told, seed)


def _examples(looked: Looked, people: People) -> list[list[_Example]]:
    """Everybody who is followed, look by look, with the truth."""
    found = []
    for (time_s, _), seen, there in zip(looked.looks, follow(looked, EventOptions()), people, strict=True):
        found.append([_example(one, looked, float(time_s), there) for one in seen])
    return found


def _example(one: Followed, looked: Looked, time_s: float, there: Sequence[tuple[Box, str]]) -> _Example:
    now = [act for act in looked.intervals if act.onset_s <= time_s <= act.end_s]
    fall = next((act for act in now if act.kind == FALL), None)
    unclear = any(act.kind == UNCLEAR for act in now)
    overlap, posture = max(((_overlap(one.box_px, box), kind) for box, kind in there), default=(0.0, ""))
    if overlap < _SAME:
        return _Example(one, False, _NOBODY)
    if posture in LYING and not unclear:
        early = fall is not None and time_s - fall.onset_s < _EARLY_S
        return _Example(one, True, _EARLY if early else _LATE)
    return _Example(one, None if unclear or fall is not None else False, 1.0)


def _otherwise(examples: list[list[_Example]], rng: np.random.Generator) -> list[list[_Example]]:
    """As another camera might have seen the same."""
    shifts = rng.normal(0, 0.4, 2) + rng.normal(0, 0.4)
    missing, moved = float(rng.uniform(0, 0.25)), float(rng.uniform(0, 0.06))
    every = 2 if rng.random() < 0.15 else 1
    found = []
    for k, look in enumerate(examples):
        seen = []
        for example in look:
            if rng.random() < missing:
                continue
            box = np.array(example.one.box_px)
            x1, y1, x2, y2 = (box + moved * rng.normal(0, 1, 4) * np.tile(box[2:] - box[:2], 2)).tolist()
            fallen, other = (
                1 / (1 + math.exp(-(log_odds(score) + shift)))
                for score, shift in zip((example.one.fallen, example.one.other), shifts, strict=True)
            )
            one = replace(example.one, box_px=(x1, y1, x2, y2), fallen=fallen, other=other)
            seen.append(replace(example, one=one))
        found.append([] if k % every else seen)
    return found


def _shown(
    examples: list[list[_Example]], looked: Looked, begin_s: float = 0.0
) -> list[tuple[Float64[np.ndarray, " features"], _Example]]:
    """The features of all that can be learned from, watched from ``begin_s`` on."""
    courses, found = Courses(), []
    for (time_s, _), look in zip(looked.looks, examples, strict=True):
        if look and time_s >= begin_s:
            rows = courses.look([example.one for example in look], looked.size_px, float(time_s))
            found += [pair for pair in zip(rows, look, strict=True) if pair[1].fallen is not None]
    return found


def _fitted(
    features: Float64[np.ndarray, "n features"],
    fallen: np.ndarray,
    weights: Float64[np.ndarray, " n"],
    told: dict[str, Any],
    seed: int,
) -> LyingModel:
    """Logistic regression on all pieces of all curves, none of which may fall (L-BFGS-B, Byrd 1995)."""
    from scipy.optimize import minimize

    weights = np.where(
        fallen, weights * max(1.0, weights[~fallen].sum() / weights[fallen].sum() / _AGAINST), weights
    )
    weights = weights / weights.sum()
    knots = np.array([_knots(column, fallen, seed) for column in towards_fall(features).T])
    pieces = ramps(features, knots).reshape(len(features), -1)
    wanted, share = fallen.astype(np.float64), _SMALL / len(FEATURES)

    def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
        logits = pieces @ found[1:] + found[0]
        wrong = weights * (1 / (1 + np.exp(-logits)) - wanted)
        value = float((weights * (np.logaddexp(0, logits) - wanted * logits)).sum())
        gradient = np.concatenate([[wrong.sum()], pieces.T @ wrong + 2 * share * found[1:]])
        return value + share * float((found[1:] ** 2).sum()), gradient

    start = np.concatenate([[-3.0], np.zeros(pieces.shape[1])])
    bounds = [(None, None)] + [(0.0, None)] * pieces.shape[1]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200}).x
    return LyingModel(knots, found[1:].reshape(len(FEATURES), PIECES), float(found[0]), told)


def _knots(column: Float64[np.ndarray, " n"], fallen: np.ndarray, seed: int) -> Float64[np.ndarray, " k"]:
    """Quantiles of as many looks of both kinds, apart."""
    many = min(int(fallen.sum()), int((~fallen).sum()))
    others = np.random.default_rng(seed).choice(column[~fallen], many)
    knots = np.quantile(np.concatenate([column[fallen], others]), np.linspace(0.02, 0.98, PIECES + 1))
    for k in range(1, len(knots)):
        knots[k] = max(knots[k], knots[k - 1] + 0.01)
    return np.round(knots, 3)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(across, 0.0) * max(down, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return float(shared / max(areas - shared, 1e-9))
