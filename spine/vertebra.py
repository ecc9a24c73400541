"""Vertebrae and sacrum as closed meshes, modelled from the dimensions of `spine.anatomy`, and the posed
spine.

Each bone is a union of rounded solids in its vertebra frame (x right, y cranial, z posterior, mm): body
with a waist, pedicles, laminae round the canal, spinous and transverse processes, articular processes or
masses. `spine_mesh` poses all of them in one call, as linear blend skinning does with one rigid weight per
vertex.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Float

from spine.anatomy import BASE_POINT_IN_S1_MM, LEVELS, VERTEBRAE, VertebraSize
from spine.chain import SpineTemplate
from spine.implicit import Number, Solid, bar, cut, path, surface, union, vertical_hole
from suite.errors import BadInput
from suite.geometry.mesh import Mesh


@cache
def vertebra_mesh(level: str) -> Mesh:
    """Watertight mesh of one vertebra, or of the sacrum for S1, in its vertebra frame, mm, at size 1."""
    if level not in LEVELS:
        raise BadInput(
            f"no vertebra {level!r}", where="vertebra_mesh", hint=f"levels are {', '.join(LEVELS)}"
        )
    cell = {"C": 1.6, "T": 1.9, "L": 2.3, "S": 2.8}[level[0]]
    return Mesh(*surface(vertebra_solid(level), cell), name=level)


def spine_mesh(
    template: SpineTemplate,
    T_body_vertebra: Float[np.ndarray, "25 4 4"],
    scale: float = 1.0,
    levels: Sequence[str] = LEVELS,
) -> Mesh:
    """The posed spine in the body frame, mm: every vertex goes with its own vertebra.

    `scale` is the pose's exp(log_scale); the bones grow with it and with the template's size.
    """
    vertices, of_level, faces = _rest_spine(tuple(levels))
    T = np.asarray(T_body_vertebra, np.float64)
    if T.shape != (len(LEVELS), 4, 4) or not np.isfinite(T).all():
        raise BadInput(
            f"T_body_vertebra must be finite, ({len(LEVELS)}, 4, 4), got {T.shape}", where="spine_mesh"
        )
    local = scale * template.size * vertices
    posed = np.einsum("nij,nj->ni", T[of_level, :3, :3], local) + T[of_level, :3, 3]
    return Mesh(posed, faces, name="spine")


@lru_cache(maxsize=8)
def _rest_spine(levels: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All vertices in their own frames, the level index of each, and the faces."""
    meshes = [vertebra_mesh(level) for level in levels]
    counts = [len(m.vertices) for m in meshes]
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    of_level = np.repeat([LEVELS.index(level) for level in levels], counts)
    faces = np.concatenate([m.faces + k for m, k in zip(meshes, first, strict=True)])
    return np.concatenate([m.vertices for m in meshes]), of_level, faces


@cache
def vertebra_solid(level: str) -> Solid:
    """The bone as a signed distance in its vertebra frame, mm, at size 1."""
    if level == "S1":
        return _sacrum()
    if level == "C1":
        return _atlas(VERTEBRAE[level])
    size = VERTEBRAE[level]
    region = {"C": _cervical, "T": _thoracic, "L": _lumbar}[level[0]]
    parts = region(size, int(level[1:]))
    bone = union([_body(size), *parts], 2.0)
    canal_z = size.depth / 2 + size.canal[1] / 2
    return cut(bone, vertical_hole(0, canal_z, size.canal[0] / 2, size.canal[1] / 2), 1.5)


def _v(x: Number, y: Number, z: Number) -> np.ndarray:
    return np.array([x, y, z])


