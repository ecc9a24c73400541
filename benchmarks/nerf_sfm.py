"""Cameras found from pictures alone: how many, how exactly, how large the world is, and at what cost.

- `fox_registered`: of the fox's 50 frames of a phone; all are asked for.
- `flowerpot_registered`: of 80 photographs of a flowerpot, upright and on their side; at least 78 are asked.
- `lego_registered`, `lego_pose_error`: NeRF-synthetic's lego without its poses, background cut away by alpha.
  Share of the 100 views that have a pose within 1 % (of the cameras' distance) of the truth after a
  similarity; at least 0.95 is asked. The error of a pose is that of its centre; `lego_pose_error` is the
  median in %, `lego_pose_error_95` the 95th percentile, `lego_turn_error` the median rotation in degrees.
- `flowerpot_scale_error`: of the metres found from the mat's four targets (A to C = 12 cm is printed on it),
  against the 10 cm sides of its millimetre grid, in %; at most 2 is asked.
- `*_cpu_s`: CPU-seconds of choosing and of finding, one thread.

The grid's corners were read by eye in pictures enlarged eight times, to about half a pixel: the middle of the
line that frames the grid. Nothing that finds targets looks at them.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks import BenchmarkResult, Data
from nerfrecon.frames.options import FramesOptions
from nerfrecon.frames.select import select_frames
from nerfrecon.scenes.read import read_scene
from nerfrecon.sfm.find import find_cameras
from nerfrecon.sfm.options import SfmOptions
from nerfrecon.sfm.triangulate import PosedPicture, triangulate
from suite.report.metric import Metric
from suite.report.table import Table

GRID_SIDE_M = 0.1
GRID_CORNERS_PX = {
    (0, 0): {
        "P81019-151014.jpg": (56.0, 1131.5),
        "P81019-151031.jpg": (179.4, 438.5),
        "P81019-151059.jpg": (1024.9, 500.2),
        "P81019-151106.jpg": (1130.6, 767.7),
    },
    (1, 0): {
        "P81019-151024.jpg": (723.9, 1244.0),
        "P81019-151031.jpg": (201.2, 1087.5),
        "P81019-151037.jpg": (27.4, 758.1),
    },
    (0, 1): {
        "P81019-151037.jpg": (1126.3, 507.8),
        "P81019-151059.jpg": (862.9, 1087.6),
        "P81019-151106.jpg": (403.5, 1157.6),
    },
    (1, 1): {
        "P81019-151024.jpg": (1152.6, 587.0),
        "P81019-151037.jpg": (837.4, 1144.8),
        "P81019-151059.jpg": (37.1, 819.2),
        "P81019-151106.jpg": (82.7, 578.7),
    },
}
"""Corners of the grid (along its sides, in sides) and where pictures of 1600 px show them: whole numbers are
pixel centres."""
GOOD = 0.01
"""Of the cameras' distance: a pose whose centre is off by more is not found."""


@dataclass(frozen=True)
class Found:
    """What came of one set: the folder, sfm.json, and CPU-seconds."""

    folder: Path
    told: dict
    cpu_s: float


def run(data: Data) -> BenchmarkResult:
    """Three sets, about ten CPU minutes."""
    with tempfile.TemporaryDirectory() as made:
        fox = found(data("nerfrecon/fox") / "images", Path(made) / "fox", SfmOptions(threads=1))
        pot_px = SfmOptions(threads=1, image_px=800)
        pot = found(data("nerfrecon/flowerpot") / "images", Path(made) / "flowerpot", pot_px)
        lego = found(data("nerfrecon/lego") / "train", Path(made) / "lego", SfmOptions(threads=1))
        errors = pose_errors(lego.folder, data("nerfrecon/lego"))
        metrics = [
            Metric("fox_registered", fox.told["registered"], "", "higher", note="50 of 50 asked"),
            Metric("flowerpot_registered", pot.told["registered"], "", "higher", note="78 of 80 asked"),
            Metric("lego_registered", errors.good, "", "higher", note="at least 0.95 asked"),
            Metric("lego_pose_error", 100 * errors.median, "%", "lower", note="below 1 asked"),
            Metric("lego_pose_error_95", 100 * errors.p95, "%", "lower"),
            Metric("lego_turn_error", errors.turn_deg, "deg", "lower"),
            Metric("flowerpot_scale_error", 100 * scale_error(pot), "%", "lower", note="at most 2 asked"),
            Metric("fox_cpu_s", fox.cpu_s, "s", "lower"),
            Metric("flowerpot_cpu_s", pot.cpu_s, "s", "lower"),
            Metric("lego_cpu_s", lego.cpu_s, "s", "lower"),
        ]
        rows = [_row(name, one) for name, one in (("fox", fox), ("flowerpot", pot), ("lego", lego))]
    columns = ["set", "registered", "of", "points", "track", "reprojection px"]
    columns += ["features", "match", "map", "adjust"]
    return BenchmarkResult(metrics, [Table(columns, rows, caption="CPU-seconds a step")])


