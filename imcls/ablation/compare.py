"""What each change is worth: every variant with every seed, and differences to the base with intervals.

A folder of an ablation holds jobs/VARIANT/seed-N/{predictions.npz, done.json}. A job that has its done.json
is not run again, so that an ablation that was killed goes on where it was; one that was done for other
settings is refused.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imcls.ablation.variants import BASE, Variant
from imcls.metrics.bootstrap import PairedDifference, paired_difference
from imcls.predictions import Predictions
from imcls.voting.ensemble import Weighting, hits
from suite.errors import BadInput
from suite.files import atomic_write
from suite.progress import track

RunOne = Callable[[Sequence[str], int, Path], Predictions]
"""(overrides, seed, folder) -> predictions of labelled images that were not learned from. The folder is the
job's own, and may hold what an earlier try that was killed left there."""
Resolve = Callable[[Sequence[str]], str]
"""Overrides -> the whole configuration as text; raises where they do not fit it."""


@dataclass(frozen=True)
class Row:
    """A variant over all seeds. Accuracies are shares, log loss in nats; differences are to the base, None
    for it."""

    name: str
    overrides: tuple[str, ...]
    accuracy: float
    accuracy_sd: float
    log_loss: float
    difference: PairedDifference | None
    log_loss_difference: PairedDifference | None
    cpu_s: float


@dataclass(frozen=True)
class Ablation:
    """Rows, the base first, on ``images`` images with ``seeds`` seeds each."""

    rows: tuple[Row, ...]
    images: int
    seeds: tuple[int, ...]


def ablate(
    variants: Sequence[Variant],
    seeds: Sequence[int],
    run_one: RunOne,
    folder: Path,
    resolve: Resolve | None = None,
    draws: int = 2000,
) -> Ablation:
    """Run what has not been run yet and compare. With ``resolve``, all variants are checked before the first
    is run, and those that equal the base are left out.

    Raises BadInput for jobs of other settings in ``folder``, and for variants that judged other images.
    """
    if not variants or variants[0].name != BASE or not seeds:
        raise ValueError("an ablation needs the base first, and a seed")
    described = {variant.name: _described(variant, resolve) for variant in variants}
    base_text = described[BASE]
    variants = [v for v in variants if v.name == BASE or v.of or described[v.name] != base_text]
    jobs = [(variant, seed) for seed in seeds for variant in variants if not variant.of]
    done: dict[tuple[str, int], tuple[Predictions, float]] = {}
    for variant, seed in track(jobs, "Ablation"):
        place = folder / "jobs" / variant.slug / f"seed-{seed}"
        done[variant.name, seed] = _job(variant, seed, place, run_one, described[variant.name])
    for variant in variants:
        for seed in seeds if variant.of else ():
            members = [done[name, seed] for name in variant.of]
            cost = sum(cpu_s for _, cpu_s in members)
            done[variant.name, seed] = (_vote([said for said, _ in members]), cost)
    _check_same_images(done)
    base = [done[BASE, seed][0] for seed in seeds]
    rows = [_row(v, [done[v.name, seed] for seed in seeds], base, draws) for v in variants]
    return Ablation(tuple(rows), len(base[0]), tuple(seeds))


def _described(variant: Variant, resolve: Resolve | None) -> str:
    if resolve is None or variant.of:
        return json.dumps([variant.overrides, variant.of])
    return resolve(variant.overrides)


def _job(
    variant: Variant, seed: int, place: Path, run_one: RunOne, described: str
) -> tuple[Predictions, float]:
    """Predictions and CPU seconds of one job, from its folder if it was done."""
    identity = hashlib.sha256(f"{seed} {described}".encode()).hexdigest()
    marker, stored = place / "done.json", place / "predictions.npz"
    if marker.is_file():
        record = json.loads(marker.read_text(encoding="utf-8"))
        if record["identity"] != identity:
            raise BadInput(
                f"the variant {variant.name!r} was run here with other settings",
                where=place,
                hint="choose another folder, or remove this one",
            )
        return Predictions.read(stored), float(record["cpu_s"])
    place.mkdir(parents=True, exist_ok=True)
    started = time.process_time()
    predictions = run_one(variant.overrides, seed, place)
    cpu_s = time.process_time() - started
    if predictions.labels is None:
        raise ValueError("an ablation compares predictions whose truth is known")
    predictions.write(stored)
    with atomic_write(marker, "w") as stream:
        json.dump({"identity": identity, "cpu_s": cpu_s}, stream)
    return predictions, cpu_s


def _vote(members: Sequence[Predictions]) -> Predictions:
    count = len(members)
    return Weighting(np.full(count, 1.0 / count), np.ones(count), "vote").vote(members)


def _check_same_images(done: dict[tuple[str, int], tuple[Predictions, float]]) -> None:
    first: Predictions | None = None
    for (name, seed), (predictions, _) in done.items():
        first = first or predictions
        if (predictions.names, predictions.classes) != (first.names, first.classes):
            raise BadInput(
                f"{name!r} with seed {seed} judged other images or classes than the base",
                hint="vary nothing that changes the data or its split",
            )


def _row(
    variant: Variant, done: Sequence[tuple[Predictions, float]], base: Sequence[Predictions], draws: int
) -> Row:
    right, losses = (np.stack([f(said) for said, _ in done]) for f in (hits, _losses))
    is_base = variant.name == BASE
    change, change_of_loss = None, None
    if not is_base:
        change = paired_difference(right, np.stack([hits(said) for said in base]), resamples=draws)
        change_of_loss = paired_difference(
            losses, np.stack([_losses(said) for said in base]), resamples=draws
        )
    of_seeds = right.mean(axis=1)
    return Row(
        variant.name,
        variant.overrides,
        float(of_seeds.mean()),
        float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else 0.0,
        float(losses.mean()),
        change,
        change_of_loss,
        float(np.mean([cpu_s for _, cpu_s in done])),
    )


def _losses(predictions: Predictions) -> np.ndarray:
    """Negative log probability of each image's truth (n,), nats; for several labels its mean over them."""
    z, y = predictions.logits.astype(np.float64), predictions.labels
    if y is None:
        raise ValueError("a loss needs labels")
    if predictions.multi_label:
        return (np.logaddexp(0.0, z) - y * z).mean(axis=1)
    z = z - z.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]
