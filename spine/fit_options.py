"""Every sigma, length and gain of the fit, with a sentence each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spine.skin_depth import SkinDepth
from suite.config import Config

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Three = tuple[Positive, Positive, Positive]


class LevelPrior(Config):
    """Gaussian process over levels of the joint rotations: how much and how smoothly people differ from the
    template."""

    flexion_deg: Positive = 3.0
    """Standard deviation of flexion and extension in a joint (about x)."""
    axial_deg: Positive = 3.0
    """Standard deviation of axial rotation in a joint (about y)."""
    lateral_deg: Positive = 24.0
    """Standard deviation of lateral bending in a joint (about z). Wide on purpose: 4 to 6 describes people,
    but draws curves too straight, and line and rotation are enough to hold the chain."""
    length_levels: Positive = 2.0
    """Levels over which neighbouring joints bend alike."""
    white_deg: Three = (0.8, 0.4, 0.5)
    """Independent part of every joint about x, y, z."""


class FitWeights(Config):
    """How far each kind of evidence may be off: standard deviations, weight = 1 / sigma^2."""

    line_edited_mm: Positive = 1.5
    """Lateral error of a spinous line that a person drew or checked."""
    line_least_mm: Positive = 1.5
    """Lateral error of an automatic line where it claims a smaller one."""
    depth_mm: Positive = 3.0
    """Depth of the skin point over a vertebra against the skin of the line."""
    rotation_deg: Positive = 2.5
    """Vertebral against surface rotation, beside the error of measuring the latter."""
    height_mm: Positive = 5.0
    """Height of VP over C7 and of the base mid-point over the sacrum, beside the error of marking them."""
    skin_factor: Positive = 0.10
    """Relative deviation of a person's skin-to-centre distance."""
    log_scale: Positive = 0.08
    """Relative deviation of the spine's length from the one expected from the trunk's height."""
    root_deg: Three = (10.0, 5.0, 6.0)
    """Rotation of the sacrum against the template's about x, y, z."""
    levels: LevelPrior = LevelPrior()
    """Rotations of the joints."""


class Coupling(Config):
    """Vertebrae turn into the curve: axial rotation as a share of the local coronal bend.

    The defaults are a regression of 1.25 x surface rotation on the bend of the radiographic line over 15
    adolescents with scoliosis (r .78). With rotation measured it hardly changes a fit; without it, it is the
    only thing that brings the chain to the convex side of the spinous line.
    """

    ratio: float = 0.44
    """Axial rotation per coronal bend between two levels above and two below, spinous processes inwards."""
    sigma_deg: Positive = 4.0
    """How far a vertebra may be from it."""


class FitOptions(Config):
    """Settings of `spine.solve.fit_chain`; the defaults are those that worked on real and simulated backs."""

    weights: FitWeights = FitWeights()
    """Standard deviations of the terms."""
    rotation_gain: float = 1.0
    """Vertebral rotation per surface rotation."""
    rotation_gain_sd: NotNegative = 0.25
    """How far a person's own gain may be from it; widens intervals only."""
    skin_depth: SkinDepth = SkinDepth()
    """Distance from the skin to the vertebral centre."""
    line_loss: Literal["squared", "pseudo_huber", "geman_mcclure"] = "pseudo_huber"
    """Loss of line and rotation: how little outliers count."""
    line_loss_scale: Positive = 2.0
    """Standard deviations from which on a residual of line or rotation counts as an outlier."""
    coupling: Coupling | None = None
    """Ties axial rotation to the coronal curve; off unless given."""
    motion_deg: Positive = 1.0
    """Softness of the range of motion; acts only where a reference pose is given."""
    reach_mm: Positive = 15.0
    """A level takes part in line, depth and rotation if the line has a point within this height of it."""
    error_length_levels: NotNegative = 2.0
    """Levels over which errors of line, depth and rotation go together; widens intervals only (0:
    independent)."""
    skin_length_levels: Positive = 4.0
    """The same for the error of the skin-to-centre form that no common factor explains."""
    max_iterations: Annotated[int, Field(ge=1)] = 60
    """Evaluations after which Levenberg-Marquardt gives way to the fallback solver."""
