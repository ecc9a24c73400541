"""Counting leaks without trusting how the folds were made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from suite.data.duplicates import posed
from suite.data.fingerprints import Fingerprints
from suite.data.similarity import least_similarity, luminance, similarity_matrix


def count_leaks(
    folds: np.ndarray, prints: Fingerprints, groups: Sequence[str] | None = None, least: float | None = None
) -> int:
    """Pairs of images in different folds that show the same picture or share one of ``groups``.

    Every pair is compared in full: same bytes, same pixels, or at least ``least`` similar over windows,
    mirrored or not. None of the search, of the union of pairs into groups, or of the folds' making is used.
    O(n^2): seconds for 1,500 images.
    """
    n = len(folds)
    if len(prints) != n or (groups is not None and len(groups) != n):
        raise ValueError(f"{n} folds, {len(prints)} fingerprints: they are of different images")
    grey = luminance(prints.thumbs)
    bound = least_similarity(grey[prints.readable]) if least is None else least
    both = similarity_matrix(grey, grey)
    np.maximum(both, similarity_matrix(posed(grey, 0, True), grey), out=both)
    same = np.maximum(both, both.T) >= bound
    same &= prints.readable[:, None] & prints.readable
    for column in (prints.sha256, prints.pixels, groups or [""] * n):
        known = np.array([bool(value) for value in column], bool)
        _, number = np.unique(np.array(column, dtype=np.str_), return_inverse=True)
        same |= (number[:, None] == number) & known[:, None] & known
    return int(np.triu(same & (folds[:, None] != folds), 1).sum())
