"""The page in headless Chromium, by real mouse and key events: what is dropped, typed, saved and fitted."""

from __future__ import annotations

import copy
import json
import urllib.parse
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from annotate_browser import browser as chromium
from annotate_subject import CONFIG, exact, fit, found, plain_bone, served, surface
from scipy.interpolate import PchipInterpolator
from scipy.spatial import KDTree

from spine.annotate.pictures import furrow
from spine.annotate.session import LINE, POINTS, Session, open_session
from spine.landmarks import on_skin
from spine.landmarks_file import read_landmarks, write_content

SIZE = (1400, 860)
CTRL, SHIFT = 2, 8


@pytest.fixture(scope="module")
def browser():
    with chromium(*SIZE) as running:
        running.size(*SIZE)
        yield running


@pytest.fixture
def opened(browser, tmp_path, monkeypatch):
    """A function that serves a session and opens its page; `browser.server` is what serves it. What scripts
    complain of in the end, and what is asked of others, fails the test."""
    monkeypatch.setattr("spine.annotate.content.vertebra_mesh", plain_bone)
    browser.errors.clear()
    with ExitStack() as stack:

        def open_page(session=None, **more):
            browser.server = stack.enter_context(served(session or found(), tmp_path / "out.json", **more))
            browser.asked.clear()
            browser.open(browser.server.url, "document.documentElement?.dataset.ready")
            return browser

        yield open_page
        leave(browser)
        assert browser.errors == []
        assert {urllib.parse.urlsplit(url).netloc for url in browser.asked} == {
            browser.server.url.split("/")[2]
        }


@pytest.fixture
def page(opened):
    return opened()


def leave(browser):
    """Away from the page, without being asked about changes."""
    browser.value("Event.prototype.preventDefault = () => {}")
    browser.open("about:blank")


def run(page, script):
    return page.value(f"(() => {{ {script} }})()")


def box(page, selector):
    """Centre of an element, px."""
    return run(page, f"const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
                     " return [r.x + r.width / 2, r.y + r.height / 2]")  # fmt: skip


def handle(name):
    return f'.handle[data-name="{name}"]'


def text(page, selector):
    return page.value(f"document.querySelector({json.dumps(selector)}).textContent")


def click(page, selector):
    x, y = box(page, selector)
    page.drag((x, y))


def grid_of(page):
    """Left upper corner of the picture on the screen (px), its scale (px a mm) and the mm there: from the
    handles themselves, whose places in mm are known."""
    marks = found().start
    a, b = marks[LINE][0]["mm"], marks[LINE][-1]["mm"]
    pa, pb = (np.array(box(page, handle(f"line {k}"))) for k in (1, len(marks[LINE])))
    scale = (pb[1] - pa[1]) / (a[1] - b[1])
    return lambda px: (a[0] + (px[0] - pa[0]) / scale, a[1] - (px[1] - pa[1]) / scale), scale


def saved(page):
    """The file, once it is saved."""
    click(page, "#save")
    page.wait("document.querySelector('#standing').textContent.startsWith('Saved')")
    return json.loads(page.server.out.read_text("utf-8"))


def in_body(content, key):
    """Points of a file in the frame that the page showed, mm."""
    T, mm = found().surface.T_body_input, 1000.0
    points = np.atleast_2d(np.array(content[key], float)) * mm
    return points @ T[:3, :3].T + T[:3, 3]


def test_it_opens_with_what_was_found(page):
    names = page.value("[...document.querySelectorAll('.handle')].map((one) => one.textContent)")
    count = len(found().start[LINE])
    assert names[: count + 1] == ["VP", *map(str, range(1, count + 1))] and "B" in names
    assert text(page, "#standing") == "As found" and text(page, "#line-state") == "found"
    layers = page.value("[...document.querySelectorAll('#layers button')].map((one) => one.textContent)")
    assert layers == ["Colour", "Curvature", "Relief", "Spine"]
    label = page.value(f"document.querySelector('{handle('line 3')}').getAttribute('aria-label')")
    assert label.startswith("Line, point 3: ") and label.endswith("found, not accepted")


