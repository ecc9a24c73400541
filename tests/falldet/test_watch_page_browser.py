"""The live page in headless Chromium, by real mouse and key events."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="the live page needs aiohttp")

from chromium import Browser
from watch_stand_in import StandIn, shipped_looks

from falldet.watch.page.options import PageOptions
from falldet.watch.page.server import PageServer
from suite.data.video import VideoWriter, default_encoder

FRAME = "#viewer .frame"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as running:
        yield running


@pytest.fixture
def watched(tmp_path: Path) -> StandIn:
    looks = [dataclasses.replace(look, unix_s=time.time()) for look in shipped_looks()]
    stand_in = StandIn({"Room 12": looks[0], "Day room": looks[5], "Entrance": None}, tmp_path)
    stand_in.states["Entrance"] = {"state": "failed", "why": "the password was refused"}
    fixed = {"name": "Bed", "polygon": [[0.55, 0.3], [0.95, 0.35], [0.9, 0.8]], "fixed": True}
    stand_in.zones_of["Room 12"] = [fixed]
    return stand_in


@pytest.fixture
def page(browser: Browser, watched: StandIn) -> Iterator[Browser]:
    """The browser, where the page shows both pictures."""
    server = PageServer(watched, PageOptions(port=0))
    server.start()
    browser.errors.clear()
    browser.open(server.url)
    browser.wait("document.querySelectorAll('.tile img:not([hidden])').length === 2")
    yield browser
    assert browser.errors == []
    browser.open("about:blank")
    server.stop()


def text(page: Browser, selector: str) -> str:
    return page.value(f"document.querySelector('{selector}').textContent")


def polygons(watched: StandIn) -> list[list[list[float]]]:
    return [zone["polygon"] for zone in watched.zones_of["Room 12"] if not zone["fixed"]]


def flat(points: Iterable[Iterable[float]]) -> list[float]:
    return [share for point in points for share in point]


def open_room(page: Browser) -> None:
    page.click_on(".tile .open")
    page.wait("document.querySelector('#viewer').open && !document.querySelector('#viewer img').hidden")


def save(page: Browser) -> None:
    page.click_on("#save")
    page.wait("document.querySelector('#saved').textContent.startsWith('Saved')")


def test_pictures_people_and_health_are_shown(page: Browser, watched: StandIn):
    page.wait("document.querySelector('#overall').textContent === '1 of 3 cameras in trouble'")
    assert page.value("[...document.querySelectorAll('.tile h3')].map((e) => e.textContent)") == list(
        watched.cameras
    )
    assert text(page, ".tile .person.fallen span") == "fallen 93 %"
    assert page.value("document.querySelector('.tile img').alt") == "Room 12: 1 person, 1 fallen"
    assert text(page, ".tile:nth-child(3) .why") == "the password was refused"
    look = watched.looks["Room 12"]
    assert look is not None
    box = look.people[0].box_px
    drawn = page.value(
        "(() => { const f = document.querySelector('.tile .frame').getBoundingClientRect();"
        " const b = document.querySelector('.tile .person').getBoundingClientRect();"
        " return [(b.x - f.x) / f.width * 512, (b.y - f.y) / f.height * 384]; })()"
    )
    assert drawn == pytest.approx(box[:2], abs=2)


def test_a_zone_is_drawn_with_the_mouse_moved_and_used(page: Browser, watched: StandIn):
    open_room(page)
    page.click_on("#draw")
    corners = [(0.1, 0.2), (0.4, 0.15), (0.45, 0.5), (0.12, 0.55)]
    for corner in (*corners, corners[0]):  # the first again closes it
        page.click(*page.centre(FRAME, *corner))
    page.wait("document.querySelectorAll('.handle').length === 8")
    save(page)
    assert watched.saved[-1][0] == "Room 12"
    assert flat(polygons(watched)[0]) == pytest.approx(flat(corners), abs=0.004)

    page.drag(page.centre(".handle:nth-child(1)"), page.centre(FRAME, 0.05, 0.3))
    save(page)
    wanted = [(0.05, 0.3), *corners[1:]]
    assert flat(polygons(watched)[0]) == pytest.approx(flat(wanted), abs=0.004)

    page.drag(page.centre(".handle.middle"), page.centre(FRAME, 0.2, 0.05))  # adds a point
    assert page.value("document.querySelectorAll('.handle:not(.middle)').length") == 5
    page.click_on("#delete-point")
    assert page.value("document.querySelectorAll('.handle:not(.middle)').length") == 4
    page.click_on("#undo")
    page.click_on("#undo")
    assert page.value("document.querySelector('#save').disabled")  # as it was saved
    page.click_on("#viewer-close")
    page.wait("!document.querySelector('#viewer').open")
    assert (
        page.value("document.querySelectorAll('.tile .zones polygon').length") == 2
    )  # the fixed one and ours


NEWS = """new Promise((read) => {
  const fetch = window.fetch;
  window.fetch = async (address, options) => {
    const answer = await fetch(address, options);
    if (address === "/api/cameras") { window.fetch = fetch; setTimeout(read, 50); }
    return answer;
  };
  document.querySelector("#filter").dispatchEvent(new Event("change"));
})"""
"""The page asks for what is new, and has read the answer."""


def test_news_while_a_point_is_held_does_not_take_it_away(page: Browser, watched: StandIn):
    open_room(page)
    page.click_on("#rectangle")
    save(page)
    corners = polygons(watched)[0]
    to = page.centre(FRAME, 0.1, 0.2)
    page.drag(page.centre(".handle:nth-child(1)"), to, between=lambda: page.value(NEWS))
    save(page)
    assert flat(polygons(watched)[0]) == pytest.approx(flat([(0.1, 0.2), *corners[1:]]), abs=0.004)


def test_a_zone_by_keyboard_alone(page: Browser, watched: StandIn):
    page.value("document.querySelector('.tile .caption button').focus()")
    page.key("Enter")
    page.wait("document.querySelector('#viewer').open")
    page.value("document.querySelector('#rectangle').focus()")
    page.key("Enter")
    page.wait("document.activeElement.className.startsWith('handle')")
    for _ in range(4):
        page.key("ArrowLeft")
    page.key("ArrowDown")
    page.value("document.querySelectorAll('.handle:not(.middle)')[2].focus()")
    page.key("Delete")
    page.value("document.querySelector('#save').focus()")
    page.key("Enter")
    page.wait("document.querySelector('#saved').textContent.startsWith('Saved')")
    assert flat(polygons(watched)[0]) == pytest.approx([0.33, 0.405, 0.65, 0.4, 0.35, 0.7])
    page.value("document.querySelector('#zone-list input').focus()")
    page.call("Input.insertText", text=" of Ms B")
    page.value("document.querySelector('#viewer-close').focus()")
    page.key("Escape")  # not saved: it stays open, and says so
    assert page.value("document.querySelector('#viewer').open")
    assert "not saved" in text(page, "#saved")
    save(page)
    assert " of Ms B" in watched.saved[-1][1][0]["name"]
    page.click_on("#zone-list button")
    save(page)
    assert polygons(watched) == []
    page.key("Escape")
    page.wait("!document.querySelector('#viewer').open")


def test_crossing_edges_and_what_the_watch_refuses(page: Browser, watched: StandIn):
    open_room(page)
    page.click_on("#draw")
    for corner in [(0.1, 0.1), (0.4, 0.5), (0.4, 0.1), (0.1, 0.5)]:
        page.click(*page.centre(FRAME, *corner))
    page.click_on("#finish")
    assert "cross" in text(page, "#guide") and page.value("document.querySelector('#save').disabled")
    page.click_on("#discard")
    page.click_on("#rectangle")

    def refuse(*_: object) -> None:
        from suite.errors import BadInput

        raise BadInput("the disk is full", "zones")

    watched.set_zones = refuse  # type: ignore[method-assign]
    page.click_on("#save")
    page.wait("document.querySelector('#saved').textContent === 'Not saved: zones: the disk is full'")
    page.errors.clear()  # the console notes the refused request
    page.click_on("#discard")
    page.click_on("#viewer-close")


def test_an_alarm_is_told_and_its_clip_plays(page: Browser, watched: StandIn, tmp_path: Path):
    now = time.time()
    event = {"id": "e1", "camera": "Day room", "onset_unix_s": now - 20, "confirmed_unix_s": now - 18,
             "ended_unix_s": None, "confidence": 0.91, "state": "confirmed"}  # fmt: skip
    watched.happen(**event)
    page.wait("document.querySelector('.alarm strong')?.textContent === 'Fall: Day room'")
    assert page.value("document.title").startswith("● Fall: Day room")
    assert text(page, "#events .open b") == "Day room"
    page.click_on(".alarm button")
    page.wait("document.querySelector('#viewer').open")
    assert text(page, "#viewer-title") == "Day room"
    page.click_on("#viewer-close")

    look = watched.looks["Day room"]
    assert look is not None
    with VideoWriter(tmp_path / "e1.mp4", 5) as video:
        for number in range(10):
            video.write(look.rgb, number / 5)
    watched.happen(**event | {"state": "recovered", "ended_unix_s": now - 2})
    page.wait("!document.querySelector('.alarm') && document.querySelector('#events li button')")
    assert text(page, "#events .outcome") == "Fell, got up after 18 s"
    page.click_on("#events li button")
    if default_encoder() == "libx264":
        page.wait("document.querySelector('#clip video').readyState >= 2")
    page.click_on("#clip-close")
    page.value("document.querySelector('#filter').value = 'Room 12'")
    page.value("document.querySelector('#filter').dispatchEvent(new Event('change'))")
    page.wait("!document.querySelector('#no-events').hidden")


def test_it_fits_a_phone_in_the_dark(page: Browser):
    page.size(390, 844, phone=True)
    page.dark()
    try:
        assert page.value("document.documentElement.scrollWidth") <= 390
        open_room(page)
        assert page.value("document.documentElement.scrollWidth") <= 390
        heights = page.value(
            "[...document.querySelectorAll('#viewer button')].map((b) => b.offsetHeight).filter(Boolean)"
        )
        assert min(heights) >= 34  # for fingers
        page.click_on("#viewer-close")
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")
        page.call("Emulation.setTouchEmulationEnabled", enabled=False)
        page.dark(False)


def test_a_lost_watch_is_said_and_found_again(browser: Browser, watched: StandIn):
    first = PageServer(watched, PageOptions(port=0))
    first.start()
    browser.open(first.url)
    browser.wait("document.querySelector('#overall').textContent.includes('cameras')")
    first.stop()
    browser.wait("document.querySelector('#overall').textContent.includes('lost the watch')")
    second = PageServer(watched, PageOptions(port=first.port))
    second.start()
    browser.wait("document.querySelector('#overall').textContent === '1 of 3 cameras in trouble'")
    browser.open("about:blank")
    second.stop()
    browser.errors.clear()


def test_the_door_opens_with_the_token(browser: Browser, watched: StandIn):
    token = "a-token-of-some-length"
    server = PageServer(watched, PageOptions(port=0), token)
    server.start()
    browser.open(server.url)
    browser.click_on("#token")
    browser.call("Input.insertText", text=token)
    browser.click_on("button")
    browser.wait("document.querySelectorAll('.tile img:not([hidden])').length === 2")
    browser.open("about:blank")
    server.stop()
