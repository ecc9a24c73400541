"""The texture whose render comes closest to the photographs.

A render of a textured mesh is linear in its texels t: picture v is A_v t, each row the bilinear lookups of a
pixel's rays. With a gain g_v of each channel, photograph p_v and weights w,

    sum_v sum_r  w_r rho(g_v (A_v t)_r - p_vr)  +  smooth sum_{i~j} |t_i - t_j|^2  +  hold sum_i |t_i - q_i|^2

is minimised over t, for all channels at once, by conjugate gradients with the diagonal as preconditioner
(J. Shewchuk, "An introduction to the conjugate gradient method without the agonizing pain", 1994, B3), over g
in turns with it, and over rho by reweighting (P. Holland, R. Welsch, "Robust regression using iteratively
reweighted least-squares", 1977). `hold` binds only texels that nobody sees, to guesses q from their
neighbours in space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from nerfrecon.texture.exposure import differ, fitted_gains, levelled_gains
from nerfrecon.texture.options import RobustOptions, SolveOptions
from nerfrecon.texture.visibility import Sampled
from suite.errors import BadInput

_HOLD = 1e-3
"""By what a well-seen texel weighs."""
_RUN = 4
"""Texels after each other whose colours are taken as one to begin with the exposures."""
_UNSEEN = 1e-3
"""Share of the median weight of seen texels below which a texel counts as seen by nobody."""


@dataclass(frozen=True, eq=False)
class Solved:
    """Colours of the texels that were asked for, in [0, 1] or a little beyond; which of them are seen; gains
    of the views, in their order; RMS of what the photographs differ by, weighted, after each round."""

    texels: Float[np.ndarray, "n 3"]
    seen: Bool[np.ndarray, " n"]
    gains: Float[np.ndarray, "views 3"]
    rms: tuple[float, ...]
    outliers: float  # share of the weight that was taken away as not believed


def solve(
    views: Sequence[Sampled],
    neighbours: Int[np.ndarray, "pairs 2"],
    guess: Callable[[Float[np.ndarray, "n 3"], Bool[np.ndarray, " n"]], Float[np.ndarray, "n 3"]],
    options: SolveOptions,
) -> Solved:
    """Texels of all columns of the views' matrices. `guess` fills in colours where they are not seen.

    Raises BadInput where no view shows anything.
    """
    if not sum(len(one.rgb) for one in views):
        raise BadInput(
            "no photograph shows the mesh", hint="check that mesh and cameras are in the same frame"
        )
    weights = [one.weight.astype(np.float32) for one in views]
    gains = _first_gains(views, weights) if options.exposure != "off" else np.ones((len(views), 3))
    if options.exposure == "auto" and not differ(gains):
        gains = np.ones_like(gains)
    with_gains = options.exposure == "on" or bool((gains != 1).any())
    splat, mass = _splat(views, weights, gains)
    touched = mass > 0
    seen = mass > _UNSEEN * float(np.median(mass[touched]))
    start = guess(splat, seen)
    typical = float(np.median(mass[seen]))
    ridge = _Ridge(neighbours, len(mass), options.smooth * typical, _HOLD * typical * ~seen, start)
    texels = np.where(seen[:, None], splat, start).astype(np.float32)
    rms: list[float] = []
    trusts = [np.ones_like(weight) for weight in weights]
    for number in range(options.rounds):
        rendered = [one.matrix @ texels for one in views]  # type: ignore[operator]
        both = [weight * trust for weight, trust in zip(weights, trusts, strict=True)]
        if with_gains and number:
            gains = fitted_gains(rendered, [one.rgb for one in views], both)
        residuals = [
            np.sqrt(np.square(gain * seen_ - one.rgb).mean(1))
            for gain, seen_, one in zip(gains.astype(np.float32), rendered, views, strict=True)
        ]
        if number:  # the first solve is of plain squares: the start is too blurred to tell what is wrong
            trusts = _trusts(residuals, weights, options.robust)
        both = [weight * trust for weight, trust in zip(weights, trusts, strict=True)]
        texels = _conjugate_gradients(views, both, gains, ridge, texels, options.iterations)
        rms.append(_rms(residuals, both))
    believed = sum(float((w * t).sum()) for w, t in zip(weights, trusts, strict=True))
    outliers = 1 - believed / sum(float(w.sum()) for w in weights)
    return Solved(texels, seen, gains, tuple(rms), outliers)


class _Ridge:
    """The terms that are not photographs'."""

    def __init__(self, pairs: np.ndarray, n: int, smooth: float, hold: np.ndarray, start: np.ndarray) -> None:
        from scipy.sparse import coo_matrix, diags

        i, j = pairs.T
        ones = np.full(len(pairs), smooth, np.float32)
        degree = np.bincount(i, minlength=n) + np.bincount(j, minlength=n)
        off = coo_matrix((-np.r_[ones, ones], (np.r_[i, j], np.r_[j, i])), shape=(n, n))
        self.diagonal = (smooth * degree + hold).astype(np.float32)
        self.matrix: Any = (off + diags(self.diagonal)).tocsr().astype(np.float32)
        self.right = (hold[:, None] * start).astype(np.float32)


