"""Labelled data is read as it is meant, and what cannot be right is one clear line."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from falldet.data.faults import counted
from falldet.data.formats import inspect_labelled, read_labelled, recognise
from falldet.data.options import CocoSource, LabelmeSource, YoloSource
from suite.data.images import read_image, read_image_size
from suite.errors import BadInput

WIDTH, HEIGHT = 40, 30


def picture(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 150)).save(path, **options)
    return path


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def coco(folder: Path, **changed: Any) -> Path:
    """Two pictures; in the first a person fallen and one not, in the second nobody."""
    for name in ("a.png", "b.png"):
        picture(folder / "images" / name)
    values: dict[str, Any] = {
        "images": [
            {"id": 7, "file_name": "images/a.png", "width": WIDTH, "height": HEIGHT, "video": 12},
            {"id": 9, "file_name": "images/b.png", "width": WIDTH, "height": HEIGHT, "group": "night"},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "bbox": [1, 2, 10, 20.5], "tags": ["sit", "bed"]},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [20, 15, 20, 15]},
        ],
        "categories": [{"id": 1, "name": "fallen"}, {"id": 2, "name": "not_fallen"}],
    } | changed
    (folder / "set.json").write_text(json.dumps(values))
    return folder / "set.json"


def labelme(folder: Path, name: str, shapes: list[dict[str, Any]], **more: Any) -> Path:
    picture(folder / f"{name}.png")
    entry = {"shapes": shapes, "imagePath": f"{name}.png", "imageWidth": WIDTH, "imageHeight": HEIGHT} | more
    (folder / f"{name}.json").write_text(json.dumps(entry))
    return folder / f"{name}.json"


def shape(label: str, *points: tuple[float, float], kind: str = "rectangle", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind} | more


def annotation(bbox: object, **more: Any) -> list[dict[str, Any]]:
    return [{"id": 5, "image_id": 7, "category_id": 1, "bbox": bbox} | more]


# --- what is read ---


def test_coco_is_read_by_the_names_of_its_categories(tmp_path: Path):
    data = read_labelled(CocoSource(file=coco(tmp_path)))
    first, second = data.images
    assert first.boxes_px.tolist() == [[1, 2, 11, 22.5], [20, 15, 40, 30]]
    assert first.labels.tolist() == [1, 0] and first.tags == (("sit", "bed"), ())
    assert (first.group, second.group) == ("12", "night")
    assert len(second.labels) == 0 and second.path == tmp_path / "images/b.png"
    assert data.counts() == {"fallen": 1, "not_fallen": 1}


def test_crowds_are_left_out_and_counted(tmp_path: Path):
    file = coco(tmp_path, annotations=annotation([1, 1, 5, 5], iscrowd=1))
    reading = inspect_labelled(CocoSource(file=file))
    assert reading.data.counts() == {"fallen": 0, "not_fallen": 0} and counted(reading.faults) == {"crowd": 1}
    assert len(read_labelled(CocoSource(file=file))) == 2


def test_labelme_is_read_as_the_first_fall_detectors_wrote_it(tmp_path: Path):
    labelme(
        tmp_path,
        "a",
        [shape("1", (30, 20), (10, 5)), shape("0", (0, 0), (3, 4), flags={"sit": True, "x": False})],
    )
    labelme(tmp_path, "b", [shape("not_fallen", (3, 3), (9, 4), (5, 20), kind="polygon")], group="hall")
    labelme(tmp_path, "c", [])
    first, second, third = read_labelled(LabelmeSource(root=tmp_path)).images
    assert first.boxes_px.tolist() == [[10, 5, 30, 20], [0, 0, 3, 4]] and first.labels.tolist() == [0, 1]
    assert first.tags == ((), ("sit",))
    assert (
        second.boxes_px.tolist() == [[3, 3, 9, 20]]
        and second.group == "hall"
        and second.labels.tolist() == [1]
    )
    assert len(third.labels) == 0


def test_a_labelme_folder_that_was_moved_still_finds_its_pictures(tmp_path: Path):
    labelme(tmp_path, "a", [shape("1", (1, 1), (2, 2))], imagePath="..\\elsewhere\\a.png")
    labelme(tmp_path / "sub", "b", [], imagePath="..\\a2.png")
    picture(tmp_path / "a2.png")
    found = read_labelled(LabelmeSource(root=tmp_path)).images
    assert [image.path for image in found] == [tmp_path / "a.png", tmp_path / "a2.png"]


@pytest.mark.parametrize("layout", ["beside", "parallel", "splits"])
def test_yolo_is_read_beside_its_pictures_and_below_labels(tmp_path: Path, layout: str):
    images, labels = {
        "beside": ("", ""),
        "parallel": ("images", "labels"),
        "splits": ("images/train", "labels/train"),
    }[layout]
    picture(tmp_path / "set" / images / "a.jpg")
    picture(tmp_path / "set" / images / "nobody.jpg")
    file = tmp_path / "set" / labels / "a.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("1 0.5 0.5 0.25 0.5\n\n0 0 0 0.5 0 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("names:\n  1: not_fallen\n  0: fallen\n")
    data = read_labelled(YoloSource(root=tmp_path / "set"))
    person, nobody = data.images
    assert person.boxes_px.tolist() == [[15, 7.5, 25, 22.5], [0, 0, 20, 15]]  # the second is a polygon
    assert person.labels.tolist() == [1, 0] and len(nobody.labels) == 0


def test_names_of_the_source_go_before_data_yaml(tmp_path: Path):
    picture(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("0 .5 .5 .5 .5")
    (tmp_path / "data.yaml").write_text("names: [fallen, not_fallen]")
    assert read_labelled(YoloSource(root=tmp_path)).images[0].labels.tolist() == [0]
    swapped = YoloSource(root=tmp_path, names=("not_fallen", "fallen"))
    assert read_labelled(swapped).images[0].labels.tolist() == [1]


def test_a_class_called_no_is_called_no(tmp_path: Path):
    picture(tmp_path / "a.jpg")
    (tmp_path / "a.txt").write_text("1 .5 .5 .5 .5")
    (tmp_path / "data.yaml").write_text("names: [yes, no]")  # booleans, to YAML 1.1
    source = YoloSource(root=tmp_path, rename={"yes": "fallen", "no": "not_fallen"})
    assert read_labelled(source).images[0].labels.tolist() == [1]


def test_categories_are_renamed_or_left_out_as_the_source_says(tmp_path: Path):
    categories = [{"id": 1, "name": "Fall Detected"}, {"id": 2, "name": "bed"}]
    source = CocoSource(
        file=coco(tmp_path, categories=categories), rename={"Fall Detected": "fallen", "bed": None}
    )
    (box,) = read_labelled(source).images[0].boxes_px.tolist()
    assert box == [20, 15, 40, 30]


# --- boxes and pictures ---


def test_boxes_are_clipped_to_their_picture_and_counted(tmp_path: Path):
    file = coco(tmp_path, annotations=annotation([-4, 10, 10, 25]))
    assert read_labelled(CocoSource(file=file)).images[0].boxes_px.tolist() == [[0, 10, 6, 30]]
    (fault,) = inspect_labelled(CocoSource(file=file)).faults
    assert fault.kind == "clipped" and fault.box_px == (-4, 10, 6, 35) and "annotation 5" in fault.where
    rounding = coco(tmp_path, annotations=annotation([-0.2, 0, 10, 30.3]))
    assert inspect_labelled(CocoSource(file=rounding)).faults == ()


@pytest.mark.parametrize(
    ("bbox", "kind", "said"),
    [
        ([50, 5, 10, 10], "outside", "lies outside of the picture of 40 x 30 px"),
        ([-20, 5, 20, 10], "outside", "lies outside"),
        ([1, 1, 0, 10], "empty", "has no area: 0 x 10 px"),
        ([1, 1, 5, -10], "empty", "has no area: 5 x -10 px"),
        ([float("nan"), 1, 5, 5], "numbers", "not four finite numbers"),
        ([1, 1, float("inf"), 5], "numbers", "not four finite numbers"),
        ([1, 1, 5], "numbers", "not four finite numbers"),
        ("1 1 5 5", "numbers", "not four finite numbers"),
        ([1, 1, "5", True], "numbers", "not four finite numbers"),
        ([1, 1, 10**400, 5], "numbers", "not four finite numbers"),
        (None, "numbers", "not four finite numbers"),
    ],
)
def test_an_impossible_box_is_one_line_or_left_out(tmp_path: Path, bbox: object, kind: str, said: str):
    whole = {"id": 6, "image_id": 7, "category_id": 1, "bbox": [0, 0, 40, 30]}
    source = CocoSource(file=coco(tmp_path, annotations=[*annotation(bbox), whole]))
    with pytest.raises(BadInput, match="annotation 5.*" + said) as caught:
        read_labelled(source)
    assert str(source.file) in str(caught.value) and "\n" not in str(caught.value)
    reading = inspect_labelled(source)
    assert counted(reading.faults) == {kind: 1}
    assert reading.data.images[0].boxes_px.tolist() == [[0, 0, 40, 30]]  # the sound one stays
    assert read_labelled(source, strict=False).counts()["fallen"] == 1


def test_every_orientation_gives_the_size_of_the_picture_as_it_is_seen(tmp_path: Path):
    for orientation in range(1, 9):
        for name in ("a.jpg", "a.png", "a.webp"):
            path = picture(tmp_path / f"{orientation}{name}", exif=turned(orientation))
            height, width = read_image(path).shape[:2]
            assert read_image_size(path) == (width, height), (orientation, name)


def test_an_exif_turn_that_stands_behind_the_pixels_is_seen(tmp_path: Path):
    path = picture(tmp_path / "a.png")
    body = turned(6).tobytes()[6:]
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    content = path.read_bytes()
    path.write_bytes(content[:-12] + chunk + content[-12:])
    assert read_image(path).shape[:2] == (WIDTH, HEIGHT)
    assert read_image_size(path) == (HEIGHT, WIDTH)


def test_another_size_than_stated_is_one_line_with_both(tmp_path: Path):
    file = coco(tmp_path)
    picture(tmp_path / "images/a.png", (80, 60))
    with pytest.raises(BadInput, match=r"image 7: says 40 x 30 px, but .*a\.png has 80 x 60 px"):
        read_labelled(CocoSource(file=file))
    assert [image.path.name for image in inspect_labelled(CocoSource(file=file)).data.images] == ["b.png"]


def test_boxes_in_an_unturned_picture_are_told_from_wrong_pictures(tmp_path: Path):
    labelme(tmp_path, "a", [])
    picture(tmp_path / "a.png", exif=turned(6))
    with pytest.raises(BadInput, match=r"says 40 x 30 px, but .* has 30 x 40 px; its EXIF turns the picture"):
        read_labelled(LabelmeSource(root=tmp_path))


# --- what is refused ---

COCO_ENTRY = {"id": 7, "file_name": "images/a.png", "width": WIDTH, "height": HEIGHT}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": 5}, "has no list 'images'"),
        ({"categories": [{"id": 1}]}, "category number 1: has no 'name'"),
        ({"images": [{"id": 7}]}, "image 7: has no 'file_name'"),
        ({"images": [COCO_ENTRY, COCO_ENTRY]}, "image 7: two images have the id 7"),
        ({"images": [COCO_ENTRY, COCO_ENTRY | {"id": 8}]}, r"image 8: lists .*a\.png a second time"),
        ({"images": [COCO_ENTRY | {"file_name": "images/z.png"}]}, "image 7: no picture .*z.png"),
        ({"annotations": annotation([1, 1, 5, 5]) * 2}, "annotation 5: two annotations have the id 5"),
        ({"annotations": annotation([1, 1, 5, 5], image_id=3)}, "belongs to image 3, which is not listed"),
        ({"annotations": annotation([1, 1, 5, 5], category_id=3)}, "of category 3, which is not listed"),
        ({"annotations": [{"id": 4}]}, "annotation 4: has no 'image_id'"),
        ({"annotations": [17]}, "annotation number 1: has no 'id'"),
        ({"images": [], "annotations": []}, "has no picture that can be used"),
    ],
)
def test_a_broken_coco_file_is_one_line(tmp_path: Path, changed: dict[str, Any], said: str):
    with pytest.raises(BadInput, match=said) as caught:
        read_labelled(CocoSource(file=coco(tmp_path, **changed)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b'{"images": [\n', "is not JSON"),
        (b"[1, 2]", "holds a list, not a JSON object"),
        (b"\xff\xfe\x00", "is not a text file"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_json_is_one_line(tmp_path: Path, content: bytes, said: str):
    (tmp_path / "set.json").write_bytes(content)
    with pytest.raises(BadInput, match=said):
        read_labelled(CocoSource(file=tmp_path / "set.json"))
    labelme(tmp_path / "other", "a", [])
    (tmp_path / "other/b.json").write_bytes(content)
    with pytest.raises(BadInput, match=said):
        read_labelled(LabelmeSource(root=tmp_path / "other"))
    reading = inspect_labelled(LabelmeSource(root=tmp_path / "other"))
    assert counted(reading.faults) == {"label_file": 1} and len(reading.data) == 1


def test_unknown_categories_are_one_line_with_what_was_meant(tmp_path: Path):
    file = coco(tmp_path, categories=[{"id": 1, "name": "Fallen "}, {"id": 2, "name": "sitting"}])
    with pytest.raises(BadInput, match=r"'sitting' is none of fallen, not_fallen;.* rename: {sitting: not"):
        read_labelled(CocoSource(file=file))
    with pytest.raises(BadInput, match=r"'Fallen ' is none of .* \(did you mean 'fallen'\?\)"):
        inspect_labelled(CocoSource(file=file, rename={"sitting": "not_fallen"}))
    with pytest.raises(BadInput, match="renames a category to 'falen', which is no class"):
        read_labelled(CocoSource(file=file, rename={"sitting": "falen"}))


@pytest.mark.parametrize("damage", ["missing", "empty", "text"])
def test_a_picture_that_cannot_be_used_is_named(tmp_path: Path, damage: str):
    file, path = coco(tmp_path), tmp_path / "images/a.png"
    path.unlink()
    if damage != "missing":
        path.write_bytes(b"" if damage == "empty" else b"no picture at all")
    said = {"missing": "no picture .*a.png", "empty": "a.png is empty", "text": "a.png is not an image"}[
        damage
    ]
    with pytest.raises(BadInput, match=said):
        read_labelled(CocoSource(file=file))
    kinds = counted(inspect_labelled(CocoSource(file=file)).faults)
    assert kinds == {"missing" if damage == "missing" else "unreadable": 1}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 .5 .5 .5", r"a\.txt:2: has 3 numbers after the class, not 4"),
        ("0 .5 .5 .5 .5 .9", "has 5 numbers"),
        ("person .5 .5 .5 .5", "'person .5 .5 .5 .5' is not a class and numbers"),
        ("2 .5 .5 .5 .5", "is of class 2, which has no name; there are 0 fallen, 1 not_fallen"),
        ("0 nan .5 .5 .5", "not four finite numbers"),
        ("0 3 .5 .5 .5", "lies outside"),
        ("0 .5 .5 0 .5", "no area"),
    ],
)
def test_a_broken_yolo_line_is_named_by_its_number(tmp_path: Path, line: str, said: str):
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text("1 .5 .5 .1 .1\n")
    (tmp_path / "a.txt").write_text(f"1 .5 .5 .1 .1\n{line}\n")
    (tmp_path / "data.yaml").write_text("names: [fallen, not_fallen]\n")
    with pytest.raises(BadInput, match=said) as caught:
        read_labelled(YoloSource(root=tmp_path))
    assert "a.txt:2" in str(caught.value)
    assert sum(counted(inspect_labelled(YoloSource(root=tmp_path)).faults).values()) == 1


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        (None, "has no data.yaml that names the classes"),
        ("names: [a, b", "is not YAML"),
        ("nc: 2", "has no names of classes"),
        ("names: {a: fallen}", "a list, or a mapping from numbers"),
    ],
)
def test_yolo_without_names_is_one_line(tmp_path: Path, yaml: str | None, said: str):
    picture(tmp_path / "deep/er/a.png")
    (tmp_path / "deep/er/a.txt").write_text("0 .5 .5 .5 .5")
    if yaml is not None:
        (tmp_path / "deep/data.yaml").write_text(yaml)
    with pytest.raises(BadInput, match=said):
        read_labelled(YoloSource(root=tmp_path / "deep/er"))


def test_a_folder_of_pictures_alone_is_no_yolo_set(tmp_path: Path):
    picture(tmp_path / "a.png")
    with pytest.raises(BadInput, match="has no label file for any of its 1 pictures"):
        read_labelled(YoloSource(root=tmp_path, names=("fallen", "not_fallen")))


def test_a_labelme_shape_without_a_box_is_one_line(tmp_path: Path):
    file = labelme(tmp_path, "a", [shape("1", (1, 1), kind="point"), shape("1", (1, 1), (5, 5))])
    with pytest.raises(BadInput, match=f"{file}: shape 1: is a point, which has no box"):
        read_labelled(LabelmeSource(root=tmp_path))
    assert inspect_labelled(LabelmeSource(root=tmp_path)).data.counts()["fallen"] == 1
    picture(tmp_path / "extra.png")
    assert counted(inspect_labelled(LabelmeSource(root=tmp_path)).faults) == {"shape": 1, "unlabelled": 1}


# --- what is where ---


def yolo_folder(folder: Path) -> Path:
    picture(folder / "images/a.png")
    (folder / "labels").mkdir()
    (folder / "labels/a.txt").write_text("0 .5 .5 .5 .5")
    return folder


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (coco, CocoSource),
        (lambda folder: coco(folder).parent, CocoSource),
        (lambda folder: labelme(folder, "a", []).parent, LabelmeSource),
        (yolo_folder, YoloSource),
    ],
)
def test_formats_are_recognised(tmp_path: Path, make: Callable[[Path], Path], kind: type):
    assert type(recognise(make(tmp_path))) is kind


def test_what_is_no_labelled_data_is_said(tmp_path: Path):
    with pytest.raises(BadInput, match="no such file"):
        recognise(tmp_path / "absent.json")
    with pytest.raises(BadInput, match="holds no labelled data; give a COCO"):
        recognise(tmp_path)
    with pytest.raises(BadInput, match=r"labelme file of one picture; give its folder"):
        recognise(labelme(tmp_path / "one", "a", []))
    (tmp_path / "two").mkdir()
    for name in ("train", "test"):
        coco(tmp_path / "two").rename(tmp_path / f"two/{name}.json")
    with pytest.raises(BadInput, match=r"several COCO files: test\.json, train\.json; give one"):
        recognise(tmp_path / "two")
    (tmp_path / "data.yaml").write_text("names: [a]")
    with pytest.raises(BadInput, match="give the folder of one split"):
        recognise(tmp_path / "data.yaml")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_only_headers_of_pictures_are_read(tmp_path: Path, suffix: str):
    file = coco(tmp_path, images=[COCO_ENTRY | {"file_name": f"a.{suffix}"}])
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])  # no decoder gives these pixels
    with pytest.raises(BadInput):
        read_image(path)
    assert read_labelled(CocoSource(file=file)).images[0].width_px == WIDTH


def test_real_sets_are_read_without_a_fault(data: Callable[[str], Path]):
    root = data("falldet/hospital_bed")
    reading = inspect_labelled(CocoSource(file=root / "train.json"))
    assert reading.faults == () and reading.data.name == "hospital_bed/train"
    assert reading.data.counts() == {"fallen": 192, "not_fallen": 585}
    assert {image.group for image in reading.data.images} >= {"12", "16"}
    tags = {tag for image in reading.data.images for tags in image.tags for tag in tags}
    assert {"lie", "sit", "danger"} <= tags
