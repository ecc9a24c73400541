"""Indices of chains whose geometry is known exactly."""

import numpy as np
import pytest
from known_chains import C7, HEIGHT, S1, T1, T12, chain_along, planar_chain, random_chain, tilts

from spine.anatomy import LEVELS
from spine.chain import SpinePose, forward_kinematics, standing_template
from spine.measure import measure
from suite.geometry.rotations import so3_exp


@pytest.mark.parametrize(("plane", "radius_mm"), [("coronal", 800.0), ("sagittal", 500.0)])
def test_arc_has_its_curvature_and_no_torsion(plane, radius_mm):
    step = np.degrees(HEIGHT / radius_mm)
    indices = measure(planar_chain(-step * (np.arange(25) - 15), plane))
    trunk = [row for row in indices.vertebrae if row.level not in ("C7", "S1")]
    assert [row["curvature_per_m"] for row in trunk] == pytest.approx([1000 / radius_mm] * 17, rel=0.01)
    assert indices.number("curvature_thoracic_max_per_m") == pytest.approx(1000 / radius_mm, rel=0.02)
    assert abs(indices.number("torsion_abs_per_m")) < 1e-6
    if plane == "coronal":
        assert indices.number("cobb_deg") == pytest.approx(16 * step, abs=1e-9)  # T1 to L5
        assert indices.curves[0].side == "right"
        assert indices.number("curve_angle_deg") == pytest.approx(16 * step, abs=0.3)
        assert indices.number("pmc_main_thoracic_deg") == pytest.approx(16 * step, abs=0.01)
        assert indices.number("pmc_main_thoracic_azimuth_deg") == pytest.approx(90, abs=0.1)
    else:
        assert indices.number("kyphosis_t1_t12_deg") == pytest.approx(
            -11 * step, abs=1e-9
        )  # convex to the front
        assert indices.number("cobb_deg") == pytest.approx(0, abs=1e-9)
        assert abs(indices.number("davinci_main_thoracic_azimuth_deg")) == pytest.approx(180, abs=1e-6)


@pytest.mark.parametrize("hand", [1, -1])
def test_helix_has_its_curvature_and_torsion(hand):
    radius, pitch = 25.0, 120.0  # mm, mm per radian
    angle = hand * (24 - np.arange(25)) * HEIGHT / np.hypot(radius, pitch)
    point = np.stack([radius * np.sin(angle), hand * pitch * angle, radius * np.cos(angle)], 1)
    up = hand * np.stack([radius * np.cos(angle), np.full(25, hand * pitch), -radius * np.sin(angle)], 1)
    indices = measure(chain_along(point, up))
    curvature, torsion = 1000 * np.array([radius, pitch]) / (radius**2 + pitch**2)
    inner = indices.vertebrae[5:14]
    assert [row["curvature_per_m"] for row in inner] == pytest.approx([curvature] * 9, rel=0.02)
    assert [row["torsion_per_m"] for row in inner] == pytest.approx([hand * torsion] * 9, rel=0.03)
    assert indices.number("torsion_thoracic_per_m") == pytest.approx(hand * torsion, rel=0.1)
    assert indices.number("torsion_abs_per_m") == pytest.approx(torsion, rel=0.1)


def test_double_curve_is_found_with_its_levels_sides_and_angles():
    T = planar_chain(tilts(T1=0, T4=14, T12=-18, L5=4, S1=4), "coronal")
    indices = measure(T)
    first, second, third = indices.curves
    assert (first.side, first.region, first.upper, first.lower) == ("right", "main thoracic", "T4", "T12")
    assert first.cobb_deg == pytest.approx(32) and indices.number("cobb_deg") == pytest.approx(32)
    assert first.apex in ("T7", "T8")
    assert (second.side, second.region, second.cobb_deg) == ("left", "proximal thoracic", pytest.approx(14))
    assert (third.side, third.upper, third.cobb_deg) == ("left", "T12", pytest.approx(22))
    assert third.region in ("thoracolumbar", "lumbar")
    assert indices.number("cobb_second_deg") == pytest.approx(22)
    assert first.curve_angle_deg == pytest.approx(
        32, rel=0.12
    )  # the smooth line rounds the corners of the tilts
    assert first.pmc_deg == pytest.approx(32, abs=0.01)
    assert "T4–T12" in indices["cobb_deg"].note and "right" in indices["cobb_deg"].note


