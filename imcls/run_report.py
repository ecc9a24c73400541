"""The page of a run, from what lies in its folder and the images it learned from."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imcls.config import ImclsConfig
from imcls.data.evaluation_batches import eval_batches
from imcls.data.manifest import SplitManifest
from imcls.data.normalise import normalise
from imcls.experiment import Experiment, prepare
from imcls.member import WEIGHTS, Member, load_member, members_of
from imcls.metrics.calibration import cross_fitted
from imcls.metrics.summary import summary
from imcls.model.grad_cam import grad_cam
from imcls.model.profile import profile
from imcls.predictions import Predictions
from imcls.report.page import ReportInputs, write_report
from imcls.run_folder import run_config
from suite.progress import status
from suite.report.flag import Flag
from suite.report.metric import Metric

OUT_OF_FOLD, TEST, SPLIT, HISTORY, PAGE = "oof.npz", "test.npz", "split.json", "history.json", "report.html"


def write_run_report(folder: Path, experiment: Experiment | None = None) -> Path:
    """Write ``folder``/report.html; BadInput where it is no run that has been judged."""
    oof = Predictions.read(folder / OUT_OF_FOLD)
    config = run_config(folder).config
    if experiment is None:
        experiment = prepare(config, SplitManifest.read(folder / SPLIT))
    seen = _Seen(experiment, folder)
    folders = members_of(folder)
    test = Predictions.read(folder / TEST) if (folder / TEST).is_file() else None
    options = (config.evaluation.bootstrap, config.train.seed)
    first = load_member(folders[0], allow_code=config.allow_code)
    with status("Writing the report"):
        inputs = ReportInputs(
            title=config.name,
            predictions=oof,
            metrics=out_of_fold_summary(oof, config),
            summary=_summary(config, first, len(folders)),
            split=_split_text(experiment),
            skipped=experiment.cache.skipped,
            histories={part.name: rows for part in folders if (rows := _history(part))},
            watch="mean_average_precision" if oof.multi_label else "accuracy",
            pictures=seen.picture,
            cams=seen.cam if config.report.grad_cam else None,
            profile=profile(first.model, first.card.image_px, weights=folders[0] / WEIGHTS, seconds=0.5),
            test=test,
            test_metrics=[] if test is None else summary(test, *options),
            options=config.report,
            bootstrap=options[0],
            seed=options[1],
            notes=_notes(experiment, oof),
        )
        return write_report(folder / PAGE, inputs)


class _Seen:
    """Images as the members see them, and where a member looks that has not been trained on the image."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.experiment = experiment
        self.rows = {name: row for row, name in enumerate(experiment.table.names)}
        self.member: Callable[[int], Member] = lru_cache(maxsize=2)(
            lambda fold: load_member(
                folder / "members" / f"fold-{fold}", allow_code=experiment.config.allow_code
            )
        )

    def picture(self, name: str) -> np.ndarray:
        return self._square(name)[0].permute(1, 2, 0).contiguous().numpy()

    def cam(self, name: str, label: int) -> np.ndarray:
        model, card = self.member(int(self.experiment.folds[self.rows[name]]))
        images = normalise(self._square(name), card.mean, card.std, channels_last=False)
        return grad_cam(model, images, torch.tensor([label]))[0]

    def _square(self, name: str) -> torch.Tensor:
        config, cache = self.experiment.config, self.experiment.cache
        row = np.array([self.rows[name]])
        return next(iter(eval_batches(cache, row, config.input, config.input.image_px, 1)))[0]


def out_of_fold_summary(oof: Predictions, config: ImclsConfig) -> list[Metric]:
    """The figures of a run. Those of confidence are after calibration, judged where it was not fitted."""
    options = (config.evaluation.bootstrap, config.train.seed)
    raw = summary(oof, *options)
    if not config.evaluation.calibrate:
        return raw
    after = {metric.key: metric for metric in summary(cross_fitted(oof, config.train.seed), *options)}
    return [after[m.key] if m.key in ("ece", "log_loss", "brier") and m.key in after else m for m in raw]


def _summary(config: ImclsConfig, first: Member, members: int) -> dict[str, str]:
    backbone, head = config.model.backbone, config.model.head
    name = getattr(backbone, "name", "")
    start = "random" if backbone.weights is None else Path(str(backbone.weights)).name
    said = {
        "backbone": f"{backbone.type} {name}".strip() + f", starting weights: {start}",
        "neck and head": f"{config.model.neck.pooling.type}, {head.type}",
        "images": f"{first.card.image_px} px, {first.card.fit}",
        "members": f"{members}, each judged on the fold that it has not seen",
        "temperature": f"{first.card.temperature:.3f}",
    }
    if config.mode == "probe":
        return said | {"mode": f"linear probe of frozen features ({config.probe.method})"}
    train = config.train
    return said | {
        "training": f"{train.epochs} epochs, {train.optimizer.type} at {train.optimizer.lr:g}, "
        f"{train.schedule.type}, batches of {config.input.batch_size}",
        "loss": config.loss.criterion.type + (" and triplet" if config.loss.triplet else ""),
        "seed": str(train.seed),
    }


def _split_text(experiment: Experiment) -> str:
    manifest = experiment.manifest
    shared = len(manifest.groups) - len(np.unique(manifest.groups))
    text = (
        f"{manifest.k} folds from seed {manifest.seed}; {len(experiment.members)} of them held out in turn."
    )
    return text + (
        f" {shared} images are kept in the fold of an image they are a copy of, look like or belong to."
        if shared
        else ""
    )


def _history(folder: Path) -> list[dict[str, Any]]:
    path = folder / HISTORY
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def _notes(experiment: Experiment, oof: Predictions) -> list[tuple[Flag, str]]:
    notes: list[tuple[Flag, str]] = [("info", note) for note in experiment.table.notes]
    if len(oof) < 500:
        notes.append(("warn", f"Judged on {len(oof)} images only: mind the intervals."))
    if experiment.cache.skipped:
        notes.append(("warn", f"{len(experiment.cache.skipped)} images could not be read and were left out."))
    return notes
