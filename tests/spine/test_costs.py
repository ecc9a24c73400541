"""Terms of the fit's energy: Jacobians against finite differences, signs, and zeros where they belong."""

import zlib
from functools import partial

import numpy as np
import pytest

from spine import costs
from spine.anatomy import LEVELS
from spine.chain import SpinePose, forward_kinematics, standing_template
from spine.observations import Curve
from spine.skin_depth import SkinDepth
from suite.errors import BadInput

TEMPLATE = standing_template()
SKIN = SkinDepth()
VP_Y, BASE_Y = 470.0, -15.0
LINE = np.arange(LEVELS.index("C7"), LEVELS.index("S1"))
T8 = LEVELS.index("T8")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


def _state(x: np.ndarray) -> costs.ChainState:
    return costs.chain_state(TEMPLATE, x, SKIN, VP_Y - BASE_Y, VP_Y)


def _bent(rng: np.random.Generator) -> np.ndarray:
    spread = np.concatenate([np.full(3, 0.1), np.full(3, 10.0), [0.1], np.full(72, 0.06), [0.1]])
    return spread * rng.standard_normal(80)


def _curve(rng: np.random.Generator, spread: float) -> Curve:
    y = np.arange(-20.0, 500.0, 30.0)
    return Curve(y, spread * rng.standard_normal((len(y), 1)))


def _terms(rng: np.random.Generator):
    sigma = rng.uniform(0.5, 3.0, len(LINE))
    prior = costs.level_whitening(np.array([0.05, 0.06, 0.08]), np.full(3, 0.01), 2.0)
    reference = SpinePose(joint_rotation_rad=rng.normal(0, 0.1, (24, 3)))
    return {
        "line": partial(costs.line_term, levels=LINE, x_of_y=_curve(rng, 10), sigma_mm=sigma),
        "depth": partial(costs.depth_term, levels=LINE, z_of_y=_curve(rng, 10), sigma_mm=sigma),
        "rotation": partial(
            costs.rotation_term, levels=LINE, rotation_of_y=_curve(rng, 0.2), gain=1.3, sigma_rad=sigma / 50
        ),
        "heights": partial(costs.height_term, vp_y_mm=VP_Y, base_y_mm=BASE_Y, sigma_mm=np.array([5.0, 4.0])),
        "skin_factor": partial(costs.skin_factor_term, sigma=0.1),
        "scale": partial(costs.scale_term, expected=0.05, sigma=0.08),
        "root": partial(costs.root_term, sigma_rad=np.array([0.2, 0.1, 0.15])),
        "levels": partial(costs.level_prior_term, whitening=prior),
        "coupling": partial(costs.coupling_term, ratio=0.3, sigma_rad=0.1),
        "motion": partial(costs.motion_term, reference=reference, sigma_rad=0.02),
    }


@pytest.mark.parametrize("name", list(_terms(np.random.default_rng(0))))
def test_jacobian_meets_finite_differences(name, rng):
    term, x = _terms(rng)[name], _bent(rng)
    r, J = term(_state(x))
    assert J.shape == (len(r), 80)
    assert np.abs(r).max() > 0
    h = 1e-6
    columns = [(term(_state(x + h * e))[0] - term(_state(x - h * e))[0]) / (2 * h) for e in np.eye(80)]
    np.testing.assert_allclose(J, np.stack(columns, axis=1), atol=1e-5 * max(1.0, np.abs(J).max()))


def test_skin_points_of_a_batch_are_those_of_each_state(rng):
    states = np.stack([_bent(rng) for _ in range(4)]).reshape(2, 2, 80)
    T, skin = costs.skin_points(TEMPLATE, states, SKIN, VP_Y - BASE_Y, VP_Y)
    for i, j in np.ndindex(2, 2):
        one = _state(states[i, j])
        np.testing.assert_allclose(T[i, j], one.T_body_vertebra, atol=1e-9)
        np.testing.assert_allclose(skin[i, j], one.skin[0], atol=1e-9)


def test_skin_lies_level_with_the_centre_at_the_distance_of_the_form(rng):
    x = _bent(rng)
    state = _state(x)
    offset = state.skin[0] - state.center
    np.testing.assert_allclose(offset[:, 1], 0, atol=1e-12)
    expected = np.exp(x[79]) * (SKIN.a * (VP_Y - BASE_Y) + SKIN.b * (VP_Y - state.center[:, 1]))
    np.testing.assert_allclose(np.linalg.norm(offset, axis=1), expected)


def test_a_turned_vertebra_carries_its_skin_point_to_the_side_it_points_to():
    """Rotation about y moves the spinous process to the right, and the line there with it."""
    x = np.zeros(80)
    x[1] = np.radians(10)
    straight, turned = _state(np.zeros(80)), _state(x)
    np.testing.assert_allclose(turned.azimuth[0], np.radians(10), atol=1e-12)
    moved = (turned.skin[0] - turned.center)[:, 0]
    depth = np.linalg.norm(straight.skin[0] - straight.center, axis=1)
    np.testing.assert_allclose(moved, depth * np.sin(np.radians(10)))


def test_line_and_rotation_vanish_on_their_own_skin(rng):
    state = _state(_bent(rng))
    skin, order = state.skin[0][LINE], np.argsort(state.skin[0][LINE, 1])
    assert (np.diff(skin[order, 1]) > 12).all()  # no two points are averaged
    seen = Curve(skin[order, 1], np.column_stack([skin, state.azimuth[0][LINE] / 1.25])[order])
    one = np.ones(len(LINE))
    for k, term in (
        (0, partial(costs.line_term, sigma_mm=one)),
        (2, partial(costs.depth_term, sigma_mm=one)),
        (3, partial(costs.rotation_term, gain=1.25, sigma_rad=one)),
    ):
        column = Curve(seen.y, seen.values[:, k : k + 1])
        np.testing.assert_allclose(term(state, LINE, column)[0], 0, atol=1e-9)
    shifted = Curve(seen.y, seen.values[:, :1] - 2.0)
    np.testing.assert_allclose(costs.line_term(state, LINE, shifted, 4 * one)[0], 0.5, atol=1e-9)


