"""Poses found from pictures of a table whose poses are known, and what is said where none can be found."""

from __future__ import annotations

import _thread
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nerfrecon.scenes.read import read_scene
from nerfrecon.sfm import find as find_module
from nerfrecon.sfm.cameras import create_database, source_pictures
from nerfrecon.sfm.colmap_calls import colmap, run_step
from nerfrecon.sfm.features import extract
from nerfrecon.sfm.find import find_cameras
from nerfrecon.sfm.options import NoScale, SfmOptions
from suite.errors import BadInput
from tests.nerfrecon import sfm_scene

pytest.importorskip("pycolmap")
OPTIONS = SfmOptions(threads=1, features=700, scale=NoScale(), fewest=5)
VIEWS = 9


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures of a table, of which numbers 4 and 7 were taken upright."""
    folder = tmp_path_factory.mktemp("taken")
    poses = sfm_scene.around(VIEWS, 130)
    wide, tall = sfm_scene.camera(288, 216), sfm_scene.camera(216, 288)
    subject = sfm_scene.table()
    pictures = sfm_scene.photographed(subject, wide, poses)
    for k in (4, 7):
        pictures[k] = sfm_scene.photographed(subject, tall, poses[k : k + 1])[0]
    sfm_scene.written(folder / "images", pictures)
    return folder


@pytest.fixture(scope="module")
def found(taken: Path) -> Path:
    return find_cameras(taken, taken / "found", OPTIONS)


def said(out: Path) -> dict:
    return json.loads((out / "sfm.json").read_text())


def test_poses_are_recovered_of_portrait_and_landscape_pictures(found: Path) -> None:
    told = said(found)
    assert told["registered"] == told["total"] == VIEWS and told["rejected"] == []
    assert told["reprojection_px"] < 0.7 and len(told["lenses"]) == 2 and not told["turntable"]
    scene = read_scene(found)
    assert len(scene.views) == VIEWS and scene.points is not None
    true = sfm_scene.around(VIEWS, 130)
    centres = np.stack([view.position for view in scene.views])
    scale, R, t = sfm_scene.aligned(centres, true[:, :3, 3])
    off = np.linalg.norm(scale * centres @ R.T + t - true[:, :3, 3], axis=1)
    assert off.max() < 0.01 * 1.5  # of the cameras' distance
    for view, pose in zip(scene.views, true, strict=True):
        turned = pose[:3, :3].T @ R @ view.T_world_camera[:3, :3]
        assert np.rad2deg(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1))) < 0.6
    up = R @ np.array(told["up"])
    assert told["up_from"] == "points" and np.rad2deg(np.arccos(up[2])) < 1.0
    n, d = R @ np.array(told["ground"][:3]), told["ground"][3]
    assert scale * d - n @ t == pytest.approx(0, abs=0.01)  # the table's top is at z = 0


def test_the_same_pictures_give_the_same_cameras_and_the_work_folder_goes(found: Path, taken: Path) -> None:
    again = find_cameras(taken, taken / "again", OPTIONS)
    for name in ("cameras.bin", "images.bin", "points3D.bin"):
        assert (again / "sparse" / name).read_bytes() == (found / "sparse" / name).read_bytes()
    assert not (taken / ".again.work").exists()


def test_a_run_that_was_cut_short_looks_for_no_feature_twice(
    found: Path, taken: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(taken / "images", tmp_path / "images")

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(find_module, "find_models", cut)
        with pytest.raises(KeyboardInterrupt):
            find_cameras(tmp_path, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.work" / "database.db").is_file()

    pycolmap = colmap()
    monkeypatch.setattr(pycolmap, "extract_features", cut)
    out = find_cameras(tmp_path, tmp_path / "out", OPTIONS)
    assert (out / "sparse" / "images.bin").read_bytes() == (found / "sparse" / "images.bin").read_bytes()


@pytest.mark.parametrize("placed", [None, [0]])
def test_ctrl_c_cancels_what_colmap_does(placed: list[int] | None) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit it ignored
    tokens: list[Any] = []

    def call(token: Any) -> None:
        tokens.append(token)
        _thread.interrupt_main()
        for _ in range(1000):
            if token.is_cancelled:
                return
            time.sleep(0.02)

    try:
        with pytest.raises(KeyboardInterrupt):
            run_step("Waiting", call, placed, 5)
    finally:
        signal.signal(signal.SIGINT, before)
    assert tokens[0].is_cancelled


def test_pictures_can_be_written_after_colmap_was_loaded() -> None:
    """Its wheel's zlib would end the process, did `colmap` not load others first."""
    code = (
        "from nerfrecon.sfm.colmap_calls import colmap; colmap(); import io, zlib; from PIL import Image; "
        "Image.new('RGB', (90, 60)).save(io.BytesIO(), 'PNG'); zlib.decompress(zlib.compress(b'a' * 9999)); "
        "print('whole')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.strip() == "whole", done.stderr[-300:]


def test_what_went_wrong_inside_a_step_is_raised() -> None:
    def fails(_: object) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_step("Failing", fails)


def test_photographs_of_different_objects_are_one_line(tmp_path: Path) -> None:
    taken_by, poses = sfm_scene.camera(240, 180), sfm_scene.around(5, 60)
    for first, seed in (("a", 0), ("b", 7)):
        pictures = sfm_scene.photographed(sfm_scene.table(seed), taken_by, poses)
        sfm_scene.written(tmp_path / "images", pictures, first)
    with pytest.raises(BadInput, match=r"nothing in common: 5 \(.00\.png.*different objects") as caught:
        find_cameras(tmp_path, tmp_path / "out", OPTIONS)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_stray_picture_is_left_out_with_a_reason_and_two_groups_are_told(
    taken: Path, tmp_path: Path
) -> None:
    shutil.copytree(taken / "images", tmp_path / "images")
    stray = sfm_scene.photographed(sfm_scene.table(9), sfm_scene.camera(240, 180), sfm_scene.around(3, 30))
    sfm_scene.written(tmp_path / "images", stray, "x")
    cv2.imwrite(str(tmp_path / "images" / "y.png"), np.full((216, 288, 3), 128, np.uint8))
    told = said(find_cameras(tmp_path, tmp_path / "out", OPTIONS))
    reasons = {one["name"]: one["reason"] for one in told["rejected"]}
    assert set(reasons) == {"x00.png", "x01.png", "x02.png", "y.png"} and told["registered"] == VIEWS
    assert reasons["y.png"].startswith("too few features (0)")
    assert "group" in reasons["x01.png"] or "no picture that has a pose" in reasons["x01.png"]
    assert any("have no pose" in line for line in told["flags"])


@pytest.mark.parametrize(
    ("count", "texture", "line"),
    [(3, True, "holds 3 pictures, and 5 are needed"), (6, False, "too little texture")],
)
def test_too_few_pictures_or_no_texture_are_one_line(
    tmp_path: Path, count: int, texture: bool, line: str
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for k in range(count):
        picture = rng.integers(0, 256, (90, 120, 3)) if texture else np.full((90, 120, 3), 90 + k)
        cv2.imwrite(str(tmp_path / "images" / f"{k}.png"), picture.astype(np.uint8))
    with pytest.raises(BadInput, match=line) as caught:
        find_cameras(tmp_path, tmp_path / "out", OPTIONS)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line(taken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(BadInput, match="the disk has 0 MB left, and finding cameras needs"):
        find_cameras(taken, tmp_path / "out", OPTIONS)


def test_features_lie_on_the_object_where_there_are_masks_or_alpha(taken: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for k in range(3):
        picture = np.asarray(cv2.imread(str(taken / "images" / f"view_0{k}.png")))
        height, width = picture.shape[:2]
        left = np.zeros((height, width), np.uint8)
        left[:, : width // 2] = 255
        if k == 0:
            picture = np.dstack([picture, left])
        elif k == 1:
            cv2.imwrite(str(tmp_path / "masks" / "1.png"), left)
        cv2.imwrite(str(tmp_path / "images" / f"{k}.png"), picture)
    pictures = source_pictures(tmp_path, None)
    create_database(tmp_path / "database.db", pictures, OPTIONS)
    extract(tmp_path / "database.db", pictures, OPTIONS, tmp_path)
    opened = colmap().Database.open(tmp_path / "database.db")
    across = [np.asarray(opened.read_keypoints(k + 1))[:, 0] for k in range(3)]
    opened.close()
    assert all(len(u) > 50 for u in across)
    assert across[0].max() <= 145 and across[1].max() <= 145 and across[2].max() > 200


def test_on_a_turntable_what_stands_still_is_left_out(tmp_path: Path) -> None:
    """The object turns, a textured wall behind it does not: with the wall no pose would be right."""
    taken_by, poses = sfm_scene.camera(260, 200), turned_poses(7, 72)
    pictures = sfm_scene.photographed(sfm_scene.table(2), taken_by, poses)
    wall = cv2.resize(sfm_scene.texture(40)[:400, :400], (260, 200), interpolation=cv2.INTER_AREA)
    empty = [np.abs(picture.astype(int) - 200).max(2) < 2 for picture in pictures]
    for picture, hole in zip(pictures, empty, strict=True):
        picture[hole] = wall[hole]
    sfm_scene.written(tmp_path / "images", pictures)
    told = said(find_cameras(tmp_path, tmp_path / "out", OPTIONS))
    assert told["turntable"] and any("stand still" in line for line in told["flags"])
    scene = read_scene(tmp_path / "out")
    assert len(scene.views) == 7
    centres = np.stack([view.position for view in scene.views])
    scale, R, t = sfm_scene.aligned(centres, poses[:, :3, 3])
    assert np.linalg.norm(scale * centres @ R.T + t - poses[:, :3, 3], axis=1).max() < 0.03 * 1.7


def turned_poses(count: int, turn_deg: float) -> np.ndarray:
    """All from one height: what a camera that stands still sees of an object that turns."""
    return sfm_scene.around(2 * count - 1, turn_deg, 1.7)[::2]
