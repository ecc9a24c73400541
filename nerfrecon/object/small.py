"""A view worked on smaller than it was taken: where points fall in it, its picture, its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from nerfrecon.scene import View
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.picture import shrunk


@dataclass(frozen=True, eq=False)
class SmallView:
    """A view and the camera of the size that it is worked on."""

    view: View
    camera: LensCamera

    def project(
        self, points: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
        """Pixels (NaN behind the camera), and depth along its axis."""
        local = (points - self.view.position) @ self.view.T_world_camera[:3, :3]
        return self.camera.project(local), local[:, 2]


@dataclass(frozen=True, eq=False)
class SmallPicture(SmallView):
    """With the photograph."""

    rgb: UInt8[np.ndarray, "h w 3"]

    def within(self, most_px: int) -> SmallPicture:
        """Averaged down to this longest side where it is longer."""
        camera = self.camera.scaled(min(1.0, most_px / max(self.camera.width, self.camera.height)))
        return SmallPicture(self.view, camera, shrunk(self.rgb, camera.width, camera.height))

    def silhouette(self, mask: Bool[np.ndarray, "h w"]) -> Silhouette:
        """With a mask in the photograph's place."""
        return Silhouette(self.view, self.camera, mask)


@dataclass(frozen=True, eq=False)
class Silhouette(SmallView):
    """With a mask, white where the object is."""

    mask: Bool[np.ndarray, "h w"]


def load_small(view: View, most_px: int) -> tuple[SmallPicture, Silhouette | None]:
    """The photograph, its longest side at most so many pixels, and its own mask where it has one."""
    loaded = view.load(min(1.0, most_px / max(view.camera.width, view.camera.height)))
    picture = SmallPicture(view, loaded.camera, np.ascontiguousarray(loaded.pixels[..., :3]))
    has_mask = loaded.pixels.shape[2] == 4
    return picture, picture.silhouette(loaded.pixels[..., 3] > 127) if has_mask else None
