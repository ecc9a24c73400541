"""Class folders, CSV and COCO files as tables; bad ones end in one line that says where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imcls.data.decode import decode
from imcls.data.options import CocoSource, CsvSource, FolderSource
from imcls.data.sources import natural, read_table
from suite.errors import BadInput


def _image(path: Path, size: tuple[int, int] = (12, 10), colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, colour, colour)).save(path)
    return path


def _folders(root: Path) -> Path:
    for name in ("cat/img10.png", "cat/img2.png", "cat/more/deep/img3.JPG", "dog/a.webp", "dog/b.tif"):
        _image(root / name)
    _image(root / "cat/.hidden/x.png")
    _image(root / "dog/.x.png")
    (root / "dog/notes.txt").write_text("no image")
    (root / ".git").mkdir()
    return root


def _csv(tmp_path: Path, text: str, **options: object) -> CsvSource:
    for name in ("a", "b", "c"):
        _image(tmp_path / "pics" / f"{name}.png")
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    return CsvSource(file=tmp_path / "list.csv", root=tmp_path / "pics", **options)  # type: ignore[arg-type]


def test_class_folders_are_read_in_natural_order_without_what_is_hidden(tmp_path: Path) -> None:
    table = read_table(FolderSource(root=_folders(tmp_path)))
    assert table.classes == ("cat", "dog")
    assert table.names == (
        "cat/img2.png",
        "cat/img10.png",
        "cat/more/deep/img3.JPG",
        "dog/a.webp",
        "dog/b.tif",
    )
    assert table.labels.tolist() == [0, 0, 0, 1, 1]
    assert all(path.is_file() for path in table.paths)


def test_classes_keep_the_order_they_are_given_in(tmp_path: Path) -> None:
    table = read_table(FolderSource(root=_folders(tmp_path)), ("dog", "cat"))
    assert table.class_counts().tolist() == [2, 3] and table.labels.tolist() == [1, 1, 1, 0, 0]


def test_natural_order_is_total() -> None:
    names = ["img10", "img2", "Img2", "a01", "a1", "2", "10", "b"]
    backwards = names[::-1]
    assert sorted(names, key=natural) == sorted(backwards, key=natural)
    assert sorted(["10", "9", "x2y", "x10y"], key=natural) == ["9", "10", "x2y", "x10y"]


@pytest.mark.parametrize(
    ("build", "classes", "said"),
    [
        (lambda root: root / "none", None, "no such folder"),
        (lambda root: _image(root / "file.png"), None, "is not a folder"),
        (lambda root: root, None, "holds no class folders"),
        (lambda root: _image(root / "x.png").parent, None, "holds 1 images but no class folders"),
        (lambda root: _image(root / "cat/x.png").parents[1], None, "only one class, 'cat'"),
        (
            lambda root: (_folders(root), (root / "emu").mkdir())[0],
            None,
            "emu: the class folder holds no images",
        ),
        (_folders, ("cat", "dog", "emu"), "no images of the class 'emu'"),
        (_folders, ("cat", "dogs"), "the label 'dog' is not in the list of classes; did you mean 'dogs'?"),
        (_folders, ("cat", "cat", "dog"), "a class is listed twice"),
    ],
)
def test_bad_folders_end_in_one_line(tmp_path: Path, build, classes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_table(FolderSource(root=build(tmp_path)), classes)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_test_set_may_lack_classes(tmp_path: Path) -> None:
    root = _image(tmp_path / "dog/x.png").parents[1]
    assert read_table(FolderSource(root=root), ("cat", "dog"), complete=False).labels.tolist() == [1]


def test_csv_with_byte_order_mark_quotes_groups_and_repeated_lines(tmp_path: Path) -> None:
    dark = 'a.png,"red, dark",p1\n'
    text = f"\ufeffimage,label,patient\n{dark}./b.png,blue,p1\nc.png,blue,\n\n{dark}"
    table = read_table(_csv(tmp_path, text, group_column="patient"))
    assert table.names == ("a.png", "b.png", "c.png") and table.classes == ("blue", "red, dark")
    assert table.labels.tolist() == [1, 0, 0]
    assert table.groups is not None and table.groups[0] == table.groups[1] == "p1"
    assert table.groups[2] not in ("", "p1")


def test_csv_of_several_labels(tmp_path: Path) -> None:
    source = _csv(tmp_path, "image,label\na.png,x; y\nb.png,\nc.png,y;y\n", multi_label=True)
    table = read_table(source)
    assert table.multi_label and table.labels.tolist() == [[1, 1], [0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "options", "classes", "said"),
    [
        ("image,label\na.png,x\nb.png,y\nd.png,x\ne.png,x\n", {}, None, "list.csv:4: no image 'd.png'"),
        ("image,label\nd.png,x\ne.png,x\na.png,y\n", {}, None, "(2 of 3 are missing)"),
        (
            "image,lable\na.png,x\n",
            {},
            None,
            "no column 'label' (there are image, lable); did you mean 'lable'?",
        ),
        ("image;label\na.png;x\n", {}, None, "separate the columns by commas"),
        ("image,label\na.png,x\na.png,y\n", {}, None, "list.csv:3: 'a.png' is 'y' here and 'x' in 2"),
        ("image,label\na.png,x\n./a.png,y\n", {}, None, "list.csv:3: 'a.png' is 'y' here"),
        ("image,label\na.png,x\nb.png,\n", {}, None, "list.csv:3: no label"),
        ("image,label\na.png,x\nb.png\n", {}, None, "list.csv:3: the line is too short"),
        ("image,label\na.png,x,y\n", {}, None, "list.csv:2: the line has more than 2 cells"),
        ("image,label\n,x\n", {}, None, "list.csv:2: no image name"),
        ("image,label\n", {}, None, "lists no images"),
        ("", {}, None, "is empty"),
        (
            "image,label\na.png,x\nb.png,ret\n",
            {},
            ("x", "red"),
            "list.csv:3: the label 'ret' is not in the list",
        ),
        ("image,label\na.png,x\nb.png,x\n", {}, None, "only one class, 'x'"),
        ("image,label\na.png,x\nb.png,y\n", {"group_column": "patient"}, None, "no column 'patient'"),
        ("image,label\na.png,x;y\na.png,x\n", {"multi_label": True}, None, "separated by `;`"),
    ],
)
def test_bad_tables_end_in_one_line(tmp_path: Path, text: str, options, classes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_table(_csv(tmp_path, text, **options), classes)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_table_of_another_encoding_is_named(tmp_path: Path) -> None:
    source = _csv(tmp_path, "")
    source.file.write_bytes("image,label\nä.png,x\n".encode("latin-1"))
    with pytest.raises(BadInput, match="is not UTF-8 text"):
        read_table(source)


def _coco(
    tmp_path: Path, annotations: list[dict], image: dict | None = None, **options: object
) -> CocoSource:
    coco = {
        "images": [{"id": 7, "file_name": "pics/a.png", "width": 100, "height": 60} | (image or {})],
        "categories": [{"id": 1, "name": "nut"}, {"id": 2, "name": "bolt"}, {"id": 3, "name": "rivet"}],
        "annotations": [{"image_id": 7, "iscrowd": 0} | a for a in annotations],
    }
    if not (tmp_path / "pics/a.png").exists():
        _image(tmp_path / "pics/a.png", (100, 60))
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    return CocoSource(file=tmp_path / "coco.json", **options)  # type: ignore[arg-type]


_TWO = [
    {"id": 1, "category_id": 1, "bbox": [0, 10, 20, 20]},
    {"id": 2, "category_id": 2, "bbox": [50, 20, 40, 30]},
]


def test_coco_boxes_are_widened_clipped_and_counted(tmp_path: Path) -> None:
    more = [
        {"id": 3, "category_id": 1, "bbox": [5, 5, 7, 30]},
        {"id": 4, "category_id": 1, "bbox": [5, 5, 30, 30], "iscrowd": 1},
    ]
    table = read_table(_coco(tmp_path, [*_TWO, *more], margin=0.1, smallest_px=8))
    assert table.classes == ("bolt", "nut") and table.names == ("pics/a.png#1", "pics/a.png#2")
    assert table.boxes is not None
    np.testing.assert_allclose(table.boxes, [[0, 8, 22, 32], [46, 17, 94, 53]])
    assert table.groups == ("pics/a.png", "pics/a.png")
    assert table.notes == (
        "boxes left out for a side under 8 px: 1",
        "boxes left out as crowds: 1",
        "categories without boxes: rivet",
    )


def test_coco_classes_choose_categories(tmp_path: Path) -> None:
    annotations = [*_TWO, {"id": 3, "category_id": 3, "bbox": [1, 1, 20, 20]}]
    table = read_table(_coco(tmp_path, annotations), ("bolt", "rivet"))
    assert table.labels.tolist() == [0, 1] and "does not name: 1" in table.notes[0]


# Where stored and upright sizes are the same (2, 3, 4), boxes are taken as upright, as Detectron2 does.
@pytest.mark.parametrize("orientation", [1, 5, 6, 7, 8])
def test_coco_boxes_of_stored_pixels_are_turned_with_the_image(tmp_path: Path, orientation: int) -> None:
    stored = np.zeros((60, 100, 3), np.uint8)
    stored[10:30, 50:90] = 255  # the part that the box is about
    image = Image.fromarray(stored)
    exif = image.getexif()
    exif[0x0112] = orientation
    (tmp_path / "pics").mkdir()
    image.save(tmp_path / "pics/a.png", exif=exif)
    boxes = [{"id": 1, "category_id": 1, "bbox": [50, 10, 40, 20]}, _TWO[1]]
    table = read_table(_coco(tmp_path, boxes, margin=0.0))
    assert table.boxes is not None
    assert (decode(table.paths[0], None, table.boxes[0]) == 255).all()
    assert decode(table.paths[0], None, table.boxes[0]).size == 3 * 40 * 20


@pytest.mark.parametrize(
    ("annotations", "image", "classes", "said"),
    [
        (
            [{"id": 1, "category_id": 9, "bbox": [0, 0, 9, 9]}],
            {},
            None,
            "is of category 9, which is not listed",
        ),
        ([{"id": 1, "image_id": 8, "category_id": 1, "bbox": [0, 0, 9, 9]}], {}, None, "belongs to image 8"),
        ([{"id": 1, "category_id": 1, "bbox": [0, 0, 9]}], {}, None, "is not [x, y, width, height]"),
        ([{"id": 1, "category_id": 1, "bbox": [200, 0, 90, 90]}], {}, None, "lies outside of the image"),
        ([{"id": 1, "bbox": [0, 0, 9, 9]}], {}, None, "annotation without 'category_id'"),
        (_TWO, {"width": 64}, None, "is stated as 64 x 60 px"),
        (_TWO, {"file_name": "pics/z.png"}, None, "no image"),
        (_TWO, {}, ("nut", "bolts"), "the class 'bolts' is no category"),
        ([], {}, None, "holds no boxes that can be used"),
    ],
)
def test_bad_coco_files_end_in_one_line(tmp_path: Path, annotations, image, classes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_table(_coco(tmp_path, annotations, image), classes)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_flowers_are_found(data) -> None:
    table = read_table(FolderSource(root=data("imcls/flowers5")))
    assert len(table) == 1500 and table.class_counts().sum() == 1500 and len(table.classes) == 5
