"""The energy of one fit: its terms, their data and sigmas, as a function of the state alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float

from spine import costs
from spine.anatomy import LEVELS
from spine.chain import SpinePose, SpineTemplate
from spine.costs import N_STATE, ChainState, Term
from spine.fit_options import FitOptions
from spine.lm import Linearisation, Loss, robust
from spine.observations import Curve, Observations
from suite.errors import BadInput

LINE_LEVELS = np.arange(LEVELS.index("C7"), LEVELS.index("S1"))
FEWEST_LEVELS = 3
_SQUARED: tuple[Loss, float] = ("squared", 1.0)


class Problem:
    """Terms with their weights settled; `start` is where a search begins, `levels` what the line is
    compared at.

    Sigmas and levels are read at the heights of the placed template and then kept: a level cannot evade the
    line, and every start has the same energy.
    """

    def __init__(
        self,
        template: SpineTemplate,
        seen: Observations,
        options: FitOptions,
        initial: SpinePose | None = None,
        reference: SpinePose | None = None,
    ) -> None:
        self.template, self.options, self.seen = template, options, seen
        line = seen.line
        self._seen_y = line.y_mm[line.seen]
        self._x_of_y = Curve(self._seen_y, line.x_mm[line.seen, None])
        self._z_of_y = Curve(self._seen_y, line.z_mm[line.seen, None])
        self._log_scale = float(np.log(seen.trunk_mm / costs.template_trunk_mm(template)))
        self._rest = self._placed()
        self.start = self._rest if initial is None else np.append(initial.to_vector(), 0.0)

        height = self.state(self._rest).center[LINE_LEVELS, 1]
        near = _near(height, self._seen_y, options.reach_mm)
        if near.sum() < FEWEST_LEVELS:
            raise BadInput(
                f"it passes {near.sum()} of the {len(height)} vertebrae, at least {FEWEST_LEVELS} are needed",
                where="spinous line",
                hint="give it points along the whole back",
            )
        self.levels = LINE_LEVELS[near]
        self._correlated: dict[str, np.ndarray] = {}
        self._terms: dict[str, tuple[Callable[[ChainState], Term], tuple[Loss, float]]] = {}
        self._add_line(height[near])
        self._add_rotation(height[near])
        self._add_knowledge()
        if reference is not None:
            softness = float(np.radians(options.motion_deg))
            self._add("motion", partial(costs.motion_term, reference=reference, sigma_rad=softness))

        state = self.state(self.start)
        ends = np.cumsum([0, *(len(term(state)[0]) for term, _ in self._terms.values())])
        self._rows = {name: slice(*ends[i : i + 2]) for i, name in enumerate(self._terms)}

    def state(self, x: Float[np.ndarray, " 80"]) -> ChainState:
        """The chain at a state."""
        vp_y = float(self.seen.vp_mm[1])
        return costs.chain_state(self.template, x, self.options.skin_depth, self.seen.trunk_mm, vp_y)

    def evaluate(self, x: Float[np.ndarray, " 80"]) -> Linearisation:
        """All residuals and their Jacobian."""
        state = self.state(x)
        rows = [(*term(state), loss) for term, loss in self._terms.values()]
        losses = [robust(r, *loss) for r, _, loss in rows]
        r, J = (np.concatenate([row[k] for row in rows]) for k in (0, 1))
        rho, weight = (np.concatenate([pair[k] for pair in losses]) for k in (0, 1))
        return Linearisation(x, r, J, rho, weight)

    def by_term(self, values: Float[np.ndarray, " m"]) -> dict[str, np.ndarray]:
        """Parts, by the name of their term, of an array with a value for every residual."""
        return {name: values[rows] for name, rows in self._rows.items()}

    def covariance(self, at: Linearisation) -> Float[np.ndarray, "80 80"]:
        """Posterior covariance; errors of neighbouring levels go together as the options say."""
        options, H = self.options, at.hessian
        unit = np.sqrt(np.diag(H))  # the state mixes rad and mm: scale before the inverse
        bread = np.linalg.inv(H / np.outer(unit, unit)) / np.outer(unit, unit)
        meat = H.copy()
        for name, levels in self._correlated.items():
            rows = self._rows[name]
            J = np.sqrt(at.weight[rows])[:, None] * at.J[rows]
            excess = _correlation(levels, options.error_length_levels) - np.eye(len(levels))
            if name == "depth":
                unexplained = self._unexplained_skin_mm(levels) / options.weights.depth_mm
                excess += np.outer(unexplained, unexplained) * _correlation(
                    levels, options.skin_length_levels
                )
            if name == "rotation":
                excess += np.outer(self._gain_error, self._gain_error)
            meat += J.T @ excess @ J
            if name != "rotation" and options.error_length_levels:
                meat += self._slope_errors(at.x, levels, at.weight[rows])
        return bread @ meat @ bread

    def _add(
        self, name: str, term: Callable[[ChainState], Term], loss: tuple[Loss, float] = _SQUARED
    ) -> None:
        self._terms[name] = (term, loss)

    def _add_line(self, height: np.ndarray) -> None:
        line, weights = self.seen.line, self.options.weights
        claimed = np.maximum(line.sigma_mm[line.seen], weights.line_least_mm)
        sigma = np.full_like(height, weights.line_edited_mm)
        if not self.seen.edited:
            sigma = np.interp(height, self._seen_y, claimed)
        depth_sigma = np.full_like(height, weights.depth_mm)
        lateral = partial(costs.line_term, levels=self.levels, x_of_y=self._x_of_y, sigma_mm=sigma)
        depth = partial(costs.depth_term, levels=self.levels, z_of_y=self._z_of_y, sigma_mm=depth_sigma)
        self._add("line", lateral, (self.options.line_loss, self.options.line_loss_scale))
        self._add("depth", depth)
        self._correlated |= {"line": self.levels, "depth": self.levels}

    def _add_rotation(self, height: np.ndarray) -> None:
        line, options = self.seen.line, self.options
        y = line.y_mm[line.rotation_seen]
        near = _near(height, y, options.reach_mm)
        if not near.any():
            return
        measured = np.interp(height[near], y, line.rotation_sigma_rad[line.rotation_seen])
        rotation_of_y = Curve(y, line.rotation_rad[line.rotation_seen, None])
        sigma_rad = np.hypot(np.radians(options.weights.rotation_deg), options.rotation_gain * measured)
        term = partial(
            costs.rotation_term,
            levels=self.levels[near],
            rotation_of_y=rotation_of_y,
            gain=options.rotation_gain,
            sigma_rad=sigma_rad,
        )
        self._gain_error = options.rotation_gain_sd * rotation_of_y(height[near])[0][:, 0] / sigma_rad
        self._add("rotation", term, (options.line_loss, options.line_loss_scale))
        self._correlated["rotation"] = self.levels[near]

    def _add_knowledge(self) -> None:
        seen, weights, prior = self.seen, self.options.weights, self.options.weights.levels
        height_sigma = np.hypot(weights.height_mm, [seen.vp_sigma_mm, seen.base_sigma_mm])
        vp_y, base_y = float(seen.vp_mm[1]), float(seen.base_mm[1])
        self._add(
            "heights", partial(costs.height_term, vp_y_mm=vp_y, base_y_mm=base_y, sigma_mm=height_sigma)
        )
        self._add("skin_factor", partial(costs.skin_factor_term, sigma=weights.skin_factor))
        self._add("scale", partial(costs.scale_term, expected=self._log_scale, sigma=weights.log_scale))
        self._add("root", partial(costs.root_term, sigma_rad=np.radians(weights.root_deg)))
        sd = np.radians([prior.flexion_deg, prior.axial_deg, prior.lateral_deg])
        whitening = costs.level_whitening(sd, np.radians(prior.white_deg), prior.length_levels)
        self._add("levels", partial(costs.level_prior_term, whitening=whitening))
        if self.options.coupling is not None:
            ratio, sigma_rad = self.options.coupling.ratio, float(np.radians(self.options.coupling.sigma_deg))
            self._add("coupling", partial(costs.coupling_term, ratio=ratio, sigma_rad=sigma_rad))

    def _slope_errors(self, x: np.ndarray, levels: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Errors of the line also tilt it and let levels slide along it: variance of the gradient from that.

        A Gaussian process of standard deviation sigma and length l has slopes of deviation sigma / l.
        """
        dheight = self.state(x).dcenter[levels, 1] * np.sqrt(weight)[:, None]
        length_mm = self.options.error_length_levels * self.seen.trunk_mm / len(LINE_LEVELS)
        together = _correlation(levels, self.options.error_length_levels) ** 2
        return dheight.T @ together @ dheight / length_mm**2

    def _unexplained_skin_mm(self, levels: np.ndarray) -> np.ndarray:
        """What the skin factor leaves of the known scatter of the skin-to-centre distance."""
        below = self.seen.vp_mm[1] - self.state(self._rest).center[levels, 1]
        depth = self.options.skin_depth.depth_mm(self.seen.trunk_mm, below)
        explained = self.options.weights.skin_factor * depth
        return np.sqrt(np.maximum(self.options.skin_depth.sd**2 - explained**2, 0))

    def _placed(self) -> np.ndarray:
        """The template scaled to the trunk and moved under the line."""
        x = np.zeros(N_STATE)
        x[costs.SCALE] = self._log_scale
        vp, base = float(self.seen.vp_mm[1]), float(self.seen.base_mm[1])
        missed = costs.height_term(self.state(x), vp, base, np.ones(2))[0]
        x[4] = -missed[1]
        skin = self.state(x).skin[0][LINE_LEVELS]
        inside = skin[(skin[:, 1] >= self._seen_y[0] - 20) & (skin[:, 1] <= self._seen_y[-1] + 20)]
        for axis, curve in ((0, self._x_of_y), (2, self._z_of_y)):
            x[3 + axis] = np.median(curve(inside[:, 1])[0][:, 0] - inside[:, axis])
        return x


def _near(height: np.ndarray, y: np.ndarray, reach_mm: float) -> np.ndarray:
    """Which heights have a point of the line within reach."""
    if not len(y):
        return np.zeros(len(height), bool)
    return np.abs(height[:, None] - y).min(axis=1) <= reach_mm


def _correlation(levels: np.ndarray, length_levels: float) -> np.ndarray:
    step = levels[:, None] - levels
    if length_levels == 0:
        return np.eye(len(levels))
    return np.exp(-((step / length_levels) ** 2) / 2)
