"""Faults planted in labelled sets are found, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from falldet.audit.findings import AuditReport, audit, same_people
from falldet.audit.page import write_audit_page
from falldet.audit.pictures import SIDE_PX, with_fault
from falldet.convert import write_labelled
from falldet.data.box_faults import box_faults, iou_matrix
from falldet.data.faults import Fault, counted
from falldet.data.formats import Reading, inspect_labelled, recognise
from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.data.statistics import BoxStatistics, tag_counts
from falldet.detections import CLASSES
from suite.data.duplicates import Pair
from suite.errors import BadInput

SIZE = 80


@lru_cache(maxsize=1)
def tiles() -> tuple[Image.Image, ...]:
    """Parts of two photographs that do not overlap; none is nearly plain."""
    from sklearn.datasets import load_sample_image

    parts = (
        load_sample_image(name)[y : y + SIZE, x : x + SIZE]
        for name in ("china.jpg", "flower.jpg")
        for y in range(0, 400, SIZE)
        for x in range(0, 640, SIZE)
    )
    return tuple(Image.fromarray(part) for part in parts if part.std() > 25)


def labelled(
    path: Path,
    picture: Image.Image,
    boxes: Sequence[Sequence[float]],
    labels: list[int],
    group: str | None = None,
    tags: tuple[tuple[str, ...], ...] | None = None,
) -> LabelledImage:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    values = np.array(boxes, np.float32).reshape(-1, 4)
    empty = ((),) * len(labels)
    return LabelledImage(path, *picture.size, values, np.array(labels, np.int64), tags or empty, group)


def several(folder: Path, rows: range, group: str | None = None) -> list[LabelledImage]:
    """One person each, fallen and not in turn."""
    boxes = [10.0, 20.0, 50.0, 60.0]
    return [labelled(folder / f"{k:02d}.png", tiles()[k], [boxes], [k % 2], group) for k in rows]


@pytest.fixture
def planted(tmp_path: Path) -> dict[str, LabelledSet]:
    train, test = several(tmp_path / "train", range(12), "hall"), several(tmp_path / "test", range(20, 26))
    one = [[10.0, 20.0, 50.0, 60.0]]
    train += [
        labelled(tmp_path / "train/same.bmp", tiles()[0], one, [0]),  # as picture 0
        labelled(tmp_path / "train/other.png", tiles()[1], one * 2, [1, 0]),  # not as picture 1
    ]
    mirrored = tiles()[3].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    test += [
        labelled(tmp_path / "test/seen.png", tiles()[2], one, [0], "hall"),
        labelled(tmp_path / "test/mirrored.jpg", mirrored, one, [1]),
    ]
    broken = tmp_path / "train/05.png"
    broken.write_bytes(broken.read_bytes()[:2000])
    return {name: LabelledSet(name, tuple(own)) for name, own in (("train", train), ("test", test))}


def named(report: AuditReport, pairs: tuple[Pair, ...]) -> set[tuple[str, str]]:
    return {(report.images[p.first].path.name, report.images[p.second].path.name) for p in pairs}


def test_planted_faults_are_found_and_nothing_else(planted: dict[str, LabelledSet]):
    report = audit(planted)
    leaks = {("02.png", "seen.png"), ("03.png", "mirrored.jpg")}
    assert named(report, report.leaks) == leaks
    assert named(report, report.pairs) == leaks | {("00.png", "same.bmp"), ("01.png", "other.png")}
    assert named(report, report.conflicts) == {("01.png", "other.png")}
    assert report.shared_groups == {"hall": (12, 1)}
    assert report.fault_counts() == {"unreadable": 1, "contradiction": 1}
    (unreadable, twice), nothing = report.faults
    assert unreadable.path is not None and unreadable.path.name == "05.png" and nothing == ()
    assert "not_fallen" in twice.text or "fallen" in twice.text
    assert report.verdict == "bad"
    said = " | ".join(f"{finding.flag}: {finding.text}" for finding in report.findings)
    for line in (
        "bad: pictures that cannot be read: 1",
        "bad: people of two classes at once: 1",
        "bad: pictures that can be seen in another set too: 2 of train, 2 of test",
        "bad: clips or scenes in more than one set: 1 (hall)",
        "bad: copies of one picture with other people in them: 1",
        "warn: pictures that repeat another of their set: 2",
    ):
        assert line in said, line
    figures = {metric.key: metric.value for metric in report.metrics()}
    assert figures["leaks"] == 2 and figures["shared_groups"] == 1 and figures["faults"] == 2
    assert figures["pictures"] == 22 and figures["people"] == 23


def test_clean_sets_are_said_to_be_clean(tmp_path: Path):
    train, test = several(tmp_path / "a", range(20), "a"), several(tmp_path / "b", range(30, 40), "b")
    report = audit({"train": LabelledSet("a", tuple(train)), "test": LabelledSet("b", tuple(test))})
    assert report.verdict == "ok" and {finding.flag for finding in report.findings} == {"ok"}
    assert report.leaks == report.pairs == report.conflicts == () and not report.shared_groups
    alone = audit({"train": LabelledSet("a", tuple(train))})
    assert np.isnan(next(metric.value for metric in alone.metrics() if metric.key == "leaks"))


def test_copies_of_a_copy_are_leaks_too(tmp_path: Path):
    """Of three copies, train, test, test, the search pairs only two with the first."""
    picture, one = tiles()[4], [[10.0, 20.0, 50.0, 60.0]]
    sets = {
        name: LabelledSet(
            name, tuple(labelled(tmp_path / name / f"{k}.png", picture, one, [k]) for k in range(2))
        )
        for name in ("train", "develop", "test")
    }
    report = audit(sets)
    assert {row for pair in report.leaks for row in (pair.first, pair.second)} >= {0, 2, 3, 4, 5}


def test_what_reading_found_is_in_the_audit(tmp_path: Path):
    images = several(tmp_path, range(4))
    told = Fault("outside", "its box lies outside", "set.json: annotation 3", images[0].path, (90, 0, 99, 9))
    report = audit({"train": Reading(LabelledSet("a", tuple(images)), (told,))})
    assert report.faults == ((told,),) and report.verdict == "bad"


def test_classes_that_nobody_has_and_that_few_have_are_called_out(tmp_path: Path):
    nobody_fell = [labelled(tmp_path / f"{k}.png", tiles()[k], [[1, 2, 30, 40]], [1]) for k in range(12)]
    report = audit({"all": LabelledSet("all", tuple(nobody_fell))})
    assert [f.text for f in report.findings if f.flag == "bad"] == ["all has nobody who is fallen"]
    one_fell = LabelledImage(
        nobody_fell[0].path, SIZE, SIZE, nobody_fell[0].boxes_px, np.array([0], np.int64), ((),)
    )
    report = audit({"all": LabelledSet("all", (one_fell, *nobody_fell[1:]))})
    assert any(f.flag == "warn" and "11 times as many" in f.text for f in report.findings)


def test_other_classes_and_no_sets_are_refused(tmp_path: Path):
    images = tuple(several(tmp_path, range(2)))
    with pytest.raises(BadInput, match="a has the classes fallen, not_fallen, b has x, y"):
        audit({"a": LabelledSet("a", images), "b": LabelledSet("b", images, ("x", "y"))})
    with pytest.raises(BadInput, match="no set to look at"):
        audit({})


# --- boxes ---


def test_overlap_is_what_counting_pixels_gives():
    rng = np.random.default_rng(0)
    corners = np.sort(rng.integers(0, 30, (2, 12, 2)), axis=0)
    boxes = np.concatenate([corners[0], corners[1] + 1], axis=1).astype(float)
    masks = np.zeros((12, 32, 32), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    flat = masks.reshape(12, -1).astype(float)
    shared = flat @ flat.T
    area = flat.sum(axis=1)
    np.testing.assert_allclose(iou_matrix(boxes, boxes), shared / (area[:, None] + area - shared))


def test_tiny_boxes_doubles_and_contradictions_are_told(tmp_path: Path):
    boxes = [
        [0, 0, 40, 60],
        [0, 1, 40, 60],
        [1, 0, 40, 60],
        [50, 5, 57, 60],
        [50, 50, 58, 58],
        [0, 0, 30, 60],
    ]
    image = labelled(tmp_path / "a.png", tiles()[0], boxes, [0, 0, 1, 1, 0, 0])
    found = list(box_faults(image, CLASSES))
    assert counted(found) == {"tiny": 1, "double": 1, "contradiction": 2}
    assert [fault.where.rpartition("person ")[2] for fault in found] == ["4", "2", "3", "3"]
    assert found[0].box_px == (50, 5, 57, 60) and found[0].text == "not_fallen of only 7 x 55 px"


def test_people_are_the_same_wherever_in_the_list(tmp_path: Path):
    boxes = [[0.0, 0, 40, 60], [20.0, 10, 70, 70]]
    one = labelled(tmp_path / "a.png", tiles()[0], boxes, [0, 1])
    moved = [[22.0, 12, 70, 70], [0.0, 0, 38, 60]]
    assert same_people(one, labelled(tmp_path / "b.png", tiles()[0], moved, [1, 0]))
    assert not same_people(one, labelled(tmp_path / "c.png", tiles()[0], moved, [0, 1]))
    assert not same_people(one, labelled(tmp_path / "d.png", tiles()[0], moved[:1], [1]))
    assert not same_people(one, labelled(tmp_path / "e.png", tiles()[0], [[0, 0, 10, 10]] * 2, [0, 1]))
    assert same_people(*(labelled(tmp_path / f"{k}.png", tiles()[0], [], []) for k in "fg"))


def test_statistics_do_not_depend_on_the_size_of_pictures(tmp_path: Path):
    small = labelled(tmp_path / "a.png", tiles()[0], [[0, 20, 40, 40], [60, 60, 80, 80]], [0, 1])
    large = labelled(
        tmp_path / "b.png", tiles()[0].resize((160, 160)), [[0, 40, 80, 80], [120, 120, 160, 160]], [0, 1]
    )
    for image in (small, large):
        found = BoxStatistics.of([image])
        assert found.height_share.tolist() == [0.25, 0.25] and found.area_share.tolist() == [0.125, 0.0625]
        assert found.width_over_height.tolist() == [2, 1]
        assert found.centre_share.tolist() == [[0.25, 0.375], [0.875, 0.875]]
    assert len(BoxStatistics.of([]).labels) == 0


def test_tags_are_counted_once_for_each_person(tmp_path: Path):
    tags = (("sit", "sit"), ("bed",), ("sit",))
    image = labelled(tmp_path / "a.png", tiles()[0], [[1, 1, 20, 20]] * 3, [1, 0, 0], tags=tags)
    assert tag_counts([image], 2) == {"sit": [1, 1], "bed": [1, 0]}


# --- the page ---


def test_the_page_shows_faults_leaks_and_people(planted: dict[str, LabelledSet], tmp_path: Path):
    path = write_audit_page(tmp_path / "audit.html", audit(planted))
    html = path.read_text(encoding="utf-8")
    for text in (
        "Leaks between sets",
        "Copies labelled otherwise",
        "Clips in more than one set",
        "People of two classes at once",
        "02.png | seen.png: same pixels",
        "mirrored</figcaption>",
        "Where the centres of fallen people lie",
    ):
        assert text in html, text
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert html.count("data:image/jpeg") >= 1 + 4 + 12  # fault, pairs, examples


@pytest.mark.parametrize(
    "box", [(-40, 20, 60, 60), (200, 20, 240, 60), (1e9, -1e9, 2e9, 0), (30, 30, 30, 60)]
)
def test_a_faulty_box_is_marked_wherever_it_is(tmp_path: Path, box: tuple[float, float, float, float]):
    image = labelled(tmp_path / "a.png", Image.new("RGB", (80, 80)), [], [])
    drawn = with_fault(image, Fault("outside", "", "", image.path, box)).astype(int)
    assert max(drawn.shape[:2]) == SIDE_PX
    marked = (np.abs(drawn - (230, 0, 126)).max(axis=2) < 3).any()
    near = all(-0.25 * 80 <= edge <= 1.25 * 80 for edge in (box[2], box[3]))
    assert marked == near  # far away there is nothing to see
    ground = (np.abs(drawn - (221, 227, 233)).max(axis=2) < 3).any()
    assert ground == (box[0] < 0 or box[2] > 80)


def test_a_page_of_sets_without_anybody_is_written(tmp_path: Path):
    empty = [labelled(tmp_path / f"{k}.png", tiles()[k], [], []) for k in range(3)]
    report = audit({"none": LabelledSet("none", tuple(empty))})
    assert "none has nobody who is fallen or not_fallen" in [finding.text for finding in report.findings]
    assert write_audit_page(tmp_path / "audit.html", report).stat().st_size > 10_000


def test_from_a_folder_to_a_page(planted: dict[str, LabelledSet], tmp_path: Path):
    written = {
        name: write_labelled(own, "labelme", tmp_path / f"out-{name}") for name, own in planted.items()
    }
    assert {
        name: recognise(source.root) for name, source in written.items() if source.type == "labelme"
    } == written
    report = audit({name: inspect_labelled(source) for name, source in written.items()}, tmp_path / "cache")
    assert len(report.leaks) == 2 and report.shared_groups == {"hall": (12, 1)}
    assert (
        audit({n: inspect_labelled(s) for n, s in written.items()}, tmp_path / "cache").pairs == report.pairs
    )


def test_the_real_split_has_no_clip_on_both_sides(data: Callable[[str], Path], tmp_path: Path):
    root, sets = data("falldet/hospital_bed"), {}
    for name in ("train", "test"):
        whole = inspect_labelled(recognise(root / f"{name}.json")).data
        wards = [image for image in whole.images if image.path.name.startswith(("cam_2_", "cam_3_"))]
        sets[name] = LabelledSet(name, tuple(wards))
    report = audit(sets)
    assert not report.shared_groups and not report.fault_counts()
    # Both ward cameras are on both sides, on different days: the same view, other people.
    views = {tuple(report.images[row].path.name[:5] for row in (p.first, p.second)) for p in report.leaks}
    assert views == {("cam_2", "cam_2"), ("cam_3", "cam_3")}  # though every second picture is a copy
