"""The report holds what it must: few and many classes, one label and several, with pictures and without."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from imcls.config import ReportOptions
from imcls.metrics.label_faults import ABSENT
from imcls.metrics.summary import summary
from imcls.predictions import Predictions
from imcls.report.confusion import confusion_table
from imcls.report.curves import curve_figures
from imcls.report.page import Ensemble, ReportInputs, write_report
from imcls.report.pictures import GAP_PX, LARGE_PX, confident_errors, mosaic
from suite.report.metric import Metric

HOSTILE = ('<script>alert("x")</script>', "rock & 'roll'", 'say "cheese"')


def single(k: int, n: int = 240, share_right: float = 0.8, classes: tuple[str, ...] = ()) -> Predictions:
    rng = np.random.default_rng(k)
    labels = np.arange(n) % k
    shown = np.where(rng.random(n) < share_right, labels, (labels + 1) % k)
    logits = rng.normal(size=(n, k)) + 4.0 * (shown[:, None] == np.arange(k))
    names = tuple(f"s/{i:04d}.jpg" for i in range(n))
    classes = classes or tuple(f"class {c}" for c in range(k))
    return Predictions(names, classes, logits.astype(np.float32), labels, rng.permutation(n) % 3)


def several(n: int = 200) -> Predictions:
    rng = np.random.default_rng(5)
    labels = (rng.random((n, 3)) < 0.4).astype(np.uint8)
    logits = (2.0 * labels - 1) * 2 + rng.normal(size=(n, 3)) * 1.5
    names = tuple(f"{i:04d}.jpg" for i in range(n))
    thresholds = np.array([0.3, -0.2, 0.0], np.float32)
    return Predictions(
        names, HOSTILE, logits.astype(np.float32), labels, np.arange(n) % 2, True, thresholds=thresholds
    )


def picture(name: str) -> np.ndarray:
    rng = np.random.default_rng(int(re.sub(r"\D", "", name)))
    return rng.integers(0, 255, (24, 32, 3)).astype(np.uint8)


def heat(name: str, c: int) -> np.ndarray:
    assert c >= 0
    return np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 16)


class Seen(HTMLParser):
    """Titles, text, images and whatever else stands on a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.alts: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self._open = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open = tag
        if tag == "img":
            self.alts.append(dict(attrs)["alt"] or "")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open != "style":
            self.text += data
        if self._open in ("h2", "h3"):
            self.headings.append(data)


def inputs_of(predictions: Predictions, **more) -> ReportInputs:
    return ReportInputs("A trial", predictions, summary(predictions, 100), bootstrap=100, **more)


def test_a_full_report_holds_every_part(tmp_path: Path):
    predictions = single(10)
    rows = [
        {"epoch": e + 1, "lr": 0.1 / (e + 1), "loss": 1 / (e + 1), "accuracy": 0.5 + 0.1 * e}
        for e in range(4)
    ]
    as_text = [{key: str(value) for key, value in row.items()} for row in rows]  # as read from log.csv
    head = summary(predictions, 100)
    test = replace(single(10, 60), folds=None)
    page = inputs_of(
        predictions,
        summary={"Model": "resnet <18>"},
        split="three folds, groups together",
        skipped=[("bad.jpg", "zero bytes")],
        histories={"fold-0": rows, "fold-1": as_text},
        pictures=picture,
        cams=heat,
        profile=[Metric("latency_ms", 12.5, "ms", note="one image")],
        ensemble=Ensemble({"fold-0": 0.25}, {"fold-0": head}, head, "By a vote."),
        test=test,
        test_metrics=[Metric("accuracy", 0.8125, better="higher")],
        options=ReportOptions(pictures=5, label_faults=7),
        notes=[("warn", "two folds only")],
    )
    seen = Seen(write_report(tmp_path / "report.html", page))
    assert seen.headings == [
        "At a glance", "Test set", "Confusions", "What was trained", "Classes", "Confusions",
        "Most confident errors", "Confidence", "Likely label faults", "Training", "Ensemble",
        "Size and speed", "Limits",
    ]  # fmt: skip
    for text in (
        "resnet <18>", "three folds, groups together", "zero bytes", "two folds only", "0.812", "By a vote.",
        "Fold 2", "latency", "12.5\xa0ms", "ECE by chance", "label_faults.csv", "class 7", "0.250",
    ):  # fmt: skip
        assert text.lower() in seen.text.lower(), text
    errors = confident_errors(predictions, 5)
    assert [alt.split(":")[0] for alt in seen.alts[:5]] == [error.name for error in errors]
    assert len(seen.alts) == 10  # five errors, five label faults
    assert seen.tags.count("svg") == 4 + 2 + 3  # confusions (test, out of fold), confidence, curves


def test_names_are_shown_never_obeyed(tmp_path: Path):
    predictions = single(3, classes=HOSTILE)
    path = write_report(tmp_path / "r.html", inputs_of(predictions, pictures=picture, cams=heat))
    seen = Seen(path)
    assert "script" not in seen.tags
    assert "alert(" not in re.sub(r"&lt;script&gt;alert|<!--.*?-->", "", path.read_text(encoding="utf-8"))
    for name in HOSTILE[1:]:
        assert name in seen.text


