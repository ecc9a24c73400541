"""A weighted vote over runs, its weights learned from out-of-fold predictions and judged on others.

    p(image) = sum_m  w_m * softmax(z_m(image) / T_m)          sigmoid for several labels

z_m are the logits of run m, T_m its temperature. For every part of the images, temperatures, weights and the
way of finding weights are chosen on the other parts, so that what is reported of the ensemble was measured on
images that had no say in it. (The members that judged those other parts had learned from the images of this
one; with a handful of weights that leaves no trace to speak of.)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from imcls.metrics.bootstrap import PairedDifference, paired_difference
from imcls.metrics.calibration import fit_temperature
from imcls.predictions import Predictions
from imcls.voting.mixture_weights import best_weights, greedy_weights, log_loss_of
from suite.errors import BadInput
from suite.files import atomic_write

if TYPE_CHECKING:
    from imcls.voting.vote import Voters

Method = Literal["vote", "greedy", "convex"]
METHODS: tuple[Method, ...] = ("vote", "greedy", "convex")
_PARTS = 5
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Weighting:
    """Shares (m,) that add up to 1 and temperatures (m,) of the members, and how they were found."""

    weights: np.ndarray
    temperatures: np.ndarray
    method: Method

    def vote(self, members: Sequence[Predictions]) -> Predictions:
        """What the members together say of images that all of them judged."""
        shares = [m.probabilities(float(t)) for m, t in zip(members, self.temperatures, strict=True)]
        p = np.clip(np.tensordot(self.weights, np.stack(shares), axes=1), _SMALLEST, 1 - _SMALLEST)
        logits = np.log(p) - np.log1p(-p) if members[0].multi_label else np.log(p)
        return replace(members[0], logits=logits.astype(np.float32), thresholds=None)


@dataclass(frozen=True)
class Ensemble:
    """``weighting`` is for new images. ``predictions`` are the ensemble's and ``vote`` the even vote's, both
    cross-fitted.

    ``accuracies`` (m,) are the members' own, ``gain`` the ensemble's accuracy over that of the best of them.
    For several labels, accuracy is the share of labels that are right.
    """

    names: tuple[str, ...]
    weighting: Weighting
    predictions: Predictions
    vote: Predictions
    accuracies: np.ndarray
    gain: PairedDifference

    @property
    def accuracy(self) -> float:
        """Of the cross-fitted ensemble."""
        return float(hits(self.predictions).mean())

    @property
    def vote_accuracy(self) -> float:
        """Of the even vote with cross-fitted temperatures."""
        return float(hits(self.vote).mean())


def ensemble(
    members: Sequence[Predictions],
    names: Sequence[str],
    method: Method | Literal["auto"] = "auto",
    seed: int = 0,
) -> Ensemble:
    """Weights from out-of-fold ``members``, and an honest estimate of what they are worth.

    The gain is held against the run that looks best on all images, which flatters that run, not the ensemble.
    `auto` takes the method of the least cross-fitted log loss, inside each part too. Raises BadInput when
    members did not judge the same images, by the same labels, classes and folds.
    """
    aligned = align(members, names)
    parts = _parts(aligned[0], seed)
    logits = np.empty_like(aligned[0].logits)
    even = np.empty_like(logits)
    for part in np.unique(parts):
        inside, outside = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
        judged = [member.subset(inside) for member in aligned]
        found = fit_weighting([member.subset(outside) for member in aligned], method, seed)
        logits[inside] = found.vote(judged).logits
        alike = replace(found, weights=np.full(len(judged), 1.0 / len(judged)))
        even[inside] = alike.vote(judged).logits
    predictions = replace(aligned[0], logits=logits, thresholds=None)
    accuracies = np.array([hits(member).mean() for member in aligned])
    best = aligned[int(accuracies.argmax())]
    return Ensemble(
        tuple(names),
        fit_weighting(aligned, method, seed),
        predictions,
        replace(predictions, logits=even),
        accuracies,
        paired_difference(hits(predictions), hits(best), seed=seed),
    )


def fit_weighting(
    members: Sequence[Predictions], method: Method | Literal["auto"] = "auto", seed: int = 0
) -> Weighting:
    """Temperatures, then weights, on all of the aligned ``members``."""
    if method == "auto":
        method = _choose(members, seed)
    temperatures = np.array([fit_temperature(member) for member in members])
    truth = np.stack([_truth(m, t) for m, t in zip(members, temperatures, strict=True)])
    match method:
        case "vote":
            weights = np.full(len(members), 1.0 / len(members))
        case "greedy":
            weights = greedy_weights(truth)
        case "convex":
            weights = best_weights(truth)
    return Weighting(weights, temperatures, method)


def align(members: Sequence[Predictions], names: Sequence[str]) -> list[Predictions]:
    """The members in the image and class order of the first. BadInput, naming the run, where they do not
    fit."""
    if len(members) < 2 or len(members) != len(names):
        raise BadInput("an ensemble needs two runs or more")
    first, found = members[0], [members[0]]
    if first.labels is None:
        raise BadInput(
            "predictions without labels", where=names[0], hint="name runs with out-of-fold predictions"
        )
    for member, name in zip(members[1:], names[1:], strict=True):
        found.append(_aligned(member, name, first, names[0]))
    return found


def hits(predictions: Predictions) -> np.ndarray:
    """Whether each image's class is right, (n,) float64; for several labels, the share that is."""
    if predictions.labels is None:
        raise ValueError("without labels nothing is right or wrong")
    right = (predictions.decisions() == predictions.labels).astype(np.float64)
    return right.mean(axis=1) if predictions.multi_label else right


