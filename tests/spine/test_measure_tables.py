"""Normality, tables, and what cannot be measured."""

import csv
import io
import json

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from known_chains import (
    C7,
    L5,
    T1,
    mirrored,
    planar_chain,
    posterior,
    random_chain,
    tilts,
    turned,
)

from spine.anatomy import LEVELS
from spine.measure import VERTEBRA_COLUMNS, Index, measure
from spine.measure.angles import level_name
from spine.measure.definitions import DEFINITIONS
from spine.measure.normality import mahalanobis, shape_coefficients
from spine.shape import CtSpine, load_shape_modes, normalised_curve
from suite.errors import BadInput


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
