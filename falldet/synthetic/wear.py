"""Clothes, hair and skin: a posed body becomes solids with materials; cloth stands off the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from falldet.synthetic.solids import Solid, vertex_normals
from falldet.synthetic.textures import Material, any_colour, near
from suite.body import Body, ShapedBody

RNG = np.random.Generator


@dataclass(frozen=True)
class Outfit:
    """What each part of the body is covered with, how far the cover stands off the skin (m), and a skirt."""

    materials: dict[str, Material]
    loose_m: dict[str, float]
    skirt: Material | None = None
    skirt_end: float = 0.5
    """How far down the thighs and shanks a gown reaches: 0 the hips, 1 the ankles."""
    long_hair: bool = False


def outfit(rng: RNG) -> Outfit:
    """Patients in gowns or pyjamas, others in anything."""
    tone = rng.beta(2.2, 1.3)
    skin_rgb = np.array([0.30, 0.19, 0.13]) * (1 - tone) + np.array([0.93, 0.74, 0.63]) * tone
    r, g, b = (float(c) for c in skin_rgb)
    skin = Material((r, g, b), (0.8, 0.5, 0.4), noise=0.08, grain=0.03)
    hair_rgb = _hair(rng)
    hair = Material(hair_rgb, near(hair_rgb, rng), noise=0.3, grain=0.25, gloss=0.1)
    bald = rng.random() < 0.08
    parts: dict[str, Material] = dict.fromkeys(
        ("face", "neck", "hand", "forearm", "upper_arm", "shank", "foot", "thigh"), skin
    )
    loose: dict[str, float] = dict.fromkeys((*parts, "trunk", "hips", "eye"), 0.0)
    style = rng.choice(["dressed", "dressed", "dressed", "pyjamas", "gown", "dress", "coat"])
    shirt = _cloth(rng, light=style in ("pyjamas", "gown"))
    trousers = shirt if style == "pyjamas" and rng.random() < 0.8 else _cloth(rng)
    parts["trunk"] = shirt
    parts["hips"] = trousers if rng.random() < 0.5 else shirt
    slack = rng.uniform(0.005, 0.022)
    loose["trunk"], loose["hips"] = slack, slack * 1.1
    if rng.random() < 0.85:
        parts["upper_arm"], loose["upper_arm"] = shirt, slack
    if rng.random() < (0.35 if style == "gown" else 0.55):
        parts["forearm"], loose["forearm"] = shirt, slack * 0.9
    skirt, end = None, 0.5
    if style in ("gown", "dress", "coat"):
        skirt, end = shirt, float(rng.uniform(0.25, 0.75))
        parts["hips"] = shirt
    if style not in ("gown", "dress"):
        parts["thigh"], loose["thigh"] = trousers, rng.uniform(0.004, 0.025)
        if rng.random() < 0.85:
            parts["shank"], loose["shank"] = trousers, rng.uniform(0.004, 0.03)
    if rng.random() < 0.7:
        dark = any_colour(rng, 0.03, 0.5) if rng.random() < 0.7 else any_colour(rng, 0.5, 0.95)
        parts["foot"], loose["foot"] = Material(dark, dark, gloss=0.1), 0.008
    parts["hair"] = skin if bald else hair
    loose["hair"] = 0.0 if bald else float(rng.uniform(0.006, 0.03))
    parts["eye"] = Material((0.25, 0.2, 0.18), (0.1, 0.1, 0.1), noise=0.0, grain=0.0)
    return Outfit(parts, loose, skirt, end, not bald and rng.random() < 0.35)


def _hair(rng: RNG) -> tuple[float, float, float]:
    if rng.random() < 0.4:
        grey = float(rng.uniform(0.35, 0.9))
        return grey, grey * 0.98, grey * 0.95
    dark = float(rng.uniform(0.03, 0.35))
    return dark * 1.1, dark * 0.85, dark * 0.6


def _cloth(rng: RNG, light: bool = False) -> Material:
    colour = (
        near((0.85, 0.88, 0.92), rng, 0.15) if light and rng.random() < 0.75 else any_colour(rng, 0.05, 0.95)
    )
    pattern = rng.choice(["plain", "plain", "plain", "plain", "stripes", "checks", "dots", "speckle"])
    return Material(
        colour,
        near(colour, rng, 0.6),
        pattern,
        scale_m=float(rng.uniform(0.02, 0.12)),
        noise=float(rng.uniform(0.02, 0.15)),
        grain=float(rng.uniform(0, 0.08)),
        offset=(float(rng.uniform(0, 4)), float(rng.uniform(0, 4))),
        creases=float(rng.uniform(0.2, 0.6)),
    )


class Wardrobe:
    """Dresses bodies of one model; what depends on the model alone is computed once."""

    def __init__(self, body: Body) -> None:
        self.body = body
        face_parts = body.parts[body.faces[:, 0]]
        self._faces = {}
        for k, name in enumerate(body.part_names):
            faces = body.faces[face_parts == k]
            used, local = np.unique(faces, return_inverse=True)
            self._faces[name] = (used, local.reshape(-1, 3))
        self._scalp = np.flatnonzero(body.part("hair"))
        self._lap = np.flatnonzero(body.part("hips", "thigh", "shank"))

    def dressed(self, person: ShapedBody, vertices: Float[np.ndarray, "n 3"], wear: Outfit) -> list[Solid]:
        """Solids of the posed body with its clothes."""
        body = self.body
        normals = vertex_normals(vertices, body.faces)
        stand_off = np.zeros(len(vertices))
        for name, by in wear.loose_m.items():
            if by and name in body.part_names:
                stand_off[self._faces[name][0]] = by
        # Cloth hangs unevenly: nearly on the skin here, away from it there.
        rest = person.vertices
        wave = np.sin(rest[:, 2] * 31 + 2 * np.sin(rest[:, 0] * 11)) * np.sin(
            rest[:, 0] * 19 + rest[:, 1] * 23
        )
        outer = vertices + normals * (stand_off * (1 + 0.35 * wave))[:, None]
        solids = []
        for name, (used, faces) in self._faces.items():
            if len(faces):
                solids.append(Solid(outer[used], faces, wear.materials[name], rest[used], normals[used]))
        if wear.skirt is not None:
            solids += self._skirt(rest, outer, wear)
        if wear.long_hair:
            solids += self._long_hair(rest, outer, wear)
        return solids

    def _skirt(self, rest: np.ndarray, outer: np.ndarray, wear: Outfit) -> list[Solid]:
        z = rest[self._lap, 2]
        end = z.max() - (0.25 + 0.75 * wear.skirt_end) * (z.max() - z.min())
        hanging = self._lap[(z > end)]
        return [] if wear.skirt is None else _hull(outer[hanging][::3], wear.skirt)

    def _long_hair(self, rest: np.ndarray, outer: np.ndarray, wear: Outfit) -> list[Solid]:
        back = self._scalp[rest[self._scalp, 1] > np.median(rest[self._scalp, 1])]
        top, centre = outer[back], outer[self._scalp].mean(axis=0)
        # Falls away from the crown and down, wherever down is, not through the floor.
        low = top[::4] + 0.6 * (top[::4] - centre) * (0.6, 0.6, 0.2) - (0, 0, 0.07)
        low[:, 2] = np.maximum(low[:, 2], outer[:, 2].min())
        return _hull(np.concatenate([top[::2], low]), wear.materials["hair"])


def _hull(points: np.ndarray, material: Material) -> list[Solid]:
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(points)
    except QhullError:
        return []
    used, local = np.unique(hull.simplices, return_inverse=True)
    faces, vertices = local.reshape(-1, 3), points[used]
    out = np.einsum(
        "ij,ij->i",
        np.cross(
            vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
        ),
        hull.equations[:, :3],
    )
    faces[out < 0] = faces[out < 0][:, ::-1]
    normals = vertex_normals(vertices, faces)
    return [Solid(vertices + 0.008 * normals, faces, material, vertices - vertices.mean(axis=0), normals)]
