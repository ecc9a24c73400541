"""Decode once: all images of a table as 8-bit RGB in one file, shared by folds, members, views and runs.

A cache is a folder named by a hash of what it was made from (paths, sizes, times of change, boxes, size of
the shorter side): `pixels.bin`, the images one after the other, and `index.npz`, where each one lies. It is
written beside its place and takes its name when it is complete; whoever comes second waits and reads it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import numpy as np
from jaxtyping import Int64, UInt8

from imcls.data.decode import decode
from imcls.data.table import ImageTable
from suite.errors import BadInput
from suite.files import atomic_folder
from suite.progress import track

_VERSION = 1
_AHEAD = 8
"""Images in the air for each thread."""
_SMALL_BYTES = 3 * 96 * 96


@dataclass(frozen=True)
class ImageCache:
    """Decoded images of a table of n.

    ``sizes`` (n, 2) are heights and widths, 0 where the image could not be read; ``offsets`` (n,) say where
    each begins in ``pixels``, one flat uint8 array (memory-mapped where there is a ``folder``). ``skipped``
    are the names of those that could not be read, and what was wrong.
    """

    pixels: UInt8[np.ndarray, " bytes"]
    offsets: Int64[np.ndarray, " n"]
    sizes: Int64[np.ndarray, "n 2"]
    skipped: tuple[tuple[str, str], ...] = ()
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def kept(self) -> Int64[np.ndarray, " kept"]:
        """Indices into the table, ascending."""
        return np.flatnonzero(self.sizes[:, 0]).astype(np.int64)

    def image(self, i: int) -> UInt8[np.ndarray, "h w 3"]:
        """The image at index ``i`` of the table; a view that must not be written to."""
        height, width = self.sizes[i].tolist()
        if not height:
            raise IndexError(f"image {i} could not be read and was left out")
        start = int(self.offsets[i])
        return self.pixels[start : start + 3 * height * width].reshape(height, width, 3)

    @cached_property
    def uniform(self) -> UInt8[np.ndarray, "kept h w 3"] | None:
        """All images that were kept as one view, in the order of ``kept``; None where their sizes differ."""
        kept = self.kept
        if not len(kept) or (self.sizes[kept] != self.sizes[kept[0]]).any():
            return None
        height, width = self.sizes[kept[0]].tolist()
        step = 3 * height * width
        if (self.offsets[kept] != np.arange(len(kept)) * step).any():
            return None
        return self.pixels.reshape(len(kept), height, width, 3)

    def images(self, indices: Int64[np.ndarray, " m"]) -> np.ndarray | list[np.ndarray]:
        """The images at ``indices``: one array (m, h, w, 3) where all in the cache are small and of one size,
        so that a batch can be worked on at once; else views of each."""
        if self.uniform is None or self.uniform[0].size > _SMALL_BYTES:
            return [self.image(i) for i in indices.tolist()]
        return self.uniform[np.searchsorted(self.kept, indices)]

    def __reduce__(self) -> tuple:
        if self.folder is None:
            return (ImageCache, (self.pixels, self.offsets, self.sizes, self.skipped))
        return (_opened, (self.folder,))  # another process maps the file itself


def open_cache(
    table: ImageTable,
    folder: Path | None,
    short_px: int,
    unreadable: Literal["refuse", "skip"] = "refuse",
) -> ImageCache:
    """The decoded images of ``table`` with a shorter side of at most ``short_px``; from below ``folder``
    where they are there already, else decoded now. Without a folder they stay in memory.

    Raises BadInput when images cannot be read and ``unreadable`` is `refuse`, naming the first, or when
    none can.
    """
    if folder is None:
        return _checked(_decode_in_memory(table, short_px), unreadable)
    folder = Path(folder)
    place = folder / cache_key(table, short_px)
    if not _complete(place):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder / f"{place.name}.lock") as alone:
                if not _complete(place):
                    if alone:
                        _sweep(place)
                    _write(table, place, short_px)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise BadInput(
                f"the decoded images cannot be written ({reason})",
                where=folder,
                hint="set data.cache to a folder with room for them",
            ) from None
    return _checked(_opened(place), unreadable)


def cache_key(table: ImageTable, short_px: int) -> str:
    """Name of the cache: changes when a file, a box or the size does, or the order."""
    digest = hashlib.sha256(f"{_VERSION} {short_px}".encode())
    states: dict[Path, str] = {}
    for i, (name, path) in enumerate(zip(table.names, table.paths, strict=True)):
        if path not in states:
            try:
                state = path.stat()
                states[path] = f"{path.absolute()}\0{state.st_size}\0{state.st_mtime_ns}"
            except OSError:
                states[path] = f"{path.absolute()}\0missing"
        digest.update(f"\1{name}\0{states[path]}".encode(errors="surrogateescape"))
        if table.boxes is not None:
            digest.update(table.boxes[i].tobytes())
    return digest.hexdigest()[:24]


def _complete(place: Path) -> bool:
    return (place / "index.npz").is_file()


def _opened(place: Path) -> ImageCache:
    try:
        with np.load(place / "index.npz", allow_pickle=False) as stored:
            offsets, sizes = stored["offsets"], stored["sizes"]
            skipped = tuple(zip(stored["skipped"].tolist(), stored["reasons"].tolist(), strict=True))
        expected = int(3 * sizes.prod(axis=1).sum())
        pixels = np.zeros(0, np.uint8)
        if expected:
            pixels = np.memmap(place / "pixels.bin", np.uint8, mode="r").view(np.ndarray)
        if len(pixels) != expected:
            raise ValueError(f"{len(pixels)} bytes instead of {expected}")
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise BadInput(
            f"the decoded images are damaged ({error})", where=place, hint="remove the folder"
        ) from None
    return ImageCache(pixels, offsets, sizes, skipped, place)


def _checked(cache: ImageCache, unreadable: str) -> ImageCache:
    count = len(cache.skipped)
    if count and unreadable == "refuse":
        _, reason = cache.skipped[0]
        more = f" ({count} images cannot be read; this is the first)" if count > 1 else ""
        raise BadInput(
            f"{reason}{more}", hint="repair or remove it, or leave such images out with data.unreadable=skip"
        )
    if count == len(cache):
        raise BadInput(
            f"none of the {count} images can be read", where=cache.skipped[0][0] if count else None
        )
    return cache


def _write(table: ImageTable, place: Path, short_px: int) -> None:
    try:
        with atomic_folder(place) as part:
            with (part / "pixels.bin").open("wb") as stream:
                offsets, sizes, skipped = _decode_all(table, short_px, lambda flat: stream.write(flat.data))
                stream.flush()
                os.fsync(stream.fileno())
            _write_index(part / "index.npz", offsets, sizes, skipped)
    except BadInput:
        if not _complete(place):  # else another process was faster, on a disk that knows no locks
            raise


def _write_index(path: Path, offsets: np.ndarray, sizes: np.ndarray, skipped: list[tuple[str, str]]) -> None:
    np.savez(
        path,
        offsets=offsets,
        sizes=sizes,
        skipped=np.array([name for name, _ in skipped], np.str_),
        reasons=np.array([reason for _, reason in skipped], np.str_),
    )


def _decode_in_memory(table: ImageTable, short_px: int) -> ImageCache:
    blocks: list[np.ndarray] = []
    offsets, sizes, skipped = _decode_all(table, short_px, blocks.append)
    pixels = np.concatenate(blocks) if blocks else np.zeros(0, np.uint8)
    return ImageCache(pixels, offsets, sizes, tuple(skipped))


def _decode_all(
    table: ImageTable, short_px: int, write: Callable[[np.ndarray], object]
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
    """Every image decoded, in the table's order, and handed to ``write`` as flat bytes."""
    offsets, sizes = np.zeros(len(table), np.int64), np.zeros((len(table), 2), np.int64)
    skipped: list[tuple[str, str]] = []
    at = 0

    def one(i: int) -> np.ndarray | str:
        try:
            return decode(table.paths[i], short_px, None if table.boxes is None else table.boxes[i])
        except BadInput as error:
            return str(error)

    with _threads() as in_order:
        for i, rgb in enumerate(track(in_order(one, len(table)), "Decoding images", total=len(table))):
            offsets[i] = at
            if isinstance(rgb, str):
                skipped.append((table.names[i], rgb))
                continue
            sizes[i] = rgb.shape[:2]
            write(rgb.reshape(-1))
            at += rgb.size
    return offsets, sizes, skipped


