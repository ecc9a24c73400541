"""Images that show the same picture: the same file, the same pixels, or nearly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from suite.data.fingerprints import Fingerprints
from suite.data.similarity import find_similar, least_similarity, luminance

Kind = Literal["file", "pixels", "near"]
Pose = Literal["", "mirrored", "turned"]


@dataclass(frozen=True)
class Pair:
    """Two images, first < second: the same ``file``, the same ``pixels`` in another file, or ``near``.

    ``similarity`` is 1 for exact pairs, else the cosine of suite.data.similarity.
    """

    first: int
    second: int
    kind: Kind
    similarity: float = 1.0
    pose: Pose = ""


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that are joined by pairs; ``exact`` where all show the same pixels."""

    members: tuple[int, ...]
    kind: Literal["exact", "near"]


def find_pairs(
    prints: Fingerprints,
    mirrored: bool = True,
    turned: bool = False,
    near: bool = True,
    least: float | None = None,
) -> tuple[Pair, ...]:
    """All pairs of images that are copies of one another, sorted.

    Of m exact copies, m - 1 pairs with their first are given, and only the first takes part in the search
    for near ones. ``turned`` adds quarter and half turns, with ``mirrored`` both together; without ``near``
    only exact copies are looked for. ``least`` is the similarity of near copies; where not given, it is
    learned from the set, most of whose pictures must then differ.
    """
    first_of: dict[str, int] = {}
    pairs: list[Pair] = []
    for row, pixels in enumerate(prints.pixels):
        if not pixels:
            continue
        first = first_of.setdefault(pixels, row)
        if first != row:
            same_file = prints.sha256[first] == prints.sha256[row]
            pairs.append(Pair(first, row, "file" if same_file else "pixels"))
    # By content, so that the sample behind the threshold does not depend on the table's order.
    if not near:
        return tuple(sorted(pairs, key=_place))
    rows = np.array([first_of[pixels] for pixels in sorted(first_of)], np.int64)
    best: dict[tuple[int, int], Pair] = {}
    grey = luminance(prints.thumbs[rows])
    least = least_similarity(grey) if least is None else least
    for pose, turns, flipped in poses(mirrored, turned):
        lying = posed(grey, turns, flipped)
        what = f"Comparing images{', ' + pose if pose else ''}"
        found = find_similar(lying, grey, least, what)
        for one, other, score in zip(*(column.tolist() for column in found), strict=True):
            low, high = sorted((int(rows[one]), int(rows[other])))
            if (low, high) not in best or best[low, high].similarity < score:
                best[low, high] = Pair(low, high, "near", min(float(score), 1.0), pose)
    return tuple(sorted([*pairs, *best.values()], key=_place))


def _place(pair: Pair) -> tuple[int, int]:
    return pair.first, pair.second


def poses(mirrored: bool, turned: bool) -> list[tuple[Pose, int, bool]]:
    """(what it is called, quarter turns, mirrored) of each way a copy may lie."""
    flips = (False, True) if mirrored else (False,)
    turns = range(4) if turned else range(1)
    return [
        ("turned" if quarter else "mirrored" if flip else "", quarter, flip)
        for flip in flips
        for quarter in turns
    ]


def posed(grey: np.ndarray, quarter_turns: int, mirrored: bool) -> np.ndarray:
    """(n, h, h) thumbnails turned counter-clockwise, then mirrored left to right."""
    lying = np.rot90(grey, quarter_turns, axes=(1, 2))
    return np.ascontiguousarray(lying[:, :, ::-1] if mirrored else lying)


def duplicate_groups(pairs: Iterable[Pair], n: int) -> tuple[DuplicateGroup, ...]:
    """What the pairs of n images join, each group and the groups sorted."""
    pairs = tuple(pairs)
    near = {i for pair in pairs if pair.kind == "near" for i in (pair.first, pair.second)}
    groups = join(n, ((pair.first, pair.second) for pair in pairs))
    return tuple(
        DuplicateGroup(group, "exact" if near.isdisjoint(group) else "near")
        for group in groups
        if len(group) > 1
    )


def straddling(
    pairs: Sequence[Pair], groups: Sequence[DuplicateGroup], value: Sequence[object]
) -> tuple[Pair, ...]:
    """Pairs whose two values are known and differ; exact copies are compared with one another too.

    ``find_pairs`` joins exact copies to their first only; where that one has no value or another's, pairs
    among the others would be missed.
    """
    found = [pair for pair in pairs if _differ(value[pair.first], value[pair.second])]
    seen = {row for pair in found for row in (pair.first, pair.second)}
    for group in groups:
        if any(row in seen for row in group.members):
            continue
        known = [row for row in group.members if value[row] is not None]
        other = next((row for row in known if value[row] != value[known[0]]), None)
        if other is not None:
            kind = "pixels" if group.kind == "exact" else "near"
            found.append(Pair(known[0], other, kind, _weakest(pairs, group)))
    return tuple(sorted(found, key=lambda pair: (pair.first, pair.second)))


def _differ(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other


def _weakest(pairs: Iterable[Pair], group: DuplicateGroup) -> float:
    return min(pair.similarity for pair in pairs if pair.first in group.members)


def join(n: int, together: Iterable[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Union-find: 0 ... n-1 as groups, everything that ``together`` lists in one; sorted, singles too."""
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for members in together:
        for other in members[1:]:
            low, high = sorted((root(members[0]), root(other)))
            parent[high] = low
    groups: dict[int, list[int]] = {}
    for i in range(n):
        groups.setdefault(root(i), []).append(i)
    return tuple(tuple(group) for group in groups.values())