def test_right_convexity_means_that_the_apex_lies_to_the_right():
    for seed in range(8):
        T = random_chain(seed)
        for curve in measure(T).curves:
            u, a, b = (LEVELS.index(level) for level in (curve.upper, curve.apex, curve.lower))
            if b - u < 3 or curve.cobb_deg < 8:
                continue
            x, y = T[:, 0, 3], T[:, 1, 3]
            on_chord = np.interp(y[a], [y[b], y[u]], [x[b], x[u]])
            assert (x[a] > on_chord) == (curve.side == "right")


def test_pure_axial_rotation_is_nothing_else():
    T = planar_chain(np.zeros(25), "coronal")
    angle = np.linspace(12, -6, 25)
    T[:, :3, :3] = so3_exp(np.radians(angle)[:, None] * [0.0, 1, 0])
    indices = measure(T)
    assert [row["axial_deg"] for row in indices.vertebrae] == pytest.approx(angle[C7:])
    assert indices.number("rotation_main_thoracic_deg") == pytest.approx(
        angle[LEVELS.index("T5") : T12 + 1].mean()
    )
    assert indices.number("rotation_max_deg") == pytest.approx(angle[T1])  # to the right: positive
    assert T[T1, 0, 2] > 0  # the spinous process of T1 does point right
    for key in ("cobb_deg", "lateral_rms_mm", "kyphosis_t1_t12_deg", "torsion_abs_per_m"):
        assert indices[key].value == pytest.approx(0, abs=1e-6)


def test_standing_template_reads_back_its_own_kyphosis_and_lordosis():
    T = forward_kinematics(
        standing_template(kyphosis_deg=47.0, lordosis_deg=62.0, sacral_slope_deg=41.0), SpinePose()
    )
    indices = measure(T)
    assert indices.number("kyphosis_t1_t12_deg") == pytest.approx(47)
    assert indices.number("lordosis_t12_s1_deg") == pytest.approx(62)
    assert indices.number("sacral_slope_deg") == pytest.approx(41)
    assert indices["kyphosis_t1_t12_deg"].in_norm and indices["cobb_deg"].in_norm
    assert indices.number("pmc_main_thoracic_azimuth_deg") == pytest.approx(0, abs=1e-6)
    assert abs(indices.number("pmc_lumbar_azimuth_deg")) == pytest.approx(180, abs=1e-6)
    order = ("inflection_cervicothoracic", "kyphosis_apex", "inflection_thoracolumbar", "lordosis_apex")
    places = [indices.number(f"{key}_level") for key in order]
    assert places == sorted(places)
    assert indices["kyphosis_apex_level"].text.startswith("T") and indices[
        "lordosis_apex_level"
    ].text.startswith("L")


def test_deviation_is_measured_from_the_line_between_landmarks():
    T = planar_chain(np.zeros(25), "coronal")
    T[:, 0, 3] = 7.0
    base, top = np.array([0.0, T[S1, 1, 3], 60]), np.array([10.0, T[T1, 1, 3], 50])
    rows = {row.level: row for row in measure(T, landmarks={"vp_mm": top, "base_mm": base}).vertebrae}
    assert rows["T1"]["lateral_mm"] == pytest.approx(-3) and rows["S1"]["lateral_mm"] == pytest.approx(7)
    assert rows["T1"]["lateral_plumb_mm"] == pytest.approx(0)
    indices = measure(T, landmarks={"vp_mm": top, "base_mm": base})
    assert indices.number("trunk_imbalance_mm") == pytest.approx(10)
    assert indices.number("trunk_inclination_mm") == pytest.approx(10)  # VP is 10 mm before the base
    assert "VP" in indices["lateral_max_mm"].note
    assert measure(T)["lateral_max_mm"].value == pytest.approx(0)  # from C7 - S1
