"""Scenes carry their geometry exactly (to float32), upright, and framed by their bounds."""

import base64
import json
import re

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from suite.geometry.mesh import Mesh
from suite.report.page import Page
from suite.report.view3d import BODY_VIEWS, View3D


def unpacked(array: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(array["bdata"]), np.dtype("<" + array["dtype"]))


def random_mesh(n: int, m: int, name: str = "") -> Mesh:
    rng = np.random.default_rng(n)
    return Mesh(rng.normal(size=(n, 3)) * 100, rng.integers(0, n, (m, 3)), None, name)


def scene_in(html: str) -> dict:
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


@pytest.mark.parametrize(("n", "kind"), [(50, "u2"), (65_536, "u2"), (65_537, "u4")])
def test_meshes_decode_back(n, kind):
    mesh = random_mesh(n, 40)
    view = View3D()
    view.meshes("Mesh", [mesh], opacity=0.5)
    trace = scene_in(view.to_html("b1-"))["traces"][0]
    x, y, z = (unpacked(trace[axis]) for axis in "xyz")
    # Plotly's (x, -z, y), turned back.
    np.testing.assert_allclose(np.stack([x, z, -y], axis=1), mesh.vertices, rtol=1e-6)
    assert trace["i"]["dtype"] == kind
    np.testing.assert_array_equal(np.stack([unpacked(trace[c]) for c in "ijk"], axis=1), mesh.faces)


def test_up_is_up_and_behind_is_near():
    view = View3D()
    view.points("P", np.array([[0, 0, 0], [0, 10, 0.0]]))
    scene = view.scene()
    assert np.argmax(scene["aspect"]) == 2  # the data's y stands along plotly's z
    assert scene["views"]["Back"] == [
        0,
        -1,
        0,
    ]  # plotly's eye in front of its y = 0 plane, z up, x to the right
    assert list(scene["views"]) == list(BODY_VIEWS)


def test_scales_are_equal_and_bounds_hold_everything():
    view = View3D()
    view.meshes("Mesh", [random_mesh(30, 10)])
    view.line("Line", np.array([[0, 0, 0], [np.nan] * 3, [900, 0, 0]]))
    scene = view.scene()
    lengths = np.diff(scene["ranges"], axis=1)[:, 0]
    np.testing.assert_allclose(lengths / np.array(scene["aspect"]), lengths.max())
    assert scene["ranges"][0][1] == pytest.approx(900)
    x = np.concatenate([unpacked(trace["x"]) for trace in scene["traces"]])
    assert np.isnan(x).sum() == 1  # the break in the line
    assert np.nanmin(x) >= scene["ranges"][0][0] - 1e-3


def test_layers_switch_all_their_traces():
    view = View3D()
    view.meshes("Bones", [random_mesh(9, 3, f"T{k}") for k in range(3)])
    view.meshes("Skin", [random_mesh(9, 3)], opacity=0.4, visible=False)
    view.line("Bones", np.eye(3))
    scene = view.scene()
    assert scene["layers"] == [
        {"name": "Bones", "traces": [0, 1, 2, 4], "visible": True},
        {"name": "Skin", "traces": [3], "visible": False},
    ]
    assert [trace["visible"] for trace in scene["traces"]] == [True, True, True, False, True]
    html = view.to_html("b1-")
    assert html.count('type="checkbox"') == 2 and html.count('type="range"') == 1


def test_names_cannot_break_out_of_the_page():
    view = View3D(alt='"><script>')
    view.meshes("</script><script>", [random_mesh(5, 2, "</script><script>")])
    view.points("P", np.zeros((1, 3)), ["</script>"])
    html = view.to_html("b1-")
    assert html.count("<script") == html.count("</script>") == 1


def test_heat_is_symmetric_about_zero():
    mesh = random_mesh(100, 30)
    view = View3D()
    view.heat("Heat", mesh, np.linspace(-1, 4, 100), "left − right (mm)", limit=5)
    trace = view.scene()["traces"][0]
    assert (trace["cmin"], trace["cmax"]) == (-5, 5)
    np.testing.assert_allclose(unpacked(trace["intensity"]), np.linspace(-1, 4, 100), rtol=1e-6, atol=1e-6)
    assert "left − right (mm)" in view.to_html("b1-")
    with pytest.raises(ValueError, match="99"):
        view.heat("Heat", mesh, np.zeros(99), "x")


def test_vertex_colours_are_kept():
    mesh = random_mesh(3, 1).with_color((255, 0, 16))
    view = View3D()
    view.meshes("Mesh", [mesh])
    assert view.scene()["traces"][0]["vertexcolor"] == ["#ff0010"] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda view: view.to_html("b1-"),
        lambda view: view.points("P", np.zeros((2, 3)), ["one"]),
        lambda view: view.line("L", np.zeros((2, 2))),
        lambda view: view.line("L", np.full((2, 3), np.nan)),
        lambda view: view.meshes("M", [random_mesh(4, 2)], opacity=0.0),
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong):
    with pytest.raises((ValueError, TypeCheckError)):
        wrong(View3D())


def test_a_whole_back_stays_under_eight_megabytes():
    view = View3D()
    view.meshes("Skin", [random_mesh(20_000, 40_000)], opacity=0.4)
    view.meshes("Vertebrae", [random_mesh(1_000, 2_000, f"V{k}") for k in range(25)])
    page = Page("Spine")
    page.view3d(view)
    assert len(page.document().encode()) < 8e6
