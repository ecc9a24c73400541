"""A folder as a careful photographer would bring it home, but with exact poses, masks and depth.

images/0000.png ..   RGBA, or RGB on white with masks/0000.png ..
depth/0000.png ..    16-bit, along the optical axis; the counts' unit stands in transforms.json
transforms.json      cameras, poses, the subject's box
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from nerfrecon.scene import Scene, View
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.write import write_transforms
from nerfrecon.simulate.orbit import fitting_camera, ring_poses
from nerfrecon.simulate.photograph import Studio
from nerfrecon.simulate.subject import Subject
from suite.config import Config
from suite.data.images import write_depth_png, write_image
from suite.files import atomic_folder, atomic_write
from suite.geometry.camera import PinholeCamera
from suite.progress import track

COUNTS = 65535
MARGIN = 0.05
"""Of the box around the subject, in its longest sides."""


class CaptureOptions(Config):
    """How a subject is photographed. With 63 views every 9th held out leaves 56 to learn from."""

    views: Annotated[int, Field(ge=12)] = 63
    side_px: Annotated[int, Field(ge=8)] = 400
    finer: Annotated[int, Field(ge=1, le=8)] = 2
    """A pixel is the mean of this many by this many rays."""
    distance: Annotated[float, Field(gt=1)] = 2.2
    """Of the cameras from the middle, in diagonals of the subject's box."""
    lowest_deg: float = -20.0
    highest_deg: float = 82.0
    rings: Annotated[int, Field(ge=1)] = 6
    pictures: Literal["rgba", "rgb_mask"] = "rgba"


@dataclass(frozen=True)
class Capture:
    """The cameras of a capture: one lens, a pose a view."""

    camera: PinholeCamera
    poses: np.ndarray


def cameras_around(subject: Subject, options: CaptureOptions) -> Capture:
    """Cameras around the middle of the subject's box."""
    low, high = subject.box
    diagonal = float(np.linalg.norm(high - low))
    distance = options.distance * diagonal
    poses = ring_poses(
        (low + high) / 2, distance, options.views, options.lowest_deg, options.highest_deg, options.rings
    )
    return Capture(fitting_camera(options.side_px, distance, diagonal / 2), poses)


def simulate(subject: Subject, folder: str | Path, options: CaptureOptions | None = None) -> Path:
    """Photograph `subject` into `folder`, which must not be there; returns its transforms.json. Atomic."""
    options = CaptureOptions() if options is None else options
    studio, capture = Studio(subject), cameras_around(subject, options)
    low, high = subject.box
    side = float((high - low).max())
    box = np.stack([low - MARGIN * side, high + MARGIN * side])
    farthest = options.distance * np.linalg.norm(high - low) + np.linalg.norm(high - low)
    unit = float(farthest) / COUNTS
    with atomic_folder(Path(folder)) as made:
        views = []
        for name in ("images", "depth", "masks")[: 2 if options.pictures == "rgba" else 3]:
            (made / name).mkdir()
        for number, pose in enumerate(track(capture.poses, "Photographing")):
            taken = studio.photograph(capture.camera, pose, options.finer)
            file = f"{number:04d}.png"
            mask = None
            if options.pictures == "rgba":
                write_rgba(made / "images" / file, taken.rgba)
            else:
                mask = made / "masks" / file
                alpha = taken.rgba[..., 3:]
                over = taken.rgba[..., :3] * (alpha / 255) + (255 - alpha.astype(np.float64))
                write_image(made / "images" / file, np.round(over).astype(np.uint8))
                write_image(mask, np.repeat(alpha, 3, 2))
            write_depth_png(made / "depth" / file, taken.depth, unit)
            views.append(
                View(
                    f"images/{file}",
                    made / "images" / file,
                    LensCamera(capture.camera),
                    pose,
                    mask,
                    depth_path=made / "depth" / file,
                    depth_unit=unit,
                )
            )
        up = np.array([0.0, 1.0, 0.0])
        write_transforms(made / "transforms.json", Scene(made, tuple(views), box, up=up))
    return Path(folder) / "transforms.json"


def write_rgba(path: Path, rgba: UInt8[np.ndarray, "h w 4"]) -> None:
    """As PNG, quickly. Atomic."""
    from PIL import Image

    with atomic_write(path) as out:
        Image.fromarray(rgba).save(out, "PNG", compress_level=1)
