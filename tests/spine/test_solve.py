"""The fit: recovery of simulated spines, honest intervals, energies that rank lines, clear refusals."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from spine import costs
from spine.anatomy import LEVELS
from spine.chain import SpinePose, standing_template
from spine.solve import (
    Coupling,
    FitOptions,
    FitWeights,
    LevelPrior,
    LineObservation,
    Observations,
    SkinDepth,
    SpineFit,
    fit_chain,
)
from suite.errors import BadInput
from suite.geometry.rotations import so3_log

TEMPLATE = standing_template()
LINE = np.arange(LEVELS.index("L5"), LEVELS.index("C7") - 1, -1)  # from below upwards
BODY = slice(LEVELS.index("T1"), LEVELS.index("S1"))
# A population that varies half as much as the defaults allow, so that no simulated person folds up.
PEOPLE = FitOptions(
    weights=FitWeights(
        root_deg=(5.0, 4.0, 3.0), levels=LevelPrior(flexion_deg=1.5, axial_deg=1.5, lateral_deg=2.0)
    )
)
# Trusts what it sees and knows how deep the spine lies.
SHARP = FitOptions(
    weights=FitWeights(
        line_edited_mm=0.1,
        depth_mm=0.1,
        rotation_deg=0.1,
        height_mm=0.1,
        skin_factor=1e-4,
        root_deg=(60.0, 60.0, 60.0),
        levels=LevelPrior(flexion_deg=9.0, axial_deg=9.0, lateral_deg=15.0),
    )
)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


class Person:
    """A spine drawn from the model of `options`, and its back with the errors the model expects."""

    def __init__(self, options: FitOptions, rng: np.random.Generator, noise: float = 1.0) -> None:
        weights, prior = options.weights, options.weights.levels
        sd = np.radians([prior.flexion_deg, prior.axial_deg, prior.lateral_deg])
        x = np.zeros(80)
        joints = costs.level_cholesky(sd, np.radians(prior.white_deg), prior.length_levels)
        x[7:79] = joints @ rng.standard_normal(72)
        x[:3] = np.radians(weights.root_deg) * rng.standard_normal(3)
        x[costs.SCALE] = rng.normal(0, weights.log_scale)
        x[costs.SKIN] = noise * rng.normal(0, weights.skin_factor)
        x[[3, 5]] = rng.normal(0, 10, 2)
        x[4] = -_heights(x)[1]
        vp_y = _heights(x)[0]
        self.x = x
        self.T, skin = costs.skin_points(TEMPLATE, x, options.skin_depth, vp_y, vp_y)
        y, azimuth = skin[LINE, 1], np.arctan2(self.T[LINE, 0, 2], self.T[LINE, 2, 2])
        assert (np.diff(y) > 5).all()

        def errors(sd: float, length: float) -> np.ndarray:
            covariance = costs.level_covariance(noise * sd, 1e-4, max(length, 1e-3), len(LINE))
            return np.linalg.cholesky(covariance) @ rng.standard_normal(len(LINE))

        depth = options.skin_depth.depth_mm(vp_y, vp_y - y)
        unexplained = np.sqrt(np.maximum(options.skin_depth.sd**2 - (weights.skin_factor * depth) ** 2, 0))
        deeper = unexplained * errors(1.0, options.skin_length_levels)
        together = options.error_length_levels
        gain = options.rotation_gain + noise * options.rotation_gain_sd * rng.standard_normal()
        columns = [
            skin[LINE, 0] + errors(weights.line_edited_mm, together) + deeper * np.sin(azimuth),
            skin[LINE, 2] + errors(weights.depth_mm, together) + deeper * np.cos(azimuth),
            (azimuth + errors(np.radians(weights.rotation_deg), together)) / gain,
        ]
        dense = np.arange(y[0] - 10, y[-1] + 10, 2.0)
        at_x, at_z, rotation = CubicSpline(y, np.stack(columns, axis=1))(dense).T
        sigma, sure = np.full_like(dense, weights.line_edited_mm), np.full_like(dense, 1e-6)
        vp, base = vp_y + noise * rng.normal(0, weights.height_mm), noise * rng.normal(0, weights.height_mm)
        self.seen = Observations(
            LineObservation(dense, at_x, at_z, sigma, rotation, sure),
            vp_mm=np.array([0.0, vp, 0.0]),
            base_mm=np.array([0.0, base, 0.0]),
            vp_sigma_mm=0.0,
            base_sigma_mm=0.0,
            edited=True,
        )


def _heights(x: np.ndarray) -> np.ndarray:
    state = costs.chain_state(TEMPLATE, x, SkinDepth(), 450.0, 450.0)
    return costs.height_term(state, 0.0, 0.0, np.ones(2))[0]


def _fit(person: Person, options: FitOptions = PEOPLE, **more: SpinePose) -> SpineFit:
    return fit_chain(TEMPLATE, person.seen, options, **more)


def _offset(fit: SpineFit, person: Person) -> np.ndarray:
    return fit.T_body_vertebra[BODY, :3, 3] - person.T[BODY, :3, 3]


def test_exact_recovery_without_noise(rng):
    """At each height the chain is found exactly. How far up it a vertebra sits is not: length, pelvis and
    zigzags of the joints trade for each other where the priors are weak."""
    for _ in range(5):
        person = Person(PEOPLE, rng, noise=0.0)
        fit = _fit(person, SHARP)
        assert fit.converged and fit.solver == "levenberg-marquardt"
        center, truth = fit.T_body_vertebra[BODY, :3, 3], person.T[::-1, :3, 3]
        for axis in (0, 2):
            at_height = CubicSpline(truth[:19, 1], truth[:19, axis])(center[:, 1])
            assert np.abs(center[:, axis] - at_height).max() < 0.5
        assert np.abs(_offset(fit, person)).max() < 25


def test_convergence_from_perturbed_starts(rng):
    person = Person(PEOPLE, rng)
    fits = [_fit(person)]
    for _ in range(6):
        start = fits[0].pose.to_vector() + rng.normal(0, 0.1, 79) * np.where(np.arange(79) // 3 == 1, 150, 1)
        fits.append(_fit(person, initial=SpinePose.from_vector(start)))
    assert all(fit.converged for fit in fits)
    for fit in fits[1:]:
        np.testing.assert_allclose(fit.energy, fits[0].energy, rtol=0.02)
        assert np.abs(fit.T_body_vertebra - fits[0].T_body_vertebra)[BODY, :3, 3].max() < 1.5


def test_ninety_percent_intervals_cover_ninety_percent(rng):
    """Over 100 people drawn from the model, errors that go together included."""
    centers, turns = [], []
    for _ in range(100):
        person = Person(PEOPLE, rng)
        fit = _fit(person)
        assert fit.converged
        centers.append(_offset(fit, person) / fit.vertebra_sd_mm[BODY])
        relative = fit.T_body_vertebra[:, :3, :3] @ np.swapaxes(person.T[:, :3, :3], 1, 2)
        turns.append(np.degrees(so3_log(relative))[BODY] / fit.vertebra_rotation_sd_deg[BODY])
    for z in (np.stack(centers), np.stack(turns)):
        inside = np.abs(z) < 1.645
        assert 0.85 < inside.mean() < 0.95
        assert (
            np.abs(inside.mean(axis=(0, 1)) - 0.9) < 0.09
        ).all()  # along each axis: fewer independent draws


def test_fit_is_fast(rng):
    person = Person(PEOPLE, rng)
    assert min(_fit(person).cpu_s for _ in range(3)) < 0.3  # about 0.04 s without the tests' shape checks


def test_a_mirrored_and_moved_back_has_a_mirrored_and_moved_spine(rng):
    person = Person(PEOPLE, rng)
    fit, line, to = _fit(person), person.seen.line, np.array([30.0, 0.0, -20.0])
    other = replace(line, x_mm=to[0] - line.x_mm, z_mm=line.z_mm + to[2], rotation_rad=-line.rotation_rad)
    mirrored = fit_chain(TEMPLATE, replace(person.seen, line=other), PEOPLE)
    flip = np.diag([-1.0, 1.0, 1.0])
    expected = fit.T_body_vertebra[:, :3, 3] @ flip + to
    np.testing.assert_allclose(mirrored.T_body_vertebra[:, :3, 3], expected, atol=0.01)
    np.testing.assert_allclose(
        mirrored.T_body_vertebra[:, :3, :3], flip @ fit.T_body_vertebra[:, :3, :3] @ flip, atol=1e-3
    )
    np.testing.assert_allclose(mirrored.vertebra_sd_mm, fit.vertebra_sd_mm, rtol=1e-2)


def test_samples_have_the_posterior_s_spread(rng):
    fit = _fit(Person(PEOPLE, rng))
    T, skin = fit.samples_with_skin(4000, rng)
    assert T.shape == (4000, 25, 4, 4) and skin.shape == (4000, 25, 3)
    drawn, sd = T[:, BODY, :3, 3], fit.vertebra_sd_mm[BODY]
    np.testing.assert_allclose(drawn.std(0), sd, rtol=0.1)
    assert (
        np.abs(drawn.mean(0) - fit.T_body_vertebra[BODY, :3, 3]) < 0.3 * sd
    ).all()  # rotations bend the Gaussian
    assert (np.abs(skin.mean(0) - fit.skin_mm)[BODY] < 3.0).all()
    again = fit.samples(5, np.random.default_rng(1)), fit.samples(5, np.random.default_rng(1))
    np.testing.assert_array_equal(*again)
    np.testing.assert_allclose(fit.covariance, fit.covariance.T, atol=1e-9 * np.abs(fit.covariance).max())


def test_a_wrong_line_costs_more_than_the_true_one(rng):
    person = Person(PEOPLE, rng)
    true = _fit(person)
    line = person.seen.line
    hump = 20 * np.exp(-(((line.y_mm - 250) / 40) ** 2) / 2)
    for wrong in (
        replace(line, x_mm=line.x_mm + hump),
        replace(line, rotation_rad=line.rotation_rad + 0.02 * hump * np.sin(line.y_mm / 15)),
        replace(line, z_mm=line.z_mm + 2 * hump),
    ):
        assert fit_chain(TEMPLATE, replace(person.seen, line=wrong), PEOPLE).energy > true.energy + 1


def test_robust_loss_withstands_a_stretch_of_false_rotation(rng):
    person = Person(PEOPLE, rng, noise=0.3)
    line = person.seen.line
    low = 1 / (1 + np.exp((line.y_mm - line.y_mm[0] - 60) / 10))
    spoilt = replace(person.seen, line=replace(line, rotation_rad=line.rotation_rad + 0.5 * low))
    wrong = {}
    for loss in ("squared", "pseudo_huber", "geman_mcclure"):
        options = PEOPLE.model_copy(update={"line_loss": loss, "line_loss_scale": 1.5})
        fit = fit_chain(TEMPLATE, spoilt, options)
        assert fit.converged
        wrong[loss] = np.abs(_offset(fit, person)[:, 0]).mean()
    assert wrong["pseudo_huber"] < 0.8 * wrong["squared"]
    assert wrong["geman_mcclure"] < 0.6 * wrong["squared"]


def test_report_of_terms_adds_up(rng):
    fit = _fit(Person(PEOPLE, rng))
    assert [term.name for term in fit.cost_terms] == [
        "line", "depth", "rotation", "heights", "skin_factor", "scale", "root", "levels",
    ]  # fmt: skip
    assert sum(term.cost for term in fit.cost_terms) == pytest.approx(fit.energy)
    assert len(fit.term("line").residuals) == len(fit.line_levels) == 18
    assert fit.term("levels").cost == pytest.approx((fit.term("levels").residuals ** 2).sum() / 2)
    with pytest.raises(BadInput, match="no term 'motion'"):
        fit.term("motion")


def test_a_line_without_rotation_is_fitted_without_that_term(rng):
    person = Person(PEOPLE, rng)
    nothing = np.full_like(person.seen.line.y_mm, np.nan)
    blind = replace(person.seen, line=replace(person.seen.line, rotation_rad=nothing))
    fit, with_rotation = fit_chain(TEMPLATE, blind, PEOPLE), _fit(person)
    assert fit.converged and "rotation" not in {term.name for term in fit.cost_terms}
    azimuth = costs.LEVELS.index("T8")
    assert fit.vertebra_rotation_sd_deg[azimuth, 1] > with_rotation.vertebra_rotation_sd_deg[azimuth, 1]
    assert fit.vertebra_sd_mm[azimuth, 0] > with_rotation.vertebra_sd_mm[azimuth, 0]


def test_levels_without_a_line_are_left_to_the_prior(rng):
    person = Person(PEOPLE, rng)
    line = person.seen.line
    gap = (line.y_mm > 150) & (line.y_mm < 260)
    torn = replace(person.seen, line=replace(line, x_mm=np.where(gap, np.nan, line.x_mm)))
    fit, whole = fit_chain(TEMPLATE, torn, PEOPLE), _fit(person)
    missing = [LEVELS.index(level) for level in LEVELS[6:24] if level not in fit.line_levels]
    assert len(missing) >= 3
    assert (fit.vertebra_sd_mm[missing, 0] > whole.vertebra_sd_mm[missing, 0]).all()


def test_sure_lines_are_followed_more_closely_than_vague_ones(rng):
    person = Person(PEOPLE, rng)
    automatic = replace(person.seen, edited=False)
    vague = replace(automatic, line=replace(automatic.line, sigma_mm=np.full_like(automatic.line.y_mm, 8.0)))
    edited, loose = _fit(person), fit_chain(TEMPLATE, vague, PEOPLE)
    off = [fit.term("line").rms_sigma * sigma for fit, sigma in ((edited, 1.5), (loose, 8.0))]
    assert off[0] < off[1]
    assert (loose.vertebra_sd_mm[BODY, 0] > edited.vertebra_sd_mm[BODY, 0]).all()


def test_fallback_takes_over_where_the_first_solver_stops(rng):
    person = Person(PEOPLE, rng)
    fit = _fit(person)
    cut = _fit(person, PEOPLE.model_copy(update={"max_iterations": 2}))
    assert cut.solver == "trust-region" and cut.converged
    assert "not converged after 2" in cut.message
    assert cut.energy == pytest.approx(fit.energy, rel=1e-3)
    np.testing.assert_allclose(cut.T_body_vertebra[BODY, :3, 3], fit.T_body_vertebra[BODY, :3, 3], atol=0.3)


def test_reference_pose_keeps_changes_within_the_range_of_motion(rng):
    person = Person(PEOPLE, rng)
    free = _fit(person)
    turned, l2 = free.pose.joint_rotation_rad.copy(), LEVELS.index("L2")
    turned[l2, 1] += np.radians(15)  # L2-L3 turns by 2 deg to a side
    reference = SpinePose(joint_rotation_rad=turned)
    held = _fit(person, PEOPLE.model_copy(update={"motion_deg": 0.1}), reference=reference)
    assert "motion" in {term.name for term in held.cost_terms}
    change = [np.degrees(abs(fit.pose.joint_rotation_rad[l2, 1] - turned[l2, 1])) for fit in (free, held)]
    assert change[0] == pytest.approx(15)
    assert change[1] < 4


def test_coupling_turns_vertebrae_where_no_rotation_was_measured():
    """A line that bends to the right: with the coupling the centres lie farther out than the skin shows."""
    y = np.arange(10.0, 450.0, 4.0)
    bump = 15 * np.exp(-(((y - 270) / 60) ** 2))
    line = LineObservation(y, bump, 0 * y, 0 * y + 1.5, np.nan * y, np.nan * y)
    seen = Observations(line, vp_mm=np.array([0.0, 455.0, 0.0]), base_mm=np.zeros(3), edited=True)
    t8 = LEVELS.index("T8")
    plain = fit_chain(TEMPLATE, seen)
    coupled = fit_chain(TEMPLATE, seen, FitOptions(coupling=Coupling()))
    assert "coupling" not in {term.name for term in plain.cost_terms}
    out = [fit.T_body_vertebra[t8, 0, 3] - fit.skin_mm[t8, 0] for fit in (plain, coupled)]
    assert out[1] > out[0] + 1


def test_bad_lines_are_refused():
    y = np.linspace(0.0, 440.0, 45)

    def line(y: np.ndarray, x: float = 0.0) -> LineObservation:
        full = np.full_like(y, x)
        return LineObservation(y, full, 0 * y, 0 * y + 2.0, 0 * y, 0 * y + 0.02)

    def seen(line: LineObservation, vp: float = 450.0) -> Observations:
        return Observations(line, vp_mm=np.array([0.0, vp, 0.0]), base_mm=np.zeros(3))

    assert fit_chain(TEMPLATE, seen(line(y))).converged
    with pytest.raises(BadInput, match="0 of 45 points have a position"):
        seen(line(y, np.nan))
    with pytest.raises(BadInput, match="4 of 4 points"):
        seen(line(y[::12]))
    with pytest.raises(BadInput, match=r"covers 200 of the 450 mm.*50% are needed"):
        seen(line(y[:21]))
    with pytest.raises(BadInput, match=r"VP .* is not above the base"):
        seen(line(y), vp=-10.0)
    with pytest.raises(BadInput, match=r"vp_mm: must be three finite"):
        seen(line(y), vp=np.nan)
    with pytest.raises(BadInput, match="increase from point to point"):
        line(y[::-1].copy())
    with pytest.raises(BadInput, match=r"line\.sigma_mm: every standard deviation"):
        replace(line(y), sigma_mm=0 * y)
