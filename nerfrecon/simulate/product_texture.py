"""The printed side of the product and of its mat: one picture, made of noise, lettering and shapes.

Nothing in it repeats, so that matching has one answer everywhere. Regions (columns x rows in pixels, from the
picture's upper left): the wall from the inner corner over the rim to the foot, once around; the floor inside;
the foot below; the handle; the mat.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from nerfrecon.simulate.options import MARKER_DICTIONARY, MARKER_ID, MARKER_SIDE_M

WIDTH, HEIGHT = 2048, 3840
MAT_SIDE_M = 0.48
MARKER_MIDDLE_M = (-0.125, 0.085)
"""x and z of the marker's middle on the mat."""
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789&%#?"
_FONTS = (2, 3, 4, 6, 7)  # of Hershey's
_INSET = 3  # pixels that bilinear looking-up must not cross


class Region(NamedTuple):
    """A rectangle of the picture."""

    left: int
    top: int
    width: int
    height: int

    def uv(self, across: Float[np.ndarray, " n"], down: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
        """Texture coordinates (v upwards) of places in [0, 1]^2 of the region."""
        x = self.left + _INSET + across * (self.width - 2 * _INSET)
        y = self.top + _INSET + down * (self.height - 2 * _INSET)
        return np.stack([x / WIDTH, 1 - y / HEIGHT], -1)


WALL = Region(0, 0, 2048, 1280)
FLOOR = Region(0, 1280, 512, 512)
FOOT = Region(512, 1280, 512, 512)
HANDLE = Region(1024, 1280, 1024, 512)
MAT = Region(0, 1792, 2048, 2048)

_GLAZE = np.array([[0.10, 0.36, 0.40], [0.90, 0.80, 0.58], [0.66, 0.25, 0.15], [0.22, 0.50, 0.33]])
_INSIDE = np.array([[0.93, 0.88, 0.74], [0.84, 0.62, 0.36], [0.52, 0.66, 0.70], [0.78, 0.42, 0.30]])
_PRINT = np.array(
    [[0.95, 0.95, 0.96], [0.80, 0.84, 0.90], [0.35, 0.45, 0.66], [0.16, 0.19, 0.30], [0.60, 0.66, 0.76]]
)
_INKS = np.array(
    [[0.10, 0.12, 0.20], [0.92, 0.93, 0.95], [0.20, 0.35, 0.75], [0.93, 0.82, 0.20], [0.5, 0.5, 0.55]]
)


def product_texture(seed: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    """The picture that `Region.uv` points into."""
    rng = np.random.default_rng(seed)
    texture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    wall = _marbled((WALL.height, WALL.width), _GLAZE, 6, rng, wraps=True)
    half = WALL.height * 8 // 17  # the rim lies near there
    wall[:half] = _marbled((half, WALL.width), _INSIDE, 7, rng, wraps=True)
    for top, bottom, rows in ((20, half - 60, 7), (half + 80, WALL.height - 60, 7)):
        _lettered(wall[top:bottom], rows, rng)
        _scattered(wall[top:bottom], 90, (3, 12), rng)
    _put(texture, WALL, wall)
    for region, palette in ((FLOOR, _INSIDE), (FOOT, _GLAZE), (HANDLE, _GLAZE[::-1])):
        part = _marbled((region.height, region.width), palette, 7, rng)
        _lettered(part, 4, rng)
        _scattered(part, 40, (4, 14), rng)
        _put(texture, region, part)
    _put(texture, MAT, _mat(rng))
    return texture


def _mat(rng: np.random.Generator) -> np.ndarray:
    import cv2

    mat = _marbled((MAT.height, MAT.width), _PRINT, 9, rng)
    _scattered(mat, 480, (8, 44), rng, _INKS)
    _lettered(mat, 22, rng)
    per_m = (MAT.width - 2 * _INSET) / MAT_SIDE_M
    side = round(MARKER_SIDE_M * per_m)
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, MARKER_DICTIONARY))
    marker = np.repeat(cv2.aruco.generateImageMarker(dictionary, MARKER_ID, side)[..., None], 3, 2)
    # Seen from above, x to the right and z down the picture.
    x, y = (round(_INSET + (MAT_SIDE_M / 2 + m) * per_m - side / 2) for m in MARKER_MIDDLE_M)
    quiet = side // 5
    mat[y - quiet : y + side + quiet, x - quiet : x + side + quiet] = 245
    mat[y : y + side, x : x + side] = np.clip(marker, 12, 245)
    return mat


