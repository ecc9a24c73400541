"""Geometry files: what is written comes back, what others write is read, and what is broken is refused."""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suite.errors import BadInput
from suite.geometry.mesh import Mesh, PointCloud
from suite.geometry.mesh_io import read_geometry, write_glb, write_obj, write_ply

IN_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = np.array([t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))])
COLORS = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)
CUBE = Mesh(CORNERS, FACES, COLORS, name="cube")
RED = dataclasses.replace(CUBE.with_color((200, 30, 5)), name="red part")


def random_mesh(seed: int) -> Mesh:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 30), rng.integers(1, 40)
    colors = rng.integers(0, 256, (n, 3)).astype(np.uint8) if rng.random() < 0.7 else None
    return Mesh(
        rng.normal(size=(n, 3)) * 10.0 ** rng.integers(-6, 6), rng.integers(0, n, (m, 3)), colors, name="m"
    )


def mesh_of(path: Path) -> Mesh:
    mesh = read_geometry(path)
    assert isinstance(mesh, Mesh)
    return mesh


def cloud_of(path: Path) -> PointCloud:
    cloud = read_geometry(path)
    assert isinstance(cloud, PointCloud)
    return cloud


def assert_same_colors(found: np.ndarray | None, expected: np.ndarray | None) -> None:
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        np.testing.assert_array_equal(found, expected)


@IN_FOLDER
@given(st.integers(0, 2**32 - 1), st.sampled_from(["ply", "obj"]))
def test_ply_and_obj_meshes_come_back_exactly(tmp_path, seed, kind):
    mesh = random_mesh(seed)
    path = tmp_path / f"a.{kind}"
    write_ply(path, mesh) if kind == "ply" else write_obj(path, [mesh])
    again = mesh_of(path)
    np.testing.assert_array_equal(again.vertices, mesh.vertices)
    np.testing.assert_array_equal(again.faces, mesh.faces)
    assert_same_colors(again.vertex_colors, mesh.vertex_colors)


@IN_FOLDER
@given(st.integers(0, 2**32 - 1))
def test_ply_clouds_come_back_exactly(tmp_path, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 50))
    colors = rng.integers(0, 256, (n, 3)).astype(np.uint8) if rng.random() < 0.5 else None
    cloud = PointCloud(
        rng.normal(size=(n, 3)), colors, rng.normal(size=(n, 3)) if rng.random() < 0.5 else None
    )
    write_ply(tmp_path / "a.ply", cloud)
    again = cloud_of(tmp_path / "a.ply")
    np.testing.assert_array_equal(again.points, cloud.points)
    assert_same_colors(again.colors, cloud.colors)
    assert (again.normals is None) == (cloud.normals is None)
    if again.normals is not None and cloud.normals is not None:
        np.testing.assert_allclose(again.normals, cloud.normals, rtol=1e-15)


@IN_FOLDER
@given(st.integers(0, 2**32 - 1))
def test_glb_comes_back_in_float32_with_its_colours(tmp_path, seed):
    mesh = random_mesh(seed)
    write_glb(tmp_path / "a.glb", [mesh])
    again = mesh_of(tmp_path / "a.glb")
    np.testing.assert_array_equal(again.vertices, mesh.vertices.astype(np.float32))
    np.testing.assert_array_equal(again.faces, mesh.faces)
    grey = np.full((len(mesh.vertices), 3), 190, np.uint8)
    assert_same_colors(again.vertex_colors, grey if mesh.vertex_colors is None else mesh.vertex_colors)


