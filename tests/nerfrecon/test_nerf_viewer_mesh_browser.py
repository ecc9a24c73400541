"""The page of a mesh in a real browser: its pixels against a ray cast, its controls by real events."""

import base64
import io
import json
import math
import struct
import urllib.parse

import cv2
import numpy as np
import pytest
from chromium import Browser
from PIL import Image
from textured_glb import cast, pack_glb, write_bumpy_glb

from nerfrecon.backends.base import RayCamera
from nerfrecon.viewer.mesh import write_mesh_page

SIZE = (420, 320)
LEAST_DB = 36.0
"""Of what the page draws against a ray cast, where a pixel is no larger than one of the texture's."""


@pytest.fixture(scope="module")
def browser():
    with Browser(*SIZE, "--force-prefers-reduced-motion", webgl=True) as running:
        yield running


@pytest.fixture(scope="module")
def glb(tmp_path_factory):
    return write_bumpy_glb(tmp_path_factory.mktemp("mesh") / "model.glb")


@pytest.fixture(scope="module")
def url(glb):
    return write_mesh_page(glb, glb.with_suffix(".html"), "A bumpy ball").as_uri()


@pytest.fixture
def page(browser, url):
    """Opened anew."""
    browser.open("about:blank")
    browser.size(*SIZE)
    browser.open(url, "window.__ready")
    yield browser
    assert browser.errors == []
    assert browser.asked == []
    assert browser.value("__errors") == []


@pytest.fixture
def loaded(browser, url):
    """Opened anew only where the last test left another page: for what does not depend on the page's
    state."""
    if not browser.value(f"location.href === {json.dumps(url)} && window.__ready === true"):
        browser.open("about:blank")
        browser.open(url, "window.__ready")
    yield browser
    assert browser.errors == []
    assert browser.value("__errors") == []


def looking(width, height, azimuth, elevation, distance, middle=(0.02, 0.11, -0.01), **more):
    """A camera of another lens in each direction whose axis does not meet the picture's middle."""
    ca, sa, ce, se = math.cos(azimuth), math.sin(azimuth), math.cos(elevation), math.sin(elevation)
    T = np.eye(4)
    T[:3, :3] = np.array([[ca, sa * se, -sa * ce], [0, -ce, -se], [-sa, ca * se, -ca * ce]])
    T[:3, 3] = np.array(middle) - distance * T[:3, 2]
    lens = {"fx": 1.3 * height, "fy": 1.24 * height, "cx": 0.52 * width, "cy": 0.46 * height}
    return {"T_world_camera": T.tolist(), "width": width, "height": height} | lens | more


