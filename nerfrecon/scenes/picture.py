"""The pictures of a scene: as stored, with what is transparent, made smaller by area.

A pose belongs to the pixels as they are stored, so a picture is never turned: one whose EXIF asks for it is
taken as stored where its size proves that the camera means that, and refused otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from nerfrecon.scenes.lens import LensCamera
from suite.data.images import read_image_size
from suite.errors import BadInput

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels as the field is to see them: RGB, or RGBA with straight (not premultiplied) alpha.

    `camera` is that of this size. `usable` is False where a pixel says nothing and is not to be learned from;
    None where all do.
    """

    pixels: UInt8[np.ndarray, "h w c"]
    camera: LensCamera
    usable: Bool[np.ndarray, "h w"] | None = None


class PictureHeader(NamedTuple):
    """What a picture's header says of it."""

    width: int
    height: int
    has_alpha: bool


def read_header(path: Path, said: tuple[int, int] | None = None) -> PictureHeader:
    """Size of the stored pixels and whether they have transparency; `said` is the width and height of the
    camera.

    Raises BadInput for a file that is missing or no picture, of another size than `said`, or to be turned.
    """
    from PIL import Image

    turned_size = read_image_size(path)  # names what is wrong with the file
    with _explained(path), Image.open(path) as image:
        width, height, has_alpha = *image.size, image.has_transparency_data
        # For EXIF behind a PNG's pixels Pillow decodes them all; its size betrays quarter turns anyway.
        known = image.format != "PNG" or "exif" in image.info
        orientation = image.getexif().get(_ORIENTATION, 1) if known else 1
    quarter_turn = turned_size != (width, height) or orientation in _QUARTER_TURNS
    if (orientation != 1 or quarter_turn) and not (quarter_turn and said == (width, height) != turned_size):
        raise BadInput(
            f"is to be turned by its EXIF (orientation {orientation}); its pose does not say if it was",
            path,
            hint="write the pictures upright without EXIF and find their poses again",
        )
    if said is not None and said != (width, height):
        raise BadInput(
            f"is {width} x {height} px but its camera says {said[0]} x {said[1]} px",
            path,
            hint="use the pictures that the poses were found on, or scale the camera's numbers",
        )
    return PictureHeader(width, height, has_alpha)


def read_pixels(path: Path) -> UInt8[np.ndarray, "h w c"]:
    """RGB, or RGBA where there is transparency, of the stored pixels. Raises BadInput for a damaged file."""
    with _opened(path) as image:
        if image.has_transparency_data:
            return np.array(image.convert("RGBA"))
        return np.array(_eight_bits(image).convert("RGB"))


def read_mask(path: Path, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """Grey levels of a mask of `size` (width, height); a mask of zeros and ones is stretched.

    Raises BadInput for a mask of another size, or black everywhere.
    """
    with _opened(path) as image:
        grey = np.array(_eight_bits(image).convert("L"))
    if grey.shape[::-1] != size:
        raise BadInput(
            f"mask is {grey.shape[1]} x {grey.shape[0]} px but its picture is {size[0]} x {size[1]} px",
            path,
            hint="make the mask of the same picture",
        )
    if grey.max() == 0:
        raise BadInput(
            "mask is black everywhere", path, hint="paint the object white, or leave this view out"
        )
    return grey * np.uint8(255) if grey.max() == 1 else grey


def shrunk(pixels: UInt8[np.ndarray, "h w c"], width: int, height: int) -> UInt8[np.ndarray, "h2 w2 c"]:
    """Pixels averaged by the area that each of the smaller picture covers; colour weighted by its alpha."""
    import cv2

    if pixels.shape[:2] == (height, width):
        return pixels
    size = (width, height)
    if pixels.shape[2] == 3:
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    alpha = pixels[..., 3:].astype(np.float32)
    weighed = np.concatenate([pixels[..., :3] * alpha, alpha], axis=2)
    weighed = np.asarray(cv2.resize(weighed, size, interpolation=cv2.INTER_AREA))
    # Where nothing is left of a pixel its colour does not matter: the plain average keeps it sensible.
    plain = np.asarray(cv2.resize(pixels[..., :3], size, interpolation=cv2.INTER_AREA), np.float32)
    alpha = weighed[..., 3:]
    colour = np.where(alpha > 0, weighed[..., :3] / np.maximum(alpha, 1e-6), plain)
    return np.round(np.concatenate([colour, alpha], axis=2)).clip(0, 255).astype(np.uint8)


def _eight_bits(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey, whatever Pillow calls it
        counts = np.asarray(image, np.float64) / 257.0
        return Image.fromarray(np.round(counts).clip(0, 255).astype(np.uint8))
    return image


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    from PIL import Image

    read_image_size(path)
    with _explained(path), Image.open(path) as image:
        image.load()
        yield image


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"cannot be decoded ({reason})",
            path,
            hint="the file is damaged or truncated: copy or export it again",
        ) from None
