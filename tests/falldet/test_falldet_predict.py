"""Prediction from the door to the files it leaves, also where pictures, disks and users do not behave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from bright_boxes import BrightBoxes, scene
from prediction_files import LYING, STANDING, film, frames_in, lines_of, write_photos

from falldet.detections import Detections
from falldet.looking.drawing import VERMILION
from falldet.looking.sources import CameraSource, Frame
from falldet.predict import PredictOptions, Summary, predict
from suite.data.images import read_image
from suite.data.video import VideoReader
from suite.errors import BadInput, SuiteError

pytest.importorskip("av")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def test_a_folder_becomes_lines_and_drawn_pictures(photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    summary = predict(BrightBoxes(), photos, out)
    assert lines_of(out) == [
        {
            "name": "a.png",
            "width_px": 96,
            "height_px": 72,
            "detections": [{"class": "fallen", "score": 0.9804, "box_px": [20.0, 40.0, 70.0, 60.0]}],
        },
        {
            "name": "b/c.jpg",
            "width_px": 120,
            "height_px": 80,
            "detections": [
                {
                    "class": "not_fallen",
                    "score": pytest.approx(0.98, abs=0.01),
                    "box_px": pytest.approx(STANDING, abs=1),
                }
            ],
        },
        {"name": "d.png", "width_px": 96, "height_px": 72, "detections": []},
        {"name": "e.png", "width_px": 96, "height_px": 72, "detections": []},
    ]
    drawn = sorted(path.relative_to(out / "drawn").as_posix() for path in (out / "drawn").rglob("*.*"))
    assert drawn == ["a.png", "b/c.jpg", "d.png", "e.png"]
    assert read_image(out / "drawn/a.png")[59, 50].tolist() == list(VERMILION)
    assert (read_image(out / "drawn/d.png") == scene(None)).all()
    assert (summary.pictures, summary.people, summary.fallen, summary.with_fallen) == (4, 2, 1, 1)
    assert summary.exit_code == 0
    assert "4 pictures, 2 people, 1 fallen in 1" in summary.line()


def test_the_threshold_is_the_models_unless_one_is_given(photos: Path, tmp_path: Path):
    low = predict(BrightBoxes(), photos, tmp_path / "low", PredictOptions(threshold=0.2, draw=False))
    high = predict(BrightBoxes(), photos, tmp_path / "high", PredictOptions(threshold=0.99, draw=False))
    assert (low.people, high.people) == (3, 0)
    assert sorted(path.name for path in (tmp_path / "low").iterdir()) == ["detections.jsonl"]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_batches_change_nothing_but_their_size(photos: Path, tmp_path: Path, batch: int):
    model = BrightBoxes()
    predict(model, photos, tmp_path / "out", PredictOptions(batch=batch))
    assert model.seen == {1: [1, 1, 1, 1], 3: [3, 1], 100: [4]}[batch]
    predict(BrightBoxes(), photos, tmp_path / "other")
    assert lines_of(tmp_path / "out") == lines_of(tmp_path / "other")


def test_without_a_folder_lines_go_to_stdout(photos: Path, capsys: pytest.CaptureFixture[str]):
    predict(BrightBoxes(), photos / "a.png", None)
    shown = capsys.readouterr()
    assert json.loads(shown.out)["name"] == "a.png"
    assert "looking at" in shown.err


def test_only_pictures_with_fallen_people_are_drawn(photos: Path, tmp_path: Path):
    predict(BrightBoxes(), photos, tmp_path / "out", PredictOptions(only_fallen=True))
    assert [path.name for path in (tmp_path / "out/drawn").iterdir()] == ["a.png"]
    assert len(lines_of(tmp_path / "out")) == 4


def test_other_kinds_of_pictures_are_drawn_as_png(tmp_path: Path):
    from PIL import Image

    (tmp_path / "in").mkdir()
    Image.fromarray(scene(LYING)).save(tmp_path / "in/a.bmp")
    predict(BrightBoxes(), tmp_path / "in", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/drawn").iterdir()] == ["a.bmp.png"]


def test_a_video_becomes_lines_and_a_drawn_video(tmp_path: Path):
    source, out = film(tmp_path / "clip.mp4", 30), tmp_path / "out"
    summary = predict(BrightBoxes(), source, out)
    lines = lines_of(out)
    assert [line["frame"] for line in lines] == list(range(30))
    assert [line["time_s"] for line in lines] == pytest.approx(np.arange(30) / 10)
    assert {line["name"] for line in lines} == {"clip.mp4"}
    classes = [[person["class"] for person in line["detections"]] for line in lines]
    assert classes == [["not_fallen"]] * 15 + [["fallen"]] * 15
    for k, line in enumerate(lines):
        x1, y1, x2, y2 = STANDING if k < 15 else LYING
        assert line["detections"][0]["box_px"] == pytest.approx((x1 + k % 20, y1, x2 + k % 20, y2), abs=2)
    assert summary.with_fallen == 15
    with VideoReader(out / "drawn.mp4") as video:
        assert video.rate_hz == pytest.approx(10, rel=0.01)
    drawn = frames_in(out / "drawn.mp4")
    assert [frame.time_s for frame in drawn] == pytest.approx(np.arange(30) / 10, abs=1e-3)
    edge = drawn[20].rgb[59, 30:60].mean(axis=0)  # the lower edge of the lying one's frame
    assert edge[0] > edge[1] + 60 > edge[2]


def test_a_drawn_video_with_a_stride_has_the_frames_that_were_looked_at(tmp_path: Path):
    source, out = film(tmp_path / "clip.mp4", 30), tmp_path / "out"
    predict(BrightBoxes(), source, out, PredictOptions(stride=4, seconds=2))
    assert [line["frame"] for line in lines_of(out)] == [0, 4, 8, 12, 16]
    assert [frame.time_s for frame in frames_in(out / "drawn.mp4")] == pytest.approx(
        [0, 0.4, 0.8, 1.2, 1.6], abs=1e-3
    )


def test_of_a_video_the_fallen_alone_are_saved_as_pictures(tmp_path: Path):
    source, out = film(tmp_path / "clip.mp4", 8), tmp_path / "out"
    predict(BrightBoxes(), source, out, PredictOptions(only_fallen=True))
    assert sorted(path.name for path in out.rglob("*.*")) == [
        *(f"{k:06d}.jpg" for k in range(4, 8)),
        "detections.jsonl",
    ]


def test_boxes_of_a_turned_video_lie_in_the_picture_as_it_is_seen(tmp_path: Path):
    import av

    with av.open(str(tmp_path / "phone.mp4"), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        stream.set_display_rotation(90)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(STANDING), format="rgb24")))
        container.mux(stream.encode())
    predict(BrightBoxes(), tmp_path / "phone.mp4", tmp_path / "out")
    line = lines_of(tmp_path / "out")[0]
    assert (line["width_px"], line["height_px"]) == (72, 96)
    x1, y1, x2, y2 = STANDING  # a turn to the left takes (x, y) to (y, 96 - x)
    assert line["detections"][0]["box_px"] == pytest.approx((y1, 96 - x2, y2, 96 - x1), abs=2)
    assert line["detections"][0]["class"] == "fallen"
    assert frames_in(tmp_path / "out/drawn.mp4")[0].rgb.shape == (96, 72, 3)


def test_bad_pictures_are_named_and_the_rest_goes_on(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (photos / "0.jpg").write_bytes(b"")
    good = photos / "b" / "c.jpg"
    (photos / "b" / "cut.jpg").write_bytes(good.read_bytes()[:300])
    summary = predict(BrightBoxes(), photos, tmp_path / "out")
    told = capsys.readouterr().err.splitlines()
    assert len([line for line in told if "0.jpg: is empty" in line]) == 1
    assert len([line for line in told if "cut.jpg: cannot be decoded" in line]) == 1
    assert (summary.pictures, len(summary.unreadable), summary.exit_code) == (4, 2, 0)
    assert "2 could not be read" in summary.line()
    assert len(lines_of(tmp_path / "out")) == 4


def test_where_nothing_can_be_read_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"no picture")
    with pytest.raises(BadInput, match="in: none of 2 pictures could be read"):
        predict(BrightBoxes(), tmp_path / "in", tmp_path / "out")
    assert "a.jpg: is not an image" in capsys.readouterr().err
    with pytest.raises(BadInput, match=r"a\.jpg: is not an image"):
        predict(BrightBoxes(), tmp_path / "in/a.jpg", tmp_path / "out")
    assert "is not an image" not in capsys.readouterr().err  # the error says it, once
    assert not (tmp_path / "out").exists()


def test_a_cut_video_is_looked_at_as_far_as_it_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    import av

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        for _ in range(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(LYING), format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    summary = predict(BrightBoxes(), path, tmp_path / "out")
    assert 5 < summary.pictures < 60
    assert len(frames_in(tmp_path / "out/drawn.mp4")) == summary.pictures
    assert summary.exit_code == 0
    assert "clip.mp4: is cut off: it ends after" in capsys.readouterr().err


def test_results_are_not_overwritten_unasked(photos: Path, tmp_path: Path):
    out = tmp_path / "out"
    predict(BrightBoxes(), photos, out)
    before = (out / "detections.jsonl").read_bytes()
    with pytest.raises(BadInput, match="out: exists already; choose another folder, or add --overwrite"):
        predict(BrightBoxes(), photos, out, PredictOptions(threshold=0.99))
    assert (out / "detections.jsonl").read_bytes() == before
    (out / "notes.txt").write_text("mine")
    predict(BrightBoxes(), photos / "d.png", out, PredictOptions(overwrite=True))
    assert [line["name"] for line in lines_of(out)] == ["d.png"]
    assert [path.name for path in (out / "drawn").iterdir()] == ["d.png"]
    assert (out / "notes.txt").read_text() == "mine"


def test_nothing_is_removed_from_a_folder_of_something_else(photos: Path, tmp_path: Path):
    (tmp_path / "mine" / "drawn").mkdir(parents=True)
    (tmp_path / "mine" / "drawn" / "x.txt").touch()
    with pytest.raises(BadInput, match=r"holds other files and no detections\.jsonl"):
        predict(BrightBoxes(), photos, tmp_path / "mine", PredictOptions(overwrite=True))
    assert (tmp_path / "mine" / "drawn" / "x.txt").exists()
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="is not a folder"):
        predict(BrightBoxes(), photos, tmp_path / "file", PredictOptions(overwrite=True))


def test_what_is_read_is_never_among_the_results(photos: Path, tmp_path: Path):
    out = photos / "out"
    for overwrite in (False, True):  # the second time there are drawn pictures below the folder
        summary = predict(BrightBoxes(), photos, out, PredictOptions(overwrite=overwrite))
        assert summary.pictures == 4
    for source in (out / "drawn", out / "drawn" / "a.png"):
        with pytest.raises(BadInput, match=r"the results would go into the folder of a\.png"):
            predict(BrightBoxes(), source, out, PredictOptions(overwrite=True))
    with pytest.raises(BadInput, match="the results would go into the folder of"):
        predict(BrightBoxes(), photos, photos, PredictOptions(overwrite=True))
    assert (out / "drawn" / "a.png").exists()


@pytest.mark.parametrize(
    "wrong", [{"threshold": 1.5}, {"batch": 0}, {"stride": 0}, {"seconds": 0.0}, {"seconds": float("nan")}]
)
def test_numbers_that_mean_nothing_are_refused(wrong: dict):
    with pytest.raises(BadInput, match="give"):
        PredictOptions(**wrong)


@dataclass
class Waiting(BrightBoxes):
    """Its first look lasts until ``ready`` is set."""

    ready: threading.Event | None = None
    waited: bool = False

    def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]:
        if self.ready is not None and not self.waited:
            self.waited = self.ready.wait(20)
        return super().detect(pictures)


@dataclass
class Scripted:
    """A source of one's own: tells when ``count - 2`` of its pictures have been asked for."""

    count: int
    ready: threading.Event
    name: str = "scripted"
    rate_hz: float | None = None
    live: bool = False

    @property
    def total(self) -> int:
        return self.count

    def frames(self) -> Iterator[Frame | BadInput]:
        for k in range(self.count):
            if k >= self.count - 3:
                self.ready.set()
            yield Frame(scene(LYING), f"{k}.png")