def write_ensemble(folder: Path, result: Ensemble, runs: Sequence[Path]) -> None:
    """``folder``/ensemble.json (runs, weights, temperatures, figures) and oof.npz (its cross-fitted
    predictions)."""
    folder.mkdir(parents=True, exist_ok=True)
    members = [
        {"run": str(run), "name": name, "weight": float(w), "temperature": float(t), "accuracy": float(a)}
        for run, name, w, t, a in zip(
            runs,
            result.names,
            result.weighting.weights,
            result.weighting.temperatures,
            result.accuracies,
            strict=True,
        )
    ]
    content = {
        "version": 1,
        "method": result.weighting.method,
        "classes": list(result.predictions.classes),
        "multi_label": result.predictions.multi_label,
        "members": members,
        "accuracy": result.accuracy,
        "vote_accuracy": result.vote_accuracy,
        "gain": [result.gain.value, result.gain.low, result.gain.high],
    }
    result.predictions.write(folder / "oof.npz")
    with atomic_write(folder / "ensemble.json", "w") as stream:
        json.dump(content, stream, indent=2)
        stream.write("\n")


def read_ensemble(path: Path) -> tuple[tuple[Path, ...], Weighting, tuple[str, ...]]:
    """Runs, their weighting and the classes, as :func:`write_ensemble` wrote them. Raises BadInput."""
    path = path / "ensemble.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        members = content["members"]
        weights = np.array([float(member["weight"]) for member in members])
        temperatures = np.array([float(member["temperature"]) for member in members])
        if content["version"] != 1 or content["method"] not in METHODS:
            raise ValueError("another version")
        if not len(weights) or weights.min() < 0 or abs(weights.sum() - 1) > 1e-6 or temperatures.min() <= 0:
            raise ValueError("weights are not shares of 1, or a temperature is not positive")
        runs = tuple(Path(member["run"]) for member in members)
        return runs, Weighting(weights, temperatures, content["method"]), tuple(content["classes"])
    except OSError:
        raise BadInput("no such ensemble", where=path, hint="make one with `imcls ensemble`") from None
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"not an ensemble ({error})", where=path) from None


def ensemble_voters(path: Path, *, allow_code: bool = False) -> Voters:
    """The members of all runs of an ensemble, a run's weight shared evenly among its members."""
    from imcls.member import Member, members_of
    from imcls.voting.vote import Voters, load_voters

    runs, weighting, classes = read_ensemble(path)
    members, weights = [], []
    for run, weight, temperature in zip(runs, weighting.weights, weighting.temperatures, strict=True):
        if weight == 0:
            continue
        loaded = load_voters(members_of(run), allow_code=allow_code).members
        if loaded[0].card.classes != classes:
            raise BadInput("has other classes than the ensemble", where=run)
        for model, card in loaded:
            members.append(Member(model, card.model_copy(update={"temperature": float(temperature)})))
            weights.append(float(weight) / len(loaded))
    return Voters(tuple(members), tuple(weights))


