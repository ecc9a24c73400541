"""What `measure` gives back: indices in order, the curves, a row per vertebra, the centre line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from spine.measure.angles import level_name

Interval = tuple[float, float]


@dataclass(frozen=True)
class Index:
    """One index. `value` is None where it could not be measured; `note` then says why.

    `interval` is the 90 % posterior interval and `norm` the band of healthy people (None: no band known from
    a source), both in `unit`; an azimuth's interval may pass 180 deg so that it stays one piece. A `unit` of
    "level" counts vertebrae (7 = T1, 7.5 = T1/2). `source` names the definition's and the band's origin.
    `sdc` is the smallest change between two scans that is more than error, where known.
    """

    key: str
    value: float | None
    unit: str
    interval: Interval | None = None
    norm: Interval | None = None
    definition: str = ""
    source: str = ""
    note: str = ""
    sdc: float | None = None
    title: str = ""

    def __post_init__(self) -> None:
        for name in ("interval", "norm"):
            pair = getattr(self, name)
            if pair is not None and not pair[0] <= pair[1]:
                raise ValueError(f"index {self.key}: {name} {pair} is reversed or not a number")
        if self.value is None and not self.note:
            raise ValueError(f"index {self.key}: say in the note why there is no value")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"index {self.key}: {self.value} is no value, use None")

    @property
    def in_norm(self) -> bool | None:
        """Whether the value lies in the normal band; None where either is missing."""
        if self.value is None or self.norm is None:
            return None
        return self.norm[0] <= self.value <= self.norm[1]

    @property
    def text(self) -> str:
        """The value for people, without its unit: `12.3`, `T8`, or a dash."""
        if self.value is None:
            return "–"
        return level_name(self.value) if self.unit == "level" else f"{self.value:.1f}".replace("-", "−")

    def to_dict(self) -> dict[str, Any]:
        entry = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "key"}
        return {**entry, "text": self.text} if self.unit == "level" else entry


@dataclass(frozen=True)
class Curve:
    """One coronal curve: end vertebrae, apex, side of its convexity, and its size.

    `cobb_deg` >= 0; `side` is "right" or "left", the way the apex is displaced. `curve_angle_deg` is the same
    read from the smooth centre line between inflections. `region` follows the apex (SRS): "proximal thoracic"
    (to T5), "main thoracic" (to T11/12), "thoracolumbar" (T12, L1), "lumbar". `apical_rotation_deg` > 0: the
    spinous process of the apex points right. `apical_translation_mm` > 0: right of the vertical through S1.
    `pmc_deg` is the curve's size in its plane of maximum curvature, whose azimuth is 0 for a convexity to the
    back and 90 to the right.
    """

    region: str
    side: str
    upper: str
    apex: str
    lower: str
    cobb_deg: float
    cobb_interval_deg: Interval | None
    cobb_calibrated_deg: float | None
    cobb_calibrated_interval_deg: Interval | None
    curve_angle_deg: float
    apical_rotation_deg: float
    apical_translation_mm: float
    pmc_deg: float
    pmc_azimuth_deg: float

    def __str__(self) -> str:
        return f"{self.side} {self.region} {self.upper}–{self.lower}, apex {self.apex}, {self.cobb_deg:.0f}°"

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


VERTEBRA_COLUMNS = {
    "x_mm": "centre of the vertebral body in the body frame, to the right",
    "y_mm": "centre of the vertebral body, upwards",
    "z_mm": "centre of the vertebral body, to the back",
    "lateral_mm": "lateral deviation from the line VP - base (C7 - S1 without landmarks), right positive",
    "lateral_plumb_mm": "lateral deviation from the vertical through S1, right positive",
    "ap_mm": "antero-posterior deviation from the line C7 - S1, to the back positive",
    "ap_plumb_mm": "antero-posterior deviation from the vertical through S1, to the back positive",
    "sagittal_deg": "tilt seen from the side, leaning back positive",
    "coronal_deg": "tilt seen from behind, right side up positive",
    "axial_deg": "axial rotation, spinous process to the right positive",
    "curvature_per_m": "3D curvature of the centre line",
    "torsion_per_m": "torsion of the centre line, right-handed positive; empty where it is nearly straight",
}
"""Columns of the table of vertebrae and what they mean."""


@dataclass(frozen=True)
class VertebraRow:
    """One vertebra: the values of `VERTEBRA_COLUMNS` (NaN: undefined) and their 90 % intervals, if any."""

    level: str
    values: Mapping[str, float]
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    def __getitem__(self, column: str) -> float:
        return self.values[column]

    def to_dict(self) -> dict[str, Any]:
        values = {key: value if math.isfinite(value) else None for key, value in self.values.items()}
        return {"level": self.level, **values, "intervals": {k: list(v) for k, v in self.intervals.items()}}


@dataclass(frozen=True)
class CentreLine:
    """The smooth line through the vertebral bodies C7 ... S1, finely sampled from top to bottom.

    place (k,) counts levels (see `level_name`), point_mm (k, 3) lies in the body frame; curvature >= 0 and
    torsion in 1/m (torsion NaN where the radius of curvature exceeds 2 m: it is not defined on a straight
    piece).
    """

    place: Float[np.ndarray, " k"]
    point_mm: Float[np.ndarray, "k 3"]
    curvature_per_m: Float[np.ndarray, " k"]
    torsion_per_m: Float[np.ndarray, " k"]


@dataclass(frozen=True)
class Indices(Mapping[str, Index]):
    """All indices by key, in reading order; `curves` (the primary one first), `vertebrae` C7 ...

    S1, `line`.
    """

    entries: Mapping[str, Index]
    curves: tuple[Curve, ...]
    vertebrae: tuple[VertebraRow, ...]
    line: CentreLine

    def __getitem__(self, key: str) -> Index:
        return self.entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def number(self, key: str) -> float:
        """The value of an index, NaN where it could not be measured."""
        value = self.entries[key].value
        return math.nan if value is None else value

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: `indices` by key, `curves`, `vertebrae`."""
        return {
            "indices": {key: index.to_dict() for key, index in self.entries.items()},
            "curves": [curve.to_dict() for curve in self.curves],
            "vertebrae": [row.to_dict() for row in self.vertebrae],
        }

    def to_csv(self) -> str:
        """One line per index: key, value, unit, interval, norm, sdc, text, note, definition, source."""
        header = ["key", "title", "value", "unit", "low_5", "high_95", "norm_low", "norm_high", "sdc"]
        rows = [[*header, "text", "note", "definition", "source"]]
        for i in self.entries.values():
            numbers = [i.value, i.unit, *(i.interval or ("", "")), *(i.norm or ("", "")), i.sdc]
            cells = ["" if n is None else f"{n:.6g}" if isinstance(n, float) else n for n in numbers]
            rows.append([i.key, i.title, *cells, i.text, i.note, i.definition, i.source])
        return _csv(rows)

    def vertebrae_csv(self) -> str:
        """One line per vertebra: level, the columns of `VERTEBRA_COLUMNS`, and the bounds of those with
        intervals.
        """
        bounded = list(self.vertebrae[0].intervals) if self.vertebrae else []
        bounds = [f"{key}_{end}" for key in bounded for end in ("low_5", "high_95")]
        rows: list[list[str]] = [["level", *VERTEBRA_COLUMNS, *bounds]]
        for row in self.vertebrae:
            numbers = [row[key] for key in VERTEBRA_COLUMNS]
            numbers += [end for key in bounded for end in row.intervals[key]]
            rows.append([row.level, *(f"{n:.6g}" if math.isfinite(n) else "" for n in numbers)])
        return _csv(rows)


def _csv(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
