"""The heights of VP and base: what is looked at obeys the laws, and what is learned holds on other people."""

from __future__ import annotations

import numpy as np
import pytest
from landmark_scans import mirrored, scanned, surface_map, unseen

from spine.anchors import FEATURES, EndModel, end_features, ends, fit_end_model, middle_at
from spine.heightmap import HeightMap
from spine.landmark_model import load_landmark_model


def outline(skin: HeightMap) -> HeightMap:
    """Skin from y = -20 to 400, 200 mm wide about x = 10, with a tail of 40 mm below."""
    x, y = np.meshgrid(skin.x_mm, skin.y_mm)
    body = (y >= -20) & (y <= 400) & (np.abs(x - 10) <= 100)
    return unseen(skin, ~(body | ((y < 0) & (np.abs(x) <= 20))))


FLAT = outline(surface_map(lambda x, y: 0 * x))


def test_the_ends_are_the_first_and_last_broad_rows():
    found = ends(FLAT)
    assert (found.bottom_mm, found.top_mm) == (-20.0, 400.0)
    row = int(np.searchsorted(FLAT.y_mm, 200.0))
    assert (found.middle_mm[row], found.width_mm[row]) == (10.0, 200.0)
    assert np.isnan(found.middle_mm[FLAT.y_mm > 400]).all()
    assert middle_at(FLAT, 300.0) == 10.0 and middle_at(FLAT, -40.0) == 0.0
    assert middle_at(FLAT, 900.0) == pytest.approx(10.0)  # beyond the back: the middle of all of it


def test_a_back_that_is_narrow_everywhere_ends_where_skin_does():
    x, _ = np.meshgrid(FLAT.x_mm, FLAT.y_mm)
    narrow = ends(unseen(FLAT, np.abs(x) > 20))
    assert (narrow.bottom_mm, narrow.top_mm) == (-60.0, 400.0)


@pytest.mark.parametrize("at_top", [True, False])
def test_features_do_not_know_left_from_right_nor_where_the_back_is(at_top):
    skin = scanned(41).surface.height()
    features = end_features(skin, at_top)
    assert features.shape == (FEATURES,) and np.isfinite(features).all() and np.abs(features).max() < 20
    assert np.allclose(features, end_features(mirrored(skin), at_top), atol=1e-9)
    moved = HeightMap(skin.x_mm + 31, skin.y_mm - 112, skin.z_mm + 250, skin.observed)
    assert np.allclose(features, end_features(moved, at_top), atol=1e-6)


def test_both_ends_are_looked_at_from_the_end_inwards():
    skin = scanned(41).surface.height()
    headlong = HeightMap(skin.x_mm, -skin.y_mm[::-1], skin.z_mm[::-1], skin.observed[::-1])
    assert np.allclose(end_features(skin, True), end_features(headlong, False), atol=1e-9)


def test_a_smooth_law_is_learned_and_its_error_measured():
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(900, 4)) + 2, rng.normal(size=4)
    distance = 60 + features @ weights + 4 * np.sin(features[:, 0]) + rng.normal(0, 3.0, 900)
    model = fit_end_model(features, distance, held_out=300)
    assert model.sigma_mm == pytest.approx(3.0, rel=0.25)
    predicted = [model.distance_mm(f) for f in features[600:]]
    assert np.sqrt(np.mean((predicted - distance[600:]) ** 2)) == pytest.approx(model.sigma_mm, rel=1e-3)
    stiff = fit_end_model(features, distance, 300, ridge=1e5)  # a strong ridge believes nothing
    assert stiff.distance_mm(features[600]) == pytest.approx(distance[:600].mean(), abs=0.2)
    for held_out in (0, 900):
        with pytest.raises(ValueError, match="held out"):
            fit_end_model(features, distance, held_out)


def test_a_landmark_never_lies_beyond_the_end():
    model = EndModel(np.zeros((1, 2)), np.array([-9.0]), 1.0, 5.0, 1.0)
    assert model.distance_mm(np.array([0.0, 0.0])) == 0.0
    assert model.distance_mm(np.array([99.0, 0.0])) == 5.0  # unlike all that was learned from: their mean


@pytest.mark.parametrize(
    "parts",
    [(np.zeros((2, 3)), np.zeros(4), 1.0, 1.0, 1.0), (np.zeros((2, 3)), np.zeros(2), 1.0, np.nan, 1.0),
     (np.zeros((2, 3)), np.zeros(2), 0.0, 1.0, 1.0), (np.zeros((2, 3)), np.zeros(2), 1.0, 1.0, -1.0)],
    ids=["lengths", "not finite", "no width", "negative sigma"],
)  # fmt: skip
def test_a_model_that_makes_no_sense_is_refused(parts):
    with pytest.raises((ValueError, TypeError), match=r"end model|EndModel"):
        EndModel(*parts)


def test_heights_on_other_people_are_found_within_the_stated_error():
    model = load_landmark_model()
    off = {"vp": [], "base": []}
    for seed in range(500, 512):
        person = scanned(seed)
        skin = person.surface.height()
        back, (vp, base) = (
            ends(skin),
            person.in_frame(person.surface, np.stack([person.subject.vp_mm, person.subject.base_mm])),
        )
        off["vp"].append(back.top_mm - model.vp.distance_mm(end_features(skin, True)) - vp[1])
        off["base"].append(back.bottom_mm + model.base.distance_mm(end_features(skin, False)) - base[1])
    rms = {name: float(np.sqrt(np.mean(np.square(errors)))) for name, errors in off.items()}
    assert rms["vp"] < 1.6 * model.vp.sigma_mm and rms["base"] < 1.6 * model.base.sigma_mm, rms
    assert model.vp.sigma_mm < 4 and model.base.sigma_mm < 10
