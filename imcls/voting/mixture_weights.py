"""Weights of a vote: how much each member's probabilities count.

``truth`` (m, i) is the probability that member m gave to what turned out to be true in item i: an image's
class, or for several labels each yes and each no. The vote's own is w @ truth, for weights w >= 0 that sum to
1.
"""

from __future__ import annotations

import numpy as np

_ITERATIONS = 20_000
_SMALLEST = 1e-12


def log_loss_of(weights: np.ndarray, truth: np.ndarray) -> float:
    """Mean negative log probability that the vote gives to the truth, nats."""
    return float(-np.log(np.maximum(weights @ truth, _SMALLEST)).mean())


def best_weights(truth: np.ndarray, gap: float | int = 1e-6) -> np.ndarray:
    """The weights (m,) of least log loss, to within ``gap`` nats of the best there are.

    The loss is convex in w. Each step multiplies w_m by the mean of truth_m / (w @ truth), the EM step of
    mixture weights, which never loses; by convexity the best loss is at most the largest such mean less 1
    below the present one, which says when to stop.
    """
    truth = np.maximum(np.asarray(truth, np.float64), _SMALLEST)
    w = np.full(len(truth), 1.0 / len(truth))
    for _ in range(_ITERATIONS):
        ratio = (truth / (w @ truth)).mean(axis=1)
        if float(ratio.max()) - 1.0 <= gap:
            break
        w = w * ratio
        w /= w.sum()
    return w


def greedy_weights(truth: np.ndarray, rounds: int = 50) -> np.ndarray:
    """Forward selection with replacement (Caruana et al. 2004, Ensemble selection, section 2.1-2.2).

    Starting at the best member, add the one that lowers the log loss of the even vote most; the vote of the
    best round counts, so that the result is never worse than the best member.
    """
    truth = np.maximum(np.asarray(truth, np.float64), _SMALLEST)
    counts = np.zeros(len(truth))
    total, best = np.zeros(truth.shape[1]), (np.inf, counts)
    for number in range(1, rounds + 1):
        losses = -np.log((total + truth) / number).mean(axis=1)
        chosen = int(losses.argmin())
        counts = counts.copy()
        counts[chosen] += 1
        total += truth[chosen]
        if losses[chosen] < best[0]:
            best = (float(losses[chosen]), counts)
    return best[1] / best[1].sum()
