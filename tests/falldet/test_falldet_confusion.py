"""People out of boxes, who was taken for whom, false alarms by tag, failures by name, thresholds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.detections import Detections
from falldet.metrics.confusion import outcome
from falldet.metrics.evaluation import evaluate
from falldet.metrics.failures import failures
from falldet.metrics.false_fallen import TagRate, false_fallen
from falldet.metrics.options import BestF1, BoundedFalseFallen
from falldet.metrics.overlap import iou
from falldet.metrics.people import candidates, people
from falldet.metrics.sweep import sweep_floor, sweep_threshold
from falldet.metrics.thresholds import choose_threshold, upper_limit
from suite.errors import BadInput

A, B, C = [0, 0, 100, 100], [200, 0, 300, 100], [400, 0, 500, 100]
FAR = [0, 300, 80, 400]


def picture(boxes, labels, tags=None, name: str = "a.jpg", group: str | None = None) -> LabelledImage:
    return LabelledImage(
        Path(name),
        640,
        480,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        tuple(map(tuple, tags)) if tags else ((),) * len(labels),
        group,
    )


def found(*triples) -> Detections:
    """(box, score, label) each, the most certain first."""
    triples = sorted(triples, key=lambda one: -one[1])
    return Detections(
        np.array([one[0] for one in triples], np.float32).reshape(-1, 4),
        np.array([one[1] for one in triples], np.float32),
        np.array([one[2] for one in triples], np.int64),
    )


def scene(seed: int, images: int = 30) -> tuple[list[Detections], LabelledSet]:
    rng = np.random.default_rng(seed)
    pictures, said = [], []
    for number in range(images):
        n = int(rng.integers(0, 4))
        boxes, labels = [A, B, C][:n], rng.integers(0, 2, n)
        words = [[] if label == 0 else [str(rng.choice(["sit", "lie", "stand"]))] for label in labels]
        pictures.append(picture(boxes, labels, words, f"{number}.jpg", str(number // 3)))
        triples = [(FAR, round(rng.beta(1, 3), 2), int(rng.integers(2)))]
        for box, label in zip(boxes, labels, strict=True):
            for k in (0, 1):
                score = float(np.clip(rng.normal(0.65 if k == label else 0.35, 0.2), 0.01, 0.99))
                moved = np.array(box) + rng.normal(0, 9, 4)
                triples.append((moved.tolist(), round(score, 2), k))
        said.append(found(*triples))
    return said, LabelledSet("made up", tuple(pictures))


def test_boxes_of_both_classes_on_one_place_are_one_person():
    """The boxes of A overlap by 90 / 110 = .82; the other lies elsewhere."""
    said = found((A, 0.6, 1), ([10, 0, 110, 100], 0.5, 0), (B, 0.4, 1))
    both = candidates(said)
    assert both.boxes_px.tolist() == [A, B]  # the most certain box stands for the person
    assert both.fallen_scores.tolist() == [0.5, 0.0]
    assert both.other_scores.tolist() == pytest.approx([0.6, 0.4])
    assert people(said, 0.5).fallen.tolist() == [True, False]  # though not fallen is more certain
    assert people(said, 0.51).fallen.tolist() == [False, False]
    assert people(said, 0.51, floor=0.5).boxes_px.tolist() == [A]
    assert len(people(said, 0.51, floor=0.7)) == 0


def test_neighbours_stay_two_people():
    """Overlap 60 / 140 = .43 is below .6; at 76 / 124 = .61 they are one."""
    assert len(candidates(found((A, 0.9, 0), ([40, 0, 140, 100], 0.8, 0)))) == 2
    assert len(candidates(found((A, 0.9, 0), ([24, 0, 124, 100], 0.8, 0)))) == 1
    assert len(candidates(Detections.none())) == 0


def test_order_of_boxes_does_not_matter():
    said, _ = scene(4)
    rng = np.random.default_rng(0)
    for one in said:
        mixed = one.chosen(rng.permutation(len(one)))
        if len(np.unique(one.scores)) == len(one):
            np.testing.assert_array_equal(candidates(one).fallen_scores, candidates(mixed).fallen_scores)


def test_other_classes_are_refused():
    strange = Detections.none(("person",))
    with pytest.raises(ValueError, match="person"):
        candidates(strange)
    with pytest.raises(BadInput, match="knows the classes person"):
        evaluate([strange], LabelledSet("one", (picture([], []),)), 0.5)


def test_who_was_taken_for_whom():
    """A fallen, called so; B not fallen, called fallen; C fallen, missed; one ghost of each class."""
    labelled = LabelledSet("hand", (picture([A, B, C], [0, 1, 0], [["fall"], ["sit", "patient"], ["fall"]]),))
    ghost = [0, 200, 90, 290]
    said = [found((A, 0.9, 0), (B, 0.8, 0), (B, 0.85, 1), (FAR, 0.7, 0), (ghost, 0.6, 1), (C, 0.4, 0))]
    one = evaluate(said, labelled, 0.5)
    assert one.confusion.counts == ((1, 0, 1), (1, 0, 0), (1, 1, 0))
    assert one.confusion.recall.value == 0.5
    assert one.confusion.precision.value == pytest.approx(1 / 3)
    assert one.confusion.f1.value == pytest.approx(2 * 1 / (2 + 3))
    assert one.confusion.recall_not_fallen.value == 0.0
    assert one.confusion.ghosts == (1, 1)
    texts = [failure.text for failure in one.failures]
    assert texts == [
        "fallen [fall] missed (best score 0.40)",
        "not fallen [sit, patient] called fallen (0.80)",
        "ghost called fallen (0.70)",
        "ghost called not fallen (0.60)",
    ]


def test_boxes_that_are_off_and_second_boxes_have_names():
    """IoU .3 with somebody missed is a box that is off; .54 with somebody found is a second box."""
    labelled = LabelledSet("hand", (picture([A, B], [0, 1]),))
    off, second = [0, 0, 100, 30], [200, 46, 300, 100]
    found_ = failures([found((off, 0.9, 0), (B, 0.8, 1), (second, 0.7, 1))], labelled, 0.5, 0.3)
    assert [(one.kind, round(one.overlap, 2)) for one in found_] == [("box off", 0.3), ("second box", 0.54)]
    one = evaluate([found((off, 0.9, 0))], labelled, 0.5)
    assert one.confusion.counts == ((0, 0, 1), (0, 0, 1), (1, 0, 0))


def test_every_error_in_the_counts_is_a_failure_by_name():
    said, labelled = scene(1)
    one = evaluate(said, labelled, 0.5, resamples=10)
    counts = np.array(one.confusion.counts)
    kinds = [failure.kind for failure in one.failures]
    assert kinds.count("wrong class") == counts[0, 1] + counts[1, 0] > 0
    assert kinds.count("missed") + kinds.count("box off") == counts[:2, 2].sum()
    ghosts = kinds.count("ghost") + kinds.count("second box") + kinds.count("box off")
    assert ghosts == counts[2].sum() > 0
    assert counts[:2].sum() == sum(labelled.counts().values())


def test_false_alarms_are_counted_by_tag_and_each_person_once():
    tags = [["lie", "patient"], ["sit", "danger"], ["stand"], ["fall"]]
    image = picture([A, B, C, FAR], [1, 1, 1, 0], tags)
    said = found((A, 0.9, 0), (B, 0.9, 0), (C, 0.9, 1), (FAR, 0.9, 0))
    calls = outcome(np.zeros(2, np.int64), iou(np.array([A, B], float), image.boxes_px)).said
    assert calls.tolist() == [0, 0, 2, 2]
    alarms = evaluate([said], LabelledSet("hand", (image,)), 0.5).false_fallen
    assert (alarms.risky.called, alarms.risky.people) == (2, 2)
    assert {rate.tag: (rate.called, rate.people) for rate in alarms.tags} == {
        "danger": (1, 1),
        "lie": (1, 1),
        "patient": (1, 1),
        "sit": (1, 1),
        "stand": (0, 1),
    }
    assert alarms.everybody.rate.value == pytest.approx(2 / 3)
    nobody = false_fallen([np.zeros(0, np.int64)], LabelledSet("none", (picture([], []),)))
    assert math.isnan(nobody.risky.rate.value)


def test_pictures_count_as_a_whole():
    pictures = (picture([A, B], [0, 0]), picture([A], [0]), picture([A], [1]), picture([], []))
    said = [found((A, 0.9, 0)), found((A, 0.9, 1)), found((FAR, 0.9, 0)), Detections.none()]
    frames = evaluate(said, LabelledSet("hand", pictures), 0.5).frames
    assert (frames.hits, frames.missed, frames.false_alarms, frames.quiet) == (1, 1, 1, 1)
    figures = (frames.recall, frames.precision, frames.f1, frames.specificity)
    assert [one.value for one in figures] == [0.5, 0.5, 0.5, 0.5]


def counted(
    said: list[Detections], labelled: LabelledSet, threshold: float, floor: float
) -> tuple[np.ndarray, TagRate]:
    """People by what they are and are called, and false alarms about lie, sit and danger."""
    called = [people(one, threshold, floor) for one in said]
    outcomes = [
        outcome(1 - one.fallen.astype(np.int64), iou(one.boxes_px, image.boxes_px))
        for one, image in zip(called, labelled.images, strict=True)
    ]
    counts = sum(one.counts(image.labels) for one, image in zip(outcomes, labelled.images, strict=True))
    return np.asarray(counts), false_fallen([one.said for one in outcomes], labelled).risky


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sweep_is_a_count_at_every_cut(seed: int):
    said, labelled = scene(seed)
    merged = [candidates(one) for one in said]
    over_threshold, over_floor = sweep_threshold(merged, labelled, 0.3), sweep_floor(merged, labelled, 0.5)
    for sweep in (over_threshold, over_floor):
        assert len(sweep.cuts) > 30
        assert (np.diff(sweep.cuts) < 0).all()
        for k in np.linspace(0, len(sweep.cuts) - 1, 8).astype(int):
            cut = float(sweep.cuts[k])
            counts, risky = counted(said, labelled, *((cut, 0.3) if sweep is over_threshold else (0.5, cut)))
            assert sweep.people[k].tolist() == counts.tolist()
            assert sweep.false_risky[k] == risky.called


@pytest.mark.parametrize("seed", [0, 3])
def test_the_threshold_is_the_best_there_is(seed: int):
    said, labelled = scene(seed)
    best = choose_threshold(said, labelled, BestF1())
    bounded = choose_threshold(said, labelled, BoundedFalseFallen(bound=0.2, assurance=0.5))
    recalls = []
    for threshold in np.linspace(0, 1, 41):
        counts, risky = counted(said, labelled, float(threshold), best.floor)
        f1 = 2 * counts[0, 0] / (counts[0].sum() + counts[:, 0].sum())
        assert f1 <= best.f1 + 1e-12
        if risky.rate.value <= 0.2:
            recalls.append(counts[0, 0] / counts[0].sum())
    assert bounded.recall == pytest.approx(max(recalls))
    assert bounded.kept
    assert bounded.false_fallen.value <= 0.2
    for choice in (best, bounded):
        there = evaluate(said, labelled, choice.threshold, floor=choice.floor, resamples=2)
        assert there.confusion.recall.value == choice.recall
        assert there.confusion.precision.value == choice.precision
        assert there.false_fallen.risky.rate == choice.false_fallen


def test_a_margin_is_kept_to_the_bound():
    said, labelled = scene(5, images=120)
    plain = choose_threshold(said, labelled, BoundedFalseFallen(bound=0.15, assurance=0.5))
    careful = choose_threshold(said, labelled, BoundedFalseFallen(bound=0.15, assurance=0.95))
    assert careful.threshold > plain.threshold
    assert careful.false_fallen.value < plain.false_fallen.value <= 0.15
    assert upper_limit(10, 100, 0.5) == pytest.approx(0.1)
    assert 0.1 < upper_limit(10, 100, 0.8) < upper_limit(10, 100, 0.95)


def test_what_cannot_be_bounded_is_said():
    said = [found((A, 0.9, 0), (B, 0.8, 1)), found((A, 0.7, 0))]
    few = LabelledSet("few", (picture([A, B], [0, 1], [[], ["sit"]]), picture([A], [0])))
    choice = choose_threshold(said, few)
    assert not choice.kept  # of one person no rate below .10 can be told
    assert "no rate" in choice.note
    assert (choice.recall, choice.false_fallen.value) == (1.0, 0.0)
    untagged = LabelledSet("untagged", (picture([A, B], [0, 1]), picture([A], [0])))
    assert "everybody not fallen" in choose_threshold(said, untagged).note
    with pytest.raises(BadInput, match="nobody is labelled fallen"):
        choose_threshold(said[:1], LabelledSet("none", (picture([A], [1]),)))
    with pytest.raises(BadInput, match="best_f1"):
        choose_threshold(said[1:], LabelledSet("all", (picture([A], [0]),)))
    assert choose_threshold(said[1:], LabelledSet("all", (picture([A], [0]),)), BestF1()).f1 == 1.0


def test_a_score_of_one_can_be_refused():
    """The first cut lies above every score there can be."""
    said = [found((A, 1.0, 0), (B, 0.9, 0))]
    labelled = LabelledSet("one", (picture([A, B], [1, 0]),))
    sweep = sweep_threshold([candidates(one) for one in said], labelled, 0.3)
    assert sweep.people[0, :, 0].sum() == 0
    assert sweep.cuts[0] > 1


@pytest.mark.parametrize(
    ("images", "note"),
    [
        ((), "holds no picture"),
        ((picture([A], [1], [["sit"]]),), "Nobody is labelled fallen"),
        ((picture([A], [0]),), "Nobody is labelled not_fallen"),
        ((picture([], []),), "found nobody"),
    ],
)
def test_what_cannot_be_measured_is_said(images, note: str):
    labelled = LabelledSet("strange", images)
    if not images:
        with pytest.raises(BadInput, match=note):
            evaluate([], labelled, 0.5)
        return
    one = evaluate([Detections.none() for _ in images], labelled, 0.5)
    assert any(note in line for line in one.notes)
    figures = {metric.key: metric for metric in one.metrics()}
    for k, name in enumerate(labelled.classes):
        assert math.isnan(figures[f"ap50_{name}"].value) == (one.people[name] == 0), k
    assert all(metric.interval is None or not math.isnan(metric.interval[0]) for metric in one.metrics())


def test_predictions_of_other_pictures_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="2 predictions for 1 pictures"):
        evaluate([Detections.none()] * 2, LabelledSet("one", (picture([A], [0]),)), 0.5)
