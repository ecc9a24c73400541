"""Masks of all pictures: first each by itself, then all agree on a hull, then each again along the hull."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from nerfrecon.object.box import FEWEST_POINTS
from nerfrecon.object.cut import (
    border_hints,
    border_model,
    cut,
    geometry_hints,
    is_plain,
    outline_of_box,
    tidied,
)
from nerfrecon.object.frame import box_corners, widened
from nerfrecon.object.ground_picture import GroundPicture, picture_ground
from nerfrecon.object.hull import Hull, agreement, carve
from nerfrecon.object.options import BorderMasks, NetworkMasks, NoMasks, ObjectOptions
from nerfrecon.object.small import Silhouette, SmallPicture, SmallView, load_small
from nerfrecon.scene import Scene
from suite.errors import BackendUnavailable, BadInput
from suite.progress import track

How = Literal["given", "border", "geometry", "network", "off"]
_MOSTLY = 0.8
_USELESS = 0.6
"""Median agreement with the hull below which masks are given up."""
_LOW_DEG = 25.0
_OVER = 0.04
"""In longest sides of the box: what the object may reach over its highest points."""
_FOOT = 0.35
"""Of the object's height: what is lower than that stands where the object does."""
_LOOSE = 0.2
"""Of the box's longest side: masks may find more of the object than its points do."""


