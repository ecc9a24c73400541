"""How close rendered views come to pictures that the training has not seen: PSNR and SSIM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from nerfrecon.backends.base import Backend, Rendered
from nerfrecon.scene import Scene
from nerfrecon.training.exposure import fitted_gain
from nerfrecon.training.views import training_views
from suite.errors import BadInput

SSIM_WINDOW_PX, SSIM_SIGMA_PX = 11, 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03
GREYS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}


@dataclass(frozen=True, eq=False)
class Judged:
    """One view: what its picture shows, what is rendered, and how close they are (dB; 1 for the same)."""

    name: str
    psnr: float
    ssim: float
    wanted: UInt8[np.ndarray, "h w 3"]
    rendered: Rendered


def judge_views(
    backend: Backend,
    scene: Scene,
    views: Sequence[int],
    background: str = "white",
    scale: float | int = 1.0,
    fit_gain: bool = False,
) -> list[Judged]:
    """Render views and compare them with their pictures, at their usable pixels.

    `fit_gain` gives each view the gain of each channel that suits it best, where exposures were fitted too.
    """
    grey = GREYS[background][0]
    judged = []
    for number, view in zip(views, training_views(scene, views, scale), strict=True):
        rendered = backend.render(view.camera, GREYS[background])
        wanted = over(view.pixels, grey)
        seen = rendered.rgb
        if fit_gain:
            behind = (1 - rendered.opacity[..., None]) * grey
            gain = fitted_gain(seen - behind, wanted - behind, rendered.opacity)
            seen = ((seen - behind) * gain + behind).clip(0, 1).astype(np.float32)
            rendered = Rendered(seen, rendered.depth, rendered.opacity)
        judged.append(
            Judged(
                scene.views[number].name,
                psnr(seen, wanted, view.usable),
                ssim(seen, wanted, view.usable),
                (wanted * 255).round().astype(np.uint8),
                rendered,
            )
        )
    return judged


def over(pixels: UInt8[np.ndarray, "h w c"], grey: float | int) -> Float[np.ndarray, "h w 3"]:
    """RGB or RGBA pixels laid over a grey, in [0, 1]."""
    colour = pixels[..., :3].astype(np.float32) / 255
    if pixels.shape[2] == 3:
        return colour
    alpha = pixels[..., 3:].astype(np.float32) / 255
    return colour * alpha + np.float32(grey) * (1 - alpha)


def psnr(
    seen: Float[np.ndarray, "h w 3"],
    wanted: Float[np.ndarray, "h w 3"],
    usable: Bool[np.ndarray, "h w"] | None = None,
) -> float:
    """Peak signal to noise ratio in dB of colours in [0, 1]; infinite for the same picture, NaN for none."""
    square = np.square(seen.astype(np.float64) - wanted).mean(axis=2)
    error = square.mean() if usable is None else square[usable].mean() if usable.any() else math.nan
    return math.inf if error == 0 else float(-10 * np.log10(error))


def ssim(
    seen: Float[np.ndarray, "h w 3"],
    wanted: Float[np.ndarray, "h w 3"],
    usable: Bool[np.ndarray, "h w"] | None = None,
) -> float:
    """Structural similarity, a mean over channels and pixels whose window lies in the picture and is usable.

    Gaussian window of 11 px, sigma 1.5 (Wang et al. 2004, equation 13). NaN where no window fits.
    """
    import cv2

    if seen.shape != wanted.shape:
        raise BadInput(f"pictures of shapes {seen.shape} and {wanted.shape} cannot be compared")
    x, y = seen.astype(np.float64), wanted.astype(np.float64)
    edge = SSIM_WINDOW_PX // 2

    def blurred(values: np.ndarray) -> np.ndarray:
        size = (SSIM_WINDOW_PX, SSIM_WINDOW_PX)
        return np.asarray(cv2.GaussianBlur(values, size, SSIM_SIGMA_PX))[edge:-edge, edge:-edge]

    if min(x.shape[:2]) < SSIM_WINDOW_PX:
        return math.nan
    mean_x, mean_y = blurred(x), blurred(y)
    spread_x = blurred(x * x) - mean_x**2
    spread_y = blurred(y * y) - mean_y**2
    together = blurred(x * y) - mean_x * mean_y
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    similar = (2 * mean_x * mean_y + c1) * (2 * together + c2)
    similar /= (mean_x**2 + mean_y**2 + c1) * (spread_x + spread_y + c2)
    if usable is None:
        return float(similar.mean())
    whole = np.asarray(cv2.erode(usable.astype(np.uint8), np.ones((SSIM_WINDOW_PX,) * 2, np.uint8)))
    inside = whole[edge:-edge, edge:-edge] > 0
    return float(similar[inside].mean()) if inside.any() else math.nan
