"""Bodies between two postures: joints turn along the shortest way, the pelvis goes along, feet stay down.

A key is a posture brought to rest somewhere in the room. Letters: R turns the whole body into the world, p is
where its pelvis (the root joint) is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from falldet.synthetic.postures import Posture, draw_posture
from falldet.synthetic.resting import SINK_M, at_rest, on_feet
from suite.body import BodyPose, ShapedBody

RNG = np.random.Generator


@dataclass(frozen=True, eq=False)
class Key:
    """A body in the room. ``grounded`` where its lowest point is on the floor, as ``low_m`` says."""

    kind: str
    fallen: bool
    pose: BodyPose
    R: Float[np.ndarray, "3 3"]
    p: Float[np.ndarray, " 3"]
    low_m: float | int = 0.0
    grounded: bool = True

    def moved(self, x_m: float | int, y_m: float | int, yaw_rad: float | int = 0.0) -> Key:
        """Turned about the room's z axis, then moved."""
        turn = about_z(yaw_rad)
        return replace(self, R=turn @ self.R, p=turn @ self.p + (x_m, y_m, 0.0))


def vertices_of(body: ShapedBody, key: Key) -> Float[np.ndarray, "n 3"]:
    """The bare body in the room."""
    root = body.joints[0].astype(np.float64)
    posed = body.posed_vertices([key.pose])[0].astype(np.float64) - root
    vertices = posed @ key.R.T + key.p
    low = float(vertices[:, 2].min())
    if key.grounded or low < key.low_m:
        vertices[:, 2] += key.low_m - low
    return vertices


def draw_key(body: ShapedBody, kind: str, rng: RNG) -> Key:
    """A posture of this kind, its middle over the origin, looking along -y, on its feet or laid down."""
    posture = draw_posture(kind, body, rng)
    if posture.bearing in ("feet", "seat"):
        pose, root = on_feet(body, posture.pose, posture.root, balanced=posture.bearing == "feet")
        return _centred(body, posture, pose, root, 0.0)
    vertices = body.posed_vertices([posture.pose])[0].astype(np.float64) @ posture.root.T
    rest = at_rest(vertices, body.body.faces) if posture.bearing in ("floor", "bed") else np.eye(3)
    return _centred(body, posture, posture.pose, rest @ posture.root, -SINK_M)


def _centred(body: ShapedBody, posture: Posture, pose: BodyPose, R: np.ndarray, low_m: float | int) -> Key:
    root = body.joints[0].astype(np.float64)
    around = (body.posed_vertices([pose])[0].astype(np.float64) - root) @ R.T
    p = -np.array([*around[:, :2].mean(axis=0), around[:, 2].min() - low_m])
    return Key(posture.kind, posture.fallen, pose, R, p, low_m)


def between(a: Key, b: Key, share: float | int) -> Key:
    """The body on its way from ``a`` (0) to ``b`` (1)."""
    names = tuple(dict.fromkeys((*a.pose.turns_deg, *b.pose.turns_deg)))
    first, second = (
        Rotation.from_rotvec([k.pose.turns_deg.get(name, (0.0, 0.0, 0.0)) for name in names], degrees=True)
        for k in (a, b)
    )
    turns = (first * _part(first.inv() * second, share)).as_rotvec(degrees=True)
    pose = BodyPose({name: _triple(turn) for name, turn in zip(names, turns, strict=True)})
    R_a, R_b = Rotation.from_matrix(a.R), Rotation.from_matrix(b.R)
    R = (R_a * _part(R_a.inv() * R_b, share)).as_matrix()
    low_m = (1 - share) * (a.low_m if a.grounded else 0) + share * (b.low_m if b.grounded else 0)
    p, grounded = (1 - share) * a.p + share * b.p, a.grounded and b.grounded
    now = a if share < 0.5 else b
    return Key(now.kind, now.fallen, pose, R, p, low_m, grounded)


def mirrored(key: Key) -> Key:
    """Left and right exchanged, for a body that looks along -y."""
    swap = str.maketrans("LR", "RL")
    turns = {
        (name[:-1] + name[-1].translate(swap) if name.endswith((".L", ".R")) else name): (x, -y, -z)
        for name, (x, y, z) in key.pose.turns_deg.items()
    }
    M = np.diag([-1.0, 1.0, 1.0])
    return replace(key, pose=BodyPose(turns), R=M @ key.R @ M, p=M @ key.p)


def stirred(key: Key, rng: RNG, by_deg: float | int = 3.0) -> Key:
    """The same with its limbs a little elsewhere: nobody holds still."""
    turns = {name: np.asarray(turn) + rng.normal(0, by_deg, 3) for name, turn in key.pose.turns_deg.items()}
    return replace(key, pose=BodyPose({name: _triple(turn) for name, turn in turns.items()}))


def with_upper_body(key: Key, turns_deg: Mapping[str, tuple]) -> Key:
    """Legs and feet as they are, all else as in ``turns_deg``."""
    legs = {name: turn for name, turn in key.pose.turns_deg.items() if "leg" in name or "foot" in name}
    return replace(key, pose=BodyPose({**turns_deg, **legs}))


def about_z(angle_rad: float | int) -> np.ndarray:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _part(turn: Rotation, share: float | int) -> Rotation:
    return Rotation.from_rotvec(turn.as_rotvec() * share)


def _triple(turn: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(angle) for angle in turn)
    return x, y, z