def test_a_dragged_point_lands_on_the_skin_where_it_is_dropped(page):
    to_mm, scale = grid_of(page)
    start = box(page, handle("line 4"))
    end = (round(start[0] + 37) + 0.25, round(start[1] - 12) + 0.5)
    page.drag(tuple(start), (start[0] + 10, start[1]), end)
    assert text(page, "#standing") == "Unsaved changes" and "1 changed" in text(page, "#line-state")
    content = saved(page)
    point = in_body(content, LINE)[3]
    wanted = to_mm(end)
    assert np.abs(point[:2] - wanted).max() * scale <= 0.5  # half a pixel
    assert point[2] == pytest.approx(on_skin(found().surface.height(), *point[:2])[2], abs=2e-3)
    shown = page.value(f"document.querySelector('{handle('line 4')}').className")
    assert "changed" in shown  # and it is marked
    others = [k for k in range(len(content[LINE])) if k != 3]
    unmoved = [mark["scan"] for mark in found().start[LINE]]
    assert [content[LINE][k] for k in others] == [unmoved[k] for k in others]
    read_landmarks(page.server.out, surface(), CONFIG.landmarks)


def test_a_drop_is_exact_when_zoomed_and_panned(page):
    for _ in range(5):
        click(page, "#zoom-in")
    x, y = box(page, "#picture")
    page.drag((x + 150, y), (x + 120, y - 30), (x + 90, y - 60))  # the back itself
    to_mm, scale = grid_of(page)
    assert scale > 3
    visible = f"document.elementFromPoint(...{json.dumps(box(page, handle('line 6')))})?.dataset.name"
    assert page.value(visible) == "line 6"
    start = box(page, handle("line 6"))
    end = (start[0] + 20.5, start[1] + 7.25)
    page.drag(tuple(start), end)
    point = in_body(saved(page), LINE)[5]
    assert np.abs(point[:2] - to_mm(end)).max() * scale <= 0.5


def test_a_file_goes_through_the_page_unchanged(opened, tmp_path):
    session = found()
    content = session.content(exact(session.start))
    content["dimple_left"], content["dimple_right"] = (
        [*session.place(x, 3.0)["scan"]] for x in (-41.0, 44.0)
    )
    content["spinous_line"] = [[x + 1.23456789e-7, y, z * (1 + 1e-13)] for x, y, z in content[LINE]][::-1]
    content |= {"base": None, "edited": True}
    path = tmp_path / "given.json"
    write_content(path, content)
    page = opened(open_session(surface(), CONFIG.landmarks, path))
    assert text(page, "#standing") == "From the file"
    assert saved(page) == content
    assert page.server.out.read_bytes() == path.read_bytes()


def test_many_points_of_a_file_are_thinned_on_request_only(opened, tmp_path):
    content = json.loads(json.dumps(found().content(exact(found().start))))
    y = np.linspace(0, 1, 60)
    ends = np.array([content[LINE][0], content[LINE][-1]])
    dense = ends[0] + y[:, None] * (ends[1] - ends[0])
    dense[:, 0] += 0.02 * np.sin(3 * y)
    write_content(tmp_path / "dense.json", content | {LINE: dense.tolist()})
    page = opened(open_session(surface(), CONFIG.landmarks, tmp_path / "dense.json"))
    assert page.value("document.querySelectorAll('.handle.tiny').length") == 60
    click(page, "#line-thin")
    few = page.value("document.querySelectorAll('.handle:not(.landmark)').length")
    assert 6 <= few <= 14
    kept = saved(page)[LINE]
    assert kept[0] == dense[0].tolist() and kept[-1] == dense[-1].tolist()
    assert all(point in dense.tolist() for point in kept)  # to the last digit


