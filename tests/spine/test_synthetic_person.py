"""Bodies under simulated backs: people of all ages and builds, bent by the spine and by nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from spine.chain import SpinePose, forward_kinematics, standing_template
from spine.synthetic import SimulatedSubject, SubjectConfig, simulate_subject
from spine.synthetic.appearance import draw_appearance
from spine.synthetic.config import CurveShares
from spine.synthetic.person import ArmPose, RestingPerson, resting
from spine.synthetic.posture import Posture
from spine.synthetic.skin_line import lay_skin_line
from spine.synthetic.trunk import bent, trunk_course
from suite.body import BodyShape, load_body
from suite.body.parts import PART_NAMES
from suite.geometry.mesh import Mesh

CHILD = {"adolescent_share": 1.0, "adolescent_years": (7.0, 8.0)}
GROWN_UP = {"adolescent_share": 0.0, "age_years": (25.0, 60.0)}


def girth_mm(subject: SimulatedSubject) -> float:
    """Width of the seen trunk at the waist over the length of the trunk, in mm at 420 mm."""
    v, part = subject.body.vertices_mm, subject.body.part
    trunk = np.isin(part, [PART_NAMES.index(name) for name in ("trunk", "hips")])
    waist = trunk & (np.abs(v[:, 1] / subject.trunk_length_mm - 0.3) < 0.03)
    return float(np.ptp(v[waist, 0]) * 420 / subject.trunk_length_mm)


def test_children_are_small_and_the_heavy_are_broad() -> None:
    child = [simulate_subject(s, SubjectConfig(**CHILD)) for s in range(3)]
    grown = [simulate_subject(s, SubjectConfig(**GROWN_UP)) for s in range(3)]
    assert max(p.person.stature_mm for p in child) < 1400 < 1500 < min(p.person.stature_mm for p in grown)
    assert max(p.trunk_length_mm for p in child) < 370 < min(p.trunk_length_mm for p in grown)
    thin, heavy = (
        np.mean(
            [girth_mm(simulate_subject(s, SubjectConfig(body_weight=(w, 0.0), **GROWN_UP))) for s in (4, 5)]
        )
        for w in (0.05, 0.95)
    )
    assert heavy > 1.15 * thin and 180 < thin < heavy < 420


def test_the_trunk_is_as_long_as_that_of_people_of_this_stature() -> None:
    people = [simulate_subject(s, SubjectConfig(**GROWN_UP)) for s in range(10, 18)]
    share = [p.trunk_length_mm / p.person.stature_mm for p in people]
    assert (
        0.25 < np.median(share) < 0.29
    )  # `spine.anatomy.TRUNK_PER_STATURE` .274, scoliotic ones a little shorter


def test_the_skin_is_closed_and_bends_without_folding() -> None:
    for seed in (21, 22):
        subject = simulate_subject(seed, SubjectConfig(marker_share=0.0, cobb_max_deg=70.0))
        mesh = Mesh(subject.body.vertices_mm, subject.body.faces)
        assert mesh.is_watertight()
        litres = mesh.volume() / 1e6
        assert 15 < litres < 150
        back = (subject.body.part == 0)[mesh.faces].all(1) & (mesh.vertices[mesh.faces].mean(1)[:, 2] > -60)
        assert (mesh.face_normals()[back, 2] > -0.3).mean() > 0.97


def straight(person: RestingPerson) -> Posture:
    template = standing_template(trunk_length_mm=person.trunk_mm)
    pose = SpinePose()
    return Posture(template, pose, forward_kinematics(template, pose), "straight")


def person_at_rest() -> RestingPerson:
    return resting(load_body(), BodyShape(gender=1.0, age=0.6), ArmPose())


def test_a_straight_spine_leaves_a_body_symmetric_and_its_flanks_where_they_were() -> None:
    person = person_at_rest()
    config = SubjectConfig(trunk_tilts_with_spine=(0.0, 0.0))
    rng = np.random.default_rng(1)
    posture = straight(person)
    line = lay_skin_line(rng, config, posture)
    assert line is not None
    line = line.moved(-line.base_mm)
    along = trunk_course(rng, config, person, posture, line)
    vertices = bent(rng, config, person, along)
    middle = person.skin.midline
    inside = (vertices[middle, 1] > 0) & (vertices[middle, 1] < along.trunk_mm)
    on_line = line.at(vertices[middle[inside], 1])
    np.testing.assert_allclose(vertices[middle[inside]], on_line, atol=0.6)
    assert np.abs(vertices[:, 0] - person.vertices_mm[:, 0]).max() < 14  # random sway of the outline


def test_a_line_that_bends_carries_the_skin_over_it_all_the_way_and_the_flanks_in_part() -> None:
    none = dict.fromkeys(CurveShares.model_fields, 0.0)
    config = SubjectConfig(
        curves=CurveShares(**(none | {"thoracic": 1.0})), trunk_follows_spine=(0.4, 0.4), marker_share=0.0,
        cobb_max_deg=70.0,
    )  # fmt: skip
    subject = next(s for s in (simulate_subject(k, config) for k in range(30, 60)) if s.cobb_deg > 35)
    line = subject.line_mm
    off = line[:, 0] - subject.vp_mm[0] * line[:, 1] / subject.vp_mm[1]
    at = np.abs(off).argmax()
    y, apex = line[at, 1], subject.body.vertices_mm
    trunk = np.isin(subject.body.part, [PART_NAMES.index("trunk"), PART_NAMES.index("hips")])
    near = trunk & (np.abs(apex[:, 1] - y) < 12)
    outline = (apex[near, 0].max() + apex[near, 0].min()) / 2 - subject.vp_mm[0] * y / subject.vp_mm[1]
    assert abs(off[at]) > 8
    assert abs(outline) < abs(off[at])  # the outline shifts less than the line


def test_arms_hang_or_are_raised_as_asked() -> None:
    body = load_body()
    hang, raised = (
        resting(body, BodyShape(), ArmPose(aside_deg=(a, a), forwards_deg=(f, f)))
        for a, f in ((10.0, 0.0), (10.0, 60.0))
    )
    hand = hang.skin.part == PART_NAMES.index("hand")
    assert hang.vertices_mm[hand, 1].mean() < 60 < raised.vertices_mm[hand, 1].mean() - 100
    assert raised.vertices_mm[hand, 2].mean() < hang.vertices_mm[hand, 2].mean() - 200  # before the body
    assert np.ptp(hang.vertices_mm[hand, 0]) < 900


def test_a_mirrored_person_is_mirrored_whole() -> None:
    subject = simulate_subject(23)
    other = subject.mirrored()
    flip = np.array([-1.0, 1.0, 1.0])
    np.testing.assert_array_equal(other.body.vertices_mm, subject.body.vertices_mm * flip)
    here, there = (Mesh(s.body.vertices_mm, s.body.faces).volume() for s in (subject, other))
    assert here == pytest.approx(there) and here > 0
    xy = np.stack([np.linspace(-60, 60, 9), np.linspace(20, 300, 9)], axis=1)
    a = subject.body.from_behind(xy).distance
    np.testing.assert_allclose(other.body.from_behind(xy * flip[:2]).distance, a, atol=0.01)


def test_colours_belong_to_the_person_not_to_the_shape() -> None:
    one, two = draw_appearance(3, 420.0), draw_appearance(3, 420.0)
    subject = simulate_subject(3)
    np.testing.assert_array_equal(one.albedo(subject.body), two.albedo(subject.body))
    assert (
        not np.array_equal(one.skin, draw_appearance(4, 420.0).skin)
        or one.hair_to_mm != draw_appearance(4, 420.0).hair_to_mm
    )
    albedo = one.albedo(subject.body)
    low = (subject.body.part == PART_NAMES.index("thigh")) & (subject.body.at_rest_mm[:, 1] < -150)
    assert np.abs(albedo[low].mean(0) - one.cloth).max() < 12
