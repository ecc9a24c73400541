"""Which pictures are compared, and their features matched.

All with all costs n^2 / 2 comparisons. Of the others only the likeliest are made: those of whose few largest
features many agree (Wu, "Towards linear-time incremental structure from motion", 2013, section 3.1), which
costs a millisecond a pair, and neighbours in order, where that agreement shows that the order says something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nerfrecon.sfm.colmap_calls import colmap, run_parts
from nerfrecon.sfm.features import largest_features
from nerfrecon.sfm.options import SfmOptions
from suite.files import atomic_write
from suite.threads import one_thread

_LARGEST = 256
_RATIO = 0.85
_AGREE = 3
"""Fewer agreeing features than this are chance."""
_ORDERED = 1.5
"""The order says something where neighbours agree so many times more than pictures do on average."""

_AT_ONCE = 100
"""Pairs of one call: descriptors are read anew for each."""

Pairs = set[tuple[int, int]]


@dataclass(frozen=True)
class PairPlan:
    """Pairs (first < second) of numbers of pictures, from 0, and why these."""

    pairs: Pairs
    how: str


def plan_pairs(names: list[str], database: Path, options: SfmOptions) -> PairPlan:
    """The comparisons to make, by `options.pairs`."""
    count = len(names)
    if options.pairs == "exhaustive" or (options.pairs == "auto" and count <= options.few):
        return PairPlan(all_pairs(count), "all with all")
    if options.pairs == "sequential":
        return PairPlan(sequential_pairs(count, options.neighbours), "neighbours in order")
    agreement = agreements(database, count)
    likely = likely_pairs(agreement, options.partners)
    if options.pairs == "both" or order_tells(agreement):
        pairs = likely | sequential_pairs(count, options.neighbours)
        return PairPlan(pairs, "the likeliest, and neighbours in order")
    return PairPlan(likely, "the likeliest; the order of the pictures says nothing")


def all_pairs(count: int) -> Pairs:
    """Every picture with every other."""
    return {(i, j) for i in range(count) for j in range(i + 1, count)}


def sequential_pairs(count: int, neighbours: int) -> Pairs:
    """Each picture with the next few and those at 2, 4, 8 ... places; the last ones with the first, as after
    a walk around an object."""
    steps = set(range(1, neighbours + 1)) | {2**k for k in range(count.bit_length()) if 2**k < count / 2}
    wrapped = {tuple(sorted((i, (i + step) % count))) for i in range(count) for step in steps}
    return {(i, j) for i, j in wrapped if i != j}


@one_thread
def agreements(database: Path, count: int) -> Int[np.ndarray, "n n"]:
    """How many of the largest features of two pictures are each other's nearest, by a clear lead."""
    most = max(32, min(_LARGEST, _LARGEST * 100 // count))
    parts = [largest_features(database, image_id, most) for image_id in range(1, count + 1)]
    stacked = np.zeros((count, most, 128), np.float32)
    for row, part in zip(stacked, parts, strict=True):
        row[: len(part)] = part
    flat = stacked.reshape(-1, 128).T
    nearest = np.zeros((count, count, most), np.int64)
    leads = np.zeros((count, count, most), bool)
    for first in range(count):
        alike = (stacked[first] @ flat).reshape(most, count, most)
        best = alike.argmax(2)
        top = np.take_along_axis(alike, best[..., None], 2)
        np.put_along_axis(alike, best[..., None], -1.0, 2)
        # Of unit vectors the squared distance is 2 - 2 cos.
        lead = 1 - top[..., 0] < _RATIO**2 * (1 - alike.max(2))
        nearest[first], leads[first] = best.T, (lead & (top[..., 0] > 0.5)).T
    found = np.zeros((count, count), np.int64)
    own = np.arange(most)
    for first in range(count):
        for second in range(first + 1, count):
            there = nearest[first, second]
            mutual = (nearest[second, first][there] == own) & leads[first, second]
            found[first, second] = found[second, first] = int(mutual.sum())
    return found


def likely_pairs(agreement: Int[np.ndarray, "n n"], partners: int) -> Pairs:
    """Of each picture its best partners; a pair counts where either of the two wants it."""
    pairs: Pairs = set()
    for first, row in enumerate(agreement):
        best = np.argsort(-row, kind="stable")[:partners]
        pairs |= {(min(first, int(k)), max(first, int(k))) for k in best if row[k] >= _AGREE}
    return pairs


def order_tells(agreement: Int[np.ndarray, "n n"]) -> bool:
    """Whether neighbours in order agree clearly more than pictures do on average."""
    count = len(agreement)
    mean = agreement.sum() / max(count * (count - 1), 1)
    return bool(np.diagonal(agreement, 1).mean() > _ORDERED * mean)


def match(database: Path, names: list[str], pairs: Pairs, options: SfmOptions, work: Path) -> None:
    """Match features of the pairs and keep what one motion explains; pairs that are done are skipped."""
    if not pairs:
        return
    pycolmap: Any = colmap()
    listed = work / "pairs.txt"
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu = False
    matching.num_threads = options.threads or -1
    matching.guided_matching = options.guided
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = listed

    def compare(part: Sequence[tuple[int, int]], token: Any) -> None:
        with atomic_write(listed, "w") as out:
            out.writelines(f"{names[i]} {names[j]}\n" for i, j in part)
        pycolmap.match_image_pairs(
            database, matching, pairing, verification(options), pycolmap.Device.cpu, token
        )

    order = sorted(pairs)
    parts = [order[k : k + _AT_ONCE] for k in range(0, len(order), _AT_ONCE)]
    run_parts(f"Comparing {len(order)} pairs of pictures", parts, compare)


def verification(options: SfmOptions) -> Any:
    """How matches become inliers, repeatably."""
    verified = colmap().TwoViewGeometryOptions()
    verified.ransac.random_seed = options.seed
    return verified


def verified_inliers(database: Path) -> dict[tuple[int, int], int]:
    """Inliers of all pairs (image ids, first < second) that have any."""
    pycolmap: Any = colmap()
    opened = pycolmap.Database.open(database)
    try:
        ids, geometries = opened.read_two_view_geometries()
    finally:
        opened.close()
    found = {}
    for pair_id, geometry in zip(ids, geometries, strict=True):
        if len(geometry.inlier_matches):
            first, second = pycolmap.pair_id_to_image_pair(pair_id)
            found[min(first, second), max(first, second)] = len(geometry.inlier_matches)
    return found


def connected(inliers: dict[tuple[int, int], int], ids: list[int], least: int) -> list[list[int]]:
    """Groups of image ids that pairs with `least` inliers join, the largest first."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    place = {image_id: k for k, image_id in enumerate(ids)}
    edges = np.array([(place[i], place[j]) for (i, j), n in inliers.items() if n >= least]).reshape(-1, 2)
    ones: Float[np.ndarray, " m"] = np.ones(len(edges))
    graph = coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(len(ids), len(ids)))
    label = connected_components(graph, directed=False)[1]
    groups = [[ids[k] for k in np.flatnonzero(label == one)] for one in np.unique(label)]
    return sorted(groups, key=lambda group: (-len(group), group[0]))
