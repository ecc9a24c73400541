"""What simulated people vary in, and how widely."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from suite.config import Config


def _in_order(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError(f"the lower end {interval[0]:g} lies above the upper end {interval[1]:g}")
    return interval


def _not_negative_sd(spread: tuple[float, float]) -> tuple[float, float]:
    if spread[1] < 0:
        raise ValueError(f"the standard deviation {spread[1]:g} is negative")
    return spread


Interval = Annotated[tuple[float, float], AfterValidator(_in_order)]
"""Lowest and highest value of a uniform distribution."""
Spread = Annotated[tuple[float, float], AfterValidator(_not_negative_sd)]
"""Mean and standard deviation of a normal distribution, cut off at 2.5 standard deviations."""

CurveType = Literal["straight", "thoracic", "thoracolumbar", "double_major", "double_thoracic"]


class CurveShares(Config):
    """How often each coronal pattern occurs, as relative weights (patterns after Lenke et al., JBJS
    2001;83-A:1169)."""

    straight: float = 0.18
    """Hardly any curve: at most 8 deg, as in people without scoliosis."""
    thoracic: float = 0.32
    """A single main thoracic curve, apex T7-T10, with compensating neighbours (Lenke 1)."""
    thoracolumbar: float = 0.22
    """A single thoracolumbar or lumbar curve, apex T12-L3 (Lenke 5)."""
    double_major: float = 0.16
    """A thoracic and an opposite lumbar curve of like size (Lenke 3 and 6)."""
    double_thoracic: float = 0.12
    """A main thoracic curve under an opposite proximal one, shoulders uneven (Lenke 2)."""


class SubjectConfig(Config):
    """Ranges of simulated people; lengths in mm are for a trunk of 420 mm and grow with it, unless said
    otherwise. Figures of the body run from 0 to 1 as those of `suite.body.BodyShape`."""

    body: str | None = None
    """A licensed file of the SMPL family in place of the free body."""
    age_years: Interval = (7.0, 70.0)
    """Ages (uniform) of those who are not drawn as adolescents."""
    adolescent_share: float = 0.5
    """Share of people drawn at an age at which scoliosis is looked for."""
    adolescent_years: Interval = (10.0, 18.0)
    """Which ages these are (uniform)."""
    female_share: float = 0.6
    """Share of women and girls."""
    body_weight: Spread = (0.46, 0.2)
    """From thin (0) to heavy (1), middling .5."""
    body_muscle: Spread = (0.45, 0.15)
    """Muscle of the whole body."""
    body_height: Spread = (0.37, 0.12)
    """Stature; that of usual people of their age is about 1/3."""
    body_proportions: Spread = (0.5, 0.2)
    """From ideal proportions (0) to uncommon ones (1)."""
    curves: CurveShares = CurveShares()
    """Mix of coronal patterns."""
    cobb_max_deg: float = 55.0
    """Largest Cobb angle; smaller ones are more frequent (beta distribution, mean two fifths of this)."""
    right_thoracic_share: float = 0.7
    """Share of thoracic curves convex to the right; lumbar curves are mirrored accordingly."""
    kyphosis_deg: Spread = (42.0, 9.0)
    """T1-T12 of a straight spine."""
    lordosis_deg: Spread = (54.0, 9.0)
    """T12-S1."""
    hypokyphosis: Interval = (0.0, 0.45)
    """Kyphosis lost for every degree of a thoracic Cobb angle."""
    sagittal_balance_mm: Spread = (28.0, 17.0)
    """How far the centre of C7 stands behind that of S1's end plate."""
    coronal_balance_sd_mm: float = 9.0
    """How far C7 hangs over to one side of S1."""
    shape_sd: float = 0.6
    """Size of the sagittal shape modes of `spine.shape`, in their standard deviations (1: as among CT
    patients)."""
    jitter_deg: tuple[float, float, float] = (1.2, 1.2, 0.8)
    """Irregular lean, axial rotation and tilt of single vertebrae against the smooth course."""
    rotation_deg_per_mm: Interval = (0.34, 0.8)
    """Axial rotation of the vertebrae per mm of their lateral deviation, spinous processes towards the
    concave side."""
    skin_direction: Literal["horizontal", "axis"] = "horizontal"
    """Where the skin over a vertebra is sought from its centre: level, in the direction in which the vertebra
    points backwards (as `spine.skin_depth` and rasterstereography have it), or along its own z axis."""
    skin_to_centre_sd: float = 0.10
    """Relative spread between people of the distance from the skin to the vertebral centres."""
    skin_to_centre_wave: float = 0.025
    """Relative, smooth variation of that distance along one back."""
    surface_rotation_ratio: Interval = (0.35, 0.95)
    """Rotation of the surface over rotation of the vertebrae."""
    rib_slope: Interval = (0.2, 1.0)
    """Fall of the ribs from the vertebra to the side, mm per mm: a hump lies that much lower than its
    vertebra."""
    hump_decay: Interval = (0.4, 0.9)
    """How fast the rotated surface levels out to the sides (0 never)."""
    hump_at_line: Interval = (0.0, 1.2)
    """Additional turn of the skin within about 25 mm of the line, as a share of the hump's own: the columns
    of muscle stand on the transverse processes and turn with them."""
    furrow: Interval = (-0.5, 1.5)
    """Depth of the furrow over the spinous processes beyond the body's own; below 0 it is filled up."""
    furrow_offset_mm: Interval = (0.5, 4.0)
    """How far the furrow wanders off the spinous processes."""
    muscle: Interval = (-0.6, 1.4)
    """Prominence of the columns of muscle beside the spine, beyond the body's own."""
    valley_mm: Spread = (0.0, 4.0)
    """Depth of the broad valley between shoulder blades and between the columns, beyond the body's own."""
    scapula_mm: Interval = (1.0, 14.0)
    """Prominence of the shoulder blades' medial border."""
    trunk_follows_spine: Interval = (0.2, 1.1)
    """How far the outline shifts to the side with the spine (1: as much)."""
    trunk_tilts_with_spine: Interval = (0.2, 1.0)
    """How far ribs and shoulders tilt with the spine, as a share of what they would without muscles that
    level them."""
    soft_tissue_mm: Interval = (0.3, 2.0)
    """Random unevenness of the skin, standard deviation; not scaled."""
    waist_fold_share: float = 0.35
    """Share of people with a skin fold above the hip, on the concave side."""
    arm_share: float = 0.7
    """Share of people whose arms are seen beside the trunk."""
    marker_share: float = 0.5
    """Share of people with markers of 3 mm height stuck to the skin, none within 14 mm of the spinous
    line."""
    grid_mm: float = 2.0
    """Spacing of the skin's height map; not scaled."""
