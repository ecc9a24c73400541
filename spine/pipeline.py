"""A scan of a bare back -> the spine in 3D, its indices, and how far to trust them: `reconstruct`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np

from spine.chain import standing_template
from spine.config import SpineConfig
from spine.landmarks import Landmarks, find_landmarks
from spine.landmarks_file import read_landmarks
from spine.measure import Indices, load_cobb_calibration, measure
from spine.quality import quality_checks
from spine.reconstruction import Reconstruction
from spine.repeatability import shipped_repeatability
from spine.scan import Intrinsics
from spine.shape import load_shape_modes
from spine.solve import SpineFit, fit_chain
from spine.surface import BackSurface, load_surface
from suite.errors import BadInput

Progress = Callable[[str], AbstractContextManager[None]]
"""Called with what is about to happen, such as `suite.progress.status`."""
FLATTEST_MM = 5.0
SCANS = (".ply", ".obj", ".pcd", ".glb", ".gltf", ".stl")


def reconstruct(
    path: str | Path,
    config: SpineConfig | None = None,
    landmarks_path: str | Path | None = None,
    progress: Progress | None = None,
    *,
    intrinsics: Intrinsics | None = None,
) -> Reconstruction:
    """The spine under the back in a scan file, a depth image with `intrinsics`, or an RGB-D recording.

    `landmarks_path` is a landmarks file a person has edited; without it they are found. Raises BadInput for a
    scan that cannot be used, naming what is wrong and what to do.
    """
    config = config or SpineConfig()
    stage = _Stages(progress or (lambda _: nullcontext()))
    with stage("surface", "Reading the surface"):
        surface = load_surface(
            find_scan(path),
            units=config.surface.units,
            up=config.surface.up,
            facing=config.surface.facing,
            intrinsics=intrinsics,
            depth_unit_m=config.surface.depth_unit_m,
        )
        _refuse_flat(surface, path)
    with stage("landmarks", "Finding the landmarks and the spinous line"):
        if landmarks_path is None:
            surface, landmarks = find_landmarks(surface, config.landmarks)
        else:
            surface, landmarks = read_landmarks(landmarks_path, surface, config.landmarks)
        seen = landmarks.observations()
    with stage("fit", "Fitting the chain of vertebrae"):
        template = standing_template(trunk_length_mm=seen.trunk_mm)
        fit = fit_chain(template, seen, config.fit)
    with stage("measure", "Measuring"):
        samples = fit.samples(config.measure.samples, np.random.default_rng(config.measure.seed))
        indices = _indices(surface, landmarks, fit, samples, config)
    checks = quality_checks(surface, landmarks, fit, indices)
    notes = (*surface.notes, f"landmarks: {landmarks.source}")
    return Reconstruction(surface, landmarks, template, fit, samples, indices, checks, notes, stage.timings_s)


def find_scan(path: str | Path) -> Path:
    """The scan that is meant: a file, a recording, or the only scan in a folder; else raises BadInput."""
    path = Path(path)
    if not path.is_dir() or (path / "recording.json").is_file():
        return path
    scans = sorted(file for file in path.iterdir() if file.suffix.lower() in SCANS and file.is_file())
    if len(scans) == 1:
        return scans[0]
    if not scans and (path / "recording" / "recording.json").is_file():
        return path / "recording"
    found = f"{len(scans)} scans ({', '.join(s.name for s in scans[:3])}, ...)" if scans else "no scan"
    raise BadInput(
        f"the folder holds {found}", path, "name one scan file, or the folder of an RGB-D recording"
    )


def _refuse_flat(surface: BackSurface, path: str | Path) -> None:
    """Raises BadInput for a wall, a table or a mattress: skin stands 12 to 25 mm (RMS) off its best plane."""
    x, y, z = surface.points_mm.T
    middle = np.abs(x - np.median(x)) < 110
    A = np.stack([np.ones(middle.sum()), x[middle], y[middle]], axis=1)
    off = z[middle] - A @ np.linalg.lstsq(A, z[middle], rcond=None)[0]
    relief = np.sqrt(max(off.var() - np.nan_to_num(surface.noise_mm) ** 2, 0.0))
    if relief < FLATTEST_MM:
        what = f"no back found: what is seen is flat to {relief:.1f} mm"
        raise BadInput(what, path, "scan the bare back of a standing person, from neck to sacrum")


def _indices(
    surface: BackSurface, landmarks: Landmarks, fit: SpineFit, samples: np.ndarray, config: SpineConfig
) -> Indices:
    line = landmarks.line
    turned = line.rotation_seen & line.seen
    measured = (line.y_mm[turned], line.x_mm[turned], np.degrees(line.rotation_rad[turned]))
    repeated = shipped_repeatability()
    return measure(
        fit.T_body_vertebra,
        surface=surface.height(),
        landmarks=landmarks,
        line=measured if turned.sum() > 1 else None,
        samples=samples,
        sdc=None if landmarks.line_drawn or repeated is None else repeated.sdc,
        calibration=load_cobb_calibration(landmarks.line_drawn) if config.measure.calibrated_cobb else None,
        shape_space=load_shape_modes(),
    )


class _Stages:
    """Says what is going on and keeps how long it took."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.timings_s: dict[str, float] = {}

    @contextmanager
    def __call__(self, key: str, what: str) -> Iterator[None]:
        began = time.perf_counter()
        with self.progress(what):
            yield
        self.timings_s[key] = round(time.perf_counter() - began, 3)
