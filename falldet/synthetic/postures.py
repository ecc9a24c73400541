"""What people do, as ranges of joint angles: each kind of posture draws the turns of bones.

Angles are degrees in the axes of `suite.body.model` (x left, y back, z up at rest): flexing a hip is a
negative turn about x, flexing a knee or the back a positive one. ``root`` is how the whole body is turned
before it is laid on what bears it; ``bearing`` says what that is.

Labels follow those who look after people: whoever lies, sits or crawls on the floor, is tipping over or
slumped against something is fallen; whoever lies, sits or crawls on furniture, bends, crouches on both feet
or kneels upright is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from suite.body import BodyPose, ShapedBody
from suite.geometry.rotations import so3_exp, so3_log

Bearing = Literal["feet", "seat", "floor", "bed", "backrest", "tipping", "leaning"]


@dataclass(frozen=True, eq=False)
class Posture:
    """One drawn posture: the pose, the turn of the whole body (3, 3), and what bears it."""

    kind: str
    fallen: bool
    pose: BodyPose
    root: np.ndarray
    bearing: Bearing
    recline_deg: float | int = 0.0


class _Limbs:
    """Collects turns; left and right are told apart by ``side`` +1 and -1."""

    def __init__(self, body: ShapedBody, rng: np.random.Generator) -> None:
        self.body, self.rng = body, rng
        self.turns: dict[str, np.ndarray] = {}
        names = body.body.bones
        self._at = {name: body.joints[k] for k, name in enumerate(names)}

    def u(self, low: float | int, high: float | int) -> float:
        return float(self.rng.uniform(low, high))

    def joints(self, names: tuple[str, ...]) -> list[int]:
        """Where these bones are."""
        return [self.body.body.bones.index(name) for name in names]

    def side(self) -> int:
        """Left or right."""
        return 1 if self.rng.random() < 0.5 else -1

    def spine(self, flex: float | int, bend: float | int = 0.0, twist: float | int = 0.0) -> None:
        for name, share in (
            ("spine05", 0.15),
            ("spine04", 0.25),
            ("spine03", 0.25),
            ("spine02", 0.2),
            ("spine01", 0.15),
        ):
            self.turns[name] = np.array([flex, bend, twist]) * share

    def head(self, nod: float | int, tilt: float | int = 0.0, turn: float | int = 0.0) -> None:
        for name in ("neck01", "neck02", "neck03", "head"):
            self.turns[name] = np.array([nod, tilt, turn]) / 4

    def leg(
        self,
        side: int,
        hip: float | int,
        knee: float | int,
        out: float | int = 0.0,
        roll: float | int = 0.0,
        ankle: float | int = 0.0,
    ) -> None:
        """Hip and knee flexion, the thigh ``out`` to its side and turned out by ``roll``, toes up."""
        s = "L" if side > 0 else "R"
        flexed = _about("x", -hip)
        self.turns[f"upperleg01.{s}"] = _vector(_about("y", -side * out) @ flexed @ _about("z", side * roll))
        self.turns[f"lowerleg01.{s}"] = np.array([knee, 0, 0])
        self.turns[f"foot.{s}"] = np.array([-ankle, 0, 0])

    def arm(
        self, side: int, down: float | int, forward: float | int, elbow: float | int, twist: float | int = 0.0
    ) -> None:
        """Upper arm ``down`` degrees below shoulder level and ``forward`` of the side; elbow flexion."""
        s = "L" if side > 0 else "R"
        upper = _unit(self._at[f"lowerarm01.{s}"] - self._at[f"upperarm01.{s}"])
        fore = _unit(self._at[f"wrist.{s}"] - self._at[f"lowerarm01.{s}"])
        d, f = np.deg2rad([down, forward])
        aim = np.array([side * np.cos(d) * np.cos(f), -np.cos(d) * np.sin(f), -np.sin(d)])
        self.turns[f"upperarm01.{s}"] = _vector(
            _between(upper, aim) @ so3_exp(upper * np.deg2rad(side * twist))
        )
        hinge = _unit(np.cross(upper, fore))
        rest = np.degrees(np.arccos(np.clip(upper @ fore, -1, 1)))
        self.turns[f"lowerarm01.{s}"] = hinge * (elbow - rest)
        self.turns[f"wrist.{s}"] = hinge * self.u(-15, 20)

    def resting_arms(self) -> None:
        """Arms as they hang or rest when nothing is done with them."""
        for side in (1, -1):
            self.arm(side, self.u(62, 84), self.u(-10, 60), self.u(5, 60), self.u(-20, 20))

    def free_arms(self) -> None:
        """Arms anywhere, each on its own."""
        for side in (1, -1):
            self.arm(side, self.u(-40, 80), self.u(-25, 100), self.u(5, 110), self.u(-40, 40))

    def arms_on_ground(self, prone: bool) -> None:
        """Arms in the plane of the body: on the ground when it lies on its back or front."""
        for side in (1, -1):
            level = self.u(-75, 80)
            forward = self.u(-8, 6) if not prone else self.u(-4, 12)
            across = not prone and self.rng.random() < 0.3
            if across:
                self.arm(side, self.u(45, 70), self.u(30, 55), self.u(70, 120), self.u(-10, 10))
            else:
                self.arm(side, level, forward, self.u(5, 100), (90 if prone else -60) * self.u(0.4, 1.1))

    def pose(self) -> BodyPose:
        return BodyPose({name: (float(t[0]), float(t[1]), float(t[2])) for name, t in self.turns.items()})


Draw = Callable[[_Limbs], tuple[np.ndarray, Bearing, float | int]]


def _stand(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    b.spine(b.u(-3, 14), b.u(-5, 5), b.u(-12, 12))
    b.head(b.u(-10, 25), b.u(-8, 8), b.u(-45, 45))
    for side in (1, -1):
        b.leg(side, b.u(-4, 10), b.u(0, 14), b.u(-4, 8), b.u(0, 18))
    b.free_arms() if b.rng.random() < 0.3 else b.resting_arms()
    return np.eye(3), "feet", 0.0


def _walk(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    stride, lead = b.u(12, 32), b.side()
    b.spine(b.u(0, 22), b.u(-4, 4), b.u(-8, 8))
    b.head(b.u(-8, 20), 0, b.u(-30, 30))
    b.leg(lead, stride, b.u(2, 22), b.u(-6, 0))
    b.leg(-lead, -b.u(0.3, 0.7) * stride, b.u(8, 40), b.u(-6, 0))
    for side in (1, -1):
        b.arm(side, b.u(65, 84), b.u(20, 80) if side != lead else b.u(-60, 20), b.u(5, 60))
    if b.rng.random() < 0.25:  # pushing a walker or carrying something
        for side in (1, -1):
            b.arm(side, b.u(45, 65), b.u(70, 95), b.u(20, 80))
    return np.eye(3), "feet", 0.0


def _bend(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    b.spine(b.u(15, 60), b.u(-10, 10), b.u(-20, 20))
    b.head(b.u(-25, 30), 0, b.u(-30, 30))
    hip, knee = b.u(25, 95), b.u(0, 55)
    for side in (1, -1):
        b.leg(side, hip + b.u(-8, 8), knee + b.u(-8, 8), b.u(0, 8), b.u(0, 12))
        b.arm(side, b.u(10, 70), b.u(75, 100), b.u(0, 50))
    return _about("x", b.u(0, 12)), "feet", 0.0


def _crouch(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    b.spine(b.u(15, 50), b.u(-8, 8), b.u(-15, 15))
    b.head(b.u(-20, 25), 0, b.u(-35, 35))
    hip, knee = b.u(85, 120), b.u(95, 140)
    for side in (1, -1):
        b.leg(side, hip + b.u(-10, 10), knee + b.u(-8, 4), b.u(3, 18), b.u(0, 20))
        b.arm(side, b.u(20, 70), b.u(60, 95), b.u(10, 90))
    return np.eye(3), "feet", 0.0


def _kneel(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    b.spine(b.u(0, 25), b.u(-6, 6), b.u(-15, 15))
    b.head(b.u(-10, 30), 0, b.u(-35, 35))
    up = b.rng.choice([0, 1, -1])
    for side in (1, -1):
        if side == up:
            b.leg(side, b.u(80, 95), b.u(80, 100), b.u(0, 10))
        else:
            b.leg(side, b.u(0, 20), b.u(85, 105), b.u(0, 8), 0, -45)
        b.arm(side, b.u(40, 80), b.u(20, 90), b.u(10, 80))
    return np.eye(3), "floor", 0.0


def _sit(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    recline = b.u(-25, 20)
    b.spine(b.u(5, 35), b.u(-8, 8), b.u(-15, 15))
    b.head(b.u(-10, 35), b.u(-8, 8), b.u(-40, 40))
    for side in (1, -1):
        b.leg(side, b.u(75, 90) - recline, b.u(60, 100), b.u(0, 14), b.u(-5, 8))
        if b.rng.random() < 0.6:
            b.arm(side, b.u(55, 80), b.u(40, 90), b.u(30, 90))
        else:
            b.arm(side, b.u(0, 80), b.u(0, 95), b.u(10, 110))
    return _about("x", -recline), "seat", recline


def _supine(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    b.spine(b.u(-6, 6), b.u(-18, 18), b.u(-15, 15))
    b.head(b.u(-15, 12), b.u(-15, 15), b.u(-60, 60))
    for side in (1, -1):
        if b.rng.random() < 0.35:  # knee drawn up, foot on the ground
            knee = b.u(40, 110)
            b.leg(side, knee * b.u(0.45, 0.55), knee, b.u(-5, 25), b.u(-10, 30), -20)
        else:
            b.leg(side, b.u(-3, 12), b.u(0, 20), b.u(-2, 28), b.u(0, 50), -b.u(10, 35))
    b.arms_on_ground(prone=False)
    return _about("x", -90), "floor", 0.0


def _prone(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    b.spine(b.u(-14, 4), b.u(-18, 18), b.u(-12, 12))
    b.head(b.u(-20, 0), b.u(-15, 15), b.u(-75, 75))
    for side in (1, -1):
        if b.rng.random() < 0.35:  # one leg drawn up sideways
            b.leg(side, b.u(20, 60), b.u(30, 90), b.u(30, 60), b.u(40, 70), -35)
        else:
            b.leg(side, b.u(-6, 2), b.u(0, 20), b.u(-2, 25), b.u(-10, 30), -45)
    b.arms_on_ground(prone=True)
    return _about("x", 90), "floor", 0.0


def _side(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    curl = b.u(0, 1)
    b.spine(b.u(0, 15) + 30 * curl, b.u(-10, 10), b.u(-20, 20))
    b.head(b.u(-5, 15) + 20 * curl, b.u(-20, 20), b.u(-25, 25))
    for side in (1, -1):
        b.leg(side, b.u(-10, 30) + 75 * curl, b.u(5, 40) + 75 * curl, b.u(-6, 10), 0, -20)
        b.arm(side, b.u(-60, 60), b.u(60, 100), b.u(10, 120))
    lying = _about("y", 90 * b.side())
    return _about("x", b.u(-12, 12)) @ lying, "floor", 0.0


def _sprawled(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    b.spine(b.u(-10, 30), b.u(-25, 25), b.u(-40, 40))
    b.head(b.u(-25, 30), b.u(-25, 25), b.u(-60, 60))
    for side in (1, -1):
        b.leg(side, b.u(-10, 90), b.u(0, 110), b.u(-5, 35), b.u(-20, 45), -b.u(0, 40))
    b.free_arms()
    tilt = _about("z", b.u(0, 360)) @ _about("x", -90) @ _about("z", b.u(0, 360))
    return tilt, "floor", 0.0


def _propped(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    """Half up on a hand or an elbow behind or beside the body."""
    recline, low = b.u(35, 65), b.side()
    b.spine(b.u(5, 30), b.u(-15, 15), b.u(-25, 25))
    b.head(b.u(5, 40), b.u(-10, 10), b.u(-50, 50))
    for side in (1, -1):
        knee = b.u(0, 110) if b.rng.random() < 0.5 else b.u(0, 25)
        b.leg(side, 90 - recline + knee * 0.5, knee, b.u(-4, 25), b.u(-15, 45), -20)
        if side == low or b.rng.random() < 0.5:
            b.arm(side, b.u(60, 85), b.u(-110, -60), b.u(5, 90))
        else:
            b.arm(side, b.u(10, 80), b.u(0, 95), b.u(10, 100))
    return _about("z", b.u(-25, 25)) @ _about("y", low * b.u(0, 35)) @ _about("x", -recline), "floor", 0.0


def _floor_sit(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    recline = b.u(-5, 30)
    b.spine(b.u(10, 50), b.u(-12, 12), b.u(-20, 20))
    b.head(b.u(-5, 40), b.u(-10, 10), b.u(-45, 45))
    for side in (1, -1):
        knee = b.u(0, 130)
        b.leg(side, 88 - recline + knee * b.u(0.35, 0.5), knee, b.u(0, 30), b.u(-20, 45), -10)
        if b.rng.random() < 0.5:
            b.arm(side, b.u(55, 80), b.u(-100, 20), b.u(5, 50))
        else:
            b.arm(side, b.u(20, 75), b.u(40, 95), b.u(10, 100))
    return _about("x", -recline), "floor", 0.0


def _all_fours(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    """On hands or forearms and knees."""
    lean, hip = b.u(50, 85), b.u(60, 110)
    b.spine(b.u(-5, 40), b.u(-10, 10), b.u(-15, 15))
    b.head(b.u(-40, 20), 0, b.u(-35, 35))
    for side in (1, -1):
        h = hip + b.u(-15, 15)
        b.leg(side, h, b.u(85, 110) + max(0, h - lean - 5), b.u(-2, 15), 0, -45)
        b.arm(side, b.u(-20, 25), b.u(80, 100), b.u(0, 70))
    return _about("x", lean), "floor", 0.0


def _heap(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    """On the knees, sunk forward over the thighs, hands or forehead on the floor."""
    hip = b.u(100, 135)
    b.spine(b.u(20, 60), b.u(-15, 15), b.u(-20, 20))
    b.head(b.u(0, 40), b.u(-10, 10), b.u(-40, 40))
    for side in (1, -1):
        b.leg(side, hip + b.u(-10, 10), b.u(115, 145), b.u(0, 20), 0, -50)
        b.arm(side, b.u(-70, 60), b.u(60, 105), b.u(5, 110))
    return _about("x", b.u(35, 70)), "floor", 0.0


def _tipping(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    """In the middle of a fall: far out of balance, arms thrown out, legs giving way."""
    b.spine(b.u(-15, 40), b.u(-25, 25), b.u(-30, 30))
    b.head(b.u(-30, 20), b.u(-20, 20), b.u(-40, 40))
    for side in (1, -1):
        b.leg(side, b.u(-15, 70), b.u(0, 80), b.u(-5, 35), b.u(-10, 20), -b.u(0, 30))
    for side in (1, -1):
        b.arm(side, b.u(-70, 50), b.u(-50, 100), b.u(0, 80), b.u(-30, 30))
    way = b.u(0, 360)
    return _about("z", -way) @ _about("x", b.u(35, 68)) @ _about("z", way), "tipping", 0.0


def _slumped(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    """On the floor with the back against a wall or a piece of furniture."""
    recline = b.u(12, 50)
    b.spine(b.u(15, 50), b.u(-18, 18), b.u(-15, 15))
    b.head(b.u(0, 45), b.u(-25, 25), b.u(-40, 40))
    for side in (1, -1):
        knee = b.u(0, 120)
        b.leg(side, 90 - recline + knee * b.u(0.4, 0.5), knee, b.u(0, 28), b.u(-20, 45), -15)
        b.arm(side, b.u(40, 84), b.u(-30, 80), b.u(5, 80))
    return _about("x", -recline), "leaning", recline


def _on_bed(draw: Draw) -> Draw:
    def drawn(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
        root, _, recline = draw(b)
        return root, "bed", recline

    return drawn


def _bed_recline(b: _Limbs) -> tuple[np.ndarray, Bearing, float]:
    """In bed against a raised backrest."""
    recline = b.u(30, 70)
    b.spine(b.u(0, 15), b.u(-10, 10), b.u(-12, 12))
    b.head(b.u(-5, 30), b.u(-10, 10), b.u(-50, 50))
    for side in (1, -1):
        knee = b.u(0, 70) if b.rng.random() < 0.3 else b.u(0, 15)
        b.leg(side, 90 - recline + knee * 0.5, knee, b.u(0, 14), b.u(0, 25), -15)
        b.arm(side, b.u(50, 80), b.u(0, 80), b.u(10, 90))
    return _about("x", -recline), "backrest", recline


KINDS: dict[str, tuple[bool, float, Draw]] = {
    "stand": (False, 0.17, _stand),
    "walk": (False, 0.13, _walk),
    "bend": (False, 0.12, _bend),
    "crouch": (False, 0.07, _crouch),
    "kneel": (False, 0.03, _kneel),
    "sit": (False, 0.17, _sit),
    "bed_supine": (False, 0.07, _on_bed(_supine)),
    "bed_side": (False, 0.07, _on_bed(_side)),
    "bed_prone": (False, 0.03, _on_bed(_prone)),
    "bed_recline": (False, 0.06, _bed_recline),
    "bed_sit": (False, 0.05, _on_bed(_floor_sit)),
    "bed_crawl": (False, 0.03, _on_bed(_all_fours)),
    "supine": (True, 0.15, _supine),
    "prone": (True, 0.14, _prone),
    "side": (True, 0.17, _side),
    "sprawled": (True, 0.1, _sprawled),
    "propped": (True, 0.1, _propped),
    "floor_sit": (True, 0.08, _floor_sit),
    "all_fours": (True, 0.06, _all_fours),
    "heap": (True, 0.05, _heap),
    "tipping": (True, 0.08, _tipping),
    "slumped": (True, 0.07, _slumped),
}
"""Kinds of postures: whether fallen, how common among those alike, and what draws them."""


_LIMP = ("supine", "prone", "side", "sprawled", "slumped")
"""Postures in which limbs sink: of several draws the flattest is taken."""
_SINKING = (
    "head",
    *("wrist.L", "lowerarm01.L", "foot.L", "lowerleg01.L"),
    *("wrist.R", "lowerarm01.R", "foot.R", "lowerleg01.R"),
)
_DRAWS = 4


def draw_kind(fallen: bool, rng: np.random.Generator) -> str:
    """A kind of posture by how common it is."""
    names = [name for name, (down, _, _) in KINDS.items() if down == fallen]
    shares = np.array([KINDS[name][1] for name in names])
    return str(rng.choice(names, p=shares / shares.sum()))


def draw_posture(kind: str, body: ShapedBody, rng: np.random.Generator) -> Posture:
    """Joint angles of this kind for this person."""
    fallen, _, draw = KINDS[kind]
    drawn = []
    for _ in range(_DRAWS if kind.removeprefix("bed_") in _LIMP else 1):
        limbs = _Limbs(body, rng)
        root, bearing, recline = draw(limbs)
        posture = Posture(kind, fallen, limbs.pose(), root, bearing, recline)
        heights = (body.posed_joints(posture.pose) @ root.T)[limbs.joints(_SINKING), 2]
        drawn.append((float(np.ptp(heights)), posture))
    return min(drawn, key=lambda scored: scored[0])[1]


def _about(axis: Literal["x", "y", "z"], angle_deg: float | int) -> np.ndarray:
    return so3_exp(np.deg2rad(angle_deg) * np.eye(3)["xyz".index(axis)])


def _vector(R: np.ndarray) -> np.ndarray:
    return np.degrees(so3_log(R))


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The shortest turn that takes the unit vector ``a`` to ``b``."""
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    return np.eye(3) if sine < 1e-9 else so3_exp(axis / sine * np.arctan2(sine, a @ b))
