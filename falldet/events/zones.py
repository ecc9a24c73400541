"""Zones of the picture where people may lie, and whether a box is in one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from falldet.events.options import Point, ZoneOptions, twice_area

Box = tuple[float | int, float | int, float | int, float | int]
_MOST = 0.5
_SOME = 0.25


def zone_of(box_px: Box, size_px: tuple[int, int], zones: Sequence[ZoneOptions]) -> ZoneOptions | None:
    """The first zone that the box is in: with most of its area, or with its lower centre and some of it.

    ``size_px`` is the picture's width and height.
    """
    width, height = size_px
    x1, y1, x2, y2 = box_px
    box = (x1 / width, y1 / height, x2 / width, y2 / height)
    area = max(box[2] - box[0], 0) * max(box[3] - box[1], 0)
    if area <= 0:
        return None
    foot = ((box[0] + box[2]) / 2, box[3] - 0.02 * (box[3] - box[1]))
    for zone in zones:
        share = shared_area(zone.polygon, box) / area
        if share >= _MOST or (share >= _SOME and _inside(foot, zone.polygon)):
            return zone
    return None


def shared_area(polygon: tuple[Point, ...], box: Box) -> float:
    """Of a simple polygon and a box: the polygon clipped at each side of it (Sutherland and Hodgman 1974).

    Clipped concave polygons may have bridges along a side, which enclose nothing.
    """
    corners = list(polygon)
    for axis, sign, at in ((0, 1, box[0]), (0, -1, box[2]), (1, 1, box[1]), (1, -1, box[3])):
        kept: list[Point] = []
        for p, q in pairwise((*corners, *corners[:1])):
            inside_p, inside_q = sign * (p[axis] - at) >= 0, sign * (q[axis] - at) >= 0
            if inside_p:
                kept.append(p)
            if inside_p != inside_q:
                t = (at - p[axis]) / (q[axis] - p[axis])
                kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
        corners = kept
        if len(corners) < 3:
            return 0.0
    return abs(twice_area(tuple(corners))) / 2


def _inside(point: Point, polygon: tuple[Point, ...]) -> bool:
    """Whether a ray to the right meets an odd number of sides."""
    x, y = point
    odd = False
    for (x1, y1), (x2, y2) in pairwise((*polygon, polygon[0])):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            odd = not odd
    return odd
