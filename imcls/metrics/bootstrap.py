"""Bootstrap intervals: what a figure would have been on other images, or after other seeds, of that kind.

Plain intervals are percentiles of the resampled figures, or BCa, which corrects their bias and skewness
(Efron 1987). All is decided by a seed. Of a figure without any spread among the images (all of 20 right) no
bootstrap can tell how sure it is: the interval has no width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64, Shaped

Method = Literal["percentile", "bca"]
_NORMAL = NormalDist()
_CHUNK = 250_000  # numbers drawn at once: 8 MB
_JACKKNIFE_PARTS = 500  # beyond so many images, blocks of them are left out instead of single ones


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its interval; NaN where it is undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """How much better A is than B on the same images, with its interval.

    ``p`` is two-sided: how often a resampled difference falls on the other side of 0, twice.
    """

    value: float
    low: float
    high: float
    p: float


def bootstrap_interval(
    statistic: Callable[[Int64[np.ndarray, " n"]], float],
    n: int,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    method: Method = "percentile",
    seed: int = 0,
) -> Interval:
    """Interval of any ``statistic`` of the indices (n,) of images, repeats among them.

    It is called once for each resampling; for means, :func:`bootstrap_mean` is much faster. ValueError where
    n is 0.
    """
    if n < 1:
        raise ValueError("there is nothing to resample")
    rng = np.random.default_rng(seed)
    value = float(statistic(np.arange(n)))
    drawn = np.array([statistic(rng.integers(n, size=n)) for _ in range(resamples)], np.float64)
    if method == "percentile":
        return Interval(value, *percentiles(drawn, level))
    blocks = np.array_split(rng.permutation(n), min(n, _JACKKNIFE_PARTS))
    left_out = [statistic(np.delete(np.arange(n), block)) for block in blocks if n > len(block)]
    return Interval(value, *bca(value, drawn, np.array(left_out, np.float64), level))


def bootstrap_mean(
    values: Shaped[np.ndarray, " n"],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    method: Method = "percentile",
    seed: int = 0,
) -> Interval:
    """Interval of the mean of ``values``, one for each image. ValueError where there are none."""
    values = np.asarray(values, np.float64)
    n = len(values)
    if n < 1:
        raise ValueError("there is nothing to resample")
    value = float(values.mean())
    drawn = np.concatenate([counts @ values for counts in resampled_counts(n, resamples, seed)]) / n
    if method == "percentile":
        return Interval(value, *percentiles(drawn, level))
    left_out = (values.sum() - values) / max(n - 1, 1)
    return Interval(value, *bca(value, drawn, left_out, level))


def paired_difference(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    *,
    seeds: Literal["resampled", "kept"] = "resampled",
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Mean of A less mean of B, whose scores (n,) or (s, n) are of the same n images, after s seeds each.

    Scores are right or wrong, or any figure of an image, NaN where a seed did not judge it. Images are
    resampled for all seeds alike, since a hard image is hard for all of them; with more than one seed these
    are resampled too (Owen 2007, The pigeonhole bootstrap), so that the interval holds for new seeds and new
    images. Of s seeds s - 1 are drawn, which gives so small a sample its variance without bias (Rao & Wu
    1988). `kept` asks about these trained models only. ValueError where the shapes differ.
    """
    a, b = np.atleast_2d(np.asarray(correct_a, np.float64)), np.atleast_2d(np.asarray(correct_b, np.float64))
    if a.shape != b.shape or a.ndim != 2 or not a.size:
        raise ValueError(f"scores of the same images are needed, got {a.shape} and {b.shape}")
    difference = a - b
    judged = ~np.isnan(difference)
    filled = np.where(judged, difference, 0.0)
    s, n = difference.shape
    counts = _seed_counts(s, resamples, seed) if seeds == "resampled" else np.ones((resamples, s))
    sums, numbers = [], []
    for images in resampled_counts(n, resamples, seed):
        sums.append(images @ filled.T)
        numbers.append(images @ judged.T.astype(np.float64))
    total, number = (np.concatenate(part) * counts for part in (sums, numbers))
    drawn = total.sum(axis=1) / np.maximum(number.sum(axis=1), 1)
    value = float(filled.sum() / max(judged.sum(), 1))
    below, above = np.mean(drawn <= 0), np.mean(drawn >= 0)
    # One more on either side (Davison & Hinkley 1997, section 4.2): no finite number of draws proves p = 0.
    p = min(1.0, 2 * (min(below, above) * resamples + 1) / (resamples + 1))
    return PairedDifference(value, *percentiles(drawn, level), p=float(p))


def resampled_counts(n: int, resamples: int, seed: int) -> Iterator[Float[np.ndarray, "b n"]]:
    """How often each of n images is drawn, in blocks of resamplings: rows of counts that sum to n."""
    rng = np.random.default_rng(seed)
    rows = max(1, min(resamples, _CHUNK // n))
    for start in range(0, resamples, rows):
        b = min(rows, resamples - start)
        drawn = rng.integers(n, size=(b, n))
        drawn += n * np.arange(b)[:, None]  # each row counts into its own part
        yield np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


def percentiles(drawn: Float[np.ndarray, " b"], level: float = 0.95) -> tuple[float, float]:
    """The middle ``level`` of the resampled figures; undefined ones (NaN) are left out."""
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bca(
    value: float, drawn: Float[np.ndarray, " b"], left_out: Float[np.ndarray, " m"], level: float = 0.95
) -> tuple[float, float]:
    """Bias-corrected and accelerated bounds (Efron 1987; Efron & Tibshirani 1993, section 14.3).

    ``left_out`` are the figures without one image, or one block of images, each.
    """
    known = drawn[~np.isnan(drawn)]
    below = np.mean(known < value) / 2 + np.mean(known <= value) / 2 if len(known) else math.nan
    if not 0 < below < 1:
        return percentiles(drawn, level)  # no resampling on one side: there is no bias to be told
    bias = _NORMAL.inv_cdf(float(below))
    influence = left_out.mean() - left_out
    spread = (influence**2).sum()
    acceleration = (influence**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0

    def place(share: float) -> float:
        z = bias + _NORMAL.inv_cdf(share)
        return _NORMAL.cdf(bias + z / (1 - acceleration * z))

    low, high = np.quantile(known, [place((1 - level) / 2), place((1 + level) / 2)])
    return float(low), float(high)


def _seed_counts(s: int, resamples: int, seed: int) -> Float[np.ndarray, "b s"]:
    rng = np.random.default_rng((seed, s))
    return rng.multinomial(max(s - 1, 1), np.full(s, 1 / s), size=resamples).astype(np.float64)
