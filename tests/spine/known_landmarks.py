"""Landmarks where a simulated person is known to have them, and whole results made from these."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

from spine.landmarks import Landmarks
from spine.observations import LineObservation
from spine.reconstruction import Reconstruction
from spine.surface import BackSurface, align_to_body
from spine.synthetic import Truth, load_truth, save_subject, scan_points, simulate_subject


def in_surface(truth: Truth, surface: BackSurface, points_mm: np.ndarray) -> np.ndarray:
    """Points of the simulated body frame in the frame of a surface that was loaded from the scan."""
    T = surface.T_body_input
    return truth.in_scan(np.atleast_2d(points_mm)) @ T[:3, :3].T + T[:3, 3]


def known_landmarks(
    surface: BackSurface, truth: Truth, sigma_mm: float = 3.0
) -> tuple[BackSurface, Landmarks]:
    """The true landmarks, and the surface aligned to them; surface rotation as the scan shows it."""
    vp, base = in_surface(truth, surface, np.stack([truth.vp_mm, truth.base_mm]))
    surface = align_to_body(surface, vp, base)
    known = np.stack([truth.vp_mm, truth.base_mm, *truth.dimples_mm])
    vp, base, left, right = in_surface(truth, surface, known)
    x, y, _ = in_surface(truth, surface, truth.line_mm[::4]).T
    height = surface.height()
    slope = (height.sample(x + 20, y) - height.sample(x - 20, y)) / 40
    n = len(y)
    line = LineObservation(
        y_mm=y,
        x_mm=x,
        z_mm=height.sample(x, y),
        sigma_mm=np.full(n, sigma_mm),
        rotation_rad=np.arctan(-slope),
        rotation_sigma_rad=np.full(n, np.radians(2.0)),
    )
    confidence = {"vp": 0.9, "base": 0.9, "line": 0.8, "dimples": 0.7}
    return surface, Landmarks(vp, base, 3.0, 3.0, left, right, line, "automatic", confidence, ())


@functools.cache
def simulated(seed: int = 0, noise_mm: float = 0.7) -> Path:
    """The folder of a simulated subject, made once."""
    folder = Path(tempfile.mkdtemp(prefix="simulated-")) / f"person-{seed}"
    subject = simulate_subject(seed)
    save_subject(subject, folder, scan_points(subject, noise_mm=noise_mm, rng=np.random.default_rng(seed)))
    return folder


@functools.cache
def fitted(seed: int = 0) -> Reconstruction:
    """The result of a simulated subject with known landmarks, made once."""
    from spine.pipeline import reconstruct

    with pytest.MonkeyPatch.context() as patch:
        know_landmarks(patch, simulated(seed))
        return reconstruct(simulated(seed))


def know_landmarks(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Lets the pipeline find the true landmarks of one simulated subject."""
    truth = load_truth(folder)
    patch.setattr("spine.pipeline.find_landmarks", lambda surface, _: known_landmarks(surface, truth))
