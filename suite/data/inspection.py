"""One image file, looked at once: what kind of file, which picture, what is wrong with it."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from suite.data.images import read_image
from suite.errors import BadInput

THUMB_PX = 32
TINY_PX = 32
ELONGATED = 4.0
_ORIENTATION = 0x0112
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Look:
    """What is known of one image, or of one box of an image.

    ``pixels`` is a digest of the decoded picture, the same for copies saved without loss; ``thumb`` its
    luminance, averaged down to (THUMB_PX, THUMB_PX) uint8. ``problem`` is empty where the image can be read.
    """

    pixels: str
    width_px: int
    height_px: int
    format: str
    kinds: tuple[str, ...]
    problem: str
    thumb: np.ndarray


def inspect_image(path: Path, content: bytes, boxes: Sequence[Box | None]) -> list[Look]:
    """Look at the file ``path`` with bytes ``content``, once for every box (None is the whole picture).

    What cannot be read is told in ``problem``, never raised.
    """
    form, kinds = _file_kinds(content)
    try:
        rgb = read_image(path)
    except BadInput as error:
        return [_broken(form, kinds, error.what) for _ in boxes]
    return [_look(rgb, box, form, kinds) for box in boxes]


def _look(rgb: np.ndarray, box: Box | None, form: str, kinds: tuple[str, ...]) -> Look:
    from PIL import Image

    if box is not None:
        height, width = rgb.shape[:2]
        left, right = (round(min(max(x, 0), width)) for x in (box[0], box[2]))
        top, bottom = (round(min(max(y, 0), height)) for y in (box[1], box[3]))
        rgb = rgb[top:bottom, left:right]
        if rgb.size == 0:
            return _broken(form, kinds, "its box holds no pixel of the picture")
    height, width = rgb.shape[:2]
    short, long = min(height, width), max(height, width)
    kinds += ("tiny",) * (short < TINY_PX) + ("elongated",) * (long > ELONGATED * short)
    digest = hashlib.sha256(f"{height}x{width}:".encode() + np.ascontiguousarray(rgb).tobytes()).hexdigest()
    # Pillow's bilinear filter widens with the reduction, so that every pixel counts.
    grey = Image.fromarray(np.ascontiguousarray(rgb)).convert("L")
    thumb = np.asarray(grey.resize((THUMB_PX, THUMB_PX), Image.Resampling.BILINEAR))
    return Look(digest, width, height, form, kinds, "", thumb)


def _broken(form: str, kinds: tuple[str, ...], problem: str) -> Look:
    return Look("", 0, 0, form, kinds, problem, np.zeros((THUMB_PX, THUMB_PX), np.uint8))


def _file_kinds(content: bytes) -> tuple[str, tuple[str, ...]]:
    """The format and what is unusual about the file, by its header; empty where Pillow knows it not."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
                marks = {
                    "CMYK": image.mode == "CMYK",
                    "grey": image.mode in ("L", "1", "LA", *_DEEP),
                    "16-bit": image.mode in _DEEP,
                    "transparent": image.has_transparency_data,
                    "EXIF-rotated": turned,
                    "animated": getattr(image, "n_frames", 1) > 1 and image.format != "MPO",
                }
                return image.format or "", tuple(kind for kind, holds in marks.items() if holds)
    except Exception:  # whatever a decoder raises on a damaged header; reading the pixels will name it
        return "", ()
