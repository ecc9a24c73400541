"""Poses that learn with the field: a small turn about the camera's centre and a shift for every view.

    T_unit_camera = [exp(w) R | c + v]         w, v: the correction of the view, less the mean over the views

Without the mean scene and cameras could wander off together, and pictures would not tell.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

SMALLEST_ANGLE2 = 1e-16


def refined(
    poses: Float64[Tensor, "views 3 4"], corrections: Float[Tensor, "views 6"]
) -> Float64[Tensor, "views 3 4"]:
    """Corrected poses; differentiable in `corrections` (w, v)."""
    centred = corrections.double() - corrections.double().mean(0)
    R = rotation(centred[:, :3]) @ poses[:, :, :3]
    return torch.cat([R, poses[:, :, 3:] + centred[:, 3:, None]], 2)


def rotation(w: Float64[Tensor, "n 3"]) -> Float64[Tensor, "n 3 3"]:
    """exp of w: the turn by |w| about w (Rodrigues)."""
    angle2 = w.square().sum(1).clamp(min=SMALLEST_ANGLE2)[:, None, None]
    angle = angle2.sqrt()
    zero = torch.zeros_like(w[:, 0])
    x, y, z = w.unbind(1)
    K = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    eye = torch.eye(3, dtype=w.dtype, device=w.device)
    return eye + angle.sin() / angle * K + (1 - angle.cos()) / angle2 * (K @ K)