def test_decoding_goes_on_while_the_detector_looks(tmp_path: Path):
    source = Scripted(10, threading.Event())
    model = Waiting(ready=source.ready)
    summary = predict(model, source, tmp_path / "out", PredictOptions(batch=4, draw=False))
    assert model.waited  # pictures of the next batch were made during the first look
    assert summary.pictures == 10
    assert model.seen == [4, 4, 2]


class Blinking:
    """A camera that shows somebody lying, for ever."""

    def __init__(self) -> None:
        self.released = False

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, np.ndarray]:
        return True, scene(LYING)[..., ::-1]

    def get(self, key: int) -> float:
        return 0.0

    def release(self) -> None:
        self.released = True


def test_a_camera_is_looked_at_one_by_one_until_its_time_is_over(tmp_path: Path):
    camera, ticks = Blinking(), iter(range(10**6))
    source = CameraSource(0, seconds=500, opener=lambda index: camera, clock=lambda: next(ticks) / 10)
    model = BrightBoxes(pause_s=0.002)
    summary = predict(model, source, tmp_path / "out")
    lines = lines_of(tmp_path / "out")
    assert set(model.seen) == {1}
    assert 1 <= len(lines) == summary.pictures < 5000  # those that came while it looked are passed over
    times = [line["time_s"] for line in lines]
    assert times == sorted(times)
    assert lines[-1]["frame"] == 4999  # the newest is always kept
    drawn = frames_in(tmp_path / "out/drawn.mp4")
    assert [f.time_s for f in drawn] == pytest.approx(np.array(times) - times[0], abs=2e-3)
    assert camera.released


def test_an_absent_camera_leaves_nothing(tmp_path: Path):
    pytest.importorskip("cv2")
    with pytest.raises(BadInput, match="camera 93: cannot be opened"):
        predict(BrightBoxes(), "93", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_summary_counts_in_words():
    one = Summary("a.png", None, pictures=1, people=1, fallen=1, with_fallen=1, wall_s=0.5)
    assert one.line() == "a.png: 1 picture, 1 person, 1 fallen in 1; 2.0 pictures/s"


def test_an_error_of_the_detector_closes_the_video(tmp_path: Path):
    class Failing(BrightBoxes):
        def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]:
            if len(self.seen) == 3:
                raise SuiteError("out of memory")
            return super().detect(pictures)

    source = film(tmp_path / "clip.mp4", 30)
    with pytest.raises(SuiteError, match="out of memory"):
        predict(Failing(), source, tmp_path / "out", PredictOptions(batch=2))
    assert len(frames_in(tmp_path / "out/drawn.mp4")) == len(lines_of(tmp_path / "out")) == 6
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
