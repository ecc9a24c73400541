"""Cameras for benchmarks: one process that sends H.264 of 1280 x 720 at 25 pictures a second over HTTP.

Run as a program it prints its port and serves `/` to anybody as MPEG-TS, at the pace of its pictures.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

SIZE_PX, RATE_HZ, SECONDS, GOP = (1280, 720), 25, 8, 50


def write_scene(path: Path, pictures: list[np.ndarray]) -> None:
    """A still camera's view, one after the other of ``pictures``, with the noise and the size of a real one.

    2 Mbit/s and a key frame every 2 s, as ward cameras are usually set up.
    """
    import av
    import cv2

    rng = np.random.default_rng(7)
    noise = rng.normal(0, 3, (4, SIZE_PX[1], SIZE_PX[0], 1)).astype(np.int16)
    views = [cv2.resize(rgb, SIZE_PX, interpolation=cv2.INTER_LINEAR).astype(np.int16) for rgb in pictures]
    with av.open(str(path), "w") as container:
        coding = {"preset": "veryfast", "b": "2M", "maxrate": "2M", "bufsize": "2M", "bf": "0"}
        stream = container.add_stream("libx264", rate=RATE_HZ, options=coding)
        stream.width, stream.height, stream.pix_fmt = *SIZE_PX, "yuv420p"
        stream.codec_context.gop_size = GOP
        for number in range(SECONDS * RATE_HZ):
            view = views[number * len(views) // (SECONDS * RATE_HZ)] + noise[number % len(noise)]
            view = np.roll(view, 4 * (number % GOP), axis=1)  # something moves
            frame = av.VideoFrame.from_ndarray(np.clip(view, 0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def serve(path: str) -> None:
    """Until standard input is closed."""
    import av
    from av.error import FFmpegError

    source = av.open(path)
    video = source.streams.video[0]
    packets = [(bytes(p), p.pts, p.is_keyframe) for p in source.demux(video) if p.pts is not None]
    base = video.time_base or Fraction(1, 90_000)
    lasting = round(Fraction(SECONDS) / base)

    def endless() -> Iterator[tuple[bytes, int, bool]]:
        offset = 0
        while True:
            for data, pts, key in packets:
                yield data, pts + offset, key
            offset += lasting

    begun = itertools.count()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            time.sleep(next(begun) * 0.618 % 1)  # cameras are not in step
            try:
                with av.open(self.wfile, "w", format="mpegts") as out:
                    stream = out.add_stream_from_template(video)
                    began_s = time.monotonic()
                    for data, pts, key in endless():
                        time.sleep(max(0.0, began_s + float(pts * base) - time.monotonic()))
                        packet = av.Packet(data)
                        packet.pts = packet.dts = pts
                        packet.time_base, packet.is_keyframe, packet.stream = base, key, stream
                        out.mux(packet)
            except (OSError, FFmpegError):
                pass  # who looked went away

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1])