def _body(v: VertebraSize) -> Solid:
    """Elliptic drum between two tilted, slightly hollow end plates, waisted, flat at the back."""
    half = v.mid_height / 2
    slope = np.tan(np.radians(v.wedge) / 2)
    (w1, d1), (w0, d0) = v.upper, v.lower

    def distance(p: np.ndarray) -> np.ndarray:
        x, y, z = p[:, 0], p[:, 1] - v.body_y, p[:, 2]
        t = np.clip(y / (2 * half) + 0.5, 0, 1)
        waist = 1 - 0.42 * t * (1 - t)
        a, b = (w0 + t * (w1 - w0)) / 2 * waist, (d0 + t * (d1 - d0)) / 2 * waist
        flat = np.where(z > 0, 2.6, 2.1)  # a squarer outline behind
        r = ((x / a) ** flat + (np.abs(z) / b) ** flat) ** (1 / flat)
        side = (r - 1) * np.minimum(a, b)
        hollow = 1.2 * np.clip(1 - r**2, 0, 1)
        plates = np.abs(y) - (half - slope * z) + hollow  # taller in front for a positive wedge
        rim = 2.0
        outside = np.hypot(np.maximum(side + rim, 0), np.maximum(plates + rim, 0)) - rim
        return outside + np.minimum(np.maximum(side, plates) + rim, 0)

    w, d, h = max(w0, w1) / 2, max(d0, d1) / 2, half + 1 + abs(slope) * max(d0, d1) / 2
    return Solid(distance, np.array([-w, v.body_y - h, -d]), np.array([w, v.body_y + h, d]))


def _thoracic(v: VertebraSize, number: int) -> list[Solid]:
    cw, cd = v.canal
    pw, ph = v.pedicle
    back = v.depth / 2
    half = v.mid_height / 2
    low = max(0, number - 10) / 2  # 0 ... 1 from T10 to T12: towards a lumbar form
    ped_x, ped_y = cw / 2 + pw / 2, half - ph / 2
    pillar = np.array([cw / 2 + 2.5, ped_y - 3, back + 0.66 * cd])
    root = np.array([0, -0.30 * v.mid_height, back + cd + 2.2])
    reach = v.span / 2 - 3.5
    process = np.array([reach, ped_y + 1.0, pillar[2] + (reach - pillar[0]) * (0.62 - 0.25 * low)])
    end = v.spinous_tip - [0, 0, 3.0]
    above, below = (
        [pillar[0] + 1.0, half + 2.6, pillar[2] - 1.2],
        [pillar[0] - 1.5, -half - 4.4, pillar[2] + 5.8],
    )
    return [
        bar([ped_x, ped_y, back - 4], [ped_x, ped_y - 1, back + 0.6 * cd], [pw / 2, ph / 2 - 0.5]),
        bar(pillar - [0, 2.5, 0], [0.5, root[1], root[2]], [3.0, 0.52 * v.mid_height], across=(0.6, 0, 0.8)),
        bar(root, end, [3.2 + low, 6.5 + 2.0 * low], [2.3 + 0.7 * low, 3.2 + 4.3 * low]),
        bar(end - [0, 0, 1], end + _v(0, -1.0, 1), [3.0, 3.4 + 3.5 * low]),
        bar(pillar + _v(0, 1.5, 0), process, [4.6, 4.8], [3.5, 3.8], across=(0, 1, 0)),
        bar(process, process + _v(0.1, 1.0, 0.6), [4.4 - low, 4.6 - low]),
        bar(pillar + _v(1.5, 1, -1.4), above, [5.2, 2.4], [4.2, 1.9]),
        bar(pillar + _v(-1.0, -4, 3.0), below, [5.2, 2.6], [4.0, 1.8]),
    ]