def found(source: Path, folder: Path, options: SfmOptions) -> Found:
    """Frames and cameras of a folder of photographs, by the defaults a user gets."""
    started = time.process_time()
    frames = select_frames(source, folder / "frames", FramesOptions())
    out = find_cameras(frames, folder / "sfm", options)
    told = json.loads((out / "sfm.json").read_text())
    return Found(out, told, time.process_time() - started)


@dataclass(frozen=True)
class PoseErrors:
    """Share of all views within `GOOD`; error of the centres by the cameras' distance; of the rotations."""

    good: float
    median: float
    p95: float
    turn_deg: float


def pose_errors(folder: Path, truth: Path) -> PoseErrors:
    """Against a scene whose poses are true, after the similarity that fits centres best.

    The similarity is fitted twice, the second time to the better nine tenths.
    """
    true = {Path(view.name).name: view for view in read_scene(truth).views}
    scene = read_scene(folder)
    pairs = [(view, true[_named(view.name, true)]) for view in scene.views]
    here = np.stack([mine.position for mine, _ in pairs])
    there = np.stack([other.position for _, other in pairs])
    scale, R, t = similarity(here, there)
    off = np.linalg.norm(scale * here @ R.T + t - there, axis=1)
    close = off <= np.quantile(off, 0.9)
    scale, R, t = similarity(here[close], there[close])
    middle = np.mean(
        [other.position + other.forward * np.linalg.norm(other.position) for _, other in pairs], 0
    )
    distance = float(np.median(np.linalg.norm(there - middle, axis=1)))
    off = np.linalg.norm(scale * here @ R.T + t - there, axis=1) / distance
    turns = [other.T_world_camera[:3, :3].T @ R @ mine.T_world_camera[:3, :3] for mine, other in pairs]
    angles = [np.rad2deg(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) for turn in turns]
    return PoseErrors(
        float((off < GOOD).sum()) / len(true),
        float(np.median(off)),
        float(np.quantile(off, 0.95)),
        float(np.median(angles)),
    )


def similarity(here: np.ndarray, there: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation, translation that take points to others with least squares (Umeyama 1991)."""
    x, y = here - here.mean(0), there - there.mean(0)
    U, S, Vt = np.linalg.svd(y.T @ x)
    sign = np.array([1, 1, np.sign(np.linalg.det(U @ Vt))])
    R = (U * sign) @ Vt
    scale = float((S * sign).sum() / (x**2).sum())
    return scale, R, there.mean(0) - scale * R @ here.mean(0)


def scale_error(pot: Found) -> float:
    """Mean over the grid's sides and diagonals of what was found by what is printed, less one; NaN where no
    scale was found."""
    metres = pot.told["scale"]["metres_per_unit"]
    if metres is None:
        return float("nan")
    pictures = {
        view.name: PosedPicture(view.name, view.image_path, view.camera, view.T_world_camera)
        for view in read_scene(pot.folder).views
    }
    corners = {
        corner: triangulate([(name, np.array(pixel)) for name, pixel in seen.items()], pictures)
        for corner, seen in GRID_CORNERS_PX.items()
    }
    ratios = []
    for (a, first), (b, second) in combinations(corners.items(), 2):
        if first is not None and second is not None:
            printed = GRID_SIDE_M * float(np.hypot(a[0] - b[0], a[1] - b[1]))
            ratios.append(metres * float(np.linalg.norm(first.point - second.point)) / printed)
    return abs(float(np.mean(ratios)) - 1) if ratios else float("nan")


def _named(name: str, true: dict) -> str:
    return name if name in true else Path(name).stem


def _row(name: str, one: Found) -> list:
    told, seconds = one.told, one.told["seconds"]
    steps = [seconds[f"{step}_cpu"] for step in ("features", "matching", "mapping", "adjusting")]
    figures = [told[key] for key in ("registered", "total", "points", "track_length", "reprojection_px")]
    return [name, *figures, *steps]
