"""Frames from files, videos and cameras."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from falldet.looking.sources import CameraSource, Frame, PictureSource, VideoSource, open_source
from suite.data.images import write_image
from suite.data.video import VideoWriter
from suite.errors import BadInput


def grey(level: int) -> np.ndarray:
    return np.full((24, 32, 3), level, np.uint8)


def frames_of(source: PictureSource | VideoSource | CameraSource) -> list[Frame]:
    found = list(source.frames())
    assert all(isinstance(frame, Frame) for frame in found), found
    return [frame for frame in found if isinstance(frame, Frame)]


class ScriptedCamera:
    """Gives ``count`` pictures, blue ones in OpenCV's order, then fails as one that was unplugged."""

    def __init__(self, count: int, opened: bool = True) -> None:
        self.count, self.opened, self.released = count, opened, False

    def isOpened(self) -> bool:
        return self.opened

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.count -= 1
        if self.count < 0:
            return False, None
        bgr = np.zeros((24, 32, 3), np.uint8)
        bgr[..., 0] = 200
        return True, bgr

    def get(self, key: int) -> float:
        return 0.0

    def release(self) -> None:
        self.released = True


def test_a_folder_gives_its_pictures_in_order_and_errors_in_their_places(tmp_path: Path):
    for k in range(12):
        write_image(tmp_path / f"room{k % 2}" / f"{k:02d}.png", grey(k * 10))
    (tmp_path / "room0" / "05.jpg").write_bytes(b"not a picture")
    (tmp_path / "notes.txt").write_text("no picture either")
    source = open_source(tmp_path)
    assert source.total == 13
    assert source.rate_hz is None
    found = list(source.frames())
    names = [frame.name if isinstance(frame, Frame) else "bad" for frame in found]
    evens, odds = ([f"room{side}/{k:02d}.png" for k in range(side, 12, 2)] for side in (0, 1))
    assert names == [*evens[:3], "bad", *evens[3:], *odds]
    assert "05.jpg: is not an image" in str(found[3])
    for frame in found:
        if isinstance(frame, Frame):
            assert frame.number is None
            assert frame.time_s is None
            assert frame.rgb[0, 0, 0] == int(Path(frame.name).stem) * 10


def test_stride_takes_every_nth_picture(tmp_path: Path):
    for k in range(7):
        write_image(tmp_path / f"{k}.png", grey(k))
    assert [frame.name for frame in frames_of_any(tmp_path, stride=3)] == ["0.png", "3.png", "6.png"]


def frames_of_any(given: Path, **kwargs: int) -> list[Frame]:
    return frames_of(open_source(given, stride=kwargs.get("stride", 1)))


def test_pictures_are_turned_as_their_exif_says(tmp_path: Path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey(9)).save(tmp_path / "a.jpg", exif=exif)
    (frame,) = frames_of(open_source(tmp_path / "a.jpg"))
    assert frame.rgb.shape == (32, 24, 3)
    assert frame.name == "a.jpg"


def test_the_folder_of_results_is_not_read(tmp_path: Path):
    write_image(tmp_path / "a.png", grey(1))
    write_image(tmp_path / "out" / "drawn" / "a.png", grey(2))
    source = open_source(tmp_path, without=tmp_path / "out")
    assert [frame.name for frame in frames_of(source)] == ["a.png"]


def test_nothing_to_read_is_told(tmp_path: Path):
    with pytest.raises(BadInput, match=r"holds no pictures; kinds looked for: \.jpg"):
        open_source(tmp_path)
    with VideoWriter(tmp_path / "clip.mp4", 10) as video:
        video.write(grey(5), 0)
    with pytest.raises(BadInput, match=r"holds no pictures; to look at a video, name it: .*clip\.mp4"):
        open_source(tmp_path)
    with pytest.raises(BadInput, match=r"none\.mp4: no such file"):
        open_source(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(BadInput, match=r"empty\.mp4: is empty"):
        open_source(tmp_path / "empty.mp4")


def test_a_video_gives_numbered_frames_at_their_times(tmp_path: Path):
    with VideoWriter(tmp_path / "clip.mp4", 10) as video:
        for k in range(20):
            video.write(grey(k * 10), k / 10)
    source = open_source(tmp_path / "clip.mp4", stride=4, seconds=1.5)
    assert source.total == 4
    assert source.rate_hz == pytest.approx(2.5, rel=0.01)
    frames = frames_of(source)
    assert [frame.number for frame in frames] == [0, 4, 8, 12]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.4, 0.8, 1.2], abs=1e-3)
    assert {frame.name for frame in frames} == {"clip.mp4"}


def test_the_end_of_a_cut_video_is_told_in_its_place(tmp_path: Path):
    with VideoWriter(tmp_path / "clip.mp4", 10) as video:
        for k in range(40):
            video.write(np.random.default_rng(k).integers(0, 255, (24, 32, 3), dtype=np.uint8), k / 10)
    content = (tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "clip.mp4").write_bytes(content[: len(content) * 6 // 10])
    *frames, last = open_source(tmp_path / "clip.mp4").frames()
    assert len(frames) >= 5
    assert isinstance(last, (Frame, BadInput))
    assert all(isinstance(frame, Frame) for frame in frames)


def test_a_number_names_a_camera_and_a_file_of_that_name_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert open_source("0", stride=2, seconds=9) == CameraSource(0, 2, 9)
    Path("0").mkdir()
    write_image(Path("0/a.png"), grey(1))
    assert isinstance(open_source("0"), PictureSource)


def test_a_camera_gives_rgb_at_the_times_of_arrival():
    camera, ticks = ScriptedCamera(100), iter(np.arange(1000) * 0.5 + 77)
    source = CameraSource(
        0, stride=2, seconds=4, opener=lambda index: camera, clock=lambda: float(next(ticks))
    )
    frames = frames_of(source)
    assert [frame.number for frame in frames] == [0, 2, 4, 6]
    assert [frame.time_s for frame in frames] == [0, 1, 2, 3]
    assert frames[0].rgb[0, 0].tolist() == [0, 0, 200]
    assert camera.released


def test_a_camera_that_is_unplugged_says_so():
    camera = ScriptedCamera(3)
    *frames, last = CameraSource(5, opener=lambda index: camera).frames()
    assert len(frames) == 3
    assert str(last) == "camera 5: gave no more pictures after 3"
    assert camera.released


def test_a_camera_that_is_absent_is_refused():
    pytest.importorskip("cv2")
    with pytest.raises(BadInput, match="camera 93: cannot be opened; no such camera"):
        list(CameraSource(93).frames())


def test_videos_of_webcams_have_times_that_grow(data):
    path = sorted(data("falldet/gmdcsa24").glob("*.mp4"))[0]
    source = open_source(path, stride=10)
    frames = frames_of(source)
    assert source.total == len(frames)
    times = [frame.time_s or 0.0 for frame in frames]
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert frames[0].rgb.shape == (480, 640, 3)