def _lumbar(v: VertebraSize, number: int) -> list[Solid]:
    cw, cd = v.canal
    pw, ph = v.pedicle
    back = v.depth / 2
    half = v.mid_height / 2
    ped_x, ped_y = cw / 2 + pw / 2, half - ph / 2 - 0.5
    pillar = np.array([cw / 2 + 5.0, ped_y - 6, back + 0.80 * cd])
    root = np.array([0, -0.32 * v.mid_height, back + cd + 3.4])
    end = v.spinous_tip - [0, 0, 4.5]
    spread = {1: 0.0, 2: 0.0, 3: 1.0, 4: 2.5, 5: 6.0}[number]  # the articular pairs part downwards
    tall = 10.5 if number < 5 else 7.5
    above = [cw / 2 + 8.5 + spread, half + 6.0, back + cd + 1.5]
    below = [
        cw / 2 + 0.5 + spread,
        -half - (9.0 if number < 4 else 6.0),
        back + cd + (4.0 if number < 4 else 6.5),
    ]
    return [
        bar([ped_x, ped_y, back - 6], [ped_x, ped_y, back + 0.7 * cd], [max(4.6, min(pw / 2, 7)), ph / 2]),
        bar([ped_x, ped_y, back + 0.5 * cd], pillar, [6.0, 7.0]),
        bar(pillar - [1, 1, 0], [0.5, root[1] - 1, root[2]], [4.2, 10.0], across=(0.6, 0, 0.8)),
        bar(root, end, [4.4, 10.0], [3.2, tall - 1]),
        bar(end + _v(0, tall - 7.5, -1.0), end + _v(0, 4.5 - tall, 0.5), [4.2, 4.6]),
        bar(
            [ped_x + 1, ped_y - 2, back + 4],
            [v.span / 2 - 4, ped_y, back + 9],
            [4.0, 7.5],
            [3.0, 4.6],
            (0, 0, 1),
        ),
        bar([cw / 2 + 7, ped_y - 2, back + 0.8 * cd], above, [4.6, 7.5], [3.0, 6.6]),
        bar(
            [above[0] + 1.5, ped_y + 3, above[2] + 2.5], [above[0] + 2, ped_y + 6, above[2] + 3.5], [3.8, 4.2]
        ),
        bar(pillar + _v(-1.5, -3, 2), below, [5.0, 7.0], [3.0, 5.4]),
    ]


def _cervical(v: VertebraSize, number: int) -> list[Solid]:
    cw, cd = v.canal
    back = v.depth / 2
    half = v.mid_height / 2
    y = v.body_y
    tip = v.spinous_tip
    mass_x = cw / 2 + 4.5
    mass_z = back + 0.42 * cd
    root = np.array([0, y - 2.0, back + cd + (4.0 if number == 2 else 2.2)])
    bifid = number <= 6
    end = tip - _v(0, 0, 3.0)
    reach = v.span / 2 - 2.5
    thick = {2: 4.6, 7: 3.4}.get(number, 3.0)
    parts = [
        bar(
            [v.upper[0] / 2 - 1, y, back - 4],
            [mass_x, y, mass_z],
            [v.pedicle[0] / 2, v.pedicle[1] / 2],
            across=(0, 0, 1),
        ),
        bar([mass_x, y + 3.6, mass_z - 1.5], [mass_x, y - 4.0, mass_z + 2.5], [5.6, 4.2]),
        bar(
            [mass_x - 1, y - 1.5, mass_z + 2],
            [1, root[1], root[2]],
            [4.2 if number == 2 else 2.8, 6.2],
            across=(0.6, 0, 0.8),
        ),
        bar(root, end, [thick, 4.6], [2.6, 3.0]),
    ]
    if bifid:
        spread = 5.5 if number == 2 else 4.0
        parts.append(bar(end - [0, 0, 2], end + _v(spread, -1.0, 2.5), [2.4, 2.6], [2.0, 2.2]))
    else:
        parts.append(bar(end, end + _v(0, -0.5, 1), [4.0, 4.2]))
    if number == 2:
        parts += [
            bar([0, y + half - 4, -0.5], [0, y + half + 12.0, 0.5], [5.0, 5.2], [4.8, 4.9]),
            bar([9, y + half - 4.0, 1.5], [17.0, y + half - 6.5, 2.5], [4.2, 7.0], [3.6, 7.0], (0, 1, 0)),
        ]
        process = bar(
            [mass_x, y - 3, mass_z - 5], [reach, y - 5, mass_z - 3], [4.0, 4.0], [2.8, 2.8], (0, 1, 0)
        )
        return [*parts, process]
    uncus = bar(
        [v.upper[0] / 2 - 0.5, y + half - 1, -3], [v.upper[0] / 2 - 0.5, y + half - 0.5, back - 3], [1.6, 2.6]
    )
    front = back - 5.5
    foramen_x = v.upper[0] / 2 + 4.2
    wing = union(
        [
            bar(
                [v.upper[0] / 2 - 2, y - 0.5, front],
                [reach - 3, y - 2, front + 2.0],
                [2.2, 2.4],
                across=(0, 1, 0),
            ),
            bar([mass_x, y - 0.5, mass_z - 3], [reach, y - 2, mass_z - 3], [2.6, 2.6], across=(0, 1, 0)),
            bar([reach - 3, y - 2, front + 2], [reach, y - 2, mass_z - 3], [2.6, 2.2], across=(0, 1, 0)),
        ],
        1.5,
    )
    hole = 2.6 if number < 7 else 1.8
    return [*parts, uncus, cut(wing, vertical_hole(foramen_x, (front + mass_z) / 2 - 1, hole, hole), 0.8)]


