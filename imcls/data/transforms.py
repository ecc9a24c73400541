"""What is done to training images: options to functions, in one place."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from imcls.data import transform_options as to
from imcls.data.draws import Draws
from imcls.data.fit import evaluation_fit
from imcls.data.options import InputOptions
from imcls.data.transforms_colour import color_jitter, equalize, grayscale, hsv_shift, lighting
from imcls.data.transforms_detail import blur, cutout, erasing, noise
from imcls.data.transforms_policy import policy
from imcls.data.transforms_shape import affine, flip, shear, skew, translate, zoom
from imcls.data.transforms_square import Images, make_squares


def augment(images: Images, options: InputOptions, px: int, draws: Draws) -> UInt8[np.ndarray, "n px px 3"]:
    """n images of any size (h, w, 3) as training sees them at ``px``: a pure function of ``draws``."""
    transforms = options.augment.transforms
    if transforms and isinstance(transforms[0], to.SQUARES):
        square, transforms = transforms[0], transforms[1:]
    else:
        square = evaluation_fit(options)
    squares = make_squares(images, square, px, draws.at(0))
    for position, transform in enumerate(transforms, start=1):
        squares = apply(transform, squares, draws.at(position))
    return squares


def apply(
    transform: to.Transform, images: UInt8[np.ndarray, "n px px 3"], draws: Draws
) -> UInt8[np.ndarray, "n px px 3"]:
    """One transform on squares, which it may change in place."""
    match transform:
        case to.Flip():
            return flip(images, transform, draws)
        case to.Translate():
            return translate(images, transform, draws)
        case to.Affine():
            return affine(images, transform, draws)
        case to.Zoom():
            return zoom(images, transform, draws)
        case to.Shear():
            return shear(images, transform, draws)
        case to.Skew():
            return skew(images, transform, draws)
        case to.ColorJitter():
            return color_jitter(images, transform, draws)
        case to.HsvShift():
            return hsv_shift(images, transform, draws)
        case to.Lighting():
            return lighting(images, transform, draws)
        case to.Equalize():
            return equalize(images, transform, draws)
        case to.Grayscale():
            return grayscale(images, transform, draws)
        case to.Blur():
            return blur(images, transform, draws)
        case to.Noise():
            return noise(images, transform, draws)
        case to.Erasing():
            return erasing(images, transform, draws)
        case to.Cutout():
            return cutout(images, transform, draws)
        case to.RandAugment() | to.TrivialAugment() | to.AugMix():
            return policy(images, transform, draws)
        case _:
            raise TypeError(f"{type(transform).__name__} is not a transform of squares")
