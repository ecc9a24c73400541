"""A structured-light scan of a simulated back: points of the skin a projector and camera would see, in the
scanner's frame.

Scanner frame: x right, y down, z forward (OpenCV), in mm; the person stands with the back to it, turned,
leaning and off its axis by a little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from spine.synthetic.random_curves import SmoothField
from spine.synthetic.subject import SimulatedSubject
from suite.body.parts import PART_NAMES
from suite.config import Config
from suite.errors import BadInput
from suite.geometry.mesh import PointCloud
from suite.geometry.rotations import so3_exp

FACING_BACK = np.diag([1.0, -1.0, -1.0])
"""Axes of a camera that looks straight at the back, as rows in the body frame."""


_LOST_ARMS = ((), ("forearm", "hand"), ("upper_arm", "forearm", "hand"))
_ARMPIT_U = 0.74  # height of the armpits over that of VP


class ScanConfig(Config):
    """How the person stands before the scanner and what of the skin is lost."""

    distance_mm: tuple[float, float] = (850.0, 1250.0)
    """Distance of the scanner from the back (uniform)."""
    turn_sd_deg: tuple[float, float, float] = (2.0, 6.0, 1.5)
    """Pitch, yaw and roll of the scanner against the person."""
    offset_sd_mm: float = 40.0
    """How far the back stands off the scanner's axis, sideways and in height."""
    correlated_share: float = 0.3
    """Share of the noise's variance that neighbouring points have in common."""
    correlation_mm: float = 12.0
    """Over which distance they have."""
    grazing_deg: tuple[float, float] = (66.0, 78.0)
    """Skin steeper than this to the line of sight is lost (uniform per scan)."""
    below_base_mm: tuple[float, float] = (25.0, 80.0)
    """How far the scan reaches below the base mid-point (uniform), where clothes begin."""
    above_vp_mm: tuple[float, float] = (15.0, 70.0)
    """How far it reaches above VP (uniform), where hair begins."""
    arms: tuple[float, float, float] = (0.34, 0.33, 0.33)
    """How often arms that hang beside the trunk are seen whole, down to the elbow, or not at all below the
    armpit: scanners and people who crop scans differ."""
    holes: int = 5
    """Largest number of holes."""
    hole_mm: tuple[float, float] = (3.0, 9.0)
    """Radius of a hole (uniform)."""


@dataclass(frozen=True, eq=False)
class Scan:
    """Points (mm) in the scanner's frame, and where the body frame lies in it, exactly."""

    cloud: PointCloud
    T_scan_body: Float[np.ndarray, "4 4"]
    noise_mm: float


def scan_points(
    subject: SimulatedSubject,
    *,
    noise_mm: float,
    rng: np.random.Generator,
    n_points: int = 50_000,
    config: ScanConfig | None = None,
) -> Scan:
    """One scan with noise of this standard deviation along the lines of sight. Raises BadInput for noise
    below 0."""
    if not noise_mm >= 0:
        raise BadInput(f"noise is {noise_mm} mm", hint="give 0 or more")
    config = config or ScanConfig()
    T_scan_body = random_view(rng, subject, config)
    eye = -T_scan_body[:3, :3].T @ T_scan_body[:3, 3]

    lost = 1.7  # points drawn for every one that is kept, at first
    points = np.empty((0, 3))
    limits = _Limits.drawn(rng, subject, config)
    while len(points) < n_points and lost < 30:
        drawn = _on_skin(rng, subject, int(lost * n_points))
        points = drawn[limits.keeps(subject, drawn, eye)]
        lost *= 1.5
    points = points[:n_points]

    sight = points - eye
    sight /= np.linalg.norm(sight, axis=1, keepdims=True)
    skin = subject.skin
    field = SmoothField(rng, config.correlation_mm, config.correlation_mm).on_grid(skin.x_mm, skin.y_mm)
    shared = replace(skin, z_mm=field).sample(points[:, 0], points[:, 1])
    own = rng.normal(size=len(points))
    share = config.correlated_share
    error = noise_mm * (np.sqrt(1 - share) * own + np.sqrt(share) * shared)
    points = points + error[:, None] * sight
    return Scan(PointCloud(points @ T_scan_body[:3, :3].T + T_scan_body[:3, 3]), T_scan_body, noise_mm)