def _put(texture: np.ndarray, region: Region, part: np.ndarray) -> None:
    texture[region.top : region.top + region.height, region.left : region.left + region.width] = part


def _marbled(
    shape: tuple[int, int], palette: np.ndarray, cells: int, rng: np.random.Generator, wraps: bool = False
) -> np.ndarray:
    """Blended value noise of seven octaves, nearly one colour of the palette at a time."""
    import cv2

    height, width = shape
    mixed = np.zeros((height, width, len(palette)), np.float32)
    for octave in range(7):
        n = cells * 2**octave
        rows = max(3, round(n * height / width))
        grid = rng.uniform(-1, 1, (rows, n, len(palette))).astype(np.float32)
        around = 2
        if wraps:
            grid = np.concatenate([grid[:, -around:], grid, grid[:, :around]], 1)
            pad = round(around * width / n)
            layer = cv2.resize(grid, (width + 2 * pad, height), interpolation=cv2.INTER_CUBIC)
            layer = layer[:, pad : pad + width]
        else:
            layer = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        mixed += layer / 1.35**octave
    sharp = np.exp(3.5 * mixed)
    colour = sharp @ palette.astype(np.float32) / sharp.sum(2, keepdims=True)
    return np.round(255 * colour.clip(0, 1)).astype(np.uint8)


def _lettered(part: np.ndarray, rows: int, rng: np.random.Generator) -> None:
    """Lines of random letters over the part, dark or light, none like another."""
    import cv2

    height, width = part.shape[:2]
    for row in range(rows):
        x, line = int(rng.integers(0, 30)), (row + 0.75) * height / rows
        while x < width - 40:
            text = "".join(rng.choice(list(_LETTERS), int(rng.integers(2, 7))))
            size, font = float(rng.uniform(0.45, 1.25)), int(rng.choice(_FONTS))
            thick = 1 + int(size > 0.8)
            (across, _), _ = cv2.getTextSize(text, font, size, thick)
            if x + across > width - 12:
                break
            ink = rng.uniform(5, 60, 3) if rng.random() < 0.6 else rng.uniform(200, 250, 3)
            cv2.putText(part, text, (x, int(line)), font, size, ink.tolist(), thick, cv2.LINE_AA)
            x += across + int(rng.integers(12, 60))


def _scattered(
    part: np.ndarray,
    count: int,
    sizes: tuple[int, int],
    rng: np.random.Generator,
    inks: np.ndarray | None = None,
) -> None:
    """Discs, rings, bars and triangles of random colours, or near `inks`."""
    import cv2

    height, width = part.shape[:2]
    for _ in range(count):
        size = int(rng.integers(*sizes))
        x, y = int(rng.integers(size, width - size)), int(rng.integers(size, height - size))
        ink, kind = rng.uniform(10, 245, 3), int(rng.integers(4))
        if inks is not None:
            ink = 255 * inks[rng.integers(len(inks))] + rng.uniform(-25, 25, 3)
        ink = ink.clip(0, 255).tolist()
        if kind < 2:
            cv2.circle(part, (x, y), size, ink, -1 if kind else max(1, size // 3), cv2.LINE_AA)
            continue
        turn = rng.uniform(0, 2 * np.pi, 3) if kind == 2 else rng.uniform(0, 2 * np.pi) + np.pi * np.arange(2)
        ends = np.stack([x + size * np.cos(turn), y + size * np.sin(turn)], -1).astype(np.int32)
        if kind == 2:
            cv2.fillPoly(part, [ends], ink, cv2.LINE_AA)
        else:
            cv2.line(part, ends[0].tolist(), ends[1].tolist(), ink, max(2, size // 4), cv2.LINE_AA)
