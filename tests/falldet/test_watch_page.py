"""The live page's server: who is let in, what is served, and that nothing else is."""

from __future__ import annotations

import dataclasses
import http.client
import io
import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("aiohttp", reason="the live page needs aiohttp")

from watch_stand_in import StandIn

from falldet.watch.page.options import PageOptions, is_loopback
from falldet.watch.page.pictures import Pictures
from falldet.watch.page.server import PageServer
from falldet.watch.page.view import Look, Person, Watched
from suite.errors import BadInput

TOKEN = "a-token-of-some-length"
BED = {"name": "bed", "polygon": [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]}


def a_look(number: int = 1, side: int = 64, **more: Any) -> Look:
    rgb = np.full((side, 2 * side, 3), 40, np.uint8)
    return Look(number, rgb, 1_760_000_000.0, **more)


@pytest.fixture
def watched(tmp_path: Path) -> StandIn:
    stand_in = StandIn({"hall": a_look(), "north wing/2": a_look(), "dark": None}, tmp_path)
    stand_in.zones_of["hall"] = [{"name": "sofa", "polygon": [[0, 0.5], [1, 0.5], [1, 1]], "fixed": True}]
    assert isinstance(stand_in, Watched)
    return stand_in


@pytest.fixture
def server(watched: StandIn) -> Iterator[PageServer]:
    running = PageServer(watched, PageOptions(port=0))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def locked(watched: StandIn) -> Iterator[PageServer]:
    running = PageServer(watched, PageOptions(port=0), TOKEN)
    running.start()
    yield running
    running.stop()


