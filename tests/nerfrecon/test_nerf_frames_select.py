"""Photographs and videos: which pictures are kept, and what is said about the others."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from nerfrecon.frames.blur import sharpness
from nerfrecon.frames.exif import read_exif
from nerfrecon.frames.options import FramesOptions
from nerfrecon.frames.select import read_frames, select_frames
from nerfrecon.frames.spread import motion, sharpest_in_slots, small_grey
from suite.data.images import write_image
from suite.data.video import VideoWriter
from suite.errors import BadInput

OPTIONS = FramesOptions(fewest=4)


def canvas(seed: int = 0, side: int = 900) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grey = np.zeros((side, side), np.float32)
    for cells in (20, 90, 400):
        grey += cv2.resize(rng.random((cells, cells)).astype(np.float32), (side, side))
    grey = (grey - grey.min()) / np.ptp(grey) * 255
    return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)


def window(picture: np.ndarray, at: int, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    return np.ascontiguousarray(picture[100 : 100 + size[0], at : at + size[1]])


def photographs(folder: Path, count: int, step: int = 40) -> Path:
    folder.mkdir()
    picture = canvas()
    for k in range(count):
        write_image(folder / f"{k:02d}.png", window(picture, step * k))
    return folder


def blurred(rgb: np.ndarray, sigma: float = 4.0) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma), np.uint8)


def reasons(out: Path) -> dict[str, str | None]:
    return {frame.name: frame.reason for frame in read_frames(out)}


def test_sharpness_falls_with_blur_of_any_direction_and_not_with_contrast() -> None:
    sharp = window(canvas(), 0)
    values = [sharpness(sharp), *(sharpness(blurred(sharp, sigma)) for sigma in (1.0, 2.0, 4.0))]
    assert (np.diff(values) < 0).all()
    faint = (96 + sharp.astype(np.float64) / 8).astype(np.uint8)
    assert sharpness(faint) == pytest.approx(values[0], abs=0.05)
    for kernel in (np.ones((1, 15)) / 15, np.ones((15, 1)) / 15):
        assert sharpness(np.asarray(cv2.filter2D(sharp, -1, kernel), np.uint8)) < 0.7 * values[0]
    assert sharpness(np.full((240, 320, 3), 128, np.uint8)) == 0


def test_a_background_out_of_focus_is_not_a_blurred_picture() -> None:
    sharp = window(canvas(), 0)
    shallow = blurred(sharp, 5.0)
    shallow[60:180, 80:240] = sharp[60:180, 80:240]
    assert sharpness(shallow) > 0.8 * sharpness(sharp)


def test_every_photograph_of_a_folder_is_kept_but_the_blurred_and_the_repeated(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photos", 8)
    write_image(folder / "03.png", blurred(window(canvas(), 120)))
    again = np.asarray(Image.open(folder / "05.png"), np.int16)
    noise = np.random.default_rng(1).integers(-2, 3, again.shape)
    write_image(folder / "90.png", np.clip(again + noise, 0, 255).astype(np.uint8))
    (folder / "99.jpg").write_bytes(b"no picture")
    (folder / "98.heic").write_bytes(b"...")
    out = select_frames(folder, tmp_path / "out", OPTIONS)
    said = reasons(out)
    assert said["03.png"] is not None and "blurred" in said["03.png"]
    twins = [said["05.png"], said["90.png"]]
    assert sum(one is not None and "the same as" in one for one in twins) == 1
    assert said["99.jpg"] and "HEIC is not read" in (said["98.heic"] or "")
    kept = {name for name, reason in said.items() if reason is None}
    assert kept == {path.name for path in (out / "images").iterdir()} and len(kept) == 7
    assert (out / "images" / "00.png").read_bytes() == (folder / "00.png").read_bytes()


def test_pixels_stay_as_the_sensor_wrote_them_and_nobody_turns_them_later(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photos", 4)
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = 6, "Phone 5\0"
    exif.get_ifd(0x8769)[0x920A], exif.get_ifd(0x8769)[0xA405] = 4.25, 26
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    picture = Image.fromarray(window(canvas(3), 500))
    picture.save(folder / "my phone.jpg", exif=exif, quality=90)
    out = select_frames(folder, tmp_path / "out", OPTIONS)
    frame = next(frame for frame in read_frames(out) if frame.name == "my_phone.jpg")
    assert frame.exif == {
        "focal_mm": 4.25,
        "focal_35mm": 26.0,
        "model": "Phone 5",
        "time": "2024:05:06 07:08:09",
        "orientation": 6,
    }
    copied, source = out / "images" / "my_phone.jpg", folder / "my phone.jpg"
    assert read_exif(copied).orientation == 1
    with Image.open(copied) as a, Image.open(source) as b:
        assert a.size == b.size == (320, 240)
        assert np.array_equal(np.asarray(a), np.asarray(b))  # stripped, not encoded again


def test_large_pictures_and_their_masks_are_averaged_down(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photos", 4)
    (tmp_path / "masks").mkdir()
    mask = np.zeros((240, 320), np.uint8)
    mask[:, 160:] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "01.png")
    out = select_frames(folder, tmp_path / "out", FramesOptions(fewest=4, longest_px=160))
    with Image.open(out / "images" / "01.png") as picture:
        assert picture.size == (160, 120)
    with Image.open(out / "masks" / "01.png.png") as made:
        grey = np.asarray(made)
    assert grey.shape == (120, 160) and grey[:, :80].max() == 0 and grey[:, 80:].min() == 255


def test_of_more_than_wanted_an_even_spread_is_kept(tmp_path: Path) -> None:
    out = select_frames(
        photographs(tmp_path / "photos", 9), tmp_path / "out", FramesOptions(fewest=4, most=5)
    )
    assert sorted(path.stem for path in (out / "images").iterdir()) == ["00", "02", "04", "06", "08"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: photographs(folder, 3), "holds 3 photographs, and 6 are needed"),
        (lambda folder: _blurred_folder(folder), "10 of 10 photographs are blurred, 0 are left"),
        (lambda folder: _repeated(folder), "show the same as another"),
        (lambda folder: _heic(folder), "holds 7 photographs as HEIC"),
        (lambda folder: _with_video(folder), "give the video itself"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(tmp_path: Path, make: object, said: str) -> None:
    folder = make(tmp_path / "photos")  # type: ignore[operator]
    with pytest.raises(BadInput, match=said) as caught:
        select_frames(folder, tmp_path / "out", FramesOptions())
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def _blurred_folder(folder: Path) -> Path:
    photographs(folder, 10)
    for path in folder.iterdir():
        write_image(path, blurred(np.asarray(Image.open(path)), 6.0))
    return folder


def _repeated(folder: Path) -> Path:
    return photographs(folder, 9, step=0)


def _heic(folder: Path) -> Path:
    folder.mkdir()
    for k in range(7):
        (folder / f"IMG_{k}.HEIC").write_bytes(b"...")
    return folder


def _with_video(folder: Path) -> Path:
    folder.mkdir()
    (folder / "walk.mp4").write_bytes(b"...")
    return folder


def film(path: Path, still: int = 30, moving: int = 60, blurred_every: int = 3) -> Path:
    """A camera that stands, then moves evenly over a picture; two of three frames are blurred."""
    picture = canvas(4)
    with VideoWriter(path, 30) as video:
        for k in range(still + moving):
            frame = window(picture, 5 * max(0, k - still))
            video.write(frame if k % blurred_every == 1 else blurred(frame, 3.0), k / 30)
    return path


def test_of_a_video_the_sharp_frames_are_taken_evenly_in_motion(tmp_path: Path) -> None:
    path = film(tmp_path / "walk.mp4")
    out = select_frames(path, tmp_path / "out", FramesOptions(from_video=10, fewest=4))
    frames = [frame for frame in read_frames(out) if frame.kept]
    numbers = [int(frame.name[:6]) for frame in frames]
    assert len(numbers) >= 9 and all(number % 3 == 1 for number in numbers)
    assert sum(number < 30 for number in numbers) <= 1  # standing still fills no more than one slot
    steps = np.diff([max(30, number) for number in numbers])
    assert steps.max() <= 2.1 * np.median(steps)
    assert json.loads((out / "frames.json").read_text())[0]["time_s"] is not None


def test_a_video_that_cannot_be_decoded_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "walk.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40)
    with pytest.raises(BadInput, match=r"walk\.mp4") as caught:
        select_frames(path, tmp_path / "out", FramesOptions())
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_video_of_nothing_that_moves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing moves"):
        select_frames(film(tmp_path / "a.mp4", 20, 0), tmp_path / "out", FramesOptions())


def test_motion_is_that_of_the_features() -> None:
    picture = canvas(2)
    here = small_grey(window(picture, 100))
    for shift in (0, 4, 13):
        assert motion(here, small_grey(window(picture, 100 + shift))) == pytest.approx(shift / 320, abs=0.002)


def test_slots_are_even_and_take_the_sharpest() -> None:
    travelled = np.cumsum(np.r_[np.zeros(50), np.full(100, 0.1)])
    sharp = np.zeros(150)
    sharp[[60, 75, 100, 140]] = 1.0
    chosen = sharpest_in_slots(travelled, sharp, 4)
    assert chosen == [60, 75, 100, 140] or set(chosen) >= {60, 140}
    assert len(chosen) == 4