def test_glb_scene_as_a_viewer_sees_it(tmp_path):
    write_glb(tmp_path / "a.glb", [CUBE, RED], metres_per_unit=0.001, opacity=[1.0, 0.4])
    data = (tmp_path / "a.glb").read_bytes()
    assert struct.unpack("<4sII", data[:12]) == (b"glTF", 2, len(data))
    length = struct.unpack("<I", data[12:16])[0]
    tree = json.loads(data[20 : 20 + length])
    assert [n["name"] for n in tree["nodes"]] == ["cube", "red part"]
    assert [m["alphaMode"] for m in tree["materials"]] == ["OPAQUE", "BLEND"]
    assert all(m["doubleSided"] for m in tree["materials"])
    assert tree["materials"][1]["pbrMetallicRoughness"]["baseColorFactor"][3] == 0.4
    position = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    np.testing.assert_allclose(position["max"], [0.001] * 3)
    assert all(v["byteOffset"] % 4 == 0 for v in tree["bufferViews"])
    assert sum(v["byteLength"] for v in tree["bufferViews"]) == tree["buffers"][0]["byteLength"]

    trimesh = pytest.importorskip("trimesh")
    scene = trimesh.load_scene(tmp_path / "a.glb", process=False)
    assert set(scene.geometry) == {"cube", "red part"}
    np.testing.assert_allclose(scene.geometry["cube"].vertex_normals, CUBE.vertex_normals(), atol=1e-6)
    both = mesh_of(tmp_path / "a.glb")
    assert both.volume() == pytest.approx(2e-9, rel=1e-5)
    assert both.vertex_colors is not None and both.vertex_colors[-1].tolist() == [200, 30, 5]


def test_glb_normals_are_unit_even_for_lone_vertices(tmp_path):
    lone = Mesh(np.vstack([CORNERS, [[5.0, 5, 5]]]), FACES)
    write_glb(tmp_path / "a.glb", [lone])
    trimesh = pytest.importorskip("trimesh")
    part = next(iter(trimesh.load_scene(tmp_path / "a.glb", process=False).geometry.values()))
    np.testing.assert_allclose(np.linalg.norm(part.vertex_normals, axis=1), 1, atol=1e-6)


def test_glb_refuses_and_leaves_nothing(tmp_path):
    with pytest.raises(BadInput, match="'dots' has no faces"):
        write_glb(tmp_path / "a.glb", [Mesh(CORNERS, FACES[:0], name="dots")])
    with pytest.raises(BadInput, match="2 opacities for 1 meshes"):
        write_glb(tmp_path / "a.glb", [CUBE], opacity=[1.0, 1.0])
    assert not list(tmp_path.iterdir())


def test_obj_keeps_objects_apart(tmp_path):
    write_obj(tmp_path / "a.obj", [RED, dataclasses.replace(CUBE, vertex_colors=None, name="two\nlines")])
    text = (tmp_path / "a.obj").read_text()
    assert [line for line in text.splitlines() if line.startswith("o ")] == ["o red part", "o two lines"]
    mesh = mesh_of(tmp_path / "a.obj")
    assert mesh.volume() == pytest.approx(2)
    assert mesh.vertex_colors is not None
    assert mesh.vertex_colors[[0, -1]].tolist() == [[200, 30, 5], [190, 190, 190]]


# What others write.


@pytest.mark.parametrize("kind", ["ply", "stl", "glb", "obj", "gltf"])
def test_files_of_trimesh(tmp_path, kind):
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / f"a.{kind}"
    exported = trimesh.Trimesh(CORNERS, FACES, process=False).export(file_type=kind)
    if isinstance(exported, dict):
        for name, data in exported.items():
            (tmp_path / ("a.gltf" if name.endswith("gltf") else name)).write_bytes(data)
    else:
        path.write_bytes(exported if isinstance(exported, bytes) else exported.encode())
    mesh = mesh_of(path)
    assert mesh.volume() == pytest.approx(1) and mesh.is_watertight()


