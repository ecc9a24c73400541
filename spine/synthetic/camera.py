"""A simulated person through a stereo depth camera: exact depth by ray casting, then the errors of disparity.

Disparity d = f B / z (f focal length in px, B baseline) is what a stereo camera measures; an error of
`subpixel` px in it makes sigma_z = z^2 subpixel / (f B), the law of the RealSense D400 tuning guide (subpixel
about 0.08). Pixels matched with the same window share errors, and part of them stays from frame to frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter

from spine.synthetic.render import render
from spine.synthetic.scan import FACING_BACK
from spine.synthetic.subject import SimulatedSubject
from suite.data.rgbd import RgbdFrame
from suite.geometry.camera import PinholeCamera


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

    T_camera_body in m; `breath_mm` lifts the thorax.
    """
    view = render(subject, camera, T_camera_body, breath_mm, color=False)
    return view.depth_m, view.place_mm


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
    view = render(subject, camera.camera, T, walled=background_m is not None)
    noisy = DepthErrors(camera, rng)(view.depth_m, background_m)
    return RgbdFrame(noisy.astype(np.float32), view.color, camera.camera, 0.0, -T[:3, 1])
