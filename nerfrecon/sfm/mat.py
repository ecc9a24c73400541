"""Scale from the printed mat: four quadrant targets A, B, C, D on the corners of a square around the object.

S. Porter, "Scale for Small-Object Photogrammetry" (February 2016) prints on itself: distance A to C = 12 cm,
distance B to D = 12 cm. Targets are found in every picture, laid onto the ground plane where the pictures'
sightings of one target meet, triangulated, and believed where four of them make a square.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nerfrecon.scenes.picture import read_pixels
from nerfrecon.sfm.targets import quadrant_targets
from nerfrecon.sfm.triangulate import PosedPicture, Triangulated, triangulate
from suite.progress import track

_LONGEST_PX = 1600
_NEAR = 0.02
"""Of the cameras' distance: sightings of one target meet so closely on the ground plane."""
_FEWEST_VIEWS, _MOST_VIEWS = 3, 40
_MOST_ERROR_PX = 3.0
_UNEQUAL = 0.015
"""Diagonals of the square, by each other; and how far its diagonals' middles lie apart, by their length."""
_SMALLEST = 0.15
"""Diagonal, by the cameras' height above the ground: less is a pattern, not a mat around an object."""
_MOST_TARGETS = 16

Sightings = list[tuple[str, Float[np.ndarray, " 2"]]]


class FoundMat(NamedTuple):
    """Length of the diagonals in the world, their difference by it, the least number of pictures that see one
    of the targets, and the targets: A, C, B, D."""

    diagonal: float
    unequal: float
    views: int
    targets: Float[np.ndarray, "4 3"]


def find_mat(pictures: Mapping[str, PosedPicture], plane: Float[np.ndarray, " 4"]) -> FoundMat | None:
    """The square of four targets that most pictures (of 40, evenly spread) see, on the ground `plane` (n, d);
    None without one."""
    names = sorted(pictures)
    looked = [names[k] for k in np.unique(np.linspace(0, len(names) - 1, _MOST_VIEWS).astype(int))]
    seen = {name: targets_in(pictures[name]) for name in track(looked, "Looking for a printed mat")}
    groups = _meeting(seen, pictures, plane)
    points = [point for group in groups if (point := _agreed(group, pictures)) is not None]
    points.sort(key=lambda point: -point.views)
    heights = [abs(plane[:3] @ picture.T_world_camera[:3, 3] + plane[3]) for picture in pictures.values()]
    return _best_square(points[:_MOST_TARGETS], _SMALLEST * float(np.median(heights)))


def targets_in(picture: PosedPicture) -> Float[np.ndarray, "n 2"]:
    """Quadrant targets in pixels of the picture as it is."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(read_pixels(picture.path)[..., :3]), cv2.COLOR_RGB2GRAY)
    factor = _LONGEST_PX / max(grey.shape)
    if factor >= 1:
        return quadrant_targets(np.asarray(grey, np.uint8))
    grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return (quadrant_targets(np.asarray(grey, np.uint8)) + 0.5) / factor - 0.5


def _meeting(
    seen: Mapping[str, Float[np.ndarray, "_ 2"]],
    pictures: Mapping[str, PosedPicture],
    plane: Float[np.ndarray, " 4"],
) -> list[Sightings]:
    """Sightings whose rays meet the plane at one place, each place once."""
    sightings: Sightings = []
    places, distances = [], []
    for name, pixels in seen.items():
        if not len(pixels):
            continue
        eye, ways = pictures[name].T_world_camera[:3, 3], pictures[name].rays(pixels)
        along = -(plane[:3] @ eye + plane[3]) / (ways @ plane[:3])
        for pixel, way, t in zip(pixels, ways, along, strict=True):
            if np.isfinite(t) and t > 0:
                sightings.append((name, pixel))
                places.append(eye + t * way)
                distances.append(t)
    if not places:
        return []
    at, near = np.array(places), _NEAR * float(np.median(distances))
    left, groups = np.ones(len(at), bool), []
    close = np.linalg.norm(at[:, None] - at[None], axis=2) < near
    while left.any():
        votes = (close & left[None]).sum(1) * left
        start = int(votes.argmax())
        if votes[start] < _FEWEST_VIEWS:
            break
        members = np.flatnonzero(close[start] & left)
        left[members] = False
        once: dict[str, int] = {}
        for k in members[np.argsort(np.linalg.norm(at[members] - at[start], axis=1))]:
            once.setdefault(sightings[k][0], int(k))
        groups.append([sightings[k] for k in once.values()])
    return groups


def _agreed(group: Sightings, pictures: Mapping[str, PosedPicture]) -> Triangulated | None:
    """The point of a group, without sightings that do not fit; None where too few do."""
    while len(group) >= _FEWEST_VIEWS:
        found = triangulate(group, pictures)
        if found is None:
            return None
        off = [float(np.linalg.norm(pictures[name].project(found.point) - pixel)) for name, pixel in group]
        if max(off) < _MOST_ERROR_PX:
            return found if found.angle_deg > 5 else None
        group = [one for one, miss in zip(group, off, strict=True) if miss < max(off)]
    return None


def _best_square(points: list[Triangulated], least: float) -> FoundMat | None:
    best: tuple[tuple[int, float], FoundMat] | None = None
    for four in combinations(points, 4):
        for order in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)):  # which two are opposite one another
            a, c, b, d = (four[k].point for k in order)
            lengths = np.linalg.norm(c - a), np.linalg.norm(d - b)
            diagonal = float(np.mean(lengths))
            unequal = float(abs(lengths[0] - lengths[1])) / diagonal
            apart = float(np.linalg.norm((a + c) / 2 - (b + d) / 2)) / diagonal
            slant = float(abs((c - a) @ (d - b))) / diagonal**2
            if diagonal < least or max(unequal, apart, slant) > _UNEQUAL:
                continue
            views = min(point.views for point in four)
            found = FoundMat(diagonal, unequal, views, np.stack([a, c, b, d]))
            rank = (views, -(unequal + apart + slant))
            if best is None or rank > best[0]:
                best = (rank, found)
    return None if best is None else best[1]
