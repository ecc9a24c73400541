"""Indices of a spine: `measure` turns a fitted chain and the back surface into figures with intervals.

Signs are the subject's, in the body frame (x right, y up, z to the back): a curve is "right" when its apex
lies to the right; axial rotation is positive when the spinous process points right, tilt from behind when the
right side is up, tilt from the side when leaning back; kyphosis and lordosis are positive angles. Every index
carries its definition, its source and, where a source gives one, the band of healthy people.

    indices      measure(): read first                scalars      the chain's indices, for many chains
    angles       three angles of each vertebra        centreline   smooth line, curvature, torsion
    coronal      Cobb angles, curves, calibration     sagittal     kyphosis, lordosis, inflections
    transverse   plane of maximum curvature, da Vinci trunk        imbalance, inclination, pelvis
    humps, potsi the surface and its outline          normality    distance from the population
    definitions  title, unit, source, text, band      result       what measure() gives back
"""

from spine.measure.coronal import CobbCalibration, cobb_from_tilts, curve_cobb_deg, load_cobb_calibration
from spine.measure.indices import measure, measure_with_intervals
from spine.measure.result import VERTEBRA_COLUMNS, CentreLine, Curve, Index, Indices, VertebraRow

__all__ = [
    "VERTEBRA_COLUMNS",
    "CentreLine",
    "CobbCalibration",
    "Curve",
    "Index",
    "Indices",
    "VertebraRow",
    "cobb_from_tilts",
    "curve_cobb_deg",
    "load_cobb_calibration",
    "measure",
    "measure_with_intervals",
]
