"""Robust non-linear least squares: Levenberg-Marquardt on dense problems of a hundred parameters.

The energy is  E(x) = 1/2 sum_i rho_i(r_i(x)^2)  of whitened residuals r. Robust losses enter by iteratively
re-weighted least squares: with w = rho'(r^2) the gradient is J' w r and the Gauss-Newton matrix J' w J.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import least_squares

Loss = Literal["squared", "pseudo_huber", "geman_mcclure"]


def robust(
    r: Float[np.ndarray, " n"], loss: Loss, scale: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """rho(r^2) and its derivative, the weight, of a loss that leaves the quadratic near `scale` sigmas.

    Pseudo-Huber goes on linearly, Geman-McClure levels off at scale^2.
    """
    square = r * r
    if loss == "squared":
        return square, np.ones_like(r)
    u = 1 + square / scale**2
    if loss == "pseudo_huber":
        root = np.sqrt(u)
        return 2 * scale**2 * (root - 1), 1 / root
    return square / u, 1 / u**2


@dataclass(frozen=True)
class Linearisation:
    """Whitened residuals and Jacobian at x, with the robust cost and weight of every residual."""

    x: Float[np.ndarray, " n"]
    r: Float[np.ndarray, " m"]
    J: Float[np.ndarray, "m n"]
    rho: Float[np.ndarray, " m"]
    weight: Float[np.ndarray, " m"]

    @property
    def energy(self) -> float:
        return float(self.rho.sum() / 2)

    @property
    def gradient(self) -> Float[np.ndarray, " n"]:
        return self.J.T @ (self.weight * self.r)

    @property
    def hessian(self) -> Float[np.ndarray, "n n"]:
        return (self.J.T * self.weight) @ self.J


@dataclass(frozen=True)
class Solution:
    """Where a solver stopped; `iterations` counts evaluations of residuals and Jacobian."""

    at: Linearisation
    converged: bool
    iterations: int
    solver: str
    message: str


Evaluate = Callable[[np.ndarray], Linearisation]


def levenberg_marquardt(
    evaluate: Evaluate, start: Float[np.ndarray, " n"], max_iterations: int = 60, tolerance: float = 1e-4
) -> Solution:
    """Minimise from `start`. Converged: the next step is shorter than `tolerance` posterior standard
    deviations.

    Damping scales the diagonal (Marquardt 1963) and follows the gain ratio after Nielsen (IMM-REP-1999-05).
    """
    at = evaluate(start)
    damping, grow, iterations = 1e-3, 2.0, 1
    while iterations < max_iterations:
        H, g = at.hessian, at.gradient
        if not np.isfinite(H).all():
            return Solution(at, False, iterations, "levenberg-marquardt", "the energy is not finite")
        diagonal = np.maximum(np.diag(H), 1e-12)
        step = _solve(H + damping * np.diag(diagonal), -g)
        if step is not None and -g @ step < tolerance**2:
            full = _solve(H, -g)
            if full is not None and -g @ full < tolerance**2:
                message = f"the next step is below {tolerance:g} standard deviations"
                return Solution(at, True, iterations, "levenberg-marquardt", message)
        gain = -1.0
        if step is not None:
            trial = evaluate(at.x + step)
            iterations += 1
            predicted = (damping * diagonal @ step**2 - g @ step) / 2
            gain = (at.energy - trial.energy) / predicted if np.isfinite(trial.energy) else -1.0
            if gain > 0:
                at, grow = trial, 2.0
                damping = max(damping * max(1 / 3, 1 - (2 * gain - 1) ** 3), 1e-12)
        if gain <= 0:
            damping, grow = damping * grow, grow * 2
            if damping > 1e12:
                return Solution(at, False, iterations, "levenberg-marquardt", "no step lowers the energy")
    message = f"not converged after {iterations} evaluations"
    return Solution(at, False, iterations, "levenberg-marquardt", message)


def trust_region(evaluate: Evaluate, start: Float[np.ndarray, " n"], max_iterations: int = 300) -> Solution:
    """The same energy by scipy's trust-region reflective method; slower, and a second opinion."""
    last: list[Linearisation] = []

    def at(x: np.ndarray) -> Linearisation:
        if not last or not np.array_equal(last[0].x, x):
            last[:] = [evaluate(x)]
        return last[0]

    def residuals(x: np.ndarray) -> np.ndarray:
        here = at(x)
        return np.sign(here.r) * np.sqrt(here.rho)  # their squares sum to twice the energy

    def jacobian(x: np.ndarray) -> np.ndarray:
        here = at(x)
        root = np.sqrt(here.rho)
        slope = np.divide(here.weight * np.abs(here.r), root, out=np.ones_like(root), where=root > 1e-12)
        return slope[:, None] * here.J

    found = least_squares(
        residuals,
        start,
        jacobian,  # type: ignore[arg-type]  (the stubs only know the names of finite differences)
        method="trf",
        x_scale="jac",
        xtol=1e-10,
        ftol=1e-12,
        max_nfev=max_iterations,
    )
    return Solution(at(found.x), bool(found.success), int(found.nfev), "trust-region", str(found.message))


def _solve(H: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """H^-1 b, or None where H is not positive definite."""
    try:
        return cho_solve(cho_factor(H, check_finite=False), b, check_finite=False)
    except LinAlgError:
        return None
