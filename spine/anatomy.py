"""Levels, dimensions, alignment and mobility of the adult spine: constants with their sources.

"CT table" is what `spine.shape` learned from CT scans (spine/data/SHAPE_MODES.md). "Textbook value" marks a
figure of common knowledge whose original table was not at hand; none of these decides a fitted pose, they
shape the drawn bones. Lengths are mm and belong to a template of size 1 (arc T1-L5 434 mm); angles are deg.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

LEVELS: tuple[str, ...] = (
    *(f"C{i}" for i in range(1, 8)),
    *(f"T{i}" for i in range(1, 13)),
    *(f"L{i}" for i in range(1, 6)),
    "S1",
)
"""Cranial to caudal; S1 stands for the whole sacrum."""


def joint_name(i: int) -> str:
    """Name of joint i, such as `L4-L5`."""
    return f"{LEVELS[i]}-{LEVELS[i + 1]}"


@dataclass(frozen=True)
class VertebraSize:
    """Dimensions of one vertebra, mm and deg, in its own frame (x right, y cranial, z posterior).

    `height` is the posterior height of the body and `wedge` the angle between its end plates (positive:
    taller in front); `upper`/`lower` are width and depth of the end plates; `canal`, `pedicle` are width
    and depth, width and height. The spinous process runs `spinous` mm from the middle of the posterior wall
    of the body to its tip, sinking by `spinous_drop` deg; `span` is the distance between the tips of the
    transverse processes. `body_y` is where the middle of the body lies in the frame, 0 but for C1 (its
    ring) and C2, whose centroid as CT readers mark it takes the dens in.
    """

    height: float
    wedge: float
    upper: tuple[float, float]
    lower: tuple[float, float]
    canal: tuple[float, float]
    pedicle: tuple[float, float]
    spinous: float
    spinous_drop: float
    span: float
    body_y: float = 0.0

    @property
    def depth(self) -> float:
        """Mean depth of the body."""
        return (self.upper[1] + self.lower[1]) / 2

    @cached_property
    def mid_height(self) -> float:
        """Height of the body half-way between its anterior and posterior wall."""
        return self.height + self.depth * float(np.tan(np.radians(self.wedge) / 2))

    @property
    def spinous_tip(self) -> Float[np.ndarray, " 3"]:
        """Tip of the spinous process in the vertebra frame."""
        drop = np.radians(self.spinous_drop)
        return np.array(
            [0, self.body_y - self.spinous * np.sin(drop), self.depth / 2 + self.spinous * np.cos(drop)]
        )


VERTEBRAE: dict[str, VertebraSize] = {
    #                  height wedge upper w, d    lower w, d    canal w, d    pedicle w, h  spin. drop span
    "C1": VertebraSize(
        11.0, 0.0, (46.0, 34.0), (46.0, 34.0), (28.0, 30.0), (8.0, 9.0), 26.0, 4.0, 78.0, -9.0
    ),
    "C2": VertebraSize(
        14.5, 3.0, (19.0, 14.0), (17.5, 15.6), (24.5, 21.0), (8.0, 10.0), 42.0, 18.0, 56.0, -6.5
    ),
    "C3": VertebraSize(11.6, 2.0, (15.8, 15.0), (17.2, 15.6), (22.9, 16.2), (5.6, 7.5), 35.0, 16.0, 51.0),
    "C4": VertebraSize(11.4, 1.5, (17.2, 15.3), (17.0, 15.9), (24.7, 17.7), (5.4, 7.4), 35.0, 16.0, 53.0),
    "C5": VertebraSize(11.4, 1.0, (17.5, 15.2), (19.4, 17.9), (24.9, 17.4), (5.6, 7.0), 37.0, 18.0, 55.0),
    "C6": VertebraSize(10.9, 0.5, (18.5, 16.4), (22.0, 18.5), (25.8, 18.1), (6.0, 7.3), 43.0, 19.0, 57.0),
    "C7": VertebraSize(12.8, 0.0, (21.8, 18.1), (23.4, 16.8), (24.5, 15.2), (6.6, 7.5), 50.0, 20.0, 66.0),
    "T1": VertebraSize(14.1, -1.0, (24.5, 18.5), (27.8, 19.7), (21.9, 16.4), (8.5, 9.6), 51.0, 22.0, 75.0),
    "T2": VertebraSize(15.6, -1.5, (24.9, 19.6), (27.4, 21.6), (19.5, 15.9), (8.2, 11.4), 50.0, 27.0, 69.0),
    "T3": VertebraSize(15.7, -2.5, (24.6, 22.7), (25.9, 23.3), (18.4, 16.1), (6.8, 11.8), 49.0, 32.0, 64.0),
    "T4": VertebraSize(16.2, -3.0, (24.5, 23.3), (26.0, 24.5), (17.0, 16.2), (6.3, 12.1), 49.0, 36.0, 61.0),
    "T5": VertebraSize(16.2, -3.5, (24.9, 24.3), (27.0, 25.8), (17.2, 16.2), (6.0, 11.9), 50.0, 39.0, 61.0),
    "T6": VertebraSize(17.4, -4.0, (26.2, 26.0), (28.2, 26.9), (17.3, 16.5), (6.0, 12.2), 51.0, 41.0, 61.0),
    "T7": VertebraSize(18.2, -4.5, (27.8, 27.4), (29.1, 28.5), (17.3, 16.0), (5.9, 12.1), 51.0, 42.0, 60.0),
    "T8": VertebraSize(18.7, -4.0, (29.5, 27.9), (30.5, 29.4), (17.7, 15.8), (6.7, 12.5), 50.0, 41.0, 60.0),
    "T9": VertebraSize(19.3, -3.8, (30.6, 29.3), (33.0, 31.0), (17.9, 15.5), (7.7, 13.9), 49.0, 36.0, 58.0),
    "T10": VertebraSize(20.2, -3.2, (31.9, 30.5), (35.4, 31.6), (18.2, 15.5), (9.0, 14.9), 48.0, 29.0, 57.0),
    "T11": VertebraSize(21.3, -5.0, (34.9, 31.9), (39.1, 31.8), (19.4, 16.1), (9.8, 17.4), 47.0, 22.0, 51.0),
    "T12": VertebraSize(22.7, -4.2, (39.0, 32.8), (42.1, 33.4), (22.2, 18.1), (8.7, 16.7), 47.0, 16.0, 46.0),
    "L1": VertebraSize(23.8, -3.4, (41.2, 34.1), (43.3, 35.3), (23.7, 19.0), (8.6, 15.9), 49.0, 13.0, 71.0),
    "L2": VertebraSize(24.3, -1.7, (42.6, 34.6), (45.5, 34.9), (23.8, 18.2), (8.3, 15.0), 51.0, 12.0, 76.0),
    "L3": VertebraSize(23.8, -0.1, (44.1, 35.2), (48.0, 34.8), (24.3, 17.5), (10.2, 14.4), 51.0, 12.0, 86.0),
    "L4": VertebraSize(24.1, 1.9, (46.6, 35.5), (49.5, 33.9), (25.4, 18.6), (14.1, 15.5), 49.0, 13.0, 81.0),
    "L5": VertebraSize(22.9, 6.2, (47.3, 34.7), (49.4, 33.2), (27.1, 19.7), (18.6, 19.6), 43.0, 18.0, 92.0),
}
"""Adult means. Heights of the body, end plates, canal and pedicles of C2-L5 after Panjabi et al., "Cervical
/ thoracic / lumbar human vertebrae: quantitative three-dimensional anatomy" (Spine 1991;16:861-869,
1991;16:888-901, 1992;17:299-306) as commonly reproduced; not checked against the original tables. Wedges
T9-L5: mean of the female and male means of Masharawi et al., Eur Spine J 2010;19:768-773 (PMC2899959),
table 1; above T9 a textbook value. C1, spinous and transverse processes: textbook values; the spinous
lengths were chosen so that the tips of the standing template lie where `SPINOUS_FRACTION` says."""

SPACING_MM: Float[np.ndarray, " 24"] = np.array([
    17.3, 24.2, 17.8, 17.4, 16.8, 17.3, 19.6,
    20.8, 20.9, 20.9, 21.6, 22.2, 22.7, 23.3, 23.9, 25.3, 27.3, 29.7,
    32.4, 34.6, 35.7, 36.5, 36.3, 24.0,
])  # fmt: skip
"""Distance between the centres of vertebra i and i + 1. C1-C2 ... L4-L5: CT table, medians over 47-1105
persons (SD 1.6-3.1). L5-S1 (to the centre of the end plate): half the body of L5 and a disc of 11.6,
textbook value."""

ATLAS_BEFORE_DENS_MM = 6.0
"""The centre of C1, as CT readers mark it, lies behind its anterior arch and so before the dens: textbook
value."""

PEDICLE_MM: dict[str, tuple[float, float, float]] = {
    "C1": (41.3, -11.2, 15.2), "C2": (33.9, -8.7, 11.7), "C3": (34.3, 1.3, 10.3), "C4": (34.0, 3.1, 9.2),
    "C5": (31.1, 4.0, 8.1), "C6": (32.2, 4.8, 9.6), "C7": (31.2, 1.9, 16.0),
    "T1": (29.1, 5.1, 10.6), "T2": (24.9, 5.7, 12.3), "T3": (22.6, 5.7, 13.4), "T4": (21.4, 5.9, 14.5),
    "T5": (21.3, 6.3, 15.8), "T6": (21.5, 6.9, 17.0), "T7": (21.9, 8.0, 18.6), "T8": (22.6, 8.6, 19.4),
    "T9": (23.1, 8.4, 20.6), "T10": (24.2, 8.3, 21.7), "T11": (27.0, 7.3, 23.5), "T12": (29.4, 6.3, 24.6),
    "L1": (30.0, 6.4, 24.5), "L2": (30.2, 7.1, 24.5), "L3": (33.0, 6.4, 24.4),
    "L4": (36.3, 5.3, 24.3), "L5": (48.3, 7.3, 22.0),
}  # fmt: skip
"""Pedicle points: distance between left and right, and how far their mid-point lies above and behind the
centroid. CT table, medians (SD 1.6-6.5, 0.9-3.0, 1.2-4.3)."""

STANDING_BEND_DEG: Float[np.ndarray, " 24"] = np.array([
    10.0, 2.0, 3.0, 3.0, 3.5, 3.5, 3.0,
    -3.0, -4.0, -4.5, -5.0, -5.0, -5.0, -4.5, -3.5, -2.5, -2.0, -1.0,
    1.0, 2.5, 5.0, 8.5, 16.0, 22.0,
])  # fmt: skip
"""Extension of vertebra i on i + 1, mid-plane to mid-plane (S1: end plate), standing. Sums: C2-C7 15,
T1-T12 -40, T11-L1 0, T12-S1 55. C2-C7, T1-T12, T11-L1: AO Foundation, "Sagittal spinal alignment" (15, 40,
0 deg). T12-S1 lies between AO's 60 and the 49.8 (SD 11.2) of 627 volunteers in PMC6680033 (36.8 lying). The
lumbar share grows downwards as in both (L4-S1 is 67-71 % of the whole); the thoracic course is that of the
CT table's bends, T3-T7 steepest."""

