"""A room that holds still is cast and lit once; then only people are cast, and what they keep light from.

Light is as in `render`: Lambert's law, an ambient term, one lamp with soft shadows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float

from falldet.synthetic.camera import View
from falldet.synthetic.casting import Caster
from falldet.synthetic.render import Rendered, interleaved, paint, shine
from falldet.synthetic.scene import Placed, Scene

_AROUND_M = 0.45
_MARGIN_PX = 14  # clothes and hair stand off the bare body


class StillRoom:
    """A scene without people before a camera that hangs still; all chance is in ``seed``."""

    def __init__(self, scene: Scene, view: View, seed: Sequence[int]) -> None:
        rng = np.random.default_rng(seed)
        self.scene, self.view, self._seed = scene, view, [*seed, 1]
        w, d, h = scene.size_m
        self._lamp = np.array([*(rng.uniform(-0.45, 0.45, 2) * (w, d)), h * rng.uniform(0.75, 0.97)])
        self._radius, self._ambient = float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.35, 0.75))
        self._warm = np.array([1 + rng.uniform(-0.03, 0.1), 1, 1 - rng.uniform(-0.05, 0.14)], np.float32)
        few = np.zeros((view.height_px, view.width_px), bool)
        few[::2, ::2] = True
        self._few = np.flatnonzero(few.ravel())  # shadows are soft: every second pixel and row will do
        self._small = ((view.height_px + 1) // 2, (view.width_px + 1) // 2)
        self._sphere = interleaved(self._small, rng)
        self._rays = view.rays().reshape(-1, 3).astype(np.float32)
        self._caster = Caster(scene)
        self._hits = hits = self._caster.look(view)
        self._depth_m = np.where(hits.hit, np.linalg.norm(hits.places_m - view.eye_m, axis=1), np.inf)
        self._colour = np.full_like(self._rays, 0.5)
        paint(self._colour, self._caster, hits)
        self._shine = np.zeros_like(self._rays)
        shine(self._shine, self._caster, hits, self._rays, np.random.default_rng(self._seed))
        starts, ways = self._ways(hits.places_m, hits.normals)
        lit = hits.hit[self._few]
        self._free = [~self._caster.blocked(starts, way) | ~lit for way in ways]

    def picture(self, people: Sequence[Placed]) -> Rendered:
        """The room with these people in it."""
        view, size = self.view, (self.view.height_px, self.view.width_px)
        caster = Caster(replace(self.scene, solids=[], blocks=[], people=list(people)))
        window = self._window(people)
        at = window.at
        hits = caster.look(window)
        distance = np.linalg.norm(hits.places_m - view.eye_m, axis=1)
        near = hits.hit & (distance < self._depth_m[at])
        colour, gloss = np.full((len(at), 3), 0.5, np.float32), np.zeros((len(at), 3), np.float32)
        paint(colour, caster, hits)
        shine(gloss, caster, hits, self._rays[at], np.random.default_rng(self._seed))
        parts = [self._colour, self._shine, self._hits.places_m, self._hits.normals]
        for k, mine in enumerate((colour, gloss, hits.places_m, hits.normals)):
            parts[k] = parts[k].copy()
            parts[k][at[near]] = mine[near]
        person = np.full(len(self._rays), -1)
        person[at[near]] = hits.person[near]
        light = self._light(caster, parts[2], parts[3], person >= 0)
        rgb = parts[0] * np.where((self._hits.hit | (person >= 0))[:, None], light, 1) + parts[1]
        return Rendered(rgb.reshape(*size, 3).astype(np.float32), person.reshape(size).astype(np.int64))

    def _light(
        self,
        caster: Caster,
        places: Float[np.ndarray, "n 3"],
        normals: Float[np.ndarray, "n 3"],
        people: Bool[np.ndarray, " n"],
    ) -> Float[np.ndarray, "n 3"]:
        w, h = self.view.width_px, self.view.height_px
        starts, ways = self._ways(places, normals)
        mine = people[self._few]
        seen = []
        for free, way, blur in zip(self._free, ways, (0.6, 1.5), strict=True):
            now = free & ~caster.blocked(starts, way)
            now[mine] = ~(
                caster.blocked(starts[mine], way[mine]) | self._caster.blocked(starts[mine], way[mine])
            )
            soft = cv2.blur(now.astype(np.float32).reshape(self._small), (4, 4))
            soft = cv2.GaussianBlur(soft, (0, 0), blur * h / 320)
            seen.append(cv2.resize(soft, (w, h), interpolation=cv2.INTER_LINEAR).ravel())
        direct, wide = seen
        d = self._lamp.astype(np.float32) - places
        distance = np.sqrt(np.einsum("ij,ij->i", d, d))
        slope = np.clip(np.einsum("ij,ij->i", normals, d) / np.maximum(distance, 1e-6), 0, 1)
        fade = 1 / (0.6 + 0.4 * (distance / max(self.scene.size_m[2], 2)) ** 2)
        sky = self._ambient * (0.85 + 0.15 * normals[:, 2]) * (0.35 + 0.65 * wide)
        lamp = (1 - self._ambient) * 1.5 * slope * fade * direct
        return sky[:, None] + lamp[:, None] * self._warm

    def _ways(self, places: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """From few of the places: just off the surface, the way to the lamp, and one around."""
        normals = normals[self._few]
        starts = places[self._few] + normals * 0.01
        around = normals + 0.99 * self._sphere
        around *= _AROUND_M / np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1e-6)
        return starts, (self._lamp + self._radius * self._sphere - starts, around)

    def _window(self, people: Sequence[Placed]) -> _Window:
        """The part of the picture that people may be in."""
        view = self.view
        low, high = np.array([view.width_px, view.height_px]), np.zeros(2, int)
        for person in people:
            pixels, front = view.project(person.vertices[::3])
            if not front.all():
                low, high = np.zeros(2, int), np.array([view.width_px, view.height_px])
                break
            low = np.minimum(low, np.floor(pixels.min(axis=0)).astype(int) - _MARGIN_PX)
            high = np.maximum(high, np.ceil(pixels.max(axis=0)).astype(int) + _MARGIN_PX)
        x1, y1 = np.clip(low, 0, (view.width_px - 1, view.height_px - 1))
        x2, y2 = np.clip(high, (x1 + 1, y1 + 1), (view.width_px, view.height_px))
        at = np.arange(view.height_px * view.width_px).reshape(view.height_px, -1)[y1:y2, x1:x2].ravel()
        whole = (view.eye_m, view.R_world_camera, view.focal, view.bend, view.width_px, view.height_px)
        return _Window(*whole, self._rays[at], at)


@dataclass(frozen=True, eq=False)
class _Window(View):
    """A part of a view: only the rays of some pixels, whose places among all are ``at``."""

    directions: np.ndarray
    at: np.ndarray

    def rays(self) -> Float[np.ndarray, "h w 3"]:
        """Of these pixels, as one row."""
        return self.directions[None]
