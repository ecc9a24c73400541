"""The page of a baked model in headless Chromium (SwiftShader): its pixels are those of the reference."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from baked_ball import OPTIONS, PLACED, T_UNIT_WORLD, Ball, cameras, held_out
from PIL import Image

from nerfrecon.backends.base import RayCamera
from nerfrecon.bake.bake import bake_source
from nerfrecon.bake.file import write_baked
from nerfrecon.bake.render import Baked, render_baked
from nerfrecon.evaluate import psnr
from nerfrecon.viewer.baked import write_baked_page
from suite.errors import BadInput

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --use-angle=swiftshader --enable-unsafe-swiftshader --no-first-run "
    "--disable-background-networking --hide-scrollbars --force-color-profile=srgb --virtual-time-budget=8000"
)
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
def told(page, tmp_path_factory) -> dict:
    """What the page says of the held-out view."""
    camera = quote(json.dumps(in_world(held_out())))
    colour = quote(",".join(map(str, BEHIND)))
    document = browsed(page, f"#camera={camera}&background={colour}&tell", tmp_path_factory.mktemp("browser"))
    return from_document(document)


def test_it_loads_without_complaint(told):
    assert told["ready"] and told["errors"] == []


def test_its_pixels_are_those_of_the_reference(told, baked):
    seen = Image.open(io.BytesIO(base64.b64decode(told["pixels"].partition(",")[2]))).convert("RGB")
    looked = render_baked(baked, held_out(), BEHIND)
    pixels = np.asarray(seen, np.float32) / 255
    assert psnr(pixels, looked.rendered.rgb) > 45
    assert psnr(pixels, Ball().render(held_out(), BEHIND).rgb) > 24  # what was baked, after a very short fit


def test_it_takes_the_steps_and_reads_that_the_reference_counts(told, baked):
    looked = render_baked(baked, held_out(), BEHIND)
    assert told["steps_per_ray"] == pytest.approx(looked.steps_per_ray, rel=0.01)
    assert told["reads_per_pixel"] == pytest.approx(looked.reads_per_pixel, rel=0.01)


def test_it_opens_on_the_whole_model_turned_upright(page, tmp_path):
    shot = tmp_path / "shot.png"
    browsed(
        page, "", tmp_path, f"--screenshot={shot}", "--window-size=500,400", "--force-prefers-reduced-motion"
    )
    pixels = np.asarray(Image.open(shot).convert("RGB"), np.float64)
    model = np.ptp(pixels[60:330], axis=2) > 40  # grounds are grey; below is the bar of buttons
    rows, columns = np.nonzero(model)
    assert 0.15 < model.mean() < 0.6
    assert abs(columns.mean() - 250) < 25 and abs(rows.mean() + 60 - 200) < 30


def test_without_webgl_it_says_what_to_do(page, tmp_path):
    said = from_document(browsed(page, "", tmp_path, "--dump-dom", "--disable-3d-apis"))
    assert not said["ready"] and "WebGL 2" in said["trouble"] and said["errors"] == []


def test_the_page_needs_no_network_and_no_other_file(page):
    text = page.read_text(encoding="utf-8")
    assert "<title>A &lt;ball&gt; &amp; its page</title>" in text
    assert not re.search(r"""(src|href)=["'](?!data:)""", text) and "default-src 'none'" in text
    assert not re.search(r"/\*(styles|scripts|fragment|model)\*/", text)


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


def browsed(page: Path, address: str, folder: Path, *more: str) -> str:
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on this machine")
    command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={folder / 'profile'}", *(more or ("--dump-dom",))]
    done = subprocess.run([*command, page.as_uri() + address], capture_output=True, text=True, timeout=180)
    return done.stdout


def from_document(document: str) -> dict:
    found = re.search(r'<output id="told" hidden="">(.*?)</output>', document, re.DOTALL)
    assert found is not None and found.group(1), document[-2000:]
    return json.loads(html.unescape(found.group(1)))
