"""Why a picture has no pose, and why there are no poses at all: one line each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nerfrecon.sfm.cameras import SourcePicture
from nerfrecon.sfm.features import feature_counts
from nerfrecon.sfm.mapping import FoundModel
from nerfrecon.sfm.matching import connected, verified_inliers
from nerfrecon.sfm.options import SfmOptions
from suite.errors import BadInput

FEW_FEATURES = 100
FEW_INLIERS = 15
_TAKE = "take 30 to 80 photographs all around it, each seeing most of what the one before saw"


def rejections(
    database: Path, pictures: list[SourcePicture], models: list[FoundModel]
) -> list[dict[str, str]]:
    """`name` and `reason` of every picture that is not in the first of `models`."""
    kept = set(models[0].names) if models else set()
    counts, inliers = feature_counts(database), verified_inliers(database)
    found = []
    for image_id, picture in enumerate(pictures, 1):
        if picture.name not in kept:
            reason = _reason(image_id, pictures, models, counts, inliers)
            found.append({"name": picture.name, "reason": reason})
    return found


def refuse_failure(
    database: Path, pictures: list[SourcePicture], models: list[FoundModel], options: SfmOptions, where: Path
) -> None:
    """Raises BadInput, in one line, where too few pictures have a pose; says what is wrong with them."""
    total = len(pictures)
    placed = len(models[0].names) if models else 0
    ids = list(range(1, total + 1))
    groups = [group for group in connected(verified_inliers(database), ids, FEW_INLIERS) if len(group) > 2]
    counts = feature_counts(database)
    apart = len(groups) > 1 and 2 * len(groups[1]) >= len(groups[0])
    if placed >= max(options.least_share * total, 3) and not (
        apart and placed <= len(groups[0]) < 0.75 * total
    ):
        return
    if np.median([counts.get(image_id, 0) for image_id in ids]) < FEW_FEATURES:
        usual = int(np.median([counts.get(image_id, 0) for image_id in ids]))
        raise BadInput(
            f"the photographs show too little texture: about {usual} features in each, and "
            f"{FEW_FEATURES} are needed",
            where,
            hint="put the object on a printed page or newspaper, in soft light, and let it fill the picture",
        )
    if apart:
        said = " and ".join(f"{len(group)} ({pictures[group[0] - 1].name}, ...)" for group in groups[:3])
        raise BadInput(
            f"the photographs fall into groups that have nothing in common: {said} of {total}; "
            "they show different objects, or sides with no view between them",
            where,
            hint="reconstruct each object on its own, or add photographs between the sides",
        )
    if not groups:
        raise BadInput(
            f"no three of the {total} photographs show the same thing from different places",
            where,
            hint=_TAKE,
        )
    raise BadInput(
        f"only {placed} of {total} photographs could be given a place",
        where,
        hint=f"{_TAKE}; do not turn on the spot, and hold still what is not the object",
    )


def _reason(
    image_id: int,
    pictures: list[SourcePicture],
    models: list[FoundModel],
    counts: dict[int, int],
    inliers: dict[tuple[int, int], int],
) -> str:
    features = counts.get(image_id, 0)
    if features < FEW_FEATURES:
        return f"too few features ({features}): little texture, or blurred"
    partners = {i + j - image_id: n for (i, j), n in inliers.items() if image_id in (i, j)}
    if not partners:
        return f"looks like no other picture ({features} features, none of them agrees)"
    best = max(partners, key=lambda other: (partners[other], -other))
    agree = f"at best {partners[best]} features agree with {pictures[best - 1].name}"
    for model in models[1:]:
        if pictures[image_id - 1].name in model.names:
            return f"belongs to another group of {len(model.names)} pictures; {agree}"
    placed = set(models[0].names) if models else set()
    with_placed = [n for other, n in partners.items() if pictures[other - 1].name in placed]
    if not with_placed:
        return f"agrees with no picture that has a pose; {agree}"
    return f"could not be placed by what it shares with {len(with_placed)} others; {agree}"
