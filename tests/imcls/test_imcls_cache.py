"""Decoded once; known by the files' state; safe against damage, kills and two at a time."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imcls.data.cache import ImageCache, cache_key, open_cache
from imcls.data.decode import decode
from imcls.data.options import FolderSource
from imcls.data.sources import read_table
from imcls.data.table import ImageTable
from suite.errors import BadInput


def _table(root: Path, sizes: list[tuple[int, int]]) -> ImageTable:
    random = np.random.default_rng(1)
    for i, (width, height) in enumerate(sizes):
        path = root / ("even" if i % 2 == 0 else "odd") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return read_table(FolderSource(root=root))


_MIXED = [(30, 20), (20, 30), (64, 64), (8, 9), (31, 40)]


@pytest.mark.parametrize("in_memory", [True, False])
def test_images_are_what_decoding_gives(tmp_path: Path, in_memory: bool) -> None:
    table = _table(tmp_path / "data", _MIXED)
    cache = open_cache(table, None if in_memory else tmp_path / "cache", 24)
    assert len(cache) == 5 and cache.uniform is None and cache.kept.tolist() == [0, 1, 2, 3, 4]
    for i, path in enumerate(table.paths):
        np.testing.assert_array_equal(cache.image(i), decode(path, 24))
    assert [list(image.shape[:2]) for image in cache.images(np.array([3, 1]))] == cache.sizes[[3, 1]].tolist()


def test_the_second_opening_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = _table(tmp_path / "data", _MIXED)
    first = open_cache(table, tmp_path / "cache", 24)
    monkeypatch.setattr("imcls.data.cache.decode", lambda *_: pytest.fail("decoded again"))
    again = open_cache(table, tmp_path / "cache", 24)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert not again.pixels.flags.writeable


def test_images_of_one_size_are_one_array(tmp_path: Path) -> None:
    table = _table(tmp_path / "data", [(32, 32)] * 6)
    cache = open_cache(table, tmp_path / "cache", 32)
    assert cache.uniform is not None and cache.uniform.shape == (6, 32, 32, 3)
    chosen = cache.images(np.array([4, 0, 4]))
    assert isinstance(chosen, np.ndarray) and chosen.flags.writeable
    np.testing.assert_array_equal(chosen[0], decode(table.paths[4]))


def test_key_follows_content_size_and_order(tmp_path: Path) -> None:
    table = _table(tmp_path / "data", _MIXED)
    key = cache_key(table, 24)
    assert key == cache_key(read_table(FolderSource(root=tmp_path / "data")), 24)
    assert key != cache_key(table, 25) and key != cache_key(table.subset([1, 0, 2, 3, 4]), 24)
    state = table.paths[2].stat()
    os.utime(table.paths[2], ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert key != cache_key(table, 24)


def test_a_changed_file_is_decoded_anew(tmp_path: Path) -> None:
    table = _table(tmp_path / "data", [(16, 16)] * 4)
    open_cache(table, tmp_path / "cache", 16)
    Image.new("RGB", (16, 16), (9, 9, 9)).save(table.paths[1])
    assert (open_cache(table, tmp_path / "cache", 16).image(1) == 9).all()


def test_unreadable_images_are_refused_with_the_first_name_and_the_count(tmp_path: Path) -> None:
    table = _table(tmp_path / "data", [(16, 16)] * 6)
    table.paths[1].write_bytes(b"")
    table.paths[4].write_text("text")
    with pytest.raises(BadInput) as caught:
        open_cache(table, tmp_path / "cache", 16)
    said = str(caught.value)
    assert table.names[1] in said and "is empty (0 bytes)" in said and "2 images cannot be read" in said
    assert "\n" not in said
    cache = open_cache(table, tmp_path / "cache", 16, unreadable="skip")
    assert cache.kept.tolist() == [0, 2, 3, 5] and [name for name, _ in cache.skipped] == [
        table.names[1],
        table.names[4],
    ]
    assert cache.uniform is not None and cache.uniform.shape[0] == 4
    np.testing.assert_array_equal(cache.images(np.array([5, 2]))[0], decode(table.paths[5]))
    with pytest.raises(IndexError):
        cache.image(1)


def test_nothing_readable_is_an_error_even_where_skipping(tmp_path: Path) -> None:
    table = _table(tmp_path / "data", [(16, 16)] * 2)
    for path in table.paths:
        path.write_bytes(b"x")
    with pytest.raises(BadInput, match="none of the 2 images can be read"):
        open_cache(table, None, 16, unreadable="skip")


def test_boxes_of_one_image_are_images_of_their_own(tmp_path: Path) -> None:
    whole = _table(tmp_path / "data", [(40, 30)] * 2)
    boxes = np.array([[0, 0, 10, 30], [5.0, 2.0, 25.0, 22.0]])
    table = ImageTable(("a#1", "a#2"), (whole.paths[0],) * 2, whole.labels, whole.classes, boxes=boxes)
    cache = open_cache(table, tmp_path / "cache", 100)
    np.testing.assert_array_equal(cache.image(1), decode(whole.paths[0])[2:22, 5:25])


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    table = _table(tmp_path / "data", [(16, 16)] * 4)
    place = tmp_path / "cache" / cache_key(table, 16)
    left = tmp_path / "cache" / f".{place.name}.abc.part"
    left.mkdir(parents=True)
    (left / "pixels.bin").write_bytes(b"half")
    place.mkdir()  # a folder of that name without an index is not a cache
    open_cache(table, tmp_path / "cache", 16)
    assert not left.exists() and (place / "index.npz").is_file()


def test_a_damaged_cache_says_what_to_do(tmp_path: Path) -> None:
    table = _table(tmp_path / "data", [(16, 16)] * 4)
    cache = open_cache(table, tmp_path / "cache", 16)
    assert cache.folder is not None
    (cache.folder / "pixels.bin").write_bytes(b"short")
    with pytest.raises(BadInput, match="remove the folder"):
        open_cache(table, tmp_path / "cache", 16)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    table = _table(tmp_path / "data", [(16, 16)] * 2)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"data\.cache"):
        open_cache(table, tmp_path / "file", 16)


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_cache_travels_to_another_process(tmp_path: Path, in_memory: bool) -> None:
    table = _table(tmp_path / "data", _MIXED)
    cache = open_cache(table, None if in_memory else tmp_path / "cache", 24)
    there: ImageCache = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(there.pixels, cache.pixels)
    assert in_memory or len(pickle.dumps(cache)) < 1000


def _open_in_process(root: Path, folder: Path, results) -> None:
    table = read_table(FolderSource(root=root))
    results.put(int(open_cache(table, folder, 24).pixels.astype(np.int64).sum()))


def test_two_writers_at_once_get_the_same_cache(tmp_path: Path) -> None:
    table = _table(tmp_path / "data", _MIXED * 4)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    both = [
        context.Process(target=_open_in_process, args=(tmp_path / "data", tmp_path / "cache", results))
        for _ in range(2)
    ]
    for process in both:
        process.start()
    sums = [results.get(timeout=60) for _ in both]
    for process in both:
        process.join(60)
    assert sums[0] == sums[1] == int(open_cache(table, None, 24).pixels.astype(np.int64).sum())
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1
