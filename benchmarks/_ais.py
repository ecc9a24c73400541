"""The public scans of 15 adolescents with scoliosis (`spine/ais_backs`), with their frames put right.

Each person has a scan (PLY, metres, scanner's frame), the spinous line an operator drew on it (ESL), the line
of the vertebral centres from biplanar radiographs (ISL), and the clinical Cobb angle. ESL and ISL are stored
in the radiograph's frame, ESL moved by 10 mm in z for display; a row vector p of the scan maps to p R + t
there. Both are brought back here, so that everything is in the scanner's frame, mm.

The scans were cut about 18 mm above the marker of VP and 20 mm below those of the base: heights of landmarks
can not be tested fairly on them. The first marker lies about 28 mm beside the mid-line, so that only its
height counts.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

ESL_DISPLAY_MM = np.array([0.0, 0.0, 10.0])


@dataclass(frozen=True, eq=False)
class Patient:
    """One person; points in the scanner's frame, mm. R, t: p_radiograph = p R + t (row vectors)."""

    number: int
    scan: Path
    cobb_deg: float
    spinous_line: Float[np.ndarray, "m 3"]
    centre_line: Float[np.ndarray, "k 3"]
    vp_marker: Float[np.ndarray, " 3"]
    base_markers: Float[np.ndarray, "2 3"]
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, " 3"]

    def in_radiograph(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Scanner to radiograph: x across, y down, z in depth."""
        return points @ self.R + self.t


def load_patients(folder: Path) -> list[Patient]:
    """All people of the set, in the order of their numbers."""
    with (folder / "cobb_angles.csv").open(encoding="utf-8-sig") as file:
        cobb = {int(row["record_id"]): float(row["primary_cobbangle"]) for row in csv.DictReader(file)}
    return [_patient(folder / "patients" / str(number), number, cobb[number]) for number in sorted(cobb)]


def _patient(folder: Path, number: int, cobb_deg: float) -> Patient:
    marks = json.loads(sorted((folder / "Output").glob(f"{number}_Markers2_*.json"))[-1].read_text("utf-8"))
    M = np.array(marks["Pc2XrayTForm"], float)
    R, t = M[:3, :3], M[3, :3]
    markers = np.array([marker["World"] for marker in marks["pcMarkers"]], float)

    def in_scan(points: list, moved: np.ndarray) -> np.ndarray:
        line = (np.array(points, float) - moved - t) @ R.T
        return line[np.argsort(-line[:, 1])]  # y points down in the scan: from below upwards

    return Patient(
        number=number,
        scan=sorted(folder.glob("*_ds.ply"))[0],
        cobb_deg=cobb_deg,
        spinous_line=in_scan(marks["eslLinePts"], ESL_DISPLAY_MM),
        centre_line=in_scan(marks["islLinePts"], np.zeros(3)),
        vp_marker=markers[0],
        base_markers=markers[2:4],
        R=R,
        t=t,
    )