def test_ascii_files_of_trimesh(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    cube = trimesh.Trimesh(CORNERS, FACES, process=False, vertex_colors=COLORS)
    cube.export(tmp_path / "a.ply", encoding="ascii")
    cube.export(tmp_path / "a.stl", file_type="stl_ascii")
    assert_same_colors(mesh_of(tmp_path / "a.ply").vertex_colors, COLORS)
    for name in ("a.ply", "a.stl"):
        assert mesh_of(tmp_path / name).volume() == pytest.approx(1)


@pytest.mark.parametrize("options", [{"write_ascii": True}, {}, {"compressed": True}])
@pytest.mark.parametrize("kind", ["pcd", "ply"])
def test_clouds_of_open3d(tmp_path, options, kind):
    o3d = pytest.importorskip("open3d")
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(CORNERS))
    cloud.colors = o3d.utility.Vector3dVector(COLORS / 255)
    cloud.normals = o3d.utility.Vector3dVector(np.tile([0.0, 0, 1], (8, 1)))
    o3d.io.write_point_cloud(str(tmp_path / f"a.{kind}"), cloud, **options)
    again = cloud_of(tmp_path / f"a.{kind}")
    np.testing.assert_allclose(again.points, CORNERS)
    assert again.colors is not None and np.abs(again.colors.astype(int) - COLORS).max() <= 1
    assert again.normals is not None and again.normals[0].tolist() == [0, 0, 1]
    data = (tmp_path / f"a.{kind}").read_bytes()
    (tmp_path / f"b.{kind}").write_bytes(data[:-70])
    with pytest.raises(BadInput, match="truncated"):
        read_geometry(tmp_path / f"b.{kind}")


def binary_ply(order: str, vertices: np.ndarray, polygons: list[tuple[int, ...]], before: str = "") -> bytes:
    name = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    header = (
        f"ply\r\nformat {name} 1.0\r\ncomment a scanner\r\n{before}"
        f"element vertex {len(vertices)}\r\nproperty double x\r\nproperty double y\r\nproperty double z\r\n"
        f"property float quality\r\nelement face {len(polygons)}\r\nproperty uchar flags\r\n"
        "property list uchar uint vertex_index\r\nend_header\r\n"
    )
    rows = b"".join(struct.pack(f"{order}dddf", *v, 0.5) for v in vertices)
    faces = b"".join(struct.pack(f"{order}BB{len(p)}I", 7, len(p), *p) for p in polygons)
    return header.replace("\r\n", "\n").encode() + rows + faces


@pytest.mark.parametrize("order", "<>")
def test_ply_of_both_byte_orders_with_more_properties(tmp_path, order):
    triangles: list[tuple[int, ...]] = [tuple(f) for f in FACES.tolist()]
    mixed = [QUADS[0], *triangles[2:]]
    last_smaller = [*QUADS[:5], *triangles[10:]]
    for polygons in (triangles, list(QUADS), mixed, last_smaller):
        (tmp_path / "a.ply").write_bytes(binary_ply(order, CORNERS, polygons))
        mesh = mesh_of(tmp_path / "a.ply")
        np.testing.assert_array_equal(mesh.vertices, CORNERS)
        assert len(mesh.faces) == 12
        assert mesh.is_watertight() and mesh.volume() == pytest.approx(1)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("polygons", [[tuple(f) for f in FACES.tolist()], [QUADS[0], (0, 1, 2), *QUADS[1:]]])
def test_a_binary_ply_cut_anywhere_is_refused(tmp_path, order, polygons):
    whole = binary_ply(order, CORNERS, polygons)
    for length in range(1, len(whole)):
        (tmp_path / "a.ply").write_bytes(whole[:length])
        with pytest.raises(BadInput) as caught:
            read_geometry(tmp_path / "a.ply")
        assert str(caught.value).startswith(str(tmp_path / "a.ply")) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["glb", "stl", "ply", "pcd"])
def test_other_binary_files_cut_anywhere_are_refused(tmp_path, kind):
    whole = tmp_path / f"a.{kind}"
    if kind == "glb":
        write_glb(whole, [CUBE])
    elif kind == "ply":
        write_ply(whole, PointCloud(CORNERS, COLORS))
    elif kind == "stl":
        corners = b"".join(struct.pack("<12fH", 0, 0, 0, *CORNERS[f].ravel(), 0) for f in FACES)
        whole.write_bytes(b"solid looks like text".ljust(80) + struct.pack("<I", 12) + corners)
    else:
        header = "VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
        header += "WIDTH 8\nHEIGHT 1\nPOINTS 8\nDATA binary\n"
        whole.write_bytes(header.encode() + CORNERS.astype("<f4").tobytes())
    read_geometry(whole)
    data = whole.read_bytes()
    for length in range(0, len(data), 7):
        whole.write_bytes(data[:length])
        with pytest.raises(BadInput, match=str(whole)):
            read_geometry(whole)


