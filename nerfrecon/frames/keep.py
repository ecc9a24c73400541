"""Which files of a folder are photographs, and copies of them whose pixels nobody will turn."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from nerfrecon.frames.exif import read_exif
from nerfrecon.scenes.picture import read_mask, read_pixels, shrunk
from nerfrecon.scenes.pictures_folder import pictures_in, subfolder
from suite.errors import BadInput
from suite.files import atomic_write

_FOLDERS = ("images", "image", "input", "rgb", "photos", "train")
_FOREIGN = {".heic", ".heif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".jxl"}
_VIDEOS = {".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm"}
_QUALITY = 95
_APP1, _SCAN = 0xE1, 0xDA


def source_pictures(folder: Path, fewest: int) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Photographs in `folder`, or in a folder such as images in it, by name; and files of kinds that are not
    read, with the reason. Raises BadInput where there are fewer than `fewest` photographs."""
    place = folder
    if not pictures_in(folder) and (inner := subfolder(folder, _FOLDERS)) is not None:
        place = inner
    found = pictures_in(place)
    files = sorted(path for path in place.iterdir() if path.is_file())
    foreign = [path for path in files if path.suffix.lower() in _FOREIGN]
    if len(found) < fewest:
        if foreign:
            kind, count = Counter(path.suffix.lower() for path in foreign).most_common(1)[0]
            raise BadInput(
                f"holds {count} photographs as {kind[1:].upper()}, which is not read",
                place,
                hint="export them as JPEG (iPhone: Settings, Camera, Formats, Most Compatible)",
            )
        videos = [path for path in files if path.suffix.lower() in _VIDEOS]
        if videos and not found:
            raise BadInput("holds no photographs", place, hint=f"give the video itself: {videos[0]}")
        count = f"{len(found)} photograph{'' if len(found) == 1 else 's'}" if found else "no photographs"
        raise BadInput(
            f"holds {count}, and {fewest} are needed",
            place,
            hint="take 30 to 80 all around the object, each seeing most of what the one before saw",
        )
    return found, [(path, f"{path.suffix[1:].upper()} is not read: export it as JPEG") for path in foreign]


def copy_picture(path: Path, to: Path, longest_px: int | None) -> tuple[int, int]:
    """Copy a picture as its sensor wrote it, made smaller where it is larger; returns its width and height.

    A file that is to be turned loses its EXIF: a JPEG without being encoded again.
    """
    from PIL import Image

    with Image.open(path) as image:
        size, kind = image.size, image.format
    factor = 1.0 if longest_px is None else longest_px / max(size)
    if factor < 1:
        size = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
        _save(shrunk(read_pixels(path), *size), to)
    elif read_exif(path).orientation == 1:
        shutil.copyfile(path, to)
    elif kind == "JPEG":
        with atomic_write(to) as out:
            out.write(without_app1(path.read_bytes()))
    else:
        _save(read_pixels(path), to)
    return size


def copy_mask(path: Path, to: Path, size: tuple[int, int]) -> None:
    """The mask that belongs to the photograph at `path`, if there is one, as the PNG `to` of `size`."""
    from PIL import Image

    masks = subfolder(path.parent, ("masks", "mask")) or subfolder(path.parent.parent, ("masks", "mask"))
    if masks is None or masks == path.parent:
        return
    candidates = (masks / f"{path.name}.png", (masks / path.name).with_suffix(".png"), masks / path.name)
    found = next((one for one in candidates if one.is_file()), None)
    if found is None:
        return
    with Image.open(path) as image:
        mask = read_mask(found, image.size)
    to.parent.mkdir(exist_ok=True)
    grey = shrunk(np.repeat(mask[..., None], 3, 2), *size)[..., 0]
    with atomic_write(to) as out:
        Image.fromarray(grey).save(out, "PNG", compress_level=1)


def without_app1(jpeg: bytes) -> bytes:
    """A JPEG file without its APP1 segments (EXIF and XMP), everything else as it was."""
    if jpeg[:2] != b"\xff\xd8":
        return jpeg
    kept, at = [jpeg[:2]], 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != _SCAN:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != _APP1:
            kept.append(jpeg[at:end])
        at = end
    return b"".join([*kept, jpeg[at:]])


def _save(pixels: np.ndarray, to: Path) -> None:
    """In the kind that its name says, without loss where that is possible."""
    from PIL import Image

    kinds = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
    kind = kinds.get(to.suffix.lower(), "PNG")
    if kind in ("JPEG", "BMP"):
        pixels = pixels[..., :3]
    more = {"quality": _QUALITY} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    with atomic_write(to) as out:
        Image.fromarray(pixels).save(out, kind, **more)
