"""The page of a mesh as a file: whole, self-contained, and refused for what is no model."""

import base64
import re

import pytest
from textured_glb import write_bumpy_glb

from nerfrecon.viewer.frame import viewer_text
from nerfrecon.viewer.mesh import write_mesh_page
from suite.errors import BadInput


def test_the_page_holds_the_model_and_asks_nobody(tmp_path):
    glb = write_bumpy_glb(tmp_path / "model.glb", 64)
    page = write_mesh_page(glb, tmp_path / "model.html", "A ball").read_text(encoding="utf-8")
    carried = re.search(r'id="model">([^<]*)<', page)
    assert carried is not None
    assert base64.b64decode(carried[1]) == glb.read_bytes()
    assert not re.search(r"https?://|//cdn|<link[^>]*stylesheet|<script[^>]*src", page)
    assert "default-src 'none'" in page
    assert not re.search(r"<!--|/\*model\*/", page)  # what is to be filled in
    assert page == write_mesh_page(glb, tmp_path / "again.html", "A ball").read_text(encoding="utf-8")


def test_all_that_the_page_adds_has_a_place_in_the_frame():
    own, frame = (set(re.findall(r"<!--\w+-->", viewer_text(name))) for name in ("mesh.html", "frame.html"))
    assert own
    assert own < frame


def test_a_title_is_text(tmp_path):
    glb = write_bumpy_glb(tmp_path / "m.glb", 64)
    page = write_mesh_page(glb, tmp_path / "m.html", '<b>Mug & "jug"</b>').read_text(encoding="utf-8")
    assert "<b>" not in page
    assert page.count("&lt;b&gt;Mug &amp; &quot;jug&quot;&lt;/b&gt;") == 3  # tab, heading, canvas


def test_what_is_no_model_is_refused_by_name(tmp_path):
    broken = tmp_path / "photo.glb"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not a model at all")
    with pytest.raises(BadInput, match=r"photo\.glb: is no binary glTF 2\.0"):
        write_mesh_page(broken, tmp_path / "x.html", "x")
    whole = write_bumpy_glb(tmp_path / "whole.glb", 64).read_bytes()
    broken.write_bytes(whole[:-100])
    with pytest.raises(BadInput, match="is cut off"):
        write_mesh_page(broken, tmp_path / "x.html", "x")
    with pytest.raises(BadInput, match="cannot be read"):
        write_mesh_page(tmp_path / "none.glb", tmp_path / "x.html", "x")
    assert not (tmp_path / "x.html").exists()
