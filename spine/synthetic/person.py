"""Who a simulated person is, before anything bends: a parametric body of some age, sex and build, with a
finer skin over the back, standing upright with the arms down.

The frame is the body frame with its origin on the skin level with the posterior superior iliac spines: x
right, y up, z posterior, mm.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from spine.synthetic.config import SubjectConfig
from spine.synthetic.random_curves import draw
from suite.body import Body, BodyPose, BodyShape, ShapedBody, load_body
from suite.body.parts import PART_NAMES, parts_of_bones
from suite.body.subdivision import FinerSkin, finer_skin
from suite.geometry.mesh import Mesh
from suite.geometry.raycasting import RayMesh
from suite.geometry.rotations import so3_exp, so3_log

BODY_FROM_MODEL = np.array([[-1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
"""From a body model's axes (x left, y back, z up) to those of the body frame."""
_AGE_YEARS = (1.0, 7.0, 10.0, 13.0, 16.0, 19.0, 90.0)
_AGE_FIGURE = ((0.0, 0.29, 0.36, 0.5, 0.63, 0.667, 1.0), (0.0, 0.32, 0.44, 0.6, 0.65, 0.667, 1.0))
"""Figures at which the free body is as tall as boys and girls of these ages: it grows evenly until 25."""
_ARMS = ("upper_arm", "forearm", "hand")
_ABREAST_MM = (0.5, 2.0, 5.0)
"""A vertex so near to the plane of symmetry lies on the mid-line: the first width that finds enough."""
_LEAST_MIDLINE = 60


@dataclass(frozen=True, eq=False)
class BackSkin:
    """What all people of one body model share: the finer skin over the back, and what belongs to what.

    part: place in PART_NAMES of each vertex; arms: share of the (left, right) arm in its movement; backwards:
    how far it looks backwards, 0 ... 1; midline: vertices along the middle of the back, from below upwards.
    """

    finer: FinerSkin
    part: Int[np.ndarray, " n"]
    arms: Float[np.ndarray, "n 2"]
    backwards: Float[np.ndarray, " n"]
    midline: Int[np.ndarray, " k"]


@dataclass(frozen=True, eq=False)
class RestingPerson:
    """A person upright, with the spine that the model has.

    midline_mm: y and z along the middle of the back, y rising; shoulders_mm: left, right.
    """

    shape: BodyShape
    age_years: float
    skin: BackSkin
    vertices_mm: Float[np.ndarray, "n 3"]
    trunk_mm: float
    stature_mm: float
    midline_mm: Float[np.ndarray, "k 2"]
    shoulders_mm: Float[np.ndarray, "2 3"]


def draw_person(rng: np.random.Generator, config: SubjectConfig) -> RestingPerson:
    """A random person at rest."""
    body = load_body(config.body)
    young = rng.uniform() < config.adolescent_share
    age = rng.uniform(*(config.adolescent_years if young else config.age_years))
    female = rng.uniform() < config.female_share
    shape = BodyShape(
        gender=_figure(float(female), rng, 0.08),
        age=float(np.interp(age, _AGE_YEARS, _AGE_FIGURE[female])),
        muscle=_within(draw(rng, config.body_muscle)),
        weight=_within(draw(rng, config.body_weight)),
        height=_within(draw(rng, config.body_height)),
        proportions=_within(draw(rng, config.body_proportions)),
    )
    return resting(body, shape, _arm_pose(rng, config), age)


def resting(body: Body, shape: BodyShape, arms: ArmPose, age_years: float = 30.0) -> RestingPerson:
    """The person of this shape with the arms like this."""
    skin, person = back_skin(body), body.shaped(shape)
    pose = arms.pose(person)
    coarse = 1000.0 * person.posed_vertices([pose])[0] @ BODY_FROM_MODEL.T
    joints = 1000.0 * person.posed_joints(pose) @ BODY_FROM_MODEL.T
    fine = skin.finer(coarse.astype(np.float64))
    marks = {
        name: (1 - share) * coarse[i] + share * coarse[j] for name, (i, j, share) in body.landmarks.items()
    }
    y = fine[skin.midline, 1]
    order = np.argsort(y, kind="stable")
    along = fine[skin.midline[order]][:, 1:]
    along = along[np.append(True, np.diff(np.maximum.accumulate(along[:, 0])) > 0.1)]
    sacrale = float(marks["sacrale"][1])
    origin = np.array([0.0, sacrale, np.interp(sacrale, along[:, 0], along[:, 1])])
    shoulders = [body.bones.index(f"upperarm01.{side}") for side in "LR"]
    return RestingPerson(
        shape=shape,
        age_years=float(age_years),
        skin=skin,
        vertices_mm=fine - origin,
        trunk_mm=float(marks["cervicale"][1] - sacrale),
        stature_mm=float(np.ptp(coarse[:, 1])),
        midline_mm=along - origin[1:],
        shoulders_mm=joints[shoulders] - origin,
    )


