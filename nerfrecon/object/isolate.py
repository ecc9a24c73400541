"""Read first. A capture with poses becomes a capture of one object, upright, in a frame of its own.

    scene -> up and ground -> the object's points -> a box -> masks, their hull -> the object's frame -> out

OUT/transforms.json  the scene in the object's frame: y up, its base on y = 0, its box centred; metres where
                     the scale is known
OUT/masks/*.png      the object white, where masks were made or given
OUT/object.json      T_object_world (a similarity, by rows), how box, up, masks were found, flags
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float

from nerfrecon.ground import Ground, UpFrom, camera_up, find_plane
from nerfrecon.object.box import FEWEST_POINTS, object_points, points_box, tightest_turn
from nerfrecon.object.frame import (
    box_corners,
    boxed,
    moved,
    similarity,
    turned_about_y,
    upright_turn,
    widened,
)
from nerfrecon.object.mask import FoundMasks, Place, find_masks, hull_top
from nerfrecon.object.options import GivenMasks, ObjectOptions
from nerfrecon.scene import Scene, View
from nerfrecon.scenes.box import meeting_point
from nerfrecon.scenes.read import read_scene
from nerfrecon.scenes.write import write_transforms
from suite.data.images import write_image
from suite.errors import BadInput
from suite.files import atomic_folder, atomic_write

_NEAR = 0.8
"""Points tell of the ground that lie this near the place looked at, in distances of the cameras."""


@dataclass(frozen=True)
class SfmNotes:
    """What the stage sfm found out about the world of its poses."""

    up: tuple[float, ...] | None = None
    ground: tuple[float, ...] | None = None
    metres_per_unit: float | None = None


def isolate(scene: Path, out: Path, options: ObjectOptions | None = None, sfm: Path | None = None) -> Path:
    """Find the object in `scene` (anything `read_scene` reads) and write it into the folder `out`, which must
    not be there; returns it. Atomic.

    `sfm` is the folder (or file) of sfm.json: scale, up and ground, where they were found. Raises BadInput
    where nothing says where the object is, and for masks that are black or show nothing in common.
    """
    options = ObjectOptions() if options is None else options
    read = _with_masks(read_scene(scene), options)
    notes, flags = read_sfm_notes(sfm), list(read.notes)
    keeps_box = options.box is not None or read.box_from == "file"
    world_box = np.array(options.box, np.float64) if options.box is not None else read.box
    read = replace(read, box=world_box)
    centre = world_box.mean(0) if keeps_box else _looked_at(read)
    ground = _ground(read, notes, options, centre)
    T_up_world = _T_up_world(ground, centre)
    upright = moved(read, T_up_world)
    place, box_from, more = _place(upright, ground, keeps_box, T_up_world, centre)
    found = find_masks(upright, place, options)
    if box_from == "cameras" and found.hull is None:
        _refuse_nothing(upright, place)
    flags += [*more, *found.flags]
    metres = options.metres_per_unit if options.metres_per_unit is not None else notes.metres_per_unit
    up = T_up_world[:3, :3] @ ground.up if ground.is_wall else None
    T_object_up, box = _object_frame(upright, place, found, keeps_box, metres, options, up)
    T_object_world = T_object_up @ T_up_world
    if not keeps_box and found.hull is not None:
        box_from = "hull"
    made_scene = moved(read, T_object_world, box)
    made_scene = replace(
        made_scene,
        up=np.array([0.0, 1.0, 0.0]),
        box_from="file",
        aabb_scale=read.aabb_scale if keeps_box else 1.0,
        notes=(),
    )
    with atomic_folder(Path(out)) as folder:
        written = _with_written_masks(made_scene, found, folder)
        write_transforms(folder / "transforms.json", written)
        told = {
            "T_object_world": T_object_world.tolist(),
            "T_world_object": np.linalg.inv(T_object_world).tolist(),
            "metres": metres is not None,
            "box": box.tolist(),
            "box_from": box_from,
            "up_world": ground.up.tolist(),
            "up_from": ground.up_from,
            "ground_world": None if ground.plane is None else ground.plane.tolist(),
            "ground_share": round(ground.share, 4),
            "object_points": int(place.own.sum()),
            "masks": _told_masks(found),
            "flags": flags,
        }
        with atomic_write(folder / "object.json", "w") as stream:
            json.dump(told, stream, indent=1)
    return Path(out)


def read_sfm_notes(sfm: Path | None) -> SfmNotes:
    """Of a folder with sfm.json or of the file; nothing is known without it."""
    if sfm is None:
        return SfmNotes()
    path = Path(sfm) / "sfm.json" if Path(sfm).is_dir() else Path(sfm)
    if not path.is_file():
        raise BadInput("no such file", path, hint="name the folder that the stage sfm wrote")
    try:
        said: dict[str, Any] = json.loads(path.read_text())
        up, ground = said.get("up"), said.get("ground", said.get("ground_plane"))
        metres = (said.get("scale") or {}).get("metres_per_unit")
        return SfmNotes(
            None if up is None else tuple(float(x) for x in up),
            None if ground is None else tuple(float(x) for x in ground),
            None if metres is None else float(metres),
        )
    except (ValueError, TypeError, AttributeError):
        raise BadInput("is not what the stage sfm writes", path, hint="run nerfrecon sfm again") from None


def _with_masks(scene: Scene, options: ObjectOptions) -> Scene:
    """With the masks of a folder that was named."""
    if not isinstance(options.mask, GivenMasks):
        return scene
    folder = options.mask.folder
    if not folder.is_dir():
        raise BadInput("no such folder of masks", folder)

    def masked(view: View) -> View:
        name = Path(view.name).name
        tries = (folder / f"{name}.png", (folder / name).with_suffix(".png"), folder / name)
        path = next((one for one in tries if one.is_file()), None)
        if path is None:
            raise BadInput(
                f"has no mask for {name}", folder, hint=f"add {Path(name).stem}.png, or object.mask.type=auto"
            )
        return replace(view, mask_path=path, mask_shows="object")

    return replace(scene, views=tuple(masked(view) for view in scene.views))


def _looked_at(scene: Scene) -> Float[np.ndarray, " 3"]:
    centre = meeting_point(scene.views)
    if centre is None:
        raise BadInput(
            "all cameras look the same way, so nothing says where the object is",
            scene.source,
            hint="walk around the object, or name its box (object.box=[[x,y,z],[x,y,z]])",
        )
    return centre


def _ground(scene: Scene, notes: SfmNotes, options: ObjectOptions, centre: np.ndarray) -> Ground:
    """Up and the ground plane: told, found by SfM, found here, or only what the cameras say."""
    T = np.stack([view.T_world_camera for view in scene.views])
    guess, is_sure = camera_up(T)
    said: np.ndarray | None = None
    said_from: UpFrom = "option"
    if options.up is not None:
        said = np.array(options.up, np.float64)
    elif notes.up is not None:
        said, said_from = np.array(notes.up, np.float64), "sfm"
    elif scene.up is not None:
        said, said_from = np.asarray(scene.up, np.float64), "file"
    if said is not None and not np.linalg.norm(said) > 0:
        raise BadInput("up is no direction", hint="give three numbers, such as object.up=[0,1,0]")
    if said is not None:
        said = said / np.linalg.norm(said)
    hint = said if said is not None else (guess if is_sure else None)

    def plane(up: np.ndarray | None) -> Ground | None:
        if scene.points is None:
            return None
        return find_plane(scene.points.positions, T[:, :3, 3], centre, up, near=_NEAR, seed=options.seed)

    found = plane(hint)
    if notes.ground is not None and options.up is None and found is None:
        told = np.array(notes.ground) / np.linalg.norm(notes.ground[:3])
        return Ground(told[:3], "sfm", told)
    if found is None and hint is not None:
        wall = plane(None)
        if wall is not None:  # the object hangs on it
            return replace(wall, up=hint, up_from=said_from if said is not None else "cameras")
    if said is not None and said_from != "sfm":
        agrees = found is not None and float(found.up @ said) > np.cos(np.deg2rad(3))
        level = _levelled(found, said) if found is not None and agrees else None
        return Ground(said, said_from, level, found.share if found is not None and agrees else 0.0)
    if found is not None:
        return found
    return Ground(said, "sfm") if said is not None else Ground(guess, "cameras")


def _levelled(found: Ground, up: np.ndarray) -> np.ndarray:
    """The found plane's height with a told up."""
    assert found.plane is not None
    on = -found.plane[3] * found.plane[:3]
    return np.array([*up, -float(up @ on)])


