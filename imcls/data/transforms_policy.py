"""Policies of many transforms, from torchvision. They draw from torch's own generator, which is seeded
anew for each image and given back as it was."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torchvision.transforms import v2

from imcls.data.draws import Draws
from imcls.data.transform_options import AugMix, RandAugment, Transform, TrivialAugment

Policy = RandAugment | TrivialAugment | AugMix


def policy(images: np.ndarray, how: Policy, draws: Draws) -> np.ndarray:
    """The policy on each of the images (n, px, px, 3), in place. Not from a second thread: the generator is
    shared with the model."""
    act = _build(how)
    generator: torch.Generator = torch.default_generator
    with torch.random.fork_rng(devices=[]):
        for i, key in enumerate(draws.keys()):
            generator.manual_seed(int(key >> np.uint64(1)))
            images[i] = act(torch.from_numpy(images[i]).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    return images


def draws_from_torch(transforms: Iterable[Transform]) -> bool:
    """Whether one of the transforms needs torch's own generator."""
    return any(isinstance(transform, RandAugment | TrivialAugment | AugMix) for transform in transforms)


def _build(how: Policy) -> v2.Transform:
    bilinear = v2.InterpolationMode.BILINEAR
    if isinstance(how, RandAugment):
        return v2.RandAugment(how.count, how.magnitude, interpolation=bilinear)
    if isinstance(how, TrivialAugment):
        return v2.TrivialAugmentWide(interpolation=bilinear)
    return v2.AugMix(severity=how.severity, mixture_width=how.width, interpolation=bilinear)
