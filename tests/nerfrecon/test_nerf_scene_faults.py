"""What a user gets wrong is one line that names the file, the frame and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scene_folders import (
    FOCAL_PX,
    HEIGHT,
    WIDTH,
    KnownScene,
    known_scene,
    write_blender,
    write_colmap,
    write_colmap_binary,
    write_idr,
    write_transforms,
)

from nerfrecon.scenes.read import read_scene
from suite.errors import BadInput

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
Document = dict[str, Any]


@pytest.fixture(scope="module")
def known() -> KnownScene:
    return known_scene(4)


def refusal(path: Path, *words: str) -> None:
    """Reading fails with one line that holds these words, and a hint."""
    with pytest.raises(BadInput) as caught:
        read_scene(path)
    line = str(caught.value)
    assert "\n" not in line and caught.value.hint, line
    assert all(word in line for word in words), line


def pose(document: Document, frame: int) -> np.ndarray:
    return np.array(document["frames"][frame]["transform_matrix"])


def set_pose(frame: int, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        document["frames"][frame]["transform_matrix"] = change(pose(document, frame)).tolist()

    return edit


def all_poses(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Document], None]:
    def edit(document: Document) -> None:
        for frame in range(len(document["frames"])):
            set_pose(frame, change)(document)

    return edit


def moved(offset: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(T: np.ndarray) -> np.ndarray:
        T[:3, 3] += offset
        return T

    return change


FRAME_1 = "transforms.json, frame 1 (images/0001.png)"
JSON_FAULTS: dict[str, tuple[Callable[[Document], Any], tuple[str, ...]]] = {
    "no pose": (lambda d: d["frames"][1].pop("transform_matrix"), (FRAME_1, "no transform_matrix")),
    "no picture named": (lambda d: d["frames"][1].pop("file_path"), ("frame 1", "file_path")),
    "one view": (lambda d: d.update(frames=d["frames"][:1]), ("transforms.json", "1", "at least two")),
    "no frames": (lambda d: d.update(frames=[]), ("transforms.json", "no list of frames")),
    "twice": (lambda d: d["frames"].append(d["frames"][1]), ("images/0001.png twice", "remove")),
    "scaled": (set_pose(1, lambda T: T @ np.diag([2, 2, 2, 1])), (FRAME_1, "not rigid", "lengths 2 2 2")),
    "mirrored": (set_pose(1, lambda T: T @ np.diag([1, 1, -1, 1])), (FRAME_1, "mirrored", "determinant -1")),
    "sheared": (
        set_pose(1, lambda T: np.column_stack([T[:, 0], 0.6 * T[:, 0] + 0.8 * T[:, 1], T[:, 2:]])),
        (FRAME_1, "right angles"),
    ),
    "transposed": (set_pose(1, np.transpose), (FRAME_1, "last row", "transposed")),
    "not finite": (set_pose(1, lambda T: T * np.nan), (FRAME_1, "not finite")),
    "no matrix": (set_pose(1, lambda T: T[:2]), (FRAME_1, "4 x 4")),
    "flat box": (lambda d: d.update(aabb=[[-1, -1, 0], [1, 1, 0]]), ("transforms.json", "no volume")),
    "box inside out": (lambda d: d.update(aabb=[[1, 1, 1], [-1, -1, -1]]), ("no volume", "smaller numbers")),
    "box of one corner": (lambda d: d.update(aabb=[[1, 1, 1]]), ("aabb is not two corners",)),
    "box of text": (lambda d: d.update(aabb=["a", "b"]), ("aabb is 'a'", "three finite numbers")),
    "far away": (all_poses(moved(1000.0)), ("no camera sees the box", "times its side away", "scale")),
    "wrong axes": (all_poses(lambda T: T @ FLIP), ("look away from the box", "OpenGL looks along -z")),
    "another size": (lambda d: d.update(w=2 * WIDTH), ("images/0000.png", "64 x 48 px", "128 x 48 px")),
    "no focal length": (lambda d: d.pop("fl_x") and d.pop("fl_y"), ("frame 0", "no focal length", "fl_x")),
    "focal length of text": (lambda d: d.update(fl_x="long"), ("fl_x is 'long'", "finite number")),
    "negative focal length": (lambda d: d.update(fl_x=-5), ("frame 0", "fx is -5", "positive")),
    "fisheye": (lambda d: d.update(camera_model="OPENCV_FISHEYE"), ("OPENCV_FISHEYE", "undistort")),
    "instant-ngp's fisheye": (lambda d: d.update(is_fisheye=True), ("is_fisheye", "undistort")),
    "a lens that folds": (lambda d: d.update(k1=-5.0), ("frame 0", "folds the picture", "k1")),
    "no such mask": (
        lambda d: d["frames"][1].update(mask_path="m.png"),
        (FRAME_1, "m.png", "remove the key"),
    ),
    "no such pictures": (
        lambda d: [frame.update(file_path=f"x{n}") for n, frame in enumerate(d["frames"])],
        ("none of the 4 pictures", "x0", "folder this file lies in"),
    ),
    "aabb_scale": (lambda d: d.update(aabb_scale=0.5), ("aabb_scale is 0.5", "give 1")),
    "scale": (lambda d: d.update(scale=0), ("scale is 0", "positive")),
}


@pytest.mark.parametrize("fault", JSON_FAULTS)
def test_faults_of_a_transforms_json(fault: str, known: KnownScene, tmp_path: Path):
    edit, words = JSON_FAULTS[fault]
    path = write_transforms(tmp_path, known, aabb_scale=1)
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    refusal(tmp_path, *words)


def test_wrong_axes_are_suspected_among_surroundings_and_without_a_box(known: KnownScene, tmp_path: Path):
    for name, more in {"surroundings": {"aabb_scale": 8}, "no box": {}}.items():
        (tmp_path / name).mkdir()
        path = write_transforms(tmp_path / name, known, **more)
        read_scene(path)
        document = json.loads(path.read_text())
        all_poses(lambda T: T @ FLIP)(document)
        path.write_text(json.dumps(document))
        refusal(path, "look away", "axes")


def test_cameras_that_all_look_one_way_need_a_box(known: KnownScene, tmp_path: Path):
    path = write_transforms(tmp_path, known)
    document = json.loads(path.read_text())
    for number, frame in enumerate(document["frames"]):
        frame["transform_matrix"] = np.eye(4).tolist()
        frame["transform_matrix"][0][3] = float(number)
    path.write_text(json.dumps(document))
    refusal(path, "look the same way", "aabb")


def test_pictures_without_poses(known: KnownScene, tmp_path: Path):
    write_colmap(tmp_path, known)
    for name in ("cameras", "images"):
        (tmp_path / "sparse" / "0" / f"{name}.txt").unlink()
    refusal(tmp_path, "4 pictures but no poses", "COLMAP")
    refusal(tmp_path / "sparse", "holds no scene")
    (tmp_path / "notes.txt").write_text("x")
    refusal(tmp_path / "notes.txt", "is not the poses of a scene")
    with pytest.raises(BadInput, match="no such folder"):
        read_scene(tmp_path / "nowhere")


def test_json_that_is_none_names_the_line(tmp_path: Path):
    (tmp_path / "transforms.json").write_text('{"frames": [\n  {"file_path": }]}')
    refusal(tmp_path, "transforms.json", "line 2")


def test_missing_pictures_are_left_out_and_reported(known: KnownScene, tmp_path: Path):
    path = write_blender(tmp_path, known)
    (tmp_path / "train" / "r_2.png").unlink()
    scene = read_scene(path)
    assert [view.name for view in scene.views] == ["train/r_0", "train/r_1", "train/r_3"]
    assert len(scene.notes) == 1 and "1 of 4 pictures" in scene.notes[0] and "r_2" in scene.notes[0]


def test_unreadable_pictures(known: KnownScene, tmp_path: Path):
    path = write_transforms(tmp_path, known)
    image = tmp_path / "images" / "0001.png"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    scene = read_scene(path)
    with pytest.raises(BadInput, match=r"0001\.png.*damaged"):
        scene.views[1].load()
    image.write_bytes(b"no picture at all")
    with pytest.raises(BadInput, match=r"0001\.png.*not an image"):
        read_scene(path)


def test_masks_that_say_nothing_or_belong_elsewhere(known: KnownScene, tmp_path: Path):
    write_idr(tmp_path, known)
    mask = tmp_path / "mask" / "001.png"
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(mask)
    view = read_scene(tmp_path).views[1]
    with pytest.raises(BadInput, match=r"001\.png.*black everywhere.*leave this view out"):
        view.load()
    Image.fromarray(np.full((HEIGHT, 7), 255, np.uint8)).save(mask)
    with pytest.raises(BadInput, match=r"001\.png.*mask is 7 x 48 px but its picture is 64 x 48 px"):
        view.load()
    mask.unlink()
    refusal(tmp_path, "3 masks for 4 pictures")


def test_a_transparent_picture(known: KnownScene, tmp_path: Path):
    path = write_blender(tmp_path, known)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 4), np.uint8)).save(tmp_path / "train" / "r_1.png")
    with pytest.raises(BadInput, match=r"r_1\.png.*transparent everywhere"):
        read_scene(path).views[1].load()


def test_exif_that_turns_is_refused_unless_the_size_proves_what_is_meant(known: KnownScene, tmp_path: Path):
    path = write_transforms(tmp_path, known)
    image = tmp_path / "images" / "0001.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.array(Image.open(image))
    Image.fromarray(pixels).save(image, exif=exif)
    assert np.array_equal(
        read_scene(path).views[1].load().pixels, pixels
    )  # 64 x 48 as stored, as w and h say
    exif[0x0112] = 3
    Image.fromarray(pixels).save(image, exif=exif)
    refusal(path, "0001.png", "orientation 3", "upright")


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_damaged_colmap_files(known: KnownScene, tmp_path: Path, name: str):
    write_colmap_binary(tmp_path / "b", known)
    path = tmp_path / "b" / "sparse" / "0" / f"{name}.bin"
    path.write_bytes(path.read_bytes()[:-9])
    refusal(tmp_path / "b", f"{name}.bin", "truncated")
    write_colmap(tmp_path / "t", known)
    path = tmp_path / "t" / "sparse" / "0" / f"{name}.txt"
    path.write_text(path.read_text().replace("0.", "zero", 1) if name != "cameras" else "3 PINHOLE 64\n")
    refusal(tmp_path / "t", f"{name}.txt, line")


def test_colmap_models_that_are_not_read_are_named(known: KnownScene, tmp_path: Path):
    params = (FOCAL_PX, FOCAL_PX, 32.0, 24.0, *[0.01] * 4)
    refusal(write_colmap(tmp_path, known, "OPENCV_FISHEYE", params), "OPENCV_FISHEYE", "image_undistorter")
    refusal(write_colmap(tmp_path, known, "WARP", params), "WARP", "OPENCV are read")
    refusal(write_colmap(tmp_path, known, "PINHOLE", params), "cameras.txt, line 2", "8 parameters, not 4")


def idr_fault(folder: Path, known: KnownScene, **changed: np.ndarray | None) -> Path:
    path = write_idr(folder, known, masks=False)
    with np.load(path) as file:
        matrices: dict[str, Any] = {**file, **changed}
    np.savez(path, **{key: value for key, value in matrices.items() if value is not None})
    return path


def test_faults_of_an_npz(known: KnownScene, tmp_path: Path):
    skewed = np.eye(4)
    skewed[:3, :3] = [[66, 9, 32], [0, 66, 24], [0, 0, 1]]
    other = np.diag([3.0, 3.0, 3.0, 1.0])
    refusal(idr_fault(tmp_path, known, world_mat_1=skewed), "world_mat_1 (001.png)", "skewed")
    refusal(idr_fault(tmp_path, known, world_mat_1=np.zeros((4, 4))), "world_mat_1", "no projection matrix")
    refusal(idr_fault(tmp_path, known, scale_mat_1=other), "scale_mat_1 is another")
    refusal(idr_fault(tmp_path, known, world_mat_3=None), "3 cameras but image holds 4 pictures")
    flat = np.diag([1.0, 0.0, 1.0, 1.0])
    refusal(
        idr_fault(tmp_path, known, **{f"scale_mat_{k}": flat for k in range(4)}),
        "cameras_sphere.npz",
        "no volume",
    )
    (tmp_path / "cameras_sphere.npz").write_bytes(b"PK not an archive")
    refusal(tmp_path, "cameras_sphere.npz", "cannot be read")
