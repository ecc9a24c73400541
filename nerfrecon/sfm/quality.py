"""How far to trust the cameras: figures, and lines where something is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nerfrecon.sfm.cameras import SourcePicture, focal_from_exif
from nerfrecon.sfm.mapping import FoundModel

_ENOUGH = 0.9
_MUCH_PX = 1.5
_SHORT_TRACK = 2.6
_FEW_POINTS = 500
_FOCAL_OFF = 0.2


@dataclass(frozen=True)
class Quality:
    """Pictures with a pose of all, mean reprojection error (px), points, pictures that see a point."""

    registered: int
    total: int
    reprojection_px: float
    points: int
    track_length: float

    def flags(self) -> list[str]:
        """A line for each figure that is not as it should be."""
        lines = []
        if self.registered < _ENOUGH * self.total:
            lines.append(
                f"{self.total - self.registered} of {self.total} pictures have no pose: parts may be missing"
            )
        if self.reprojection_px > _MUCH_PX:
            lines.append(
                f"points miss their pixels by {self.reprojection_px:.1f} px on average: blurred pictures, "
                "or a lens that the model does not describe (try lens=OPENCV)"
            )
        if self.track_length < _SHORT_TRACK:
            lines.append(
                f"a point is seen by {self.track_length:.1f} pictures on average: little overlap, the poses "
                "may bend"
            )
        if self.points < _FEW_POINTS:
            lines.append(f"only {self.points} points: the poses rest on little")
        return lines


def quality(model: FoundModel, total: int) -> Quality:
    """The figures of a group of pictures."""
    found = model.reconstruction
    return Quality(
        found.num_reg_images(),
        total,
        round(float(found.compute_mean_reprojection_error()), 4),
        found.num_points3D(),
        round(float(found.compute_mean_track_length()), 3),
    )


def lens_flags(model: FoundModel, pictures: list[SourcePicture]) -> list[str]:
    """A line for each lens whose focal length is far from what EXIF says, or from any that is sold."""
    lines = []
    by_name = {picture.name: picture for picture in pictures}
    first = {image.camera_id: by_name[image.name] for image in reversed(model.images)}
    for camera_id, picture in sorted(first.items()):
        camera = model.reconstruction.camera(camera_id)
        focal, longest = float(camera.mean_focal_length()), max(picture.size)
        said = focal_from_exif(picture)
        if said is not None and abs(np.log(focal / said)) > _FOCAL_OFF:
            lines.append(f"{picture.name}: focal length {focal:.0f} px was found but EXIF says {said:.0f} px")
        elif not 0.4 < focal / longest < 8:
            lines.append(
                f"{picture.name}: a focal length of {focal:.0f} px is found for {longest} px: doubtful"
            )
    return lines
