"""GLB files, atlases, padding and lookups of textures."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from painted_ball import ball_mesh

from nerfrecon.texture.atlas import covered_texels, texel_length, unwrap
from nerfrecon.texture.exposure import levelled_gains
from nerfrecon.texture.glb import read_textured_glb, write_textured_glb
from nerfrecon.texture.options import AtlasOptions
from nerfrecon.texture.padding import padded
from nerfrecon.texture.render import mip_levels
from nerfrecon.texture.textured import TexturedMesh, looked_up, taps
from suite.errors import BadInput


def quad() -> TexturedMesh:
    """A square in x, y whose texture is red at the top left, green at the top right, blue at the bottom."""
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    uv = np.array([[0.0, 1], [1, 1], [1, 0], [0, 0]])  # v goes down
    texture = np.zeros((8, 16, 3), np.uint8)
    texture[:4, :8, 0], texture[:4, 8:, 1], texture[4:, :, 2] = 255, 255, 255
    normals = np.tile([0.0, 0, 1], (4, 1))
    return TexturedMesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]), normals, uv, texture)


@pytest.mark.parametrize("image", ["png", "jpeg"])
def test_a_glb_reads_as_it_was_written(tmp_path: Path, image: str) -> None:
    mesh = quad()
    write_textured_glb(tmp_path / "quad.glb", mesh, image=image, quality=97)  # type: ignore[arg-type]
    found = read_textured_glb(tmp_path / "quad.glb")
    for name in ("vertices", "faces", "normals", "uv"):
        assert np.array_equal(getattr(found, name), getattr(mesh, name)), name
    off = np.abs(found.texture.astype(int) - mesh.texture)
    assert off.max() == 0 if image == "png" else off.mean() < 2


def test_trimesh_sees_the_same_texture_the_same_way_up(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    write_textured_glb(tmp_path / "quad.glb", quad(), image="png")
    (found,) = trimesh.load_scene(tmp_path / "quad.glb", process=False).geometry.values()
    assert found.vertices.tolist() == quad().vertices.tolist()
    texture = np.asarray(found.visual.material.baseColorTexture.convert("RGB"))
    # trimesh counts v upwards.
    for corner, colour in ((3, [255, 0, 0]), (2, [0, 255, 0]), (0, [0, 0, 255]), (1, [0, 0, 255])):
        u, v = found.visual.uv[corner]
        row, column = int((1 - v) * 7.99), int(u * 15.99)
        assert texture[row, column].tolist() == colour
    assert np.allclose(found.vertex_normals, [0, 0, 1])


def test_the_file_is_what_gltf_asks_for(tmp_path: Path) -> None:
    write_textured_glb(tmp_path / "quad.glb", quad())
    data = (tmp_path / "quad.glb").read_bytes()
    magic, version, length, size, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    tree = json.loads(data[20 : 20 + size])
    bin_size, bin_kind = struct.unpack("<I4s", data[20 + size : 28 + size])
    assert bin_kind == b"BIN\0"
    assert size % 4 == bin_size % 4 == 0
    assert bin_size == tree["buffers"][0]["byteLength"]
    assert tree["extensionsUsed"] == ["KHR_materials_unlit"]
    assert "uri" not in tree["images"][0]
    for view in tree["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= bin_size
    position = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    assert (position["min"], position["max"]) == ([0, 0, 0], [1, 1, 0])
    write_textured_glb(tmp_path / "lit.glb", quad(), material="matt")
    assert b"KHR_materials_unlit" not in (tmp_path / "lit.glb").read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"PLY!" + data[4:], "not a GLB"),
        (lambda data: data[:-40], "holds"),
        (lambda data: data.replace(b'"TEXCOORD_0"', b'"TEXCOORD_9"'), "no GLB of one mesh"),
        (lambda data: data.replace(b'"indices":3', b'"indices":9'), "no GLB of one mesh"),
        (lambda data: data[:20] + b"?" + data[21:], "no glTF tree"),
    ],
)
def test_a_damaged_glb_is_refused_in_one_line(tmp_path: Path, damage, message: str) -> None:
    write_textured_glb(tmp_path / "quad.glb", quad())
    (tmp_path / "bad.glb").write_bytes(damage((tmp_path / "quad.glb").read_bytes()))
    with pytest.raises(BadInput, match=message) as raised:
        read_textured_glb(tmp_path / "bad.glb")
    assert "\n" not in str(raised.value)
    assert "bad.glb" in str(raised.value)
    with pytest.raises(BadInput, match="no such file"):
        read_textured_glb(tmp_path / "none.glb")


def test_a_lookup_at_a_texels_middle_is_the_texel_and_blends_between() -> None:
    rng = np.random.default_rng(1)
    texture = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    y, x = np.mgrid[:5, :7]
    middles = np.stack([(x.ravel() + 0.5) / 7, (y.ravel() + 0.5) / 5], 1)
    np.testing.assert_allclose(looked_up(texture, middles), texture.reshape(-1, 3), atol=1e-3)
    between = looked_up(texture, np.array([[3.0 / 7, 2.0 / 5]]))
    np.testing.assert_allclose(between[0], texture[1:3, 2:4].astype(float).mean((0, 1)), atol=1e-2)
    outside = looked_up(texture, np.array([[-1.0, 2.0]]))
    np.testing.assert_allclose(outside[0], texture[4, 0], atol=1e-3)
    assert np.allclose(taps(rng.random((50, 2)), 7, 5).weights.sum(1), 1, atol=1e-5)


def test_charts_cover_the_surface_once_with_room_between_them() -> None:
    mesh = ball_mesh()
    options = AtlasOptions(smallest_px=256, largest_px=256)
    atlas = unwrap(mesh, texel_length(mesh.area(), 1e-3, options), options)
    assert max(atlas.size_px) <= 256
    assert np.array_equal(atlas.vertex[atlas.faces], mesh.faces)
    assert atlas.uv.min() >= 0 and atlas.uv.max() <= 1
    covered = covered_texels(atlas.faces, atlas.uv, atlas.size_px)
    assert covered.where.sum() == len(covered.face)
    uv = np.einsum("nk,nkd->nd", covered.weights, atlas.uv[atlas.faces[covered.face]])
    rows, columns = np.nonzero(covered.where)
    middles = np.stack([(columns + 0.5) / atlas.size_px[0], (rows + 0.5) / atlas.size_px[1]], 1)
    np.testing.assert_allclose(uv, middles, atol=1e-4)
    # Texels are spread as the area is.
    corners = mesh.vertices[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    counted = np.bincount(covered.face, minlength=len(mesh.faces))
    assert np.corrcoef(area, counted)[0, 1] > 0.8


def test_padding_keeps_mip_maps_to_the_charts_colours() -> None:
    texture = np.zeros((64, 64, 3), np.float32)
    known = np.zeros((64, 64), bool)
    known[5:20, 5:20], known[30:60, 24:50] = True, True
    texture[5:20, 5:20], texture[30:60, 24:50] = [1, 0.2, 0.1], [0.9, 0.1, 0.3]
    filled = padded(texture, known)
    assert np.array_equal(filled[known], texture[known])
    assert (filled[2:23, 2:23] == texture[10, 10]).all()  # bilinear lookups see one chart only
    charts = np.array([[1, 0.2, 0.1], [0.9, 0.1, 0.3]])
    for level in mip_levels(np.round(filled * 255).astype(np.uint8)):
        assert (level >= 255 * charts.min(0) - 2).all()  # and no level sees the black between them
        assert (level <= 255 * charts.max(0) + 2).all()
    second = mip_levels(np.round(filled * 255).astype(np.uint8))[2]
    assert np.abs(second[2:4, 2:4] - 255 * charts[0]).max() < 1.5
    assert np.array_equal(padded(texture, np.ones_like(known)), texture)


def test_gains_of_views_that_hardly_overlap_are_found() -> None:
    rng = np.random.default_rng(2)
    colour = rng.uniform(0.2, 0.8, (400, 3))
    true = np.exp(rng.normal(0, 0.2, (8, 3)))
    cells = [np.arange(40 * k, 40 * k + 120) for k in range(8)]  # a chain: each sees two thirds of the next
    seen = [colour[cell] * gain for cell, gain in zip(cells, true, strict=True)]
    found = levelled_gains(cells, seen, [np.ones(120) for _ in cells])
    true /= np.exp(np.log(true).mean(0))
    assert np.abs(found / true - 1).max() < 0.03


def test_textured_meshes_check_themselves() -> None:
    mesh = quad()
    with pytest.raises(BadInput, match="over 4 vertices"):
        TexturedMesh(mesh.vertices, mesh.faces + 1, mesh.normals, mesh.uv, mesh.texture)
    with pytest.raises(BadInput, match="not finite"):
        TexturedMesh(mesh.vertices, mesh.faces, mesh.normals, mesh.uv * np.nan, mesh.texture)