SACRAL_SLOPE_DEG = 40.0
"""End plate of S1 against the horizontal, standing: textbook value (SD 8)."""

BASE_POINT_IN_S1_MM: Float[np.ndarray, " 3"] = np.array([0.0, -55.0, 38.0])
"""Median sacral crest at S2, in the S1 frame, below the skin at the level of the posterior superior iliac
spines and the lumbar dimples: textbook value."""

TRUNK_PER_STATURE = 0.274
"""VP to the mid-point of the dimples over stature: 452 mm (SD 24, women, VP-DM) on 1650 mm, a textbook
stature."""

SPINOUS_FRACTION: dict[str, float] = {
    "C7": 0.0,
    "T4": 0.21,
    "T7": 0.39,
    "T10": 0.541,
    "L1": 0.709,
    "L4": 0.861,
}
"""Where spinous processes lie along the back between C7 (0) and the level of the posterior superior iliac
spines (1): Ernst et al., BMC Res Notes 2013;6:58, n = 22."""


@dataclass(frozen=True)
class Norm:
    """Mean and accepted band of an index of the standing adult."""

    mean: float
    low: float
    high: float
    unit: str
    source: str


_AO = "AO Foundation, Sagittal spinal alignment"
ALIGNMENT_NORMS: dict[str, Norm] = {
    "kyphosis_t1_t12": Norm(40.0, 20.0, 50.0, "deg", f"{_AO}; band after White & Panjabi 1990"),
    "lordosis_t12_s1": Norm(49.8, 30.0, 80.0, "deg", "PMC6680033 (n = 627, SD 11.2); band textbook value"),
    "lordosis_c2_c7": Norm(15.0, 0.0, 30.0, "deg", f"{_AO}; band textbook value"),
    "thoracolumbar_t11_l1": Norm(0.0, -10.0, 10.0, "deg", f"{_AO}; band textbook value"),
    "segment_l4_l5": Norm(20.0, 10.0, 30.0, "deg", f"{_AO}; band textbook value"),
    "segment_l5_s1": Norm(28.0, 15.0, 40.0, "deg", f"{_AO}; band textbook value"),
    "sacral_slope": Norm(40.0, 24.0, 56.0, "deg", "textbook value, 2 SD"),
    "sagittal_vertical_axis": Norm(
        0.0, -40.0, 40.0, "mm", "textbook value; C7 before the posterior corner of S1"
    ),
    "cobb": Norm(0.0, 0.0, 10.0, "deg", "scoliosis from 10 deg on: Scoliosis Research Society"),
}
"""Magnitudes of regional curves, kyphosis counted positive."""

