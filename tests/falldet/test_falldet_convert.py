"""What one format holds comes back from another, to its precision."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from falldet import convert as module
from falldet.convert import Format, convert, write_labelled
from falldet.data.faults import counted
from falldet.data.formats import inspect_labelled, read_labelled, recognise, write_coco
from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.data.options import CocoSource
from suite.errors import BadInput

SIZES = ((64, 48), (37, 91), (1920, 1080))
FORMATS: tuple[Format, ...] = get_args(Format)


def made(folder: Path, seed: int = 0, thousandths: bool = True) -> LabelledSet:
    """Pictures in folders of their own, with nobody to five people; boxes up to the edges."""
    rng = np.random.default_rng(seed)
    images = []
    for k in range(9):
        width, height = SIZES[k % 3]
        path = folder / ("day" if k % 2 else "night/late") / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), (k, 2 * k, 99)).save(path)
        n = k % 6
        low, high = np.sort(rng.uniform(0, 1, (2, n, 2)), axis=0)
        high = np.minimum(high + 0.02, 1)
        boxes = np.concatenate([low, high], axis=1) * (width, height, width, height)
        boxes[: n // 2, 2:] = width, height
        if thousandths:
            boxes = boxes.round(3)
        tags = tuple(("sit", "bed")[: rng.integers(0, 3)] for _ in range(n))
        labels = rng.integers(0, 2, n)
        group = f"clip {k // 3}" if k < 6 else None
        images.append(LabelledImage(path, width, height, boxes.astype(np.float32), labels, tags, group))
    return LabelledSet("made", tuple(images))


def by_name(data: LabelledSet) -> dict[str, LabelledImage]:
    return {image.path.name: image for image in data.images}


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("copied", [True, False])
def test_a_set_comes_back_from_every_format(tmp_path: Path, to: Format, copied: bool):
    data = made(tmp_path / "given")
    source = write_labelled(data, to, tmp_path / "out", copied)
    assert source == recognise(tmp_path / "out")
    back = by_name(read_labelled(source))
    assert back.keys() == by_name(data).keys()
    for name, image in by_name(data).items():
        again = back[name]
        # YOLO: centre and size are each rounded to 6 decimals of a side.
        within = 1.01e-6 * max(image.width_px, image.height_px) if to == "yolo" else 0
        np.testing.assert_allclose(again.boxes_px, image.boxes_px, rtol=1e-7, atol=within)
        assert again.labels.tolist() == image.labels.tolist()
        assert (again.width_px, again.height_px) == (image.width_px, image.height_px)
        assert again.path.read_bytes() == image.path.read_bytes()
        assert again.path.is_symlink() != copied
        if to != "yolo":
            assert again.tags == image.tags and again.group == image.group


def test_coordinates_are_kept_to_a_thousandth_of_a_pixel(tmp_path: Path):
    data = made(tmp_path / "given", 1, thousandths=False)
    for to in ("coco", "labelme"):
        back = by_name(read_labelled(write_labelled(data, to, tmp_path / to)))
        for name, image in by_name(data).items():
            np.testing.assert_allclose(back[name].boxes_px, image.boxes_px, atol=0.00051, rtol=1e-7)


def test_from_format_to_format_and_back_nothing_changes(tmp_path: Path):
    first = write_labelled(made(tmp_path / "given"), "coco", tmp_path / "first")
    labelme = convert(first, "labelme", tmp_path / "second").source
    again = convert(labelme, "coco", tmp_path / "third").source
    assert isinstance(first, CocoSource) and isinstance(again, CocoSource)
    one, other = (json.loads(source.file.read_text()) for source in (first, again))
    for coco in (one, other):  # the numbers of pictures may differ
        names = {image["id"]: image["file_name"] for image in coco["images"]}
        coco["annotations"] = sorted(
            (names[entry["image_id"]], entry["category_id"], entry["bbox"], entry["area"], entry["tags"])
            for entry in coco["annotations"]
        )
        coco["images"] = sorted((i["file_name"], i["width"], i.get("group", "")) for i in coco["images"])
    assert one == other


def test_what_a_format_cannot_hold_is_said(tmp_path: Path):
    data = made(tmp_path / "given")
    source = write_labelled(data, "coco", tmp_path / "coco")
    tagged = sum(bool(tags) for image in data.images for tags in image.tags)
    lost = convert(source, "yolo", tmp_path / "yolo").lost
    assert lost == (
        f"YOLO has no place for the tags of {tagged} people",
        "YOLO has no place for the group (clip or scene) of 6 pictures",
    )
    assert convert(source, "labelme", tmp_path / "labelme").lost == ()


def test_labelme_gets_the_labels_of_the_first_fall_detectors(tmp_path: Path):
    write_labelled(made(tmp_path / "given"), "labelme", tmp_path / "out")
    labels = {
        shape["label"]
        for file in (tmp_path / "out").rglob("*.json")
        for shape in json.loads(file.read_text())["shapes"]
    }
    assert labels == {"0", "1"}


def test_a_coco_file_may_stand_beside_pictures_that_stay_where_they_are(tmp_path: Path):
    data = made(tmp_path / "given")
    write_coco(data, tmp_path / "labels/set.json")
    names = [image["file_name"] for image in json.loads((tmp_path / "labels/set.json").read_text())["images"]]
    assert names[0] == "../given/night/late/0.png"
    assert len(read_labelled(CocoSource(file=tmp_path / "labels/set.json"))) == len(data)


def test_other_classes_keep_their_names(tmp_path: Path):
    data = made(tmp_path / "given")
    other = LabelledSet("other", data.images, ("no", "0: #"))
    for to in FORMATS:
        source = write_labelled(other, to, tmp_path / to)
        assert read_labelled(source, other.classes).counts() == other.counts()


def test_faults_stop_a_conversion_or_are_left_out(tmp_path: Path):
    source = write_labelled(made(tmp_path / "given"), "coco", tmp_path / "coco")
    assert isinstance(source, CocoSource)
    coco = json.loads(source.file.read_text())
    coco["annotations"][0]["bbox"][2] = 0
    source.file.write_text(json.dumps(coco))
    with pytest.raises(BadInput, match="annotation 1: its box has no area"):
        convert(source, "yolo", tmp_path / "yolo")
    assert not (tmp_path / "yolo").exists()
    done = convert(source, "yolo", tmp_path / "yolo", strict=False)
    assert counted(done.faults) == {"empty": 1}
    assert sum(done.people.values()) == len(coco["annotations"]) - 1


def test_an_occupied_folder_and_a_shared_label_file_are_refused(tmp_path: Path):
    data = made(tmp_path / "given")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("kept")
    with pytest.raises(BadInput, match="exists already"):
        write_labelled(data, "coco", tmp_path / "full")
    twin = tmp_path / "given/day/1.bmp"
    first = data.images[1]
    Image.new("RGB", (first.width_px, first.height_px)).save(twin)
    both = LabelledImage(twin, first.width_px, first.height_px, first.boxes_px, first.labels, first.tags)
    twins = LabelledSet("twins", (first, both))
    for to in ("yolo", "labelme"):
        with pytest.raises(BadInput, match=r"1\.png and 1\.bmp would share one label file"):
            write_labelled(twins, to, tmp_path / to)
    assert len(read_labelled(write_labelled(twins, "coco", tmp_path / "coco"))) == 2


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data, copy, copied = made(tmp_path / "given"), module.shutil.copyfile, []

    def full(source: Path, target: Path) -> None:
        if len(copied) == 4:
            raise OSError(28, "No space left on device")
        copied.append(copy(source, target))

    monkeypatch.setattr(module.shutil, "copyfile", full)
    with pytest.raises(BadInput, match=r"\.png: cannot be copied \(No space left on device\)"):
        write_labelled(data, "yolo", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_a_real_set_comes_back_from_every_format(tmp_path: Path, data: Callable[[str], Path]):
    source = CocoSource(file=data("falldet/fall_action") / "test.json")
    given = by_name(read_labelled(source))
    for to in FORMATS:
        back = inspect_labelled(convert(source, to, tmp_path / to, copy_images=False).source)
        assert not back.faults
        for name, image in by_name(back.data).items():
            np.testing.assert_allclose(image.boxes_px, given[name].boxes_px, atol=0.002)
            assert image.labels.tolist() == given[name].labels.tolist()