def _first_gains(views: Sequence[Sampled], weights: Sequence[np.ndarray]) -> np.ndarray:
    """By the colours of short runs of texels."""
    cells = []
    for one in views:
        matrix: Any = one.matrix
        cells.append(matrix.indices[np.minimum(matrix.indptr[:-1], matrix.nnz - 1)] // _RUN)
    return levelled_gains(cells, [one.rgb for one in views], weights)


def _splat(
    views: Sequence[Sampled], weights: Sequence[np.ndarray], gains: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean of the colours that reach each texel, and their weight."""
    n = views[0].matrix.shape[1]  # type: ignore[attr-defined]
    total, mass = np.zeros((n, 3), np.float32), np.zeros(n, np.float32)
    for one, weight, gain in zip(views, weights, gains.astype(np.float32), strict=True):
        back: Any = one.matrix.T  # type: ignore[attr-defined]
        total += back @ (weight[:, None] * one.rgb / gain)
        mass += back @ weight
    return total / np.maximum(mass, 1e-20)[:, None], mass


def _trusts(
    residuals: Sequence[np.ndarray], weights: Sequence[np.ndarray], options: RobustOptions
) -> list[np.ndarray]:
    """rho'(r) / r by the scale of the residuals: 1 at 0, small for what does not fit."""
    if options.type == "none":
        return [np.ones_like(one) for one in residuals]
    sure = [one[weight > 0.1 * weight.max(initial=0)] for one, weight in zip(residuals, weights, strict=True)]
    everything = np.concatenate(sure)
    spread = 1.4826 * float(np.median(everything)) if len(everything) else 0.0
    scale = max(options.scale * spread, options.least)
    found = []
    for one in residuals:
        r = one / scale
        if options.type == "huber":
            trust = 1 / np.maximum(r, 1)
        elif options.type == "cauchy":
            trust = 1 / (1 + r * r)
        else:
            trust = np.exp(-np.square(r))
        found.append(trust.astype(np.float32))
    return found


def _conjugate_gradients(
    views: Sequence[Sampled],
    weights: Sequence[np.ndarray],
    gains: np.ndarray,
    ridge: _Ridge,
    start: np.ndarray,
    iterations: int,
) -> np.ndarray:
    gains = gains.astype(np.float32)
    backs: list[Any] = [one.matrix.T for one in views]  # type: ignore[attr-defined]
    diagonal = np.repeat(ridge.diagonal[:, None], 3, 1)
    right = ridge.right.copy()
    for one, back, weight, gain in zip(views, backs, weights, gains, strict=True):
        squares: Any = one.matrix.power(2).T  # type: ignore[attr-defined]
        diagonal += (squares @ weight)[:, None] * gain**2
        right += back @ (weight[:, None] * (gain * one.rgb))

    def applied(x: np.ndarray) -> np.ndarray:
        total = ridge.matrix @ x
        for one, back, weight, gain in zip(views, backs, weights, gains, strict=True):
            total += back @ (weight[:, None] * (gain**2 * (one.matrix @ x)))
        return total

    inverse = np.where(diagonal > 0, 1 / np.maximum(diagonal, 1e-30), 0).astype(np.float32)
    x = start.astype(np.float32)
    r = right - applied(x)
    z = inverse * r
    p = z.copy()
    rz = np.einsum("ij,ij->j", r, z, dtype=np.float64)
    for _ in range(iterations):
        if not (rz > 1e-20).any():
            break
        q = applied(p)
        pq = np.einsum("ij,ij->j", p, q, dtype=np.float64)
        alpha = np.where(pq > 0, rz / np.maximum(pq, 1e-30), 0).astype(np.float32)
        x += alpha * p
        r -= alpha * q
        z = inverse * r
        new = np.einsum("ij,ij->j", r, z, dtype=np.float64)
        p = z + (new / np.maximum(rz, 1e-30)).astype(np.float32) * p
        rz = new
    return x


def _rms(residuals: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> float:
    total = sum(float((w * r * r).sum()) for w, r in zip(weights, residuals, strict=True))
    return float(np.sqrt(total / max(sum(float(w.sum()) for w in weights), 1e-30)))
