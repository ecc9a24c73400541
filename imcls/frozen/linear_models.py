"""Linear classifiers fitted to a table of features: logistic regression, ridge, linear discriminants.

Letters: X (n, d) features, Y (n, k) targets (one-hot, or 0 and 1 for each of k labels), W (d, k) weights, b
(k,) biases, l the L2 penalty. Features are standardised inside; weights come back on the scale of the
features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from suite.threads import one_thread

_ITERATIONS = 2000


@dataclass(frozen=True)
class LinearModel:
    """``logits = X @ weight.T + bias``; weight (k, d), bias (k,) float64; ``penalty`` as it was fitted."""

    weight: np.ndarray
    bias: np.ndarray
    penalty: float

    def logits(self, X: np.ndarray) -> np.ndarray:
        """(n, k) float32 of features (n, d)."""
        return (np.asarray(X, np.float64) @ self.weight.T + self.bias).astype(np.float32)


class Axes:
    """Standardised features on their principal axes: the same fits in at most min(n, d) coordinates.

    A penalty on |W| does not change when features are rotated, and weights outside the span of the data are
    zero at the optimum, so nothing is lost. ``Z`` (n, r) are the coordinates, ``spread`` (r,) their mean
    squares.
    """

    def __init__(self, X: np.ndarray) -> None:
        X = np.asarray(X, np.float64)
        if not np.isfinite(X).all():
            raise ValueError("features are not finite")
        self.mean = X.mean(axis=0)
        deviation = X.std(axis=0)
        self.scale = np.where(deviation > 1e-12 * max(1.0, float(deviation.max(initial=0.0))), deviation, 1.0)
        S = (X - self.mean) / self.scale
        n, d = S.shape
        # The eigenvectors of the smaller of the two Gram matrices are enough.
        values, vectors = np.linalg.eigh(S @ S.T if n < d else S.T @ S)
        keep = values > max(float(values[-1]), 1e-300) * 1e-10
        values, vectors = values[keep], vectors[:, keep]
        self.directions = S.T @ (vectors / np.sqrt(values)) if n < d else vectors
        self.Z = vectors * np.sqrt(values) if n < d else S @ vectors
        self.spread = values / n

    def model(self, W: np.ndarray, b: np.ndarray, penalty: float) -> LinearModel:
        """Weights (r, k) in coordinates as weights of the features."""
        weight = (self.directions @ W) / self.scale[:, None]
        return LinearModel(weight.T, b - self.mean @ weight, penalty)


@dataclass(frozen=True)
class Start:
    """Where a fit begins: the optimum of a neighbouring problem saves most of the steps."""

    W: np.ndarray
    b: np.ndarray


def fit_logistic(
    Z: np.ndarray,
    Y: np.ndarray,
    penalty: float,
    spread: np.ndarray,
    *,
    multi_label: bool = False,
    start: Start | None = None,
    tolerance: float = 1e-6,
) -> Start:
    """W, b that minimise mean log loss + l/2 |W|^2, to a largest gradient of ``tolerance`` (conditioned).

    L-BFGS with the analytic gradient, each coordinate scaled by Boehning's bound on the curvature (1992,
    Multinomial logistic regression algorithm): at most 1/2 of the feature's mean square for a softmax, 1/4
    for a sigmoid, plus l. That makes the problem nearly round, and a few tens of steps enough.
    """
    from scipy.optimize import minimize

    n, r = Z.shape
    k = Y.shape[1]
    bound = 0.25 if multi_label else 0.5
    conditioner = np.concatenate([1.0 / np.sqrt(bound * spread + penalty), [1.0 / np.sqrt(bound)]])[:, None]
    loss_of = _sigmoid_loss if multi_label else _softmax_loss

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = flat.reshape(r + 1, k) * conditioner
        W, b = scaled[:r], scaled[r]
        loss, residual = loss_of(Z @ W.astype(Z.dtype) + b, Y)
        gradient = np.empty((r + 1, k))
        gradient[:r] = Z.T @ residual.astype(Z.dtype) / n + penalty * W
        gradient[r] = residual.sum(axis=0) / n
        value = loss / n + 0.5 * penalty * float(np.vdot(W, W))
        return value, (gradient * conditioner).ravel()

    first = np.zeros((r + 1, k))
    if start is not None:
        first[:r], first[r] = start.W, start.b
    found = minimize(
        objective,
        (first / conditioner).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _ITERATIONS, "gtol": tolerance, "ftol": 1e-15, "maxcor": 20},
    )
    solution = found.x.reshape(r + 1, k) * conditioner
    return Start(solution[:r], solution[r])


@one_thread
def logistic_path(
    axes: Axes,
    Y: np.ndarray,
    penalties: Sequence[float],
    splits: Sequence[np.ndarray],
    multi_label: bool,
) -> tuple[LinearModel, np.ndarray]:
    """The model at the penalty with the least log loss on held-out parts, and those losses (penalties,).

    ``splits`` are boolean masks (n,) of what is held out in turn. Penalties are tried from strong to weak,
    each fit starting at the one before.
    """
    ordered = sorted(set(penalties), reverse=True)
    losses = np.zeros(len(ordered))
    loss_of = _sigmoid_loss if multi_label else _softmax_loss
    if len(ordered) > 1:
        Z_all = axes.Z.astype(np.float32)  # precise enough to compare penalties, and twice as fast
        for held in splits:
            Z, target, start = Z_all[~held], Y[~held], None
            for index, penalty in enumerate(ordered):
                start = fit_logistic(
                    Z, target, penalty, axes.spread, multi_label=multi_label, start=start, tolerance=1e-3
                )
                losses[index] += loss_of(Z_all[held] @ start.W + start.b, Y[held])[0] / len(Y)
    best = ordered[int(losses.argmin())]
    fitted = fit_logistic(axes.Z, Y, best, axes.spread, multi_label=multi_label)
    return axes.model(fitted.W, fitted.b, best), losses


@one_thread
def fit_ridge(axes: Axes, Y: np.ndarray, penalties: Sequence[float], multi_label: bool) -> LinearModel:
    """Least squares on targets of -1 and 1, the penalty with the least leave-one-out error (PRESS).

    Every leave-one-out prediction follows from one decomposition (Golub, Heath and Wahba 1979, eq. 2.3).
    Scores become logits by the factor that gives those predictions the least log loss.
    """
    n = len(Y)
    target = 2.0 * Y - 1.0
    mean = target.mean(axis=0)
    U = axes.Z / np.sqrt(axes.spread * n)  # orthonormal columns
    projected = U.T @ (target - mean)
    best: tuple[float, float, np.ndarray] | None = None
    for penalty in sorted(set(penalties), reverse=True):
        shrink = axes.spread / (axes.spread + penalty)
        leverage = (U**2) @ shrink + 1.0 / n
        fitted = U @ (shrink[:, None] * projected) + mean
        left_out = target - (target - fitted) / np.maximum(1.0 - leverage, 1e-9)[:, None]
        error = float(((target - left_out) ** 2).mean())
        if best is None or error < best[0]:
            best = (error, penalty, left_out)
    if best is None:
        raise ValueError("no penalties to choose from")
    _, penalty, left_out = best
    factor = _factor(left_out, Y, multi_label)
    W = (np.sqrt(axes.spread / n) / (axes.spread + penalty))[:, None] * projected
    return axes.model(factor * W, factor * mean, penalty)


@one_thread
def fit_lda(X: np.ndarray, Y: np.ndarray) -> LinearModel:
    """Linear discriminants: classes of one covariance, shrunk towards a multiple of the identity.

    The shrinkage is Ledoit and Wolf's (2004, A well-conditioned estimator, section 3.2), closed form; it is
    reported as ``penalty``. ``Y`` is one-hot.
    """
    counts = Y.sum(axis=0)
    present = counts > 0
    class_means = (Y.T @ X) / np.maximum(counts, 1.0)[:, None]
    within = X - Y @ class_means
    scale = np.maximum(within.std(axis=0), 1e-12 * max(1.0, float(np.abs(X).max(initial=0.0))))
    C, M = within / scale, class_means / scale
    n, d = C.shape
    covariance = C.T @ C / n
    target = float(np.trace(covariance)) / d
    distance = float((covariance**2).sum()) - d * target**2
    noise = (float((np.einsum("ij,ij->i", C, C) ** 2).sum()) / n - float((covariance**2).sum())) / n
    shrinkage = float(np.clip(noise / distance, 0.0, 1.0)) if distance > 0 else 1.0
    covariance *= 1.0 - shrinkage
    covariance[np.diag_indices(d)] += max(shrinkage * target, 1e-9)
    W = np.linalg.solve(covariance, M.T)
    prior = np.log(np.where(present, counts, 1.0) / counts.sum())
    b = np.where(present, prior - 0.5 * np.einsum("kd,dk->k", M, W), -1e4)
    return LinearModel((W / scale[:, None]).T, b, shrinkage)


def _softmax_loss(logits: np.ndarray, Y: np.ndarray) -> tuple[float, np.ndarray]:
    """Summed log loss and its gradient (n, k)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponent = np.exp(shifted)
    total = exponent.sum(axis=1, keepdims=True)
    weight = Y.sum(axis=1)
    loss = float((np.log(total[:, 0]) * weight).sum() - np.vdot(shifted, Y))
    return loss, exponent / total * weight[:, None] - Y


def _sigmoid_loss(logits: np.ndarray, Y: np.ndarray) -> tuple[float, np.ndarray]:
    """Summed log loss over images and labels, and its gradient (n, k)."""
    loss = float((np.logaddexp(0.0, logits) - Y * logits).sum())
    return loss, 0.5 * (1.0 + np.tanh(0.5 * logits)) - Y


def _factor(scores: np.ndarray, Y: np.ndarray, multi_label: bool) -> float:
    """The positive factor of the scores with the least log loss."""
    from scipy.optimize import minimize_scalar

    loss_of: Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]
    loss_of = _sigmoid_loss if multi_label else _softmax_loss
    found = minimize_scalar(
        lambda log_factor: loss_of(np.exp(log_factor) * scores, Y)[0], bounds=(-4.0, 6.0), method="bounded"
    )
    return float(np.exp(found.x))


def one_hot(labels: np.ndarray, classes: int) -> Float[np.ndarray, "n k"]:
    """Class indices (n,) or multi-label (n, k) as float targets (n, k)."""
    if labels.ndim == 2:
        return labels.astype(np.float64)
    return np.eye(classes)[labels]
