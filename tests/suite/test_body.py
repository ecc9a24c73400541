"""Posed bodies: joints bend the way they say, skins stay closed, the model's own package agrees."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("anny")

from suite.body import Body, BodyPose, BodyShape, anny_cache, load_body
from suite.errors import BadInput
from suite.geometry.rotations import so3_exp

GROWN_UP = BodyShape(gender=0.3, age=0.75, weight=0.6)


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


def some_pose(body: Body, seed: int) -> BodyPose:
    rng = np.random.default_rng(seed)
    names = rng.choice(body.bones[1:], 12, replace=False)
    turns = rng.normal(0, 30, (12, 3)).tolist()
    return BodyPose({str(name): (x, y, z) for name, (x, y, z) in zip(names, turns, strict=True)})


@pytest.mark.parametrize("seed", range(3))
def test_skinning_agrees_with_the_package(body: Body, seed: int):
    anny, torch = pytest.importorskip("anny"), pytest.importorskip("torch")
    model = anny.Anny(skinning_method="lbs")
    shape = BodyShape(gender=0.9, age=0.5, muscle=0.2, weight=0.8, height=0.6, proportions=0.1)
    pose = some_pose(body, seed)
    turns = torch.eye(4, dtype=torch.float64).repeat(1, len(body.bones), 1, 1)
    for name, turn in pose.turns_deg.items():
        turns[0, body.bones.index(name), :3, :3] = torch.from_numpy(so3_exp(np.deg2rad(turn)))
    theirs = model(pose_parameters=turns, phenotype_kwargs=vars(shape))["vertices"][0].detach().numpy()
    ours = body.pose(shape, pose).vertices
    # Theirs puts the root joint at the origin, ours leaves it where it is at rest.
    np.testing.assert_allclose(ours - body.shaped(shape).joints[0], theirs, atol=2e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_skin_is_closed_and_looks_outwards(body: Body, seed: int):
    mesh = body.pose(GROWN_UP, some_pose(body, seed))
    assert mesh.is_watertight()
    at_rest = body.pose(GROWN_UP, BodyPose())
    assert 0.04 < at_rest.volume() < 0.13  # m3, as people weigh 40 to 130 kg
    # Most faces of the trunk look away from its axis.
    trunk = body.part("trunk")[body.faces].all(axis=1)
    centre = at_rest.vertices[body.part("trunk")].mean(axis=0)
    out = at_rest.vertices[body.faces[trunk]].mean(axis=1) - centre
    facing = np.einsum("ij,ij->i", at_rest.face_normals()[trunk][:, :2], out[:, :2])
    assert (facing > 0).mean() > 0.85


def joint(body: Body, pose: BodyPose, name: str) -> np.ndarray:
    return body.shaped(GROWN_UP).posed_joints(pose)[body.bones.index(name)]


@pytest.mark.parametrize("side", "LR")
def test_joints_bend_the_way_they_say(body: Body, side: str):
    rest = BodyPose()
    knee_bent = BodyPose({f"lowerleg01.{side}": (70, 0, 0)})
    assert (
        joint(body, knee_bent, f"foot.{side}")[1] > joint(body, rest, f"foot.{side}")[1] + 0.2
    )  # heel goes back
    assert joint(body, knee_bent, f"foot.{side}")[2] > joint(body, rest, f"foot.{side}")[2] + 0.1
    hip_bent = BodyPose({f"upperleg01.{side}": (-90, 0, 0)})
    assert joint(body, hip_bent, f"lowerleg01.{side}")[1] < joint(body, rest, f"lowerleg01.{side}")[1] - 0.25
    # With the thigh level, a bent knee hangs the foot below the knee: turns are carried along.
    seated = BodyPose({f"upperleg01.{side}": (-90, 0, 0), f"lowerleg01.{side}": (90, 0, 0)})
    knee, foot = joint(body, seated, f"lowerleg01.{side}"), joint(body, seated, f"foot.{side}")
    assert foot[2] < knee[2] - 0.3
    assert abs(foot[1] - knee[1]) < 0.12


def test_the_back_bends_forward(body: Body):
    bent = BodyPose({"spine03": (60, 0, 0)})
    assert joint(body, bent, "head")[1] < joint(body, BodyPose(), "head")[1] - 0.2


def test_left_is_positive_x_and_the_front_negative_y(body: Body):
    rest = body.shaped(GROWN_UP)
    assert joint(body, BodyPose(), "foot.L")[0] > 0.05 > -0.05 > joint(body, BodyPose(), "foot.R")[0]
    face, hair = rest.vertices[body.part("face")].mean(axis=0), rest.vertices[body.part("hair")].mean(axis=0)
    assert face[1] < hair[1] - 0.03
    assert face[2] < hair[2]


def test_turning_the_root_turns_everything_about_it(body: Body):
    person = body.shaped(GROWN_UP)
    turn = (20.0, -50.0, 110.0)
    R, hub = so3_exp(np.deg2rad(turn)), person.joints[0]
    turned = person.posed(BodyPose({"root": turn})).vertices
    resting = person.posed(BodyPose()).vertices
    np.testing.assert_allclose(turned, (resting - hub) @ R.T + hub, atol=2e-6)


def test_people_are_as_tall_and_heavy_as_people(body: Body):
    def height_m(**shape: float) -> float:
        vertices = body.shaped(BodyShape(**shape)).vertices
        return float(np.ptp(vertices[:, 2]))

    assert 1.5 < height_m(gender=1.0) < height_m(gender=0.0) < 1.9
    assert height_m(age=0.0) < 0.9 < height_m(age=1 / 3) < 1.45 < height_m(age=2 / 3)
    assert height_m(height=0.2) < height_m(height=0.5)
    thin, heavy = (body.pose(BodyShape(weight=w), BodyPose()).volume() for w in (0.1, 0.9))
    assert heavy > 1.15 * thin


def test_a_batch_is_its_members(body: Body):
    person = body.shaped(GROWN_UP)
    poses = [some_pose(body, seed) for seed in range(3)]
    for pose, vertices in zip(poses, person.posed_vertices(poses), strict=True):
        np.testing.assert_array_equal(person.posed(pose).vertices, vertices)


def test_every_part_is_there_and_where_it_belongs(body: Body):
    rest = body.shaped(GROWN_UP).vertices
    assert set(body.parts.tolist()) == set(range(len(body.part_names)))
    heights = {name: rest[body.part(name), 2].mean() for name in body.part_names}
    order = ["foot", "shank", "thigh", "hips", "trunk", "neck", "face", "hair"]
    assert [heights[name] for name in order] == sorted(heights[name] for name in order)
    assert np.abs(rest[body.part("hand"), 0]).min() > np.abs(rest[body.part("trunk"), 0]).mean()


def test_wrong_bones_and_shapes_are_said_in_one_line(body: Body):
    with pytest.raises(BadInput, match=r"no bone 'lowerleg01.l'; did you mean 'lowerleg01\.L'"):
        body.pose(GROWN_UP, BodyPose({"lowerleg01.l": (1, 0, 0)}))
    with pytest.raises(BadInput, match=r"weight is 1\.5"):
        BodyShape(weight=1.5)


def test_nothing_non_commercial_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    paths = pytest.importorskip("anny.paths")

    def refuse() -> None:
        raise AssertionError("asked for files of another licence")

    monkeypatch.setattr(paths, "download_noncommercial_data", refuse)
    monkeypatch.setattr(paths, "get_anny2smplx_data_path", refuse)
    monkeypatch.setattr(paths, "get_anny2smpl_data_path", refuse)
    assert len(anny_cache._computed()["faces"]) > 20_000