@IN_FOLDER
@given(st.integers(0, 2**32 - 1), st.sampled_from(["ply", "glb", "obj", "stl"]))
def test_damaged_bytes_are_read_or_refused_and_nothing_else(tmp_path, seed, kind):
    rng = np.random.default_rng(seed)
    path = tmp_path / f"a.{kind}"
    if kind == "ply":
        path.write_bytes(binary_ply("<", CORNERS, [QUADS[0], (0, 1, 2)]))
    elif kind == "stl":
        path.write_bytes(bytes(80) + struct.pack("<I", 1) + struct.pack("<12fH", *range(12), 0))
    else:
        write_glb(path, [CUBE]) if kind == "glb" else write_obj(path, [CUBE])
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, len(data), 4):
        data[at] = rng.integers(256)
    path.write_bytes(data)
    try:
        geometry = read_geometry(path)
        points = geometry.vertices if isinstance(geometry, Mesh) else geometry.points
        assert np.isfinite(points).all()
    except BadInput as error:
        assert str(path) in str(error)


ASCII = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
property float red
property float green
property float blue
{face}end_header
0 0 0 1 0 0
1 0 nan 0 1 0
1 1 0 0 0 1
0 1 0 0.5 0.5 0.5
"""


def test_points_that_are_not_finite_are_dropped_and_counted(tmp_path):
    (tmp_path / "a.ply").write_text(ASCII.format(face=""))
    cloud = cloud_of(tmp_path / "a.ply")
    assert cloud.dropped == 1 and len(cloud) == 3
    assert cloud.colors is not None and cloud.colors.tolist() == [[255, 0, 0], [0, 0, 255], [128, 128, 128]]
    face = "element face 2\nproperty list uchar int vertex_indices\n"
    (tmp_path / "b.ply").write_text(ASCII.format(face=face) + "3 0 2 3\n3 0 1 2\n")
    mesh = mesh_of(tmp_path / "b.ply")
    assert mesh.dropped == 1
    assert mesh.faces.tolist() == [[0, 1, 2]]
    (tmp_path / "c.obj").write_text("v 0 0 0\nv inf 0 0\nv 0 1 0\n")
    assert cloud_of(tmp_path / "c.obj").dropped == 1


def test_obj_of_many_tools(tmp_path):
    text = """# a tool
mtllib none.mtl
o one
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vn 0 0 1
usemtl skin
s off
f 1/1/1 2/1/1 3//1 4
g two
v 0 0 1
  v 1 0 1
