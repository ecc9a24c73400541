"""Cameras for the tests of the watch: small H.264 streams, and a real RTSP server that sends them."""

from __future__ import annotations

import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

_SYSTEM_PYTHON = "/usr/bin/python3"
_NEEDS = "import gi; gi.require_version('GstRtspServer', '1.0'); gi.require_version('Gst', '1.0')"


def drawn(number: int, width: int, height: int) -> np.ndarray:
    """Picture ``number``: its brightness tells the number (see `read_number`), with a box that moves."""
    rgb = np.full((height, width, 3), 20 + 8 * (number % 25), np.uint8)
    at = 4 * number % (width - 16)
    rgb[height // 2 : height // 2 + 16, at : at + 16] = (250, 60, 60)
    return rgb


def read_number(rgb: np.ndarray) -> int:
    """Which of 25 drawn pictures it is."""
    return round((float(rgb[: rgb.shape[0] // 3].mean()) - 20) / 8)


def encoded(count: int, size: tuple[int, int] = (320, 180), gop: int = 10, b_frames: int = 0) -> list[bytes]:
    """H.264 packets of ``count`` drawn pictures, in the order in which they are sent."""
    import av

    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = *size, "yuv420p"
    codec.time_base, codec.framerate, codec.gop_size = Fraction(1, 25), Fraction(25), gop
    codec.options = {"bf": str(b_frames), "crf": "20", "preset": "veryfast", "sc_threshold": "0"}
    if not b_frames:
        codec.options |= {"tune": "zerolatency", "x264-params": "sliced-threads=0"}
    codec.thread_count = 1
    sent: list[bytes] = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(drawn(number, *size), format="rgb24")
        frame.pts = number
        sent += [bytes(packet) for packet in codec.encode(frame)]
    return sent + [bytes(packet) for packet in codec.encode(None)]


def write_video(path: Path, count: int, rate: int = 25, gop: int = 10, b_frames: int = 0) -> Path:
    """An MP4 of drawn pictures."""
    import av

    with av.open(str(path), "w") as container:
        coding = {"bf": str(b_frames), "crf": "20", "preset": "veryfast", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=rate, options=coding)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = gop, 1
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(drawn(number, 320, 180), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_hls(folder: Path, count: int) -> str:
    """An HLS playlist, ``whole.m3u8``, of segments of a second of drawn pictures; gives its text."""
    import av

    path = folder / "whole.m3u8"
    whole = {"hls_time": "1", "hls_list_size": "0"}
    with av.open(str(path), "w", format="hls", options=whole) as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = 25, 1
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(drawn(number, 320, 180), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_text()


class RtspCamera:
    """The server's process on a port of the loopback; ``url`` reaches it. A context manager."""

    def __init__(
        self, folder: Path, packets: Iterable[bytes], login: tuple[str, ...] = (), rate: int = 25
    ) -> None:
        self._file = folder / "packets"
        self._file.write_bytes(b"".join(struct.pack(">I", len(packet)) + packet for packet in packets))
        self._login, self._rate, self.port = login, rate, 0
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """On the same port as before, where there was one."""
        script = Path(__file__).parent / "rtsp_server.py"
        given = [str(self.port), str(self._rate), str(self._file), *self._login]
        self._process = subprocess.Popen(
            [_SYSTEM_PYTHON, str(script), *given], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(" ")[2])

    def kill(self) -> None:
        """As a power cut would."""
        self._process.kill()
        self._process.communicate()

    def pause(self) -> None:
        """It says nothing more, and its connections stay."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> RtspCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@pytest.fixture(scope="session")
def rtsp() -> type[RtspCamera]:
    """Skips where the system has no RTSP server."""
    found = shutil.which(_SYSTEM_PYTHON) and subprocess.run(
        [_SYSTEM_PYTHON, "-c", f"{_NEEDS}; from gi.repository import Gst, GstRtspServer"],
        capture_output=True,
        check=False,
    )
    if not found or found.returncode:
        pytest.skip("no RTSP server: Debian has it in gir1.2-gst-rtsp-server-1.0 and python3-gi")
    return RtspCamera


def until(true: Callable[[], object], within_s: float = 20) -> None:
    """Wait for it; fails where it does not become true."""
    end_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)
