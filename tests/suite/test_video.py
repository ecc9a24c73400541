"""Video in and out: what was written is read back, and whatever is wrong with a file is one clear line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from suite.data.video import VideoFrame, VideoReader, VideoWriter, default_encoder
from suite.errors import BadInput

av = pytest.importorskip("av")
ROOT = Path(__file__).parents[2]
LEVELS = 25  # number of grey levels, each 10 from the next, that tell pictures apart


def picture(k: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Grey by its number, with noise on the right that keeps the file from being small."""
    rgb = np.full((height, width, 3), (k % LEVELS) * 10, np.uint8)
    rgb[:, width // 2 :] = np.random.default_rng(k).integers(0, 256, (height, width - width // 2, 3))
    return rgb


def number(frame: VideoFrame) -> int:
    return round(float(frame.rgb[:, : frame.rgb.shape[1] // 3].mean()) / 10)


def write(path: Path, times_s: list[float], rate_hz: float = 25.0, encoder: str | None = None) -> Path:
    with VideoWriter(path, rate_hz, encoder) as video:
        for k, time_s in enumerate(times_s):
            video.write(picture(k), time_s)
    return path


def read(path: Path) -> tuple[list[VideoFrame], str]:
    """What can be decoded, and the complaint at its end."""
    frames: list[VideoFrame] = []
    with VideoReader(path) as video:
        try:
            frames.extend(video.frames())
        except BadInput as error:
            return frames, str(error)
    return frames, ""


def plain_mp4(
    path: Path, count: int, movflags: str, rotation: int | None = None, hflip: bool = False
) -> Path:
    """As cameras write them: one index for the whole file, at its start (faststart) or at its end."""
    with av.open(
        str(path), "w", format="mp4", options={"movflags": movflags} if movflags else {}
    ) as container:
        stream = container.add_stream(default_encoder(), rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.gop_size = 10
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=hflip)
        for k in range(count):
            frame = av.VideoFrame.from_ndarray(picture(k) if rotation is None else quarters(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def quarters() -> np.ndarray:
    """White, red; green, blue: no turn or mirroring leaves it as it was."""
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:24, :32], rgb[:24, 32:] = 255, (255, 0, 0)
    rgb[24:, :32], rgb[24:, 32:] = (0, 255, 0), (0, 0, 255)
    return rgb


@pytest.mark.parametrize("encoder", [None, "mpeg4"])
def test_pictures_and_times_come_back(tmp_path: Path, encoder: str | None):
    path = write(tmp_path / "a.mp4", [k / 25 for k in range(20)], encoder=encoder)
    with VideoReader(path) as video:
        assert video.rate_hz == pytest.approx(25, rel=0.01)
        assert video.duration_s == pytest.approx(0.8, abs=0.01)
        assert video.count == 20
        frames = list(video.frames())
    assert [frame.number for frame in frames] == list(range(20))
    assert [number(frame) for frame in frames] == list(range(20))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(20) / 25, atol=1e-3)


def test_a_varying_frame_rate_stays_one(tmp_path: Path):
    times = [0.0, 0.04, 0.05, 0.5, 0.51, 2.0]
    frames, complaint = read(write(tmp_path / "a.mp4", times))
    np.testing.assert_allclose([frame.time_s for frame in frames], times, atol=1e-3)
    assert not complaint


def test_times_that_do_not_grow_are_kept_apart(tmp_path: Path):
    frames, _ = read(write(tmp_path / "a.mp4", [0.0, 0.0, 0.0, 0.04]))
    assert [number(frame) for frame in frames] == [0, 1, 2, 3]


def test_stride_and_end(tmp_path: Path):
    path = write(tmp_path / "a.mp4", [k / 25 for k in range(20)])
    with VideoReader(path) as video:
        frames = list(video.frames(stride=3, until_s=0.5))
    assert [frame.number for frame in frames] == [0, 3, 6, 9, 12]
    assert [number(frame) for frame in frames] == [0, 3, 6, 9, 12]


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("turn_deg", [0, 90, 180, 270])
def test_pictures_are_turned_as_the_file_says(tmp_path: Path, turn_deg: int, hflip: bool):
    path = plain_mp4(tmp_path / "a.mp4", 3, "", turn_deg, hflip)
    seen = np.rot90(quarters(), turn_deg // 90)  # counter-clockwise, as FFmpeg counts; then mirrored
    seen = seen[:, ::-1] if hflip else seen
    frames, _ = read(path)
    assert len(frames) == 3
    for frame in frames:
        assert frame.rgb.shape == seen.shape
        assert np.abs(frame.rgb.astype(int) - seen).mean() < 8
        assert frame.rgb.flags.c_contiguous


def test_odd_sizes_are_made_even_and_others_scaled(tmp_path: Path):
    with VideoWriter(tmp_path / "a.mp4", 25) as video:
        video.write(np.full((33, 47, 3), 200, np.uint8), 0)
        video.write(np.full((80, 20, 3), 50, np.uint8), 0.04)
    frames, _ = read(tmp_path / "a.mp4")
    assert [frame.rgb.shape for frame in frames] == [(34, 48, 3), (34, 48, 3)]
    assert [round(float(frame.rgb.mean()), -1) for frame in frames] == [200, 50]


def test_no_picture_makes_no_file(tmp_path: Path):
    with VideoWriter(tmp_path / "a.mp4", 25):
        pass
    assert not list(tmp_path.iterdir())


def test_a_recording_with_a_late_start_begins_at_zero(tmp_path: Path):
    path = tmp_path / "a.ts"
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(10):
            frame = av.VideoFrame.from_ndarray(picture(k), format="rgb24")
            frame.pts, frame.time_base = 90_000 + k, Fraction(1, 25)  # an hour into the broadcast
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames, _ = read(path)
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(10) / 25, atol=1e-3)


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov"])
def test_of_a_cut_video_comes_what_decodes(tmp_path: Path, movflags: str):
    whole = plain_mp4(tmp_path / "whole.mp4", 100, movflags)
    count = len(read(whole)[0])
    assert count == 100
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.5)])
    frames, complaint = read(cut)
    assert 10 < len(frames) < 90
    assert [number(frame) for frame in frames[:10]] == list(range(10))
    if movflags == "faststart":  # the index says how long it was
        assert "cut.mp4: is cut off: it ends after" in complaint
        assert "of 4.0 s" in complaint


def test_a_video_without_its_index_is_refused(tmp_path: Path):
    whole = plain_mp4(tmp_path / "whole.mp4", 30, "")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(BadInput, match=r"cut\.mp4: cannot be opened as a video .*cut off"):
        VideoReader(cut)


def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path: Path):
    path = plain_mp4(tmp_path / "a.mp4", 100, "")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = b"\xa5" * 3000
    path.write_bytes(content)
    frames, _ = read(path)
    assert len(frames) >= 90
    assert number(frames[5]) == 5
    assert number(frames[-1]) == 99 % LEVELS  # a key frame came after the damage


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is empty"),
        ("noise.mp4", bytes(range(256)) * 40, "cannot be opened as a video"),
        ("notes.txt", b"hello\n" * 100, "holds no video"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "cannot be opened as a video"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        VideoReader(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)


def test_sound_alone_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    for path, message in (
        (tmp_path / "a.wav", "holds no video"),
        (tmp_path / "none.mp4", "no such file"),
        (tmp_path, "is not a file"),
    ):
        with pytest.raises(BadInput, match=message):
            VideoReader(path)


def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    frames, _ = read(write(Path("data:a.mp4"), [0.0, 0.04]))
    assert len(frames) == 2
    assert (tmp_path / "data:a.mp4").is_file()


WRITES = """
import resource, sys
import numpy as np
from suite.data.video import VideoWriter
if int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
random = np.random.default_rng(0)
try:
    with VideoWriter(sys.argv[1], 10) as video:
        for k in range(100000):
            video.write(random.integers(0, 256, (48, 64, 3), dtype=np.uint8), k / 10)
            print(k, flush=True)
except OSError as error:
    print(error.strerror, flush=True)
"""


def test_a_writer_that_is_killed_leaves_a_video_that_plays(tmp_path: Path):
    path = tmp_path / "a.mp4"
    command = [sys.executable, "-c", WRITES, str(path), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 120:
                os.kill(process.pid, signal.SIGKILL)
                break
        process.wait()
    frames, _ = read(path)
    assert len(frames) >= 50  # the rest waited in the encoder, or for its fragment of a second


def test_a_full_disk_is_an_error_and_leaves_a_video_that_plays(tmp_path: Path):
    path = tmp_path / "a.mp4"
    command = [sys.executable, "-c", WRITES, str(path), "400000"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "File too large"
    frames, _ = read(path)
    assert len(frames) >= 20


def test_videos_of_webcams_are_read(data):
    files = sorted(data("falldet/gmdcsa24").glob("*.mp4"))[::4]
    assert files
    for path in files:
        frames, complaint = read(path)
        assert not complaint
        with VideoReader(path) as video:
            assert len(frames) == video.count
            assert video.duration_s is not None
            assert frames[-1].time_s == pytest.approx(video.duration_s, abs=0.5)
        times = [frame.time_s for frame in frames]
        assert times[0] == 0
        assert all(np.diff(times) > 0)
        assert {frame.rgb.shape for frame in frames} == {(480, 640, 3)}
        assert float(np.std(frames[0].rgb)) > 10


def test_a_real_video_that_was_cut(data, tmp_path: Path):
    whole = sorted(data("falldet/gmdcsa24").glob("*.mp4"))[0]
    cut = tmp_path / "cut.mp4"
    shutil.copyfile(whole, cut)
    cut.chmod(0o600)
    with cut.open("r+b") as stream:
        stream.truncate(whole.stat().st_size // 2)
    try:
        frames, complaint = read(cut)
    except BadInput as error:
        assert "cut off" in str(error)  # its index was at the end
    else:
        assert frames
        assert "cut off" in complaint
