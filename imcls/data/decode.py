"""Image files to 8-bit RGB, no larger than needed: the common JPEG on a fast path, all else by Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from imcls.data.resize import resized, size_with_short_side
from suite.data.images import read_image
from suite.errors import BadInput

_FAR_LARGER = 4
"""Shorter side over the one wanted, from which libjpeg shrinks while it decodes."""
_MOST_PIXELS = 100_000_000
_HEADER_BYTES = 1 << 18  # EXIF with its small picture, and colour profiles, come before the size


def decode(
    path: str | Path, short_px: int | None = None, box: Float[np.ndarray, " 4"] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """RGB as :func:`suite.data.images.read_image` gives it, shrunk to a shorter side of ``short_px``; smaller
    images stay as they are.

    ``box`` (x0, y0, x1, y1 in pixels of the upright image) cuts a part out first. Raises BadInput for a file
    that cannot be read, and for a box outside of the image.
    """
    path = Path(path)
    rgb = _read(path, short_px if box is None else None)
    if box is not None:
        rgb = _cut(rgb, box, path)
    if short_px is None or min(rgb.shape[:2]) <= short_px:
        return np.ascontiguousarray(rgb)
    return resized(rgb, *size_with_short_side(rgb.shape[0], rgb.shape[1], short_px))


def jpeg_header(data: np.ndarray) -> tuple[int, int, int] | None:
    """Height, width (as stored, before EXIF) and components of a JPEG file; None where there is no header."""
    raw = bytes(data[:_HEADER_BYTES])
    at, end = 2, len(raw)
    if raw[:2] != b"\xff\xd8":
        return None
    while at + 9 < end and raw[at] == 0xFF:
        marker = raw[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame (T.81, B.2.2)
            return raw[at + 5] << 8 | raw[at + 6], raw[at + 7] << 8 | raw[at + 8], raw[at + 9]
        else:
            at += 2 + (raw[at + 2] << 8 | raw[at + 3])
    return None


def _read(path: Path, short_px: int | None) -> np.ndarray:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return read_image(path)  # which says in one line what is wrong
    header = jpeg_header(data)
    if header is None or header[2] not in (1, 3) or header[0] * header[1] > _MOST_PIXELS:
        return read_image(path)
    if short_px is not None and min(header[:2]) >= _FAR_LARGER * short_px:
        return _shrunk_photograph(path, 2 * short_px)
    from torchvision.io import ImageReadMode, decode_jpeg

    try:
        planes: Any = decode_jpeg(
            torch.from_numpy(data), mode=ImageReadMode.UNCHANGED, apply_exif_orientation=True
        )
    except RuntimeError:
        return read_image(path)
    return (planes if len(planes) == 3 else planes.expand(3, -1, -1)).permute(1, 2, 0).numpy()


def _shrunk_photograph(path: Path, short_px: int) -> np.ndarray:
    """Decoded at 1/2, 1/4 or 1/8, as libjpeg can, with a shorter side of ``short_px`` at least."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            image.draft("RGB", (short_px, short_px))
            ImageOps.exif_transpose(image, in_place=True)
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError):
        return read_image(path)


def _cut(rgb: np.ndarray, box: np.ndarray, path: Path) -> np.ndarray:
    height, width = rgb.shape[:2]
    x0, y0 = (int(np.floor(max(edge, 0.0))) for edge in box[:2])
    x1, y1 = int(np.ceil(min(box[2], width))), int(np.ceil(min(box[3], height)))
    if x1 <= x0 or y1 <= y0:
        raise BadInput(
            f"the box {tuple(round(float(edge), 1) for edge in box)} lies outside of the image of "
            f"{width} x {height} px",
            path,
            hint="do the boxes belong to this image, and to its upright position?",
        )
    return rgb[y0:y1, x0:x1]
