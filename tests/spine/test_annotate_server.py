"""Who may ask what, what is saved, and that a moved line moves the fitted spine."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from annotate_subject import CONFIG, Client, centres, exact, fit, found, plain_bone, served, surface

from spine.anatomy import LEVELS
from spine.annotate.document import page
from spine.annotate.server import AnnotateServer
from spine.landmarks_file import read_landmarks
from suite.errors import BadInput


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(found(), tmp_path_factory.mktemp("served") / "back.landmarks.json") as running:
        yield running


@pytest.fixture
def client(server) -> Client:
    return Client(server)


@pytest.mark.parametrize("token", ["", "x", "wrong-token-of-some-length", "é"])
def test_without_the_token_there_is_nothing(client: Client, token: str):
    from urllib.parse import quote

    for path in ("", "state.json", "relief.png", "nothing"):
        status, body, headers = client.ask(path, token=quote(token))
        assert status == 403 and b"token" in body and body.count(b"\n") == 1
        assert "content-security-policy" in headers
    assert client.ask("save", {"marks": {}}, token=quote(token))[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.5", "", "a@b"]
)
def test_a_foreign_host_is_refused(client: Client, host: str):
    assert client.ask("state.json", Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1:1", "[::1]:80"])
def test_names_of_this_computer_are_not(client: Client, host: str):
    assert client.ask("state.json", Host=host)[0] == 200  # also through a tunnel from another port


def test_other_pages_may_neither_write_nor_read(client: Client):
    said = {"marks": exact(found().start)}
    assert client.ask("save", said, Origin="https://evil.example")[0] == 403
    assert client.ask("save", said, Origin="null")[0] == 403
    assert client.ask("save", said, Sec_Fetch_Site="cross-site")[0] == 403
    assert client.ask("relief.png", Sec_Fetch_Site="same-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert client.ask("save", said, Content_Type="text/plain")[0] == 415  # what a form could send
    assert client.ask("", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200  # a link
    assert client.ask("save", said, Origin=f"http://{client.host}", Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"[" * 100_000, 400),
        ({"marks": 3}, 400),
        ({"marks": {"other": None}}, 400),
        ({"marks": {"vp": {"mm": ["a", "b"]}}}, 400),
    ],
)
def test_what_is_not_understood_is_said_in_one_line(client: Client, said, status: int):
    code, body, _ = client.ask("save", said)
    assert code == status
    assert "\n" not in json.loads(body)["error"]


def test_what_is_too_long_is_not_read(client: Client):
    for length, status in (("1048577", 413), ("99999999999999", 413), ("-1", 415), ("x", 415)):
        assert client.ask("save", b"{}", Content_Length=length)[0] == status


def test_only_what_is_meant_is_served(client: Client):
    for path in ("../server.py", "page.html", "session.py", "%2e%2e/state.json", "state.json/x", "colour"):
        assert client.ask(path)[0] == 404
    assert client.ask("elsewhere", {})[0] == 404
    assert client.ask("save", method="DELETE")[0] == 501


def test_the_page_needs_nobody_else(client: Client):
    status, body, headers = client.ask("")
    text = body.decode()
    assert status == 200 and text == page() and "/*scripts*/" not in text
    assert set(re.findall(r"https?://[^\s'\"<>)]+", text)) <= {"http://www.w3.org/2000/svg"}
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert headers["referrer-policy"] == "no-referrer"  # the token stands in the address


def test_pictures_heights_and_bones_are_as_announced(client: Client, monkeypatch):
    monkeypatch.setattr("spine.annotate.content.vertebra_mesh", plain_bone)
    state = client.json("state.json")
    for name in state["pictures"]:
        assert client.ask(f"{name}.png")[1].startswith(b"\x89PNG")
    grid = state["grid"]
    heights = np.frombuffer(client.ask("heights.bin")[1], "<f4").reshape(3, grid["rows"], grid["columns"])
    x, y, z = state["marks"]["vp"]["mm"]
    row, column = round((y - grid["y_mm"]) / grid["step_mm"]), round((x - grid["x_mm"]) / grid["step_mm"])
    assert heights[0, row, column] == pytest.approx(z, abs=1.5) and heights[2, row, column] == 1
    bones = client.ask("bones.bin")[1]
    length = int.from_bytes(bones[:4], "little")
    head = json.loads(bones[4 : 4 + length])
    assert [one["level"] for one in head] == list(LEVELS)
    assert len(bones) == 4 + length + 12 * sum(one["vertices"] + one["faces"] for one in head)


def test_what_is_saved_is_what_a_fit_takes(client: Client, server: AnnotateServer):
    marks = exact(client.json("state.json")["marks"])
    marks["vp"] = {"mm": [3.0, 401.5]}
    said = client.json("save", {"marks": marks})
    assert said["content"] == json.loads(server.out.read_text("utf-8")) and server.saved
    _, landmarks = read_landmarks(server.out, surface(), CONFIG.landmarks)
    assert landmarks.source == "edited" and landmarks.line_drawn
    assert landmarks.vp_mm[1] == pytest.approx(401.5, abs=0.01)  # up stays as it was


def test_a_folder_that_takes_no_file_is_said(tmp_path, client: Client):
    (tmp_path / "file").write_text("")
    with served(found(), tmp_path / "file" / "out.json") as blocked:
        status, body, _ = Client(blocked).ask("save", {"marks": exact(found().start)})
    assert status == 400 and "--out" in json.loads(body)["error"] and not blocked.saved


def test_a_moved_line_moves_the_fitted_spine(client: Client):
    start = client.json("state.json")["marks"]
    first = client.refit(exact(start))
    assert first["phase"] == "done", first
    moved = exact(start)
    heights = np.array([mark["mm"][1] for mark in start["spinous_line"]])
    middle = 0.55 * start["vp"]["mm"][1]
    for k, mark in enumerate(start["spinous_line"]):
        by = 14.0 * np.exp(-(((heights[k] - middle) / 70) ** 2))
        moved["spinous_line"][k] = {"mm": [mark["mm"][0] + by, mark["mm"][1]]}
    second = client.refit(moved)
    assert second["number"] == first["number"] + 1
    shift = centres(second["result"]) - centres(first["result"])
    nearest = np.abs(centres(first["result"])[:, 1] - middle).argmin()
    assert shift[nearest, 0] > 5.0  # to the right, as the line
    assert np.abs(shift[-1]).max() < 0.6 * shift[nearest, 0]  # the sacrum much less
    assert {"cobb_deg", "kyphosis_t1_t12_deg"} <= {index["key"] for index in second["result"]["indices"]}


def test_the_fit_of_the_page_is_that_of_the_command(client: Client, tmp_path):
    state = client.refit(None)
    with_nothing_given = fit(None, lambda _: _nothing())
    frames = np.array(state["result"]["frames"]).reshape(-1, 4, 4)
    assert np.allclose(frames, with_nothing_given.fit.T_body_vertebra, atol=1e-3)  # one frame for both
    assert not state["result"]["line_drawn"]
    found_again = state["result"]["marks"]["spinous_line"]
    assert [mark["scan"] for mark in found_again] == [mark["scan"] for mark in found().start["spinous_line"]]


@contextmanager
def _nothing():
    yield


def test_a_fit_that_fails_says_why_in_one_line(client: Client):
    marks = exact(client.json("state.json")["marks"])
    marks["vp"], marks["base"] = marks["base"], marks["vp"]
    state = client.refit(marks)
    assert state["phase"] == "failed" and "below the base" in state["error"]
    assert "\n" not in state["error"] and "annotate-" not in state["error"]
    status, body, _ = client.ask("fit", {"marks": marks | {"vp": None}})
    assert status == 400 and "placed first" in json.loads(body)["error"]
    assert client.refit(exact(client.json("state.json")["marks"]))["phase"] == "done"  # and goes on


def test_one_fit_at_a_time_and_none_ends_the_server(tmp_path, capsys):
    go_on = threading.Event()

    def slow(_, stage):
        with stage("Waiting"):
            assert go_on.wait(30)
        raise RuntimeError("a bug\nin two lines")

    with served(found(), tmp_path / "out.json", fit=slow) as running:
        client = Client(running)
        assert client.json("fit", {"marks": None})["phase"] == "running"
        status, body, _ = client.ask("fit", {"marks": None})
        assert status == 400 and "running already" in json.loads(body)["error"]
        go_on.set()
        while (state := client.json("fit"))["phase"] == "running":
            pass
        assert state["phase"] == "failed" and "RuntimeError" in state["error"] and "\n" not in state["error"]
    assert "a bug" in capsys.readouterr().err  # in full, in the terminal


def test_a_port_that_is_taken_is_said(server: AnnotateServer, tmp_path):
    port = int(server.url.split(":")[2].split("/")[0])
    with pytest.raises(BadInput, match=f"port {port}: cannot be listened on") as caught:
        AnnotateServer(found(), fit, tmp_path / "out.json", "back.ply", port=port)
    assert "\n" not in str(caught.value)
