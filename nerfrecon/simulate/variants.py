"""Captures of a mesh as they come in practice: with JPEG and exposures that differ, on a white background,
with depth that is wrong here and there. Poses are exact in all of them.

OUT/transforms.json, images/   what is to be learned from; depth/ and masks/ beside it as the variant has them
OUT/truth/                     exact: transforms.json with masks/ and depth/ of all views; truth.json: gains,
                               the variant
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfrecon.scene import Scene, View
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.write import write_transforms
from nerfrecon.simulate.capture import COUNTS, MARGIN, CaptureOptions, cameras_around, write_rgba
from nerfrecon.simulate.options import SimulateOptions
from nerfrecon.simulate.photograph import Photograph, Studio
from nerfrecon.simulate.subject import Subject, read_subject
from suite.data.images import write_depth_png, write_image
from suite.files import atomic_folder, atomic_write
from suite.progress import track

_GREY = 128.0
"""Background of the variant jpeg."""


def simulate_variant(mesh: str | Path, out: str | Path, options: SimulateOptions | None = None) -> Path:
    """Photograph the mesh of a file into the folder `out`, which must not be there; returns its
    transforms.json. Atomic. Raises BadInput for a file that holds no mesh."""
    return photograph_variant(read_subject(mesh), out, options)


def photograph_variant(subject: Subject, out: str | Path, options: SimulateOptions | None = None) -> Path:
    """The same, of a subject."""
    options = SimulateOptions() if options is None else options
    shared = CaptureOptions.model_fields.keys() & SimulateOptions.model_fields.keys()
    around = CaptureOptions(**{key: getattr(options, key) for key in shared})
    studio, capture = Studio(subject), cameras_around(subject, around)
    rng = np.random.default_rng(options.seed)
    low, high = subject.box
    box = subject.box + MARGIN * float((high - low).max()) * np.array([[-1.0], [1.0]])
    unit = float((options.distance + 1) * np.linalg.norm(high - low)) / COUNTS
    gains = 1 + options.exposure_jitter * np.clip(rng.normal(size=len(capture.poses)), -2, 2)
    exact, given = [], []
    with atomic_folder(Path(out)) as made:
        for folder in ("images", "truth/masks", "truth/depth"):
            (made / folder).mkdir(parents=True)
        for number, pose in enumerate(track(capture.poses, "Photographing")):
            taken, name = studio.photograph(capture.camera, pose, options.finer), f"{number:04d}"
            truth = made / "truth"
            alpha = taken.rgba[..., 3:]
            write_image(truth / "masks" / f"{name}.png", np.repeat(alpha, 3, 2))
            write_depth_png(truth / "depth" / f"{name}.png", taken.depth, unit)
            image = _write_picture(made / "images" / name, taken, float(gains[number]), options)
            view = View(
                f"images/{image.name}",
                image,
                LensCamera(capture.camera),
                pose,
                truth / "masks" / f"{name}.png",
                depth_path=truth / "depth" / f"{name}.png",
                depth_unit=unit,
            )
            exact.append(replace(view, name=f"../images/{image.name}"))
            given.append(_given(view, taken, made, options, rng))
        up = np.array([0.0, 1.0, 0.0])
        write_transforms(made / "truth" / "transforms.json", Scene(made, tuple(exact), box, up=up))
        write_transforms(made / "transforms.json", Scene(made, tuple(given), box, up=up))
        told = {"variant": options.variant, "box": subject.box.tolist()}
        if options.variant == "jpeg":
            told["gains"] = gains.tolist()
        with atomic_write(made / "truth" / "truth.json", "w") as stream:
            json.dump(told, stream, indent=1)
    return Path(out) / "transforms.json"


def wrong_depth(
    depth: Float[np.ndarray, "h w"], share: float | int, rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Depth of which a share of the pixels is off by up to 40 %: half of them in specks of a few pixels, half
    alone."""
    wrong = depth.copy()
    known = np.argwhere(np.isfinite(depth))
    count = round(share * len(known))
    alone = known[rng.choice(len(known), min(len(known), count - count // 2), replace=False)]
    wrong[tuple(alone.T)] *= rng.uniform(0.6, 1.4, len(alone))
    left = count // 2
    while left > 0:
        row, column = known[rng.integers(len(known))]
        speck = wrong[row : row + 3, column : column + 3]
        speck *= rng.uniform(0.6, 1.4)
        left -= int(np.isfinite(speck).sum())
    return wrong


def _write_picture(path: Path, taken: Photograph, gain: float, options: SimulateOptions) -> Path:
    """RGBA as PNG, or over a background as JPEG."""
    from PIL import Image

    if options.variant in ("clean", "depth_outliers"):
        path = path.with_suffix(".png")
        write_rgba(path, taken.rgba)
        return path
    alpha = taken.rgba[..., 3:] / 255.0
    white = options.variant == "white"
    over = taken.rgba[..., :3] * alpha + (255.0 if white else _GREY) * (1 - alpha)
    rgb = np.round((1.0 if white else gain) * over).clip(0, 255).astype(np.uint8)
    path = path.with_suffix(".jpg")
    with atomic_write(path) as out:
        Image.fromarray(rgb).save(out, "JPEG", quality=options.jpeg_quality)
    return path


def _given(
    view: View, taken: Photograph, made: Path, options: SimulateOptions, rng: np.random.Generator
) -> View:
    """What of masks and depth the variant comes with."""
    file = f"{Path(view.name).stem}.png"
    if options.variant == "white":
        return replace(view, mask_path=None, depth_path=None, depth_unit=0.001)
    if options.variant == "jpeg":
        return replace(view, depth_path=None, depth_unit=0.001)
    if options.variant == "clean":
        return replace(view, mask_path=None)
    (made / "depth").mkdir(exist_ok=True)
    depth = wrong_depth(taken.depth, options.outlier_share, rng)
    write_depth_png(made / "depth" / file, depth.clip(0, COUNTS * view.depth_unit), view.depth_unit)
    return replace(view, mask_path=None, depth_path=made / "depth" / file)
