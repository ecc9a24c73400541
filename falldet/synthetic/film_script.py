"""What somebody does for some minutes: a timeline of keys, and what it was called from when to when.

People walk, stand, bend, crouch, kneel, sit and lie down on beds, and now and then fall: while walking or
standing, off a seat, out of bed. Some get up again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from falldet.synthetic.film_keys import (
    Key,
    between,
    draw_key,
    mirrored,
    stirred,
    vertices_of,
    with_upper_body,
)
from falldet.synthetic.film_room import Room, Seat
from suite.body import ShapedBody

RNG = np.random.Generator
FALL = "fall"
_LANDINGS = {"side": 0.32, "supine": 0.2, "prone": 0.18, "sprawled": 0.12, "propped": 0.1, "floor_sit": 0.08}
_HASTE = 1.7  # falls become faster: the way is time to this power


@dataclass(frozen=True)
class Act:
    """What was done from when to when; a fall from the loss of balance until the person is up again."""

    kind: str
    start_s: float | int
    end_s: float | int


@dataclass(eq=False)
class Actor:
    """Somebody's timeline: ``times_s`` of keys, and whether the way to each is a fall."""

    body: ShapedBody
    times_s: list[float] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    falling: list[bool] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    landings: list[Key] = field(default_factory=list)

    def at(self, time_s: float | int) -> Key:
        """The body at this time."""
        after = int(np.searchsorted(self.times_s, time_s, side="right"))
        if after == 0 or after == len(self.keys):
            return self.keys[min(after, len(self.keys) - 1)]
        start, end = self.times_s[after - 1], self.times_s[after]
        u = (time_s - start) / (end - start)
        share = u**_HASTE if self.falling[after] else u * u * (3 - 2 * u)
        return between(self.keys[after - 1], self.keys[after], share)


def write_script(
    body: ShapedBody, room: Room, seconds: float | int, falls: int, rng: RNG, furniture: bool = True
) -> Actor | None:
    """A timeline of about ``seconds`` with so many falls, None where the room has no place for it.

    Without ``furniture`` the seat and the bed are somebody else's.
    """
    start = room.anywhere(rng)
    if start is None:
        return None
    writer = _Writer(body, room, rng, start)
    fall_at = sorted(rng.uniform(0.1, 0.75, falls) * seconds)
    stays_down = falls > 0 and rng.random() < 0.5
    while writer.time_s < seconds:
        if fall_at and writer.time_s >= fall_at[0]:
            last = len(fall_at) == 1
            if writer.fall(furniture, seconds if last and stays_down else None):
                fall_at.pop(0)
                continue
        writer.anything(furniture)
    if fall_at:
        return None
    return writer.actor


