"""Simulated people: their truth is exact, their spines and skins vary as people's do."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from spine.anatomy import BASE_POINT_IN_S1_MM, LEVELS, VERTEBRAE
from spine.chain import forward_kinematics
from spine.measure.angles import C7, L5, S1, T1, coronal_tilt_deg
from spine.synthetic import SimulatedSubject, SubjectConfig, simulate_subject
from spine.synthetic.config import CurveShares
from spine.synthetic.skin_line import backwards

N = 60
AT_U = np.array([0.12, 0.30, 0.45, 0.60, 0.75, 0.88, 0.97])
OFFSETS_MM = np.array([8.0, 16, 24, 40, 60, 80])
# Height of the skin beside the spinous line over that on it (mm at a trunk of 420 mm): medians of real backs.
REAL_EVEN_MM = np.array([
    (0.6, 1.7, 2.7, 3.3, 1.0, -2.3), (1.1, 3.6, 5.4, 7.1, 4.8, -1.9), (0.7, 2.2, 4.2, 7.5, 6.9, 3.0),
    (0.5, 1.6, 2.8, 5.9, 7.0, 6.9), (0.3, 1.0, 2.0, 4.8, 9.7, 10.4), (0.2, 0.6, 1.5, 3.9, 7.2, 6.5),
    (-0.1, -0.5, -1.4, -1.7, -3.7, -11.5),
])  # fmt: skip
REAL_EVEN_SD_MM = np.array([0.5, 1.5, 2.3, 3.5, 5.0, 8.0])


@pytest.fixture(scope="module")
def people() -> list[SimulatedSubject]:
    return [simulate_subject(seed) for seed in range(500, 500 + N)]


def sections(s: SimulatedSubject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Even and odd part of cross-sections, and the line off the chord VP to base (mm at 420 mm)."""
    scale = s.trunk_length_mm / 420
    y = AT_U * s.vp_mm[1]
    x = np.interp(y, s.line_mm[:, 1], s.line_mm[:, 0])
    right, left = (s.skin.sample(x[:, None] + side * OFFSETS_MM * scale, y[:, None]) for side in (1, -1))
    on_line = s.skin.sample(x, y)[:, None]
    return ((right + left) / 2 - on_line) / scale, (right - left) / 2 / scale, (x - s.vp_mm[0] * AT_U) / scale


def test_same_seed_same_person_and_another_seed_another() -> None:
    a, b, c = simulate_subject(3), simulate_subject(3), simulate_subject(4)
    assert np.array_equal(a.skin.z_mm, b.skin.z_mm) and np.array_equal(a.T_body_vertebra, b.T_body_vertebra)
    assert a.skin.z_mm.shape != c.skin.z_mm.shape or not np.allclose(a.skin.z_mm, c.skin.z_mm)


def test_frames_are_those_of_template_and_pose(people: list[SimulatedSubject]) -> None:
    for s in people[:10]:
        assert np.array_equal(forward_kinematics(s.template, s.pose), s.T_body_vertebra)


def test_skin_passes_through_every_skin_point(people: list[SimulatedSubject]) -> None:
    for s in people:
        p = s.skin_points_mm[C7:]
        assert np.abs(s.skin.sample(p[:, 0], p[:, 1]) - p[:, 2]).max() < 0.2
        x = np.interp(p[1:-1, 1], s.line_mm[:, 1], s.line_mm[:, 0])
        assert np.abs(x - p[1:-1, 0]).max() < 0.2
        assert np.abs(s.skin.sample(s.line_mm[:, 0], s.line_mm[:, 1]) - s.line_mm[:, 2]).max() < 0.2


def test_skin_points_stand_off_the_centres_by_the_stated_distance(people: list[SimulatedSubject]) -> None:
    for s in people[:10]:
        arm = s.skin_points_mm - s.T_body_vertebra[:, :3, 3]
        assert np.allclose(np.linalg.norm(arm, axis=1), s.skin_to_centre_mm)
        assert np.allclose(arm[:, 1], 0)
        azimuth = np.degrees(np.arctan2(arm[:, 0], arm[:, 2]))
        assert np.allclose(azimuth, s.axial_rotation_deg)


