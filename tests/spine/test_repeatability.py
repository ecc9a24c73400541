"""Smallest detectable changes: the formula, the file, and that results carry them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from known_landmarks import fitted

from spine.config import SpineConfig
from spine.pipeline import _indices
from spine.repeatability import (
    Repeatability,
    read_repeatability,
    shipped_repeatability,
    smallest_detectable_change,
    write_repeatability,
)
from suite.errors import BadInput


def test_it_is_that_of_the_standard_deviation_within_a_person():
    rng = np.random.default_rng(0)
    people = [100 * k + rng.normal(0, 2.0, 400) for k in range(5)]
    assert smallest_detectable_change(people) == pytest.approx(1.96 * np.sqrt(2) * 2.0, rel=0.05)
    two = [np.array([1.0, 3.0]), np.array([7.0, 7.0, 10.0])]  # squares 2 and 6, degrees of freedom 1 and 2
    assert smallest_detectable_change(two) == pytest.approx(1.96 * np.sqrt(2) * np.sqrt(8 / 3))


def test_azimuths_go_round():
    around = [np.array([178.0, -179.0, 179.0, -178.0])]
    assert smallest_detectable_change(around, azimuth=True) < 8 < smallest_detectable_change(around)
    near = [np.array([10.0, 13.0, 11.0])]
    assert smallest_detectable_change(near, azimuth=True) == pytest.approx(smallest_detectable_change(near))


def test_nobody_twice_is_refused():
    with pytest.raises(BadInput, match="nobody was measured twice"):
        smallest_detectable_change([np.array([1.0]), np.array([2.0])])


def test_what_is_written_is_read(tmp_path):
    table = Repeatability({"cobb_deg": 3.14159, "lateral_rms_mm": 0.5}, "ten captures")
    write_repeatability(tmp_path / "r.json", table)
    back = read_repeatability(tmp_path / "r.json")
    assert dict(back.sdc) == {"cobb_deg": 3.14, "lateral_rms_mm": 0.5} and back.provenance == "ten captures"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is damaged"),
        ('{"format": "else"}', "is not a table of repeatability"),
        ('{"format": "spine-repeatability", "version": 1, "provenance": ""}', "is damaged"),
        ('{"format": "spine-repeatability", "version": 1, "provenance": "", "sdc": {"a": -1}}', "no length"),
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path, text, says):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(BadInput, match=says):
        read_repeatability(tmp_path / "r.json")
    with pytest.raises(BadInput, match="cannot be read"):
        read_repeatability(tmp_path / "absent.json")


def test_results_carry_what_was_measured_unless_a_person_drew_the_line(monkeypatch):
    table = Repeatability({"cobb_deg": 4.25}, "ten captures")
    monkeypatch.setattr("spine.pipeline.shipped_repeatability", lambda: table)
    result, config = fitted(), SpineConfig()
    drawn = replace(result.landmarks, line_drawn=True)
    found, own = (
        _indices(result.surface, landmarks, result.fit, result.samples, config)
        for landmarks in (result.landmarks, drawn)
    )
    assert found["cobb_deg"].sdc == 4.25
    assert own["cobb_deg"].sdc not in (None, 4.25)  # from the posterior
    assert found["kyphosis_t1_t12_deg"].sdc == own["kyphosis_t1_t12_deg"].sdc


def test_what_is_shipped_belongs_to_indices_there_are():
    shipped = shipped_repeatability()
    assert shipped is None or {"cobb_deg", "lateral_rms_mm"} <= set(shipped.sdc) <= set(fitted().indices)
