"""Scores of surfaces on a cup whose errors are known, alignment by camera positions, and videos of turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerfrecon.evaluate_product import aligned, score_figures
from nerfrecon.scene import View
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.simulate.orbit import fitting_camera, ring_poses
from nerfrecon.simulate.subject import Subject
from nerfrecon.surface_score import score_surface
from nerfrecon.turntable import write_video
from suite.errors import BadInput
from suite.geometry.mesh import Mesh
from suite.geometry.rotations import so3_exp

SAMPLES = 2000
OUTER, INNER = [(0.0, 0.0), (0.4, 0.0), (0.4, 1.0)], [(0.35, 1.0), (0.35, 0.05), (0.0, 0.05)]


def turned(profile: list[tuple[float, float]], around: int = 48) -> Mesh:
    """The surface of revolution of (radius, height) about the y axis."""
    turns = 2 * np.pi * np.arange(around) / around
    rings = [np.stack([r * np.cos(turns), np.full(around, y), r * np.sin(turns)], 1) for r, y in profile]
    faces = []
    for ring in range(len(profile) - 1):
        for k in range(around):
            a, b = ring * around + k, ring * around + (k + 1) % around
            faces += [(a, a + around, b + around), (a, b + around, b)]
    vertices, faces = np.concatenate(rings), np.array(faces)
    corners = vertices[faces]
    whole = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) > 0
    return Mesh(vertices, faces[whole])


def subject(mesh: Mesh) -> Subject:
    return Subject(mesh.vertices, mesh.faces, np.repeat(mesh.face_normals()[:, None], 3, axis=1))


CUP = turned(OUTER + INNER)
LIDDED = turned([*OUTER, (0.0, 1.0)])


def views() -> list[View]:
    """From all around, into the cup and from below."""
    poses = ring_poses(np.array([0, 0.5, 0]), 3.0, 24, -60.0, 80.0, 4)
    camera = LensCamera(fitting_camera(100, 3.0, 0.7))
    return [View(f"{k}.png", Path(f"{k}.png"), camera, pose) for k, pose in enumerate(poses)]


def test_a_surface_agrees_with_itself():
    score = score_surface(CUP, subject(CUP), views(), SAMPLES)
    assert score.f_score == [1.0, 1.0] and score.interior_f_score == [1.0, 1.0]
    assert score.accuracy < 1e-6 and score.completeness < 1e-6 and score.normal_consistency > 0.999


def test_distances_are_those_of_the_diagonal():
    diagonal = float(np.linalg.norm([0.8, 1.0, 0.8]))
    grown = turned([(r + 0.007 * diagonal * (r > 0), y) for r, y in OUTER] + INNER)
    score = score_surface(grown, subject(CUP), views(), SAMPLES)
    assert score.precision[1] == score.recall[1] == 1.0
    assert score.precision[0] < 0.75 and score.recall[0] < 0.75
    assert 0.1 * 0.007 < score.accuracy / diagonal < 0.007


def test_a_closed_opening_costs_the_interior_and_not_the_pictures():
    score = score_surface(LIDDED, subject(CUP), views(), SAMPLES)
    assert score.interior_recall[1] < 0.15 and score.interior_f_score[1] < 0.15
    assert score.f_score[1] > 0.5
    assert score_figures(score)["interior_f_1"] == score.interior_f_score[1]
    plain = score_surface(LIDDED, subject(LIDDED), views(), SAMPLES)
    assert plain.interior_f_score == [] and "interior_f_1" not in score_figures(plain)


def test_what_no_view_sees_is_not_asked_for():
    above = [view for view in views() if view.position[1] > 1.2]
    without_bottom = Mesh(CUP.vertices, CUP.faces[CUP.vertices[CUP.faces][..., 1].max(1) > 0])
    seen = score_surface(without_bottom, subject(CUP), above, SAMPLES)
    every = score_surface(without_bottom, subject(CUP), views(), SAMPLES)
    assert seen.recall[1] > 0.99 and every.recall[1] < 0.95


@settings(max_examples=20)
@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6), st.floats(0.05, 20))
def test_alignment_finds_the_similarity(numbers, scale):
    T = np.eye(4)
    T[:3, :3] = scale * so3_exp(np.array(numbers[:3]))
    T[:3, 3] = numbers[3:]
    ours = views()
    moved = []
    for view in ours:
        pose = T @ view.T_world_camera
        pose[:3, :3] /= scale
        moved.append(View(view.name.replace("png", "jpg"), view.image_path, view.camera, pose))
    np.testing.assert_allclose(aligned(ours, moved[::-1], Path("poses")), T, atol=1e-6 * max(1, scale))
    with pytest.raises(BadInput, match="3 pictures have names"):
        aligned(ours[:3], moved, Path("poses"))


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_video_shows_its_pictures(tmp_path, suffix):
    import av

    pictures = [np.full((65, 81, 3), 10 * k, np.uint8) for k in range(12)]
    path = tmp_path / f"turn{suffix}"
    assert write_video(path, iter(pictures)) == 12
    with av.open(str(path)) as container:
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(found) == 12 and found[0].shape == (64, 80, 3)
    assert [abs(float(one.mean()) - 10 * k) < 6 for k, one in enumerate(found)] == [True] * 12


def test_videos_that_cannot_be_written_leave_nothing(tmp_path):
    with pytest.raises(BadInput, match=r"\.mp4 or \.webm"):
        write_video(tmp_path / "turn.gif", [])
    with pytest.raises(BadInput, match="no pictures"):
        write_video(tmp_path / "turn.mp4", [])
    assert not list(tmp_path.iterdir())