def random_view(
    rng: np.random.Generator, subject: SimulatedSubject, config: ScanConfig
) -> Float[np.ndarray, "4 4"]:
    """T_scan_body (mm) of a scanner behind the person, aimed at the middle of the back."""
    turn = np.radians(config.turn_sd_deg) * np.clip(rng.normal(size=3), -2.5, 2.5)
    R = FACING_BACK @ so3_exp(turn)
    middle = np.array([0.0, subject.vp_mm[1] / 2, subject.vp_mm[2] / 2])
    aim = middle + config.offset_sd_mm * np.append(rng.normal(size=2), 0.0)
    T = np.eye(4)
    T[:3, :3] = R
    T[:3, 3] = [0, 0, rng.uniform(*config.distance_mm)] - R @ aim
    return T


@dataclass(frozen=True)
class _Limits:
    """What of the skin a scan keeps."""

    low_mm: float
    high_mm: float
    steepest_cos: float
    lost_parts: tuple[str, ...]
    holes: Float[np.ndarray, "k 3"]

    @classmethod
    def drawn(cls, rng: np.random.Generator, subject: SimulatedSubject, config: ScanConfig) -> _Limits:
        k = int(rng.integers(0, config.holes + 1))
        centre = _on_skin(rng, subject, max(k, 1))[:k, :2]
        holes = np.column_stack([centre, rng.uniform(*config.hole_mm, size=k)])
        return cls(
            -rng.uniform(*config.below_base_mm),
            float(subject.vp_mm[1]) + rng.uniform(*config.above_vp_mm),
            float(np.cos(np.radians(rng.uniform(*config.grazing_deg)))),
            _LOST_ARMS[int(rng.choice(3, p=np.array(config.arms) / sum(config.arms)))],
            holes,
        )

    def keeps(self, subject: SimulatedSubject, points: np.ndarray, eye: np.ndarray) -> np.ndarray:
        x, y, _ = points.T
        keep = (y > self.low_mm) & (y < self.high_mm)
        keep &= _facing(subject, points, eye) > self.steepest_cos
        if self.lost_parts:
            below = np.flatnonzero(keep & (y < _ARMPIT_U * subject.vp_mm[1]))
            part = subject.body.part_behind(points[below, :2])
            lost = [PART_NAMES.index(name) for name in self.lost_parts]
            keep[below[np.isin(part, lost)]] = False
        for hole_x, hole_y, radius in self.holes:
            keep &= (x - hole_x) ** 2 + (y - hole_y) ** 2 > radius**2
        return keep


def _on_skin(rng: np.random.Generator, subject: SimulatedSubject, n: int) -> np.ndarray:
    """Random points of the seen skin, spread evenly as seen from behind."""
    skin = subject.skin
    rows, columns = np.nonzero(skin.observed)
    cell = rng.integers(len(rows), size=n)
    spread = rng.uniform(-0.5, 0.5, (2, n)) * skin.spacing_mm
    x, y = skin.x_mm[columns[cell]] + spread[0], skin.y_mm[rows[cell]] + spread[1]
    return np.stack([x, y, skin.sample(x, y)], axis=1)


def _facing(subject: SimulatedSubject, points: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """Cosine between the skin's normal and the line of sight."""
    skin = subject.skin
    zy, zx = np.gradient(skin.z_mm, skin.spacing_mm)
    row = np.rint((points[:, 1] - skin.y_mm[0]) / skin.spacing_mm).astype(int).clip(0, len(skin.y_mm) - 1)
    column = np.rint((points[:, 0] - skin.x_mm[0]) / skin.spacing_mm).astype(int).clip(0, len(skin.x_mm) - 1)
    zx, zy, sight = zx[row, column], zy[row, column], eye - points
    dot = sight[:, 2] - zx * sight[:, 0] - zy * sight[:, 1]
    return dot / (np.sqrt(1 + zx**2 + zy**2) * np.linalg.norm(sight, axis=1))
