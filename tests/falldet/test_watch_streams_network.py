"""Cameras on the network: a real RTSP server that dies and comes back, HTTP, and all that goes wrong."""

from __future__ import annotations

import base64
import functools
import http.server
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from watch_cameras import RtspCamera, drawn, encoded, read_number, rtsp, until, write_hls, write_video

from falldet.watch.streams.health import StreamHealth
from falldet.watch.streams.options import CameraOptions
from falldet.watch.streams.stream import CameraStream

pytest.importorskip("av")
__all__ = ["rtsp"]  # a fixture

SECRET = "p@ss:w/rd"
QUICK: dict[str, Any] = {
    "timeouts": {"connect_s": 5, "silent_s": 5},
    "retry": {"first_s": 0.2, "longest_s": 0.5, "refused_s": 0.5},
}


@contextmanager
def watching(source: str, **options: Any) -> Iterator[tuple[CameraStream, list[StreamHealth]]]:
    """A camera while it is watched, and all that it tells."""
    told: list[StreamHealth] = []
    camera = CameraOptions(name="door", source=source, **{**QUICK, **options})
    stream = CameraStream(camera, tell=lambda _, health: told.append(health))
    stream.start()
    try:
        yield stream, told
    finally:
        stream.stop()


def lines(told: list[StreamHealth]) -> list[str]:
    return [health.line("door") for health in told]


@pytest.fixture(scope="module")
def packets() -> list[bytes]:
    return encoded(100)


