"""A scene seen by a camera: who is at which pixel, and a picture with light, soft shadow and dark corners."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int

from falldet.synthetic.camera import View
from falldet.synthetic.casting import Caster, Hits
from falldet.synthetic.scene import Scene
from falldet.synthetic.textures import albedo, folds

RNG = np.random.Generator
_AROUND_M = 0.45  # how far ambient light is looked for


@dataclass(frozen=True, eq=False)
class Rendered:
    """``rgb`` from 0 to about 1; ``person`` is the place of the person at each pixel, -1 for nobody."""

    rgb: Float[np.ndarray, "h w 3"]
    person: Int[np.ndarray, "h w"]


def render(scene: Scene, view: View, backdrop: Float[np.ndarray, "h w 3"] | None, rng: RNG) -> Rendered:
    """Ray casting, one ray a pixel; Lambert's law, an ambient term, one lamp or window with soft shadows.

    A ``backdrop`` takes the place of the room; shadows fall on its floor.
    """
    size = (view.height_px, view.width_px)
    caster = Caster(scene)
    hits = caster.look(view)
    rays = view.rays().reshape(-1, 3).astype(np.float32)
    colour = _sky(rays, rng) if scene.outdoors else np.full_like(rays, 0.5)
    paint(colour, caster, hits)
    if backdrop is None:
        light = _light(caster, scene, hits.places_m, hits.normals, hits.hit, size, rng)[0]
        rgb = np.where(hits.hit[:, None], colour * light, colour)
    else:
        floor = ~hits.hit & (rays[:, 2] < -0.02)
        t = -view.eye_m[2] / np.where(floor, rays[:, 2], -1)
        places = np.where(floor[:, None], view.eye_m + rays * t[:, None], hits.places_m).astype(np.float32)
        normals = np.where(floor[:, None], np.array([0, 0, 1], np.float32), hits.normals)
        light, shade = _light(caster, scene, places, normals, hits.hit | floor, size, rng)
        photo = backdrop.reshape(-1, 3) * np.where(floor, shade, 1)[:, None]
        # The people are lit as brightly as the photograph is.
        rgb = np.where(hits.hit[:, None], colour * light * np.clip(backdrop.mean() / 0.45, 0.6, 1.5), photo)
    shine(rgb, caster, hits, rays, rng)
    return Rendered(rgb.reshape(*size, 3).astype(np.float32), hits.person.reshape(size).astype(np.int64))


def paint(colour: np.ndarray, caster: Caster, hits: Hits) -> None:
    """The colour of every surface, into ``colour`` (n, 3)."""
    seen = np.flatnonzero(hits.hit)
    by_solid = hits.solid[seen].astype(np.int16)  # sixteen bits are sorted by counting
    order = np.argsort(by_solid, kind="stable")
    bounds = np.searchsorted(by_solid[order], np.arange(len(caster.solids) + 1))
    for k, solid in enumerate(caster.solids):
        at = seen[order[bounds[k] : bounds[k + 1]]]
        if len(at):
            p, q = hits.p_m[at], hits.q_m[at]
            colour[at] = albedo(solid.material, p, q)
            if caster.people[k] >= 0 and solid.material.creases:
                colour[at] *= (1 + solid.material.creases * folds(p, q))[:, None]


def _light(
    caster: Caster,
    scene: Scene,
    places: np.ndarray,
    normals: np.ndarray,
    lit: np.ndarray,
    size: tuple,
    rng: RNG,
) -> tuple[np.ndarray, np.ndarray]:
    """Light at each pixel (n, 3), and how much of it is left of full light (n,)."""
    h, w = size
    half = np.asarray(scene.size_m) / 2
    lamp = np.array([*(rng.uniform(-0.9, 0.9, 2) * half[:2]), scene.size_m[2] * rng.uniform(0.75, 0.97)])
    radius = float(rng.uniform(0.1, 0.9))
    ambient = float(rng.uniform(0.35, 0.75))
    # Shadows are soft, so every second pixel of every second row will do: a ray to the lamp, one around.
    few = np.zeros(size, bool)
    few[::2, ::2] = True
    at = np.flatnonzero(few.ravel())
    starts = places[at] + normals[at] * 0.01
    small = ((h + 1) // 2, (w + 1) // 2)
    sphere = interleaved(small, rng)
    to_lamp = lamp + radius * sphere - starts
    around = normals[at] + 0.99 * sphere
    around *= _AROUND_M / np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1e-6)
    smoothed = []
    for way, blur in ((to_lamp, 0.6), (around, 1.5)):
        free = 1 - caster.blocked(starts, way).astype(np.float32)
        free[~lit[at]] = 1
        soft = cv2.GaussianBlur(cv2.blur(free.reshape(small), (4, 4)), (0, 0), blur * h / 320)
        smoothed.append(cv2.resize(soft, (w, h), interpolation=cv2.INTER_LINEAR).ravel())
    seen, wide = smoothed
    d = lamp.astype(np.float32) - places
    distance = np.sqrt(np.einsum("ij,ij->i", d, d))
    slope = np.clip(np.einsum("ij,ij->i", normals, d) / np.maximum(distance, 1e-6), 0, 1)
    fade = 1.0 if scene.outdoors else 1 / (0.6 + 0.4 * (distance / max(scene.size_m[2], 2)) ** 2)
    up = 0.85 + 0.15 * normals[:, 2]
    warm = np.array([1 + rng.uniform(-0.03, 0.1), 1, 1 - rng.uniform(-0.05, 0.14)], np.float32)
    open_sky = 0.35 + 0.65 * wide
    direct = (1 - ambient) * 1.5 * slope * fade * seen
    light = ambient * (up * open_sky)[:, None] + direct[:, None] * warm
    return light, ambient * open_sky + (1 - ambient) * seen


def interleaved(size: tuple[int, int], rng: RNG) -> np.ndarray:
    """Unit directions, sixteen over the sphere in blocks of 4 x 4: the mean of a block has no noise."""
    k = np.arange(16) + 0.5
    z, turn = 1 - k / 8, k * np.pi * (1 + 5**0.5)  # a spiral of golden angles
    ring = np.sqrt(1 - z**2)
    directions = np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)
    turned = directions @ np.linalg.qr(rng.normal(size=(3, 3)))[0].T
    h, w = size
    tile = rng.permutation(16).reshape(4, 4)
    return turned[np.tile(tile, (h // 4 + 1, w // 4 + 1))[:h, :w].ravel()].astype(np.float32)


def shine(rgb: np.ndarray, caster: Caster, hits: Hits, rays: np.ndarray, rng: RNG) -> None:
    """A highlight where a glossy surface mirrors the window."""
    way = np.array([rng.normal(), rng.normal(), abs(rng.normal()) + 0.3])
    way /= np.linalg.norm(way)
    gloss = np.array([s.material.gloss for s in caster.solids] + [0.0], np.float32)[hits.solid]
    at = np.flatnonzero(gloss > 0.02)
    if len(at):
        n, d = hits.normals[at], rays[at]
        mirrored = d - 2 * np.einsum("ij,ij->i", n, d)[:, None] * n
        rgb[at] += (gloss[at] * np.clip(mirrored @ way, 0, 1) ** 12)[:, None]


def _sky(rays: np.ndarray, rng: RNG) -> np.ndarray:
    high = np.clip(rays[:, 2:], 0, 1)
    horizon, zenith = np.array([0.85, 0.87, 0.9]) * rng.uniform(0.7, 1.05), np.array([0.45, 0.6, 0.85])
    return (horizon + (zenith - horizon) * high**0.5).astype(np.float32)