v 0 1 1
f -3 -2 -1
"""
    (tmp_path / "a.OBJ").write_text(text)
    mesh = mesh_of(tmp_path / "a.OBJ")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [4, 5, 6]]
    assert mesh.vertex_colors is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ply", b"", r"is empty \(0 bytes\)"),
        (
            "a.xyz",
            b"0 0 0\n",
            r"files of type '\.xyz' are not read as geometry; give one of \.ply, \.obj, \.pcd",
        ),
        ("scan", b"0 0 0\n", "files without a type"),
        ("a.ply", b"solid nonsense\n", "not a PLY file"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex many\n", r"a\.ply:3: header line not understood"),
        ("a.ply", b"ply\nformat binary 1.0\n", r"a\.ply:2: header line not understood: 'format binary 1.0'"),
        ("a.ply", b"ply\nelement vertex 3\nproperty float x\nend_header\n", "names no format"),
        (
            "a.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n0\n",
            "no vertex y, z",
        ),
        (
            "a.ply",
            b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nend_header\n",
            "holds no points",
        ),
        ("a.ply", b"ply\nformat ascii 1.0\nend_header\n", "holds no points"),
        (
            "a.ply",
            ASCII.format(face="").replace(" 0 0 1\n0", " 0 0\n0").encode(),
            "23 numbers in 4 rows of 6",
        ),
        ("a.ply", ASCII.format(face="").replace("0.5 0.5", "x y").encode(), "vertex rows not understood"),
        ("a.ply", ASCII.format(face="")[:-18].encode(), "ends after 3 of 4 rows of 'vertex'.*truncated"),
        ("a.obj", b"# nothing\n", "holds no points"),
        ("a.obj", b"v 0 0\n", r"a\.obj:1: line not understood: 'v 0 0'"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nf 1 2 9\n", r"uses vertices \[0, 1, 8\] but there are 2"),
        ("a.obj", b"v nan 0 0\nv 0 inf 0\n", "all 2 points are NaN or infinite"),
        ("a.obj", b"v 0 0 0\nf 1 0 1\n", r"a\.obj:2"),
        ("a.obj", bytes(range(256)), "holds no points"),
        ("a.stl", b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n", "truncated"),
        ("a.stl", b"solid a\nendsolid a\n", "holds no points"),
        ("a.stl", b"nonsense", "ends inside its header"),
        ("a.pcd", b"VERSION .7\nFIELDS x y\n", "header is damaged"),
        ("a.pcd", b"FIELDS x y\nSIZE 4 4\nPOINTS 1\nDATA ascii\n0 0\n", "has no field z"),
        ("a.pcd", b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 0\nDATA ascii\n", "holds no points"),
        ("a.glb", b"glTF and then something else", "holds 28 of"),
        ("a.glb", b"PK\x03\x04 a zip file, in truth", "does not begin with 'glTF'"),
        ("a.gltf", b"{}", "not a readable glTF|holds no points"),
    ],
)
def test_broken_files_say_what_and_where(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        read_geometry(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_count_beyond_the_file_allocates_nothing(tmp_path):
    properties = "property float x\nproperty float y\nproperty float z\nend_header\n"
    for form in ("ascii", "binary_little_endian"):
        (tmp_path / "a.ply").write_text(
            f"ply\nformat {form} 1.0\nelement vertex 99999999999999\n{properties}0 0 0\n"
        )
        with pytest.raises(BadInput, match="of 99999999999999 rows"):
            read_geometry(tmp_path / "a.ply")


def test_no_such_file_and_a_folder(tmp_path):
    with pytest.raises(BadInput, match=r"none\.ply: no such file"):
        read_geometry(tmp_path / "none.ply")
    (tmp_path / "folder.ply").mkdir()
    with pytest.raises(BadInput, match="is not a file"):
        read_geometry(tmp_path / "folder.ply")


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    write_ply(tmp_path / "a.ply", CUBE)
    before = (tmp_path / "a.ply").read_bytes()

    def fail(handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    for write in (
        lambda: write_ply(tmp_path / "a.ply", RED),
        lambda: write_obj(tmp_path / "a.obj", [RED]),
        lambda: write_glb(tmp_path / "a.glb", [RED]),
    ):
        with pytest.raises(OSError, match="disk full"):
            write()
    assert [p.name for p in tmp_path.iterdir()] == ["a.ply"]
    assert (tmp_path / "a.ply").read_bytes() == before


def test_scans_of_real_backs_are_read(data):
    scans = sorted(data("spine/ais_backs").glob("patients/*/*.ply"))
    assert scans
    for scan in scans:
        cloud = cloud_of(scan)
        assert len(cloud) > 10_000 and cloud.dropped == 0
        assert 0.2 < np.ptp(cloud.points, axis=0).max() < 1.5  # metres


def test_a_cloud_without_points_can_be_written_and_is_refused_when_read(tmp_path):
    path = tmp_path / "empty.ply"
    write_ply(path, PointCloud(np.empty((0, 3))))
    with pytest.raises(BadInput, match=r"empty\.ply"):
        read_geometry(path)
