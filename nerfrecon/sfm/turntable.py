"""An object that turns before a camera that stands still: what stays in place in the pictures is background.

Its features agree with one another better than those of the object and say that nothing moved, so poses
found from both fail or fold together. They are known by where they are: a walk around an object leaves
hardly any feature at its pixel in two pictures, a fixed camera leaves all of the background there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from nerfrecon.sfm.colmap_calls import colmap, run_step
from nerfrecon.sfm.matching import verification
from nerfrecon.sfm.options import SfmOptions
from suite.files import atomic_write

STILL = "still.npz"
"""Where in the work folder features that stand still are kept."""
_STILL = 0.0015
"""Of the longest side; what moved less stands still."""
_STILL_SHARE = 0.15
_PAIRS_SHARE = 1 / 3
_FEWEST_MATCHES = 30
_TIMES = 2
"""A feature that stood still in so many pairs is background, whatever a further pair says."""


@dataclass
class StillFeatures:
    """What stands still: whether it is enough to speak of a turntable, and the features by image id."""

    turntable: bool
    share: float
    """Of the matches of a pair, where most stands still: the upper third of all pairs has at least this."""
    features: dict[int, Bool[np.ndarray, " n"]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Features that are background."""
        return int(sum(marks.sum() for marks in self.features.values()))


def still_features(database: Path) -> StillFeatures:
    """Look at all matches, before any geometry, of pictures of one size."""
    pycolmap: Any = colmap()
    opened = pycolmap.Database.open(database)
    try:
        points = {
            image.image_id: np.asarray(opened.read_keypoints(image.image_id))[:, :2]
            for image in opened.read_all_images()
        }
        longest = {camera.camera_id: max(camera.width, camera.height) for camera in opened.read_all_cameras()}
        lens = {image.image_id: image.camera_id for image in opened.read_all_images()}
        shares, times = [], {image_id: np.zeros(len(xy), np.int64) for image_id, xy in points.items()}
        for pair_id, matches in zip(*opened.read_all_matches(), strict=True):
            first, second = pycolmap.pair_id_to_image_pair(pair_id)
            matches = np.asarray(matches)
            if lens[first] != lens[second] or len(matches) < _FEWEST_MATCHES:
                continue
            moved = np.linalg.norm(points[first][matches[:, 0]] - points[second][matches[:, 1]], axis=1)
            still = moved < _STILL * longest[lens[first]]
            shares.append(float(still.mean()))
            np.add.at(times[first], matches[still, 0], 1)
            np.add.at(times[second], matches[still, 1], 1)
    finally:
        opened.close()
    share = float(np.quantile(shares, 1 - _PAIRS_SHARE)) if shares else 0.0
    marks = {image_id: counted >= _TIMES for image_id, counted in times.items()}
    return StillFeatures(share >= _STILL_SHARE, share, marks)


def write_still(path: Path, still: StillFeatures) -> None:
    """Keep them for a run that goes on."""
    with atomic_write(path) as out:
        parts: dict[str, Any] = {str(image_id): marks for image_id, marks in still.features.items()}
        np.savez(out, share=still.share, **parts)


def read_still(path: Path) -> StillFeatures | None:
    """What `write_still` kept; None where it kept nothing."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as kept:
        features = {int(name): kept[name] for name in kept.files if name != "share"}
        return StillFeatures(True, float(kept["share"]), features)


def leave_out(database: Path, still: StillFeatures, options: SfmOptions) -> None:
    """Take matches of still features out of the database and verify what is left anew."""
    pycolmap: Any = colmap()
    opened = pycolmap.Database.open(database)
    try:
        for pair_id, matches in zip(*opened.read_all_matches(), strict=True):
            first, second = pycolmap.pair_id_to_image_pair(pair_id)
            matches = np.asarray(matches)
            moves = ~(still.features[first][matches[:, 0]] | still.features[second][matches[:, 1]])
            opened.delete_matches(first, second)
            opened.write_matches(first, second, matches[moves])
        opened.clear_two_view_geometries()
    finally:
        opened.close()
    verifier = pycolmap.GeometricVerifierOptions()
    verified = verification(options)
    verified.filter_stationary_matches = True
    run_step(
        "Comparing without the background",
        lambda token: pycolmap.geometric_verification(
            database, verifier, pycolmap.ExistingMatchedPairingOptions(), verified, token
        ),
    )