def _T_up_world(ground: Ground, centre: np.ndarray) -> Float[np.ndarray, "4 4"]:
    """y up, what is looked at above the origin, the ground (where there is one) on y = 0; of what hangs on a
    wall, away from the wall is up, for now."""
    R = upright_turn(ground.up if ground.plane is None else ground.plane[:3])
    t = -(R @ centre)
    if ground.plane is not None:
        t[1] = float(ground.plane[3])
    return similarity(R, t)


def _place(
    scene: Scene, ground: Ground, keeps_box: bool, T_up_world: np.ndarray, centre: np.ndarray
) -> tuple[Place, str, list[str]]:
    """Box and points of the object before masks, where the box is from, flags. `scene` is upright."""
    grounded = ground.plane is not None
    count = 0 if scene.points is None else len(scene.points.positions)
    own = np.zeros(count, bool)
    if keeps_box:
        if scene.points is not None:
            own = ((scene.points.positions > scene.box[0]) & (scene.points.positions < scene.box[1])).all(1)
        return Place(scene.box, False, own), "file", []
    at = T_up_world[:3, :3] @ centre + T_up_world[:3, 3]
    if scene.points is not None:
        own = object_points(scene.points.positions, scene.views, at, grounded, ground.thickness)
    flags = [] if grounded else ["no ground was found: the object's base is its lowest point"]
    if own.sum() >= FEWEST_POINTS:
        assert scene.points is not None
        return Place(points_box(scene.points.positions[own], grounded), grounded, own), "points", flags
    flags.append("the box is where the cameras' pictures overlap: no points say more")
    return Place(scene.box, grounded, own), "cameras", flags