@contextmanager
def _threads() -> Iterator[Callable[[Callable[[int], np.ndarray | str], int], Iterator[np.ndarray | str]]]:
    """A map over indices in a few threads (decoders let go of the interpreter), in order, with a bounded
    number of results waiting."""
    count = min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if count == 1:
        yield lambda task, n: (task(i) for i in range(n))
        return

    def in_order(task: Callable[[int], np.ndarray | str], n: int) -> Iterator[np.ndarray | str]:
        numbers = iter(range(n))
        waiting = [pool.submit(task, i) for i in islice(numbers, count * _AHEAD)]
        while waiting:
            yield waiting.pop(0).result()
            waiting.extend(pool.submit(task, i) for i in islice(numbers, 1))

    with ThreadPoolExecutor(count) as pool:
        try:
            yield in_order
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Wait until no other process makes this cache; False where the disk knows no locks."""
    try:
        import fcntl
    except ImportError:  # not POSIX
        yield False
        return
    stream: IO[bytes]
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX)
            alone = True
        except OSError:
            alone = False
        yield alone


def _sweep(place: Path) -> None:
    """Remove what a killed process left half-written."""
    for left in place.parent.glob(f".{place.name}.*.part"):
        shutil.rmtree(left, ignore_errors=True)
    if place.is_dir() and not _complete(place):
        shutil.rmtree(place, ignore_errors=True)
