"""A simulated back through a stereo depth camera: exact depth by ray casting, then the errors of disparity.

Disparity d = f B / z (f focal length in px, B baseline) is what a stereo camera measures; an error of
`subpixel` px in it makes sigma_z = z^2 subpixel / (f B), the law of the RealSense D400 tuning guide (subpixel
about 0.08). Pixels matched with the same window share errors, and part of them stays from frame to frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter, map_coordinates

from spine.synthetic.scan import FACING_BACK
from spine.synthetic.subject import SimulatedSubject
from suite.data.rgbd import RgbdFrame
from suite.geometry.camera import PinholeCamera

_STEPS = 12
SKIN_RGB = np.array([224.0, 172.0, 140.0])
MARKER_RGB = np.array([40.0, 80.0, 200.0])


@dataclass(frozen=True)
class DepthCamera:
    """A stereo depth camera and its errors.

    subpixel: standard deviation of disparity, px; fixed_share: share of its variance that does not change
    between frames; window_px: correlation length of the errors; disparity_step: quantum of disparity, px;
    invalid: share of pixels without depth; flying: share of the outline's pixels that fall between body and
    background.
    """

    name: str
    camera: PinholeCamera
    baseline_m: float
    subpixel: float = 0.08
    fixed_share: float = 0.3
    window_px: float = 2.0
    disparity_step: float = 1 / 32
    invalid: float = 0.002
    flying: float = 0.35

    def sigma_m(self, distance_m: float | np.ndarray) -> float | np.ndarray:
        """Standard deviation of a single depth at this distance, without quantisation."""
        return np.square(distance_m) * self.subpixel / (self.camera.fx * self.baseline_m)


D415 = DepthCamera("D415", PinholeCamera(720, 1280, 920.0, 920.0, 359.5, 639.5), 0.055)
"""Intel RealSense D415, 1280 x 720, held upright."""
D435 = DepthCamera("D435", PinholeCamera(480, 848, 424.0, 424.0, 239.5, 423.5), 0.050)
"""Intel RealSense D435, 848 x 480, held upright."""


def camera_behind(subject: SimulatedSubject, distance_m: float) -> Float[np.ndarray, "4 4"]:
    """T_camera_body (m) of a level camera looking straight at the middle of the back from this distance."""
    aim = np.array([0.0, subject.vp_mm[1] / 2, subject.vp_mm[2] / 2]) / 1000
    T = np.eye(4)
    T[:3, :3] = FACING_BACK
    T[:3, 3] = [0, 0, distance_m] - FACING_BACK @ aim
    return T


def exact_depth(
    subject: SimulatedSubject,
    camera: PinholeCamera,
    T_camera_body: Float[np.ndarray, "4 4"],
    breath_mm: float = 0.0,
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w 2"]]:
    """Depth (m, NaN beside the body) of every pixel, and the x, y of the body frame (mm) it shows.

    T_camera_body in m. Each ray meets the height map by fixed-point steps along it. `breath_mm` lifts the
    thorax.
    """
    skin = subject.skin
    R, t = T_camera_body[:3, :3], T_camera_body[:3, 3] * 1000
    eye = -R.T @ t
    depth = np.full((camera.height, camera.width), np.nan)
    place = np.full((camera.height, camera.width, 2), np.nan)
    rows, columns = _window(subject, camera, R, t)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return depth, place
    u, v = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
    ray = np.empty((len(v), len(u), 3))
    ray[..., 0], ray[..., 1], ray[..., 2] = (
        (u - camera.cx) / camera.fx,
        ((v - camera.cy) / camera.fy)[:, None],
        1,
    )
    ray = ray @ R  # in the body frame; its parameter is the depth
    along = np.full(ray.shape[:2], t[2] + R[2] @ [0, subject.vp_mm[1] / 2, 0])
    for _ in range(_STEPS):
        x, y = eye[0] + along * ray[..., 0], eye[1] + along * ray[..., 1]
        z = skin.sample(x, y) + (breath_mm * _thorax(subject, y) if breath_mm else 0.0)
        along = 0.3 * along + 0.7 * (z - eye[2]) / ray[..., 2]
    x, y = eye[0] + along * ray[..., 0], eye[1] + along * ray[..., 1]
    hit = skin.is_observed(x, y)
    hit &= np.abs(skin.sample(x, y) - (eye[2] + along * ray[..., 2])) < 2.0 + abs(breath_mm)
    depth[rows, columns] = np.where(hit, along / 1000, np.nan)
    place[rows, columns] = np.where(hit[..., None], np.stack([x, y], axis=-1), np.nan)
    return depth, place


class DepthErrors:
    """The errors of one camera looking at one scene: a fixed part drawn once, the rest anew in every
    frame."""

    def __init__(self, camera: DepthCamera, rng: np.random.Generator) -> None:
        self._camera, self._rng = camera, rng
        self._fixed = self._matched_noise(4 * camera.window_px)

    def __call__(
        self,
        depth_m: Float[np.ndarray, "h w"],
        background_m: float | Float[np.ndarray, "h w"] | None = None,
    ) -> Float[np.ndarray, "h w"]:
        """The depth image a camera would give; NaN without depth. `background_m` is a wall behind the
        person, or the depth of a room (NaN where there is nothing)."""
        camera, rng = self._camera, self._rng
        body = np.isfinite(depth_m)
        scene = depth_m if background_m is None else np.where(body, depth_m, background_m)
        scene = self._flying_pixels(scene, body, background_m)
        share = camera.fixed_share
        noise = np.sqrt(1 - share) * self._matched_noise(camera.window_px) + np.sqrt(share) * self._fixed
        fB = camera.camera.fx * camera.baseline_m
        disparity = fB / scene + camera.subpixel * noise
        disparity = np.round(disparity / camera.disparity_step) * camera.disparity_step
        with np.errstate(divide="ignore", invalid="ignore"):
            measured = np.where(disparity > 0, fB / disparity, np.nan)
        measured[rng.random(measured.shape) < camera.invalid] = np.nan
        return measured

    def _matched_noise(self, length_px: float) -> np.ndarray:
        shape = (self._camera.camera.height, self._camera.camera.width)
        noise = gaussian_filter(
            self._rng.normal(size=shape).astype(np.float32), length_px, truncate=3, mode="wrap"
        )
        return noise / noise.std()

    def _flying_pixels(
        self, scene: np.ndarray, body: np.ndarray, background_m: float | np.ndarray | None
    ) -> np.ndarray:
        rng = self._rng
        edge = np.nonzero(_grown(body, 2) & _grown(~body, 2))
        between = np.where(body[edge], scene[edge], np.median(scene[body]) if body.any() else np.nan)
        far = between + 0.5
        if background_m is not None:
            behind = np.broadcast_to(background_m, scene.shape)[edge]
            far = np.where(np.isnan(behind), far, behind)
        share, lost = self._camera.flying, rng.random(len(between)) < self._camera.flying / 2
        flies = rng.random(len(between)) < share
        flown = between + (far - between) * rng.beta(0.6, 1.6, len(between))
        out = scene.copy()
        out[edge] = np.where(lost, np.nan, np.where(flies, flown, scene[edge]))
        return out


def _grown(mask: Bool[np.ndarray, "h w"], pixels: int) -> Bool[np.ndarray, "h w"]:
    """The mask and what lies within so many steps of it, up, down or to a side."""
    for _ in range(pixels):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        grown[:, 1:] |= mask[:, :-1]
        grown[:, :-1] |= mask[:, 1:]
        mask = grown
    return mask


def depth_frame(
    subject: SimulatedSubject,
    camera: DepthCamera,
    distance_m: float = 0.8,
    *,
    rng: np.random.Generator,
    T_camera_body: Float[np.ndarray, "4 4"] | None = None,
    background_m: float | None = None,
) -> RgbdFrame:
    """One frame of depth and colour, from `distance_m` behind the back or with a given T_camera_body (m)."""
    T = camera_behind(subject, distance_m) if T_camera_body is None else T_camera_body
    depth, place = exact_depth(subject, camera.camera, T)
    noisy = DepthErrors(camera, rng)(depth, background_m)
    return RgbdFrame(noisy.astype(np.float32), shaded(subject, place), camera.camera, 0.0, -T[:3, 1])


def shaded(subject: SimulatedSubject, place_mm: Float[np.ndarray, "h w 2"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colour of the skin lit from above, with its markers in blue; dark where there is no body."""
    skin = subject.skin
    zy, zx = np.gradient(skin.z_mm, skin.spacing_mm)
    light = (0.55 * zx * 0.3 - 0.35 * zy + 0.87) / np.sqrt(1 + zx**2 + zy**2)
    body: Bool[np.ndarray, "h w"] = np.isfinite(place_mm[..., 0])
    x, y = place_mm[body].T
    cells = np.stack([(y - skin.y_mm[0]) / skin.spacing_mm, (x - skin.x_mm[0]) / skin.spacing_mm])
    tone = np.clip(map_coordinates(light, cells, order=1, mode="nearest"), 0.15, 1.05)[:, None]
    paint = np.broadcast_to(SKIN_RGB, (len(x), 3)).copy()
    for marker in subject.markers_mm:
        paint[(x - marker[0]) ** 2 + (y - marker[1]) ** 2 < 6.0**2] = MARKER_RGB
    color = np.full((*body.shape, 3), 30, np.uint8)
    color[body] = np.clip(paint * tone, 0, 255).astype(np.uint8)
    return color


def _thorax(subject: SimulatedSubject, y: np.ndarray) -> np.ndarray:
    """Share of the thorax' breathing that the skin at height y makes."""
    return np.exp(-0.5 * ((y / subject.vp_mm[1] - 0.68) / 0.2) ** 2)


def _window(
    subject: SimulatedSubject, camera: PinholeCamera, R: np.ndarray, t: np.ndarray
) -> tuple[slice, slice]:
    """Rows and columns of the image in which the body may lie."""
    skin = subject.skin
    low, high = (f(skin.z_mm[skin.observed]) for f in (np.min, np.max))
    ends = [(skin.x_mm[0], skin.x_mm[-1]), (skin.y_mm[0], skin.y_mm[-1]), (low, high)]
    corners = np.array(np.meshgrid(*ends)).reshape(3, -1).T
    pixel = camera.project(corners @ R.T + t)
    if np.isnan(pixel).any():
        return slice(0, camera.height), slice(0, camera.width)
    (left, top), (right, bottom) = np.floor(pixel.min(0)).astype(int), np.ceil(pixel.max(0)).astype(int)
    return slice(max(top, 0), min(bottom + 1, camera.height)), slice(
        max(left, 0), min(right + 1, camera.width)
    )