def _refuse_nothing(scene: Scene, place: Place) -> NoReturn:
    """Neither points nor masks say where the object is."""
    count = 0 if scene.points is None else len(scene.points.positions)
    raise BadInput(
        f"{int(place.own.sum())} of {count} points stand above the ground where the cameras look, "
        "and there are no masks that agree",
        scene.source,
        hint="photograph an object with more detail, or before one plain colour; or give masks "
        "(object.mask.type=given) or its box (object.box)",
    )


def _object_frame(
    scene: Scene,
    place: Place,
    found: FoundMasks,
    keeps_box: bool,
    metres: float | None,
    options: ObjectOptions,
    up: np.ndarray | None = None,
) -> tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "2 3"]]:
    """T_object_up and the box in the object's frame; `up` where it is not y yet."""
    if keeps_box:
        solid = box_corners(place.box)
    elif found.hull is not None:
        solid = found.hull.centres()
    else:
        assert scene.points is not None or place.own.sum() == 0
        solid = scene.points.positions[place.own] if place.own.any() and scene.points else None
        solid = box_corners(place.box) if solid is None else solid
    R = np.eye(3) if up is None else upright_turn(up)
    if not keeps_box:
        R = turned_about_y(tightest_turn((solid @ R.T)[:, [0, 2]])) @ R
    stands = place.grounded and up is None
    if keeps_box or found.hull is not None:
        box = boxed(solid @ R.T)
        if found.hull is not None and not keeps_box:
            box = box + 0.5 * found.hull.step * np.array([[-1.0], [1.0]])
            if up is None:
                box[1, 1] = hull_top(found.hull, scene, place)
    else:
        box = points_box(solid @ R.T, stands) if len(solid) > 8 else boxed(solid @ R.T)
    base = float(box[0, 1])
    if stands:
        base = 0.0
    elif found.hull is not None and up is None:
        base = float(found.hull.box[0, 1])
    middle = box.mean(0)
    shift = np.array([-middle[0], -base, -middle[2]])
    if not keeps_box:
        low = box[0, 1]
        box = widened(box, options.margin)
        if stands:  # without masks the box alone cuts the ground off
            box[0, 1] = min(low, 0.0) - 0.02 * float(np.ptp(box, axis=0).max()) * (found.hull is not None)
    scale = 1.0 if metres is None else metres
    return similarity(R, shift, scale), scale * (box + shift)


def _with_written_masks(scene: Scene, found: FoundMasks, folder: Path) -> Scene:
    """With masks/*.png of what was found; masks that were given stay where they are."""
    import cv2

    if not found.masks:
        return scene
    (folder / "masks").mkdir()
    stems = [Path(view.name).stem for view in scene.views]
    views = []
    for k, view in enumerate(scene.views):
        stem = stems[k] if stems.count(stems[k]) == 1 else f"{k:04d}_{stems[k]}"
        mask, shows = found.masks[k], "object"
        if mask is None:
            mask, shows = found.usable[k], "usable"
        if mask is None or not mask.any():
            views.append(replace(view, mask_path=None))
            continue
        size = (view.camera.width, view.camera.height)
        grey = mask.astype(np.uint8) * np.uint8(255)
        if mask.shape[::-1] != size:
            grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC))
            grey = np.where(grey > 127, 255, 0).astype(np.uint8)
        path = folder / "masks" / f"{stem}.png"
        write_image(path, np.repeat(grey[..., None], 3, 2))
        views.append(replace(view, mask_path=path, mask_shows=shows))
    return replace(scene, views=tuple(views))


def _told_masks(found: FoundMasks) -> dict[str, Any]:
    kept = sum(mask is not None for mask in found.masks)
    scores = found.agreements
    return {
        "how": found.how,
        "kept": kept if found.masks else len(scores) * (found.how == "given"),
        "left_out": len(found.masks) - kept,
        "agreement_median": round(float(np.median(scores)), 4) if scores else None,
        "agreement_least": round(float(min(scores)), 4) if scores else None,
        "hull_volume": None if found.hull is None else float(found.hull.kept.sum() * found.hull.step**3),
    }
