"""NeRF-synthetic (Mildenhall et al. 2020): RGBA pictures rendered by Blender, exact poses, one angle of view.

The principal point is the middle of the picture, the object lies in [-1.5, 1.5]^3 and z is up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nerfrecon.scene import Scene, View
from nerfrecon.scenes.frames import focal_px, found_frames, read_document
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.picture import read_header
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

_HALF_SIDE = 1.5


def read_blender(path: Path) -> Scene:
    """The scene of a transforms_train.json; pictures that do not exist are left out, with a note."""
    document = read_document(path)
    frames, notes = found_frames(path, document)
    views = []
    for frame in frames:
        header = read_header(frame.image)
        focal = focal_px(document, "x", header.width, str(path))
        if focal is None:
            raise BadInput("has no camera_angle_x", path, hint="give the angle of view in radians")
        w, h = header.width, header.height
        camera = LensCamera(PinholeCamera(w, h, focal, focal, 0.5 * w - 0.5, 0.5 * h - 0.5))
        views.append(View(frame.name, frame.image, camera, frame.T_world_camera))
    box = np.array([[-_HALF_SIDE] * 3, [_HALF_SIDE] * 3])
    return Scene(path, tuple(views), box, "file", up=np.array([0.0, 0.0, 1.0]), notes=notes)
