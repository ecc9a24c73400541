"""A furnished room with a bed and a seat of somebody's own, and where in it there is room to walk."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from falldet.synthetic import furniture
from falldet.synthetic.film_keys import Key, about_z, draw_key, vertices_of
from falldet.synthetic.options import SyntheticOptions
from falldet.synthetic.scene import Scene, draw_scene
from falldet.synthetic.solids import Block, Thing
from falldet.synthetic.wear import Wardrobe
from suite.body import ShapedBody

RNG = np.random.Generator
_BODY_M = 0.32  # nobody walks nearer to furniture or walls than this
_EMPTY = SyntheticOptions(empty=1.0, outdoors=0.0)


@dataclass(frozen=True, eq=False)
class Seat:
    """Something to sit on; ``key`` is how its owner sits there, ``before`` where they stand to sit down."""

    key: Key
    before: np.ndarray
    yaw_rad: float | int


@dataclass(frozen=True, eq=False)
class Bed:
    """``edge`` sits on its free side; ``lying`` are postures in it; ``beside`` is the floor next to it."""

    edge: Seat
    lying: tuple[Key, ...]
    beside: np.ndarray
    yaw_rad: float | int


@dataclass(frozen=True, eq=False)
class Room:
    """``scene`` has nobody in it."""

    scene: Scene
    seat: Seat | None
    bed: Bed | None

    def free(self, points: np.ndarray, margin_m: float | int = _BODY_M) -> bool:
        """Whether all of these places (n, 2) of the floor can be stood on."""
        half = np.asarray(self.scene.size_m[:2]) / 2 - margin_m
        if (np.abs(points) > half).any():
            return False
        return not any(_covers(block, points, margin_m).any() for block in self.scene.blocks)

    def way(self, start: np.ndarray, end: np.ndarray) -> bool:
        """Whether one can walk straight from here to there."""
        steps = max(2, int(np.linalg.norm(end - start) / 0.15))
        return self.free(start + np.linspace(0, 1, steps)[:, None] * (end - start), _BODY_M - 0.06)

    def anywhere(self, rng: RNG, since: np.ndarray | None = None, tries: int = 60) -> np.ndarray | None:
        """A free place, one that can be walked to from ``since``."""
        for _ in range(tries):
            point = rng.uniform(-0.5, 0.5, 2) * self.scene.size_m[:2]
            if self.free(point[None]) and (since is None or self.way(since, point)):
                return point
        return None

    def reached(self, place: np.ndarray, rng: RNG) -> bool:
        """Whether one can stand here, close to something, and walk there from elsewhere."""
        return self.free(place[None], 0.25) and self.anywhere(rng, place) is not None

    def clear(self, vertices: np.ndarray) -> bool:
        """Whether a body is inside the room and in no piece of furniture."""
        half = np.asarray(self.scene.size_m[:2]) / 2 - 0.03
        points = vertices[::7]
        if (np.abs(points[:, :2]) > half).any():
            return False
        return not any(block.inside(points, 0.03).any() for block in self.scene.blocks)


def draw_room(body: ShapedBody, wardrobe: Wardrobe, rng: RNG) -> Room:
    """With a bed or a seat or both for this person, and floor enough to walk about."""
    while True:
        room = Room(draw_scene(_EMPTY, [body], wardrobe, False, rng), None, None)
        wish = rng.random()
        if wish < 0.75:
            room = _with_bed(room, body, rng)
        if wish > 0.25:
            room = _with_seat(room, body, rng)
        if room.bed is None and room.seat is None:
            continue
        points = rng.uniform(-0.5, 0.5, (200, 2)) * room.scene.size_m[:2]
        area = np.mean([room.free(point[None]) for point in points]) * np.prod(room.scene.size_m[:2])
        if area > 2.0:
            return room


def sitting(body: ShapedBody, rng: RNG) -> tuple[Key, float]:
    """Somebody who sits with the feet on the floor and the back at y = 0, and the height they sit at."""
    key = draw_key(body, "sit", rng)
    vertices, model = vertices_of(body, key), body.body
    hips = vertices[model.part("hips")].mean(axis=0)
    under = model.part("hips", "thigh") & (np.abs(vertices[:, 1] - hips[1]) < 0.18)
    height = float(np.clip(vertices[under, 2].min() + 0.015, 0.2, 0.9))
    back = vertices[model.part("hips", "trunk") & (vertices[:, 2] < height + 0.5), 1].max()
    return key.moved(-hips[0], -back), height


def _with_seat(room: Room, body: ShapedBody, rng: RNG) -> Room:
    key, height = sitting(body, rng)
    recline = float(np.degrees(np.arcsin(np.clip(key.R[1, 2], -1, 1))))
    thing = furniture.seat(rng, height, max(0.0, recline))
    key = key.moved(0.0, furniture.SEAT_DEPTH_M / 2 + 0.01)
    for x, y, yaw in _by_the_wall(room, 0.5, rng):
        put = thing.placed(x, y, yaw)
        before = np.array([x, y]) + about_z(yaw)[:2, :2] @ (0.0, -furniture.SEAT_DEPTH_M / 2 - 0.42)
        with_it = _added(room, put)
        if _fits(room, put) and with_it.reached(before, rng):
            return replace(with_it, seat=Seat(key.moved(x, y, yaw), before, yaw))
    return room


def _with_bed(room: Room, body: ShapedBody, rng: RNG) -> Room:
    key, height = sitting(body, rng)
    if not 0.3 < height < 0.75:
        return room
    thing, width, length = furniture.bed(rng, height, rails=False)
    side = np.pi / 2  # on the side of +x, looking along it
    edge = key.moved(width / 2 - 0.28, float(rng.uniform(-0.2, 0.15)), side)
    lying = tuple(
        _in_bed(body, str(rng.choice(["bed_supine", "bed_side", "bed_side", "bed_supine", "bed_prone"])),
                height, length, rng)
        for _ in range(3)
    )  # fmt: skip
    for x, y, yaw in _by_the_wall(room, length / 2 + 0.08, rng):
        put = thing.placed(x, y, yaw)
        turn = about_z(yaw)[:2, :2]
        before = np.array([x, y]) + turn @ (width / 2 + 0.4, edge.p[1])
        beside = np.array([x, y]) + turn @ (width / 2 + 0.5, 0.0)
        with_it = _added(room, put)
        if _fits(room, put) and with_it.reached(before, rng):
            seat = Seat(edge.moved(x, y, yaw), before, yaw + side)
            return replace(with_it, bed=Bed(seat, tuple(k.moved(x, y, yaw) for k in lying), beside, yaw))
    return room


def _in_bed(body: ShapedBody, kind: str, height: float | int, length: float | int, rng: RNG) -> Key:
    """Along the bed, the head towards +y."""
    key = draw_key(body, kind, rng)
    vertices, model = vertices_of(body, key), body.body
    along = vertices[model.part("face")].mean(axis=0) - vertices[model.part("hips")].mean(axis=0)
    key = key.moved(0.0, 0.0, float(np.pi / 2 - np.arctan2(along[1], along[0])))
    vertices = vertices_of(body, key)
    middle = (vertices[:, 0].min() + vertices[:, 0].max()) / 2
    key = key.moved(-middle, length / 2 - 0.15 - vertices[:, 1].max())
    rise = height - 0.015 - vertices[:, 2].min()
    return replace(key, p=key.p + np.array([0, 0, rise]), low_m=0.0, grounded=False)


def _by_the_wall(room: Room, off_m: float | int, rng: RNG) -> list[tuple[float, float, float]]:
    """Places and turns, mostly with the back or head to a wall."""
    half, found = np.asarray(room.scene.size_m[:2]) / 2, []
    for _ in range(25):
        yaw = float(rng.integers(4) * np.pi / 2)
        turn = about_z(yaw)[:2, :2]
        reach = float(np.abs(turn.T @ half)[1])
        gap = float(rng.uniform(0, 0.3)) if rng.random() < 0.8 else float(rng.uniform(0.3, 1.5))
        across = float(rng.uniform(-0.8, 0.8) * np.abs(turn.T @ half)[0])
        x, y = turn @ (across, reach - off_m - gap)
        found.append((float(x), float(y), yaw))
    return found


def _added(room: Room, thing: Thing) -> Room:
    scene = room.scene
    more = replace(scene, solids=scene.solids + thing.solids, blocks=scene.blocks + thing.blocks)
    return replace(room, scene=more)


def _fits(room: Room, thing: Thing) -> bool:
    """Whether it is inside the room and through nothing."""
    half = np.asarray(room.scene.size_m[:2]) / 2 - 0.01
    n = np.linspace(-1, 1, 7)
    for block in thing.blocks:
        grid = np.stack(np.meshgrid(n, n, n, indexing="ij"), axis=-1).reshape(-1, 3) * block.half
        points = grid @ about_z(block.yaw_rad).T + block.centre
        if (np.abs(points[:, :2]) > half).any():
            return False
        if any(other.inside(points).any() for other in room.scene.blocks):
            return False
    return True


def _covers(block: Block, points: np.ndarray, margin_m: float | int) -> np.ndarray:
    """Which places of the floor are in or near a block that stands in the way of legs or trunk."""
    if block.centre[2] - block.half[2] > 1.9:
        return np.zeros(len(points), bool)
    local = (points - np.asarray(block.centre[:2])) @ about_z(block.yaw_rad)[:2, :2]
    return np.asarray((np.abs(local) < np.asarray(block.half[:2]) + margin_m).all(axis=1))
