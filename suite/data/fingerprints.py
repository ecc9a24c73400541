"""Fingerprints of images: of the file, of its pixels, and a thumbnail by which look-alikes are found.

Every file is read (its digest needs the bytes), but a picture is decoded only once: what was seen is kept by
content, so that renamed and moved files cost nothing and changed files are never mistaken.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float

from suite.data.inspection import THUMB_PX, Box, Look, inspect_image
from suite.files import atomic_write
from suite.progress import track

_VERSION = 1
_CACHE_FILE = "fingerprints.npz"
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
}


@dataclass(frozen=True)
class Fingerprints:
    """Columns over n images. ``sha256`` is of the file's bytes ("" where there is no file), ``pixels`` of
    the decoded picture or crop ("" where it cannot be read); ``sizes_px`` (n, 2) int64 width and height;
    ``thumbs`` (n, 32, 32) uint8 luminance; ``problems`` says why an image cannot be read, else "".
    """

    names: tuple[str, ...]
    sha256: tuple[str, ...]
    pixels: tuple[str, ...]
    file_bytes: np.ndarray
    sizes_px: np.ndarray
    kinds: tuple[tuple[str, ...], ...]
    problems: tuple[str, ...]
    thumbs: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.names)
        columns = (self.sha256, self.pixels, self.file_bytes, self.sizes_px, self.kinds, self.problems)
        if {len(column) for column in columns} != {n} or self.thumbs.shape != (n, THUMB_PX, THUMB_PX):
            raise ValueError(f"columns of different lengths, or thumbs of shape {self.thumbs.shape}")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def readable(self) -> np.ndarray:
        """(n,) bool."""
        return np.array([not problem for problem in self.problems], bool)

    def joined(self, other: Fingerprints) -> Fingerprints:
        """These images followed by the others."""
        return Fingerprints(
            names=self.names + other.names,
            sha256=self.sha256 + other.sha256,
            pixels=self.pixels + other.pixels,
            file_bytes=np.concatenate([self.file_bytes, other.file_bytes]),
            sizes_px=np.concatenate([self.sizes_px, other.sizes_px]),
            kinds=self.kinds + other.kinds,
            problems=self.problems + other.problems,
            thumbs=np.concatenate([self.thumbs, other.thumbs]),
        )


@dataclass(frozen=True)
class _File:
    sha256: str
    size: int
    looks: dict[str, Look]  # by content key
    seen: tuple[tuple[int, Look], ...]  # row, look


def fingerprints(
    names: Sequence[str],
    paths: Sequence[Path],
    boxes: Float[np.ndarray, "n 4"] | None = None,
    cache: Path | None = None,
    workers: int | None = None,
    what: str = "Looking at images",
) -> Fingerprints:
    """Look at every image; what cannot be read is told in ``problems``, never raised.

    ``boxes`` (x0, y0, x1, y1 in pixels) are the parts that are meant, where not whole pictures. ``cache`` is
    a folder where looks are kept by content. ``workers`` are threads (Pillow decodes outside the
    interpreter's lock); as many as there are cores where not given.
    """
    known = _read_cache(cache)
    rows: dict[Path, list[int]] = {}
    for row, path in enumerate(paths):
        rows.setdefault(path, []).append(row)

    def one(item: tuple[Path, list[int]]) -> _File:
        path, mine = item
        return _inspect(path, mine, [_box(boxes, row) for row in mine], known)

    n = len(paths)
    sha, size = [""] * n, np.zeros(n, np.int64)
    looks: list[Look | None] = [None] * n
    fresh: dict[str, Look] = {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        done: Iterator[_File] = pool.map(one, rows.items())
        for file in track(done, what, total=len(rows)):
            fresh |= {key: look for key, look in file.looks.items() if key not in known}
            for row, look in file.seen:
                sha[row], size[row], looks[row] = file.sha256, file.size, look
    if fresh:
        _write_cache(cache, known | fresh)
    found = [look for look in looks if look is not None]
    kinds = (_with_name(look, path) for look, path in zip(found, paths, strict=True))
    return Fingerprints(
        names=tuple(names),
        sha256=tuple(sha),
        pixels=tuple(look.pixels for look in found),
        file_bytes=size,
        sizes_px=np.array([(look.width_px, look.height_px) for look in found], np.int64).reshape(n, 2),
        kinds=tuple(kinds),
        problems=tuple(look.problem for look in found),
        thumbs=np.stack([look.thumb for look in found]) if n else np.zeros((0, THUMB_PX, THUMB_PX), np.uint8),
    )


def _inspect(path: Path, rows: Sequence[int], boxes: list[Box | None], known: dict[str, Look]) -> _File:
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        missing = Look("", 0, 0, "", (), reason, np.zeros((THUMB_PX, THUMB_PX), np.uint8))
        return _File("", 0, {}, tuple((row, missing) for row in rows))
    digest = hashlib.sha256(content).hexdigest()
    keys = [_key(digest, box) for box in boxes]
    looks = {key: known[key] for key in keys if key in known}
    pending = {key: box for key, box in zip(keys, boxes, strict=True) if key not in looks}
    if pending:
        looks |= zip(pending, inspect_image(path, content, list(pending.values())), strict=True)
    return _File(
        digest, len(content), looks, tuple((r, looks[key]) for r, key in zip(rows, keys, strict=True))
    )


def _box(boxes: np.ndarray | None, row: int) -> Box | None:
    if boxes is None:
        return None
    x0, y0, x1, y1 = (float(value) for value in boxes[row])
    return x0, y0, x1, y1


def _key(digest: str, box: Box | None) -> str:
    return digest if box is None else f"{digest}:" + ",".join(f"{value:g}" for value in box)


def _with_name(look: Look, path: Path) -> tuple[str, ...]:
    """The kinds, and whether the name promises another format than the bytes hold."""
    fits = _SUFFIXES.get(look.format)
    return look.kinds + ("misnamed",) * (fits is not None and path.suffix.lower() not in fits)


def _read_cache(folder: Path | None) -> dict[str, Look]:
    if folder is None or not (folder / _CACHE_FILE).is_file():
        return {}
    try:
        with np.load(folder / _CACHE_FILE, allow_pickle=False) as stored:
            if int(stored["version"]) != _VERSION:
                return {}
            columns = [stored[name] for name in ("keys", "pixels", "sizes", "formats", "kinds", "problems")]
            thumbs = stored["thumbs"]
    except (OSError, KeyError, ValueError, EOFError, BadZipFile):
        return {}  # a cache is only ever a saving
    return {
        str(key): Look(
            str(pixels), int(size[0]), int(size[1]), str(form), tuple(str(k).split()), str(problem), thumb
        )
        for key, pixels, size, form, k, problem, thumb in zip(*columns, thumbs, strict=True)
    }


def _write_cache(folder: Path | None, looks: dict[str, Look]) -> None:
    if folder is None:
        return
    seen = list(looks.values())
    text = {
        "keys": list(looks),
        "pixels": [look.pixels for look in seen],
        "formats": [look.format for look in seen],
        "kinds": [" ".join(look.kinds) for look in seen],
        "problems": [look.problem for look in seen],
    }
    columns: dict[str, Any] = {name: np.array(values, dtype=np.str_) for name, values in text.items()}
    columns["version"] = np.array(_VERSION)
    columns["sizes"] = np.array([(look.width_px, look.height_px) for look in seen], np.int64)
    columns["thumbs"] = np.stack([look.thumb for look in seen])
    with atomic_write(folder / _CACHE_FILE) as stream:
        np.savez(stream, **columns)