def drawn(browser, camera, look=None):
    asked = f"{json.dumps(camera)}, {json.dumps(look or {})}"
    url = browser.value(
        f"(() => {{ __setCamera({asked}); return document.querySelector('canvas').toDataURL(); }})()"
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def psnr(a, b, where):
    return -10 * math.log10(np.mean((a[where].astype(float) - b[where]) ** 2) / 255**2)


def inside(hit):
    """Whose pixels have no edge of the object near them."""
    return cv2.erode(hit.astype(np.uint8), np.ones((3, 3))) > 0


@pytest.mark.parametrize(
    ("azimuth", "elevation", "distance"), [(0.4, 0.3, 0.6), (3.4, 1.2, 0.5), (-1.9, -0.5, 0.45)]
)
def test_its_pixels_are_those_of_a_ray_cast(loaded, glb, azimuth, elevation, distance):
    camera = looking(300, 220, azimuth, elevation, distance)
    seen, (wanted, hit) = drawn(loaded, camera), cast(glb, camera)
    assert hit.mean() > 0.08
    assert psnr(seen, wanted, inside(hit)) > LEAST_DB
    beside = cv2.erode((~hit).astype(np.uint8), np.ones((3, 3))) > 0
    assert (seen[beside] == 255).all()
    moved = drawn(loaded, camera | {"cx": camera["cx"] + 1.5})
    assert psnr(moved, wanted, inside(hit)) < LEAST_DB - 6  # a pixel and a half would be found out


def test_its_pixels_are_those_that_figures_are_measured_on(loaded, glb):
    """`render_glb` averages rays over a pixel, the page its mipmaps: close, and not the same."""
    rendering = pytest.importorskip("nerfrecon.texture.render", reason="the stage texture is not here")
    camera = looking(300, 220, 0.4, 0.3, 0.55)
    lens = {name: camera[name] for name in ("width", "height", "fx", "fy", "cx", "cy")}
    ray_camera = RayCamera(**lens, T_unit_camera=np.array(camera["T_world_camera"]))
    (wanted,) = rendering.render_glb(glb, [ray_camera])
    seen = drawn(loaded, camera)
    assert psnr(seen, wanted.rgb * 255, inside(wanted.opacity > 0.999)) > 32
    assert psnr(seen, wanted.rgb * 255, np.ones(seen.shape[:2], bool)) > 30  # edges are smoothed by both


def test_a_texture_too_fine_for_the_pixels_does_not_flicker(loaded, glb):
    """Mipmaps: nearer to the mean over a pixel than one look-up in its middle is."""
    far = looking(60, 44, 0.4, 0.3, 0.6)
    wide = far | {key: 4 * far[key] for key in ("width", "height", "fx", "fy")}
    wide |= {key: 4 * far[key] + 1.5 for key in ("cx", "cy")}
    finer, hit = cast(glb, wide)
    mean = finer.reshape(44, 4, 60, 4, 3).mean((1, 3))
    whole = inside(hit.reshape(44, 4, 60, 4).all((1, 3)))
    once, _ = cast(glb, far)
    assert psnr(drawn(loaded, far), mean, whole) > psnr(once, mean, whole) + 3


def test_the_address_places_the_camera_too(page, glb, url):
    camera = looking(300, 220, 2.0, 0.5, 0.5)
    page.open("about:blank")
    page.open(f"{url}#camera={urllib.parse.quote(json.dumps(camera))}", "window.__ready")
    shot = page.screenshot()[:220, :300]
    wanted, hit = cast(glb, camera)
    assert psnr(shot, wanted, inside(hit)) > LEAST_DB


def test_lights_wires_and_clay_each_look_different(loaded):
    camera = looking(200, 150, 0.4, 0.3, 0.5)
    looks = [{}, {"surface": "studio"}, {"surface": "clay"}, {"wire": [0, 0, 0, 1], "linePx": 1}]
    photo, studio, clay, wired = (drawn(loaded, camera, look) for look in looks)
    hit = np.abs(photo.astype(int) - 255).sum(2) > 60
    assert all(psnr(photo, other, hit) < 25 for other in (studio, clay, wired))
    assert np.ptp(clay[hit].astype(int), axis=1).max() < 40 < np.ptp(photo[hit].astype(int), axis=1).max()
    assert wired[hit].mean() < photo[hit].mean() - 10
    lit = clay[hit].astype(float).mean(1)
    assert lit.std() > 15  # it has a shape


def test_buttons_and_letters_do_what_they_say(page):
    def shown():
        page.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return page.screenshot()

    def pressed(name):
        return page.value(f"document.querySelector('#{name}').getAttribute('aria-pressed')")

    before = shown()
    page.value("document.querySelector('#wire').click()")
    assert pressed("wire") == "true"
    assert (shown() != before).any(2).mean() > 0.02
    page.key("w")
    assert pressed("wire") == "false"
    assert (shown() == before).all()
    page.key("m")
    shown()
    labels = page.value("[...document.querySelectorAll('.measure')].map((one) => one.textContent)")
    assert len(labels) == 3
    assert all(20 < float(label.removesuffix(" cm")) < 35 for label in labels)
    page.key("l")
    chosen = "document.querySelector('[data-surface][aria-checked=true]').dataset.surface"
    assert page.value(chosen) == "studio"
    page.key("b")
    assert page.value("document.documentElement.dataset.ground") == "white"
    assert pressed("turn") == "false"  # who asks for little motion gets none by itself
    azimuth = page.value("__controls.azimuth")
    page.value("document.querySelector('#turn').click()")
    page.wait(f"__controls.azimuth > {azimuth} + 0.01")
    page.drag((200, 150), (203, 150))
    assert pressed("turn") == "false"  # taken in hand


def test_every_control_has_a_name(page):
    page.call("Accessibility.enable")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "radio", "application", "toolbar", "radiogroup", "DisclosureTriangle")
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert len(found) >= 14
    assert all(name for _, name in found), found
    figures = page.value("document.querySelector('#figures').textContent").replace("\u202f", "")
    assert "2304 faces" in figures
    assert "96 px" in figures


def test_keys_and_mouse_move_the_camera(page):
    def state():
        return page.value(
            "[__controls.azimuth, __controls.elevation, __controls.distance, ...__controls.target]"
        )

    page.value("document.querySelector('canvas').focus()")
    home = state()
    page.key("ArrowRight")
    page.key("ArrowUp")
    page.key("+")
    now = state()
    assert now[0] > home[0]
    assert now[1] > home[1]
    assert now[2] < home[2]
    page.key("ArrowLeft", modifiers=8)
    assert state()[3:] != home[3:]
    page.key("Home")
    assert state() == pytest.approx(home)
    page.drag((200, 160), (240, 160), (260, 180))
    now = state()
    assert now[0] == pytest.approx(home[0] - 60 / SIZE[1] * math.pi, abs=1e-6)
    assert now[1] == pytest.approx(home[1] + 20 / SIZE[1] * math.pi, abs=1e-6)
    page.key("r")
    page.drag((200, 160), (240, 160), button="right")
    assert state()[:3] == pytest.approx(home[:3])
    assert state()[3:] != pytest.approx(home[3:])
    page.call("Input.dispatchMouseEvent", type="mouseWheel", x=200, y=160, deltaX=0, deltaY=240)
    page.wait(f"__controls.distance > {home[2]} * 1.1")


