"""Image files in and out: 8-bit RGB photographs and 16-bit depth PNG."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from suite.errors import BadInput
from suite.files import atomic_write

if TYPE_CHECKING:
    from PIL import Image

_JPEG_QUALITY = 95
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
_DAMAGED = "the file is damaged or truncated: copy or export it again"


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """RGB as a person sees the picture: turned as its EXIF says, transparent parts over white.

    Grey, palette, CMYK, 16-bit and animated images (the first frame) are taken. Raises BadInput for a file
    that is missing, empty, truncated or not an image.
    """
    from PIL import ImageOps

    with _opened(Path(path)) as image:
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode.startswith("I;16") or image.mode == "I":
            grey = np.asarray(image, np.float64) / 257.0
            rgb = np.repeat(np.clip(np.round(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
        elif image.mode == "F":
            raise BadInput(
                "holds floating-point values, not a picture", path, hint="export it as 8 or 16 bit"
            )
        elif image.has_transparency_data:
            rgba = np.asarray(image.convert("RGBA"), np.float64)
            alpha = rgba[..., 3:] / 255.0
            rgb = np.round(rgba[..., :3] * alpha + 255.0 * (1 - alpha)).astype(np.uint8)
        else:
            rgb = np.array(image.convert("RGB"))
    return rgb


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels of what :func:`read_image` gives, from the file's header alone.

    Raises BadInput for a file that is missing, empty or not an image; damage behind the header is not seen.
    """
    from PIL import Image

    path = Path(path)
    with _file(path) as stream, _explained(path):
        image = Image.open(stream)
        turned = _says_how_it_lies(image, stream) and image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
        width, height = image.size
    return (height, width) if turned else (width, height)


def write_image(path: str | Path, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
    """PNG or JPEG (quality 95) by the file's suffix. Atomic."""
    from PIL import Image

    path, rgb = Path(path), np.asarray(rgb)
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    if path.suffix.lower() not in kinds:
        raise BadInput(
            f"cannot write an image as {path.suffix!r}", path, hint=f"use one of {', '.join(kinds)}"
        )
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise BadInput(f"image has shape {rgb.shape} and type {rgb.dtype}, not (h, w, 3) uint8", path)
    with atomic_write(path) as out:
        Image.fromarray(rgb).save(out, kinds[path.suffix.lower()], quality=_JPEG_QUALITY)


def read_depth_png(path: str | Path, depth_unit_m: float) -> Float[np.ndarray, "h w"]:
    """Depth in metres (float32) of a 16-bit grey PNG whose counts are `depth_unit_m`; NaN where the count
    is 0.

    Raises BadInput for a file that is missing, empty, truncated, or of another bit depth.
    """
    counts = read_counts_png(path)
    depth_m = (counts * float(depth_unit_m)).astype(np.float32)
    depth_m[counts == 0] = np.nan
    return depth_m


def write_depth_png(path: str | Path, depth_m: Float[np.ndarray, "h w"], depth_unit_m: float) -> None:
    """16-bit grey PNG of depth in counts of `depth_unit_m`, to the nearest; NaN and 0 become 0. Atomic.

    What `read_depth_png` gave is written back exactly. Raises BadInput for depth that is negative, infinite
    or more than 65535 counts.
    """
    from PIL import Image

    counts = depth_counts(depth_m, depth_unit_m, path)
    with atomic_write(Path(path)) as out:
        Image.fromarray(counts).save(out, "PNG", compress_level=1)


def read_counts_png(path: str | Path) -> np.ndarray:
    """The counts (h, w) uint16 of a 16-bit grey PNG, as stored."""
    with _opened(Path(path)) as image:
        if not image.mode.startswith("I;16") and not (image.mode == "I" and image.format == "PNG"):
            raise BadInput(
                f"is an image of mode {image.mode!r}, not 16-bit grey",
                path,
                hint="export depth as 16-bit PNG",
            )
        return np.array(image).astype(np.uint16)


def depth_counts(
    depth_m: Float[np.ndarray, "h w"], depth_unit_m: float, where: str | Path | None = None
) -> np.ndarray:
    """Depth (m) as counts (h, w) uint16 of `depth_unit_m`; raises BadInput for what does not fit."""
    if not (np.isfinite(depth_unit_m) and depth_unit_m > 0):
        raise BadInput(f"depth unit is {depth_unit_m} m", where, hint="give a positive length, such as 0.001")
    depth = np.asarray(depth_m, np.float64)
    if depth.ndim != 2:
        raise BadInput(f"depth image has shape {depth.shape}, not (h, w)", where)
    counts = np.round(np.where(np.isnan(depth), 0.0, depth) / depth_unit_m)
    if counts.size and not (counts.min() >= 0 and counts.max() <= 65535):
        low, high = np.nanmin(depth), np.nanmax(depth)
        raise BadInput(
            f"depth from {low:g} to {high:g} m does not fit into 16 bits of {depth_unit_m:g} m",
            where,
            hint=f"give depth from 0 to {65535 * depth_unit_m:g} m, or a larger unit",
        )
    return counts.astype(np.uint16)


def _says_how_it_lies(image: Image.Image, stream: IO[bytes]) -> bool:
    """Whether the file holds EXIF or XMP; Pillow's getexif would decode any PNG to know."""
    if image.format != "PNG" or not image.info.keys().isdisjoint(("exif", "xmp", "Raw profile type exif")):
        return True
    before, pixels = stream.tell(), False
    stream.seek(8)
    try:
        while len(head := stream.read(8)) == 8:
            if pixels and head[4:] in (b"eXIf", b"iTXt", b"zTXt", b"tEXt"):
                return True  # what stands behind the pixels is in info only once they are decoded
            pixels |= head[4:] == b"IDAT"
            stream.seek(int.from_bytes(head[:4], "big") + 4, 1)
    finally:
        stream.seek(before)
    return False


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A fully decoded Pillow image; whatever the decoder raises becomes one BadInput."""
    from PIL import Image

    with _file(path) as stream:
        with _explained(path):
            image = Image.open(stream)
            image.load()
        yield image


def _file(path: Path) -> IO[bytes]:
    if not path.exists():
        raise BadInput("no such file", path)
    if not path.is_file():
        raise BadInput("is not a file", path)
    if path.stat().st_size == 0:
        raise BadInput("is empty (0 bytes)", path, hint="copy or export it again")
    return path.open("rb")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnidentifiedImageError:
        raise BadInput("is not an image, or of a kind that is not read", path) from None
    except Image.DecompressionBombError:
        raise BadInput("is larger than any photograph", path, hint="scale the image down") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"cannot be decoded ({reason})", path, hint=_DAMAGED) from None
