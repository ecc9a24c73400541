"""A folder of photographs or a video -> OUT/images and OUT/frames.json: what all later stages see.

The pixels in OUT/images are those that the sensor wrote: nothing is turned, so that portrait and landscape
photographs of one camera share its lens, and EXIF's orientation, which is kept in frames.json, is taken out
of the file. Masks that lie beside the photographs (folder masks) come along, at the same size, to OUT/masks.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nerfrecon.frames.blur import sharpness
from nerfrecon.frames.exif import read_exif
from nerfrecon.frames.keep import copy_mask, copy_picture, source_pictures
from nerfrecon.frames.options import FramesOptions
from nerfrecon.frames.spread import small_grey, twins
from nerfrecon.frames.video import video_frames
from nerfrecon.scenes.picture import read_pixels
from suite.data.images import write_image
from suite.errors import BadInput
from suite.files import atomic_folder, atomic_write
from suite.progress import track


@dataclass
class Frame:
    """A picture that was looked at: `name` in OUT/images, and where it came from; `reason` says why it is not
    kept."""

    name: str
    source: str
    kept: bool = True
    reason: str | None = None
    sharpness: float | None = None
    exif: dict[str, Any] = field(default_factory=dict)
    time_s: float | None = None

    def reject(self, reason: str) -> None:
        """Leave it out."""
        self.kept, self.reason = False, reason


def select_frames(source: Path, out: Path, options: FramesOptions) -> Path:
    """Choose pictures of a folder or video and write them to `out`, which must not be there. Atomic.

    Of a folder all photographs are kept but those that are blurred, cannot be read or are the same as
    another; of a video the sharpest in slots that are even in motion. Raises BadInput, in one line, where
    fewer than `options.fewest` are left.
    """
    source, out = Path(source), Path(out)
    if not source.exists():
        raise BadInput("no such file or folder", source, hint="give a folder of photographs or a video")
    with atomic_folder(out) as made:
        (made / "images").mkdir()
        if source.is_dir():
            frames = _from_folder(source, made, options)
        else:
            frames = _from_video(source, made, options)
        _refuse_few(frames, source, options)
        with atomic_write(made / "frames.json", "w") as stream:
            json.dump([asdict(frame) for frame in frames], stream, indent=1)
    return out


def read_frames(folder: Path) -> list[Frame]:
    """What `select_frames` wrote to `folder`/frames.json; an empty list where it wrote nothing."""
    path = Path(folder) / "frames.json"
    if not path.is_file():
        return []
    try:
        return [Frame(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, UnicodeDecodeError):
        raise BadInput("is not what the stage `frames` wrote", path, hint="choose the frames again") from None


def plain_name(name: str, frames: list[Frame]) -> str:
    """Without blanks, which formats of poses cannot hold, and not one that is taken."""
    plain = re.sub(r"\s+", "_", name)
    taken = {frame.name for frame in frames}
    return plain if plain not in taken else f"{len(frames):04d}_{plain}"


def _from_folder(source: Path, made: Path, options: FramesOptions) -> list[Frame]:
    paths, foreign = source_pictures(source, options.fewest)
    frames, small = [], []
    for path in track(paths, "Looking at photographs"):
        frame = Frame(plain_name(path.name, frames), str(path), exif=read_exif(path).as_dict())
        frames.append(frame)
        try:
            pixels = read_pixels(path)
        except BadInput as error:
            frame.reject(error.what)
            continue
        rgb = _over_white(pixels)
        frame.sharpness = round(sharpness(rgb), 4)
        small.append((frame, small_grey(rgb)))
    _reject_blurred([frame for frame, _ in small], source, options)
    _reject_twins([(frame, grey) for frame, grey in small if frame.kept], options)
    _thin(frames, options.most)
    kept = {frame.source: frame for frame in frames if frame.kept}
    for path in paths:
        if str(path) in kept:
            name = kept[str(path)].name
            size = copy_picture(path, made / "images" / name, options.longest_px)
            copy_mask(path, made / "masks" / f"{name}.png", size)
    return frames + [Frame(path.name, str(path), False, reason) for path, reason in foreign]


def _from_video(source: Path, made: Path, options: FramesOptions) -> list[Frame]:
    frames = []
    for chosen in video_frames(source, options):
        name = f"{chosen.number:06d}.jpg"
        frames.append(
            Frame(name, str(source), sharpness=round(chosen.sharpness, 4), time_s=round(chosen.time_s, 4))
        )
        rgb = _shrunk(chosen.rgb, options.longest_px)
        write_image(made / "images" / name, rgb)
    _reject_blurred(frames, source, options)
    for frame in frames:
        if not frame.kept:
            (made / "images" / frame.name).unlink()
    return frames


def _reject_blurred(frames: list[Frame], source: Path, options: FramesOptions) -> None:
    if not frames:
        return
    values = [frame.sharpness or 0.0 for frame in frames]
    usual = float(np.median(values))
    least = max(options.sharpness_least, options.sharpness_share * usual)
    for frame, value in zip(frames, values, strict=True):
        if value < options.sharpness_least:
            frame.reject(f"blurred (sharpness {value:.2f}, at least {options.sharpness_least:.2f} is needed)")
        elif value < least:
            frame.reject(f"blurred beside the others (sharpness {value:.2f}, usual is {usual:.2f})")


def _reject_twins(looked: list[tuple[Frame, np.ndarray]], options: FramesOptions) -> None:
    """Of two that show the same the sharper stays."""
    for first, second in twins([grey for _, grey in looked], options.duplicate_motion):
        pair = looked[first][0], looked[second][0]
        if pair[0].kept and pair[1].kept:
            worse, better = sorted(pair, key=lambda frame: frame.sharpness or 0.0)
            if worse.sharpness == better.sharpness:
                better, worse = pair
            worse.reject(f"shows the same as {better.name}")


def _thin(frames: list[Frame], most: int | None) -> None:
    kept = [frame for frame in frames if frame.kept]
    if most is None or len(kept) <= most:
        return
    stay = set(np.round(np.linspace(0, len(kept) - 1, most)).astype(int).tolist())
    for number, frame in enumerate(kept):
        if number not in stay:
            frame.reject(f"one of more than {most}")


def _refuse_few(frames: list[Frame], source: Path, options: FramesOptions) -> None:
    kept = sum(frame.kept for frame in frames)
    if kept >= options.fewest:
        return
    blurred = sum("blurred" in (frame.reason or "") for frame in frames)
    twice = sum("the same as" in (frame.reason or "") for frame in frames)
    what = "frames" if source.is_file() else "photographs"
    if blurred >= max(twice, len(frames) - kept - blurred - twice) and blurred:
        raise BadInput(
            f"{blurred} of {len(frames)} {what} are blurred, {kept} are left and {options.fewest} are needed",
            source,
            hint="photograph in more light, hold still, and let the camera focus on the object",
        )
    if twice:
        raise BadInput(
            f"{twice} of {len(frames)} {what} show the same as another, {kept} are left and "
            f"{options.fewest} are needed",
            source,
            hint="walk around the object between photographs",
        )
    unread = next((frame for frame in frames if not frame.kept), None)
    more = f" ({unread.name}: {unread.reason})" if unread else ""
    raise BadInput(
        f"holds {kept} usable {what}, and {options.fewest} are needed{more}",
        source,
        hint="take 30 to 80 all around the object, each seeing most of what the one before saw",
    )


def _over_white(pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.float32) / 255
    return np.round(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _shrunk(rgb: np.ndarray, longest_px: int | None) -> np.ndarray:
    from nerfrecon.scenes.picture import shrunk

    factor = 1.0 if longest_px is None else longest_px / max(rgb.shape[:2])
    if factor >= 1:
        return rgb
    return shrunk(rgb, max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))
