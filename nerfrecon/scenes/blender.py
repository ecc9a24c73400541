"""NeRF-synthetic (Mildenhall et al. 2020): RGBA pictures rendered by Blender, exact poses, one angle of view.

The principal point is the middle of the picture, the object lies in [-1.5, 1.5]^3 and z is up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nerfrecon.scene import Scene, View
from nerfrecon.scenes.frames import (
    find_file,
    focal_px,
    frame_name,
    frame_place,
    frame_pose,
    missing_note,
    read_document,
    refuse_all_missing,
)
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.picture import read_header
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

_HALF_SIDE = 1.5


def read_blender(path: Path) -> Scene:
    """The scene of a transforms_train.json; pictures that do not exist are left out, with a note."""
    document = read_document(path)
    views, missing = [], []
    for index, frame in enumerate(document["frames"]):
        where = frame_place(path, index, frame)
        name = frame_name(frame, where)
        pose = frame_pose(frame, where)
        image = find_file(path.parent, name)
        if image is None:
            missing.append(name)
            continue
        header = read_header(image)
        focal = focal_px(document, "x", header.width, str(path))
        if focal is None:
            raise BadInput("has no camera_angle_x", path, hint="give the angle of view in radians")
        w, h = header.width, header.height
        camera = LensCamera(PinholeCamera(w, h, focal, focal, 0.5 * w - 0.5, 0.5 * h - 0.5))
        views.append(View(name, image, camera, pose))
    refuse_all_missing(len(views), missing, path)
    box = np.array([[-_HALF_SIDE] * 3, [_HALF_SIDE] * 3])
    notes = missing_note(missing, len(document["frames"]), path)
    return Scene(path, tuple(views), box, "file", up=np.array([0.0, 0.0, 1.0]), notes=notes)
