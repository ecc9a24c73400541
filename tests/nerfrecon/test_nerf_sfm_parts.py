"""Pairs, lenses, up, and scale, each on its own, with poses that are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerfrecon.sfm.cameras import SourcePicture, focal_from_exif
from nerfrecon.sfm.matching import all_pairs, connected, likely_pairs, order_tells, sequential_pairs
from nerfrecon.sfm.options import DistanceScale, MarkerScale, MatScale, SfmOptions
from nerfrecon.sfm.scale import find_scale, refuse_unknown_names
from nerfrecon.sfm.targets import quadrant_targets
from nerfrecon.sfm.triangulate import PosedPicture, triangulate
from nerfrecon.sfm.upright import find_upright
from suite.errors import BadInput
from tests.nerfrecon import sfm_scene

GROUND = np.array([0.0, 0.0, 1.0, 0.0])


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PosedPicture]:
    folder = tmp_path_factory.mktemp("posed")
    taken_by, poses = sfm_scene.camera(520, 390), sfm_scene.around(5, 200)
    subject = sfm_scene.table(1, mat=True, marker=True)
    names = sfm_scene.written(folder, sfm_scene.photographed(subject, taken_by, poses, 2))
    return sfm_scene.posed(folder, names, taken_by, poses)


def test_scale_from_the_printed_mat(posed: dict[str, PosedPicture]) -> None:
    found = find_scale(MatScale(diagonal_mm=120), posed, GROUND)
    assert found.found_from == "mat" and found.metres_per_unit is not None
    assert found.metres_per_unit == pytest.approx(0.12 / sfm_scene.MAT_DIAGONAL, rel=0.005)


def test_scale_from_a_marker(posed: dict[str, PosedPicture]) -> None:
    found = find_scale(MarkerScale(side_mm=50), posed, None)
    side = round(sfm_scene.MARKER_SIDE * sfm_scene.TABLE_PX) / sfm_scene.TABLE_PX
    assert found.found_from == "marker" and found.metres_per_unit == pytest.approx(0.05 / side, rel=0.01)
    other = find_scale(MarkerScale(side_mm=50, dictionary="6X6_250"), posed, None)
    assert other.metres_per_unit is None and "no marker of 6X6_250" in other.note
    with pytest.raises(BadInput, match="which OpenCV does not know"):
        find_scale(MarkerScale(side_mm=50, dictionary="9X9"), posed, None)


def _pixel(name: str, uv: np.ndarray) -> tuple[str, float, float]:
    return name, round(float(uv[0]), 1), round(float(uv[1]), 1)


def test_scale_from_a_known_distance(posed: dict[str, PosedPicture]) -> None:
    ends = np.array([[0.3, -0.2, 0.0], [-0.25, 0.1, 0.1]])
    told = [tuple(_pixel(name, posed[name].project(end)) for name in list(posed)[:3]) for end in ends]
    options = DistanceScale(length_mm=250, first=told[0], second=told[1])
    found = find_scale(options, posed, None)
    assert found.metres_per_unit == pytest.approx(0.25 / np.linalg.norm(ends[1] - ends[0]), rel=0.003)
    wrong = DistanceScale(length_mm=250, first=told[0], second=(*told[1][:2], (told[0][2][0], 5.0, 5.0)))
    assert "another point" in find_scale(wrong, posed, None).note
    with pytest.raises(BadInput, match="names the picture view_00"):
        refuse_unknown_names(options, ["other.jpg"])


def test_without_a_mat_lengths_stay_and_it_is_said(tmp_path: Path) -> None:
    taken_by, poses = sfm_scene.camera(320, 240), sfm_scene.around(4, 90)
    names = sfm_scene.written(tmp_path, sfm_scene.photographed(sfm_scene.table(3), taken_by, poses))
    found = find_scale(SfmOptions().scale, sfm_scene.posed(tmp_path, names, taken_by, poses), GROUND)
    assert found.metres_per_unit is None and "no printed mat" in found.note


@pytest.mark.parametrize("slant", [0.6, 0.8, 1.0])
@pytest.mark.parametrize("turn_deg", [0, 25, 70])
def test_targets_are_found_to_a_fraction_of_a_pixel_in_perspective(slant: float, turn_deg: float) -> None:
    drawn = sfm_scene.mat_drawn(np.full((800, 800, 3), 225, np.uint8), 600)[..., 0]
    middle, c, s = 399.5, np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    there = np.array([[1, 0, 320], [0, slant, 260], [0, 0.0004, 1]]) @ np.array(
        [[c, -s, -middle * (c - s)], [s, c, -middle * (s + c)], [0, 0, 1]]
    )
    seen = cv2.warpPerspective(drawn, there, (640, 520), flags=cv2.INTER_AREA, borderValue=225.0)
    noise = np.random.default_rng(0).normal(0, 3, seen.shape)
    found = quadrant_targets(np.clip(seen + noise, 0, 255).astype(np.uint8))
    for at in ((699.5, 399.5), (99.5, 399.5), (399.5, 699.5), (399.5, 99.5)):
        u, v, w = there @ [*at, 1]
        if 20 < u / w < 620 and 20 < v / w < 500:
            assert np.linalg.norm(found - [u / w, v / w], axis=1).min() < 0.35


def test_points_come_back_from_their_pixels(posed: dict[str, PosedPicture]) -> None:
    point = np.array([0.1, -0.2, 0.07])
    sightings = [(name, picture.project(point)) for name, picture in posed.items()]
    found = triangulate(sightings, posed)
    assert found is not None and np.abs(found.point - point).max() < 1e-7 and found.error_px < 1e-5
    assert triangulate(sightings[:1], posed) is None
    assert triangulate([sightings[0], sightings[0]], posed) is None  # parallel


@given(st.integers(3, 60), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_neighbours_go_around_the_end(count: int, neighbours: int) -> None:
    pairs = sequential_pairs(count, neighbours)
    assert (0, count - 1) in pairs and {(k, k + 1) for k in range(count - 1)} <= pairs <= all_pairs(count)
    partners = [sum(k in pair for pair in pairs) for k in range(count)]
    assert len(set(partners)) == 1  # nobody is at an end


def test_order_tells_only_where_neighbours_agree() -> None:
    rng = np.random.default_rng(0)
    near = np.abs(np.arange(40)[:, None] - np.arange(40))
    agreement = np.where(near == 0, 0, np.maximum(60 - 12 * near, 2)).astype(np.int64)
    assert order_tells(agreement)
    mixed = rng.permutation(40)
    shuffled = agreement[np.ix_(mixed, mixed)]
    assert not order_tells(shuffled)
    pairs = likely_pairs(shuffled, 6)
    assert all(shuffled[i, j] >= 12 for i, j in pairs) and len({k for pair in pairs for k in pair}) == 40


def test_groups_are_what_inliers_join() -> None:
    inliers = {(1, 2): 40, (2, 3): 20, (3, 4): 5, (4, 5): 90}
    assert connected(inliers, [1, 2, 3, 4, 5, 6], 15) == [[1, 2, 3], [4, 5], [6]]


def test_one_lens_for_pictures_of_one_size_model_and_focal_length() -> None:
    def picture(size: tuple[int, int], **exif: object) -> tuple:
        return SourcePicture("a", Path("a"), size, exif=dict(exif)).lens

    assert picture((40, 30), focal_mm=4.2) == picture((40, 30), focal_mm=4.2)
    assert len({picture((40, 30)), picture((30, 40)), picture((40, 30), focal_mm=4.2)}) == 3
    wide = SourcePicture("a", Path("a"), (4000, 3000), exif={"focal_35mm": 26.0})
    assert focal_from_exif(wide) == pytest.approx(26 / 43.27 * 5000, rel=1e-3)


def test_up_is_the_tables_and_orientation_of_the_pictures_counts() -> None:
    rng = np.random.default_rng(0)
    poses = sfm_scene.around(8)
    table = np.c_[rng.uniform(-0.5, 0.5, (300, 2)), rng.normal(0, 0.001, 300)]
    thing = rng.uniform([-0.1, -0.1, 0], [0.1, 0.1, 0.3], (400, 3))
    names = {f"{k}": pose for k, pose in enumerate(poses)}
    found = find_upright(names, np.concatenate([table, thing]), {})
    assert found.up_from == "points" and found.up[2] > 0.9999 and found.plane is not None
    assert abs(found.plane[3]) < 0.002
    without = find_upright(names, thing[:30], {})
    assert without.plane is None and without.up_from == "cameras" and without.up[2] > 0.999
