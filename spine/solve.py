"""Fit a chain of vertebrae to what the back shows, with its posterior.

    energy = line + depth + rotation + heights             what was seen (spine.costs)
           + skin factor + scale + root + levels           what is known of people
           (+ coupling) (+ range of motion)

minimised by Levenberg-Marquardt from the template placed under the skin. Around the minimum the state is
taken as Gaussian: with H = J' W J of all terms, W the robust weights, its covariance is

    H^-1 (J' W^1/2 C W^1/2 J) H^-1

where C holds how errors of neighbouring levels go together (C = I gives H^-1).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from spine import costs
from spine.anatomy import LEVELS
from spine.chain import (
    N_PARAMETERS,
    SpinePose,
    SpineTemplate,
    forward_kinematics_of_vectors,
    kinematics_jacobian,
)
from spine.costs import N_STATE
from spine.fit_options import Coupling, FitOptions, FitWeights, LevelPrior
from spine.lm import Solution, levenberg_marquardt, trust_region
from spine.observations import LineObservation, Observations
from spine.problem import Problem
from spine.skin_depth import SkinDepth
from suite.errors import BadInput
from suite.threads import one_thread

__all__ = [
    "Coupling",
    "FitOptions",
    "FitWeights",
    "LevelPrior",
    "LineObservation",
    "Observations",
    "SkinDepth",
    "SpineFit",
    "TermReport",
    "fit_chain",
]


@dataclass(frozen=True)
class TermReport:
    """One term at the solution: its share of the energy, and its residuals in standard deviations."""

    name: str
    cost: float
    residuals: Float[np.ndarray, " m"]

    @property
    def rms_sigma(self) -> float:
        """Root mean square of the residuals: about 1 or below where the term's sigma is honest."""
        return float(np.sqrt(np.mean(self.residuals**2)))


@dataclass(frozen=True)
class SpineFit:
    """A fitted chain: frames in the body frame (mm, order of `LEVELS`), posterior and how it came about.

    `state` is the pose vector and the logarithm of the skin factor, `covariance` its posterior covariance;
    `skin_mm` holds the point of the skin that lies behind each vertebra, `line_levels` the levels that
    line, depth and rotation were compared at. `energy` is the sum of the terms' costs; `solver` says which
    method gave the result and `iterations` how many evaluations it took.
    """

    template: SpineTemplate
    options: FitOptions
    observations: Observations
    state: Float[np.ndarray, " n"]
    T_body_vertebra: Float[np.ndarray, "25 4 4"]
    skin_mm: Float[np.ndarray, "25 3"]
    covariance: Float[np.ndarray, "n n"]
    line_levels: tuple[str, ...]
    cost_terms: tuple[TermReport, ...]
    energy: float
    converged: bool
    iterations: int
    solver: str
    cpu_s: float
    message: str

    @cached_property
    def pose(self) -> SpinePose:
        """The chain's pose."""
        return SpinePose.from_vector(self.state[:N_PARAMETERS])

    @property
    def skin_factor(self) -> float:
        """The person's skin-to-centre distance over that of `SkinDepth`."""
        return float(np.exp(self.state[costs.SKIN]))

    def sample_states(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n 80"]:
        """n draws of the state from its posterior."""
        return self.state + rng.standard_normal((n, N_STATE)) @ self._posterior_root.T

    def samples(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n 25 4 4"]:
        """n draws of `T_body_vertebra` from the posterior."""
        return forward_kinematics_of_vectors(self.template, self.sample_states(n, rng)[:, :N_PARAMETERS])

    def samples_with_skin(
        self, n: int, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "n 25 4 4"], Float[np.ndarray, "n 25 3"]]:
        """The same with the skin point over every vertebra."""
        seen = self.observations
        states = self.sample_states(n, rng)
        depth = self.options.skin_depth
        return costs.skin_points(self.template, states, depth, seen.trunk_mm, float(seen.vp_mm[1]))

    @cached_property
    def vertebra_sd_mm(self) -> Float[np.ndarray, "25 3"]:
        """Posterior standard deviation of every centre along x, y, z."""
        return self._sd(self._derivatives[0])

    @cached_property
    def vertebra_rotation_sd_deg(self) -> Float[np.ndarray, "25 3"]:
        """Posterior standard deviation of every vertebra's rotation about the body's x, y, z axes."""
        return np.degrees(self._sd(self._derivatives[1]))

    def term(self, name: str) -> TermReport:
        """The report of one term. Raises BadInput for one that took no part."""
        found = {report.name: report for report in self.cost_terms}
        if name not in found:
            raise BadInput(f"no term {name!r} in this fit (it has {', '.join(found)})", where="SpineFit.term")
        return found[name]

    @cached_property
    def _posterior_root(self) -> np.ndarray:
        scale = np.sqrt(np.diag(self.covariance))
        values, vectors = np.linalg.eigh(self.covariance / np.outer(scale, scale))
        return scale[:, None] * vectors * np.sqrt(np.maximum(values, 0))

    @cached_property
    def _derivatives(self) -> tuple[np.ndarray, np.ndarray]:
        return kinematics_jacobian(self.template, self.pose)[1:]

    def _sd(self, derivative: np.ndarray) -> np.ndarray:
        moved = derivative @ self.covariance[:N_PARAMETERS, :N_PARAMETERS]
        return np.sqrt(np.maximum((moved * derivative).sum(-1), 0))


@one_thread
def fit_chain(
    template: SpineTemplate,
    observations: Observations,
    options: FitOptions | None = None,
    initial: SpinePose | None = None,
    *,
    reference: SpinePose | None = None,
) -> SpineFit:
    """The most probable chain under the skin, with its posterior.

    `initial` is where the search starts (else the template, placed). With a `reference` pose of the same
    person, changes against it are kept within the range of motion. Where Levenberg-Marquardt does not
    converge scipy's trust-region method takes over; `solver`, `converged` and `message` say what happened.
    """
    began = time.process_time()
    problem = Problem(template, observations, options or FitOptions(), initial, reference)
    found = levenberg_marquardt(problem.evaluate, problem.start, problem.options.max_iterations)
    if not found.converged:
        found = _second_opinion(problem, found)
    state = problem.state(found.at.x)
    return SpineFit(
        template=template,
        options=problem.options,
        observations=observations,
        state=found.at.x,
        T_body_vertebra=state.T_body_vertebra,
        skin_mm=state.skin[0],
        covariance=problem.covariance(found.at),
        line_levels=tuple(LEVELS[i] for i in problem.levels),
        cost_terms=_reports(problem, found),
        energy=found.at.energy,
        converged=found.converged,
        iterations=found.iterations,
        solver=found.solver,
        cpu_s=time.process_time() - began,
        message=found.message,
    )


def _second_opinion(problem: Problem, first: Solution) -> Solution:
    start = first.at.x if np.isfinite(first.at.energy) else problem.start
    second = trust_region(problem.evaluate, start)
    message = f"{first.solver}: {first.message}; {second.solver}: {second.message}"
    return Solution(second.at, second.converged, first.iterations + second.iterations, second.solver, message)


def _reports(problem: Problem, found: Solution) -> tuple[TermReport, ...]:
    rho = problem.by_term(found.at.rho)
    residuals = problem.by_term(found.at.r)
    return tuple(TermReport(name, float(rho[name].sum() / 2), residuals[name]) for name in rho)
