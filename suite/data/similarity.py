"""Which thumbnails show the same picture, whatever was done to it in between.

A thumbnail is described by the lowest n x n coefficients of its discrete cosine transform without the mean,
each times its spatial frequency: natural images lose amplitude as 1/frequency (Field 1987), so that all then
count alike and a mere gradient, such as a plain sky's, says little. The cosine of two such vectors is their
similarity. Noise of NOISE grey levels is added to both lengths: what has no detail to compare resembles
nothing. Smooth gradients up to cubes along one axis, which skies and lit backgrounds share, are taken out.

Equal frames around different pictures would make them alike: what lies inside must agree as well.

A crop is found by describing windows of the whole picture. The DCT and the sampling of a window are both
linear along each axis, so one small matrix does both at once.

All pairs are compared, as products of matrices. A hash of the signs of the same 63 coefficients, searched by
Hamming distance, costs about as much and selects less: at the radius that keeps 95 % of crops by a tenth it
let 7 times as many pairs of 1500 photographs through.

Sets whose pictures are all alike (digits, X-rays) need a higher threshold: it is what lies twelve standard
deviations above the similarity of any two of its pictures, on Fisher's scale, and never below SAME.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from suite.data.inspection import THUMB_PX
from suite.progress import track

NOISE = 1.0
Window = tuple[float, float]  # along one axis: share of the side, and where it begins
WHOLE: Window = (1.0, 0.0)
SAME = 0.85
_ENOUGH, _SAMPLES, _MOST = 30, 20_000, 0.9995


class _Measure(NamedTuple):
    """A description of ``part`` of one picture, and the windows of the other tried along each axis."""

    coefficients: int
    windows: tuple[Window, ...]
    part: Window = WHOLE


_NINE = (0.9, 0.0), (0.9, 0.033), (0.9, 0.067), (0.9, 0.1)
_COARSE = WHOLE, (0.95, 0.0), (0.95, 0.025), (0.95, 0.05), *_NINE
_FINE = (*_COARSE, (0.925, 0.0), (0.925, 0.025), (0.925, 0.05), (0.925, 0.075), (0.975, 0.0), (0.975, 0.025))
_COMPARE = _Measure(8, _COARSE)
_CONFIRM = _Measure(16, _FINE)
_MIDDLE: Window = (0.76, 0.12)
_INSIDE = _Measure(8, tuple((0.76 * share, start + 0.12 * share) for share, start in _COARSE), _MIDDLE)
_INSIDE_LEAST = 0.8
_SEARCH_SLACK, _COMPARE_SLACK = 0.1, 0.03  # how far below the threshold the first two let pass
_CORNERS = ((0.93, 0.0), (0.93, 0.07))
_SEARCH_WINDOWS = ((WHOLE, WHOLE), ((0.93, 0.035), (0.93, 0.035)), *product(_CORNERS, _CORNERS))


def luminance(thumbs: np.ndarray) -> np.ndarray:
    """(n, 32, 32) uint8 as float32."""
    return thumbs.astype(np.float32)


def describe(grey: np.ndarray, coefficients: int, down: Window = WHOLE, across: Window = WHOLE) -> np.ndarray:
    """Vectors of length at most one, (n, coefficients^2 - 1) float32, of one window of (n, 32, 32)."""
    spectrum = _axis(coefficients, *down) @ grey @ _axis(coefficients, *across).T
    weight = _frequencies(coefficients)
    vectors = (_without_gradients(spectrum) * weight).reshape(len(grey), -1)[:, 1:]
    floor = NOISE**2 * float((weight**2).sum())
    return vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True) + np.float32(floor))


def least_similarity(grey: np.ndarray) -> float:
    """From which similarity on two pictures of this set are the same: SAME, or more where all are alike.

    Judged by the median and its absolute deviation over random pairs of (n, 32, 32), which copies, being few
    among all pairs, do not move.
    """
    n = len(grey)
    if n < _ENOUGH:
        return SAME
    vectors = describe(grey, _CONFIRM.coefficients)
    one, other = np.random.default_rng(0).integers(0, n, (2, _SAMPLES))
    apart = one != other
    cosine = np.einsum("pc,pc->p", vectors[one[apart]], vectors[other[apart]])
    fisher = np.arctanh(np.clip(cosine, -_MOST, _MOST))
    middle = float(np.median(fisher))
    spread = 1.4826 * float(np.median(np.abs(fisher - middle)))  # a normal's standard deviation
    return float(np.clip(np.tanh(middle + 12 * spread), SAME, _MOST))


def find_similar(
    posed: np.ndarray, grey: np.ndarray, least: float, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows i of ``posed`` and j of ``grey``, i != j, at least ``least`` similar, and their similarity.

    ``posed`` is ``grey`` itself, or mirrored or turned. Picture j may be a crop of i; every (i, j) is asked,
    and so the other way round too.
    """
    first, second = _candidates(posed, grey, least - _SEARCH_SLACK, what)
    for measure, bound in ((_COMPARE, least - _COMPARE_SLACK), (_INSIDE, _INSIDE_LEAST)):
        kept = _best_window(posed, grey, first, second, measure) >= bound
        first, second = first[kept], second[kept]
    score = _best_window(posed, grey, first, second, _CONFIRM)
    kept = score >= least
    return first[kept], second[kept], score[kept]


