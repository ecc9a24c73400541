"""The product's shape, in metres, y up, its foot on y = 0: a planter that is open at the top, with a handle
and a raised relief; and the flat mat that it stands on."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from nerfrecon.simulate.product_texture import FLOOR, FOOT, HANDLE, MAT, MAT_SIDE_M, WALL, product_texture
from nerfrecon.simulate.subject import Subject, corner_normals

HEIGHT_M, RIM_RADIUS_M = 0.100, 0.055
_FOOT_RADIUS, _WALL, _BOTTOM = 0.042, 0.006, 0.010
_AROUND = 256
_RELIEF = 0.0028
_PETALS = np.array(  # angle (degrees), height (m), half width (m), half height (m) and slant of raised leaves
    [
        (95, 0.045, 0.007, 0.022, 0.5),
        (122, 0.060, 0.006, 0.017, -0.6),
        (150, 0.038, 0.008, 0.019, 0.2),
        (185, 0.056, 0.007, 0.024, 0.7),
        (214, 0.036, 0.006, 0.015, -0.3),
        (243, 0.058, 0.009, 0.020, -0.7),
        (272, 0.044, 0.007, 0.023, 0.1),
        (300, 0.062, 0.006, 0.014, 0.4),
        (55, 0.066, 0.006, 0.013, 0.0),
        (62, 0.036, 0.007, 0.012, 0.6),
    ]
)


@lru_cache(maxsize=1)
def product(seed: int = 0) -> tuple[Subject, int]:
    """Product and mat with their texture, and how many of the faces (the first ones) are the product's.

    What little sky reaches is darker: the shade of the corners is baked from the shape. Made once: ten
    CPU-seconds.
    """
    parts = [_turned(), _handle(), _mat()]
    vertices, faces, uv, start = [], [], [], 0
    for part_vertices, part_faces, part_uv in parts:
        vertices.append(part_vertices)
        faces.append(part_faces + start)
        uv.append(part_uv)
        start += len(part_vertices)
    corners, triangles = np.concatenate(vertices), np.concatenate(faces)
    subject = Subject(
        corners, triangles, corner_normals(corners, triangles), np.concatenate(uv), product_texture(seed)
    )
    return _shaded(subject, seed), len(faces[0]) + len(faces[1])


def _profile() -> Float[np.ndarray, "n 3"]:
    """Radius, height, how much relief there is: from the middle below over the rim to the middle inside."""

    def line(a: tuple[float, float], b: tuple[float, float], n: int) -> np.ndarray:
        return np.linspace(a, b, n, endpoint=False)

    def bend(middle: tuple[float, float], radius: float, start: int, end: int, n: int) -> np.ndarray:
        turn = np.deg2rad(np.linspace(start, end, n))
        return np.array(middle) + radius * np.stack([np.cos(turn), np.sin(turn)], 1)

    foot, rim, top = _FOOT_RADIUS, RIM_RADIUS_M, HEIGHT_M
    edge, lip = 0.003, _WALL / 2
    outer = line((foot + 0.0005, edge), (rim, top - lip), 72)
    bulge = np.sin(np.pi * np.linspace(0, 1, 72, endpoint=False))
    outer[:, 0] += 0.004 * bulge
    inner = line((rim - _WALL, top - lip), (foot - _WALL + 0.001, _BOTTOM + 0.008), 56)
    inner[:, 0] += 0.003 * np.sin(np.pi * np.linspace(0, 1, 56, endpoint=False))
    corner = bend((foot - _WALL + 0.001 - 0.008, _BOTTOM + 0.008), 0.008, 0, -90, 8)
    parts = [
        (line((0.0, 0.0), (foot - edge, 0.0), 16), 0.0),
        (bend((foot - edge, edge), edge, -90, 0, 6), 0.0),
        (outer[1:], 1.0),
        (bend((rim - lip, top - lip), lip, 0, 180, 12), 0.0),
        (inner[1:], 0.0),
        (corner, 0.0),
        (line((foot - _WALL + 0.001 - 0.008, _BOTTOM), (0.0, _BOTTOM), 14)[1:], 0.0),
        (np.array([[0.0, _BOTTOM]]), 0.0),
    ]
    return np.concatenate([np.column_stack([part, np.full(len(part), relief)]) for part, relief in parts])


def _relief(turn: np.ndarray, height: np.ndarray) -> np.ndarray:
    """How far the outside is raised (m) at an angle and a height: leaves, and two uneven bands."""
    raised = np.zeros(np.broadcast(turn, height).shape)
    for angle, y, half_width, half_height, slant in _PETALS:
        across = (turn - np.deg2rad(angle) + np.pi) % (2 * np.pi) - np.pi
        along = height - y
        across = across * 0.052 - slant * along
        far = (across / half_width) ** 2 + (along / half_height) ** 2
        raised = np.maximum(raised, np.clip(1.6 * (1 - far), 0, 1) * (1 + 0.25 * np.cos(900 * along)))
    for y, half in ((0.0845, 0.0035), (0.0145, 0.0030)):
        wave = y + 0.002 * np.sin(5 * turn + 1) + 0.001 * np.sin(11 * turn)
        raised = np.maximum(raised, 0.7 * np.clip(1.5 * (1 - ((height - wave) / half) ** 2), 0, 1))
    return _RELIEF * raised / 1.25


def _turned() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The body, turned on a wheel: closed, its faces look outwards."""
    profile = _profile()
    rows = len(profile)
    turn = 2 * np.pi * np.arange(_AROUND) / _AROUND
    radius = profile[:, :1] + profile[:, 2:] * _relief(turn[None], profile[:, 1:2])
    ring = np.stack(
        [radius * np.cos(turn), np.broadcast_to(profile[:, 1:2], radius.shape), -radius * np.sin(turn)], -1
    )
    inner = ring[1:-1].reshape(-1, 3)  # the first and the last row are one point each
    vertices = np.concatenate([inner, ring[[0, -1], 0]])
    below, above = len(inner), len(inner) + 1
    k = np.arange(_AROUND)
    right = (k + 1) % _AROUND
    faces, corners = [], []  # corners: (row, column) of each, the column may be _AROUND

    def add(a: np.ndarray, b: np.ndarray, c: np.ndarray, places: list[tuple]) -> None:
        faces.append(np.stack([a, b, c], 1))
        corners.append(np.stack([np.stack(np.broadcast_arrays(r, t), -1) for r, t in places], 1))

    add(np.full(_AROUND, below), right, k, [(0, k + 0.5), (1, k + 1), (1, k)])
    for row in range(1, rows - 2):
        a, b = (row - 1) * _AROUND, row * _AROUND
        add(a + k, a + right, b + right, [(row, k), (row, k + 1), (row + 1, k + 1)])
        add(a + k, b + right, b + k, [(row, k), (row + 1, k + 1), (row + 1, k)])
    last = (rows - 3) * _AROUND
    add(
        last + k,
        last + right,
        np.full(_AROUND, above),
        [(rows - 2, k), (rows - 2, k + 1), (rows - 1, k + 0.5)],
    )
    return vertices, np.concatenate(faces), _turned_uv(profile, np.concatenate(corners).astype(np.float64))


