"""Average precision: COCO's, by hand, by two other programs, and ours for the training loop."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path

import numpy as np
import pytest

from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.detections import Detections
from falldet.metrics.average_precision import coco_dicts, coco_figures
from falldet.metrics.intervals import Resampling, groups_of, wilson
from falldet.metrics.overlap import iou, match
from falldet.metrics.ranking import Ranking, ap50, rank


def picture(boxes, labels, group: str | None = None, name: str = "a.jpg") -> LabelledImage:
    return LabelledImage(
        Path(name),
        640,
        480,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        ((),) * len(labels),
        group,
    )


def found(boxes, scores, labels) -> Detections:
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(labels, np.int64)
    )


def random_case(seed: int, images: int = 40, ties: bool = True) -> tuple[list[Detections], LabelledSet]:
    """Labels of all sizes, detections near them and elsewhere, some scores and some boxes equal."""
    rng = np.random.default_rng(seed)
    pictures, said = [], []
    for number in range(images):
        n = rng.integers(0, 5)
        low = rng.uniform(0, 300, (n, 2))
        boxes = np.concatenate([low, low + rng.uniform(8, 170, (n, 2))], axis=1)
        labels = rng.integers(0, 2, n)
        if n > 2:
            boxes[1] = boxes[0]  # two people on one place
        pictures.append(picture(boxes, labels, name=f"{number}.jpg"))
        near = np.repeat(boxes, 3, axis=0) + rng.normal(0, 6, (3 * n, 4))
        low = rng.uniform(0, 300, (rng.integers(0, 130), 2))
        far = np.concatenate([low, low + rng.uniform(8, 170, low.shape)], axis=1)
        both = np.concatenate([near, far])
        both[:, 2:] = np.maximum(both[:, 2:], both[:, :2] + 1)
        scores = rng.random(len(both)) * np.where(np.arange(len(both)) < len(near), 1.0, 0.7)
        scores = np.round(scores, 2) if ties else scores
        classes = np.concatenate([np.repeat(labels, 3), rng.integers(0, 2, len(far))])
        classes = np.where(rng.random(len(both)) < 0.2, 1 - classes, classes)
        order = np.argsort(-scores, kind="stable")
        said.append(found(both[order], scores[order], classes[order]))
    return said, LabelledSet("made up", tuple(pictures))


def test_a_case_done_by_hand():
    """One class: hit .9, miss .8, hit .7 of 3 people. Recall 1/3 at precision 1, 2/3 at 2/3, never 1.

    Of the 101 recalls 34 (0 to .33) see 1, 33 (.34 to .66) see 2/3, the others 0.
    """
    boxes = [[0, 0, 100, 100], [200, 0, 300, 100], [400, 0, 500, 100]]
    labelled = LabelledSet("hand", (picture(boxes, [0, 0, 0]),))
    said = [found([boxes[0], [0, 300, 50, 400], boxes[2]], [0.9, 0.8, 0.7], [0, 0, 0])]
    by_hand = (34 + 33 * 2 / 3) / 101
    figures = coco_figures(said, labelled)
    assert figures.ap50 == pytest.approx(by_hand, abs=1e-12)
    assert figures.ap == pytest.approx(by_hand, abs=1e-12)  # the boxes are exact
    assert ap50(said, labelled)[0] == pytest.approx(by_hand, abs=1e-12)
    assert (figures.ar_1, figures.ar_100) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_boxes_that_are_off_count_at_low_iou_only():
    """The box overlaps by 100 * 72 / (100 * 100) = .72: right at .50, .55, .60, .65, .70, wrong above."""
    labelled = LabelledSet("hand", (picture([[0, 0, 100, 100]], [1]),))
    figures = coco_figures([found([[0, 0, 100, 72]], [0.5], [1])], labelled)
    assert figures.ap50 == pytest.approx(1.0)
    assert figures.ap75 == 0.0
    assert figures.ap == pytest.approx(0.5)
    assert math.isnan(figures.classes[0].ap)  # nobody is labelled fallen
    assert (figures.ap_large, math.isnan(figures.ap_small)) == (pytest.approx(0.5), True)


@pytest.mark.parametrize("seed", range(6))
def test_ours_for_the_training_loop_is_cocos(seed: int):
    said, labelled = random_case(seed)
    theirs = [one.ap50 for one in coco_figures(said, labelled).classes]
    assert 0.05 < min(theirs) < max(theirs) < 0.95
    assert ap50(said, labelled) == pytest.approx(theirs, abs=1e-12)


def test_pycocotools_agrees():
    pycoco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    said, labelled = random_case(11)
    truth, results = coco_dicts(said, labelled)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = pycoco.COCO()
        coco.dataset = truth
        coco.createIndex()
        run = evaluation.COCOeval(coco, coco.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    ours = coco_figures(said, labelled)
    figures = [ours.ap, ours.ap50, ours.ap75, ours.ap_small, ours.ap_medium, ours.ap_large]
    figures += [ours.ar_1, ours.ar_10, ours.ar_100]
    assert figures == pytest.approx(list(run.stats[:9]), abs=1e-9)


def test_nothing_is_printed(capfd):
    coco_figures(*random_case(3, images=4))
    coco_figures([Detections.none()], LabelledSet("one", (picture([[0, 0, 9, 9]], [0]),)))
    assert capfd.readouterr() == ("", "")


def test_without_detections_it_is_zero_and_without_labels_unknown():
    labelled = LabelledSet("one", (picture([[0, 0, 99, 99]], [0]), picture([], [])))
    nobody = coco_figures([Detections.none()] * 2, labelled)
    assert (nobody.ap, nobody.ap50, nobody.ar_100) == (0.0, 0.0, 0.0)
    assert math.isnan(nobody.classes[1].ap50)
    assert ap50([Detections.none()] * 2, labelled)[0] == 0.0
    empty = LabelledSet("empty", (picture([], []),))
    figures = coco_figures([found([[0, 0, 9, 9]], [0.9], [0])], empty)
    assert math.isnan(figures.ap)
    assert math.isnan(figures.ar_1)
    assert all(map(math.isnan, ap50([Detections.none()], empty)))


def test_counting_a_picture_twice_is_having_it_twice():
    said, labelled = random_case(5, images=12, ties=False)
    times = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12))
    assert times.max() > 1 and times.min() == 0
    places = np.repeat(np.arange(12), times)
    copies = LabelledSet("copies", tuple(labelled.images[i] for i in places))
    for label in (0, 1):
        weighted = rank(said, labelled, label).average_precision(times.astype(np.float64))
        assert weighted == pytest.approx(rank([said[i] for i in places], copies, label).average_precision())


def test_a_curve_ends_at_all_that_was_found():
    said, labelled = random_case(2)
    ranking = rank(said, labelled, 0)
    recall, precision = ranking.curve()
    assert (np.diff(recall) >= 0).all()
    assert recall[-1] == ranking.right.sum() / labelled.counts()["fallen"]
    assert precision[-1] == ranking.right.mean()
    assert precision[0] in (0.0, 1.0)


def test_a_box_goes_to_the_person_it_overlaps_most_who_is_free():
    overlap = np.array([[0.6, 0.9], [0.4, 0.8], [0.55, 0.7], [0.49, 0.0]])
    assert match(overlap).tolist() == [1, -1, 0, -1]
    assert match(np.zeros((0, 3))).tolist() == []
    assert match(np.zeros((2, 0))).tolist() == [-1, -1]


def test_overlap_is_symmetric_and_of_empty_boxes_zero():
    boxes = np.random.default_rng(1).uniform(0, 50, (20, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    overlap = iou(boxes, boxes)
    np.testing.assert_allclose(overlap, overlap.T, atol=1e-15)
    np.testing.assert_allclose(np.diag(overlap), 1.0)
    assert iou(np.array([[5.0, 5, 5, 9]]), boxes.astype(np.float64)).max() == 0


def test_clips_are_drawn_and_not_pictures():
    """Ten clips of ten pictures that are all right or all wrong: as sure as ten pictures, not a hundred."""
    right = np.repeat([1, 1, 1, 0, 1, 0, 1, 1, 0, 1], 10)
    clips = LabelledSet("clips", tuple(picture([], [], group=str(n // 10)) for n in range(100)))
    loose = LabelledSet("loose", tuple(picture([], []) for _ in range(100)))
    by_clip = Resampling(groups_of(clips)).ratio(right, np.ones(100))
    by_picture = Resampling(groups_of(loose)).ratio(right, np.ones(100))
    assert by_clip.value == by_picture.value == 0.7
    assert by_clip.high - by_clip.low > 2.5 * (by_picture.high - by_picture.low)
    same = Resampling(groups_of(clips)).intervals(lambda times: [float(times @ right / times.sum())])[0]
    assert (same.low, same.high) == (pytest.approx(by_clip.low), pytest.approx(by_clip.high))


def test_wilson_holds_what_it_promises():
    """Published: 15 of 148 is .0624 to .1605 (Newcombe 1998, table I); none of 20 stays open above."""
    known = wilson(15, 148)
    assert (known.low, known.high) == (pytest.approx(0.0624, abs=5e-4), pytest.approx(0.1605, abs=5e-4))
    assert (wilson(0, 20).low, wilson(20, 20).high) == (0.0, 1.0)
    assert 0.1 < wilson(0, 20).high < 0.2
    assert math.isnan(wilson(0, 0).value)
    rng = np.random.default_rng(0)
    drawn = [wilson(int(yes), 40) for yes in rng.binomial(40, 0.1, 2000)]
    assert 0.92 < np.mean([one.low <= 0.1 <= one.high for one in drawn]) < 0.98


def test_an_interval_of_average_precision_covers_the_figure_of_more_pictures():
    """Of 30 small draws from one process, nearly all intervals hold the figure of a large one."""
    truth = rank(*random_case(100, images=600, ties=False), 0).average_precision()
    inside = 0
    for seed in range(30):
        said, labelled = random_case(seed + 200, images=40, ties=False)
        ranking: Ranking = rank(said, labelled, 0)
        again = Resampling(groups_of(labelled), 200)
        interval = again.intervals(lambda times, one=ranking: [one.average_precision(times)])[0]
        inside += interval.low <= truth <= interval.high
    assert inside >= 25
