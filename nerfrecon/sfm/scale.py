"""Metres in a unit of the reconstruction: from a distance that is known, a marker, or the printed mat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from nerfrecon.scenes.picture import read_pixels
from nerfrecon.sfm.mat import find_mat
from nerfrecon.sfm.options import (
    AutoScale,
    DistanceScale,
    MarkerScale,
    MatScale,
    NoScale,
    Pixel,
    ScaleOptions,
)
from nerfrecon.sfm.triangulate import PosedPicture, Triangulated, triangulate
from suite.errors import BadInput
from suite.progress import track

_MM = 0.001
_MUCH_PX = 3.0
_FLAT_DEG = 2.0


@dataclass(frozen=True)
class FoundScale:
    """Metres in a unit, or None; what it is from; a line that says how well, or why not."""

    metres_per_unit: float | None
    found_from: Literal["mat", "marker", "distance"] | None
    note: str


def refuse_unknown_names(options: ScaleOptions, names: Sequence[str]) -> None:
    """Raises BadInput where the ends of a distance are told in pictures that are not there."""
    if isinstance(options, DistanceScale):
        for name, _, _ in (*options.first, *options.second):
            if name not in names:
                raise BadInput(
                    f"scale names the picture {name}, which is not in frames/images",
                    hint=f"name pictures as they are there, such as {names[0]}" if names else None,
                )


def find_scale(
    options: ScaleOptions, pictures: Mapping[str, PosedPicture], plane: Float[np.ndarray, " 4"] | None
) -> FoundScale:
    """By `options`; `plane` is the ground's, which the mat lies on."""
    if isinstance(options, NoScale):
        return FoundScale(None, None, "not asked for")
    if isinstance(options, DistanceScale):
        return _from_distance(options, pictures)
    if isinstance(options, MarkerScale):
        return _from_markers(options, pictures)
    mat = options if isinstance(options, MatScale) else MatScale()
    found = None if plane is None else find_mat(pictures, plane)
    if found is not None:
        return FoundScale(
            mat.diagonal_mm * _MM / found.diagonal,
            "mat",
            f"four targets, {mat.diagonal_mm:g} mm apart across, each seen by at least {found.views} "
            f"pictures; the two diagonals differ by {100 * found.unequal:.2f} %",
        )
    if isinstance(options, AutoScale):
        return FoundScale(None, None, "no printed mat is seen; give a distance or a marker for metres")
    why = "no ground plane was found" if plane is None else "no four targets in a square are seen"
    return FoundScale(None, None, f"the printed mat was not found: {why}")


def _from_distance(options: DistanceScale, pictures: Mapping[str, PosedPicture]) -> FoundScale:
    ends = []
    for which, told in (("first", options.first), ("second", options.second)):
        end = triangulate(_sightings(told), pictures)
        if end is None or end.angle_deg < _FLAT_DEG:
            return FoundScale(
                None, None, f"the {which} end of the distance is not told in two pictures that differ"
            )
        if end.error_px > _MUCH_PX:
            return FoundScale(
                None,
                None,
                f"the {which} end of the distance misses its pixels by {end.error_px:.1f} px: one of them is "
                "another point",
            )
        ends.append(end)
    length = float(np.linalg.norm(ends[1].point - ends[0].point))
    worst = max(end.error_px for end in ends)
    note = f"{options.length_mm:g} mm between two points that fit their pixels to {worst:.2f} px"
    return FoundScale(options.length_mm * _MM / length, "distance", note)


def _from_markers(options: MarkerScale, pictures: Mapping[str, PosedPicture]) -> FoundScale:
    sides: list[float] = []
    views = 0
    for told in marker_corners(options, pictures).values():
        corners = [triangulate(told[k], pictures) for k in range(4)]
        good = [c for c in corners if c is not None and c.error_px < _MUCH_PX and c.angle_deg > _FLAT_DEG]
        if len(good) == 4:
            sides += _sides(good)
            views = max(views, good[0].views)
    if not sides:
        return FoundScale(
            None, None, f"no marker of {options.dictionary} is seen by two pictures from different places"
        )
    spread = float(np.std(sides) / np.mean(sides))
    note = f"{len(sides) // 4} markers, by up to {views} pictures; their sides differ by {100 * spread:.1f} %"
    return FoundScale(options.side_mm * _MM / float(np.median(sides)), "marker", note)


def marker_corners(
    options: MarkerScale, pictures: Mapping[str, PosedPicture]
) -> dict[int, list[list[tuple[str, Float[np.ndarray, " 2"]]]]]:
    """Of each marker's four corners, by its number, where each picture sees it. Raises BadInput for a
    dictionary that OpenCV does not know."""
    import cv2

    number = getattr(cv2.aruco, f"DICT_{options.dictionary}", None)
    if number is None:
        raise BadInput(
            f"scale.dictionary is {options.dictionary}, which OpenCV does not know",
            hint="use 4X4_50 or 6X6_250",
        )
    settings = cv2.aruco.DetectorParameters()
    settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(number), settings)
    found: dict[int, list[list[tuple[str, np.ndarray]]]] = defaultdict(lambda: [[], [], [], []])
    for name, picture in track(sorted(pictures.items()), "Looking for markers"):
        rgb = np.ascontiguousarray(read_pixels(picture.path)[..., :3])
        corners, ids, _ = detector.detectMarkers(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
        for four, marker in zip(corners, [] if ids is None else np.ravel(ids).tolist(), strict=True):
            for k, pixel in enumerate(np.asarray(four, np.float64).reshape(4, 2)):
                found[marker][k].append((name, pixel))
    return dict(found)


def _sides(corners: list[Triangulated]) -> list[float]:
    points = np.stack([corner.point for corner in corners])
    return np.linalg.norm(points - np.roll(points, -1, 0), axis=1).tolist()


def _sightings(told: tuple[Pixel, ...]) -> list[tuple[str, np.ndarray]]:
    return [(name, np.array([u, v], np.float64)) for name, u, v in told]
