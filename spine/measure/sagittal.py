"""Sagittal indices: kyphosis, lordosis, their apices and the inflections between them.

Tilts are positive leaning back. Kyphosis and lordosis are given as positive angles:
kyphosis(a, b) = tilt(b) - tilt(a),  lordosis(a, b) = tilt(a) - tilt(b)  for a above b.

The inflections are where the sagittal line is most inclined, as rasterstereography defines them (ICT, ITL,
ILS and the apices: Degenhardt et al., Scoliosis Spinal Disord 2017;12:28, table 1): going up, the spine leans
back most at the thoracolumbar inflection, forward most at the lumbosacral one below and the cervicothoracic
one above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spine.measure.angles import C7, L1, S1, T5, T12, sagittal_tilt_deg
from spine.measure.centreline import LineOperator

_ITL = (T12 - 4, L1 + 3)  # T8 ... L4
_ICT = (C7, T5)
_ILS = (L1 + 2, S1)


def kyphosis_deg(T: Float[np.ndarray, "m 25 4 4"], upper: int, lower: int) -> Float[np.ndarray, " m"]:
    """Flexion from level `lower` up to level `upper`; kyphosis positive, lordosis its negative."""
    tilt = sagittal_tilt_deg(T)
    return tilt[..., lower] - tilt[..., upper]


@dataclass(frozen=True)
class SagittalCurves:
    """Places (counted in levels) and angles between inflections, each (m,)."""

    cervicothoracic: np.ndarray
    kyphotic_apex: np.ndarray
    thoracolumbar: np.ndarray
    lordotic_apex: np.ndarray
    lumbosacral: np.ndarray
    kyphosis_deg: np.ndarray
    lordosis_deg: np.ndarray


def sagittal_curves(T: Float[np.ndarray, "m 25 4 4"], line: LineOperator) -> SagittalCurves:
    """Inflections from the vertebrae's tilts along the smooth line; apices where the line lies farthest back
    (kyphosis) and farthest forward (lordosis) between them. Gravity matters: a person who leans moves the
    apices.
    """
    tilt = sagittal_tilt_deg(T)[..., C7:] @ line.value.T
    itl = _extreme(tilt, line, *_ITL)
    ict = _extreme(-tilt, line, *_ICT)
    ils = _extreme(-tilt, line, *_ILS)
    z = (line.value @ T[..., C7:, :3, 3])[..., 2]
    row = np.arange(z.shape[-1])
    thoracic = (row >= ict[..., None]) & (row <= itl[..., None])
    lumbar = (row >= itl[..., None]) & (row <= ils[..., None])
    back = np.where(thoracic, z, -np.inf).argmax(-1)
    front = np.where(lumbar, z, np.inf).argmin(-1)

    def at(rows: np.ndarray) -> np.ndarray:
        return np.take_along_axis(tilt, rows[..., None], -1)[..., 0]

    places = (line.place[rows] for rows in (ict, back, itl, front, ils))
    return SagittalCurves(*places, kyphosis_deg=at(itl) - at(ict), lordosis_deg=at(itl) - at(ils))


def _extreme(values: np.ndarray, line: LineOperator, upper: int, lower: int) -> np.ndarray:
    rows = line.rows(upper, lower)
    return rows.start + values[..., rows].argmax(-1)
