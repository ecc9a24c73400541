"""Pictures -> where their cameras stood: OUT/sparse (COLMAP's model), OUT/sfm.json, and links to the
pictures, so that OUT opens as a scene.

features -> which pictures to compare -> matches -> (a turntable's background out) -> poses -> all of it once
more, robustly -> up, ground, scale. What is done is kept in a work folder beside OUT until all is: a run that
was cut short looks for no feature twice.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nerfrecon.sfm.adjust import adjust
from nerfrecon.sfm.cameras import SourcePicture, create_database, source_pictures
from nerfrecon.sfm.colmap_calls import colmap
from nerfrecon.sfm.features import extract
from nerfrecon.sfm.mapping import FoundModel, find_models
from nerfrecon.sfm.matching import Pairs, all_pairs, match, plan_pairs
from nerfrecon.sfm.options import SfmOptions
from nerfrecon.sfm.quality import lens_flags, quality
from nerfrecon.sfm.rejected import refuse_failure, rejections
from nerfrecon.sfm.scale import find_scale, refuse_unknown_names
from nerfrecon.sfm.triangulate import posed_pictures
from nerfrecon.sfm.turntable import STILL, StillFeatures, leave_out, read_still, still_features, write_still
from nerfrecon.sfm.upright import find_upright
from suite.errors import BadInput
from suite.files import atomic_folder, atomic_write

_FEATURE_KEYS = ("image_px", "features", "thorough", "lens", "focal_px")
_BYTES_A_FEATURE, _BYTES_AT_LEAST = 500, 50_000_000
_MATCH_KEYS = ("guided", "pairs", "few", "neighbours", "partners", "turntable", "seed")


def find_cameras(frames: Path, out: Path, options: SfmOptions, masks: Path | None = None) -> Path:
    """Find the cameras of the pictures in `frames`/images and write them to `out`, which must not be there.

    Masks (white: features are wanted) are those of `masks`, of `frames`/masks, or the pictures' alpha. Raises
    BadInput, in one line, where too few pictures have a pose.
    """
    frames, out = Path(frames), Path(out)
    pictures = source_pictures(frames, masks)
    _refuse(pictures, frames, options)
    work = out.parent / f".{out.name}.work"
    _refuse_full_disk(out, len(pictures), options)
    seconds: dict[str, float] = {}
    names = [picture.name for picture in pictures]
    database = _opened(work, pictures, options)
    with _timed(seconds, "features"):
        extract(database, pictures, options, work)
    with _timed(seconds, "matching"):
        plan = plan_pairs(names, database, options)
        still = _matched(database, names, plan.pairs, options, work)
    with _timed(seconds, "mapping"):
        images = work / "pictures" if (work / "pictures").is_dir() else frames / "images"
        models = find_models(database, images, work, len(pictures), options)
        if _placed(models) < len(pictures):
            models = _tried_again(database, pictures, models, plan.pairs, options, work, images, still)
    refuse_failure(database, pictures, models, options, frames)
    with _timed(seconds, "adjusting"):
        adjust(models[0])
    with _timed(seconds, "scale"):
        found = _described(models, pictures, options)
    found |= {
        "rejected": rejections(database, pictures, models),
        "pairs": {"compared": len(plan.pairs), "how": plan.how},
        "seconds": seconds,
        "turntable": still is not None,
    }
    found["flags"] = [*_group_flags(models, len(pictures)), *_still_flags(still), *found["flags"]]
    with atomic_folder(out) as made:
        (made / "sparse").mkdir()
        models[0].reconstruction.write_binary(made / "sparse")
        _link(frames / "images", out, made / "images")
        mask_folder = frames / "masks" if masks is None else masks
        if mask_folder.is_dir():
            _link(mask_folder, out, made / "masks")
        with atomic_write(made / "sfm.json", "w") as stream:
            json.dump(found, stream, indent=1, allow_nan=False)
    shutil.rmtree(work, ignore_errors=True)
    return out


def _refuse(pictures: list[SourcePicture], frames: Path, options: SfmOptions) -> None:
    if len(pictures) < options.fewest:
        raise BadInput(
            f"holds {len(pictures)} pictures, and {options.fewest} are needed",
            frames / "images",
            hint="take 30 to 80 all around the object, each seeing most of what the one before saw",
        )
    spaced = next((picture.name for picture in pictures if len(picture.name.split()) > 1), None)
    if spaced is not None:
        raise BadInput(
            "has a blank in its name", frames / "images" / spaced, hint="the stage `frames` renames it"
        )
    refuse_unknown_names(options.scale, [picture.name for picture in pictures])


def _refuse_full_disk(out: Path, count: int, options: SfmOptions) -> None:
    """COLMAP ends the process where its database cannot grow: look before."""
    out.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out.parent).free
    needed = count * options.features * _BYTES_A_FEATURE + _BYTES_AT_LEAST
    if free < needed:
        raise BadInput(
            f"the disk has {free / 1e6:.0f} MB left, and finding cameras needs up to {needed / 1e6:.0f} MB",
            out.parent,
            hint="free some space, or choose another folder",
        )


def _opened(work: Path, pictures: list[SourcePicture], options: SfmOptions) -> Path:
    """The database in the work folder: that of a run that was cut short, where pictures and options of its
    features are the same; its matches go where only their options differ."""
    said = options.model_dump(mode="json")
    features = {
        "options": {key: said[key] for key in _FEATURE_KEYS},
        "pictures": [_fingerprint(picture) for picture in pictures],
    }
    matches = {key: said[key] for key in _MATCH_KEYS}
    key, database = work / "key.json", work / "database.db"
    try:
        before = json.loads(key.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    if before.get("features") != features or not database.is_file():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        create_database(database, pictures, options)
    elif before.get("matches") != matches:
        opened = colmap().Database.open(database)
        opened.clear_matches()
        opened.clear_two_view_geometries()
        opened.close()
        (work / STILL).unlink(missing_ok=True)
    with atomic_write(key, "w") as stream:
        json.dump({"features": features, "matches": matches}, stream)
    return database


def _fingerprint(picture: SourcePicture) -> list[Any]:
    parts: list[Any] = [picture.name, *picture.size]
    for path in (picture.path, picture.mask):
        stat = path.stat() if path is not None else None
        parts += [stat.st_size, stat.st_mtime_ns] if stat else [None, None]
    return parts


def _matched(
    database: Path, names: list[str], pairs: Pairs, options: SfmOptions, work: Path
) -> StillFeatures | None:
    """Match, and take out what stands still where that is wanted or enough of it is there."""
    match(database, names, pairs, options, work)
    if options.turntable is False:
        return None
    still = read_still(work / STILL)  # of a run that was cut short while it took them out
    if still is None:
        still = still_features(database)
        if not (options.turntable or still.turntable):
            return None
        write_still(work / STILL, still)
    leave_out(database, still, options)
    return still


def _placed(models: list[FoundModel]) -> int:
    return len(models[0].names) if models else 0


def _tried_again(
    database: Path,
    pictures: list[SourcePicture],
    models: list[FoundModel],
    pairs: Pairs,
    options: SfmOptions,
    work: Path,
    images: Path,
    still: StillFeatures | None,
) -> list[FoundModel]:
    """Pictures without a pose are compared with all others, and poses found once more; the better counts."""
    if options.pairs in ("sequential", "exhaustive") or still is not None:
        return models
    placed = set(models[0].names) if models else set()
    missing = {k for k, picture in enumerate(pictures) if picture.name not in placed}
    more = {pair for pair in all_pairs(len(pictures)) if missing & set(pair)} - pairs
    if not more:
        return models
    match(database, [picture.name for picture in pictures], more, options, work)
    again = find_models(database, images, work, len(pictures), options)
    return again if _placed(again) > _placed(models) else models


def _described(
    models: list[FoundModel], pictures: list[SourcePicture], options: SfmOptions
) -> dict[str, Any]:
    """Figures, up, ground plane and scale of the largest group."""
    model = models[0]
    orientations = {picture.name: int(picture.exif.get("orientation", 1)) for picture in pictures}
    upright = find_upright(model.poses(), model.points(), orientations, options.seed)
    scale = find_scale(options.scale, posed_pictures(model, pictures), upright.plane)
    figures = quality(model, len(pictures))
    lenses = {image.camera_id: model.reconstruction.camera(image.camera_id) for image in model.images}
    return {
        "registered": figures.registered,
        "total": figures.total,
        "reprojection_px": figures.reprojection_px,
        "points": figures.points,
        "track_length": figures.track_length,
        "lenses": [
            {"model": c.model.name, "size": [c.width, c.height], "params": [float(p) for p in c.params]}
            for _, c in sorted(lenses.items())
        ],
        "scale": {
            "metres_per_unit": scale.metres_per_unit,
            "from": scale.found_from,
            "note": scale.note,
        },
        "up": upright.up.tolist(),
        "up_from": upright.up_from,
        "ground": None if upright.plane is None else upright.plane.tolist(),
        "ground_share": round(upright.share, 4),
        "flags": [*figures.flags(), *lens_flags(model, pictures)],
    }


def _group_flags(models: list[FoundModel], total: int) -> list[str]:
    others = [model for model in models[1:] if set(model.names) - set(models[0].names)]
    if not others:
        return []
    sizes = ", ".join(str(len(model.names)) for model in others)
    return [
        f"the pictures fall into {1 + len(others)} groups; the largest, {_placed(models)} of {total}, is "
        f"used, and the others ({sizes}) are left out"
    ]


def _still_flags(still: StillFeatures | None) -> list[str]:
    if still is None:
        return []
    return [f"turntable: {still.count} features that stand still in the pictures are left out as background"]


def _link(target: Path, out: Path, at: Path) -> None:
    """A relative link, so that a run can be moved as a whole."""
    at.symlink_to(
        os.path.relpath(target.resolve(), out.parent.resolve() / out.name), target_is_directory=True
    )


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    wall, cpu = time.monotonic(), time.process_time()
    yield
    seconds[step] = round(time.monotonic() - wall, 2)
    seconds[f"{step}_cpu"] = round(time.process_time() - cpu, 2)