@dataclass(frozen=True, eq=False)
class Place:
    """What is known of the object before any mask, in an upright frame: its box, whether the ground is y = 0,
    and which of the scene's points are its own."""

    box: Float[np.ndarray, "2 3"]
    grounded: bool
    own: Bool[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class FoundMasks:
    """How masks were found; a mask a view (None: none that is to be trusted), of the size it was worked on;
    the hull they agree on, and each one's agreement with it."""

    how: How
    masks: tuple[Bool[np.ndarray, "h w"] | None, ...] = ()
    agreements: tuple[float, ...] = ()
    hull: Hull | None = None
    usable: tuple[Bool[np.ndarray, "h w"] | None, ...] = ()
    """For views without a mask: what the hull is sure of."""
    flags: tuple[str, ...] = field(default=())


def find_masks(scene: Scene, place: Place, options: ObjectOptions) -> FoundMasks:
    """Of the views of an upright scene. Raises BadInput for masks that are black, BackendUnavailable for a
    network that is not installed."""
    if isinstance(options.mask, NoMasks):
        return FoundMasks("off")
    pictures = [load_small(view, options.fine_px) for view in scene.views]
    fine, given = [small for small, _ in pictures], [own for _, own in pictures if own is not None]
    if len(given) == len(fine):
        return _given(given, place, options)
    rough = [small.within(options.rough_px) for small in fine]
    borders = [border_model(small.rgb) for small in rough]
    plain = float(np.mean([is_plain(spread) for _, spread in borders]))
    if isinstance(options.mask, NetworkMasks):
        network = _network(options.mask)
        silhouettes = [one.silhouette(network(one.rgb)) for one in track(fine, "Masks by the network")]
        return _agreed("network", silhouettes, _loose(place), place, options)
    if isinstance(options.mask, BorderMasks) or (options.mask.type == "auto" and plain >= _MOSTLY):
        least = options.mask.least_difference if isinstance(options.mask, BorderMasks) else 8.0

        def hints(small: SmallPicture) -> np.ndarray:
            return border_hints(border_model(small.rgb)[0], least)

        flags = () if plain >= _MOSTLY else (f"only {plain:.0%} of the pictures have a plain border",)
        return _in_rounds("border", rough, fine, hints, place, options, flags)
    if place.own.sum() < FEWEST_POINTS:
        said = f"no masks: {int(place.own.sum())} points of the object and no plain background to go by"
        return FoundMasks("off", flags=(said,))
    return _by_geometry(scene, place, rough, fine, options)


def hull_top(hull: Hull, scene: Scene, place: Place) -> float:
    """Height of the object. Pictures from above leave a cone of air over an opening in the hull: where no
    three that see its top are taken from below 25 degrees, the points say how high the object goes."""
    centres = hull.centres()
    top = float(hull.box[1, 1])
    summit = centres[centres[:, 1] > top - 1.5 * hull.step].mean(0)
    level = 0
    for view in scene.views:
        away = view.position - summit
        level += bool(
            away[1] < np.sin(np.deg2rad(_LOW_DEG)) * np.linalg.norm(away)
            and view.camera.contains(view.project(summit))
        )
    if level >= 3 or place.own.sum() < FEWEST_POINTS or scene.points is None:
        return top
    highest = float(np.quantile(scene.points.positions[place.own, 1], 0.995))
    return min(top, highest + _OVER * float(np.ptp(place.box, axis=0).max()))


def _by_geometry(
    scene: Scene, place: Place, rough: list[SmallPicture], fine: list[SmallPicture], options: ObjectOptions
) -> FoundMasks:
    assert scene.points is not None
    loose, positions = _loose(place), scene.points.positions
    ground: GroundPicture | None = None
    if place.grounded:
        middle, reach = loose.mean(0)[[0, 2]], 1.5 * float(np.ptp(loose, axis=0).max())
        own = positions[place.own]
        foot = own[own[:, 1] < _FOOT * own[:, 1].max()]
        ground = picture_ground(rough, middle, reach, (foot if len(foot) > 8 else own)[:, [0, 2]])
    low, high = loose
    beside = ~place.own & ~((positions > low) & (positions < high)).all(1)
    if place.grounded:
        beside |= positions[:, 1] < 0.3 * positions[place.own, 1].max() / 10
    seen = {id(view): scene.points.seen_by(k) for k, view in enumerate(scene.views)}

    def hints(small: SmallPicture) -> np.ndarray:
        rows = seen[id(small.view)]
        return geometry_hints(small, loose, positions[place.own], positions[rows[beside[rows]]], ground)

    return _in_rounds("geometry", rough, fine, hints, place, options, ())


def _in_rounds(
    how: How,
    rough: Sequence[SmallPicture],
    fine: Sequence[SmallPicture],
    hints: Callable[[SmallPicture], np.ndarray],
    place: Place,
    options: ObjectOptions,
    flags: tuple[str, ...],
) -> FoundMasks:
    """Rough masks, their hull, and masks along its outline."""
    loose = _loose(place)
    corners = box_corners(loose)
    silhouettes = []
    for small in track(rough, "Masks, rough"):
        mask = tidied(cut(small.rgb, hints(small), outline_of_box(small, corners)))
        silhouettes.append(small.silhouette(mask))
    hull = carve(silhouettes, loose, options.hull_cells)
    if not hull.kept.any():
        return FoundMasks("off", flags=(*flags, f"no masks: those by {how} have nothing in common"))
    refined = []
    for small in track(fine, "Masks, refined"):
        outline = hull.outline(small)
        odds, bounds = _along(outline, _band_px(hull, small)), outline_of_box(small, corners)
        mask = tidied(cut(small.rgb, 0.6 * hints(small) + odds, bounds, 2))
        refined.append(small.silhouette(mask))
    return _agreed(how, refined, loose, place, options, flags)


def _agreed(
    how: How,
    silhouettes: Sequence[Silhouette],
    box: np.ndarray,
    place: Place,
    options: ObjectOptions,
    flags: tuple[str, ...] = (),
) -> FoundMasks:
    """Masks that agree with their hull are kept."""
    hull = carve(silhouettes, box, options.hull_cells)
    if not hull.kept.any():
        return FoundMasks("off", flags=(*flags, f"no masks: those by {how} have nothing in common"))
    outlines = [hull.outline(one) for one in silhouettes]
    scores = [agreement(one.mask, outline) for one, outline in zip(silhouettes, outlines, strict=True)]
    if float(np.median(scores)) < _USELESS:
        said = f"no masks: those by {how} agree with one another only to {np.median(scores):.2f}"
        return FoundMasks("off", agreements=tuple(scores), flags=(*flags, said))
    good = [score >= options.least_agreement for score in scores]
    masks = [one.mask if ok else None for one, ok in zip(silhouettes, good, strict=True)]
    usable = [
        None if ok else _eroded(outline, 2 * _band_px(hull, one))
        for one, outline, ok in zip(silhouettes, outlines, good, strict=True)
    ]
    if bad := [one.view.name for one, ok in zip(silhouettes, good, strict=True) if not ok]:
        some = ", ".join(bad[:4]) + (", ..." if len(bad) > 4 else "")
        flags = (*flags, f"{len(bad)} of {len(good)} masks disagree with the others and are left out: {some}")
    return FoundMasks(how, tuple(masks), tuple(scores), hull, tuple(usable), flags)


def _given(silhouettes: Sequence[Silhouette], place: Place, options: ObjectOptions) -> FoundMasks:
    """Masks of somebody else's are kept, and told where they disagree."""
    hull = carve(silhouettes, place.box, options.hull_cells)
    if not hull.kept.any():
        raise BadInput(
            "the masks show nothing that they have in common",
            silhouettes[0].view.mask_path or silhouettes[0].view.image_path,
            hint="paint the same object white in all of them, or leave them out (object.mask.type=off)",
        )
    scores = [agreement(one.mask, hull.outline(one)) for one in silhouettes]
    bad = [one.view.name for one, s in zip(silhouettes, scores, strict=True) if s < options.least_agreement]
    said = f"{len(bad)} of {len(scores)} masks disagree with the others: {', '.join(bad[:4])}"
    return FoundMasks("given", (), tuple(scores), hull, flags=(said,) if bad else ())


def _loose(place: Place) -> np.ndarray:
    """The box that masks may fill; nothing is below the ground."""
    box = widened(place.box, _LOOSE)
    if place.grounded:
        box[0, 1] = 0.0
    return box


def _band_px(hull: Hull, one: SmallView) -> float:
    """How sure the hull's outline is, in pixels."""
    distance = float(np.linalg.norm(hull.box.mean(0) - one.view.position))
    return 1.5 + 1.5 * hull.step * one.camera.pinhole.fx / distance


def _along(outline: np.ndarray, band_px: float) -> np.ndarray:
    """Odds that rise from outside to inside of an outline."""
    import cv2

    inside = cv2.distanceTransform(outline.astype(np.uint8), cv2.DIST_L2, 3)
    outside = cv2.distanceTransform((~outline).astype(np.uint8), cv2.DIST_L2, 3)
    return 1.4 * np.clip((inside - outside) / band_px, -3, 3)


def _eroded(outline: np.ndarray, by_px: float) -> np.ndarray:
    import cv2

    return cv2.distanceTransform(outline.astype(np.uint8), cv2.DIST_L2, 3) > by_px


def _network(options: NetworkMasks) -> Callable[[np.ndarray], np.ndarray]:
    try:
        import importlib

        rembg = importlib.import_module("rembg")
        session = rembg.new_session(options.model)
    except Exception as error:  # whatever it misses: package, runtime, weights
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackendUnavailable(
            "rembg", cause, hint="pip install rembg with its weights, or object.mask.type=auto"
        ) from None

    def mask(rgb: np.ndarray) -> np.ndarray:
        return np.asarray(rembg.remove(rgb, session=session, only_mask=True)) > 127

    return mask