def test_a_camera_that_dies_is_back_by_itself_and_others_go_on(
    rtsp: type[RtspCamera], packets: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with (
        rtsp(tmp_path, packets, login=("admin", SECRET)) as camera,
        rtsp(tmp_path / "other", packets) as other,
        watching(camera.url.replace("//", "//admin:p%40ss%3Aw%2Frd@")) as (stream, told),
        watching(other.url, looks_per_s=5) as (second, second_told),
    ):
        until(lambda: stream.health.shots >= 3 and second.health.shots >= 3)
        assert stream.health.size_px == (320, 180)
        camera.kill()
        until(lambda: stream.health.state == "reconnecting")
        before, number = second.health.shots, stream.health.shots
        until(lambda: "refused" in stream.health.why)
        camera.start()
        until(lambda: stream.health.state == "live")
        until(lambda: stream.health.shots >= number + 2)
        shot = stream.latest(number)
        assert shot is not None
        assert time.monotonic() - shot.time_s < 5
        assert 0 <= read_number(shot.rgb) < 25
        assert stream.health.reconnects == 1
        assert stream.health.damaged == 0
        assert second.health.shots > before
    assert [health.state for health in second_told] == ["live"]
    assert told[0].state == "live"
    assert told[-1].state == "live"
    assert {health.state for health in told[1:-1]} == {"reconnecting"}
    assert not any(word in line for line in lines(told) for word in ("admin", "p@ss", "p%40ss", "w/rd"))


def test_looks_come_at_their_rate(rtsp: type[RtspCamera], tmp_path: Path) -> None:
    with rtsp(tmp_path, encoded(100, gop=50, b_frames=2)) as camera, watching(camera.url) as (stream, _):
        until(lambda: stream.health.shots >= 1)
        times: list[float] = []
        last = 0

        def seen() -> bool:
            nonlocal last
            if (shot := stream.latest(last)) is not None:
                last = shot.number
                times.append(shot.time_s)
            return len(times) >= 6

        until(seen)
        assert stream.health.damaged == 0
    assert (times[-1] - times[1]) / 4 == pytest.approx(0.5, abs=0.15)


def test_a_wrong_password_and_a_wrong_path_are_said_and_asked_seldom(
    rtsp: type[RtspCamera], packets: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "open").mkdir()
    with (
        rtsp(tmp_path, packets, login=("admin", SECRET)) as camera,
        rtsp(tmp_path / "open", packets) as free,
        watching(camera.url, username="admin", password="geheim") as (wrong, told),
        watching(camera.url) as (none, _),
        watching(free.url + "ly") as (lost, _),
    ):
        until(lambda: wrong.health.state == none.health.state == lost.health.state == "failed")
        assert wrong.health.line("door") == "door: failed (refused the user name or password (401))"
        assert none.health.why == wrong.health.why
        assert lost.health.why == "has nothing at this address (404)"
        time.sleep(0.8)  # asked again, and refused again: nothing new to tell
    assert len(told) == 1


def test_a_camera_that_changes_its_resolution_is_noted_and_goes_on(
    rtsp: type[RtspCamera], tmp_path: Path
) -> None:
    both = encoded(25, gop=25) + encoded(25, size=(192, 128), gop=25)
    with rtsp(tmp_path, both) as camera, watching(camera.url, looks_per_s=10) as (stream, told):
        sizes: set[tuple[int, int]] = set()

        def seen() -> bool:
            shot = stream.latest()
            sizes.update([] if shot is None else [shot.size_px])
            return len(sizes) == 2

        until(seen)
        until(lambda: stream.health.why)
    assert sizes == {(320, 180), (192, 128)}
    assert {health.state for health in told} == {"live"}
    assert "pictures changed from" in told[1].why


def test_damaged_packets_are_noted_and_pictures_go_on(
    rtsp: type[RtspCamera], packets: list[bytes], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    damaged = list(packets)
    for number in (33, 34, 35, 50, 51):
        noise = rng.integers(1, 256, max(0, len(packets[number]) - 12), np.uint8)
        damaged[number] = packets[number][:12] + noise.tobytes()
    with rtsp(tmp_path, damaged) as camera, watching(camera.url, looks_per_s=25) as (stream, _):
        until(lambda: stream.health.damaged)
        assert stream.health.state == "live"
        assert "could not be decoded since the stream was opened" in stream.health.why
        shots = stream.health.shots
        until(lambda: stream.health.shots > shots + 10)


def test_cameras_that_never_answer_are_a_state_and_stop_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with (
            watching(f"rtsp://127.0.0.1:{port}/live", timeouts={"connect_s": 0.4}) as (rtsp_camera, told),
            watching(f"http://127.0.0.1:{port}/live", timeouts={"connect_s": 0.4}) as (http_camera, _),
            watching("rtsp://no-such-camera.invalid/live") as (unknown, _),
        ):
            assert rtsp_camera.health.line("door") == "door: starting"
            until(lambda: rtsp_camera.health.state == http_camera.health.state == "reconnecting")
            until(lambda: unknown.health.state == "reconnecting")
            assert rtsp_camera.health.why == http_camera.health.why == "no answer within 0.4 s"
            assert "no-such-camera.invalid is not known" in unknown.health.why
            until(lambda: rtsp_camera.health.shots == 0 and len(told) >= 1)
            assert rtsp_camera.stop()


def test_a_camera_that_falls_silent_is_lost(
    rtsp: type[RtspCamera], packets: list[bytes], tmp_path: Path
) -> None:
    with (
        rtsp(tmp_path, packets) as camera,
        watching(camera.url, timeouts={"connect_s": 5, "silent_s": 0.6}) as (stream, told),
    ):
        until(lambda: stream.health.shots > 1)
        camera.pause()
        until(lambda: stream.health.state == "reconnecting")
        assert "no packet for 0.6 s" in stream.health.why or "no picture for" in stream.health.why
        camera.go_on()
        until(lambda: stream.health.state == "live")
        assert told[0].state == told[-1].state == "live"


class _Web(http.server.BaseHTTPRequestHandler):
    """/live.mjpg, pictures without end; /film.mp4; /page; /snap.cgi, a picture at a time, each fourth of them
    cut short. With a password for /locked and /locked.jpg."""

    film = b""
    asked = itertools.count()
    gone = False

    def do_GET(self) -> None:
        login = "Basic " + base64.b64encode(f"admin:{SECRET}".encode()).decode()
        if self.path.startswith("/locked") and self.headers.get("Authorization") != login:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
        elif self.path.startswith(("/snap", "/locked.jpg")):
            number = next(self.asked)
            jpeg = cv2.imencode(".jpg", drawn(number, 320, 180)[..., ::-1])[1].tobytes()
            body = b"" if self.gone else jpeg if number % 4 else jpeg[: len(jpeg) // 8]
            self.send_response(503 if self.gone else 200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif self.path.startswith("/live.mjpg"):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
            self.end_headers()
            self._pictures()
        else:
            body = self.film if self.path in ("/film.mp4", "/locked") else b"<html>no video</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _pictures(self) -> None:
        try:
            for number in range(1000):
                jpeg = cv2.imencode(".jpg", drawn(number, 320, 180)[..., ::-1])[1].tobytes()
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                time.sleep(0.04)
        except OSError:
            return  # nobody looks any more

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    _Web.film = write_video(tmp_path / "film.mp4", 60).read_bytes()
    _Web.asked, _Web.gone = itertools.count(1), False
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Web)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_mjpeg_video_and_errors_over_http(web: str) -> None:
    with (
        watching(f"{web}/live.mjpg?user=joe&pwd=geheim", looks_per_s=5) as (live, _),
        watching(f"{web}/film.mp4", looks_per_s=5) as (film, film_told),
        watching(f"{web}/locked?pwd=geheim") as (locked, _),
        watching(f"{web}/page") as (page, _),
        watching(f"{web}/locked", username="admin", password=SECRET) as (opened, _),
    ):
        until(lambda: opened.health.shots >= 2)
        until(lambda: live.health.shots >= 5)
        until(lambda: film.health.state == "ended")
        until(lambda: locked.health.state == "failed" and page.health.state == "reconnecting")
        assert live.health.state == "live"
        assert live.health.size_px == (320, 180)
        assert live.options.shown.endswith("/live.mjpg?user=***&pwd=***")
        assert film.health.shots == pytest.approx(12, abs=2)
        assert film_told[-1].why == "all of it was played"
        assert locked.health.why == "refused the user name or password (401)"
        assert page.health.why == "sends no video that can be read"


def test_an_address_of_one_picture_is_asked_for_every_look(web: str) -> None:
    short = {"connect_s": 5, "silent_s": 1}
    with (
        watching(f"{web}/snap.cgi?user=joe&pwd=geheim", looks_per_s=10, timeouts=short) as (camera, told),
        watching(f"{web}/locked.jpg") as (locked, _),
        watching(f"{web}/locked.jpg", username="admin", password=SECRET) as (opened, _),
    ):
        until(lambda: camera.health.shots >= 6 and opened.health.shots >= 1)
        until(lambda: camera.health.damaged >= 1 and locked.health.state == "failed")
        assert camera.health.state == "live" and camera.health.reconnects == 0
        assert camera.health.size_px == (320, 180)
        first = camera.latest()
        assert first is not None
        until(lambda: (newer := camera.latest(first.number)) is not None and differ(first.rgb, newer.rgb))
        _Web.gone = True
        until(lambda: camera.health.state == "reconnecting")
        _Web.gone = False
        until(lambda: camera.health.state == "live")
    assert not any("geheim" in line for line in lines(told))


def test_looks_at_single_pictures_come_at_their_rate(web: str) -> None:
    with watching(f"{web}/snap.cgi", looks_per_s=4) as (camera, _):
        until(lambda: camera.health.shots >= 1)
        asked, began_s = next(_Web.asked), time.monotonic()
        time.sleep(2.0)
        asks = next(_Web.asked) - asked - 1
        assert asks == pytest.approx(4 * (time.monotonic() - began_s), abs=2)


def test_hls_is_played_and_lost_where_a_live_one_stops(tmp_path: Path) -> None:
    """A playlist that is whole is played to its end; one that stops growing is a camera that fell silent."""
    playlist, short = write_hls(tmp_path, 75), {"connect_s": 2, "silent_s": 2}
    (tmp_path / "live.m3u8").write_text(playlist.replace("#EXT-X-ENDLIST\n", ""))
    handler = functools.partial(_Files, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    with (
        watching(f"{base}/whole.m3u8", looks_per_s=5) as (whole, told),
        watching(f"{base}/live.m3u8", looks_per_s=5, timeouts=short) as (live, _),
        watching(f"{base}/none.m3u8") as (none, _),
    ):
        until(lambda: live.health.shots >= 3)
        until(lambda: whole.health.state == "ended")
        until(lambda: none.health.state == "failed")
        until(lambda: live.health.state == "reconnecting", within_s=40)
    assert whole.health.shots == pytest.approx(15, abs=3) and told[0].state == "live"
    assert none.health.why == "has nothing at this address (404)"
    server.shutdown()
    server.server_close()


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


def differ(a: np.ndarray, b: np.ndarray) -> bool:
    return read_number(a) != read_number(b)


def test_a_playlist_cannot_make_us_read_files_of_this_computer(tmp_path: Path) -> None:
    inside = write_video(tmp_path / "inside.ts", 30)

    class Trap(_Web):
        def do_GET(self) -> None:
            body = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:{inside}\n#EXT-X-ENDLIST\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.apple.mpegurl")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Trap)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with watching(f"http://127.0.0.1:{server.server_address[1]}/list.m3u8") as (stream, _):
        until(lambda: stream.health.state in ("reconnecting", "failed", "ended"))
        assert stream.health.shots == 0
    server.shutdown()
    server.server_close()


def test_a_missing_environment_variable_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOOR_PASSWORD", raising=False)
    with watching("rtsp://127.0.0.1:9/x", username="u", password_env="DOOR_PASSWORD") as (stream, told):
        until(lambda: stream.health.state == "failed")
    assert lines(told) == [
        "door: failed (the environment variable DOOR_PASSWORD is not set; export it, or name another)"
    ]
