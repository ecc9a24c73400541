"""Simulated subjects as files: a scan, its truth, and a recording where one is wanted.

scan.ply           points in the scanner's frame, m
truth.json         spine, line and landmarks in the body frame (mm), and T_scan_body (mm)
recording/         RGB-D recording (suite.data.rgbd); its T_camera_body (m) are in truth.json
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from spine.anatomy import LEVELS
from spine.synthetic.camera import DepthCamera
from spine.synthetic.recording import record
from spine.synthetic.scan import Scan
from spine.synthetic.subject import SimulatedSubject
from suite.errors import BadInput
from suite.files import atomic_folder, atomic_write
from suite.geometry.mesh import PointCloud
from suite.geometry.mesh_io import write_ply

_FORMAT, _VERSION = "simulated-back", 1
MM_PER_UNIT = 1000.0


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known about a simulated scan; lengths in mm, `T_camera_body` in m. See SimulatedSubject."""

    seed: int
    curve_type: str
    T_body_vertebra: Float[np.ndarray, "25 4 4"]
    T_scan_body: Float[np.ndarray, "4 4"]
    noise_mm: float
    line_mm: Float[np.ndarray, "n 3"]
    vp_mm: Float[np.ndarray, " 3"]
    base_mm: Float[np.ndarray, " 3"]
    dimples_mm: Float[np.ndarray, "2 3"]
    markers_mm: Float[np.ndarray, "m 3"]
    skin_to_centre_mm: Float[np.ndarray, " 25"]
    skin_points_mm: Float[np.ndarray, "25 3"]
    cobb_deg: float
    kyphosis_deg: float
    lordosis_deg: float
    T_camera_body: Float[np.ndarray, "frames 4 4"]

    def in_scan(self, points_mm: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Points of the body frame in the scanner's frame, mm."""
        return points_mm @ self.T_scan_body[:3, :3].T + self.T_scan_body[:3, 3]


_ARRAYS = (
    "T_body_vertebra", "T_scan_body", "line_mm", "vp_mm", "base_mm", "dimples_mm", "markers_mm",
    "skin_to_centre_mm", "skin_points_mm", "T_camera_body",
)  # fmt: skip
_SHAPES = {"markers_mm": (-1, 3), "T_camera_body": (-1, 4, 4)}


def truth_of(subject: SimulatedSubject, scan: Scan, T_camera_body: np.ndarray | None = None) -> Truth:
    """Everything that is known about this scan of this person."""
    names = [n for n in Truth.__dataclass_fields__ if n not in ("T_scan_body", "noise_mm", "T_camera_body")]
    return Truth(
        **{name: getattr(subject, name) for name in names},
        T_scan_body=scan.T_scan_body,
        noise_mm=scan.noise_mm,
        T_camera_body=np.empty((0, 4, 4)) if T_camera_body is None else T_camera_body,
    )


def save_subject(
    subject: SimulatedSubject,
    folder: str | Path,
    scan: Scan,
    *,
    camera: DepthCamera | None = None,
    rng: np.random.Generator | None = None,
    **recording: Any,
) -> None:
    """Write scan and truth, and with a camera a recording (`recording`: see `record`), all or nothing.

    Raises BadInput where the folder exists and is not empty.
    """
    with atomic_folder(folder) as part:
        write_ply(part / "scan.ply", PointCloud(scan.cloud.points / MM_PER_UNIT))
        T_camera_body = None
        if camera is not None:
            rng = rng or np.random.default_rng(subject.seed)
            T_camera_body = record(subject, part / "recording", camera, rng=rng, **recording)
        save_truth(part / "truth.json", truth_of(subject, scan, T_camera_body), subject.config.model_dump())


def save_truth(path: str | Path, truth: Truth, config: dict[str, Any] | None = None) -> None:
    """Write truth.json; `config` records what the person was drawn from."""
    values = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(truth).items()
    }
    head = {"format": _FORMAT, "version": _VERSION, "levels": LEVELS, "mm_per_unit_of_scan": MM_PER_UNIT}
    with atomic_write(path, "w") as out:
        json.dump(head | values | {"config": config}, out, indent=1)


def load_truth(path: str | Path) -> Truth:
    """The truth in a file or in the folder that holds it. Raises BadInput naming what is missing."""
    path = Path(path)
    path = path / "truth.json" if path.is_dir() else path
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError:
        raise BadInput("no such file", path) from None
    except json.JSONDecodeError as error:
        raise BadInput(f"is not JSON ({error.msg})", f"{path}:{error.lineno}") from None
    if not isinstance(values, dict) or values.get("format") != _FORMAT or values.get("version") != _VERSION:
        raise BadInput(f"is not the truth of a simulated back (format {_FORMAT}, version {_VERSION})", path)
    names = Truth.__dataclass_fields__
    if missing := [name for name in names if name not in values]:
        raise BadInput(f"lacks {', '.join(missing)}", path, "simulate the subject again")
    kept = {name: values[name] for name in names}
    for name in _ARRAYS:
        kept[name] = np.array(kept[name], np.float64).reshape(_SHAPES.get(name, np.shape(kept[name])))
    return Truth(**kept)
