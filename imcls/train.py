"""From an experiment to members that judge images, and what is known of how well they do: read first.

    images -> folds -> a member for each fold held out -> out-of-fold predictions -> temperature, thresholds
           -> figures -> report

A run folder holds split.json, members/fold-N/{model.safetensors, member.json, log.csv}, oof.npz, test.npz
where there are test images, metrics.json and report.html. What is there already is not done again by a
resumed run.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from imcls.config import ImclsConfig
from imcls.data.manifest import SplitManifest
from imcls.experiment import Experiment, cache_folder, other_images, prepare
from imcls.frozen.probe import probe_run
from imcls.judging import joined, judge
from imcls.member import CARD, Member, card_of, load_member, rewrite_card, write_member
from imcls.member_training import train_member
from imcls.metrics.calibration import fit_temperature
from imcls.metrics.summary import summary
from imcls.metrics.thresholds import per_class_thresholds, threshold_report
from imcls.model.options import MultiLabelHead
from imcls.predictions import Predictions
from imcls.run_report import HISTORY, OUT_OF_FOLD, SPLIT, TEST, out_of_fold_summary, write_run_report
from imcls.voting.vote import as_logits
from suite.config import Loaded
from suite.engine.distributed import rank_and_world
from suite.errors import BadInput, SuiteError
from suite.files import atomic_write
from suite.report.metric import Metric
from suite.run import Run

CHECKPOINT = "checkpoint.pt"


def train(loaded: Loaded[ImclsConfig], run: Run, resume: bool = False) -> None:
    """Train every member that is not there yet, judge them, and write figures and report into ``run``."""
    config = loaded.config
    if rank_and_world()[1] > 1:
        raise BadInput("was started by several processes", where="imcls train", hint="start it as one")
    split = run.path(SPLIT)
    experiment = prepare(config, SplitManifest.read(split) if resume and split.is_file() else None)
    experiment.manifest.write(split)
    if config.mode == "probe":
        parts = _probe(experiment, run)
    else:
        parts = [_member(experiment, fold, run, resume) for fold in experiment.members]
    oof = _calibrate(joined(parts), experiment, run)
    oof.write(run.path(OUT_OF_FOLD))
    run.add_metrics([*out_of_fold_summary(oof, config), *_expected(oof, config)])
    if config.data.test is not None:
        test = judge_together(run.folder, experiment)
        test.write(run.path(TEST))
        found = summary(test, config.evaluation.bootstrap, config.train.seed)
        run.add_metrics(replace(m, key=f"test_{m.key}") for m in found)
    write_run_report(run.folder, experiment)


def judge_together(folder: Path, experiment: Experiment) -> Predictions:
    """The vote of a run's members on its test images; all views of the experiment, calibrated."""
    from imcls.run_folder import voters_of

    config = experiment.config
    assert config.data.test is not None
    table, cache = other_images(config, config.data.test, experiment.table.classes)
    voters = voters_of(folder, allow_code=config.allow_code)
    said = [judge(member, table, cache, cache.kept, config) for member in voters.members]
    return vote(said, [member.card.temperature for member in voters.members], voters.weights)


def vote(said: list[Predictions], temperatures: list[float], weights: tuple[float, ...]) -> Predictions:
    """One set of predictions whose probabilities are the members' weighted mean."""
    shares = zip(said, temperatures, weights, strict=True)
    p = sum(weight * one.probabilities(temperature) for one, temperature, weight in shares)
    first = said[0]
    thresholds = None
    if first.multi_label and first.thresholds is not None:
        scaled = [np.asarray(one.thresholds) / t for one, t in zip(said, temperatures, strict=True)]
        limit = sum(w * np.exp(-np.logaddexp(0, -s)) for w, s in zip(weights, scaled, strict=True))
        thresholds = as_logits(np.asarray(limit), True)
    logits = as_logits(np.asarray(p), first.multi_label)
    return Predictions(first.names, first.classes, logits, first.labels, None, first.multi_label, thresholds)


def member_folder(run: Run, fold: int) -> Path:
    """Where the member of a fold lies."""
    return run.folder / "members" / f"fold-{fold}"


def _member(experiment: Experiment, fold: int, run: Run, resume: bool) -> Predictions:
    """Train the member of ``fold``, unless a run that is resumed has it already, and judge what it has not
    seen."""
    folder, config = member_folder(run, fold), experiment.config
    if (folder / CARD).is_file():
        member = load_member(folder, allow_code=config.allow_code)
    else:
        resume = resume and (folder / CHECKPOINT).is_file()
        member, trained = train_member(experiment, fold, folder, resume)
        with atomic_write(folder / HISTORY, "w") as stream:
            json.dump(trained.history, stream, indent=1)
    said = judge(member, experiment.table, experiment.cache, experiment.held_out(fold), config, fold=fold)
    if not np.isfinite(said.logits).all():  # the last step may spoil the weights without a loss that tells
        raise SuiteError(
            f"{folder}: the trained member gives values that are not finite; lower the learning rate or clip "
            f"the gradient (train.clip_norm)"
        )
    if not (folder / CARD).is_file():
        write_member(folder, member.model, member.card)
    return said


def _probe(experiment: Experiment, run: Run) -> list[Predictions]:
    """Linear classifiers on frozen features, as members like any other."""
    config, table = experiment.config, experiment.table
    result = probe_run(config, table, experiment.cache, experiment.folds, cache_folder(config.data))
    for fold in experiment.members:
        folder = member_folder(run, fold)
        shutil.rmtree(folder, ignore_errors=True)
        model = result.member(fold)
        card = card_of(model, result.config, table.classes, fold=fold, short_px=experiment.short_px)
        write_member(folder, model, card)
    return [result.predictions]


def _calibrate(oof: Predictions, experiment: Experiment, run: Run) -> Predictions:
    """Temperature and thresholds from out-of-fold predictions, onto the cards of all members."""
    config = experiment.config
    head = config.model.head
    temperature = fit_temperature(oof) if config.evaluation.calibrate else 1.0
    update: dict[str, object] = {"temperature": float(temperature)}
    if isinstance(head, MultiLabelHead) and head.threshold == "per_class":
        thresholds = per_class_thresholds(oof)
        update["thresholds"] = tuple(float(t) for t in thresholds)
        oof = replace(oof, thresholds=thresholds)
    for fold in experiment.members:
        folder = member_folder(run, fold)
        member: Member = load_member(folder, allow_code=config.allow_code)
        rewrite_card(folder, member.card.model_copy(update=update))
    return oof


def _expected(oof: Predictions, config: ImclsConfig) -> list[Metric]:
    """What thresholds chosen on these very predictions will give on others."""
    head = config.model.head
    if not isinstance(head, MultiLabelHead) or head.threshold != "per_class":
        return []
    found = threshold_report(oof, config.train.seed)
    expected = float(np.nanmean(found.f1_expected))
    note = "macro F1 with per-class thresholds chosen on other folds"
    return [Metric("macro_f1_expected", expected, better="higher", note=note)]