def _aligned(member: Predictions, name: str, first: Predictions, first_name: str) -> Predictions:
    if set(member.classes) != set(first.classes) or member.multi_label != first.multi_label:
        raise BadInput(f"has other classes than {first_name}", where=name)
    if set(member.names) != set(first.names):
        missing = sorted(set(first.names) ^ set(member.names))
        raise BadInput(
            f"judged other images than {first_name} ({len(missing)} differ, such as {missing[0]})",
            where=name,
            hint="train both on the same data and folds (data.split.manifest)",
        )
    place = {image: i for i, image in enumerate(member.names)}
    ordered = member.subset(np.array([place[image] for image in first.names], np.int64))
    columns = [ordered.classes.index(label) for label in first.classes]
    ordered = _with_columns(ordered, first.classes, columns)
    if ordered.labels is None or first.labels is None or (ordered.labels != first.labels).any():
        raise BadInput(f"has other labels than {first_name}", where=name)
    if (ordered.folds is None) != (first.folds is None) or (
        ordered.folds is not None and first.folds is not None and not _same_parts(ordered.folds, first.folds)
    ):
        raise BadInput(
            f"has other folds than {first_name}",
            where=name,
            hint="train both with the same data.split.manifest",
        )
    return replace(ordered, folds=first.folds)


def _with_columns(member: Predictions, classes: tuple[str, ...], columns: list[int]) -> Predictions:
    labels, thresholds = member.labels, member.thresholds
    if labels is not None:
        labels = labels[:, columns] if member.multi_label else _renumbered(labels, columns)
    if thresholds is not None and thresholds.ndim == 1:
        thresholds = thresholds[columns]
    return replace(
        member, classes=classes, logits=member.logits[:, columns], labels=labels, thresholds=thresholds
    )


def _renumbered(labels: np.ndarray, columns: list[int]) -> np.ndarray:
    """Class indices after the classes took the order ``columns``; unknown stays unknown."""
    new = np.empty(len(columns), np.int64)
    new[columns] = np.arange(len(columns))
    return np.where(labels < 0, labels, new[labels])


def _same_parts(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two numberings divide the images alike."""
    pairs = {(int(x), int(y)) for x, y in zip(a, b, strict=True)}
    return len(pairs) == len(np.unique(a)) == len(np.unique(b))


def _parts(member: Predictions, seed: int) -> np.ndarray:
    """The folds where there are two or more, else even parts drawn with ``seed``."""
    if member.folds is not None and len(np.unique(member.folds)) > 1:
        return member.folds
    if len(member) < 2:
        raise BadInput("an ensemble is fitted on two images or more")
    return np.random.default_rng(seed).permutation(len(member)) % min(_PARTS, len(member))


def _choose(members: Sequence[Predictions], seed: int) -> Method:
    """The method of the least cross-fitted log loss."""
    parts = _parts(members[0], seed)
    losses = dict.fromkeys(METHODS, 0.0)
    for part in np.unique(parts):
        inside, outside = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
        for method in METHODS:
            found = fit_weighting([member.subset(outside) for member in members], method, seed)
            held = [member.subset(inside) for member in members]
            truth = np.stack([_truth(m, t) for m, t in zip(held, found.temperatures, strict=True)])
            losses[method] += log_loss_of(found.weights, truth) * truth.shape[1]
    return min(METHODS, key=lambda method: losses[method])


def _truth(member: Predictions, temperature: float | int) -> np.ndarray:
    """What the member gave to the truth: (n,), or (n k,) for several labels."""
    p, labels = member.probabilities(float(temperature)), member.labels
    if labels is None:
        raise ValueError("weights need labels")
    if member.multi_label:
        return np.where(labels > 0, p, 1.0 - p).ravel()
    known = labels >= 0
    return p[known, labels[known]]