def _turned_uv(profile: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The wall is unrolled; the disc below and the floor inside are seen flat."""
    flat = profile[:, 2] + (profile[:, 1] > 0.0005) * (profile[:, 1] > _BOTTOM + 0.0005)
    steps = np.linalg.norm(np.diff(profile[:, :2], axis=0), axis=1)
    length = np.concatenate([[0], np.cumsum(steps)])
    rows = places[..., 0].astype(np.int64)
    first = int(np.flatnonzero(profile[:, 1] > 0.0005)[0]) - 1
    last = len(profile) - 1 - int(np.flatnonzero(flat[::-1] > 0)[0]) + 1
    share = ((length - length[first]) / (length[last] - length[first]))[rows]
    uv = WALL.uv((places[..., 1] / _AROUND).ravel(), 1 - share.ravel()).reshape(*rows.shape, 2)
    turn = 2 * np.pi * places[..., 1] / _AROUND
    for region, here in ((FOOT, (rows <= first).all(1)), (FLOOR, (rows >= last).all(1))):
        disc = profile[rows[here], 0] / (2.05 * _FOOT_RADIUS)
        across, down = 0.5 + disc * np.cos(turn[here]), 0.5 + disc * np.sin(turn[here])
        uv[here] = region.uv(across.ravel(), down.ravel()).reshape(*across.shape, 2)
    return uv


def _handle() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bent rod at +x, its ends closed inside the wall."""
    along, around = 64, 32
    t = np.linspace(0, 1, along)
    turn = np.deg2rad(90 - 180 * t)
    middle = np.stack([0.0495 + 0.035 * np.cos(turn) ** 0.8, 0.053 + 0.027 * np.sin(turn), 0 * t], 1)
    middle[:, 0] += 0.003 * (1 - t)  # the wall leans outwards
    ahead = np.gradient(middle, axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    side = np.array([0.0, 0.0, 1.0])
    out = np.cross(side, ahead)
    phi = 2 * np.pi * np.arange(around) / around
    ring = (
        middle[:, None]
        + 0.0042 * np.cos(phi)[None, :, None] * out[:, None]
        + 0.0070 * np.sin(phi)[None, :, None] * side
    )
    vertices = np.concatenate([ring.reshape(-1, 3), middle[[0, -1]]])
    k = np.arange(around)
    right = (k + 1) % around
    faces, places = [], []

    def at_row(row: int, column: np.ndarray) -> np.ndarray:
        return np.stack([np.full(around, row), column], 1)

    for row in range(along - 1):
        a, b = row * around, (row + 1) * around
        one, two = (at_row(row, k), at_row(row, k + 1)), (at_row(row + 1, k), at_row(row + 1, k + 1))
        faces += [np.stack([a + k, b + right, a + right], 1), np.stack([a + k, b + k, b + right], 1)]
        places += [np.stack([one[0], two[1], one[1]], 1), np.stack([one[0], two[0], two[1]], 1)]
    for row, end, turned in ((0, along * around, False), (along - 1, along * around + 1, True)):
        a, here = row * around, [at_row(row, k), at_row(row, k), at_row(row, k + 1)]
        triangle = [np.full(around, end), a + k, a + right]
        order = [0, 2, 1] if turned else [0, 1, 2]
        faces.append(np.stack([triangle[o] for o in order], 1))
        places.append(np.stack([here[o] for o in order], 1))
    at = np.concatenate(places).astype(np.float64)
    uv = HANDLE.uv((at[..., 0] / (along - 1)).ravel(), (at[..., 1] / around).ravel())
    return vertices, np.concatenate(faces), uv.reshape(*at.shape[:2], 2)


def _mat() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square at y = 0, fine enough for the product's shadow."""
    n = 160
    x, z = (one.ravel() for one in np.meshgrid(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1)))
    vertices = np.stack([(x - 0.5) * MAT_SIDE_M, 0 * x - 1e-5, (z - 0.5) * MAT_SIDE_M], 1)
    i, j = (one.ravel() for one in np.meshgrid(np.arange(n), np.arange(n)))
    a = i + j * (n + 1)
    faces = np.concatenate([np.stack([a, a + n + 2, a + 1], 1), np.stack([a, a + n + 1, a + n + 2], 1)])
    uv = MAT.uv(x, z)
    return vertices, faces, uv[faces]


def _shaded(subject: Subject, seed: int) -> Subject:
    """With the share of the sky that each vertex sees as the shade of its corners."""
    from dataclasses import replace

    from nerfrecon.simulate.photograph import Studio

    normals = np.zeros_like(subject.vertices)
    normals[subject.faces.ravel()] = subject.corner_normals.reshape(-1, 3)
    open_ = Studio(subject).openness(subject.vertices, normals, rays=96, seed=seed)
    return replace(subject, corner_shade=(0.35 + 0.65 * open_)[subject.faces])
