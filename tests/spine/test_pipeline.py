"""From a simulated scan to a result: what comes out, what is checked, and which file is meant."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from known_landmarks import fitted, in_surface, know_landmarks, simulated

from spine.config import MeasureOptions, SpineConfig
from spine.measure.angles import C7, L5, T1
from spine.pipeline import find_scan, reconstruct
from spine.quality import Check, quality_checks, verdict
from spine.reconstruction import vertebra_intervals
from spine.surface import BackSurface
from spine.synthetic import load_truth
from suite.errors import BadInput
from suite.report.flag import FLAGS


def check(result, key: str, **changes) -> Check:
    """One check of a result with parts of it changed."""
    parts = {
        name: changes.get(name, getattr(result, name)) for name in ("surface", "landmarks", "fit", "indices")
    }
    return next(c for c in quality_checks(**parts) if c.key == key)


def test_a_simulated_spine_is_found():
    result, truth = fitted(), load_truth(simulated())
    true = in_surface(truth, result.surface, truth.T_body_vertebra[:, :3, 3])
    off = result.fit.T_body_vertebra[T1 : L5 + 1, :3, 3] - true[T1 : L5 + 1]
    assert np.sqrt((off[:, 0] ** 2).mean()) < 6.5
    assert np.sqrt((off[:, 2] ** 2).mean()) < 16
    low, high = result.indices["cobb_deg"].interval or (0.0, 0.0)
    assert low < truth.cobb_deg < high
    assert result.fit.converged and result.verdict in ("ok", "warn")
    assert list(result.timings_s) == ["surface", "landmarks", "fit", "measure"]
    assert any("units: m" in note for note in result.notes)


def test_the_same_seed_gives_the_same_intervals_and_more_samples_nearly_the_same(monkeypatch):
    folder = simulated()
    know_landmarks(monkeypatch, folder)
    again = reconstruct(folder / "scan.ply")
    assert again.indices.to_dict() == fitted().indices.to_dict()
    config = SpineConfig(measure=MeasureOptions(samples=2000, seed=5))
    other = reconstruct(folder, config)
    one, two = (np.array(r.indices["cobb_deg"].interval) for r in (again, other))
    assert one.tolist() != two.tolist()
    assert np.abs(one - two).max() < 0.25 * np.ptp(one)
    assert again.indices["cobb_deg"].value == other.indices["cobb_deg"].value


def test_progress_is_told_stage_by_stage(monkeypatch):
    told: list[str] = []

    @contextmanager
    def progress(what: str):
        told.append(f"> {what}")
        yield
        told.append(f"< {what}")

    folder = simulated()
    know_landmarks(monkeypatch, folder)
    reconstruct(folder, progress=progress)
    assert len(told) == 8 and all(a[2:] == b[2:] for a, b in zip(told[::2], told[1::2], strict=True))


def test_intervals_hold_the_fitted_vertebrae_and_wrap():
    result = fitted()
    spread, T = result.intervals, result.fit.T_body_vertebra
    assert (spread.centre_mm[0] <= T[:, :3, 3]).all() and (T[:, :3, 3] <= spread.centre_mm[1]).all()
    width = np.ptp(spread.centre_mm, axis=0)
    assert (width[:, 0] > 1).all() and (width[C7:, 0] < 60).all()
    turned = np.diag([-1.0, 1.0, -1.0, 1.0])  # facing the other way: azimuths near 180 deg
    around = vertebra_intervals(turned @ T, turned @ result.samples)
    assert np.allclose(np.ptp(around.axial_deg, axis=0), np.ptp(spread.axial_deg, axis=0))


def test_a_good_scan_raises_no_flag_that_a_better_one_would_not():
    checks = fitted().flags
    told = {c.key for c in checks if c.flag in ("warn", "bad")}
    assert told <= {"width", "agreement", "posture"}  # of the person, not of the scan
    assert verdict(checks) == max((c.flag for c in checks), key=FLAGS.index)
    assert all(c.text.endswith(".") for c in checks)


@pytest.mark.parametrize(
    ("key", "changes", "flag"),
    [
        ("noise", {"noise_mm": 1.0}, "ok"),
        ("noise", {"noise_mm": 3.4}, "warn"),
        ("noise", {"noise_mm": 7.0}, "bad"),
        ("noise", {"noise_mm": float("nan")}, "warn"),
        ("coverage", {"coverage": 0.95}, "ok"),
        ("coverage", {"coverage": 0.8}, "warn"),
        ("coverage", {"coverage": 0.5}, "bad"),
        ("gravity", {"gravity_known": True}, "ok"),
        ("gravity", {"gravity_known": False}, "info"),
        ("surface", {"flags": ("narrow: one side may be missing",)}, "warn"),
    ],
)
def test_what_spoils_a_surface_is_flagged(key, changes, flag):
    assert check(fitted(), key, surface=replace(fitted().surface, **changes)).flag == flag


@pytest.mark.parametrize(
    ("key", "changes", "flag"),
    [
        ("landmarks", {"vp_sigma_mm": 9.0}, "warn"),
        ("landmarks", {"base_sigma_mm": 30.0}, "bad"),
        ("line", {"confidence": {"line": 0.3}}, "warn"),
        ("line", {"confidence": {"line": 0.1}}, "bad"),
        ("line", {"confidence": {"line": 0.1}, "source": "edited"}, "bad"),
        ("line", {"confidence": {"line": 0.1}, "line_drawn": True}, "ok"),
        ("landmark", {"flags": ("line: the members disagree by 9 mm at T8",)}, "warn"),
    ],
)
def test_doubtful_landmarks_are_flagged(key, changes, flag):
    assert check(fitted(), key, landmarks=replace(fitted().landmarks, **changes)).flag == flag


def test_a_fit_that_failed_or_disagrees_is_flagged():
    fit = fitted().fit
    assert check(fitted(), "convergence", fit=replace(fit, converged=False)).flag == "bad"
    odd = tuple(
        replace(t, residuals=3 * np.ones_like(t.residuals)) if t.name == "rotation" else t
        for t in fit.cost_terms
    )
    disagreeing = check(fitted(), "agreement", fit=replace(fit, cost_terms=odd))
    assert disagreeing.flag == "bad" and "surface rotation (3.0 sigma)" in disagreeing.text
    unseen = check(fitted(), "levels", fit=replace(fit, line_levels=fit.line_levels[3:]))
    assert unseen.flag == "warn" and "C7, T1 and T2" in unseen.text


def test_levels_seen_on_one_side_only_are_named():
    surface = fitted().surface
    points = surface.points_mm
    y = fitted().fit.T_body_vertebra[:, 1, 3]
    gone = (
        (points[:, 0] > 15) & (points[:, 1] > y[17] - 8) & (points[:, 1] < y[15] + 8)
    )  # right of T9 ... T11
    found = check(fitted(), "sides", surface=_with_points(surface, points[~gone]))
    assert found.flag == "warn" and "T9" in found.text and "T11" in found.text and "L1" not in found.text


def test_a_leaning_person_is_flagged(monkeypatch):
    lean = np.radians(14)
    c, s = np.cos(lean), np.sin(lean)
    T = np.array([[1, 0, 0, 0], [0, c, s, 0], [0, -s, c, 0], [0, 0, 0, 1.0]])  # forward
    truth = load_truth(simulated())
    vp = truth.vp_mm @ T[:3, :3].T
    indices = dict(fitted().indices)
    leaning = float(np.degrees(np.arctan2(-vp[2], vp[1])))
    indices["trunk_inclination_deg"] = replace(indices["trunk_inclination_deg"], value=leaning)
    posture = check(fitted(), "posture", indices=replace(fitted().indices, entries=indices))
    assert posture.flag in ("warn", "bad") and "forward" in posture.text


def test_the_scan_that_is_meant(tmp_path):
    (tmp_path / "a.ply").touch()
    (tmp_path / "truth.json").touch()
    assert find_scan(tmp_path) == tmp_path / "a.ply"
    assert find_scan(tmp_path / "a.ply") == tmp_path / "a.ply"
    (tmp_path / "b.obj").touch()
    with pytest.raises(BadInput, match="2 scans"):
        find_scan(tmp_path)
    (tmp_path / "recording.json").touch()
    assert find_scan(tmp_path) == tmp_path
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match="no scan"):
        find_scan(empty)


def _with_points(surface: BackSurface, points: np.ndarray) -> BackSurface:
    return replace(surface, points_mm=points, colors=None)


def test_a_poor_scan_gives_a_result_with_its_flag_and_wider_intervals(tmp_path):
    """Landmarks found automatically, on a good scan and on one with 5 mm of noise and few points."""
    from spine.landmark_model import load_landmark_model
    from spine.synthetic import save_subject, scan_points, simulate_subject

    try:
        load_landmark_model("simulated")
    except BadInput as error:
        pytest.skip(f"no landmark model: {error}")
    subject = simulate_subject(0)
    results = []
    for name, noise_mm, n in (("good", 0.5, 50_000), ("poor", 5.0, 9_000)):
        scan = scan_points(subject, noise_mm=noise_mm, rng=np.random.default_rng(1), n_points=n)
        save_subject(subject, tmp_path / name, scan)
        results.append(reconstruct(tmp_path / name))
    good, poor = results
    assert next(c for c in good.flags if c.key == "noise").flag == "ok"
    assert next(c for c in poor.flags if c.key == "noise").flag in ("warn", "bad")
    width = [np.ptp(r.intervals.centre_mm[:, C7 : L5 + 1, 0], axis=0).mean() for r in results]
    assert width[1] > 1.02 * width[0]
    (tmp_path / "good" / "truth.json").unlink()
    assert reconstruct(tmp_path / "good").indices.to_dict() == good.indices.to_dict()
