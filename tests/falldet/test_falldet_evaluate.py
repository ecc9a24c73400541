"""Judging a detector on labelled files: what is written, chosen, named and refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from falldet.data.labelled import LabelledSet
from falldet.data.options import CocoSource
from falldet.detections import Detections
from falldet.evaluate import EvaluationRun, evaluate, evaluate_model, look_at
from falldet.metrics.options import BestF1
from falldet.report.tables import comparison_table
from suite.data.images import write_image
from suite.errors import BadInput
from suite.run import Run

SIDE = 96
FALLEN_COLOUR, OTHER_COLOUR = (200, 40, 40), (40, 40, 200)


@dataclass(frozen=True)
class Card:
    threshold: float = 0.5


class ColourDetector:
    """Sees red boxes as fallen and blue ones as not, the more surely the purer the colour."""

    def __init__(self, classes: tuple[str, ...] = ("fallen", "not_fallen")) -> None:
        self.card = Card()
        self.classes = classes
        self.looked = 0

    def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]:
        self.looked += len(pictures)
        return [self._one(rgb.astype(np.float32)) for rgb in pictures]

    def _one(self, rgb: np.ndarray) -> Detections:
        boxes, scores, labels = [], [], []
        for label, (mine, other) in enumerate(((0, 2), (2, 0))):
            surplus = rgb[..., mine] - rgb[..., other]
            rows, columns = np.nonzero(surplus > 40)
            if len(rows):
                boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                scores.append(np.median(surplus[surplus > 40]) / 200)
                labels.append(label)
        order = np.argsort(-np.array(scores))
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4)[order],
            np.array(scores, np.float32)[order],
            np.array(labels, np.int64)[order],
            self.classes,
        )


def write_set(folder: Path, images: int, seed: int, damaged: bool = False) -> CocoSource:
    """Pictures with a red or a blue person each, some of them labelled against their colour."""
    rng = np.random.default_rng(seed)
    entries, people = [], []
    for number in range(images):
        rgb = rng.integers(100, 110, (SIDE, SIDE, 3)).astype(np.uint8)
        x, y = (int(v) for v in rng.integers(5, 40, 2))
        fallen = number % 2 == 0
        faded = rng.uniform(0.4, 1.0)
        colour = np.array(FALLEN_COLOUR if fallen else OTHER_COLOUR)
        rgb[y : y + 30, x : x + 40] = (100 + faded * (colour - 100)).astype(np.uint8)
        name = f"{seed}-{number:02d}.png"
        write_image(folder / name, rgb)
        entries.append(
            {"id": number, "file_name": name, "width": SIDE, "height": SIDE, "video": str(number // 4)}
        )
        label = 1 if fallen != (number % 7 == 3) else 2
        person = {
            "id": number,
            "image_id": number,
            "category_id": label,
            "bbox": [x, y, 40, 30],
            "area": 1200,
        }
        people.append(person | {"iscrowd": 0, "tags": ["fall"] if label == 1 else ["sit"]})
    if damaged:
        path = folder / f"{seed}-01.png"
        path.write_bytes(path.read_bytes()[:300])
    categories = [{"id": 1, "name": "fallen"}, {"id": 2, "name": "not_fallen"}]
    file = folder / "labels.json"
    file.write_text(json.dumps({"images": entries, "annotations": people, "categories": categories}))
    return CocoSource(file=file)


@pytest.fixture
def two_sets(tmp_path: Path) -> tuple[CocoSource, CocoSource]:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return write_set(tmp_path / "one", 24, 1, damaged=True), write_set(tmp_path / "two", 16, 2)


def judged(
    detector: ColourDetector, sources: Sequence[CocoSource], out: Path, **options: Any
) -> EvaluationRun:
    """With few resamplings, which take the time."""
    return evaluate_model(detector, sources, out, resamples=60, **options)


def test_a_run_holds_figures_detections_failures_and_a_page(two_sets, tmp_path: Path):
    out = tmp_path / "out"
    done = judged(ColourDetector(), two_sets, out, name="colours", threshold=0.3)
    run = Run.open(out)
    assert run.status == "finished"
    assert [one.images for one in done.evaluations] == [23, 16]  # the damaged picture is left out
    keys = {metric.key: metric for metric in run.metrics}
    prefixes = {key.rpartition(".")[0] for key in keys}
    assert len(prefixes) == 2
    for prefix, one in zip(sorted(prefixes), sorted(done.evaluations, key=lambda e: e.name), strict=True):
        assert keys[f"{prefix}.ap50_fallen"].value == pytest.approx(one.coco.classes[0].ap50)
        assert keys[f"{prefix}.false_fallen_rate"].value == one.false_fallen.risky.rate.value > 0
        assert keys[f"{prefix}.ap50_fallen"].interval is not None
    page = done.page.read_text(encoding="utf-8")
    assert "1-01.png" in page and "could not be read" in page
    assert "0.3000, given" in page
    assert page.count("<img") >= sum(
        f.true == "fallen" or f.said == "fallen" for f in done.evaluations[0].failures
    )
    lines = [json.loads(line) for line in sorted(out.glob("detections-*.jsonl"))[0].read_text().splitlines()]
    assert len(lines) in (23, 16)
    assert {"name", "width_px", "height_px", "detections"} == set(lines[0])
    with sorted(out.glob("failures-*.csv"))[0].open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows and rows[0]["Kind"] in ("missed", "wrong class")


def test_the_threshold_is_chosen_on_the_develop_split_and_told(two_sets, tmp_path: Path):
    detector = ColourDetector()
    done = judged(detector, two_sets[1:], tmp_path / "out", develop=two_sets[0], rule=BestF1())
    assert detector.looked == 23 + 16
    assert done.choice is not None
    assert done.evaluations[0].threshold == done.choice.threshold
    assert done.evaluations[0].floor == done.choice.floor
    page = done.page.read_text(encoding="utf-8")
    assert "chosen on" in page and "too good" not in page
    keys = {metric.key for metric in Run.open(tmp_path / "out").metrics}
    assert {"ap50_fallen", "ap50_not_fallen", "ap", "false_fallen_rate", "frame_f1", "threshold"} <= keys
    same = judged(detector, two_sets[:1], tmp_path / "same", develop=two_sets[0], rule=BestF1())
    assert "too good" in same.page.read_text(encoding="utf-8")


def test_without_a_word_the_detectors_own_threshold_holds(two_sets, tmp_path: Path):
    done = judged(ColourDetector(), two_sets[1:], tmp_path / "out")
    assert done.choice is None
    assert done.evaluations[0].threshold == 0.5


def test_sets_of_one_name_are_kept_apart(two_sets, tmp_path: Path):
    done = judged(ColourDetector(), [two_sets[1]] * 2, tmp_path / "out")
    names = [one.name for one in done.evaluations]
    assert names[1] == f"{names[0]} 2"
    assert len(list((tmp_path / "out").glob("detections-*.jsonl"))) == 2


def test_bad_input_is_one_line_and_leaves_no_folder(two_sets, tmp_path: Path):
    out = tmp_path / "out"
    with pytest.raises(BadInput, match="give one of the two"):
        judged(ColourDetector(), two_sets, out, threshold=0.5, develop=two_sets[0])
    with pytest.raises(BadInput, match="is no score"):
        judged(ColourDetector(), two_sets, out, threshold=1.5)
    with pytest.raises(BadInput, match="knows the classes person, dog"):
        judged(ColourDetector(("person", "dog")), two_sets, out)
    with pytest.raises(BadInput, match="holds no picture"):
        look_at(ColourDetector(), LabelledSet("nothing", ()))
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    with pytest.raises(BadInput, match="not empty"):
        judged(ColourDetector(), two_sets, out)


def test_detectors_stand_side_by_side(two_sets, tmp_path: Path):
    low = judged(ColourDetector(), two_sets, tmp_path / "low", threshold=0.3).evaluations
    high = judged(ColourDetector(), two_sets, tmp_path / "high", threshold=0.7).evaluations
    table = comparison_table([("low", low[0]), ("low", low[1]), ("high", high[0]), ("high", high[1])])
    assert [row[0] for row in table.rows] == ["low", "low", "high", "high"]
    titles = [column.title for column in table.columns if not isinstance(column, str)]
    recall, ap = titles.index("Recall fallen"), titles.index("AP")
    assert {(0, recall), (1, recall)} <= table.marked  # the lower threshold finds more
    assert not {(r, ap) for r in range(4)} & table.marked  # no threshold changes it: nobody is best
    assert "Detector" not in [
        c.title for c in comparison_table([(low[0].name, low[0])]).columns if not isinstance(c, str)
    ]


def test_on_real_labels_perfect_detections_are_perfect(data):
    from falldet.data.formats.read import read_labelled

    labelled = read_labelled(CocoSource(file=data("falldet/hospital_bed") / "test.json"))
    said = [
        Detections(image.boxes_px, np.full(len(image.labels), 0.9, np.float32), image.labels)
        for image in labelled.images
    ]
    one = evaluate(said, labelled, 0.5, resamples=50)
    assert (one.coco.ap, one.coco.ar_100) == (pytest.approx(1.0), pytest.approx(1.0))
    assert one.people == {"fallen": 35, "not_fallen": 184}
    assert one.false_fallen.risky.people == 87
    assert one.groups == 12
    # Labelled boxes of two people that overlap by .6 or more are one person to the rule: the only failures.
    assert len(one.failures) == 219 - sum(row[k] for k, row in enumerate(one.confusion.counts[:2]))
    assert one.confusion.recall.value > 0.9
