"""The spinous line on a back, found row by row by a small network that looks at both sides of a first guess.

The back is put on a canonical grid: rows u from just below the base mid-point (0) to just above VP (1),
columns x from the chord between them; lengths are divided by s = trunk / 420 mm, so that a child and an adult
look alike. For a current line x(u) the strip around it is split into its odd part (right minus left, half of
it) and its even part (mean of both sides minus the line). The network g sees both over all rows and answers
with a step; only its odd half is used,

    step(odd, even, x) = g(odd, even, x) - g(-odd, even, -x),

so that a mirrored back gives the mirrored line exactly. A few steps, each on the strip around the last line,
find the line. g is a temporal convolutional network over rows (Bai, Kolter & Koltun 2018, arXiv 1803.01271):
about 48,000 weights, some ten milliseconds in numpy. `spine.landmark_training` trains it, on simulated backs
by default.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy.ndimage import map_coordinates
from scipy.special import expit

from spine.heightmap import HeightMap, smoothed

ROWS_U = np.linspace(-0.08, 1.08, 84)
"""Rows of the canonical grid, as a share of the height from base to VP."""
COLUMNS = np.arange(-160.0, 161.0, 4.0)
"""Columns of the canonical grid, mm at a trunk of 420 mm, from the chord."""
OFFSETS = np.arange(4.0, 112.0, 6.0)
"""Where the strip is sampled to either side of the line, mm at a trunk of 420 mm."""
TRUNK_MM = 420.0
SMOOTH_X_MM, SMOOTH_Y_MM = 4.0, 6.0
ODD_SCALE, EVEN_SCALE, X_SCALE, STEP_SCALE = 8.0, 10.0, 15.0, 5.0
ODD_LIMIT, EVEN_LIMITS = 40.0, (-60.0, 40.0)
KERNEL, DILATIONS = 5, (1, 2, 4, 4)
STEPS, STEP_SHARE = 6, 0.8

Weights = dict[str, Float32[np.ndarray, "..."]]
CHANNELS = 2 * len(OFFSETS) + 3
"""What g sees of a row: odd and even part of the strip, where the line stands, where the row lies (2)."""


@dataclass(frozen=True)
class LineModel:
    """An ensemble of networks with the lateral error to expect of it.

    sigma_mm (84,): standard deviation of its line per row on backs like those it was trained on, canonical
    mm.
    """

    members: tuple[Weights, ...]
    sigma_mm: Float[np.ndarray, " 84"]

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("a line model needs at least one member")
        for k, member in enumerate(self.members):
            _check_member(member, f"member {k}")
        if self.sigma_mm.shape != ROWS_U.shape or not (self.sigma_mm > 0).all():
            raise ValueError("sigma_mm must be positive, one value a row")


def canonical_map(
    height: HeightMap, vp_xy_mm: Float[np.ndarray, " 2"], base_xy_mm: Float[np.ndarray, " 2"]
) -> Float32[np.ndarray, "84 81"]:
    """The back on the canonical grid: heights over s, rows by u, columns from the chord between base and
    VP."""
    s = (vp_xy_mm[1] - base_xy_mm[1]) / TRUNK_MM
    y = base_xy_mm[1] + ROWS_U * (vp_xy_mm[1] - base_xy_mm[1])
    x = chord(ROWS_U, vp_xy_mm, base_xy_mm)[:, None] + s * COLUMNS
    z = smoothed(height, SMOOTH_X_MM, SMOOTH_Y_MM).sample(x, y[:, None])
    return ((z - z.mean()) / s).astype(np.float32)


def chord(
    u: Float[np.ndarray, "*n"], vp_xy_mm: Float[np.ndarray, " 2"], base_xy_mm: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "*n"]:
    """x of the straight line from base to VP, mm."""
    return base_xy_mm[0] + u * (vp_xy_mm[0] - base_xy_mm[0])


def strip(
    back: Float32[np.ndarray, "84 81"], x: Float[np.ndarray, " 84"]
) -> tuple[Float[np.ndarray, "o 84"], Float[np.ndarray, "o 84"]]:
    """Odd and even part of the skin around the line x (canonical mm), scaled and clipped, offsets by rows."""
    at = x[:, None] + np.concatenate([-OFFSETS, [0.0], OFFSETS])
    column = np.clip((at - COLUMNS[0]) / (COLUMNS[1] - COLUMNS[0]), 0, len(COLUMNS) - 1)
    row = np.broadcast_to(np.arange(len(ROWS_U), dtype=float)[:, None], column.shape)
    z = map_coordinates(back, [row, column], order=1, mode="nearest")
    n = len(OFFSETS)
    left, middle, right = z[:, :n], z[:, n : n + 1], z[:, n + 1 :]
    odd = np.clip((right - left) / 2, -ODD_LIMIT, ODD_LIMIT) / ODD_SCALE
    even = np.clip((right + left) / 2 - middle, *EVEN_LIMITS) / EVEN_SCALE
    return odd.T, even.T


def row_codes() -> Float[np.ndarray, "2 84"]:
    """Where a row lies, as the network is told."""
    return np.stack([2 * ROWS_U - 1, np.cos(np.pi * ROWS_U)])


def find_line(back: Float32[np.ndarray, "84 81"], model: LineModel) -> Float[np.ndarray, "k 84"]:
    """The line of every member, canonical mm from the chord; their mean is the answer."""
    return np.stack([_descend(back, member) for member in model.members])


def _check_member(weights: Weights, name: str) -> None:
    """Raises ValueError for weights that are not those of g, of any width."""
    width = np.size(weights.get("enter.bias", ()))
    shapes = {"enter.weight": (width, CHANNELS, 1), "enter.bias": (width,)}
    for k in range(len(DILATIONS)):
        shapes |= {f"blocks.{k}.weight": (width, width, KERNEL), f"blocks.{k}.bias": (width,)}
    shapes |= {"leave.weight": (1, width, 1), "leave.bias": (1,)}
    if wrong := sorted(set(shapes) ^ set(weights)):
        raise ValueError(f"{name} of the line model lacks or should not have {wrong[0]}")
    for key, shape in shapes.items():
        if weights[key].shape != shape:
            raise ValueError(f"{key} of {name} of the line model is {weights[key].shape}, not {shape}")
        if not np.isfinite(weights[key]).all():
            raise ValueError(f"{key} of {name} of the line model has values that are not finite")


def _descend(back: np.ndarray, weights: Weights) -> np.ndarray:
    x = np.zeros(len(ROWS_U))
    for _ in range(STEPS):
        odd, even = strip(back, x)
        seen, mirrored = _network(weights, np.stack([_inputs(odd, even, x), _inputs(-odd, even, -x)]))
        x = x + STEP_SHARE * STEP_SCALE * (seen - mirrored)
    return x


def _inputs(odd: np.ndarray, even: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.concatenate([odd, even, x[None] / X_SCALE, row_codes()]).astype(np.float32)


def _network(w: Weights, inputs: np.ndarray) -> np.ndarray:
    """g: (b, channels, rows) -> (b, rows); residual dilated convolutions over the rows."""
    hidden = _silu(w["enter.weight"][:, :, 0] @ inputs + w["enter.bias"][:, None])
    for k, dilation in enumerate(DILATIONS):
        hidden = hidden + _silu(_convolve(hidden, w[f"blocks.{k}.weight"], w[f"blocks.{k}.bias"], dilation))
    return (w["leave.weight"][:, :, 0] @ hidden + w["leave.bias"][:, None])[:, 0]


def _convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dilation: int) -> np.ndarray:
    """Zero-padded 1D convolution: x (b, c, rows), weight (d, c, KERNEL) -> (b, d, rows)."""
    reach, rows = dilation * (KERNEL // 2), x.shape[-1]
    padded = np.pad(x, ((0, 0), (0, 0), (reach, reach)))
    taps = [padded[..., k * dilation : k * dilation + rows] for k in range(KERNEL)]
    by_tap = weight.transpose(0, 2, 1).reshape(len(weight), -1)
    return by_tap @ np.concatenate(taps, axis=1) + bias[:, None]


def _silu(x: np.ndarray) -> np.ndarray:
    return x * expit(x)