def test_along_the_axis_too() -> None:
    config = SubjectConfig(skin_direction="axis")
    for seed in range(8):
        s = simulate_subject(seed, config)
        p = s.skin_points_mm[C7:S1]
        assert np.abs(s.skin.sample(p[:, 0], p[:, 1]) - p[:, 2]).max() < 0.2
        arm = s.skin_points_mm - s.T_body_vertebra[:, :3, 3]
        assert np.allclose(arm, s.skin_to_centre_mm[:, None] * backwards(s.T_body_vertebra, "axis"))


def test_landmarks_lie_over_their_bones(people: list[SimulatedSubject]) -> None:
    for s in people[:10]:
        tip = s.T_body_vertebra[C7] @ np.append(s.template.size * VERTEBRAE["C7"].spinous_tip, 1)
        crest = s.T_body_vertebra[S1] @ np.append(s.template.size * BASE_POINT_IN_S1_MM, 1)
        assert s.vp_mm[1] == pytest.approx(tip[1]) and abs(crest[1]) < 1e-6
        assert np.allclose(s.base_mm, 0, atol=1e-9)
        assert 0 < s.vp_mm[2] - tip[2] < 30 and -50 < crest[2] < -2  # some flesh over the bone
        left, right = s.dimples_mm
        assert 60 < right[0] - left[0] < 110 and np.abs(s.dimples_mm[:, 1]).max() < 12
        apart = np.abs(s.markers_mm[:, 0] - np.interp(s.markers_mm[:, 1], s.line_mm[:, 1], s.line_mm[:, 0]))
        assert (apart > 13).all()


def test_a_mirrored_person_is_a_person(people: list[SimulatedSubject]) -> None:
    s = next(p for p in people if p.cobb_deg > 25)
    m = s.mirrored()
    assert np.allclose(forward_kinematics(m.template, m.pose), m.T_body_vertebra, atol=1e-9)
    assert m.cobb_deg == pytest.approx(s.cobb_deg)
    assert np.allclose(m.axial_rotation_deg, -s.axial_rotation_deg)
    p = m.skin_points_mm[C7:]
    assert np.abs(m.skin.sample(p[:, 0], p[:, 1]) - p[:, 2]).max() < 0.2
    assert np.array_equal(m.mirrored().skin.z_mm, s.skin.z_mm)
    assert np.allclose(m.mirrored().pose.to_vector(), s.pose.to_vector())


def test_curves_are_many_mild_few_severe_and_end_upright(people: list[SimulatedSubject]) -> None:
    cobb = np.array([s.cobb_deg for s in people])
    assert cobb.max() < 65 and np.median(cobb) < 25 and (cobb < 10).mean() > 0.15 and (cobb > 30).mean() > 0.1
    assert {s.curve_type for s in people} == set(CurveShares.model_fields)
    over = np.array([s.vp_mm for s in people])
    assert 4 < over[:, 0].std() < 15
    tilt = np.array([coronal_tilt_deg(s.T_body_vertebra) for s in people])
    assert tilt[:, S1].std() < 3 and tilt[:, T1].std() < 6


def test_straight_people_are_straight() -> None:
    none = dict.fromkeys(CurveShares.model_fields, 0.0)
    config = SubjectConfig(curves=CurveShares(**(none | {"straight": 1.0})))
    assert max(simulate_subject(seed, config).cobb_deg for seed in range(12)) < 13