def similarity_matrix(posed: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """(m, n) float32: similarity of every picture of one set to every one of the other, without a shortcut.

    -1 where what lies inside differs.
    """
    whole, inside = (
        _matrix(posed, grey, measure) for measure in (_CONFIRM._replace(windows=_COARSE), _INSIDE)
    )
    return np.where(inside >= _INSIDE_LEAST, whole, np.float32(-1))


def _matrix(posed: np.ndarray, grey: np.ndarray, measure: _Measure) -> np.ndarray:
    known = describe(grey, measure.coefficients, measure.part, measure.part).T
    best = np.full((len(posed), len(grey)), -1.0, np.float32)
    for down, across in product(measure.windows, measure.windows):
        np.maximum(best, describe(posed, measure.coefficients, down, across) @ known, out=best)
    return best


def _candidates(
    posed: np.ndarray, grey: np.ndarray, least: float, what: str
) -> tuple[np.ndarray, np.ndarray]:
    n, rows, columns = len(grey), 128, 4096
    whole = describe(grey, _COMPARE.coefficients)
    found = [np.zeros(0, np.int64)]
    for start in track(range(0, n, rows), what):
        some = posed[start : start + rows]
        asked = np.concatenate([describe(some, _COMPARE.coefficients, *window) for window in _SEARCH_WINDOWS])
        for left in range(0, n, columns):
            close = asked @ whole[left : left + columns].T > least
            row, column = np.divmod(np.flatnonzero(close), close.shape[1])
            found.append(np.unique((start + row % len(some)) * n + left + column))
    first, second = np.divmod(np.concatenate(found), max(n, 1))
    return first[first != second], second[first != second]


def _best_window(
    posed: np.ndarray, grey: np.ndarray, first: np.ndarray, second: np.ndarray, measure: _Measure
) -> np.ndarray:
    """(m,) float32: for each pair the best cosine over all windows of the first picture."""
    n, k = measure.coefficients, len(measure.windows)
    axes = np.concatenate([_axis(n, *window) for window in measure.windows])
    weight = _frequencies(n)
    floor = np.float32(NOISE**2 * float((weight**2).sum()))
    score = np.zeros(len(first), np.float32)
    for part in _blocks(len(first), 64):
        row, number = np.unique(first[part], return_inverse=True)
        spectra = (axes @ posed[row] @ axes.T).reshape(len(row), k, n, k, n).transpose(0, 1, 3, 2, 4)
        vectors = (_without_gradients(spectra) * weight).reshape(len(row), k * k, n * n)
        vectors[..., 0] = 0
        length = np.sqrt((vectors**2).sum(axis=2) + floor)
        whole = describe(grey[second[part]], n, measure.part, measure.part)
        cosine = np.einsum("pwc,pc->pw", vectors[number][..., 1:], whole, optimize=True) / length[number]
        score[part] = cosine.max(axis=1)
    return score


def _without_gradients(spectrum: np.ndarray) -> np.ndarray:
    """(..., n, n) spectra of pictures less what depends on one axis only and is a cubic there."""
    rest = spectrum.copy()
    kept = _no_cubic(spectrum.shape[-1])
    rest[..., 0, :] = spectrum[..., 0, :] @ kept
    rest[..., :, 0] = spectrum[..., :, 0] @ kept
    return rest


@lru_cache(maxsize=8)
def _no_cubic(coefficients: int) -> np.ndarray:
    """(n, n) float32: projection of one axis' spectra onto what is orthogonal to cubic polynomials."""
    place = np.linspace(-1, 1, THUMB_PX)
    cubic = _axis(coefficients, *WHOLE).astype(np.float64) @ np.stack([place**d for d in range(4)], axis=1)
    basis, _ = np.linalg.qr(cubic)
    return (np.eye(coefficients) - basis @ basis.T).astype(np.float32)


def _blocks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


@lru_cache(maxsize=256)
def _axis(coefficients: int, share: float, start: float) -> np.ndarray:
    """(coefficients, THUMB_PX) float32: sample a window linearly, then its orthonormal DCT-II."""
    side = THUMB_PX
    place = np.clip((np.arange(side) + 0.5) * share + start * side - 0.5, 0, side - 1)
    low = np.minimum(place.astype(np.int64), side - 2)
    sampling = np.zeros((side, side))
    sampling[np.arange(side), low] = 1 - (place - low)
    sampling[np.arange(side), low + 1] = place - low
    frequency = np.arange(coefficients)[:, None]
    basis = np.sqrt(2 / side) * np.cos(np.pi * (np.arange(side) + 0.5) * frequency / side)
    basis[0] /= np.sqrt(2)
    return (basis @ sampling).astype(np.float32)


@lru_cache(maxsize=8)
def _frequencies(coefficients: int) -> np.ndarray:
    v, u = np.mgrid[:coefficients, :coefficients]
    return np.hypot(u, v).astype(np.float32)
