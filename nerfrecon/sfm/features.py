"""Features of all pictures in the database: SIFT, on the object only where there are masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerfrecon.scenes.picture import read_mask, read_pixels
from nerfrecon.sfm.cameras import SourcePicture
from nerfrecon.sfm.colmap_calls import colmap, run_parts
from nerfrecon.sfm.options import SfmOptions
from suite.files import atomic_write

_OPAQUE = 128
_AT_ONCE = 16
"""Pictures of one call: enough for all cores, few enough to see it go on."""


def extract(database: Path, pictures: list[SourcePicture], options: SfmOptions, work: Path) -> None:
    """Add what is missing: pictures that have features already, of a run that was cut short, are skipped."""
    pycolmap: Any = colmap()
    images = _as_seen(pictures, work)
    reader = pycolmap.ImageReaderOptions()
    if (masks := _masks(pictures, work)) is not None:
        reader.mask_path = masks
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.use_gpu = False
    extraction.max_image_size = options.image_px
    extraction.num_threads = options.threads or -1
    extraction.sift.max_num_features = options.features
    extraction.sift.estimate_affine_shape = options.thorough
    extraction.sift.domain_size_pooling = options.thorough
    missing = _without_features(database)
    parts = [missing[k : k + _AT_ONCE] for k in range(0, len(missing), _AT_ONCE)]
    run_parts(
        f"Looking for features in {len(missing)} pictures",
        parts,
        lambda names, token: pycolmap.extract_features(
            database, images, names, pycolmap.CameraMode.AUTO, reader, extraction, pycolmap.Device.cpu, token
        ),
    )


def feature_counts(database: Path) -> dict[int, int]:
    """Number of features by image id."""
    opened = colmap().Database.open(database)
    try:
        images = opened.read_all_images()
        return {image.image_id: int(opened.num_keypoints_for_image(image.image_id)) for image in images}
    finally:
        opened.close()


def _without_features(database: Path) -> list[str]:
    opened = colmap().Database.open(database)
    try:
        images = sorted(opened.read_all_images(), key=lambda image: image.image_id)
        return [image.name for image in images if not opened.exists_descriptors(image.image_id)]
    finally:
        opened.close()


def largest_features(database: Path, image_id: int, most: int) -> Float[np.ndarray, "n 128"]:
    """Descriptors, of length 1, of the features of the largest scale: fewest, and seen from far and near."""
    opened = colmap().Database.open(database)
    try:
        keypoints = np.asarray(opened.read_keypoints(image_id))
        descriptors = np.asarray(opened.read_descriptors(image_id).data)
    finally:
        opened.close()
    if not len(keypoints):
        return np.zeros((0, 128), np.float32)
    size = np.abs(keypoints[:, 2] * keypoints[:, 5] - keypoints[:, 3] * keypoints[:, 4])
    chosen = descriptors[np.argsort(-size, kind="stable")[:most]].astype(np.float32)
    return chosen / np.maximum(np.linalg.norm(chosen, axis=1, keepdims=True), 1e-9)


def _is_copied(picture: SourcePicture) -> bool:
    return picture.has_alpha or picture.path.suffix.lower() == ".webp"  # which COLMAP does not read


def _as_seen(pictures: list[SourcePicture], work: Path) -> Path:
    """The folder that COLMAP reads: copies (PNG, whatever their name) of pictures with alpha laid over their
    own mean colour (an edge towards white would be a feature), links to all others."""
    from PIL import Image

    folder = pictures[0].path.parent
    if not any(_is_copied(picture) for picture in pictures):
        return folder
    made = work / "pictures"
    made.mkdir(exist_ok=True)
    for picture in pictures:
        to = made / picture.name
        if to.exists():
            continue
        if not _is_copied(picture):
            to.symlink_to(picture.path.resolve())
            continue
        rgba = read_pixels(picture.path).astype(np.float32)
        alpha = rgba[..., 3:] / 255 if rgba.shape[2] == 4 else np.ones_like(rgba[..., :1])
        mean = (rgba[..., :3] * alpha).sum((0, 1)) / max(float(alpha.sum()), 1.0)
        rgb = np.round(rgba[..., :3] * alpha + mean * (1 - alpha)).clip(0, 255).astype(np.uint8)
        with atomic_write(to) as out:
            Image.fromarray(rgb).save(out, "PNG", compress_level=1)
    return made


def _masks(pictures: list[SourcePicture], work: Path) -> Path | None:
    """Masks as COLMAP wants them (NAME.png): those given, or the alpha of pictures that have it."""
    from PIL import Image

    if not any(picture.mask is not None or picture.has_alpha for picture in pictures):
        return None
    made = work / "masks"
    made.mkdir(exist_ok=True)
    for picture in pictures:
        to = made / f"{picture.name}.png"
        if to.exists():
            continue
        wanted = np.full(picture.size[::-1], 255, np.uint8)
        if picture.mask is not None:
            wanted = read_mask(picture.mask, picture.size)
        if picture.has_alpha:
            wanted = np.minimum(wanted, read_pixels(picture.path)[..., 3])
        with atomic_write(to) as out:
            Image.fromarray(np.where(wanted >= _OPAQUE, 255, 0).astype(np.uint8)).save(out, "PNG")
    return made