def test_spinous_processes_turn_to_the_concave_side(people: list[SimulatedSubject]) -> None:
    share = []
    for s in people:
        if s.cobb_deg < 20:
            continue
        c = s.T_body_vertebra[:, :3, 3]
        chord = c[S1, 0] + (c[C7, 0] - c[S1, 0]) * (c[:, 1] - c[S1, 1]) / (c[C7, 1] - c[S1, 1])
        deviation = (c[:, 0] - chord)[T1 : L5 + 1]
        apex = np.abs(deviation).argmax()
        assert deviation[apex] * s.axial_rotation_deg[T1 + apex] < 0
        line = s.skin_points_mm[T1 : L5 + 1, 0] - chord[T1 : L5 + 1]
        share.append((line * deviation).sum() / (deviation**2).sum())
    assert len(share) > 12
    assert 0.35 < np.median(share) < 0.7  # the line of spinous processes shows about half of the curve


def test_sagittal_curves_and_depths_vary_as_in_people(people: list[SimulatedSubject]) -> None:
    kyphosis, lordosis = np.array([(s.kyphosis_deg, s.lordosis_deg) for s in people]).T
    assert 30 < np.median(kyphosis) < 46 and 8 < kyphosis.std() < 17
    assert 48 < np.median(lordosis) < 60 and 7 < lordosis.std() < 14
    ratio = [
        s.skin_to_centre_mm[LEVELS.index("T8")]
        / (0.14 * s.trunk_length_mm + 0.063 * (s.vp_mm[1] - s.T_body_vertebra[LEVELS.index("T8"), 1, 3]))
        for s in people
    ]
    assert abs(np.mean(ratio) - 1) < 0.06 and 0.06 < np.std(ratio) < 0.15


def test_cross_sections_lie_where_those_of_real_backs_do(people: list[SimulatedSubject]) -> None:
    even, odd, deviation = (np.array(part) for part in zip(*map(sections, people), strict=True))
    # At the root of the neck (last height) simulated backs fall away faster to the sides.
    even, real = even[:, :-1], REAL_EVEN_MM[:-1]
    distance = np.abs(np.median(even, axis=0) - real) / REAL_EVEN_SD_MM
    assert distance.max() < 1.0 and distance.mean() < 0.35
    assert (even.std(0) > 0.25 * REAL_EVEN_SD_MM).all() and (even.std(0) < 1.6 * REAL_EVEN_SD_MM).all()
    middle = slice(1, 5)
    assert (odd[:, middle].std(0) > np.array([0.5, 0.9, 1.3, 1.9, 2.2, 2.5])).all()
    slope = (odd * deviation[..., None]).sum(0) / (deviation**2).sum(0)[:, None]
    assert (slope[3] > 0).all()  # u = .6: the convex side is high
    assert 4 < deviation[:, 3].std() < 14


def test_neighbouring_rows_differ_smoothly(people: list[SimulatedSubject]) -> None:
    """No kinks across the back: along y the skin bends gently, but for markers and the trunk's edge."""
    for s in people[:20]:
        if len(s.markers_mm):
            continue
        x, y = np.meshgrid(s.skin.x_mm, s.skin.y_mm)
        inner = (
            (np.abs(x - np.interp(y, s.line_mm[:, 1], s.line_mm[:, 0])) < 60)
            & (y > 0)
            & (y < 0.9 * s.vp_mm[1])
        )
        bend = np.abs(np.diff(s.skin.z_mm, 2, axis=0))[inner[1:-1]]
        assert bend.max() < 0.35  # mm over 2 mm: a radius of more than 11 mm


def test_mesh_is_the_seen_skin(people: list[SimulatedSubject]) -> None:
    s = people[0]
    mesh = s.mesh()
    assert (mesh.face_normals()[:, 2] > 0).all()
    on_map = s.skin.sample(mesh.vertices[:, 0], mesh.vertices[:, 1])
    assert np.allclose(on_map, mesh.vertices[:, 2])
    assert 0.9 * s.skin.observed.sum() < len(mesh.vertices) <= s.skin.observed.sum()


def test_ranges_are_checked() -> None:
    with pytest.raises(ValidationError, match="lies above the upper end"):
        SubjectConfig(furrow=(2.0, 1.0))
    with pytest.raises(ValidationError, match="is negative"):
        SubjectConfig(kyphosis_deg=(40.0, -1.0))
