"""The solvers: losses and their weights, convergence, and what is said when there is none."""

import numpy as np
import pytest

from spine.lm import Linearisation, levenberg_marquardt, robust, trust_region


@pytest.mark.parametrize("loss", ["squared", "pseudo_huber", "geman_mcclure"])
def test_weight_is_the_derivative_of_the_loss(loss):
    r = np.linspace(-6, 6, 41)
    rho, weight = robust(r, loss, 1.7)
    h = 1e-6
    slope = (robust(r + h, loss, 1.7)[0] - robust(r - h, loss, 1.7)[0]) / (2 * h)
    np.testing.assert_allclose(2 * r * weight, slope, atol=1e-7)
    assert rho[20] == 0 and weight[20] == 1 and (rho <= r**2 + 1e-12).all()


@pytest.mark.parametrize("solver", [levenberg_marquardt, trust_region])
def test_solvers_cross_rosenbrock_s_valley(solver):
    def evaluate(x: np.ndarray) -> Linearisation:
        r = np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
        J = np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])
        return Linearisation(x, r, J, r * r, np.ones(2))

    found = solver(evaluate, np.array([-1.2, 1.0]), 100)
    assert found.converged
    np.testing.assert_allclose(found.at.x, [1, 1], atol=1e-4)


def test_solver_says_when_no_step_helps():
    def evaluate(x: np.ndarray) -> Linearisation:
        r = np.array([np.nan if x[0] < 1 else 1.0])
        return Linearisation(x, r, np.ones((1, 1)), r * r, np.ones(1))

    found = levenberg_marquardt(evaluate, np.array([1.0]))
    assert not found.converged and "no step lowers" in found.message
