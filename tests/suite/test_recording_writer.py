"""The writer of recordings: what it packs it packs exactly, in order, with threads too, up to a full disk."""

from __future__ import annotations

import errno
import io
import json
import threading
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suite.data import recording_writer
from suite.data.encoding import Packing, encode_png
from suite.data.images import read_counts_png, read_image
from suite.data.recording import RecordingInfo, RecordingWriter, read_recording
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

CAMERA = PinholeCamera(48, 36, 60.0, 61.0, 23.4, 17.8)
INFO = RecordingInfo("synthetic", 0.0001, CAMERA)


def noise(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 65536, (36, 48)).astype(np.uint16)
    return counts, rng.integers(0, 256, (36, 48, 3)).astype(np.uint8)


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    seed=st.integers(0, 99),
    deep=st.booleans(),
    packing=st.sampled_from(["quick", "stored"]),
)
def test_png_is_exact(height, width, seed, deep, packing):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 65536 if deep else 256, (height, width) if deep else (height, width, 3))
    image = image.astype(np.uint16 if deep else np.uint8)
    read = Image.open(io.BytesIO(encode_png(image, packing)))
    assert read.mode == ("I;16" if deep else "RGB")
    np.testing.assert_array_equal(np.asarray(read), image)


def test_png_of_a_view_is_exact():
    counts, color = noise(1)
    for image in (counts[::2, ::-1], color[::-1, 3:20], counts.T):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(image)))), image)


def test_quick_packs_smooth_images_and_stored_does_not():
    ramp = np.add.outer(np.arange(200), np.arange(300)).astype(np.uint16)
    quick, stored = (len(encode_png(ramp, packing)) for packing in get_args(Packing))
    assert quick < 0.3 * stored and stored > ramp.nbytes


def test_png_refuses_what_is_neither_depth_nor_colour():
    with pytest.raises(ValueError, match="are neither depth nor colour"):
        encode_png(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_threads_change_nothing(tmp_path, threads):
    with RecordingWriter(tmp_path / "rec", INFO, threads=threads, queue_frames=4) as writer:
        for i in range(25):
            counts, color = noise(i)
            writer.add_counts(counts, i / 30, color if i % 3 else None, number=100 + 2 * i)
    assert writer.written == 25 and writer.deepest <= 4
    recording = read_recording(tmp_path / "rec")
    assert recording.numbers == tuple(range(100, 150, 2)) and recording.lost == 24
    assert recording.timestamps_s == tuple(i / 30 for i in range(25))
    for i in range(25):
        counts, color = noise(i)
        np.testing.assert_array_equal(recording.counts(i), counts)
        name = recording.color_files[i]
        assert (name is None) == (i % 3 == 0)
        if name is not None:
            np.testing.assert_array_equal(read_image(tmp_path / "rec" / name), color)


def test_the_queue_is_bounded_and_its_second_half_is_stored_unpacked(tmp_path, monkeypatch):
    gate, asked = threading.Event(), []

    def slow(image: np.ndarray, packing: Packing = "quick") -> bytes:
        asked.append(packing)
        gate.wait(10)
        return encode_png(image, packing)

    monkeypatch.setattr(recording_writer, "encode_png", slow)
    writer = RecordingWriter(tmp_path / "rec", INFO, threads=1, queue_frames=4)
    for i in range(4):
        writer.add_counts(noise(i)[0], i / 30)
    fifth = threading.Thread(target=writer.add_counts, args=(noise(4)[0], 4 / 30))
    fifth.start()
    fifth.join(0.2)
    assert fifth.is_alive(), "a full queue does not hold its caller back"
    gate.set()
    fifth.join(10)
    writer.close()
    assert writer.written == 5 and writer.deepest == 4
    assert "stored" in asked and writer.stored == asked.count("stored") < 5
    recording = read_recording(tmp_path / "rec")
    assert all(np.array_equal(recording.counts(i), noise(i)[0]) for i in range(5))


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("kind", ["depth", "color"])
def test_a_full_disk_leaves_the_frames_before_it(tmp_path, threads, kind):
    writer = RecordingWriter(tmp_path / "rec", INFO, threads=threads)
    (tmp_path / "rec/color").mkdir(exist_ok=True)
    (tmp_path / f"rec/{kind}/000005.png").symlink_to("/dev/full")  # a device on which nothing finds room
    with pytest.raises(OSError) as caught, writer:
        for i in range(200):
            writer.add_counts(noise(i)[0], i / 30, noise(i)[1])
    assert caught.value.errno == errno.ENOSPC and caught.value.filename.endswith("000005.png")
    assert writer.written == 5
    recording = read_recording(tmp_path / "rec")
    assert len(recording) == 5 and np.array_equal(recording.counts(4), noise(4)[0])
    assert not (tmp_path / f"rec/{kind}/000005.png").is_symlink()
    with pytest.raises(OSError):
        writer.add_counts(noise(6)[0], 1.0)


def test_a_full_disk_in_the_index_too(tmp_path):
    writer = RecordingWriter(tmp_path / "rec", INFO)
    writer.add_counts(noise(0)[0], 0.0)
    writer._lines.close()
    writer._lines = open("/dev/full", "w")  # noqa: PTH123, SIM115
    with pytest.raises(OSError):
        writer.add_counts(noise(1)[0], 0.1)
    with pytest.raises(OSError):
        writer.close()
    assert len(read_recording(tmp_path / "rec")) == 1


def test_an_error_of_the_caller_keeps_what_was_added(tmp_path):
    with (
        pytest.raises(RuntimeError, match="camera"),
        RecordingWriter(tmp_path / "rec", INFO, threads=2) as writer,
    ):
        for i in range(7):
            writer.add_counts(noise(i)[0], i / 30)
        raise RuntimeError("camera gone")
    assert len(read_recording(tmp_path / "rec")) == 7


def test_a_wrong_size_is_refused_before_anything_is_written(tmp_path):
    with RecordingWriter(tmp_path / "rec", INFO, threads=1) as writer:
        writer.add_counts(noise(0)[0], 0.0)
        with pytest.raises(BadInput, match="frame 1: depth image is 36 x 48 px, not 48 x 36 px"):
            writer.add_counts(noise(0)[0].T.copy(), 0.1)
    assert len(read_recording(tmp_path / "rec")) == 1


def test_recordings_without_numbers_are_read(tmp_path):
    with RecordingWriter(tmp_path / "rec", INFO) as writer:
        for i in range(3):
            writer.add_counts(noise(i)[0], i / 30, number=i)
    index = tmp_path / "rec/frames.jsonl"
    rows = [json.loads(line) for line in index.read_text().splitlines()]
    for row in rows:
        del row["number"]
    index.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recording = read_recording(tmp_path / "rec")
    assert recording.numbers == () and recording.lost == 0 and len(recording) == 3


def test_what_pillow_wrote_before_reads_alike(tmp_path):
    with RecordingWriter(tmp_path / "rec", INFO) as writer:
        writer.add_counts(*noise(3)[:1], 0.0, noise(3)[1])
    for name, image in zip(("depth", "color"), noise(3), strict=True):
        Image.fromarray(image).save(tmp_path / f"rec/{name}/000000.png", compress_level=1)
    np.testing.assert_array_equal(read_counts_png(tmp_path / "rec/depth/000000.png"), noise(3)[0])
    np.testing.assert_array_equal(read_recording(tmp_path / "rec")[0].color, noise(3)[1])