@pytest.mark.parametrize("k", [2, 13, 60])
def test_any_number_of_classes(tmp_path: Path, k: int):
    predictions = single(k, max(240, 3 * k))
    seen = Seen(write_report(tmp_path / "r.html", inputs_of(predictions)))
    assert seen.tags.count("svg") == (2 if k <= 12 else 1) + 2
    assert seen.tags.count("img") == 0
    assert "Most confident errors" in seen.headings and confident_errors(predictions, 1)[0].name in seen.text


def test_without_any_error_the_page_says_so(tmp_path: Path):
    predictions = single(4, share_right=1.0)
    predictions = replace(
        predictions, logits=predictions.logits + 9 * np.eye(4, dtype=np.float32)[np.arange(240) % 4]
    )
    seen = Seen(write_report(tmp_path / "r.html", inputs_of(predictions, pictures=picture, cams=heat)))
    assert "No image was judged wrongly." in seen.text
    assert "No label stands out" in seen.text
    assert "temperature stopped at its bound" in seen.text
    assert not seen.alts


def test_several_labels_an_image(tmp_path: Path):
    predictions = several()
    page = inputs_of(predictions, pictures=picture, cams=heat, options=ReportOptions(pictures=6))
    seen = Seen(write_report(tmp_path / "r.html", page))
    assert "Confusions" not in seen.headings
    assert "AP" in seen.text and "Threshold" in seen.text and "0.574" in seen.text  # sigmoid(0.3)
    assert len(seen.alts) == 12
    assert any("missed" in alt for alt in seen.alts) or any("is not there" in alt for alt in seen.alts)


def test_no_pictures_no_folds_unknown_labels(tmp_path: Path):
    predictions = replace(single(3), folds=None)
    assert predictions.labels is not None
    labels = predictions.labels.copy()
    labels[::3] = -1
    predictions = replace(predictions, labels=labels)
    test = replace(predictions, labels=None)
    off = ReportOptions(pictures=0, label_faults=0, grad_cam=False)
    page = ReportInputs("Bare", predictions, summary(predictions, 100), options=off, test=test)
    seen = Seen(write_report(tmp_path / "r.html", page))
    assert "Training" not in seen.headings and "Likely label faults" not in seen.headings
    assert "240 images without known labels" in seen.text
    with pytest.raises(ValueError, match="labels"):
        replace(page, predictions=test)


def test_errors_come_most_confident_first_and_only_errors():
    predictions = single(5)
    p, labels = predictions.probabilities(), predictions.labels
    assert labels is not None
    errors = confident_errors(predictions, 1000)
    wrong = np.flatnonzero(p.argmax(axis=1) != labels)
    assert {error.name for error in errors} == {predictions.names[i] for i in wrong}
    assert [error.p_said for error in errors] == sorted(p.max(axis=1)[wrong], reverse=True)
    for error in confident_errors(several(), 1000):
        assert (error.true == ABSENT) != (error.said == ABSENT)
        assert error.p_said + error.p_true == pytest.approx(1)


def test_the_confusion_table_lists_the_most_frequent_errors_only():
    counts = np.array([[8, 2, 0], [0, 5, 5], [0, 0, 4]])
    table = confusion_table(counts, ("a", "b", "c"))
    assert [list(row) for row in table.rows] == [["b", "c", 5, 50.0], ["a", "b", 2, 20.0]]


def test_a_mosaic_shows_pictures_whole_and_in_proportion():
    wide = np.full((50, 100, 3), 255, np.uint8)
    sheet = mosaic(wide, [wide, wide[:, :50]])
    half = (LARGE_PX - GAP_PX) // 2
    assert sheet.shape == (LARGE_PX, LARGE_PX + GAP_PX + half, 3)
    white = (sheet == 255).all(axis=2)
    assert white[:, :LARGE_PX].sum() == LARGE_PX * LARGE_PX // 2
    assert white[:half, LARGE_PX + GAP_PX :].sum() == half * half // 2
    assert white[half + GAP_PX :, LARGE_PX + GAP_PX :].all()
    assert mosaic(wide, [wide]).shape == (LARGE_PX, 2 * LARGE_PX + GAP_PX, 3)
    assert mosaic(wide).shape == (LARGE_PX, LARGE_PX, 3)


def test_curves_take_numbers_and_text_and_count_epochs_done():
    rows = [{"epoch": e, "lr": 0.1, "loss": 2.0 - e, "nothing": float("nan")} for e in range(2)]
    text = [{"epoch": "0.5", "loss": "1.75", "lr": "0.1"}, {"epoch": "1", "loss": ""}]
    (loss, _), (lr, _) = curve_figures({"a": rows, "b": text})
    lines = [line.get_xydata().tolist() for line in loss.figure.axes[0].lines]  # type: ignore[union-attr]
    assert lines == [[[1, 2], [2, 1]], [[0.5, 1.75]]]
    assert lr.figure.axes[0].get_ylabel() == "learning rate"
    many = {f"fold-{i}": rows for i in range(9)}
    (loss, _), _ = curve_figures(many)
    assert len(loss.figure.axes[0].lines) == 10  # nine members and their median
