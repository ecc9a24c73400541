"""A page in a real browser: it draws its scene, asks nobody for anything, and says nothing in the console."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from suite.geometry.mesh import Mesh
from suite.report.metric import Metric
from suite.report.page import Page
from suite.report.view3d import View3D

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-angle=swiftshader --enable-unsafe-swiftshader "
    "--ignore-gpu-blocklist --hide-scrollbars --window-size=1000,900 --virtual-time-budget=8000"
)
# Listens from the first line on; after the scene is drawn it tries the controls and writes down what it saw.
WATCH = """<script>
window.seen = {errors: [], violations: []};
addEventListener("error", (event) => seen.errors.push(String(event.message)));
addEventListener("unhandledrejection", (event) => seen.errors.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => seen.violations.push(event.blockedURI));
console.error = (...words) => { seen.errors.push(words.join(" ")); };
</script>"""
ACT = """<script>
(() => {
  const block = document.querySelector(".view3d"), stage = block.querySelector(".stage");
  const scene = () => stage._fullLayout.scene._scene;
  const pixels = () => {
    const drawn = stage.querySelector("canvas"), copy = document.createElement("canvas");
    scene().glplot.redraw();
    [copy.width, copy.height] = [drawn.width, drawn.height];
    const context = copy.getContext("2d", {willReadFrequently: true});
    context.drawImage(drawn, 0, 0);
    const data = context.getImageData(0, 0, copy.width, copy.height).data;
    const counts = {red: 0, green: 0, both: 0, left: copy.width, right: 0, top: copy.height, bottom: 0};
    for (let at = 0; at < data.length; at += 4) {
      const [r, g, , a] = data.subarray(at, at + 4);
      const x = (at / 4) % copy.width, y = Math.floor(at / 4 / copy.width);
      if (!a) continue;
      if (r > 2 * g) counts.red++; else if (g > 2 * r) counts.green++; else counts.both++;
      counts.left = Math.min(counts.left, x); counts.right = Math.max(counts.right, x);
      counts.top = Math.min(counts.top, y); counts.bottom = Math.max(counts.bottom, y);
    }
    return {...counts, width: copy.width, height: copy.height};
  };
  const press = (name) => { block.querySelector(`[data-view="${name}"]`).click(); };
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const eye = () => stage._fullLayout.scene._scene.getCamera().eye;
  const run = async () => {
    while (!block.classList.contains("ready")) await wait(50);
    press("Back"); await wait(300);
    seen.both = pixels(); seen.back = eye();
    seen.pickable = Object.values(scene().traces)
      .map((one) => [one.data.opacity, Boolean(one.mesh.drawPick)]);
    block.querySelector('[data-layer="Skin"][type="checkbox"]').click(); await wait(300);
    seen.bones = pixels();
    press("Side"); await wait(300);
    seen.side = eye();
    seen.pressed = [...block.querySelectorAll('[aria-pressed="true"]')].map((button) => button.textContent);
    dispatchEvent(new Event("beforeprint"));
    const paper = block.querySelector("canvas.paper").getContext("2d");
    const printed = paper.getImageData(0, 0, paper.canvas.width, paper.canvas.height).data;
    seen.paper = printed.filter((value, at) => at % 4 === 3 && value > 0).length;
    seen.requests = performance.getEntriesByType("resource").map((entry) => entry.name)
      .filter((name) => !name.startsWith("data:") && !name.startsWith("blob:"));
  };
  run().catch((error) => seen.errors.push(String(error))).finally(() => {
    const out = document.createElement("pre");
    out.id = "seen"; out.textContent = JSON.stringify(seen);
    document.body.append(out);
  });
})();
</script>"""


def slab(x: int, y: int, z: int, name: str) -> Mesh:
    """A flat plate of half-sizes x, y at depth z, facing the viewer behind."""
    corners = np.array([[-x, -y, z], [x, -y, z], [x, y, z], [-x, y, z]], float)
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]), None, name)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What happened in the browser, on a page with a red plate behind a larger, translucent green one."""
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on this machine")
    view = View3D(height_px=400)
    view.meshes("Skin", [slab(100, 200, 10, "skin")], "#00ff00", opacity=0.4)
    view.meshes("Bones", [slab(40, 80, -10, "T1")], "#ff0000")
    page = Page("Scene")
    page.metrics([Metric("rms_mm", 1.0, "mm")])
    page.view3d(view, "A scene")
    folder = tmp_path_factory.mktemp("browser")
    document = page.document().replace("<head>", "<head>" + WATCH, 1)
    (folder / "page.html").write_text(document.replace("</body>", ACT + "</body>"), encoding="utf-8")
    command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    command.append((folder / "page.html").as_uri())
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    return json.loads(html.unescape(found.group(1)))


def test_the_console_stays_silent(seen):
    assert seen["errors"] == []


def test_nothing_leaves_the_page(seen):
    assert seen["requests"] == []
    assert seen["violations"] == []


def test_a_translucent_skin_shows_the_bone_behind_it(seen):
    # Through the skin the bone is a mixture, neither pure red nor pure green; without the skin it is red.
    assert seen["both"]["both"] > 1000 and seen["both"]["green"] > 1000 and seen["both"]["red"] == 0
    assert seen["bones"]["red"] > 1000 and seen["bones"]["green"] == 0


def test_the_scene_fills_its_frame_without_leaving_it(seen):
    drawn = seen["both"]
    assert 0.6 < (drawn["bottom"] - drawn["top"]) / drawn["height"] < 0.99
    assert drawn["left"] > 0 and drawn["right"] < drawn["width"] - 1
    # Equal scales: the plate is half as wide as it is high.
    ratio = (drawn["right"] - drawn["left"]) / (drawn["bottom"] - drawn["top"])
    assert ratio == pytest.approx(0.5, abs=0.02)


def test_buttons_move_the_camera(seen):
    assert seen["back"]["y"] < 0 and abs(seen["back"]["x"]) < 1e-6
    assert seen["side"]["x"] > 0 and abs(seen["side"]["y"]) < 1e-6
    assert seen["pressed"] == ["Side"]


def test_the_pointer_reaches_through_the_skin(seen):
    assert sorted(seen["pickable"]) == [[0.4, False], [1, True]]


def test_paper_gets_a_copy_of_the_scene(seen):
    assert seen["paper"] > 100
