"""A scene: pictures with cameras and poses, the box in the world that is to be reconstructed, sparse points.

World units are those of whoever found the poses. Camera frame: x right, y down, z forward; whole pixel
numbers are pixel centres (suite.geometry.camera). Everything behind the scene works in the unit cube,
[0,1]^3, that `Scene.T_unit_world` makes of the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from nerfrecon.scenes.checks import checked_box, checked_pose, refuse_few_views, refuse_unseen_box
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.picture import Picture, read_mask, read_pixels, shrunk
from suite.data.images import read_depth_png
from suite.errors import BadInput


@dataclass(frozen=True, eq=False)
class View:
    """One picture on disk, its camera and where it was taken.

    `mask_shows` says what a white mask means: the "object" (it becomes the picture's alpha), or merely what
    is "usable" (the rest says nothing). Depth, where there is any, is a 16-bit PNG along the optical axis in
    counts of `depth_unit` world units. Raises BadInput for a pose that is not rigid.
    """

    name: str
    image_path: Path
    camera: LensCamera
    T_world_camera: Float[np.ndarray, "4 4"]
    mask_path: Path | None = None
    mask_shows: Literal["object", "usable"] = "object"
    depth_path: Path | None = None
    depth_unit: float | int = 0.001

    def __post_init__(self) -> None:
        object.__setattr__(self, "T_world_camera", checked_pose(self.T_world_camera, self.image_path))

    @property
    def position(self) -> Float[np.ndarray, " 3"]:
        """Of the camera's centre, in the world."""
        return self.T_world_camera[:3, 3]

    @property
    def forward(self) -> Float[np.ndarray, " 3"]:
        """Unit vector of the optical axis, in the world."""
        return self.T_world_camera[:3, 2]

    def project(self, points_world: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
        """Pixels (u, v) of points in the world; NaN where they are not in front of the camera."""
        points = np.asarray(points_world, np.float64)
        return self.camera.project((points - self.position) @ self.T_world_camera[:3, :3])

    def load(self, scale: float | int = 1.0) -> Picture:
        """The picture, averaged down by `scale` in (0, 1], with the camera of that size.

        Raises BadInput for a picture or mask that is damaged, of another size than said, or empty: black
        everywhere, transparent everywhere.
        """
        if not 0 < scale <= 1:
            raise BadInput(
                f"pictures are to be scaled by {scale}", self.image_path, hint="give a scale in (0, 1]"
            )
        pixels, usable = read_pixels(self.image_path), None
        size = (self.camera.width, self.camera.height)
        if pixels.shape[1::-1] != size:
            raise BadInput(
                f"is {pixels.shape[1]} x {pixels.shape[0]} px but its camera says {size[0]} x {size[1]} px",
                self.image_path,
                hint="use the pictures that the poses were found on",
            )
        camera = self.camera.scaled(scale)
        if self.mask_path is not None:
            mask = read_mask(self.mask_path, size)
            if self.mask_shows == "object":
                pixels = _with_alpha(pixels, mask)
            else:
                # A pixel that blends usable and other ones is neither.
                usable = shrunk(np.repeat(mask[..., None], 3, 2), camera.width, camera.height)[..., 0] > 254
        if pixels.shape[2] == 4 and not pixels[..., 3].any():
            raise BadInput(
                "is transparent everywhere", self.image_path, hint="export it again, or leave this view out"
            )
        return Picture(shrunk(pixels, camera.width, camera.height), camera, usable)

    def load_depth(self, scale: float | int = 1.0) -> Float[np.ndarray, "h w"] | None:
        """Depth along the optical axis (float32, world units) of the nearest pixel at `scale`; NaN where
        there is none; None for a view without depth."""
        if self.depth_path is None:
            return None
        depth, camera = read_depth_png(self.depth_path, self.depth_unit), self.camera.scaled(scale)
        if depth.shape != (self.camera.height, self.camera.width):
            raise BadInput(
                f"depth is {depth.shape[1]} x {depth.shape[0]} px but the picture is "
                f"{self.camera.width} x {self.camera.height} px",
                self.depth_path,
                hint="register depth to the pictures",
            )
        rows = (np.arange(camera.height) + 0.5) * depth.shape[0] // camera.height
        columns = (np.arange(camera.width) + 0.5) * depth.shape[1] // camera.width
        return depth[np.ix_(rows.astype(np.int64), columns.astype(np.int64))]


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """Points that were found with the poses, in the world, with colours and who sees what where that is
    known.

    Row j of `sightings` is (view, point): numbers in `Scene.views` and in `positions`.
    """

    positions: Float[np.ndarray, "n 3"]
    colours: UInt8[np.ndarray, "n 3"] | None = None
    sightings: Int[np.ndarray, "m 2"] | None = None
    errors_px: Float[np.ndarray, " n"] | None = None

    def seen_by(self, view: int) -> Int[np.ndarray, " k"]:
        """Numbers of the points that `view` sees; none where the format does not say."""
        if self.sightings is None:
            return np.zeros(0, np.int64)
        return self.sightings[self.sightings[:, 0] == view, 1]


@dataclass(frozen=True, eq=False)
class Scene:
    """Views, and the axis-aligned box (its two corners) in the world that is to be reconstructed.

    `aabb_scale` is the side of the box by that of the part in its middle that the cameras look at: 1 for an
    object, above 1 for a capture with its surroundings, where detail may coarsen with distance (instant-ngp's
    meaning). `notes` are lines for the user, such as which pictures were left out. Raises BadInput for fewer
    than two views, names that repeat, a flat box, and cameras none of which sees it or all of which look
    away.
    """

    source: Path
    views: tuple[View, ...]
    box: Float[np.ndarray, "2 3"]
    box_from: Literal["file", "points", "cameras"] = "file"
    aabb_scale: float | int = 1.0
    up: Float[np.ndarray, " 3"] | None = None
    points: SparsePoints | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        refuse_few_views(self.views, self.source)
        names = [view.name for view in self.views]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadInput(f"lists {twice} twice", self.source, hint="remove one of the two frames")
        object.__setattr__(self, "box", checked_box(self.box, self.source))
        if not 1 <= self.aabb_scale < np.inf:
            raise BadInput(f"aabb_scale is {self.aabb_scale:g}", self.source, hint="give 1 or more")
        refuse_unseen_box(self.views, self.box, self.aabb_scale, self.source)

    @property
    def T_unit_world(self) -> Float[np.ndarray, "4 4"]:
        """Similarity that makes the cube around the box [0,1]^3: the box in the middle, its longest side
        1."""
        T = np.eye(4)
        T[:3, :3] /= self.side
        T[:3, 3] = 0.5 - self.box.mean(axis=0) / self.side
        return T

    @property
    def side(self) -> float:
        """Longest side of the box: world units in a unit-cube unit."""
        return float(np.ptp(self.box, axis=0).max())

    @property
    def box_unit(self) -> Float[np.ndarray, "2 3"]:
        """The box in the unit cube; [0,1]^3 where it is a cube."""
        return self.to_unit(self.box)

    def to_unit(self, points_world: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
        """Points of the world in the unit cube's coordinates."""
        return (np.asarray(points_world, np.float64) - self.box.mean(axis=0)) / self.side + 0.5

    def T_unit_camera(self, view: int) -> Float[np.ndarray, "4 4"]:
        """Rigid pose of a view's camera with its centre in the unit cube's coordinates and lengths."""
        T = self.views[view].T_world_camera.copy()
        T[:3, 3] = self.to_unit(T[:3, 3])
        return T

    def split(self, every: int = 8) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Numbers of the views to learn from and of those held out: each `every`-th, from the first; 0 holds
        out none. Raises BadInput where nothing would be left to learn from."""
        if every < 0 or every == 1:
            raise BadInput(
                f"every {every}th view is to be held out", hint="give 2 or more, or 0 for none of them"
            )
        held_out = tuple(range(0, len(self.views), every)) if every else ()
        return tuple(sorted(set(range(len(self.views))) - set(held_out))), held_out


def _with_alpha(pixels: UInt8[np.ndarray, "h w c"], mask: UInt8[np.ndarray, "h w"]) -> np.ndarray:
    if pixels.shape[2] == 4:
        mask = np.minimum(mask, pixels[..., 3])
    return np.concatenate([pixels[..., :3], mask[..., None]], axis=2)