def test_fingers_turn_and_pinch(page):
    page.size(320, 480, phone=True)
    state = "[__controls.azimuth, __controls.elevation, __controls.distance]"
    page.wait("document.querySelector('canvas').width === 640")
    home = page.value(state)
    page.touch([(150, 200)], [(170, 200)], [(220, 220)])
    turned = page.value(state)
    assert turned[0] < home[0]
    assert turned[1] > home[1]
    assert turned[2] == home[2]
    page.touch([(110, 200), (200, 200)], [(80, 200), (230, 200)], [(60, 200), (250, 200)])
    pinched = page.value(state)
    assert pinched[2] < 0.6 * turned[2]
    assert pinched[:2] == pytest.approx(turned[:2])
    assert page.value("document.documentElement.scrollWidth <= innerWidth")


def test_the_model_can_be_saved_from_the_page(page, glb, tmp_path):
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.value("document.querySelector('#download').click()")
    saved = tmp_path / "model.glb"
    for _ in range(200):
        page.value("new Promise((done) => setTimeout(done, 25))")
        if saved.is_file() and saved.stat().st_size == glb.stat().st_size:
            break
    assert saved.read_bytes() == glb.read_bytes()


def test_a_browser_without_webgl_is_told_what_to_do(browser, url):
    hidden = "HTMLCanvasElement.prototype.getContext = () => null"
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=hidden)
    browser.open("about:blank")
    try:
        browser.open(url, "document.querySelector('#trouble')?.hidden === false")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])
    assert "WebGL 2" in browser.value("document.querySelector('#trouble').textContent")


def read(page, data):
    """What the page's own reader makes of a file."""
    text = base64.b64encode(data).decode()
    return page.value(
        f"(() => {{ try {{ const model = readGlb(Uint8Array.from(atob('{text}'), (c) => c.charCodeAt(0)));"
        "const list = (numbers) => numbers && [...numbers].map((one) => +one.toFixed(5));"
        "return {faces: model.faces, low: model.low, high: model.high, parts: model.parts.map((part) => ({"
        "positions: list(part.positions), normals: list(part.normals), uvs: list(part.uvs),"
        "colours: list(part.colours)})), materials: model.materials};"
        "} catch (error) { return String(error.message); } })()"
    )


TRIANGLE = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)


def test_the_reader_knows_the_ways_of_gltf(loaded):
    strided = b"".join(
        struct.pack("<3f2HI", *xyz, u, 65535, 0) for xyz, u in zip(np.eye(3), (0, 65535, 13107), strict=True)
    )
    tree = {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"children": [1], "translation": [0, 0, 5]}, {"mesh": 0, "scale": [-2, 1, 1]}],
        "meshes": [
            {
                "primitives": [
                    {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0},
                    {"attributes": {"POSITION": 0}, "mode": 0},
                ]
            }
        ],
        "materials": [
            {
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0},
                    "baseColorFactor": [1, 0.5, 0.2, 1],
                },
                "extensions": {"KHR_materials_unlit": {}},
                "alphaMode": "MASK",
            }
        ],
        "textures": [{"source": 0}],
        "extensionsRequired": ["KHR_materials_unlit"],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3},
            {
                "bufferView": 0,
                "byteOffset": 12,
                "componentType": 5123,
                "type": "VEC2",
                "count": 3,
                "normalized": True,
            },
            {"bufferView": 1, "componentType": 5121, "type": "SCALAR", "count": 3},
        ],
        "bufferViews": [{"byteStride": 20}, {}],
    }
    model = read(loaded, pack_glb(tree, [strided, bytes([0, 1, 2])]))
    assert model["faces"] == 1
    (part,) = model["parts"]
    placed = np.array(part["positions"]).reshape(3, 3)
    assert sorted(placed.tolist()) == sorted([[-2, 0, 5], [0, 1, 5], [0, 0, 6]])
    # Mirrored: the corners come in the other order, so that they still turn as their normal says.
    around = np.cross(placed[1] - placed[0], placed[2] - placed[0])
    assert around @ np.array(part["normals"][:3]) > 0
    assert part["normals"][0] < 0
    assert sorted(part["uvs"][::2]) == [0, 0.2, 1]
    assert model["materials"][0] == {
        "factor": [1, 0.5, 0.2, 1],
        "image": 0,
        "repeat": [10497, 10497],
        "isUnlit": True,
        "cutoff": 0.5,
        "isTranslucent": False,
    }


def test_the_reader_says_what_it_cannot_read(loaded):
    plain = {
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3}],
    }
    assert read(loaded, pack_glb(plain, [TRIANGLE]))["faces"] == 1  # no scene, no indices
    packed = plain | {"extensionsRequired": ["KHR_draco_mesh_compression"]}
    assert "KHR_draco_mesh_compression" in read(loaded, pack_glb(packed, [TRIANGLE]))
    long = plain | {"accessors": [plain["accessors"][0] | {"count": 99}]}
    assert "cut off" in read(loaded, pack_glb(long, [TRIANGLE]))
    assert "no triangles" in read(loaded, pack_glb(plain | {"nodes": []}, [TRIANGLE]))
    assert "no binary glTF" in read(loaded, b"PNG" * 20)
