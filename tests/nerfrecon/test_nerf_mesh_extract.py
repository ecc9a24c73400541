"""From a run's folder to mesh.ply in the scene's frame, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ball_views import DENSITY, SAMPLING, SDF, backend_of, write_ball_scene

from nerfrecon.checkpoint import AnyField, Checkpoint, write_checkpoint
from nerfrecon.config import NerfreconConfig
from nerfrecon.mesh.extract import extract_mesh
from nerfrecon.mesh.options import MeshOptions
from suite.config import dump
from suite.errors import BadInput
from suite.geometry.mesh import Mesh
from suite.geometry.mesh_io import read_geometry

COARSE = MeshOptions(coarse_cells=32, finer=2, faces=1500, depth_px=48)


def untrained(tmp_path: Path, field: AnyField) -> Path:
    """The run of a field as it begins: a signed distance is nearly a ball."""
    folder = tmp_path / "run"
    folder.mkdir()
    box = ((-0.25, -0.25, -0.25), (1.25, 1.25, 1.25))
    config = NerfreconConfig(
        scene=write_ball_scene(tmp_path / "scene"),
        box=box,
        field=field,
        sampling=SAMPLING.model_copy(update={"carve": False}),
    )
    (folder / "config.yaml").write_text(dump(config))
    state = backend_of(field).state()
    checkpoint = Checkpoint(field, config.sampling, state, np.eye(4), {})
    write_checkpoint(folder / "field.safetensors", checkpoint.finished())
    return folder


def test_a_run_becomes_a_closed_mesh_in_the_scenes_frame(tmp_path: Path) -> None:
    run = untrained(tmp_path, SDF)
    path = extract_mesh(run, tmp_path / "mesh", COARSE)
    mesh, notes = read_geometry(path), json.loads((tmp_path / "mesh" / "mesh.json").read_text())
    assert isinstance(mesh, Mesh)
    assert mesh.is_watertight()
    assert notes["watertight"] is True
    assert notes["faces"] == len(mesh.faces) <= 1500
    # Radius .25 of a cube of side 1.5, about its middle.
    np.testing.assert_allclose((mesh.vertices.min(0) + mesh.vertices.max(0)) / 2, 0.5, atol=0.05)
    assert np.linalg.norm(mesh.vertices - 0.5, axis=1).mean() == pytest.approx(0.375, abs=0.02)
    assert notes["volume"] == pytest.approx(4 / 3 * np.pi * 0.375**3, rel=0.1)
    np.testing.assert_allclose(notes["box"], [mesh.vertices.min(0), mesh.vertices.max(0)], atol=1e-5)
    with pytest.raises(BadInput, match="exists already"):
        extract_mesh(run, tmp_path / "mesh", COARSE)


def test_fused_depth_of_the_same_field_is_the_same_ball(tmp_path: Path) -> None:
    run = untrained(tmp_path, SDF)
    path = extract_mesh(run, tmp_path / "mesh", COARSE.model_copy(update={"source": "depth"}))
    mesh = read_geometry(path)
    assert isinstance(mesh, Mesh)
    assert mesh.is_watertight()
    radii = np.linalg.norm(mesh.vertices - 0.5, axis=1)
    sides = np.abs(mesh.vertices[:, 2] - 0.5) < 0.15  # what a ring of cameras sees
    assert np.median(radii[sides]) == pytest.approx(0.375, abs=0.06)  # an untrained surface is a fog


def test_a_density_that_is_clear_everywhere_has_no_mesh(tmp_path: Path) -> None:
    run = untrained(tmp_path, DENSITY)
    with pytest.raises(BadInput, match="no surface") as raised:
        extract_mesh(run, tmp_path / "mesh", COARSE.model_copy(update={"source": "level_set"}))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "mesh").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no config\.yaml here"):
        extract_mesh(tmp_path, tmp_path / "mesh")