def test_all_by_keys(page):
    page.value("document.querySelector('.handle').focus()")  # VP; Tab goes down the back
    page.key("Tab")
    active = "document.activeElement.dataset.name"
    assert page.value(active) == "line 1"
    page.key("Tab")
    assert page.value(active) == "line 2"
    outline = page.value("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"  # focus is seen
    for name, modifiers in (("ArrowRight", 0), ("ArrowRight", SHIFT), ("ArrowDown", 0)):
        page.key(name, modifiers)
    x, y, _ = found().start[LINE][1]["mm"]
    now = run(page, f"return document.querySelector('{handle('line 2')}').getAttribute('aria-label')")
    assert "moved by 6.1 mm" in now  # 6 to the right, 1 down
    page.key("Insert")
    count = len(found().start[LINE])
    assert page.value("document.querySelectorAll('.handle:not(.landmark)').length") == count + 1
    assert page.value(active) == "line 3"
    page.key("Delete")
    assert page.value("document.querySelectorAll('.handle:not(.landmark)').length") == count
    page.key("s", CTRL)
    page.wait("document.querySelector('#standing').textContent.startsWith('Saved')")
    point = in_body(json.loads(page.server.out.read_text("utf-8")), LINE)[1]
    assert point[:2] == pytest.approx([x + 6, y - 1], abs=2e-3)
    page.value(f"document.querySelector('{handle('vp')}').focus()")
    page.key("Delete")  # a fit needs it
    assert page.value(f"document.querySelector('{handle('vp')}') !== null")


def test_undo_and_redo_go_all_the_way(page):
    places = (
        "JSON.stringify([...document.querySelectorAll('.handle')]"
        ".map((one) => [one.dataset.name, one.style.transform]))"
    )
    states = [page.value(places)]
    x, y = box(page, handle("line 2"))
    page.drag((x, y), (x - 9, y), (x - 15, y + 4))
    states.append(page.value(places))
    click(page, "#line-add")
    states.append(page.value(places))
    click(
        page,
        "#marks .add" if page.value("Boolean(document.querySelector('#marks .add'))") else "#chosen-delete",
    )
    states.append(page.value(places))
    assert len(set(states)) == 4
    for wanted in states[-2::-1]:
        page.key("z", CTRL)
        page.wait(f"{places} === {json.dumps(wanted)}", 5)
    assert page.value("document.querySelector('#undo').disabled")
    assert text(page, "#standing") == "As found"
    for wanted in states[1:]:
        page.key("Z", CTRL | SHIFT)
        page.wait(f"{places} === {json.dumps(wanted)}", 5)
    assert page.value("document.querySelector('#redo').disabled")


def test_leaving_with_changes_is_asked_about(page):
    prevented = (
        "(() => { const event = new Event('beforeunload', {cancelable: true});"
        " dispatchEvent(event); return event.defaultPrevented; })()"
    )
    assert not page.value(prevented)
    page.value(f"document.querySelector('{handle('line 2')}').focus()")
    page.key("ArrowLeft")
    assert page.value(prevented) and page.value("document.title").startswith("•")
    page.key("z", CTRL)
    assert not page.value(prevented)


def test_the_curve_drawn_is_the_one_the_fit_reads(page):
    script = page.value("document.querySelector('script').textContent")
    source = script[script.index("function pchip") : script.index("function lineCurve")]
    rng = np.random.default_rng(7)
    for n in (2, 3, 5, 14):
        t, v = np.cumsum(rng.uniform(0.5, 40, n)), rng.normal(0, 20, n).round(1)
        v[n // 2 :: 3] = v[n // 2 - 1]  # flat pieces too
        at = rng.uniform(t[0], t[-1], 40)
        drawn = run(
            page, f"{source}; const f = pchip({t.tolist()}, {v.tolist()}); return {at.tolist()}.map(f)"
        )
        wanted = PchipInterpolator(t, v)(at) if n > 2 else np.interp(at, t, v)
        assert np.allclose(drawn, wanted, atol=1e-9)


def test_a_point_is_pulled_out_of_the_line_and_one_set_by_a_double_click(page):
    count = "document.querySelectorAll('.handle:not(.landmark)').length"
    before = page.value(count)
    a, b = np.array(box(page, handle("line 5"))), np.array(box(page, handle("line 6")))
    middle = (a + b) / 2
    page.drag(tuple(middle), (middle[0] + 12, middle[1]), (middle[0] + 25, middle[1]))
    assert page.value(count) == before + 1
    assert box(page, handle("line 6")) == pytest.approx([middle[0] + 25, middle[1]], abs=3)
    x, y = box(page, handle("line 9"))
    for clicks in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            page.call(
                "Input.dispatchMouseEvent", type=kind, x=x + 60, y=y + 9, button="left", clickCount=clicks
            )
    assert page.value(count) == before + 2


def test_snapping_brings_a_point_into_the_furrow(page):
    click(page, "#snap")
    start = box(page, handle("line 12"))
    page.drag(tuple(start), (start[0] + 4, start[1] + 3), (start[0] + 7, start[1] + 5))
    x, y, _ = in_body(saved(page), LINE)[11]
    height = found().surface.height()
    hollow, at = furrow(height), np.arange(x - 10, x + 10.1, 0.5)
    rows = [hollow[np.abs(height.y_mm - y - dy).argmin()] for dy in (-4.0, 0.0, 4.0)]
    sums = np.sum([np.interp(at, height.x_mm, row) for row in rows], axis=0)
    assert sums[20] >= 0.97 * sums[14:27].max()  # hollower here than 3 mm beside


def test_the_picture_lies_exactly_under_the_handles(opened):
    body, spot = found().surface, np.array([-60.0, 150.0])  # no handle is near
    near = np.linalg.norm(body.points_mm[:, :2] - spot, axis=1) < 18
    colors = np.where(near[:, None], (0, 0, 255), (255, 255, 255)).astype(np.uint8)
    page = opened(Session(replace(body, colors=colors), found().unit, found().start))
    click(page, "[data-layer=relief]")
    to_mm, _ = grid_of(page)
    page.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    left, top, right, bottom = run(
        page,
        "const r = document.querySelector('#picture').getBoundingClientRect();"
        " return [r.left + 60, r.top, r.right, r.bottom - 90].map(Math.round)",
    )
    seen = page.screenshot()[top:bottom, left:right].astype(int)
    rows, columns = np.nonzero((seen[..., 2] > 230) & (seen[..., 0] < 60) & (seen[..., 1] < 60))
    assert len(rows) > 100
    middle = to_mm((left + columns.mean() + 0.5, top + rows.mean() + 0.5))
    around = np.stack(np.meshgrid(*(np.arange(-24, 24.1, 0.25) + at for at in spot)), axis=-1)
    painted = near[KDTree(body.points_mm[:, :2]).query(around)[1]]  # points lie 3 mm apart: no round dot
    off = np.array(middle) - around[painted].mean(axis=0)
    assert np.abs(off).max() < 0.8


def test_layers_blend_and_the_solid_turns(page):
    first = page.screenshot()
    page.key("2")
    page.wait("document.querySelector('[data-layer=curvature]').getAttribute('aria-pressed') === 'true'")
    page.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    second = page.screenshot()
    left = slice(0, SIZE[0] // 3)
    assert np.abs(first[:, left].astype(int) - second[:, left]).mean() > 1
    x, y = box(page, "#solid")
    page.drag((x, y), (x + 60, y), (x + 120, y + 10))
    page.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    third = page.screenshot()
    middle = slice(int(x) - 150, int(x) + 150)
    assert np.abs(third[:, middle].astype(int) - second[:, middle]).mean() > 1
    assert (third[int(y) - 30 : int(y) + 30, middle].min(axis=-1) < 200).any()  # skin, not an empty window


def test_fitting_on_the_spot_moves_the_spine_with_the_line(opened):
    results = []

    def noted(landmarks, stage):
        results.append(fit(landmarks, stage))
        return results[-1]

    page = opened(fit=noted)
    done = "document.querySelector('#fit-state').textContent === 'Up to date'"
    click(page, "#refit")
    page.wait(done, 90)
    rows = page.value("document.querySelectorAll('#indices tbody tr').length")
    assert rows >= 5 and not results[0].landmarks.line_drawn
    for name in ("line 4", "line 5", "line 6", "line 7"):
        page.value(f"document.querySelector('{handle(name)}').focus()")
        for _ in range(3):
            page.key("ArrowRight", SHIFT)
    assert text(page, "#fit-state") == "of the marks before"
    page.key("r")
    page.wait(done, 90)
    assert results[1].landmarks.line_drawn and text(page, "#trouble") == ""
    near = [np.interp(0.55 * one.landmarks.vp_mm[1], *_centre_line(one)) for one in results]
    assert near[1] - near[0] > 5.0
    assert page.value("document.querySelectorAll('#indices td.changed').length") >= 1


def _centre_line(result):
    middle = result.fit.T_body_vertebra[6:, :3, 3]
    return middle[::-1, 1], middle[::-1, 0]


def test_a_refused_save_is_told_in_one_line_and_nothing_is_lost(opened):
    session = found()
    swapped = copy.copy(session.start)
    upside = {**swapped, "vp": swapped["base"], "base": swapped["vp"]}
    page = opened(Session(session.surface, session.unit, upside))
    click(page, "#save")
    page.wait("!document.querySelector('#trouble').hidden")
    assert "below the base" in text(page, "#trouble") and not page.server.out.exists()
    assert all("400" in line for line in page.errors)  # the browser says that it was refused
    page.errors.clear()


def test_nothing_found_is_placed_by_hand(opened):
    session = found()
    nothing = Session(session.surface, session.unit, dict.fromkeys((*POINTS, LINE)), trouble="no ends")
    page = opened(nothing)
    assert "Nothing was found" in text(page, "#trouble")
    assert page.value("document.querySelector('#save').disabled")
    for name in ("VP", "Base"):
        click(page, f'[aria-label="Place {name}"]')
    assert page.value("document.activeElement.dataset.name") == "base"
    content = saved(page)
    assert content[LINE] is None and content["dimple_left"] is None
    read_landmarks(page.server.out, surface(), CONFIG.landmarks)
