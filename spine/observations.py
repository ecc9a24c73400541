"""What the back shows of the spine: the spinous line on the skin, VP and the base mid-point.

Everything is in the body frame (mm; x right, y cranial, z posterior).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from suite.errors import BadInput

FEWEST_POINTS = 5
SHORTEST_SHARE = 0.5  # of the height of the trunk


@dataclass(frozen=True)
class LineObservation:
    """The spinous line on the skin, from below upwards (y increases).

    `sigma_mm` is the lateral standard deviation of each point. `rotation_rad` is the surface rotation:
    azimuth of the outward normal of the skin across the line, positive where the normal points to the
    right. Points whose x, z or sigma is NaN are left out; the rotation may be missing (NaN) at points or
    altogether.
    """

    y_mm: Float[np.ndarray, " m"]
    x_mm: Float[np.ndarray, " m"]
    z_mm: Float[np.ndarray, " m"]
    sigma_mm: Float[np.ndarray, " m"]
    rotation_rad: Float[np.ndarray, " m"]
    rotation_sigma_rad: Float[np.ndarray, " m"]

    def __post_init__(self) -> None:
        m = np.size(self.y_mm)
        for name in ("y_mm", "x_mm", "z_mm", "sigma_mm", "rotation_rad", "rotation_sigma_rad"):
            value = np.array(getattr(self, name), np.float64)
            if value.shape != (m,):
                raise BadInput(
                    f"shape must be ({m},) as that of y_mm, got {value.shape}", where=f"line.{name}"
                )
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        if not np.isfinite(self.y_mm).all() or not (np.diff(self.y_mm) > 0).all():
            raise BadInput("heights must be finite and increase from point to point", where="line.y_mm")
        for name in ("sigma_mm", "rotation_sigma_rad"):
            if not (np.nan_to_num(getattr(self, name), nan=1.0) > 0).all():
                raise BadInput("every standard deviation must be above 0", where=f"line.{name}")

    @property
    def seen(self) -> Bool[np.ndarray, " m"]:
        """Points with a position."""
        return np.isfinite(self.x_mm) & np.isfinite(self.z_mm) & np.isfinite(self.sigma_mm)

    @property
    def rotation_seen(self) -> Bool[np.ndarray, " m"]:
        """Points with a surface rotation."""
        return np.isfinite(self.rotation_rad) & np.isfinite(self.rotation_sigma_rad)


@dataclass(frozen=True)
class Observations:
    """Line and landmarks; `edited` says that a person drew or checked the line.

    `vp_mm` is the skin over the spinous process of C7, `base_mm` the skin between the lumbar dimples.
    Raises BadInput for landmarks out of order and for a line that is empty, has fewer than 5 points or
    covers less than half of the height between the landmarks.
    """

    line: LineObservation
    vp_mm: Float[np.ndarray, " 3"]
    base_mm: Float[np.ndarray, " 3"]
    vp_sigma_mm: float = 2.0
    base_sigma_mm: float = 2.0
    edited: bool = False

    def __post_init__(self) -> None:
        for name in ("vp_mm", "base_mm"):
            value = np.array(getattr(self, name), np.float64)
            if value.shape != (3,) or not np.isfinite(value).all():
                raise BadInput(f"must be three finite numbers, got {value.tolist()}", where=name)
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        for name in ("vp_sigma_mm", "base_sigma_mm"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise BadInput(f"must be 0 or more, got {getattr(self, name)}", where=name)
        if self.trunk_mm <= 0:
            raise BadInput(
                f"VP (y {self.vp_mm[1]:.0f} mm) is not above the base mid-point (y {self.base_mm[1]:.0f} mm)",
                where="landmarks",
                hint="check which is which, and that y points up",
            )
        y = self.line.y_mm[self.line.seen]
        if len(y) < FEWEST_POINTS:
            raise BadInput(
                f"{len(y)} of {len(self.line.y_mm)} points have a position; {FEWEST_POINTS} are needed",
                where="spinous line",
                hint="mark the line by hand in a landmarks file, or scan the back again",
            )
        covered = min(y[-1], self.vp_mm[1]) - max(y[0], self.base_mm[1])
        if covered < SHORTEST_SHARE * self.trunk_mm:
            raise BadInput(
                f"it covers {max(covered, 0):.0f} of the {self.trunk_mm:.0f} mm between base and VP, "
                f"at least {SHORTEST_SHARE:.0%} are needed",
                where="spinous line",
                hint="is the whole back in the scan, and are VP and base in the right place?",
            )

    @property
    def trunk_mm(self) -> float:
        """Height of VP above the base mid-point."""
        return float(self.vp_mm[1] - self.base_mm[1])


class Curve:
    """Values along y as a piecewise cubic (Hermite) with its slope; straight on beyond its ends.

    Points nearer to each other than `knot_mm` are averaged first, so that noise does not make the slope wild.
    """

    def __init__(
        self, y: Float[np.ndarray, " m"], values: Float[np.ndarray, "m k"], knot_mm: float = 12.0
    ) -> None:
        bins = np.unique(np.floor((y - y[0]) / knot_mm), return_inverse=True)[1]
        count = np.bincount(bins)
        self.y = np.bincount(bins, y) / count
        columns = [np.bincount(bins, column) / count for column in values.T]
        self.values = np.stack(columns, axis=1)
        flat = len(self.y) < 2
        self.slopes = np.zeros_like(self.values) if flat else np.gradient(self.values, self.y, axis=0)

    def __call__(
        self, y: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
        """Values and slopes (per mm) at heights y."""
        if len(self.y) < 2:
            return np.repeat(self.values, len(y), axis=0), np.zeros((len(y), self.values.shape[1]))
        inside = np.clip(y, self.y[0], self.y[-1])
        i = np.clip(np.searchsorted(self.y, inside, side="right") - 1, 0, len(self.y) - 2)
        h = (self.y[i + 1] - self.y[i])[:, None]
        t = (inside - self.y[i])[:, None] / h
        v0, v1, m0, m1 = self.values[i], self.values[i + 1], self.slopes[i] * h, self.slopes[i + 1] * h
        rise = v1 - v0
        c2, c3 = 3 * rise - 2 * m0 - m1, m0 + m1 - 2 * rise
        value = v0 + t * (m0 + t * (c2 + t * c3))
        slope = (m0 + t * (2 * c2 + 3 * t * c3)) / h
        return value + slope * (y - inside)[:, None], slope
