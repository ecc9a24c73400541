"""Indices of chains whose geometry is known exactly, and the laws that hold for any chain."""

import csv
import io
import json
import time

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from spine.anatomy import LEVELS
from spine.chain import SpinePose, forward_kinematics, forward_kinematics_of_vectors, standing_template
from spine.measure import (
    VERTEBRA_COLUMNS,
    CobbCalibration,
    Index,
    Indices,
    cobb_from_tilts,
    curve_cobb_deg,
    load_cobb_calibration,
    measure,
    measure_with_intervals,
)
from spine.measure.angles import level_name
from spine.measure.coronal import tilt_curves
from spine.measure.definitions import DEFINITIONS
from spine.measure.normality import mahalanobis, shape_coefficients
from spine.measure.scalars import chain_scalars, identify
from spine.shape import CtSpine, load_shape_modes, normalised_curve
from suite.errors import BadInput
from suite.geometry.rotations import so3_exp

C7, T1, T12, L1, L5, S1 = (LEVELS.index(level) for level in ("C7", "T1", "T12", "L1", "L5", "S1"))
HEIGHT = 25.0  # mm between levels of the chains made here


def chain_along(points: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Frames at points (25, 3) with y along `up` (25, 3) and x horizontal-most."""
    y = up / np.linalg.norm(up, axis=1, keepdims=True)
    x = np.cross(y, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    T = np.tile(np.eye(4), (25, 1, 1))
    T[:, :3, :3] = np.stack([x, y, np.cross(x, y)], axis=-1)
    T[:, :3, 3] = points
    return T


def planar_chain(tilt_deg: np.ndarray, plane: str) -> np.ndarray:
    """A chain of given tilts per level, integrated along a fine line, seen from behind or the side."""
    fine = np.linspace(0, 24, 2401)
    angle = np.radians(np.interp(fine, np.arange(25), tilt_deg))
    aside, up = (-np.sin(angle) if plane == "coronal" else np.sin(angle)), np.cos(angle)

    def integrated(slope: np.ndarray) -> np.ndarray:
        steps = np.append(0, np.cumsum((slope[1:] + slope[:-1]) / 2)) * HEIGHT / 100
        return (steps[-1] - steps)[::100]  # upwards from S1

    a, b, zero = integrated(aside), integrated(up), np.zeros(25)
    one = [aside[::100], up[::100], zero]
    points, axes = ([a, b, zero], one) if plane == "coronal" else ([zero, b, a], [zero, one[1], one[0]])
    return chain_along(np.stack(points, 1), np.stack(axes, 1))


def tilts(**at_level: float) -> np.ndarray:
    """Tilts per level, linear between the levels named."""
    levels = [LEVELS.index(name) for name in at_level]
    return np.interp(np.arange(25), levels, list(at_level.values()))


def random_pose(seed: int, spread_deg: float = 1.6) -> np.ndarray:
    """A smooth pose vector: neighbouring joints bend alike."""
    rng = np.random.default_rng(seed)
    joint = rng.normal(0, 1, (28, 3))
    joint = sum(joint[k : k + 24] for k in range(5)) / np.sqrt(5)
    return np.concatenate(
        [rng.normal(0, 0.05, 3), rng.normal(0, 20, 3), [0.05], np.radians(spread_deg) * joint.ravel()]
    )


def random_chain(seed: int) -> np.ndarray:
    return forward_kinematics_of_vectors(standing_template(), random_pose(seed))


def posterior(seed: int, m: int = 200) -> tuple[np.ndarray, np.ndarray]:
    vector = random_pose(seed)
    noise = np.stack([random_pose(1000 * seed + k, 0.8) for k in range(m)])
    noise[:, :7] *= 0.1
    return (
        forward_kinematics_of_vectors(standing_template(), vector),
        forward_kinematics_of_vectors(standing_template(), vector + noise),
    )


def turned(T: np.ndarray, rotation_deg: tuple[float, float, float]) -> np.ndarray:
    """The whole chain turned about the body's axes."""
    rigid = np.eye(4)
    rigid[:3, :3] = so3_exp(np.radians(rotation_deg))
    return rigid @ T


def bounds(indices: Indices, key: str) -> tuple[float, float]:
    interval = indices[key].interval
    assert interval is not None
    return interval


def mirrored(T: np.ndarray) -> np.ndarray:
    flip = np.diag([-1.0, 1, 1, 1])
    return flip @ T @ flip


# --- geometry known exactly


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


# --- laws

ODD = {
    *(
        "apical_translation_mm",
        "lateral_max_mm",
        "coronal_balance_mm",
        "rotation_apical_deg",
        "rotation_max_deg",
    ),
    *("rotation_apical_to_pelvis_deg", "torsion_thoracic_per_m", "torsion_lumbar_per_m"),
    *(f"rotation_{region}_deg" for region in ("proximal_thoracic", "main_thoracic", "lumbar")),
}
SEEN = measure(random_chain(0), shape_space=load_shape_modes())
OF_CHAIN = [d for d in DEFINITIONS if SEEN[d.key].value is not None]


@pytest.mark.parametrize("seed", range(6))
def test_a_mirrored_spine_swaps_sides_and_keeps_sizes(seed):
    T, modes = random_chain(seed), load_shape_modes()
    one, other = measure(T, shape_space=modes), measure(mirrored(T), shape_space=modes)
    for d in OF_CHAIN:
        a, b = one[d.key].value, other[d.key].value
        if a is None or b is None:
            assert a is b
        elif d.circular:
            assert abs((a + b + 180) % 360 - 180) < 1e-4
        else:
            assert b == pytest.approx(-a if d.key in ODD else a, abs=1e-5), d.key
    swap = {"right": "left", "left": "right"}
    assert [swap[c.side] for c in one.curves] == [c.side for c in other.curves]
    assert [(c.upper, c.apex, c.lower) for c in one.curves] == [
        (c.upper, c.apex, c.lower) for c in other.curves
    ]


@pytest.mark.parametrize("seed", range(4))
def test_facing_another_way_changes_no_shape(seed):
    T = random_chain(seed)
    identity = identify(T, None, None)
    other = turned(T, (0, 17, 0))
    before, after = (chain_scalars(chain[None], identity) for chain in (T, other))
    same = [key for key in before if key.startswith(("davinci", "pmc", "curvature", "torsion"))]
    same.append("rotation_apical_to_pelvis_deg")
    for key in same:
        turn = 17 if key.endswith("azimuth_deg") else 0
        difference = (after[key][0] - before[key][0] - turn + 180) % 360 - 180
        assert difference == pytest.approx(0, abs=0.2 if key.startswith("pmc") else 1e-6), key
    modes = load_shape_modes()
    distances = [measure(chain, shape_space=modes).number("normality_3d") for chain in (T, other)]
    assert distances[0] == pytest.approx(distances[1])


def test_regions_follow_the_curves():
    indices = measure(planar_chain(tilts(T1=0, T4=14, T9=-18, L5=4, S1=4), "coronal"))
    assert indices["pmc_main_thoracic_deg"].note == "T4–T9"
    assert indices.number("pmc_main_thoracic_deg") == pytest.approx(32, abs=0.01)
    assert indices.number("pmc_main_thoracic_azimuth_deg") == pytest.approx(90, abs=0.01)
    assert indices.number("davinci_main_thoracic_azimuth_deg") == pytest.approx(90, abs=1e-6)
    straight = measure(forward_kinematics(standing_template(), SpinePose()))
    assert straight["davinci_lumbar_mm"].note.startswith("T12–L5")


def test_gravity_decides_balance_and_nothing_of_the_shape():
    T = random_chain(3)
    one, leaning = measure(T), measure(turned(T, (0, 0, -6)))  # clockwise from behind: to the right
    height = T[C7, 1, 3] - T[S1, 1, 3]
    gained = leaning.number("coronal_balance_mm") - one.number("coronal_balance_mm")
    assert gained == pytest.approx(height * np.sin(np.radians(6)), rel=0.1)
    assert leaning.number("torsion_abs_per_m") == pytest.approx(one.number("torsion_abs_per_m"))
    assert leaning.number("lateral_rms_mm") == pytest.approx(one.number("lateral_rms_mm"), rel=0.05)
    assert leaning.number("cobb_deg") == pytest.approx(one.number("cobb_deg"), abs=1.0)
    back = measure(turned(T, (6, 0, 0)))
    assert back.number("sagittal_balance_mm") < one.number("sagittal_balance_mm") - 30
    assert back.number("sacral_slope_deg") == pytest.approx(one.number("sacral_slope_deg") - 6, abs=0.2)


# --- intervals


def test_many_chains_at_once_are_the_same_as_one_by_one():
    T, samples = posterior(1, 5)
    identity = identify(T, None, None)
    together = chain_scalars(samples, identity)
    for k, sample in enumerate(samples):
        for key, value in chain_scalars(sample[None], identity).items():
            assert together[key][k] == pytest.approx(value[0], abs=1e-9), key


def test_intervals_hold_the_value_and_are_quick():
    T, samples = posterior(2)
    modes = load_shape_modes()
    measure(T, samples=samples, shape_space=modes)
    start = time.process_time()
    indices = measure(
        T, samples=samples, shape_space=modes, calibration=CobbCalibration(1.1, 2.0, 3.0, "test")
    )
    assert time.process_time() - start < 0.3
    for d in OF_CHAIN:
        i = indices[d.key]
        if i.value is None or d.key == "cobb_apex_level":
            continue
        assert i.interval is not None and i.interval[0] <= i.value <= i.interval[1], d.key
        assert i.sdc is not None and i.sdc >= 0
        assert not d.circular or i.interval[1] - i.interval[0] < 180, (
            d.key
        )  # one piece, though it may pass 180
    row = indices.vertebrae[8]
    assert all(low <= row[key] <= high for key, (low, high) in row.intervals.items())
    assert indices.curves[0].cobb_interval_deg == indices["cobb_deg"].interval


def test_intervals_cover_the_truth_when_the_posterior_is_right():
    keys = (
        "cobb_deg",
        "kyphosis_t1_t12_deg",
        "lateral_max_mm",
        "rotation_main_thoracic_deg",
        "pmc_lumbar_deg",
    )
    hits = []
    for seed in range(10, 16):
        T, samples = posterior(seed, 260)
        indices = measure(T, samples=samples[:200])
        truth = chain_scalars(samples[200:], identify(T, None, None))
        hits += [
            (bounds(indices, key)[0] <= truth[key]) & (truth[key] <= bounds(indices, key)[1]) for key in keys
        ]
    assert 0.85 < np.mean(hits) < 0.95


def test_the_mean_of_samples_stands_in_for_the_chain():
    T, samples = posterior(4, 400)
    alone, given = measure_with_intervals(samples), measure_with_intervals(samples, T_body_vertebra=T)
    assert alone.number("kyphosis_t1_t12_deg") == pytest.approx(given.number("kyphosis_t1_t12_deg"), abs=1.0)
    assert given.number("cobb_deg") == measure(T)["cobb_deg"].value


def test_known_smallest_detectable_change_wins():
    T, samples = posterior(5, 50)
    indices = measure(T, samples=samples, sdc={"cobb_deg": 6.5})
    assert indices["cobb_deg"].sdc == 6.5
    spread = chain_scalars(samples, identify(T, None, None))["kyphosis_t1_t12_deg"]
    assert indices["kyphosis_t1_t12_deg"].sdc == pytest.approx(1.96 * np.sqrt(2) * spread.std())
    assert measure(T)["kyphosis_t1_t12_deg"].sdc is None


# --- Cobb from tilts and lines


def test_cobb_from_tilts():
    assert cobb_from_tilts(np.array([0.0, 10, 25, 10, -5, 3, 12])) == 30
    assert cobb_from_tilts(np.array([0.0, 10, 9, 25, 24])) == 25  # a wiggle below 5 deg parts no curve
    assert cobb_from_tilts(np.array([0.0, 20, 8, 25])) == 20  # one of 12 deg does
    assert cobb_from_tilts(np.array([1.0, 2, 1])) == 1
    assert [(c.upper, c.lower, c.signed_deg) for c in tilt_curves(np.array([0.0, 9, 0, -9]))] == [
        (0, 1, -9),
        (1, 3, 18),
    ]
    with pytest.raises(BadInput):
        cobb_from_tilts(np.array([1.0]))


def test_cobb_of_a_line():
    y = np.linspace(0, 400, 90)
    x = 12 * np.sin(2 * np.pi * y / 400)  # steepest at the ends (trimmed) and in the middle
    steepest = np.degrees(np.arctan(12 * 2 * np.pi / 400))
    assert curve_cobb_deg(x, y) == pytest.approx(2 * steepest, abs=0.7)
    shuffled = np.random.default_rng(0).permutation(90)
    assert curve_cobb_deg(-x[shuffled], y[shuffled] + 55) == pytest.approx(curve_cobb_deg(x, y), abs=1e-6)
    assert curve_cobb_deg(0.2 * y, y) == pytest.approx(0, abs=1e-6)
    with pytest.raises((BadInput, TypeCheckError)):
        curve_cobb_deg(x, y[:-1])
    for bad in ((x[:9], y[:9]), (x, np.zeros(90)), (x * np.nan, y)):
        with pytest.raises(BadInput, match="curve_cobb_deg"):
            curve_cobb_deg(*bad)


def test_line_and_vertebrae_agree_on_a_smooth_spine():
    tilt = 18 * np.sin(2 * np.pi * (np.arange(25) - 7) / 16)
    T = planar_chain(tilt, "coronal")
    inner = slice(T1, L5 + 1)
    by_line = curve_cobb_deg(T[inner, 0, 3], T[inner, 1, 3])
    assert by_line == pytest.approx(36, abs=2) and measure(T)["cobb_deg"].value == pytest.approx(36)
    assert measure(T)["curve_angle_deg"].value == pytest.approx(36, abs=1)


def test_calibration():
    calibration = CobbCalibration(1.2, 3.0, 4.0, "thirty people")
    assert calibration(20.0) == pytest.approx(27)
    assert CobbCalibration(1.0, -5.0, 1.0, "")(2.0) == 0
    low, high = calibration.interval(20.0, (18.0, 25.0))
    assert 27 - low == pytest.approx(np.hypot(1.2 * 2, 1.645 * 4))
    assert high - 27 == pytest.approx(np.hypot(1.2 * 5, 1.645 * 4))
    T = random_chain(6)
    indices = measure(T, calibration=calibration)
    assert indices.number("cobb_calibrated_deg") == pytest.approx(calibration(indices.number("cobb_deg")))
    assert indices["cobb_calibrated_deg"].note == "thirty people" and indices.curves[-1].cobb_calibrated_deg
    assert measure(T)["cobb_calibrated_deg"].value is None
    shipped = load_cobb_calibration()
    assert shipped is None or 0.3 < shipped.slope < 3
    with pytest.raises(BadInput):
        CobbCalibration(-1.0, 0.0, 1.0, "")


# --- normality, tables, bad input


def test_normality_is_the_distance_in_the_modes_of_the_population():
    modes = load_shape_modes()
    T = turned(planar_chain(tilts(T1=-8, T4=9, T12=-12, L5=4), "coronal"), (4, 21, 0))
    curve = slice(T1, L5 + 1)
    body, right = T[curve, :3, 3], 15 * T[:, :3, 0].mean(0)
    normal = normalised_curve(CtSpine(LEVELS[curve], body, body - right, body + right))
    assert normal is not None
    expected = modes.coefficients(normal[0])
    assert shape_coefficients(T[None], modes)[0] == pytest.approx(expected, abs=0.02)
    indices = measure(T, shape_space=modes)
    assert indices.number("normality_3d") == pytest.approx(np.linalg.norm(expected[:6]), abs=0.02)
    sideways = expected[:6][modes.lateral[:6]]
    assert indices.number("normality_lateral") == pytest.approx(np.linalg.norm(sideways), abs=0.02)
    assert indices["normality_3d"].norm == (0, pytest.approx(3.548, abs=1e-3))  # root of chi2(6) at 95 %


def test_mahalanobis_is_a_distance_in_units_of_the_covariance():
    rng = np.random.default_rng(0)
    covariance = (lambda a: a @ a.T)(rng.normal(size=(4, 4)))
    mean, c = rng.normal(size=4), rng.normal(size=(7, 4))
    by_hand = [np.sqrt((v - mean) @ np.linalg.inv(covariance) @ (v - mean)) for v in c]
    assert mahalanobis(c, mean, covariance) == pytest.approx(by_hand)
    many = rng.multivariate_normal(mean, covariance, 20_000)
    assert (mahalanobis(many, mean, covariance) < np.sqrt(9.488)).mean() == pytest.approx(0.95, abs=0.01)


def test_tables_are_complete():
    T, samples = posterior(7, 40)
    indices = measure(T, samples=samples, shape_space=load_shape_modes())
    text = json.dumps(indices.to_dict(), allow_nan=False)
    assert list(json.loads(text)["indices"]) == [d.key for d in DEFINITIONS] == list(indices)
    rows = list(csv.DictReader(io.StringIO(indices.to_csv())))
    assert [row["key"] for row in rows] == list(indices)
    cobb = next(row for row in rows if row["key"] == "cobb_deg")
    assert float(cobb["value"]) == pytest.approx(indices.number("cobb_deg"), rel=1e-5)
    assert float(cobb["low_5"]) <= float(cobb["value"]) <= float(cobb["high_95"])
    vertebrae = list(csv.DictReader(io.StringIO(indices.vertebrae_csv())))
    assert [row["level"] for row in vertebrae] == list(LEVELS[C7:]) and set(VERTEBRA_COLUMNS) < set(
        vertebrae[0]
    )
    assert float(vertebrae[3]["axial_deg"]) == pytest.approx(indices.vertebrae[3]["axial_deg"], rel=1e-5)
    assert all(i.definition and i.source and i.title for i in indices.values())
    assert all("band" in i.source for i in indices.values() if i.norm and not i.key.startswith("normality"))


def test_what_was_not_seen_says_so():
    indices = measure(random_chain(0))
    for key in ("trunk_imbalance_mm", "pelvic_tilt_deg", "potsi_percent", "hump_sum_mm", "normality_3d"):
        assert indices[key].value is None and indices[key].note and indices[key].text == "–"
    with pytest.raises(ValueError, match="why"):
        Index("cobb_deg", None, "deg")


def test_level_names():
    assert [level_name(p) for p in (0.0, 7.0, 7.5, 18.4, 23.6, 24.0)] == [
        "C1",
        "T1",
        "T1/2",
        "T12/L1",
        "L5/S1",
        "S1",
    ]


def test_malformed_chains_are_refused():
    T = random_chain(0)
    broken, skewed = T.copy(), T.copy()
    broken[3, 0, 3] = np.nan
    skewed[5, :3, 0] *= 1.1
    with pytest.raises((BadInput, TypeCheckError)):
        measure(T[:24])
    for bad in (broken, skewed, mirrored(T) @ np.diag([-1.0, 1, 1, 1])):
        with pytest.raises(BadInput, match="T_body_vertebra"):
            measure(bad)
    with pytest.raises((BadInput, TypeCheckError), match="samples"):
        measure(T, samples=T[None])
    with pytest.raises(BadInput, match=r"landmarks\.vp_mm"):
        measure(T, landmarks={"vp_mm": [1, 2]})
    with pytest.raises(BadInput, match="line"):
        measure(T, line=(np.arange(3.0), np.arange(4.0), np.arange(3.0)))
    coincident = T.copy()
    coincident[10, :3, 3] = coincident[11, :3, 3]
    with pytest.raises(BadInput, match="apart"):
        measure(coincident)
