"""The commands as a person types them: results, and one clear line for everything that cannot be used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import analytic_back
import numpy as np
import pytest
from known_landmarks import fitted, know_landmarks, simulated

from spine.landmarks_file import write_landmarks
from suite.geometry.camera import PinholeCamera
from suite.geometry.mesh import Mesh, PointCloud
from suite.geometry.mesh_io import read_geometry, write_ply
from suite.run import Run

HEAVY = ("numpy", "scipy", "open3d", "trimesh", "matplotlib", "plotly", "torch", "pydantic")


@pytest.fixture
def spine(monkeypatch, capsys, tmp_path):
    """Run `spine ...` in this process, in an empty folder: exit code, stdout, lines of stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rich.console.Console.width", 120, raising=False)

    def run(*words: object) -> tuple[int, str, list[str]]:
        from spine.cli import main

        monkeypatch.setattr(sys, "argv", ["spine", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, [line for line in err.splitlines() if line.strip()]

    return run


def errors(lines: list[str]) -> list[str]:
    """What stderr says beside progress."""
    return [line for line in lines if not line.endswith("...") and ": done in" not in line]


def ply(path: Path, points: np.ndarray) -> Path:
    write_ply(path, PointCloud(np.asarray(points, float)))
    return path


@pytest.mark.parametrize("words", [[], ["fit"], ["annotate"], ["simulate"], ["compare"], ["template"]])
def test_help_needs_nothing_heavy(words):
    code = (
        "import sys; from spine.cli import main; sys.argv = ['spine', *sys.argv[1:], '--help']\n"
        f"try: main()\nfinally: print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]" and "Usage: spine" in done.stdout


def test_schema_has_a_sentence_for_every_setting(spine):
    code, out, _ = spine("fit", "anything", "--schema")
    schema = json.loads(out)
    assert code == 0 and set(schema["properties"]) >= {"surface", "landmarks", "fit", "measure", "report"}
    sections = [schema, *schema["$defs"].values()]
    fields = [field for s in sections for field in s.get("properties", {}).items() if field[0] != "_base_"]
    assert len(fields) > 40 and [name for name, field in fields if "description" not in field] == []


def test_fit_writes_a_run_and_says_where(spine, monkeypatch, tmp_path):
    folder = simulated()
    know_landmarks(monkeypatch, folder)
    code, out, _ = spine("fit", folder, "--units", "m", "report.scene=false", "measure.samples=100")
    assert code == 0
    run = Run.open(tmp_path / "runs" / folder.name)
    assert run.status == "finished"
    names = " ".join(sorted(path.name for path in run.artefacts))
    assert names == "indices.csv landmarks.json report.html result.json skin.glb spine.glb vertebrae.csv"
    assert "Cobb angle, primary curve" in out and "report.html" in out.splitlines()[-1]
    assert [Path(i["path"]).name for i in run.inputs] == ["scan.ply"]  # not truth.json, which lies beside it
    config = (run.folder / "config.yaml").read_text()
    assert "samples: 100  # override" in config and "units: m  # --units" in config


def test_simulate_writes_people_that_can_be_read_back(spine, tmp_path):
    from spine.synthetic import load_truth

    code, out, _ = spine(
        "simulate", "--seed", 5, "--count", 2, "--out", "people", "--noise-mm", 0.5, "cobb_max_deg=20"
    )
    assert code == 0 and len(out.strip().splitlines()) == 2
    truths = [load_truth(tmp_path / "people" / f"subject-{seed}") for seed in (5, 6)]
    assert all(t.noise_mm == 0.5 and t.cobb_deg < 30 for t in truths)
    code, _, said = spine("simulate", "--seed", 5, "--out", "people/subject-5")
    assert code == 2 and "exists already" in said[-1]


def test_template_is_posed_and_exported(spine, tmp_path):
    code, _, _ = spine("template", "--out", "a.json", "--trunk-mm", 400)
    straight = json.loads((tmp_path / "a.json").read_text())
    assert code == 0 and straight["trunk_mm"] == pytest.approx(400)
    spine("template", "--out", "b.json", "--trunk-mm", 400, "--set", "L3.lateral=10", "--set", "l3.flexion=4")
    bent = json.loads((tmp_path / "b.json").read_text())
    joint = np.degrees(bent["pose"]["joint_rotation_rad"])
    assert joint[bent["levels"].index("L3")].tolist() == pytest.approx([-4, 0, 10])
    assert np.abs(joint).sum() == pytest.approx(14)
    a, b = (np.array(t["T_body_vertebra"])[:, :3, 3] for t in (straight, bent))
    assert np.allclose(a[22:], b[22:]) and b[0, 0] < a[0, 0] - 20  # what lies above L4 went to the left
    code, _, _ = spine("template", "--out", "a.glb", "--stature-mm", 1700)
    assert code == 0 and (tmp_path / "a.glb").stat().st_size > 100_000


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--set", "L9.lateral=3"], "no level L9"),
        (["--set", "L3.latral=3"], "did you mean lateral?"),
        (["--set", "L3.lateral"], "is not LEVEL.ANGLE=DEGREES"),
        (["--set", "L3.lateral=x"], "'x' is not a number"),
        (["--set", "L3.lateral=nan"], "outside -90 ... 90"),
        (["--out", "t.txt"], "neither .glb nor .json"),
        (["--trunk-mm", "4"], "outside 150.0 ... 800.0"),
        (["--trunk-mm", "400", "--stature-mm", "1700"], "not both"),
    ],
)
def test_a_template_that_cannot_be_made(spine, tmp_path, words, line):
    code, _, said = spine("template", *words)
    assert code == 2 and line in " ".join(said) and list(tmp_path.iterdir()) == []


def test_compare_two_fits(spine, monkeypatch, tmp_path):
    folder = simulated()
    know_landmarks(monkeypatch, folder)
    spine("fit", folder, "--out", "first", "report.scene=false", "measure.samples=60")
    shutil.copytree("first", "second")
    code, out, _ = spine("compare", "first", "second")
    assert code == 0 and "first" in out and (tmp_path / "runs" / "comparison" / "report.html").exists()
    code, _, said = spine("compare", "first")
    assert code == 2 and len(said) == 1 and "2 to 6" in said[0].replace("two to", "2 to")


@pytest.fixture(scope="module")
def landmarks_file(tmp_path_factory) -> Path:
    """What a fit writes for a person to edit."""
    path = tmp_path_factory.mktemp("landmarks") / "landmarks.json"
    write_landmarks(path, fitted().landmarks, fitted().surface)
    return path


def test_landmarks_that_were_written_can_be_edited_and_passed_back(spine, tmp_path, landmarks_file):
    edited = json.loads(landmarks_file.read_text())
    edited["vp"][1] -= 0.02  # the scanner's y points down, in m: VP goes up by 20 mm
    (tmp_path / "edited.json").write_text(json.dumps(edited))
    scan = simulated() / "scan.ply"
    code, _, _ = spine("fit", scan, "--landmarks", "edited.json", "--out", "run", "report.scene=false")
    assert code == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["landmarks"]["source"] == "edited"
    before = fitted().fit.observations
    assert result["fit"]["trunk_mm"] - before.trunk_mm == pytest.approx(20, abs=2)
    line = result["landmarks"]["line"]
    assert np.interp(200, line["y_mm"], line["x_mm"]) == pytest.approx(
        np.interp(200, before.line.y_mm, before.line.x_mm), abs=1.5
    )
    assert result["indices"]["cobb_deg"]["value"] == pytest.approx(fitted().indices.number("cobb_deg"), abs=6)
    assert {Path(i["path"]).name for i in Run.open(tmp_path / "run").inputs} == {"scan.ply", "edited.json"}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"vp": [5.0, 0.0, 0.0]}, "outside the surface"),
        ({"vp": None}, "vp is missing"),
        ({"vp": [0.0, 1.0]}, "vp must be [x, y, z]"),
        ({"unit": "mm"}, "outside the surface"),
        ({"vertebra_prominens": [0.0, 0.0, 1.0]}, "unknown key"),
    ],
)
def test_landmarks_that_cannot_be_used(spine, tmp_path, landmarks_file, change, line):
    edited = json.loads(landmarks_file.read_text()) | change
    (tmp_path / "edited.json").write_text(json.dumps(edited))
    code, out, said = spine("fit", simulated() / "scan.ply", "--landmarks", "edited.json")
    told = errors(said)
    assert code == 2 and out == "" and len(told) == 1 and line in told[0] and "edited.json" in told[0]
    assert [path.name for path in tmp_path.iterdir()] == ["edited.json"]