def ask(
    server: PageServer, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in small letters, body; header names with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def put(server: PageServer, camera: str, zones: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    headers = {"Content_Type": "application/json"} | headers
    return ask(server, f"/api/zones/{camera}", "PUT", json.dumps({"zones": zones}), **headers)


def test_the_page_is_one_file_that_asks_no_other_server(server: PageServer):
    status, headers, body = ask(server, "/")
    text = body.decode()
    assert status == 200
    assert "/*styles*/" not in text and "/*scripts*/" not in text and "openViewer" in text
    assert "src=" not in text.partition("<script")[0].replace("poster", "") and "http://" not in text.replace(
        "http://www.w3.org/2000/svg", ""
    )
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/api/events", "/nowhere", "/cameras/hall/shot.jpg", "/clips/x.mp4"])
def test_every_answer_carries_the_headers(server: PageServer, path: str):
    _, headers, _ = ask(server, path)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "aiohttp" not in headers["server"].lower()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1", 200),
        ("localhost", 200),
        ("[::1]:8765", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:80", 421),
        ("x'; script-src *", 421),
        ("", 421),
    ],
)
def test_a_name_nobody_gave_us_is_refused(server: PageServer, host: str, status: int):
    found, headers, _ = ask(server, "/api/events", Host=host)
    assert found == status
    assert "evil" not in headers["content-security-policy"] and "*" not in headers["content-security-policy"]


def test_a_name_may_be_given(watched: StandIn):
    server = PageServer(watched, PageOptions(port=0, names=("Watch.Ward.lan",)))
    server.start()
    assert ask(server, "/", Host="watch.ward.lan:9")[0] == 200
    assert ask(server, "/", Host="ward.lan")[0] == 421
    server.stop()


def test_other_pages_change_and_see_nothing(server: PageServer, watched: StandIn):
    host = f"127.0.0.1:{server.port}"
    assert put(server, "hall", [BED], Origin="http://evil.example")[0] == 403
    assert put(server, "hall", [BED], Origin="null")[0] == 403
    assert put(server, "hall", [BED], Sec_Fetch_Site="cross-site")[0] == 403
    assert put(server, "hall", [BED], Content_Type="text/plain")[0] == 415
    assert (
        ask(server, "/cameras/hall/shot.jpg", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    )
    assert (
        ask(server, "/live", Origin="http://evil.example", Upgrade="websocket", Connection="upgrade")[0]
        == 403
    )
    assert watched.saved == []
    assert ask(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200  # a link to it
    assert put(server, "hall", [BED], Origin=f"http://{host}", Sec_Fetch_Site="same-origin")[0] == 200


def test_zones_are_put_and_told(server: PageServer, watched: StandIn):
    status, _, body = put(server, "hall", [BED])
    assert status == 200
    assert [zone["name"] for zone in json.loads(body)["zones"]] == ["sofa", "bed"]
    assert watched.saved == [("hall", [BED])]
    listed = json.loads(ask(server, "/api/cameras")[2])["cameras"]
    assert [camera["name"] for camera in listed] == ["hall", "north wing/2", "dark"]
    assert listed[0]["zones"][1]["polygon"] == BED["polygon"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("[]", 400),
        ('{"zones": 3}', 400),
        ('{"zones": [3]}', 400),
        ("[" * 20_000, 400),
        ('{"zones": [' + " " * 70_000 + "]}", 413),
        (json.dumps({"zones": [{"name": "out", "polygon": [[2, 0], [1, 1], [0, 1]]}]}), 400),
    ],
)
def test_wrong_zones_are_refused_in_one_line(server: PageServer, watched: StandIn, body: str, status: int):
    found, _, said = ask(server, "/api/zones/hall", "PUT", body, Content_Type="application/json")
    assert found == status and watched.saved == []
    assert b"Traceback" not in said and len(said.splitlines()) <= 1
    assert put(server, "nowhere", [BED])[0] == 404


def test_clips_come_by_the_id_of_an_event_and_nothing_else_does(
    server: PageServer, watched: StandIn, tmp_path: Path
):
    (tmp_path / "e1.mp4").write_bytes(b"0123456789")
    (tmp_path.parent / "secret.mp4").write_bytes(b"secret")
    assert ask(server, "/clips/e1.mp4")[2] == b"0123456789"
    status, headers, part = ask(server, "/clips/e1.mp4", Range="bytes=2-4")
    assert (status, part) == (206, b"234") and headers["content-type"] == "video/mp4"
    for path in (
        "/clips/e2.mp4",
        "/clips/..%2fsecret.mp4",
        "/clips/../secret.mp4",
        "/clips/%2e%2e/secret.mp4",
    ):
        status, _, body = ask(server, path)
        assert status in (400, 403, 404) and b"secret" not in body, path


def test_events_are_the_newest_first_and_bounded(server: PageServer, watched: StandIn):
    for number in range(5):
        camera = "hall" if number % 2 else "dark"
        watched.happen(id=f"e{number}", camera=camera, state="confirmed")
    listed = json.loads(ask(server, "/api/events?limit=2")[2])["events"]
    assert [event["id"] for event in listed] == ["e4", "e3"]
    listed = json.loads(ask(server, "/api/events?camera=hall")[2])["events"]
    assert [event["id"] for event in listed] == ["e3", "e1"] and listed[0]["clip"] is False
    assert ask(server, "/api/events?limit=-1")[0] == 400
    assert ask(server, "/api/events?camera=nowhere")[0] == 404


def test_shots_are_as_wide_as_asked_and_names_may_hold_anything(server: PageServer):
    status, _, body = ask(server, "/cameras/north%20wing%2F2/shot.jpg?width=320")
    assert status == 200 and Image.open(io.BytesIO(body)).size == (128, 64)  # never larger than it is
    assert ask(server, "/cameras/nowhere/shot.jpg")[0] == 404
    assert ask(server, "/cameras/dark/shot.jpg")[0] == 503
    assert ask(server, "/cameras/hall/shot.jpg?width=-5")[0] == 400


def test_health_tells_trouble_by_its_status_too(server: PageServer, watched: StandIn):
    assert ask(server, "/health")[0] == 200
    watched.states["hall"] = {"state": "failed", "why": "wrong password"}
    status, _, body = ask(server, "/health")
    assert status == 503 and json.loads(body)["cameras"]["hall"]["why"] == "wrong password"
    assert ask(server, "/metrics")[2] == b"falldet_cameras 1\n"


def test_mjpeg_gives_each_new_picture_once(server: PageServer, watched: StandIn):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(b"GET /cameras/hall/stream?width=320 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        for number in range(2, 5):
            while received.count(b"Content-Length") < number - 1:
                received += line.recv(65536)
            watched.looks["hall"] = a_look(number)
        time.sleep(0.3)
        line.settimeout(0.2)
        try:
            while True:
                received += line.recv(65536)
        except TimeoutError:
            pass
    assert b"multipart/x-mixed-replace" in received
    assert received.count(b"\xff\xd8\xff") == 4 and received.count(b"--falldet-picture") >= 4


def test_the_socket_sends_the_next_picture_after_the_last_was_acknowledged(
    server: PageServer, watched: StandIn
):
    import asyncio

    import aiohttp

    person = Person(7, (10.0, 10.0, 50.0, 60.0), 0.9, "fallen")

    async def talk() -> list[dict[str, Any]]:
        heads = []
        async with aiohttp.ClientSession() as session, session.ws_connect(server.url + "live") as line:
            await line.send_json({"watch": {"hall": 100, "nowhere": 5}})

            async def head() -> dict[str, Any]:
                while True:
                    said = await asyncio.wait_for(line.receive(), 5)
                    if isinstance(said.data, bytes):
                        (length,) = struct.unpack(">I", said.data[:4])
                        assert Image.open(io.BytesIO(said.data[4 + length :])).size == (128, 64)
                        return json.loads(said.data[4 : 4 + length])
                    assert "health" in json.loads(said.data)

            heads.append(await head())
            for number in range(2, 6):  # four more come while the first is not acknowledged
                watched.looks["hall"] = a_look(number, people=(person,))
                await asyncio.sleep(0.08)
            await line.send_json({"got": "hall"})
            heads.append(await head())
            await line.send_str("nonsense")
            while not line.closed:
                await asyncio.wait_for(line.receive(), 5)
            assert line.close_code == 1003
        return heads

    heads = asyncio.run(talk())
    assert [head["number"] for head in heads] == [1, 5]
    assert heads[1]["people"][0] == {"track": 7, "box": [10, 10, 50, 60], "fallen": 0.9, "state": "fallen"}
    assert heads[1]["size_px"] == [128, 64]


def test_a_token_is_wanted_everywhere(locked: PageServer):
    for path in (
        "/api/events",
        "/health",
        "/metrics",
        "/cameras/hall/stream",
        "/live",
        "/clips/e.mp4",
        "/no",
    ):
        status, headers, body = ask(locked, path)
        assert status == 401 and headers["www-authenticate"] == "Bearer" and b"hall" not in body, path
    status, _, body = ask(locked, "/")
    assert status == 401 and b'name="token"' in body and b"openViewer" not in body
    assert ask(locked, "/api/events", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert ask(locked, "/api/events", Authorization=f"Basic {TOKEN}")[0] == 401


def test_the_form_leaves_a_cookie_that_is_not_the_token(locked: PageServer):
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    status, _, body = ask(locked, "/login", "POST", "token=wrong", **form)
    assert status == 401 and b"That is not the token." in body
    assert ask(locked, "/login", "POST", f"token={TOKEN}", Origin="http://evil.example", **form)[0] == 403
    status, headers, _ = ask(locked, "/login", "POST", f"token={TOKEN}", **form)
    cookie = headers["set-cookie"]
    assert status == 303 and "HttpOnly" in cookie and "SameSite=Lax" in cookie and TOKEN not in cookie
    pair = cookie.partition(";")[0]
    assert ask(locked, "/api/events", Cookie=pair)[0] == 200
    assert ask(locked, "/api/events", Cookie=pair[:-1] + ("0" if pair[-1] != "0" else "1"))[0] == 401


def test_only_loopback_goes_without_a_token(watched: StandIn):
    assert is_loopback("127.0.0.9") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("ward.lan") and not is_loopback("")
    with pytest.raises(ValueError, match="token_env"):
        PageOptions(host="0.0.0.0")
    with pytest.raises(BadInput, match="needs a token"):
        PageServer(watched, PageOptions(host="0.0.0.0", token_env="X"))
    with pytest.raises(BadInput, match="short"):
        PageServer(watched, PageOptions(host="0.0.0.0", token_env="X"), "1234")


def test_an_address_that_is_taken_is_one_line(server: PageServer, watched: StandIn):
    with pytest.raises(
        BadInput, match=r"page 127.0.0.1:\d+: cannot be listened on .*another page.host or page.port"
    ):
        PageServer(watched, PageOptions(port=server.port)).start()


def test_stopping_lets_go_of_viewers_at_once(watched: StandIn):
    server = PageServer(watched, PageOptions(port=0))
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(b"GET /cameras/hall/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        line.recv(1000)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 3


def test_blurred_before_anything_else_and_encoded_once():
    calls = []

    def blur(rgb: np.ndarray, boxes: Any) -> np.ndarray:
        calls.append(boxes.tolist())
        return np.zeros_like(rgb)

    people = (Person(1, (0.0, 0.0, 9.0, 9.0), 0.2),)
    look = a_look(side=400, people=people, maybe_px=((0.0, 0.0, 9.0, 9.0),))
    pictures = Pictures(blur)
    first = pictures.jpeg("hall", look, 300)
    assert Image.open(io.BytesIO(first)).size == (320, 160)
    assert np.asarray(Image.open(io.BytesIO(first))).max() < 8
    assert pictures.jpeg("hall", look, 320) is first and calls == [[[0.0, 0.0, 9.0, 9.0]]]
    newer = dataclasses.replace(look, number=2)
    drawn = pictures.jpeg("hall", newer, 320, [BED])
    assert np.asarray(Image.open(io.BytesIO(drawn))).max() > 100  # a zone and a box on black
    assert pictures.jpeg("hall", newer, 320) != drawn
