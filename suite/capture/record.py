"""A recording from a camera, from top to bottom: set up, count down, lock, record, judge. Read this first."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from suite.capture.acceptance import Acceptance, assess
from suite.capture.backend import CameraError, realsense
from suite.capture.devices import describe
from suite.capture.live import Live
from suite.capture.noise import Quality, QualityMeter
from suite.capture.presets import Preset
from suite.capture.profiles import wanted_profiles
from suite.capture.settings import apply_preset, is_steady, lock_exposure, read_settings
from suite.capture.stream import CameraFrame, CameraLost, CameraStream
from suite.data.recording import RecordingWriter, read_recording
from suite.engine.interrupts import Interrupts
from suite.errors import BadInput

_SETTLE_S = 5.0  # longest that is waited for exposure after the countdown
_FULL = (errno.ENOSPC, errno.EDQUOT)
_AFTER_LOCK = 3  # frames on their way when exposure was locked


@dataclass(frozen=True)
class RecordOptions:
    """What to record. `frames` 0 goes on until it is stopped; `raw` is a .db3 to write besides."""

    frames: int = 60
    countdown_s: float = 5.0
    color: bool = True
    color_format: Literal["png", "jpg"] = "png"
    filters: Sequence[str] = ()
    align: bool = False
    raw: Path | None = None
    threads: int = 2


@dataclass(frozen=True)
class Recorded:
    """What has been written, and how good it is."""

    folder: Path
    frames: int
    stopped: bool
    acceptance: Acceptance
    remarks: tuple[str, ...]


def record(
    device: Any, preset: Preset, out: Path, options: RecordOptions, live: Live | None = None
) -> Recorded:
    """Record `device` (rs.device) into the folder `out`.

    A first Ctrl-C ends the recording with what it has. Raises BadInput for settings that do not fit the
    camera, CameraError where the camera is lost or the disk full on the way: in one line, with what there is.
    """
    live = live or Live()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput("exists already", out, hint="choose another name or remove it")
    apply_preset(device, preset)
    profiles = wanted_profiles(device, preset, options.color)
    raw = None if options.raw is None else _recorder(device, options.raw)
    stream = CameraStream(device, profiles, options.filters, options.align, recorder=raw)
    with Interrupts() as asked, stream, live:
        meter = QualityMeter(stream.camera_depth, stream.depth_unit_m)
        frames = stream.frames()
        last = _count_down(frames, options.countdown_s, meter, live, asked)
        locked = lock_exposure(device, last.exposure_us, last.gain)
        if raw is not None:
            raw.resume()
        for _, _ in zip(range(_AFTER_LOCK), frames, strict=False):
            continue
        gravity, why_not = stream.gravity()
        presets = {
            **preset.to_json(),
            "filters": list(stream.filters),
            "exposure_us": last.exposure_us if locked else None,
            "options": read_settings(device),
        }
        info = stream.info(str(describe(device)), presets, gravity)
        writer = RecordingWriter(out, info, options.color_format, options.threads)
        take(frames, writer, options.frames, meter, live, asked, raw)
    acceptance = assess(read_recording(out))
    remarks = [] if locked else ["exposure stays automatic: the camera does not say what it is"]
    if gravity is None:
        remarks.append(f"no gravity in the recording: {why_not}")
    if writer.stored:
        remarks.append(f"{writer.stored} frames are stored unpacked, as the computer was busy")
    return Recorded(out, writer.written, bool(asked.signal_number), acceptance, tuple(remarks))


def _count_down(
    frames: Iterator[CameraFrame], seconds: float, meter: QualityMeter, live: Live, asked: Interrupts
) -> CameraFrame:
    """Time to take one's place: until the countdown is over and exposure has settled. The last frame."""
    started, exposures = time.monotonic(), []
    live.say(f"recording begins in {seconds:g} s" if seconds >= 1 else "exposure settles")
    for frame in frames:
        if asked.signal_number:
            raise KeyboardInterrupt
        exposures.append(frame.exposure_us)
        passed = time.monotonic() - started
        if passed >= seconds and (is_steady(exposures) or passed >= seconds + _SETTLE_S):
            return frame
        if live.due:
            left = f"{max(seconds - passed, 0):3.0f} s"
            live.show(f"{left}  {_told(meter.add(frame.counts, frame.timestamp_s))}")
    raise CameraLost("the camera ended before the recording began")


def take(
    frames: Iterator[CameraFrame],
    writer: RecordingWriter,
    wanted: int,
    meter: QualityMeter,
    live: Live,
    asked: Interrupts,
    raw: Any = None,
) -> None:
    """Write frames until there are enough, or somebody stops it; say what there is where something fails.

    `raw` (rs.recorder) is paused with the last of them.
    """
    live.say(f"recording {wanted} frames; Ctrl-C ends it" if wanted else "recording; Ctrl-C ends it")
    taken = 0
    try:
        with writer:
            for frame in frames:
                writer.add_counts(frame.counts, frame.timestamp_s, frame.color, frame.number)
                taken += 1
                if taken == wanted or asked.signal_number:
                    break
                if live.due:
                    of = f"/{wanted}" if wanted else ""
                    live.show(f"{taken}{of} frames  {_told(meter.add(frame.counts, frame.timestamp_s))}")
            if raw is not None:
                raw.pause()
    except CameraLost as error:
        raise _failed(str(error), writer, wanted) from None
    except OSError as error:
        what = "the disk is full" if error.errno in _FULL else f"the disk refused ({error.strerror})"
        raise _failed(what, writer, wanted) from None
    if not writer.written:
        raise _failed("no frame came", writer, wanted)
    live.say(f"{writer.written} frames in {writer.folder}")


def _failed(what: str, writer: RecordingWriter, wanted: int) -> CameraError:
    """What went wrong and what is left of it; a recording without any frame is no recording, and removed."""
    of = f" of {wanted}" if wanted else ""
    if writer.written:
        return CameraError(
            f"{writer.folder}: {what}; the {writer.written}{of} frames before that can be read"
        )
    shutil.rmtree(writer.folder, ignore_errors=True)
    return CameraError(f"{writer.folder}: {what}; no frame was there yet, and nothing is left")


def _told(quality: Quality | None) -> str:
    return "nothing in the middle of the picture" if quality is None else str(quality)


def _recorder(device: Any, raw: Path) -> Any:
    """A device (rs.recorder) that sends what `device` sends, and writes it into a .db3 once it is resumed."""
    if raw.suffix != ".db3":
        raise BadInput(f"ends in {raw.suffix!r}", raw, hint="librealsense writes .db3")
    if raw.exists():
        raise BadInput("exists already", raw, hint="choose another name or remove it")
    recorder = realsense().recorder(str(raw), device)
    recorder.pause()
    return recorder
