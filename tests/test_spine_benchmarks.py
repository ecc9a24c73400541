"""The error measures behind the benchmarks of the spine, and small runs of the benchmarks themselves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import _spine_errors as errors
from benchmarks import spine_ct, spine_speed, spine_synthetic
from spine.anatomy import PEDICLE_MM
from spine.chain import SpinePose, forward_kinematics, standing_template
from spine.fit_options import FitOptions
from spine.measure.angles import C7, L5, T1
from spine.observations import LineObservation, Observations
from spine.shape import CURVE_LEVELS, CtSpine
from suite.geometry.rotations import so3_exp
from suite.report.metric import metrics_json


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def chain(turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    rigid = np.eye(4)
    rigid[:3, :3] = so3_exp(np.radians(turn_deg))
    return rigid @ forward_kinematics(standing_template(), SpinePose())


def straight_back(rotation_deg: float = 0.0) -> Observations:
    """A line that leans to the right by 0.1 mm per mm, on skin at z 5."""
    y = np.arange(0.0, 421.0, 6.0)
    flat, turned = np.full_like(y, 5.0), np.full_like(y, np.radians(rotation_deg))
    line = LineObservation(y, 0.1 * y, flat, np.ones_like(y), turned, np.full_like(y, 0.02))
    return Observations(line, np.array([42.0, 420.0, 5.0]), np.array([0.0, 0.0, 5.0]))


def test_a_perfect_chain_has_no_error_and_a_moved_one_only_its_offset():
    T, moved = chain(), chain()
    moved[:, :3, 3] += [3.0, -4.0, 12.0]
    assert errors.rms_3d(errors.centre_errors_mm(T, T)) == 0
    off = errors.centre_errors_mm(moved, T)
    assert off.shape == (L5 - T1 + 1, 3)
    assert errors.rms_3d(off) == pytest.approx(13.0)
    assert errors.rms(off[:, 0]) == pytest.approx(3.0)
    assert errors.rms_3d(errors.centred(off)) < 1e-9


def test_axial_errors_have_the_sign_of_the_turn_and_wrap():
    T = chain()
    assert np.allclose(errors.axial_errors_deg(chain((0, 7, 0)), T), 7)
    behind = chain((0, 179, 0))
    assert np.allclose(errors.axial_errors_deg(chain((0, 181.5, 0)), behind), 2.5)


def test_rms_is_pooled_over_all_vertebrae():
    a, b = np.full(2, 3.0), np.full(2, 4.0)
    assert errors.rms([a, b]) == pytest.approx(np.sqrt(12.5))
    assert errors.mean_abs([-3.0, 1.0]) == 2.0


def test_true_sigmas_cover_ninety_percent_and_have_unit_spread():
    truth = rng().normal(size=(20_000,))
    low, high = np.full_like(truth, -1.6449), np.full_like(truth, 1.6449)
    assert errors.inside(truth, low, high).mean() == pytest.approx(0.9, abs=0.01)
    assert errors.rms(errors.in_sigmas(truth, np.zeros_like(truth), low, high)) == pytest.approx(1, abs=0.02)
    assert errors.inside(truth, low / 2, high / 2).mean() < 0.65


def test_line_errors_are_sideways_and_only_where_the_true_line_is():
    true = np.stack([np.zeros(50), np.linspace(0, 400, 50), np.full(50, 9.0)], axis=1)
    y = np.array([-50.0, 10.0, 200.0, 390.0, 460.0])
    x = np.array([99.0, 1.0, np.nan, -2.0, 99.0])
    assert errors.line_errors_mm(y, x, true[::-1]).tolist() == [1.0, -2.0]


def test_guesses_agree_where_nothing_is_turned_and_the_offset_goes_against_the_rotation():
    y = np.linspace(30.0, 390.0, 9)
    same = [guess.at(y) for guess in errors.guesses(straight_back()).values()]
    assert np.allclose(same[0], same[1]) and np.allclose(same[1], same[2])
    options = FitOptions()
    L = options.skin_depth.depth_mm(420.0, 420.0 - y)
    turned = errors.guesses(straight_back(8.0), options)
    shift = turned["offset"].at(y) - turned["line"].at(y)
    angle = np.radians(8.0) * options.rotation_gain
    assert np.allclose(shift[:, 0], -L * np.sin(angle), atol=0.1)
    assert np.allclose(shift[:, 2], L * (1 - np.cos(angle)), atol=0.1)


def test_a_guess_goes_straight_on_beyond_its_ends_and_a_straight_one_has_no_cobb():
    guess = errors.guesses(straight_back())["line"]
    assert guess.at(np.array([-60.0, 500.0]))[:, 0] == pytest.approx([-6.0, 50.0], abs=1e-6)
    assert guess.cobb_deg(0.0, 420.0) < 0.01


def test_the_line_of_a_chain_goes_through_its_centres():
    T = chain((0, 20, 5))
    levels = slice(C7, L5 + 1)
    assert np.allclose(errors.chain_at_heights(T, T[levels, 1, 3]), T[levels, :3, 3])


def test_intervals_over_people_hold_the_figure_and_shrink_with_their_number():
    people = list(rng().normal(10, 2, 400))
    few, many = (errors.over_people(people[:n], lambda p: float(np.mean(p))) for n in (16, 400))
    assert many[0] < np.mean(people) < many[1]
    assert np.ptp(many) < np.ptp(few) / 3
    assert few == errors.over_people(people[:16], lambda p: float(np.mean(p)))


def test_two_simulated_people_through_the_whole_benchmark():
    people, refused = spine_synthetic.scanned({1.0: 2})
    result = spine_synthetic.summarised(people, refused)
    found = _json(result.metrics)
    keys = {*spine_synthetic.FIGURES, "coverage_90"}
    assert keys <= set(found)
    assert len(people) == 4 and not refused
    given = [p for p in people if p.line == "true"]
    assert max(errors.rms(p.line_mm) for p in given) < 0.1  # the frames agree: the given line is the true one
    assert max(np.abs(p.landmark_y_mm).max() for p in given) < 0.1
    assert 0 < found["rms_3d_mm"]["value"] < 40 and 0 <= found["coverage_90"]["value"] <= 1
    guesses = result.tables[1]
    assert {row[0] for row in guesses.rows} == {"chain", "chord", "line", "offset"}


def test_a_template_seen_as_a_ct_spine_is_found_again():
    spine = _as_ct(chain((0, 0, 0)))
    back = spine_ct.back_of(spine)
    assert back is not None
    assert errors.rms_3d(back.expected_mm - back.body_mm) < 2.0  # its own offsets, but for the end frames
    outcome = spine_ct.outcome(back)
    assert errors.rms_3d(outcome.at_expected_mm) < 6.0
    assert errors.rms_3d(outcome.centre_mm["best"]) < 1e-6
    assert errors.rms(outcome.axial_deg) < 0.5
    assert len(outcome.centre_mm["chain"]) == sum(spine_ct.SKIN_FACTORS.values()) == 6


def test_the_skin_factors_have_the_moments_of_a_normal_distribution():
    log, weight = np.log(list(spine_ct.SKIN_FACTORS)), np.array(list(spine_ct.SKIN_FACTORS.values())) / 6
    moments = [(weight * log**k).sum() for k in range(5)]
    assert np.allclose(moments, [1, 0, 0.01, 0, 3e-4])


def test_ct_spines_with_a_missing_level_or_pedicle_are_left_out():
    T = chain()
    gap = T.copy()
    gap[: T1 + 6, 1, 3] += 25.0
    assert spine_ct.back_of(_as_ct(gap)) is None
    whole = _as_ct(T)
    left = whole.left_mm.copy()
    left[4] = np.nan
    assert spine_ct.back_of(CtSpine(whole.levels, whole.body_mm, left, whole.right_mm)) is None


def test_the_best_similarity_undoes_any():
    points = rng().normal(size=(17, 3)) * 50
    moved = 1.3 * points @ so3_exp(np.array([0.3, -0.8, 0.1])).T + [5, 6, 7]
    assert np.allclose(spine_ct.similar(points, moved), moved)
    mirrored = points * [-1, 1, 1]
    assert errors.rms_3d(spine_ct.similar(points, mirrored) - mirrored) > 1


def test_solvers_race_on_the_same_energy():
    fits, ours, scipys = spine_speed.raced([spine_speed.observed(7_000_003)], turns=1)
    assert len(fits) == 1 and fits[0] > 0
    assert ours.converged == scipys.converged == [True]
    assert ours.energies[0] == pytest.approx(scipys.energies[0], rel=0.02)


def _json(metrics) -> dict:
    return json.loads(metrics_json("x", metrics))["metrics"]


def _as_ct(T: np.ndarray) -> CtSpine:
    """A chain as bodies and pedicle points, the pedicles where the medians have them."""
    body, sides = T[T1 : L5 + 1, :3, 3], []
    for side in (-1, 1):
        own = np.array([(side * PEDICLE_MM[n][0] / 2, *PEDICLE_MM[n][1:]) for n in CURVE_LEVELS])
        sides.append(body + (T[T1 : L5 + 1, :3, :3] @ own[:, :, None])[:, :, 0])
    return CtSpine(CURVE_LEVELS, body, *sides)