def _atlas(v: VertebraSize) -> Solid:
    """A ring: arches in front (of the dens) and behind, lateral masses, long transverse processes."""
    y = v.body_y
    reach = v.span / 2 - 3.5
    process = bar([22, y, 11], [reach, y - 1, 13], [4.5, 5.5], [4.0, 4.5], across=(0, 1, 0))
    foramen = vertical_hole(29.5, 12.0, 3.0, 3.0)
    angle = np.radians(np.arange(0, 181, 15))
    behind = np.stack([20.5 * np.sin(angle[6:]), 0 * angle[6:] + y, 17 - 20.5 * np.cos(angle[6:])], axis=1)
    front = np.stack([20 * np.sin(angle[:5]), 0 * angle[:5] + y, 18 - 20 * np.cos(angle[:5])], axis=1)
    parts = [
        path(front, (4.6, 2.9), across=(0, 1, 0), blend_mm=0.3),
        path(behind, (3.8, 3.0), across=(0, 1, 0), blend_mm=0.3),
        bar([0, y, -3.0], [0, y + 0.1, -4.5], [3.5, 3.5]),
        bar([18.5, y + 0.5, 6.0], [20.5, y + 0.5, 17.0], [5.6, 7.6], across=(1, 0, 0)),
        bar([0, y, 38.0], [0, y - 0.3, 40.0], [3.0, 3.6]),
        cut(process, foramen, 0.8),
    ]
    return union(parts, 2.0)


def _sacrum() -> Solid:
    """Fused segments curving forwards: wings, four pairs of foramina, median crest, canal, superior
    facets."""
    plate = VertebraSize(
        29.0, 6.0, (50.0, 33.0), (38.0, 24.0), (30.0, 14.0), (20.0, 20.0), 40.0, 20.0, 108.0, -14.5
    )
    # Middle of the bone in the S1 frame (the end plate is y = 0), its half width and half thickness.
    spine = [(0, -15, 10), (0, -33, 14), (0, -55, 14.5), (0, -76, 8), (0, -93, -3), (0, -106, -15)]
    section = [(49, 17), (46, 17), (37, 14.5), (28, 11), (19, 7.5), (8, 4.5)]
    parts = [_body(plate)]
    parts += [bar(*spine[i : i + 2], *section[i : i + 2]) for i in range(5)]
    parts += [
        bar([20, -12, 8], [44, -17, 7], [9, 11], [11, 13], across=(0, 1, 0)),  # wing
        bar([46, -20, 8], [41, -46, 17], [9.5, 13], [6, 9]),  # auricular surface
        bar([22, -13, 16], [21, 4.0, 21.5], [8.5, 7.5], [6.0, 3.0]),  # superior articular process
        bar([20, -14, 24], [0.5, -20, 31], [8, 4], across=(0, 1, 0)),  # first lamina
    ]
    tip = BASE_POINT_IN_S1_MM - [0, 0, 4.0]
    crest = [(0, -21, 35), (0, -38, 36.5), tip, (0, -72, 23)]
    parts += [bar((0, y + 1, z - 9), (0, y, z - 1), (5, 8), (2.8, 5.5)) for _, y, z in crest]
    bone = union(parts, 4.0)
    canal = path([(0, 14, 23.5), (0, -20, 22), (0, -52, 22), (0, -74, 13)], (12, 5.0), blend_mm=2)
    bone = cut(bone, canal, 1.5)
    for (x, y, z), r in (
        ((23, -31, 14), 5.2),
        ((20, -53, 15), 4.8),
        ((17, -73, 9), 4.2),
        ((14, -88, 0), 3.4),
    ):
        pelvic = bar((x + 3, y - 1, z - 26), (x, y, z - 1), (r + 2, r), (r - 0.5, r - 0.5))
        dorsal = bar((x, y, z - 2), (x + 1, y, z + 26), (r - 1.5, r - 1.2), (r - 0.5, r))
        bone = cut(cut(bone, pelvic, 2.0), dorsal, 1.5)
    return bone
