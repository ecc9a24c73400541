"""Long scenes with exact truth: a camera that hangs still, people who live and fall before it; a function of
the seed and the film's number alone.

They come from the same bodies, furniture and light as the drawn pictures that detectors are trained on: what
is measured on them holds for drawn rooms, and is kinder than cameras are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import UInt8

from falldet.synthetic.camera import View
from falldet.synthetic.casting import Caster
from falldet.synthetic.film_keys import Key, vertices_of
from falldet.synthetic.film_render import StillRoom
from falldet.synthetic.film_room import Room, draw_room
from falldet.synthetic.film_script import FALL, Act, Actor, write_script
from falldet.synthetic.people import draw_shape
from falldet.synthetic.scene import Placed
from falldet.synthetic.solids import Solid
from falldet.synthetic.wear import Outfit, Wardrobe, outfit
from suite.body import Body, load_body

RNG = np.random.Generator
UNCLEAR = "unclear"
_CAMERAS = 40
_SEEN, _LEAST_PX = 0.4, 14
_APART_M = 0.55


@dataclass(frozen=True)
class FilmOptions:
    """Films of one kind. Times in seconds, ``width_px`` by ``height_px`` pictures."""

    seed: int = 0
    looks_per_s: float | int = 2.0
    shortest_s: float | int = 60.0
    longest_s: float | int = 180.0
    width_px: int = 320
    height_px: int = 240


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture; ``boxes_px`` x1, y1, x2, y2 and ``kinds`` of those who are seen."""

    rgb: UInt8[np.ndarray, "h w 3"]
    time_s: float | int
    boxes_px: tuple[tuple[int, int, int, int], ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Film:
    """A scene ready to be shot. ``acts`` say what happens; falls that the camera does not see are unclear."""

    options: FilmOptions
    number: int
    seconds: float | int
    acts: tuple[Act, ...]
    room: Room
    view: View
    actors: tuple[Actor, ...]
    outfits: tuple[Outfit, ...]
    wardrobe: Wardrobe

    def shots(self) -> Iterator[Shot]:
        """The pictures, in their order."""
        o = self.options
        rng = np.random.default_rng([o.seed, 2, self.number])
        look = _Development(rng)
        still = self.still()
        for k in range(int(self.seconds * o.looks_per_s)):
            time_s = k / o.looks_per_s
            people = self.staged(time_s)
            rendered = still.picture(people)
            boxes, kinds = [], []
            for number, person in enumerate(people):
                mask = rendered.person == number
                if mask.any():
                    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
                    boxes.append((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
                    kinds.append(person.kind)
            yield Shot(look.developed(rendered.rgb, rng), time_s, tuple(boxes), tuple(kinds))

    def still(self) -> StillRoom:
        """The room without anybody, cast and lit."""
        return StillRoom(self.room.scene, self.view, [self.options.seed, 3, self.number])

    def staged(self, time_s: float | int) -> list[Placed]:
        """Everybody as they are at this time, dressed."""
        people = []
        for actor, wear in zip(self.actors, self.outfits, strict=True):
            key = actor.at(time_s)
            vertices = vertices_of(actor.body, key)
            solids = self.wardrobe.dressed(actor.body, vertices, wear)
            if key.grounded:
                solids = [_not_below(solid, key.low_m) for solid in solids]
            people.append(Placed(key.kind, key.fallen, vertices, solids, key.low_m))
        return people


def draw_film(options: FilmOptions, number: int) -> Film:
    """Film ``number``: room, people, what they do, and a camera that sees it."""
    body = load_body()
    rng = np.random.default_rng([options.seed, 1, number])
    seconds = float(rng.uniform(options.shortest_s, options.longest_s))
    falls = int(rng.choice([0, 1, 2], p=[0.3, 0.45, 0.25]))
    wardrobe = Wardrobe(body)
    while True:
        film = _drawn(options, number, seconds, falls, body, wardrobe, rng)
        if film is not None:
            return film


def _drawn(
    options: FilmOptions,
    number: int,
    seconds: float | int,
    falls: int,
    body: Body,
    wardrobe: Wardrobe,
    rng: RNG,
) -> Film | None:
    first = body.shaped(draw_shape(rng))
    room = draw_room(first, wardrobe, rng)
    actor = write_script(first, room, seconds, falls, rng)
    if actor is None:
        return None
    actors = [actor]
    if rng.random() < 0.3:
        other = write_script(body.shaped(draw_shape(rng)), room, seconds, 0, rng, furniture=False)
        if other is not None and _apart(actor, other, seconds):
            actors.append(other)
    view, seen = _camera(room, actors, options, rng)
    if view is None:
        return None
    shares = iter(seen)
    acts = [
        replace(act, kind=UNCLEAR) if act.kind == FALL and next(shares) < _SEEN else act for act in actor.acts
    ]
    acts = [replace(act, end_s=min(act.end_s, seconds)) for act in acts if act.start_s < seconds]
    outfits = tuple(outfit(rng) for _ in actors)
    return Film(options, number, seconds, tuple(acts), room, view, tuple(actors), outfits, wardrobe)


def _not_below(solid: Solid, level_m: float | int) -> Solid:
    vertices = solid.vertices.copy()
    vertices[:, 2] = np.maximum(vertices[:, 2], level_m - 0.01)
    return replace(solid, vertices=vertices)


def _apart(a: Actor, b: Actor, seconds: float | int) -> bool:
    """Whether two people never walk through one another."""
    times = np.arange(0, seconds, 1.0)
    gaps = [float(np.linalg.norm(a.at(t).p[:2] - b.at(t).p[:2])) for t in times.tolist()]
    return min(gaps) > _APART_M


def _camera(
    room: Room, actors: list[Actor], options: FilmOptions, rng: RNG
) -> tuple[View | None, list[float]]:
    """The best of some places under the ceiling or on the walls, and how much of each fall it sees.

    None where it sees too little of what happens.
    """
    half, top = np.asarray(room.scene.size_m) / 2, room.scene.size_m[2]
    keys = [key for actor in actors for key in actor.keys[:: max(1, len(actor.keys) // 12)]]
    bodies = [_points(actors[0], key) for key in keys]
    landings = [_points(actors[0], key) for key in actors[0].landings]
    caster, best = Caster(room.scene), (-1.0, None, [])
    for _ in range(_CAMERAS):
        eye = np.array([*(half[:2] - rng.uniform(0.1, 0.4, 2)), 0.0]) * (*rng.choice([-1, 1], 2), 1)
        if rng.random() < 0.4:
            eye[rng.integers(2)] *= rng.uniform(-1, 1)
        eye[2] = rng.uniform(min(1.5, top - 0.3), min(top - 0.1, 2.9))
        if any(block.inside(eye[None], -0.15).any() for block in room.scene.blocks):
            continue
        target = np.mean([points.mean(axis=0) for points in (bodies + 2 * landings)], axis=0)
        view = _looking(eye, target + rng.normal(0, 0.15, 3), float(rng.uniform(55, 92)), options, rng)
        falls = [_seen(caster, view, points) for points in landings]
        score = float(np.mean([_seen(caster, view, points) for points in bodies])) + sum(falls)
        if score > best[0]:
            best = (score, view, falls)
    score, view, falls = best
    return (None, []) if score < 0.5 + 0.3 * len(landings) else (view, falls)


def _points(actor: Actor, key: Key) -> np.ndarray:
    return vertices_of(actor.body, key)[::150]


def _seen(caster: Caster, view: View, points: np.ndarray) -> float:
    """The share of these points that is in the picture and behind nothing; 0 where they are too small."""
    pixels, front = view.project(points)
    inside = front & (pixels > 2).all(axis=1) & (pixels < (view.width_px - 2, view.height_px - 2)).all(axis=1)
    if not inside.any() or min(np.ptp(pixels[inside], axis=0)) < _LEAST_PX:
        return 0.0
    way = (view.eye_m - points[inside]).astype(np.float32)
    return float((~caster.blocked(points[inside], way)).sum() / len(points))


def _looking(eye: np.ndarray, target: np.ndarray, fov_deg: float | int, o: FilmOptions, rng: RNG) -> View:
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1.0])
    right /= max(float(np.linalg.norm(right)), 1e-9)
    down = np.cross(forward, right)
    roll = np.deg2rad(rng.normal(0, 2.5))
    right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    bend = float(rng.uniform(0.05, 0.3)) if rng.random() < 0.3 else 0.0
    axes = np.stack([right, down, forward], axis=1)
    return View(eye, axes, 1 / np.tan(np.deg2rad(fov_deg) / 2), bend, o.width_px, o.height_px)


class _Development:
    """What one camera does to all its pictures; only the noise is new each time."""

    def __init__(self, rng: RNG) -> None:
        self.blur = float(rng.uniform(0.4, 0.8))
        self.cast = (1 + rng.uniform(-0.07, 0.07, 3)).astype(np.float32)
        self.wanted, self.gamma = float(rng.uniform(0.34, 0.58)), float(rng.uniform(0.85, 1.2))
        self.colour = 0.0 if rng.random() < 0.08 else float(rng.uniform(0.5, 1.05))
        self.noise, self.quality = float(rng.uniform(0.003, 0.02)), int(rng.integers(55, 95))
        self.gain: float | None = None

    def developed(self, rgb: np.ndarray, rng: RNG) -> np.ndarray:
        image = cv2.GaussianBlur(np.clip(rgb, 0, 1.6), (0, 0), self.blur * len(rgb) / 320)
        if self.gain is None:
            self.gain = float(np.clip(self.wanted / (float(np.median(image)) + 1e-3), 0.6, 1.9))
        image = np.clip(image * self.cast * self.gain, 0, None) ** self.gamma
        image = image / (1 + np.maximum(image - 0.8, 0))
        grey = image.mean(axis=2, keepdims=True)
        image = grey + (image - grey) * self.colour
        image += self.noise * rng.standard_normal((*image.shape[:2], 1), np.float32)
        bgr = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)[..., ::-1]
        _, coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        back = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        assert back is not None
        return np.ascontiguousarray(back[..., ::-1])