RANGE_OF_MOTION_DEG: Float[np.ndarray, "24 3"] = np.array([
    (20, 40, 5), (10, 3, 10), (15, 7, 11), (20, 7, 11), (20, 7, 8), (17, 6, 7), (9, 2, 4),
    (4, 9, 5), (4, 8, 6), (4, 8, 5), (4, 8, 6), (4, 8, 6), (5, 7, 6), (6, 7, 6), (6, 6, 6), (6, 4, 6),
    (9, 2, 7), (12, 2, 9), (12, 2, 8), (12, 2, 6), (14, 2, 6), (15, 2, 8), (16, 2, 6), (17, 1, 3),
], np.float64)  # fmt: skip
"""Per joint: flexion to extension (about x, the whole range), axial rotation to one side (y), bending to
one side (z). White & Panjabi, Clinical Biomechanics of the Spine, 2nd ed. 1990, representative values, as
given in the project's notes; not checked against the book. A bound on changes of pose: a resting scoliotic
spine exceeds it."""

LUMBAR_SHARE: Float[np.ndarray, "5 3"] = np.array([
    (0.255, 0.169, 0.188), (0.231, 0.182, 0.250), (0.204, 0.221, 0.245), (0.185, 0.221, 0.181),
    (0.125, 0.207, 0.136),
])  # fmt: skip
"""Share of each joint L1-L2 ... L5-S1 in the lumbar spine's flexion (x), axial rotation (y) and bending
(z): Christophy et al., Biomech Model Mechanobiol 2012;11:19-34, coupler constraints of the published model;
L5-S1 is the remainder."""


def mid_disc_height_mm() -> Float[np.ndarray, " 24"]:
    """Height of the discs half-way between front and back: what the bodies leave of `SPACING_MM`.

    C1-C2 has no disc (0). C3-T1 about 5-6, thoracic 5-9 (Kunkel et al., J Anat 2011;219:375-387: 4.5-7.2 at
    the rim, 22.7 % more in the middle), lumbar 10-13 (textbook value).
    """
    half = np.array([VERTEBRAE[level].mid_height / 2 for level in LEVELS[:-1]] + [0.0])
    offset = np.array([VERTEBRAE[level].body_y for level in LEVELS[:-1]] + [0.0])
    disc = SPACING_MM - half[:-1] - half[1:] + offset[:-1] - offset[1:]
    disc[0] = 0.0
    return disc
