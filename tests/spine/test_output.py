"""The files of a run: complete, readable without this project, and never half-written."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from known_landmarks import fitted

from spine.anatomy import LEVELS
from spine.output import result_dict, spine_meshes, write_result
from spine.skin_mesh import skin_mesh, triangles
from suite.geometry.mesh import Mesh
from suite.geometry.mesh_io import read_geometry
from suite.run import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    with Run.create(folder) as run:
        write_result(run, fitted(), 5000)
    return folder


def test_result_json_holds_every_vertebra_with_intervals(folder):
    data = json.loads((folder / "result.json").read_text())
    assert (data["format"], data["version"]) == ("spine-result", 1)
    assert [v["level"] for v in data["vertebrae"]] == list(LEVELS)
    T = np.array([v["T_body_vertebra"] for v in data["vertebrae"]])
    assert np.allclose(T, fitted().fit.T_body_vertebra)
    for row in data["vertebrae"]:
        for key in ("x_mm", "y_mm", "z_mm", "coronal_deg", "sagittal_deg", "axial_deg"):
            low, high = row[key]["interval"]
            assert low <= row[key]["value"] <= high
        assert row["x_mm"]["value"] == row["T_body_vertebra"][0][3]
    assert {v["level"] for v in data["vertebrae"] if v["seen"]} == set(fitted().fit.line_levels)


def test_result_json_says_how_it_came_about(folder):
    data = json.loads((folder / "result.json").read_text())
    assert list(data["indices"]) == list(fitted().indices)
    assert data["fit"]["converged"] is True
    assert {t["name"] for t in data["fit"]["terms"]} >= {"line", "depth", "rotation", "heights", "levels"}
    assert data["quality"]["verdict"] == fitted().verdict
    assert len(data["quality"]["checks"]) == len(fitted().flags)
    assert data["landmarks"]["vp_mm"] == fitted().landmarks.vp_mm.tolist()
    T, scan = np.array(data["frame"]["T_body_input"]), data["frame"]["mm_per_unit"]
    assert T.shape == (4, 4) and scan == 1000
    assert "not a medical device" in data["about"]["use"]


def test_what_was_not_measured_is_null_not_nan():
    from spine.output import _finite

    text = json.dumps(
        _finite({"a": float("nan"), "b": [1.0, float("inf")], "c": ("x", None)}), allow_nan=False
    )
    assert json.loads(text) == {"a": None, "b": [1.0, None], "c": ["x", None]}
    json.dumps(_finite(result_dict(fitted())), allow_nan=False)


def test_tables_have_a_row_for_everything(folder):
    with (folder / "indices.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["key"] for row in rows] == list(fitted().indices)
    with (folder / "vertebrae.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["level"] for row in rows] == list(LEVELS[6:])


def test_models_are_in_metres_and_named(folder):
    import trimesh

    scene = trimesh.load_scene(folder / "spine.glb")
    assert sorted(scene.geometry) == sorted(LEVELS)
    skin, spine = read_geometry(folder / "skin.glb"), read_geometry(folder / "spine.glb")
    assert isinstance(skin, Mesh) and isinstance(spine, Mesh)
    height = np.ptp(skin.vertices[:, 1])
    assert 0.4 < height < 0.8
    assert 0.5 < np.ptp(spine.vertices[:, 1]) < 0.9
    assert len(skin.vertices) <= 5000


def test_every_bone_lies_about_its_frame():
    meshes = spine_meshes(fitted())
    for mesh, T in zip(meshes, fitted().fit.T_body_vertebra, strict=True):
        local = (mesh.vertices - T[:3, 3]) @ T[:3, :3]
        assert abs(local[:, 0].mean()) < 1.0  # mirror-symmetric in its own frame
        assert np.abs(local).max() < 130
    assert [mesh.name for mesh in meshes] == list(LEVELS)


def test_the_skin_is_where_the_points_are():
    mesh = skin_mesh(fitted().surface, 8000)
    assert len(mesh.vertices) <= 8000
    on_map = fitted().surface.height().sample(mesh.vertices[:, 0], mesh.vertices[:, 1])
    assert np.median(np.abs(on_map - mesh.vertices[:, 2])) < 1.0
    assert (mesh.face_normals()[:, 2] > 0).all()
    height = fitted().surface.height(6.0)
    assert len(triangles(height).vertices) <= height.observed.sum()


def test_metrics_and_artefacts_are_in_the_run(folder):
    run = Run.open(folder)
    assert run.status == "finished"
    names = {path.name for path in run.artefacts}
    assert names == {"result.json", "indices.csv", "vertebrae.csv", "landmarks.json", "spine.glb", "skin.glb"}
    values = {metric.key: metric for metric in run.metrics}
    assert values["cobb_deg"].value == pytest.approx(fitted().indices["cobb_deg"].value)
    assert values["cobb_deg"].better is None


def test_a_failure_half_way_leaves_whole_files_only(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("suite.geometry.glb.atomic_write", full)
    with pytest.raises(OSError, match="No space"), Run.create(tmp_path / "run") as run:
        write_result(run, fitted(), 5000)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert not any(name.endswith(".part") for name in left) and "spine.glb" not in left
    json.loads((tmp_path / "run" / "result.json").read_text())
    assert Run.open(tmp_path / "run").status == "failed"