class _Writer:
    def __init__(self, body: ShapedBody, room: Room, rng: RNG, start: np.ndarray) -> None:
        self.body, self.room, self.rng = body, room, rng
        self.actor = Actor(body)
        self.time_s = 0.0
        self.place, self.yaw = start, float(rng.uniform(0, 2 * np.pi))
        self._stride = draw_key(body, "walk", rng)
        self._pace = float(rng.uniform(0.45, 0.75)), float(rng.uniform(0.28, 0.5))  # seconds, metres a step
        self._upright = draw_key(body, "stand", rng)
        self._key(self._stand(), 0.0)

    def anything(self, furniture: bool) -> None:
        """The next thing to do."""
        room, kinds = self.room, {"walk": 0.3, "stand": 0.1, "bend": 0.16, "crouch": 0.1, "kneel": 0.05}
        if furniture and room.seat is not None:
            kinds["sit"] = 0.2
        if furniture and room.bed is not None:
            kinds |= {"sit_bed": 0.07, "lie_bed": 0.2}
        shares = np.array(list(kinds.values()))
        match str(self.rng.choice(list(kinds), p=shares / shares.sum())):
            case "walk":
                self._walk(room.anywhere(self.rng, self.place))
            case "stand":
                self._hold("stand", self._stand(), 0.5, self.rng.uniform(1, 5))
            case "sit":
                assert room.seat is not None
                if self._sit(room.seat, "sit", self.rng.uniform(6, 25)):
                    self._get_up("sit")
            case "sit_bed":
                assert room.bed is not None
                if self._sit(room.bed.edge, "sit_bed", self.rng.uniform(4, 15)):
                    self._get_up("sit_bed")
            case "lie_bed":
                if self._lie(self.rng.uniform(8, 35)):
                    self._rise()
            case kind:
                self._low(kind)

    def fall(self, furniture: bool, until_s: float | None) -> bool:
        """A fall from wherever seems right; they lie to ``until_s``. False where there is no room for it."""
        room, rng = self.room, self.rng
        from_where = rng.random()
        if furniture and room.bed is not None and from_where < 0.2:
            if not self._lie(rng.uniform(4, 12)):
                return False
            landing = self._landing(("side", "supine", "prone"), room.bed.beside, room.bed.yaw_rad + np.pi)
            if landing is None:
                self._rise()
                return False
            self._down(landing, rng.uniform(0.7, 1.2), until_s)
            return True
        if furniture and room.seat is not None and from_where < 0.4:
            if not self._sit(room.seat, "sit", rng.uniform(3, 10)):
                return False
        elif rng.random() < 0.6:
            self._walk(room.anywhere(rng, self.place), stop=False)
        landing = self._landing(tuple(_LANDINGS), self.place, self.yaw)
        if landing is None:
            self._hold("stand", self._stand(), 1.0, 0.5)
            return False
        slow = rng.random() < 0.15
        self._down(landing, rng.uniform(1.4, 2.2) if slow else rng.uniform(0.6, 1.1), until_s)
        return True

    def _down(self, landing: Key, takes_s: float | int, until_s: float | None) -> None:
        start_s, rng = self.time_s, self.rng
        self._key(landing, takes_s, falling=True)
        self.actor.landings.append(landing)
        lies_s = rng.uniform(8, 30) if until_s is None else max(until_s - self.time_s, 8.0)
        end_s, key = self.time_s + lies_s, landing
        while self.time_s < end_s:
            self._key(stirred(key, rng), float(rng.uniform(0.6, 1.5)))
            self._key(self.actor.keys[-1], float(rng.uniform(1.0, 5.0)))
        if until_s is None:
            self.place = landing.p[:2].copy()
            for kind, takes in (("all_fours", (1.5, 2.5)), ("kneel", (1.0, 2.0))):
                self._key(self._at(draw_key(self.body, kind, rng)), float(rng.uniform(*takes)))
                self._key(self.actor.keys[-1], float(rng.uniform(0.5, 2.0)))
                if kind == "all_fours":
                    self._act(FALL, start_s)
            self._key(self._stand(), float(rng.uniform(0.9, 1.6)))
            self._act("get_up", self.actor.acts[-1].end_s)
            if not self.room.free(self.place[None]):  # against the furniture: two steps off
                near = self.room.anywhere(rng)
                self._walk(near)
        else:
            self._act(FALL, start_s)

    def _landing(self, kinds: tuple[str, ...], feet: np.ndarray, yaw: float | int) -> Key | None:
        """A place to come down that is free, the feet near where they are."""
        shares = np.array([_LANDINGS[kind] for kind in kinds])
        foot = self.body.body.part("foot")
        for _ in range(10):
            kind = str(self.rng.choice(kinds, p=shares / shares.sum()))
            key = draw_key(self.body, kind, self.rng).moved(0, 0, yaw + float(self.rng.normal(0, 0.6)))
            at = vertices_of(self.body, key)[foot, :2].mean(axis=0)
            to = feet + self.rng.normal(0, 0.15, 2) - (0.75 * at if len(kinds) == len(_LANDINGS) else 0.0)
            key = key.moved(float(to[0]), float(to[1]))
            if self.room.clear(vertices_of(self.body, key)):
                return key
        return None

    def _walk(self, to: np.ndarray | None, stop: bool = True) -> None:
        if to is None:
            self._hold("stand", self._stand(), 0.5, 1.0)
            return
        way = to - self.place
        length = float(np.linalg.norm(way))
        if length < 0.3:
            return
        start_s = self.time_s
        self._turn(float(np.arctan2(way[1], way[0]) + np.pi / 2))  # a body looks along -y
        takes_s, step_m = self._pace
        steps = max(2, round(length / step_m))
        begin = self.place
        for step in range(1, steps + 1):
            self.place = begin + way * step / steps
            stride = stirred(self._stride if step % 2 else mirrored(self._stride), self.rng, 2)
            self._key(self._at(stride), takes_s)
        if stop:
            self._key(self._stand(), takes_s)
        self._act("walk", start_s)

    def _turn(self, yaw: float | int) -> None:
        by = (yaw - self.yaw + np.pi) % (2 * np.pi) - np.pi
        for _ in range(2 if abs(by) > 1.6 else 1):
            self.yaw += by / (2 if abs(by) > 1.6 else 1)
            self._key(self._stand(), 0.25 + 0.25 * abs(by))

    def _low(self, kind: str) -> None:
        """Down to the floor on one's feet or knees, and up again."""
        start_s = self.time_s
        key = self._at(draw_key(self.body, kind, self.rng))
        self._key(key, float(self.rng.uniform(0.6, 1.3)))
        self._stir(key, self.rng.uniform(1.0, 6.0))
        self._key(self._stand(), float(self.rng.uniform(0.7, 1.3)))
        self._act(kind, start_s)

    def _sit(self, seat: Seat, kind: str, for_s: float | int) -> bool:
        """Walk there and sit down; False where no straight way leads there, after a step elsewhere."""
        if not self.room.way(self.place, seat.before):
            self._walk(self.room.anywhere(self.rng, self.place))
            if not self.room.way(self.place, seat.before):
                return False
        self._walk(seat.before)
        start_s = self.time_s
        self._turn(seat.yaw_rad)
        self._key(seat.key, float(self.rng.uniform(0.8, 1.6)))
        key, end_s = seat.key, self.time_s + for_s
        while self.time_s < end_s:
            self._stir(key, self.rng.uniform(2, 8))
            other = draw_key(self.body, "sit", self.rng).pose.turns_deg
            key = with_upper_body(seat.key, other)
            self._key(key, float(self.rng.uniform(0.8, 1.5)))
        self._act(kind, start_s)
        return True

    def _get_up(self, kind: str) -> None:
        start_s = self.time_s
        self._key(self._stand(), float(self.rng.uniform(0.9, 1.6)))
        self._act(kind, start_s)

    def _lie(self, for_s: float | int) -> bool:
        bed = self.room.bed
        assert bed is not None
        if not self._sit(bed.edge, "sit_bed", self.rng.uniform(1, 4)):
            return False
        start_s, end_s = self.time_s, self.time_s + for_s
        takes = self.rng.uniform(1.2, 2.5)
        while self.time_s < end_s:
            key = bed.lying[self.rng.integers(len(bed.lying))]
            self._key(key, float(takes))
            self._stir(key, self.rng.uniform(4, 15))
        self._act("lie_bed", start_s)
        return True

    def _rise(self) -> None:
        assert self.room.bed is not None
        start_s = self.time_s
        self._key(self.room.bed.edge.key, float(self.rng.uniform(1.2, 2.5)))
        self._stir(self.room.bed.edge.key, self.rng.uniform(0.5, 3))
        self._key(self._stand(), float(self.rng.uniform(0.9, 1.6)))
        self._act("sit_bed", start_s)

    def _hold(self, kind: str, key: Key, takes_s: float | int, for_s: float | int) -> None:
        start_s = self.time_s
        self._key(key, takes_s)
        self._stir(key, for_s)
        self._act(kind, start_s)

    def _stir(self, key: Key, for_s: float | int) -> None:
        """Hold a posture as people do."""
        end_s = self.time_s + float(for_s)
        while self.time_s < end_s:
            self._key(stirred(key, self.rng), float(self.rng.uniform(0.6, 1.6)))

    def _stand(self) -> Key:
        return self._at(stirred(self._upright, self.rng))

    def _at(self, key: Key) -> Key:
        """Where the person is, looking where they look."""
        return key.moved(float(self.place[0]), float(self.place[1]), self.yaw)

    def _key(self, key: Key, takes_s: float | int, falling: bool = False) -> None:
        self.time_s += takes_s
        self.actor.times_s.append(self.time_s)
        self.actor.keys.append(key)
        self.actor.falling.append(falling)

    def _act(self, kind: str, start_s: float | int) -> None:
        self.actor.acts.append(Act(kind, start_s, self.time_s))
