"""The page of a baked model in headless Chromium (SwiftShader): its pixels are those of the reference."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from baked_ball import OPTIONS, PLACED, T_UNIT_WORLD, Ball, cameras, held_out
from chromium import Browser
from PIL import Image

from nerfrecon.backends.base import RayCamera
from nerfrecon.bake.bake import bake_source
from nerfrecon.bake.file import write_baked
from nerfrecon.bake.render import Baked, render_baked
from nerfrecon.evaluate import psnr
from nerfrecon.viewer.baked import write_baked_page
from suite.errors import BadInput

BEHIND = (0.2, 0.4, 0.6)


@pytest.fixture(scope="module")
def baked() -> Baked:
    options = OPTIONS.model_copy(update={"fit_steps": 30, "look_rays": 8192})
    return bake_source(Ball(), cameras(), PLACED, options)[0]


@pytest.fixture(scope="module")
def page(baked, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_baked(folder / "baked.bin", baked)
    return write_baked_page(folder, folder / "ball.html", "A <ball> & its page")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(500, 400, "--force-prefers-reduced-motion", webgl=True) as running:
        running.size(500, 400)
        yield running


@pytest.fixture(scope="module")
def drawn(page, browser) -> np.ndarray:
    """What the page draws of the held-out view, which its address names: RGB in [0, 1]."""
    camera, colour = quote(json.dumps(in_world(held_out()))), quote(",".join(map(str, BEHIND)))
    browser.open(f"{page.as_uri()}#camera={camera}&background={colour}", "window.__ready")
    url = browser.value("document.querySelector('canvas').toDataURL()")
    seen = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")
    return np.asarray(seen, np.float32) / 255


def test_its_pixels_are_those_of_the_reference(drawn, baked, browser):
    looked = render_baked(baked, held_out(), BEHIND)
    assert psnr(drawn, looked.rendered.rgb) > 45
    assert psnr(drawn, Ball().render(held_out(), BEHIND).rgb) > 24  # what was baked, after a very short fit
    assert browser.value("__errors") == browser.errors == browser.asked == []


@pytest.mark.usefixtures("drawn")
def test_it_takes_the_steps_and_reads_that_the_reference_counts(browser, baked):
    looked = render_baked(baked, held_out(), BEHIND)
    told = browser.value(f"__count({json.dumps(in_world(held_out()))})")
    assert told["steps_per_ray"] == pytest.approx(looked.steps_per_ray, rel=0.01)
    assert told["reads_per_pixel"] == pytest.approx(looked.reads_per_pixel, rel=0.01)


def test_it_opens_on_the_whole_model_turned_upright(page, browser):
    browser.open("about:blank")
    browser.open(page.as_uri(), "window.__ready && __sharpness().isSharp")
    pixels = browser.screenshot().astype(float)
    model = np.ptp(pixels[60:330], axis=2) > 40  # grounds are grey; below is the bar of buttons
    rows, columns = np.nonzero(model)
    assert 0.15 < model.mean() < 0.6
    assert abs(columns.mean() - 250) < 25 and abs(rows.mean() + 60 - 200) < 30
    assert browser.value("__errors") == browser.errors == []


def test_buttons_and_letters_do_what_they_say(page, browser):
    browser.open("about:blank")
    browser.open(page.as_uri(), "window.__ready")
    ground, pressed = "document.documentElement.dataset.ground", "document.querySelector('#turn').ariaPressed"
    assert browser.value(ground) == "paper"
    browser.key("b")
    assert browser.value(ground) == "white"
    browser.click_on("[data-ground=night]")
    assert browser.value(ground) == "night"
    browser.key("ArrowLeft")
    assert browser.value(ground) == "slate"
    assert browser.value(pressed) == "false"  # who asks for little motion gets none by itself
    home = browser.value("__controls.azimuth")
    browser.key("t")
    browser.wait(f"__controls.azimuth > {home} + 0.01")
    browser.click_on("#reset")
    assert browser.value(pressed) == "false"
    assert browser.value("__controls.azimuth") == home
    browser.drag((250, 180), (290, 180))
    assert browser.value("__controls.azimuth") < home


def test_without_webgl_it_says_what_to_do(page):
    with Browser(500, 400, "--disable-3d-apis") as browser:
        browser.open(page.as_uri(), "!document.querySelector('#trouble').hidden")
        said = browser.value("document.querySelector('#trouble').textContent")
        assert "WebGL 2" in said and not browser.value("__ready") and browser.value("__errors") == []


def test_the_page_needs_no_network_and_no_other_file(page):
    text = page.read_text(encoding="utf-8")
    assert "<title>A &lt;ball&gt; &amp; its page</title>" in text
    assert not re.search(r"""(src|href)=["'](?!data:)""", text) and "default-src 'none'" in text
    assert not re.search(r"<!--|/\*model\*/", text)  # what is to be filled in


def test_a_damaged_model_makes_no_page(page, tmp_path):
    path = tmp_path / "baked.bin"
    path.write_bytes((page.parent / "baked.bin").read_bytes()[:-9])
    with pytest.raises(BadInput, match="damaged"):
        write_baked_page(path, tmp_path / "page.html", "broken")
    assert not (tmp_path / "page.html").exists()


def in_world(camera: RayCamera) -> dict:
    """The camera as the page takes it."""
    T = np.linalg.inv(T_UNIT_WORLD) @ camera.T_unit_camera
    T[:3, :3] *= 0.25  # rigid: without the similarity's scale
    numbers = {key: getattr(camera, key) for key in ("fx", "fy", "cx", "cy", "width", "height")}
    return {"T_world_camera": T.tolist(), **numbers}
