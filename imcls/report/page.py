"""The report of an experiment as one page: figures, classes, errors, confidence, labels in doubt."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from csv import writer
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imcls.config import ReportOptions
from imcls.metrics.calibration import COLDEST, HOTTEST, calibrated, cross_fitted, fit_temperature, reliability
from imcls.metrics.classes import confusion_matrix
from imcls.metrics.label_faults import LabelFaults, find_label_faults
from imcls.predictions import Predictions
from imcls.report.confusion import BESIDE, NUMBERED, confusion_figure, confusion_table
from imcls.report.curves import History, curve_figures
from imcls.report.pictures import Cams, Pictures, confident_errors, show_errors, show_faults
from imcls.report.reliability import calibration_table, confidence_figure, reliability_figure
from imcls.report.tables import class_table, fault_table, figure_table, fold_table
from suite.report.flag import Flag
from suite.report.metric import Metric
from suite.report.page import Flow, Page
from suite.report.table import Cell, Table


@dataclass(frozen=True)
class Ensemble:
    """Members by name with their weight, and the same figures of each member and of all together."""

    weights: Mapping[str, float]
    members: Mapping[str, Sequence[Metric]]
    together: Sequence[Metric]
    note: str = ""


@dataclass(frozen=True)
class ReportInputs:
    """All that stands on the page; only the first three are needed.

    ``predictions`` are out of fold, with labels; ``metrics`` their figures, the most important first.
    ``pictures`` and ``cams`` (see imcls.report.pictures) are asked for single images when they are shown.
    ``summary`` says what was trained, a line for each key. ``skipped`` names images left out, and why.
    """

    title: str
    predictions: Predictions
    metrics: Sequence[Metric]
    summary: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    skipped: Sequence[tuple[str, str]] = ()
    histories: Mapping[str, History] = field(default_factory=dict)
    watch: str = ""
    pictures: Pictures | None = None
    cams: Cams | None = None
    profile: Sequence[Metric] = ()
    ensemble: Ensemble | None = None
    test: Predictions | None = None
    test_metrics: Sequence[Metric] = ()
    options: ReportOptions = field(default_factory=ReportOptions)
    bootstrap: int = 1000
    seed: int = 0
    notes: Sequence[tuple[Flag, str]] = ()

    def __post_init__(self) -> None:
        if self.predictions.labels is None:
            raise ValueError("a report needs predictions with labels")


def write_report(path: str | Path, inputs: ReportInputs) -> Path:
    """Write the page, whole or not at all; returns its path. It opens offline and holds all its pictures."""
    said = inputs.predictions
    kind = "several labels an image" if said.multi_label else "one label an image"
    page = Page(inputs.title, f"{len(said):,} images, {len(said.classes)} classes, {kind}", footer=_FOOTER)
    page.heading("At a glance")
    for flag, text in inputs.notes:
        page.note(flag, text)
    page.metrics(inputs.metrics, LABELS)
    if inputs.test is not None or inputs.test_metrics:
        _test(page, inputs)
    _trained(page, inputs)
    _classes(page, inputs)
    _errors(page, inputs)
    _confidence(page, inputs)
    _labels(page, inputs)
    if inputs.histories or fold_table(said) is not None:
        _training(page, inputs)
    if inputs.ensemble is not None:
        _ensemble(page, inputs.ensemble)
    if inputs.profile:
        page.heading("Size and speed")
        page.table(figure_table(inputs.profile, LABELS))
    page.heading("Limits")
    page.text(_LIMITS if said.folds is None else f"{_OUT_OF_FOLD}\n\n{_LIMITS}")
    return page.write(path)


LABELS = {
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "weighted_f1": "Weighted F1",
    "top2_accuracy": "Accuracy of the first two",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
    "log_loss": "Log loss",
    "top5_accuracy": "Accuracy of the first five",
    "parameters_m": "Parameters",
    "file_mb": "File of weights",
    "multiply_adds_g": "Multiply-adds",
    "latency_ms": "Latency, one image",
    "latency_p95_ms": "Latency, one image, 95th percentile",
    "latency_batch_ms": "Time an image, in batches",
    "latency_batch_p95_ms": "Time an image, in batches, 95th percentile",
    "images_per_s": "Throughput",
    "tensors_mb": "Memory for tensors",
}
_FOOTER = "Intervals are 95 % intervals over images: another draw of as many images of the same kind."
_OUT_OF_FOLD = (
    "All figures but those of the test set come from out-of-fold predictions: each image was judged by a "
    "member that did not train on it. Settings that were chosen by looking at these figures make them a "
    "little too good. Intervals take in which images there happen to be, not another training from another "
    "seed."
)
_LIMITS = (
    "Figures hold for images of the same origin. A class with few images has wide intervals, whatever its "
    "value. Grad-CAM shows where the evidence for one class lies, at the resolution of the last feature map; "
    "it is a hint, no proof. Likely label faults are the model's opinion: look before you change a label."
)


def _trained(page: Page, inputs: ReportInputs) -> None:
    if not (inputs.summary or inputs.split or inputs.skipped):
        return
    page.heading("What was trained")
    rows: list[list[Cell]] = [[key, value] for key, value in inputs.summary.items()]
    if inputs.split:
        rows.append(["Split", inputs.split])
    if rows:
        page.table(Table(["Part", "Setting"], rows))
    if inputs.skipped:
        n = len(inputs.skipped)
        page.note("warn", f"{n} image{'s' if n > 1 else ''} could not be read and had no part in anything.")
        listed: list[list[Cell]] = [[name, reason] for name, reason in inputs.skipped[:50]]
        page.table(Table(["Image", "What is wrong"], listed, f"Left out ({min(n, 50)} of {n} listed)"))


def _classes(page: Flow, inputs: ReportInputs, predictions: Predictions | None = None) -> None:
    said = inputs.predictions if predictions is None else predictions
    if predictions is None:
        page.heading("Classes")
    page.table(class_table(said, inputs.bootstrap, inputs.seed))
    if said.multi_label:
        return
    page.heading("Confusions", 3)
    counts = confusion_matrix(said)
    if len(said.classes) <= BESIDE:
        left, right = page.columns(1, 1)
        left.figure(confusion_figure(counts, said.classes), "Images by true class and class said.")
        right.figure(confusion_figure(counts, said.classes, shares=True), "Percent of each true class.")
    else:
        numbers = "Numbers are images. " if len(said.classes) <= NUMBERED else ""
        page.figure(
            confusion_figure(counts, said.classes),
            f"{numbers}Depth of colour is the share of the true class: blue right, orange wrong.",
        )
    if counts.sum() > np.trace(counts):
        page.table(confusion_table(counts, said.classes))


def _errors(page: Page, inputs: ReportInputs) -> None:
    said, most = inputs.predictions, inputs.options.pictures
    errors = confident_errors(said, most)
    page.heading("Most confident errors")
    if not errors and most:
        page.note("ok", "No image was judged wrongly.")
    elif most and inputs.pictures is None:
        rows: list[list[Cell]] = [
            [
                one.name,
                said.classes[one.true] if one.true >= 0 else "not there",
                said.classes[one.said] if one.said >= 0 else "not said",
                one.p_said,
            ]
            for one in errors
        ]
        page.table(Table(["Image", "True", "Said", "Confidence"], rows))
    elif most and inputs.pictures is not None:
        cams = inputs.cams if inputs.options.grad_cam else None
        if cams is not None:
            which = (
                "the class in question"
                if said.multi_label
                else "the class said (above), the true one (below)"
            )
            page.text(f"Beside each picture, Grad-CAM: where the evidence for {which} lies. Yellow is most.")
        show_errors(page, errors, said.classes, inputs.pictures, cams)


def _confidence(page: Page, inputs: ReportInputs) -> None:
    said = inputs.predictions
    page.heading("Confidence")
    temperature = fit_temperature(said)
    honest = cross_fitted(said, inputs.seed) if len(said) > 1 else None
    if temperature in (COLDEST, HOTTEST):
        page.note(
            "warn", f"The temperature stopped at its bound of {temperature:g}: {_AT_BOUND[temperature]}"
        )
    else:
        way = "overconfident" if temperature > 1 else "underconfident"
        page.text(
            f"The temperature that fits is {temperature:.3f}: as trained, the model is {way}. Where its "
            "effect is measured, each fold's temperature comes from the other folds; decisions do not change."
        )
    left, right = page.columns(1, 1)
    after = None if honest is None else reliability(honest)
    left.figure(
        reliability_figure(reliability(said), after),
        "How often statements of a confidence are true, with 95 % intervals; bins under five left out.",
    )
    right.figure(
        confidence_figure(calibrated(said, temperature)),
        "How many statements of each confidence there are, with temperature.",
    )
    page.table(calibration_table(said, honest))


_AT_BOUND = {
    COLDEST: "all held-out images are right, so there is nothing to learn it from.",
    HOTTEST: "the probabilities are no better than chance.",
}


def _labels(page: Page, inputs: ReportInputs) -> None:
    most = inputs.options.label_faults
    if not most:
        return
    found = find_label_faults(inputs.predictions)
    page.heading("Likely label faults")
    if not found.faults:
        page.note("ok", "No label stands out against what the members say.")
        return
    n = len(found.faults)
    page.text(
        f"Confident learning estimates that {100 * found.wrong_share:.1f} % of the labels are wrong, and "
        f"names {n}, the surest first."
    )
    shown = found.faults[:most]
    if inputs.pictures is not None:
        if not inputs.predictions.multi_label:
            page.text(
                "Beside each picture, a typical one of the class given above, of the likely class below."
            )
        show_faults(page, shown[: inputs.options.pictures], inputs.predictions, inputs.pictures)
    page.table(fault_table(shown, inputs.predictions.classes))
    page.download("label_faults.csv", _fault_csv(found, inputs.predictions.classes), "text/csv")


def _fault_csv(found: LabelFaults, classes: Sequence[str]) -> bytes:
    stream = io.StringIO()
    rows = writer(stream, lineterminator="\n")
    rows.writerow(["image", "given", "likely", "p_given", "p_likely", "margin"])
    for one in found.faults:
        given, likely = (classes[c] if c >= 0 else "" for c in (one.given, one.likely))
        figures = (f"{value:.6f}" for value in (one.p_given, one.p_likely, one.margin))
        rows.writerow([one.name, given, likely, *figures])
    return stream.getvalue().encode()


def _training(page: Page, inputs: ReportInputs) -> None:
    page.heading("Training")
    figures = curve_figures(inputs.histories, inputs.watch)
    if len(figures) == 1:
        page.figure(*figures[0])
    elif figures:
        for column, (figure, caption) in zip(page.columns(*(1,) * len(figures)), figures, strict=True):
            column.figure(figure, caption)
    folds = fold_table(inputs.predictions)
    if folds is not None:
        page.table(folds)


def _ensemble(page: Page, ensemble: Ensemble) -> None:
    page.heading("Ensemble")
    together = {m.key: m for m in ensemble.together if m.better is not None}
    keys = list(together)
    rows: list[list[Cell]] = []
    for name, figures in ensemble.members.items():
        by_key = {m.key: m for m in figures}
        rows.append([name, ensemble.weights.get(name), *(by_key.get(key) for key in keys)])
    rows.append(["All together", None, *together.values()])
    titles = [LABELS.get(key, key.replace("_", " ").capitalize()) for key in keys]
    marked = frozenset((len(rows) - 1, c) for c in range(2, 2 + len(keys)))
    page.table(Table(["Member", "Weight", *titles], rows, "Members and their vote", marked=marked))
    if ensemble.note:
        page.text(ensemble.note)


def _test(page: Page, inputs: ReportInputs) -> None:
    page.heading("Test set")
    page.metrics(inputs.test_metrics, LABELS)
    test = inputs.test
    if test is None:
        return
    if test.labels is None or not (test.multi_label or (test.labels >= 0).any()):
        page.text(f"{len(test):,} images without known labels.")
    else:
        _classes(page, inputs, test)
