"""Cobb angles from tilts and from drawn lines, and their calibration."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from known_chains import L5, T1, planar_chain, random_chain

from spine.measure import CobbCalibration, cobb_from_tilts, curve_cobb_deg, load_cobb_calibration, measure
from spine.measure.coronal import tilt_curves
from suite.errors import BadInput


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
    for drawn in (False, True):
        shipped = load_cobb_calibration(drawn)
        assert shipped is not None and 0.3 < shipped.slope < 3 and "15" in shipped.provenance
    with pytest.raises(BadInput):
        CobbCalibration(-1.0, 0.0, 1.0, "")
