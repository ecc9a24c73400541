"""Transforms of colour. Images are (n, px, px, 3), changed in place or replaced."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torchvision.transforms.v2 import functional as v2

from imcls.data.draws import Draws
from imcls.data.transform_options import ColorJitter, Equalize, Grayscale, HsvShift, Lighting

# Principal components of the colours of ImageNet's training images, RGB in [0, 1]: standard deviations and
# directions (in columns), as published with the implementations of Krizhevsky et al. 2012.
_LIGHT_SIGMA = np.array([0.2175, 0.0188, 0.0045])
_LIGHT_AXES = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def color_jitter(images: np.ndarray, how: ColorJitter, draws: Draws) -> np.ndarray:
    """Brightness, contrast, saturation and hue, in random order."""
    u = draws.uniform(8)
    reach = np.array([how.brightness, how.contrast, how.saturation, how.hue])
    change = (2.0 * u[:, :4] - 1.0) * reach + np.array([1.0, 1.0, 1.0, 0.0])
    steps = (v2.adjust_brightness, v2.adjust_contrast, v2.adjust_saturation, v2.adjust_hue)
    for i in draws.chosen(how.probability):
        planes = torch.from_numpy(images[i]).permute(2, 0, 1)
        for step in np.argsort(u[i, 4:]):
            if reach[step]:
                planes = steps[step](planes, float(change[i, step]))
        images[i] = planes.permute(1, 2, 0).numpy()
    return images


def hsv_shift(images: np.ndarray, how: HsvShift, draws: Draws) -> np.ndarray:
    """Hue, saturation and value of HSV moved; grey stays grey.

    With v the largest of the channels and s the saturation, rgb = v (1 - s t) where t is fixed by the hue: so
    s and v can be changed without going through HSV.
    """
    either = 2.0 * draws.uniform(3) - 1.0
    for i in draws.chosen(how.probability):
        image = images[i]
        if how.hue_deg:
            turned = v2.adjust_hue(
                torch.from_numpy(image).permute(2, 0, 1), float(either[i, 0] * how.hue_deg / 360.0)
            )
            image = turned.permute(1, 2, 0).numpy()
        rgb = image.astype(np.float32) / np.float32(255.0)
        value = rgb.max(axis=2, keepdims=True)
        chroma = value - rgb.min(axis=2, keepdims=True)
        saturation = chroma / np.maximum(value, 1e-6)
        wanted_s = np.clip(saturation + either[i, 1] * how.saturation, 0.0, 1.0)
        wanted_v = np.clip(value + either[i, 2] * how.value, 0.0, 1.0)
        t_times_s = (value - rgb) / np.maximum(value, 1e-6)
        shifted = wanted_v * (1.0 - t_times_s * (wanted_s / np.maximum(saturation, 1e-6)))
        images[i] = np.rint(np.clip(shifted, 0.0, 1.0) * 255.0).astype(np.uint8)
    return images


def lighting(images: np.ndarray, how: Lighting, draws: Draws) -> np.ndarray:
    """A multiple of each principal component of colour added to all pixels of an image."""
    shift = (draws.normal(3) * how.sigma * _LIGHT_SIGMA) @ _LIGHT_AXES.T * 255.0
    grey = np.rint(shift).astype(np.int16)[:, None, None, :]
    return np.clip(images.astype(np.int16) + grey, 0, 255).astype(np.uint8)


def equalize(images: np.ndarray, how: Equalize, draws: Draws) -> np.ndarray:
    """Histogram of each channel made flat."""
    return _each(images, v2.equalize, draws.chosen(how.probability))


def grayscale(images: np.ndarray, how: Grayscale, draws: Draws) -> np.ndarray:
    """Without colour."""
    return _each(images, lambda planes: v2.rgb_to_grayscale(planes, 3), draws.chosen(how.probability))


def _each(
    images: np.ndarray, change: Callable[[torch.Tensor], torch.Tensor], chosen: np.ndarray
) -> np.ndarray:
    for i in chosen:
        images[i] = change(torch.from_numpy(images[i]).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    return images