@dataclass(frozen=True)
class ArmPose:
    """How far each arm (left, right) stands off the vertical to its side, is raised forwards, and is bent."""

    aside_deg: tuple[float, float] = (12.0, 12.0)
    forwards_deg: tuple[float, float] = (0.0, 0.0)
    elbow_deg: tuple[float, float] = (10.0, 10.0)
    dropped_deg: float = 6.0
    """How far the shoulders hang: models are built with the arms lifted."""

    def pose(self, person: ShapedBody) -> BodyPose:
        """Turns of the bones that bring it about on this person."""
        bones, joints, turns = person.body.bones, person.joints, {}
        for k, side in enumerate("LR"):
            upper, lower = (joints[bones.index(f"{bone}.{side}")] for bone in ("upperarm01", "lowerarm01"))
            now = np.degrees(np.arctan2(abs(lower[0] - upper[0]), upper[2] - lower[2]))
            sign = (1.0, -1.0)[k]
            down = so3_exp(np.radians([0.0, sign * (now - self.aside_deg[k] - self.dropped_deg), 0.0]))
            up = so3_exp(np.radians([-self.forwards_deg[k], 0.0, 0.0]))
            turns[f"clavicle.{side}"] = (0.0, sign * self.dropped_deg, 0.0)
            turns[f"upperarm01.{side}"] = tuple(np.degrees(so3_log(up @ down)).tolist())
            turns[f"lowerarm01.{side}"] = (-self.elbow_deg[k], 0.0, 0.0)
        return BodyPose(turns)


def _arm_pose(rng: np.random.Generator, config: SubjectConfig) -> ArmPose:
    """Hanging beside the trunk, or raised forwards where a viewer behind does not see them."""
    aside = tuple((rng.uniform(4, 17) + rng.normal(size=2) * 2).tolist())
    if rng.uniform() < config.arm_share:
        forwards = tuple(rng.uniform(-6, 12, 2).tolist())
    else:
        forwards = tuple((rng.uniform(35, 60) + rng.normal(size=2) * 4).tolist())
    return ArmPose(aside, forwards, tuple(rng.uniform(-5, 15, 2).tolist()), rng.uniform(2, 9))


@functools.lru_cache(maxsize=4)
def back_skin(body: Body) -> BackSkin:
    """Faces around the back once, those that make the back twice subdivided."""
    at_rest = 1000.0 * body.shaped(BodyShape()).vertices.astype(np.float64) @ BODY_FROM_MODEL.T
    mesh = Mesh(at_rest, body.faces)
    normals, centre = mesh.face_normals(), at_rest[body.faces].mean(1)
    y = {name: (1 - s) * at_rest[i, 1] + s * at_rest[j, 1] for name, (i, j, s) in body.landmarks.items()}
    trunk = y["cervicale"] - y["sacrale"]
    u, aside = (centre[:, 1] - y["sacrale"]) / trunk, np.abs(centre[:, 0]) / trunk
    near = body.part("trunk", "hips", "neck", "thigh", "upper_arm", "hair")[body.faces].any(axis=1)
    once = near & (u > -0.38) & (u < 1.22) & (aside < 0.58) & (normals[:, 2] > -0.5)
    twice = once & (u > -0.25) & (u < 1.14) & (aside < 0.48) & (normals[:, 2] > -0.1)
    finer = finer_skin(len(at_rest), body.faces, [once, twice])
    fine = finer(at_rest)
    of_bone = parts_of_bones(body.bones)
    arm_bones = np.isin(of_bone, [PART_NAMES.index(name) for name in _ARMS])
    arms = [
        body.weights[:, arm_bones & np.array([b.endswith(side) for b in body.bones])].sum(1)
        for side in (".L", ".R")
    ]
    parts = np.eye(len(PART_NAMES))[body.parts]
    looks = Mesh(fine, finer.faces).vertex_normals()[:, 2]
    return BackSkin(
        finer=finer,
        part=np.asarray(finer(parts).argmax(axis=1)),
        arms=finer(np.stack(arms, axis=1)),
        backwards=_smooth_step((looks - 0.05) / 0.4),
        midline=_midline(fine, finer.faces, y["sacrale"], trunk),
    )


def _midline(
    vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"], base_y: float, trunk: float
) -> Int[np.ndarray, " k"]:
    """Vertices in the plane of symmetry that are seen from behind, from the buttocks to the skull."""
    u = (vertices[:, 1] - base_y) / trunk
    back = (u > -0.3) & (u < 1.3)
    near = [np.flatnonzero(back & (np.abs(vertices[:, 0]) < width)) for width in _ABREAST_MM]
    middle = next((found for found in near if len(found) > _LEAST_MIDLINE), near[-1])
    start = vertices[middle] + [0.0, 0.0, 2000.0]
    hit = RayMesh(vertices, faces).cast(start, np.array([0.0, 0.0, -1.0])).distance
    seen: Bool[np.ndarray, " k"] = np.abs(hit - 2000.0) < 1.5
    chosen = middle[seen]
    return chosen[np.argsort(vertices[chosen, 1])]


def _smooth_step(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _figure(value: float, rng: np.random.Generator, sd: float) -> float:
    return float(np.clip(value + sd * rng.normal(), 0, 1))


def _within(value: float) -> float:
    return float(np.clip(value, 0.02, 0.98))