def test_vp_and_base_exchanged_are_refused(spine, tmp_path, landmarks_file):
    edited = json.loads(landmarks_file.read_text())
    edited["vp"], edited["base"] = edited["base"], edited["vp"]
    (tmp_path / "edited.json").write_text(json.dumps(edited))
    code, _, said = spine("fit", simulated() / "scan.ply", "--landmarks", "edited.json")
    assert code == 2 and len(errors(said)) == 1


def sphere(n: int = 20_000) -> np.ndarray:
    v = np.random.default_rng(0).standard_normal((n, 3))
    return 0.25 * v / np.linalg.norm(v, axis=1, keepdims=True) + [0, 0, 1]


def plane(n: int = 20_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.column_stack([rng.uniform(-0.25, 0.25, (n, 2)), 1 + 0.0005 * rng.standard_normal(n)])


def back(n: int = 20_000) -> np.ndarray:
    return analytic_back.in_camera(analytic_back.scan(n=n))


def depth_image(path: Path) -> Path:
    np.save(path, np.full((40, 30), 0.9))
    return path


def half_back() -> np.ndarray:
    points = read_geometry(simulated() / "scan.ply").points  # type: ignore[union-attr]
    return points[points[:, 0] > np.median(points[:, 0]) + 0.02]


def empty_cloud(path: Path) -> Path:
    columns = "".join(f"property float {axis}\n" for axis in "xyz")
    path.write_text(f"ply\nformat ascii 1.0\nelement vertex 0\n{columns}end_header\n")
    return path


def nothing_but_nan(path: Path) -> Path:
    columns = "".join(f"property float {axis}\n" for axis in "xyz")
    head = f"ply\nformat ascii 1.0\nelement vertex 3000\n{columns}end_header\n"
    path.write_text(head + "nan nan nan\n" * 3000)
    return path


def truncated(path: Path) -> Path:
    ply(path, back())
    path.write_bytes(path.read_bytes()[:100_000])
    return path


BAD = {
    "no such file": (lambda d: d / "none.ply", "no such file"),
    "empty file": (lambda d: (d / "a.ply").write_bytes(b"") or d / "a.ply", "is empty (0 bytes)"),
    "empty cloud": (lambda d: empty_cloud(d / "a.ply"), "holds no"),
    "tiny cloud": (lambda d: ply(d / "a.ply", back()[:100]), "100 points are too few"),
    "front": (lambda d: ply(d / "a.ply", analytic_back.in_camera(analytic_back.scan("front"))), "front"),
    "sphere": (lambda d: ply(d / "a.ply", sphere()), "back"),
    "plane": (lambda d: ply(d / "a.ply", plane()), "no back found"),
    "400 km person": (lambda d: ply(d / "a.ply", back() * 8e5), "no person"),
    "0.4 mm person": (lambda d: ply(d / "a.ply", back() / 1200), "no person"),
    "only NaN": (lambda d: nothing_but_nan(d / "a.ply"), "finite"),
    "depth without intrinsics": (lambda d: depth_image(d / "a.npy"), "intrinsics"),
    "half a back": (lambda d: ply(d / "a.ply", half_back()), "half of the back is missing"),
    "truncated": (lambda d: truncated(d / "a.ply"), "truncated"),
    "unknown kind": (lambda d: (d / "a.txt").write_text("x") and d / "a.txt", "not read as geometry"),
    "folder without scan": (lambda d: (d / "f").mkdir() or d / "f", "no scan"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_said_in_one_line_and_leaves_nothing(spine, tmp_path, name):
    make, line = BAD[name]
    scan = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, out, said = spine("fit", scan)
    told = errors(said)
    assert code == 2 and out == ""
    assert len(told) == 1 and line in told[0] and scan.stem in told[0], told
    assert "; " in told[0] or name in ("no such file",), told  # what to do
    assert sorted(tmp_path.rglob("*")) == before


def test_stated_units_that_cannot_be_true_are_refused(spine, tmp_path):
    code, _, said = spine("fit", ply(tmp_path / "a.ply", back()), "--units", "mm")
    assert code == 2 and "no person; the file looks to be in m: pass --units m" in said[-1]
    code, _, said = spine("fit", ply(tmp_path / "b.ply", back() * 1000), "--units", "m")
    assert code == 2 and "extent 4" in said[-1] and "m: no person" in said[-1].replace(" (read in m)", "")


def test_nan_points_in_a_good_scan_are_left_out_and_said(tmp_path):
    from spine.surface import load_surface

    points = back()
    points[::50] = np.nan
    columns = "".join(f"property float {axis}\n" for axis in "xyz")
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{columns}end_header\n"
    path = tmp_path / "a.ply"
    path.write_bytes(head.encode() + points.astype("<f4").tobytes())
    assert any("not finite" in note for note in load_surface(path).notes)


def test_intrinsics_that_do_not_fit_are_refused(spine, tmp_path):
    image = depth_image(tmp_path / "a.npy")
    camera = tmp_path / "camera.json"
    camera.write_text(json.dumps(PinholeCamera(640, 480, 500.0, 500.0, 320.0, 240.0).to_json()))
    code, _, said = spine("fit", image, "--intrinsics", camera)
    assert code == 2 and "30 x 40 px" in said[-1] and not (tmp_path / "runs").exists()
    code, _, said = spine("fit", image, "--intrinsics", tmp_path / "none.json")
    assert code == 2 and "none.json: no such file" in said[-1]


def test_unknown_settings_are_all_named_with_what_was_meant(spine, tmp_path):
    scan = ply(tmp_path / "a.ply", back())
    code, _, said = spine(
        "fit", scan, "fit.wieghts.line_edited_mm=2", "measure.sample=100", "surface.units=feet"
    )
    assert code == 2 and len(said) == 3
    assert "weights" in said[0] and "samples" in said[1] and "feet" in said[2]
    config = tmp_path / "c.yaml"
    config.write_text("measure:\n  smaples: 100\n")
    code, _, said = spine("fit", scan, "--config", config)
    assert code == 2 and "c.yaml:2:3" in said[0] and "samples" in said[0]
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(spine, tmp_path):
    scan = ply(tmp_path / "a.ply", back())
    (tmp_path / "file").write_text("in the way")
    code, _, said = spine("fit", scan, "--out", tmp_path / "file" / "run")
    assert (
        code == 2 and len(said) == 1 and "cannot be used (Not a directory)" in said[0] and "--out" in said[0]
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    code, _, said = spine("fit", scan, "--out", tmp_path / "full")
    assert code == 2 and "not empty" in said[0]


def test_a_mesh_is_read_like_a_cloud(tmp_path):
    from spine.surface import load_surface
    from spine.synthetic import simulate_subject

    skin = simulate_subject(0).mesh()
    path = tmp_path / "skin.ply"
    write_ply(path, Mesh(skin.vertices / 1000, skin.faces))
    assert load_surface(path, up="+y", facing="+z").gravity_known
