"""Test-time augmentation: the mean of what a model says of several views of each image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate, logsigmoid, pad

from imcls.config import TtaOptions
from imcls.loss.build import Judged
from suite.errors import BadInput

CORNER_SHARE = 7 / 8
"""Side of a corner's window, as a share of the image's: 224 of 256, as it was for AlexNet."""

Images = Float[Tensor, "n 3 h w"]
_DIAGONALS = ((-1, -1), (-1, 1), (1, -1), (1, 1))  # up or down, left or right


@dataclass(frozen=True)
class View:
    """One way of looking: a corner or a shift, then the size, then flips."""

    side_px: int
    corner: tuple[int, int] | None = None
    shift_px: tuple[int, int] = (0, 0)
    flipped: tuple[int, ...] = ()

    def of(self, images: Images) -> Float[Tensor, "n 3 side side"]:
        """The images as this view shows them, (n, 3, side_px, side_px)."""
        if self.corner is not None:
            images = _window(images, self.corner)
        if any(self.shift_px):
            images = _shifted(images, *self.shift_px)
        if images.shape[-2:] != (self.side_px, self.side_px):
            size = (self.side_px, self.side_px)
            images = interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        return images.flip(self.flipped) if self.flipped else images


class Mean(NamedTuple):
    """Means over views: logits (n, k), features (n, d), thresholds (n, 1) or None."""

    logits: Tensor
    features: Tensor
    thresholds: Tensor | None


def views(options: TtaOptions, image_px: int) -> tuple[View, ...]:
    """All different views, the plain one among them where 1 is one of the scales.

    Places (the whole image, four corners, four shifts along the diagonals) times scales times flips (none,
    each that is asked for, both together). BadInput for a shift as large as the image.
    """
    if options.shift_px >= image_px:
        raise BadInput(
            f"images of {image_px} px cannot be moved by {options.shift_px}",
            where="evaluation.tta.shift_px",
            hint="1 or 2 is usual, for images of 32 px",
        )
    # Images are (n, 3, h, w): a horizontal flip turns the last dimension around.
    sides = [dimension for name, dimension in (("horizontal", 3), ("vertical", 2)) if name in options.flips]
    flips = [
        tuple(side for side, used in zip(sides, on, strict=True) if used)
        for on in product((0, 1), repeat=len(sides))
    ]
    corners = _DIAGONALS if options.crops == 5 else ()
    moved = [(options.shift_px * y, options.shift_px * x) for y, x in _DIAGONALS if options.shift_px]
    places = [(None, (0, 0)), *((corner, (0, 0)) for corner in corners), *((None, shift) for shift in moved)]
    sizes = dict.fromkeys(max(1, round(image_px * scale)) for scale in options.scales)
    return tuple(
        View(side_px, corner, shift, flip) for (corner, shift), side_px, flip in product(places, sizes, flips)
    )


@torch.no_grad()
def judge_views(
    model: Callable[[Tensor], Judged],
    images: Images,
    options: TtaOptions,
    image_px: int,
    *,
    multi_label: bool,
) -> Mean:
    """What ``model`` says of all views of ``images``, normalised and (n, 3, image_px, image_px), in the mean.

    Probabilities are averaged: the softmax of the logits that come back is the mean of the views' softmax, or
    with ``multi_label`` their sigmoid that of the sigmoids. One view comes back as it is.
    """
    said = [model(view.of(images)) for view in views(options, image_px)]
    logits = torch.stack([output.logits.float() for output in said])
    if len(said) == 1:
        mean = logits[0]
    elif multi_label:
        mean = logsigmoid(logits).logsumexp(dim=0) - logsigmoid(-logits).logsumexp(dim=0)
    else:
        mean = logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(said))
    limits = [output.thresholds for output in said if output.thresholds is not None]
    features = torch.stack([output.features for output in said]).mean(dim=0)
    return Mean(mean, features, torch.stack(limits).mean(dim=0) if limits else None)


def predict_views(
    model: Callable[[Tensor], Judged],
    images: Images,
    options: TtaOptions,
    image_px: int,
    *,
    multi_label: bool,
) -> Float[Tensor, "n k"]:
    """The logits of :func:`judge_views`."""
    return judge_views(model, images, options, image_px, multi_label=multi_label).logits


def _window(images: Tensor, corner: tuple[int, int]) -> Tensor:
    """The window in a corner: (-1, -1) is the upper left one."""
    for dimension, end in zip((2, 3), corner, strict=True):
        side = images.shape[dimension]
        length = math.ceil(side * CORNER_SHARE)
        images = images.narrow(dimension, 0 if end < 0 else side - length, length)
    return images


def _shifted(images: Tensor, down: int, right: int) -> Tensor:
    """The content moved; what comes in at the border is its reflection."""
    h, w = images.shape[-2:]
    wider = pad(images, (abs(right), abs(right), abs(down), abs(down)), mode="reflect")
    return wider[..., abs(down) - down : abs(down) - down + h, abs(right) - right : abs(right) - right + w]