def test_heights_of_the_template_are_its_trunk():
    state = _state(np.zeros(80))
    trunk = costs.template_trunk_mm(TEMPLATE)
    vp, base = costs.height_term(state, 0.0, 0.0, np.ones(2))[0]
    assert vp - base == pytest.approx(trunk)
    assert costs.height_term(state, vp, base, np.ones(2))[0] == pytest.approx([0, 0])
    x = np.zeros(80)
    x[6] = np.log(1.1)
    vp, base = costs.height_term(_state(x), 0.0, 0.0, np.ones(2))[0]
    assert vp - base == pytest.approx(1.1 * trunk)


def test_coupling_prefers_spinous_processes_on_the_concave_side():
    """Curve convex to the right: bends to the right below the apex and to the left above it."""
    x = np.zeros(80)
    joints = x[7:79].reshape(24, 3)
    joints[T8 - 4 : T8 + 4, 2] = np.radians(4)
    joints[T8 + 6 : T8 + 10, 2] = -np.radians(4)
    state = _state(x)
    c = state.center
    chord = np.interp(c[T8, 1], c[[T8 + 6, T8 - 6], 1], c[[T8 + 6, T8 - 6], 0])
    assert c[T8, 0] > chord + 5  # convex to the right
    ratios = (-0.3, 0.3)
    at_apex = [costs.coupling_term(state, ratio, 1.0)[0][T8 - costs.C7 - 2] for ratio in ratios]
    expected = state.azimuth[0][T8] - np.array(at_apex)  # what the coupling wants
    assert expected[0] > 0 > expected[1]


def test_motion_is_free_within_the_range_and_counts_changes_only():
    reference = SpinePose(joint_rotation_rad=np.full((24, 3), 0.3))
    x = np.append(reference.to_vector(), 0.0)
    r, J = costs.motion_term(_state(x), reference, 0.1)
    assert not r.any() and not J.any()
    x[7 + 3 * T8 + 2] += np.radians(6 + 3)  # T8-T9 bends 6 deg to one side
    r, J = costs.motion_term(_state(x), reference, float(np.radians(1)))
    assert r[3 * T8 + 2] == pytest.approx(3.0)
    assert np.count_nonzero(r) == 1 == np.count_nonzero(J)


def test_whitening_undoes_the_prior_covariance():
    sd, white = np.radians([3.0, 2.5, 4.0]), np.radians([0.8, 0.4, 0.5])
    W, G = costs.level_whitening(sd, white, 2.0), costs.level_cholesky(sd, white, 2.0)
    K = G @ G.T
    np.testing.assert_allclose(np.diag(K).reshape(24, 3), np.tile(sd**2 + white**2, (24, 1)))
    np.testing.assert_allclose(K[0, 3], sd[0] ** 2 * np.exp(-1 / 8))
    assert K[0, 1] == 0
    np.testing.assert_allclose(W @ K @ W.T, np.eye(72), atol=1e-9)
    assert np.linalg.norm(W @ np.full(72, 0.05)) < np.linalg.norm(W @ np.tile([0.05, -0.05, 0.05, 0.0], 18))


def test_curve_meets_its_points_and_its_slope():
    y = np.array([0.0, 20, 50, 70, 100])
    curve = Curve(y, np.stack([np.sin(y / 40), 3 + 0.5 * y], axis=1))
    value, slope = curve(y)
    np.testing.assert_allclose(value[:, 0], np.sin(y / 40), atol=1e-12)
    np.testing.assert_allclose(slope[:, 1], 0.5)
    at = np.linspace(-30, 130, 57)
    value, slope = curve(at)
    np.testing.assert_allclose(value[:, 1], 3 + 0.5 * at)  # straight on beyond the ends
    numeric = (curve(at + 1e-5)[0] - curve(at - 1e-5)[0]) / 2e-5
    np.testing.assert_allclose(slope, numeric, atol=1e-7)
    dense = np.arange(0.0, 200.0, 1.0)
    noisy = Curve(dense, (dense / 10 + np.where(dense % 2, 1.0, -1.0))[:, None])
    assert np.abs(noisy(dense)[1] - 0.1).max() < 0.02


def test_skin_depth_fits_its_own_form_and_says_how_far_people_are(rng):
    trunk, below = rng.uniform(380, 500, 4000), rng.uniform(0, 450, 4000)
    truth = SkinDepth(a=0.13, b=0.05, sd=6.0)
    measured = 0.13 * trunk + 0.05 * below + rng.normal(0, 6, 4000)
    measured[::100] = np.nan
    found = SkinDepth.fitted(trunk, below, measured)
    assert found.a == pytest.approx(truth.a, abs=0.003)
    assert found.b == pytest.approx(truth.b, abs=0.004)
    assert found.sd == pytest.approx(truth.sd, rel=0.05)
    np.testing.assert_allclose(SkinDepth().depth_mm(400.0, np.array([0.0, 100.0])), [56.0, 62.3])
    with pytest.raises(BadInput, match="at least 3"):
        SkinDepth.fitted(trunk[:2], below[:2], measured[:2])


def test_template_trunk_is_a_height_at_rest():
    T = forward_kinematics(TEMPLATE, SpinePose())
    assert 0 < costs.template_trunk_mm(TEMPLATE) - (T[costs.C7, 1, 3] - T[24, 1, 3]) < 40
