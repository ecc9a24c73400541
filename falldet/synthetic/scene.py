"""Rooms with furniture and people in them: nothing stands inside anything else, nobody floats or sinks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from falldet.synthetic import furniture
from falldet.synthetic.options import SyntheticOptions
from falldet.synthetic.people import Person, draw_person
from falldet.synthetic.postures import draw_kind
from falldet.synthetic.solids import Block, Solid, Thing
from falldet.synthetic.textures import PATTERNS, Material, any_colour, near
from falldet.synthetic.wear import Wardrobe
from suite.body import ShapedBody

RNG = np.random.Generator
_CELL_M = 0.09


@dataclass(frozen=True, eq=False)
class Placed:
    """A person where they are in the room; ``vertices`` of the bare body in metres."""

    kind: str
    fallen: bool
    vertices: np.ndarray
    solids: list[Solid]
    support_m: float | int


@dataclass(frozen=True, eq=False)
class Scene:
    """What a picture is taken of. ``size_m`` is width, depth and height of the room about the origin."""

    solids: list[Solid]
    people: list[Placed]
    blocks: list[Block]
    size_m: tuple[float, float, float]
    outdoors: bool
    backdrop: bool
    """Whether floor and walls are those of a photograph, only shadows being drawn on the floor."""


def draw_scene(
    options: SyntheticOptions, bodies: list[ShapedBody], wardrobe: Wardrobe, backdrop: bool, rng: RNG
) -> Scene:
    """People first, each with what bears them, then other furniture where there is room."""
    outdoors = not backdrop and rng.random() < options.outdoors
    size = (float(rng.uniform(2.8, 7.5)), float(rng.uniform(2.8, 7.5)), float(rng.uniform(2.3, 3.2)))
    size = (14.0, 14.0, 6.0) if outdoors else (6.0, 6.0, 3.0) if backdrop else size
    scene = Scene([], [], [], size, outdoors, backdrop)
    wanted = 0 if rng.random() < options.empty else int(rng.choice([1, 2, 3], p=[0.5, 0.33, 0.17]))
    spread = 1.0 if not outdoors else 0.3
    for _ in range(wanted):
        kind = draw_kind(bool(rng.random() < options.fallen), rng)
        person = draw_person(kind, bodies[rng.integers(len(bodies))], wardrobe, rng)
        _place_person(scene, person, spread, rng)
    if not outdoors:
        for _ in range(int(rng.integers(0, 3 if backdrop else 11))):
            _place_thing(scene, _any_thing(rng), rng)
        if not backdrop:
            _walls(scene, rng)
    if not backdrop:
        floor = _floor(rng, outdoors)
        far = 60.0 if outdoors else max(size)
        corners = np.array([[-far, -far, 0], [far, -far, 0], [far, far, 0], [-far, far, 0]], np.float64)
        scene.solids.append(Solid(corners, np.array([[0, 1, 2], [0, 2, 3]]), floor, corners))
    return scene


def _place_person(scene: Scene, person: Person, spread: float | int, rng: RNG) -> None:
    for _ in range(14):
        yaw = float(rng.uniform(0, 2 * np.pi))
        x, y = (float(rng.uniform(-0.5, 0.5) * scene.size_m[k] * spread) for k in (0, 1))
        c, s = np.cos(yaw), np.sin(yaw)
        R, move = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), np.array([x, y, 0])
        vertices = person.vertices @ R.T + move
        thing = person.thing.placed(x, y, yaw)
        if not _within(scene, vertices) or not all(_block_fits(scene, b) for b in thing.blocks):
            continue
        points = vertices[::5]
        if any(block.inside(points, 0.02).any() for block in scene.blocks):
            continue
        cells = _cells(points)
        if any(len(cells & _cells(other.vertices[::5])) > 0 for other in scene.people):
            continue
        if any(
            block.inside(other.vertices[::5], 0.02).any() for block in thing.blocks for other in scene.people
        ):
            continue
        moved = Thing(person.solids, []).placed(x, y, yaw).solids
        cover = Thing(person.cover, []).placed(x, y, yaw).solids
        scene.people.append(
            Placed(person.posture.kind, person.posture.fallen, vertices, moved + cover[:1], person.support_m)
        )
        scene.solids.extend(thing.solids + cover[1:])
        scene.blocks.extend(thing.blocks)
        return


def _cells(points: np.ndarray) -> set[int]:
    """Numbers of the cubes that hold any of the points."""
    x, y, z = np.floor(points / _CELL_M).astype(np.int64).T + 1000
    return set((x * 4_000_000 + y * 2000 + z).tolist())


def _within(scene: Scene, points: np.ndarray) -> bool:
    half = np.asarray(scene.size_m) / 2 - 0.01
    return bool((np.abs(points[:, :2]) < half[:2]).all())


def _block_fits(scene: Scene, block: Block) -> bool:
    """Whether it is in the room and in nobody's and nothing's place."""
    c, s = np.cos(block.yaw_rad), np.sin(block.yaw_rad)
    n = np.linspace(-1, 1, 7)
    grid = np.stack(np.meshgrid(n, n, n, indexing="ij"), axis=-1).reshape(-1, 3) * block.half
    points = grid @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + block.centre
    if not _within(scene, points):
        return False
    return not any(other.inside(points, 0.0).any() for other in scene.blocks)


_THINGS = {
    "bed": 0.2,
    "seat": 0.16,
    "table": 0.1,
    "cabinet": 0.12,
    "walker": 0.05,
    "stand": 0.07,
    "curtain": 0.07,
    "clutter": 0.1,
    "heap": 0.09,
    "mat": 0.04,
}


def _any_thing(rng: RNG) -> Thing:
    match rng.choice(list(_THINGS), p=list(_THINGS.values())):
        case "bed":
            height, raised = float(rng.uniform(0.35, 0.8)), float(rng.choice([0, 0, rng.uniform(15, 60)]))
            bed = furniture.bed(rng, height, raised)[0]
            if raised == 0 and rng.random() < 0.4:
                bed.solids += furniture.heap(rng, height).placed(0, -0.3, float(rng.uniform(0, 3))).solids
            return bed
        case "seat":
            return furniture.seat(rng, float(rng.uniform(0.38, 0.5)), 5.0)
        case "table":
            return furniture.table(rng)
        case "cabinet":
            return furniture.cabinet(rng)
        case "walker":
            return furniture.walker(rng)
        case "stand":
            return furniture.stand(rng)
        case "curtain":
            return furniture.curtain(rng)
        case "heap":
            return furniture.heap(rng)
        case "mat":
            return furniture.mat(rng)
        case _:
            return furniture.clutter(rng)


def _place_thing(scene: Scene, thing: Thing, rng: RNG) -> None:
    """Mostly along a wall, its back to it."""
    half = np.asarray(scene.size_m) / 2
    reach = max((abs(b.centre[1]) + b.half[1] for b in thing.blocks), default=0.3)
    for _ in range(8):
        if rng.random() < 0.7:
            side = int(rng.integers(4))
            yaw = side * np.pi / 2
            along, off = float(rng.uniform(-0.9, 0.9)), reach + float(rng.uniform(0.02, 0.15))
            # Local +y, the back, looks at the wall.
            wall = np.array([-np.sin(yaw), np.cos(yaw)])
            beside = np.array([np.cos(yaw), np.sin(yaw)])
            x, y = wall * (half[:2] - off) + beside * along * half[:2]
        else:
            yaw = float(rng.uniform(0, 2 * np.pi))
            x, y = (float(rng.uniform(-0.9, 0.9)) * half[k] for k in (0, 1))
        put = thing.placed(float(x), float(y), float(yaw))
        if not all(_block_fits(scene, block) for block in put.blocks):
            continue
        if any(b.inside(person.vertices[::5], -0.02).any() for b in put.blocks for person in scene.people):
            continue
        scene.solids.extend(put.solids)
        scene.blocks.extend(put.blocks)
        return


def _floor(rng: RNG, outdoors: bool) -> Material:
    if outdoors:
        green = rng.random() < 0.4
        colour = near((0.3, 0.42, 0.18) if green else (0.5, 0.48, 0.45), rng, 0.4)
    else:
        warm = rng.random()
        light = float(rng.uniform(0.2, 0.95))
        base = (0.75, 0.58, 0.4) if warm < 0.4 else (0.8, 0.8, 0.78) if warm < 0.75 else _muted(rng)
        colour = near((base[0] * light, base[1] * light, base[2] * light), rng, 0.1)
    pattern = rng.choice(PATTERNS, p=[0.2, 0.2, 0.3, 0.02, 0.08, 0.02, 0.18])
    scale = float(rng.uniform(0.25, 0.7)) if pattern in ("tiles", "checks") else float(rng.uniform(0.06, 0.2))
    return Material(
        colour,
        near(colour, rng, 0.35),
        pattern,
        scale,
        noise=float(rng.uniform(0.02, 0.1)),
        grain=float(rng.uniform(0.01, 0.08)),
        gloss=float(rng.random() < 0.5) * float(rng.uniform(0.05, 0.3)),
        offset=(float(rng.uniform(0, 4)), float(rng.uniform(0, 4))),
    )


def _muted(rng: RNG) -> tuple[float, float, float]:
    r, g, b = any_colour(rng, 0.5, 0.97)
    grey = (r + g + b) / 3
    return grey + 0.5 * (r - grey), grey + 0.5 * (g - grey), grey + 0.5 * (b - grey)


def _walls(scene: Scene, rng: RNG) -> None:
    w, d, h = scene.size_m
    paint = near(_muted(rng) if rng.random() < 0.45 else (0.85, 0.84, 0.8), rng, 0.12)
    thing = Thing()
    for side in range(4):
        colour = paint if rng.random() < 0.85 else any_colour(rng, 0.3, 0.95)
        pattern = rng.choice(["plain", "plain", "plain", "plain", "stripes", "tiles", "planks"])
        wall = Material(colour, near(colour, rng, 0.25), pattern, float(rng.uniform(0.1, 0.5)), 0.03, 0.01)
        length, off = (w, d) if side % 2 == 0 else (d, w)
        part = Thing()
        part.box((0, off / 2 + 0.05, h / 2), (length + 0.2, 0.1, h), wall, solid=False)
        part.box((0, off / 2 - 0.008, 0.05), (length, 0.016, 0.1), furniture.wood(rng), solid=False)
        for _ in range(int(rng.integers(0, 4))):
            _on_wall(part, length, off / 2, h, rng)
        thing.solids += part.placed(0, 0, side * np.pi / 2).solids
    thing.box(
        (0, 0, h + 0.05), (w, d, 0.1), Material((0.9, 0.9, 0.88), (0.7, 0.7, 0.7), "tiles", 0.6), solid=False
    )
    if rng.random() < 0.25:  # a rug
        rug, size = Thing(), rng.uniform(0.8, 2.2, 2)
        rug.box((0, 0, 0.004), (*size, 0.008), furniture.surface(rng, plain=0.4), solid=False)
        at = rng.uniform(-0.3, 0.3, 2) * (w, d)
        thing.solids += rug.placed(float(at[0]), float(at[1]), float(rng.uniform(0, 3))).solids
    scene.solids.extend(thing.solids)


def _on_wall(part: Thing, length: float | int, at: float | int, h: float | int, rng: RNG) -> None:
    """A door, a window, a picture, a panel or a radiator."""
    x = float(rng.uniform(-0.4, 0.4)) * length
    match rng.choice(["door", "window", "picture", "panel", "radiator"]):
        case "door":
            leaf = furniture.wood(rng)
            part.box((x, at - 0.015, 1.02), (0.98, 0.03, 2.08), furniture.surface(rng), solid=False)
            part.box((x, at - 0.02, 1.0), (0.86, 0.04, 2.0), leaf, solid=False)
        case "window":
            w, top, low = float(rng.uniform(0.6, 2)), h - 0.3, float(rng.uniform(0.8, 1.2))
            light = Material((0.95, 0.97, 1.0), (0.6, 0.75, 0.6), "plain", 0.5, 0.1)
            part.box(
                (x, at - 0.01, (top + low) / 2),
                (w + 0.12, 0.03, top - low + 0.12),
                furniture.surface(rng),
                solid=False,
            )
            part.box((x, at - 0.02, (top + low) / 2), (w, 0.025, top - low), light, solid=False)
        case "picture":
            w, z = rng.uniform(0.2, 0.9, 2), float(rng.uniform(1.2, 1.8))
            part.box((x, at - 0.015, z), (w[0], 0.03, w[1]), furniture.surface(rng, plain=0.2), solid=False)
        case "panel":
            z = float(rng.uniform(0.6, 1.4))
            part.box((0, at - 0.01, z / 2), (length, 0.02, z), furniture.surface(rng), solid=False)
        case _:
            part.box(
                (x, at - 0.06, 0.4),
                (float(rng.uniform(0.5, 1.4)), 0.1, 0.6),
                Material((0.9, 0.9, 0.9), (0.6, 0.6, 0.6), "stripes", 0.06),
            )
