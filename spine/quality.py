"""How far a result is to be trusted: one check per thing that can spoil it, each a flag and a sentence.

Thresholds are judgement, set where the effect comes to matter beside the intervals: a "warn" says that the
interval is wider than on a good scan, a "bad" that a figure may be wrong by more than its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spine.anatomy import LEVELS
from spine.heightmap import HeightMap
from spine.measure import Indices
from spine.solve import SpineFit
from spine.surface import BackSurface
from suite.report.flag import FLAGS, Flag, check_flag

if TYPE_CHECKING:
    from spine.landmarks import Landmarks
    from spine.recorded import CaptureQuality

Limits = tuple[float, float]

NOISE_MM: Limits = (2.0, 5.0)
COVERAGE: Limits = (0.9, 0.7)
LINE_CONFIDENCE: Limits = (0.5, 0.25)
LANDMARK_SIGMA_MM: Limits = (8.0, 15.0)
TERM_SIGMA: Limits = (1.6, 2.5)
INCLINATION_DEG: Limits = (10.0, 20.0)
IMBALANCE_DEG: Limits = (4.0, 8.0)
COBB_INTERVAL_DEG: Limits = (35.0, 50.0)
LEVELS_UNSEEN: Limits = (1.0, 5.0)
CAPTURE_NOISE_MM: Limits = (1.0, 2.0)
CAPTURE_SHARE: Limits = (0.5, 0.2)
CAPTURE_COVERAGE: Limits = (0.9, 0.75)
CAPTURE_FRAMES = 10
CAPTURE_DISTANCE_MM = (600.0, 1200.0)
BESIDE_MM = (20.0, 70.0)
"""Skin this far to either side of the line must be seen for a level to count as whole."""

TERMS = {
    "line": "spinous line",
    "depth": "depth of the skin",
    "rotation": "surface rotation",
    "heights": "heights of VP and base",
    "skin_factor": "skin-to-centre distance",
    "scale": "length of the spine",
    "root": "rotation of the sacrum",
    "levels": "bends between neighbouring vertebrae",
    "coupling": "rotation with the curve",
    "motion": "range of motion",
}
"""Terms of the fit in words."""


@dataclass(frozen=True)
class Check:
    """One quality check: what was looked at, the flag, and a sentence with the figure."""

    key: str
    title: str
    flag: Flag
    text: str

    def __post_init__(self) -> None:
        check_flag(self.flag)

    def to_dict(self) -> dict[str, str]:
        return {"key": self.key, "title": self.title, "flag": self.flag, "text": self.text}


def verdict(checks: Sequence[Check]) -> Flag:
    """The worst flag."""
    return _worst([check.flag for check in checks])


def quality_checks(
    surface: BackSurface, landmarks: Landmarks, fit: SpineFit, indices: Indices
) -> tuple[Check, ...]:
    """All checks of one result, in reading order."""
    checks = [
        *_capture(surface.capture),
        _noise(surface),
        _coverage(surface),
        _sides(surface.height(), landmarks, fit),
        _gravity(surface),
        _posture(indices),
        _landmarks(landmarks),
        _line(landmarks),
        _levels(fit),
        _convergence(fit),
        _agreement(fit),
        _width(indices),
    ]
    told = ("noisy:", "holes:")  # checked above, with their figures
    for flag in surface.flags:
        if not flag.startswith(told):
            checks.append(Check("surface", "Scan", "warn", _sentence(flag)))
    checks += [Check("landmark", "Landmarks", "warn", _sentence(flag)) for flag in landmarks.flags]
    return tuple(checks)


def _capture(q: CaptureQuality | None) -> list[Check]:
    """Of a recording: its frames, its noise over time, its distance and what is seen."""
    if q is None:
        return []
    left = {"stood elsewhere": q.moved, "changed shape (breath)": q.changed, "was not seen": q.lost}
    out = [f"{n} in which the person {why}" for why, n in left.items() if n]
    text = f"{q.used} of {q.frames} frames were averaged" + (f", left out: {_names(out)}" if out else "")
    text += f"; the person moved by {q.motion_mm:.1f} mm and {q.turn_deg:.1f}°"
    flag = _above(q.used / q.frames, CAPTURE_SHARE)
    if q.used < CAPTURE_FRAMES:
        flag, text = _worst([flag, "warn"]), f"{text}; record 30 frames, breath held"
    elif flag != "ok":
        text += "; stand still and hold the breath while recording"
    checks = [Check("frames", "Frames", flag, f"{text}.")]

    near, far = CAPTURE_DISTANCE_MM
    where = f"at {q.distance_mm / 1000:.2f} m"
    if q.used > 1:
        flag = _above(q.merged_noise_mm, CAPTURE_NOISE_MM)
        advice = "" if flag == "ok" else f", {CAPTURE_NOISE_MM[0]:g} mm or less is wanted: more frames"
        text = f"Depth scatters by {q.temporal_noise_mm:.2f} mm from frame to frame {where}"
        text += f", by {q.merged_noise_mm:.2f} mm after averaging{advice}; errors that repeat are not in it"
    else:
        flag, text = "info", f"Depth was measured once only, {where}: its noise over time is not known"
    if not near <= q.distance_mm <= far:
        flag, text = _worst([flag, "warn"]), f"{text}; 0.7 to 0.9 m are best"
    checks.append(Check("depth_noise", "Depth noise", flag, f"{text}."))

    flag = _above(q.coverage, CAPTURE_COVERAGE)
    advice = "" if flag == "ok" else "; more light or the projector may help, oil or lotion harms"
    text = f"{q.coverage:.0%} of the person's pixels have depth{advice}."
    checks.append(Check("capture_coverage", "Depth image", flag, text))
    return checks


def _above(value: float, limits: Limits) -> Flag:
    """ok up to the first limit, bad beyond the second; limits that fall are lower limits."""
    warn, bad = limits
    if warn > bad:
        value, warn, bad = -value, -warn, -bad
    return "ok" if value <= warn else "warn" if value <= bad else "bad"


def _worst(flags: Sequence[Flag]) -> Flag:
    return FLAGS[max((FLAGS.index(flag) for flag in flags), default=FLAGS.index("ok"))]


def _noise(surface: BackSurface) -> Check:
    noise = surface.noise_mm
    if not np.isfinite(noise):
        return Check("noise", "Noise", "warn", "The noise of the scan could not be measured.")
    flag = _above(noise, NOISE_MM)
    advice = "" if flag == "ok" else f", {NOISE_MM[0]:g} mm or less are wanted: average more frames"
    return Check("noise", "Noise", flag, f"Single points scatter by {noise:.1f} mm{advice}.")


def _coverage(surface: BackSurface) -> Check:
    flag = _above(surface.coverage, COVERAGE)
    advice = "" if flag == "ok" else "; the rest is interpolated: scan again without holes"
    return Check("coverage", "Coverage", flag, f"{surface.coverage:.0%} of the back are seen{advice}.")


def _sides(height: HeightMap, landmarks: Landmarks, fit: SpineFit) -> Check:
    """Levels of the trunk whose skin is not seen on both sides of the line."""
    line, seen = landmarks.line, landmarks.line.seen
    first, last = LEVELS.index("T1"), LEVELS.index("L5")
    y = fit.T_body_vertebra[first : last + 1, 1, 3]
    x = np.interp(y, line.y_mm[seen], line.x_mm[seen])
    offset = np.arange(BESIDE_MM[0], BESIDE_MM[1], 5.0)
    share = [height.is_observed(x[:, None] + side * offset, y[:, None]).mean(1) for side in (-1, 1)]
    half = np.flatnonzero(np.minimum(*share) < 0.6)
    if not len(half):
        return Check("sides", "Both sides", "ok", "Every level from T1 to L5 is seen on both sides.")
    flag = _above(float(len(half)), LEVELS_UNSEEN)
    where = _names([LEVELS[first + i] for i in half])
    return Check("sides", "Both sides", "warn" if flag == "ok" else flag,
        f"The skin at {where} is not seen on both sides; rotation there is uncertain.")  # fmt: skip


def _gravity(surface: BackSurface) -> Check:
    if surface.gravity_known:
        return Check("gravity", "Gravity", "ok", "The direction of gravity is known.")
    return Check("gravity", "Gravity", "info",
        "The direction of gravity is not known: an axis of the file was taken as upright. Imbalance, "
        "inclination and "
        "pelvic tilt carry the scanner's tilt; angles between vertebrae do not.")  # fmt: skip


def _posture(indices: Indices) -> Check:
    forward, aside = indices.number("trunk_inclination_deg"), indices.number("trunk_imbalance_deg")
    flag = _worst([_above(abs(forward), INCLINATION_DEG), _above(abs(aside), IMBALANCE_DEG)])
    leans = (
        f"The trunk leans {abs(forward):.1f}° {'forward' if forward >= 0 else 'back'} and {abs(aside):.1f}° "
        f"to the {'right' if aside >= 0 else 'left'}"
    )
    advice = "" if flag == "ok" else "; upright, relaxed standing is assumed: check the posture"
    return Check("posture", "Posture", flag, f"{leans}{advice}.")


def _landmarks(landmarks: Landmarks) -> Check:
    sigma = max(landmarks.vp_sigma_mm, landmarks.base_sigma_mm)
    flag = _above(sigma, LANDMARK_SIGMA_MM)
    how = {"automatic": "were found automatically", "edited": "come from an edited file"}
    text = f"VP and base {how.get(landmarks.source, 'come from skin markers')}, known to "
    text += f"{landmarks.vp_sigma_mm:.0f} and {landmarks.base_sigma_mm:.0f} mm"
    advice = "" if flag == "ok" else "; check them on the map and correct them in landmarks.json"
    return Check("landmarks", "Landmarks", flag, f"{text}{advice}.")


def _line(landmarks: Landmarks) -> Check:
    line = landmarks.line
    sigma = float(np.median(line.sigma_mm[line.seen]))
    if landmarks.line_drawn:
        return Check("line", "Spinous line", "ok", "The spinous line was drawn or checked by a person.")
    confidence = landmarks.confidence.get("line", 0.0)
    flag = _above(confidence, LINE_CONFIDENCE)
    advice = "" if flag == "ok" else "; check it on the map and correct it in landmarks.json"
    return Check("line", "Spinous line", flag,
        f"The line is known to about {sigma:.1f} mm (confidence {confidence:.2f} of 1){advice}.")  # fmt: skip


def _levels(fit: SpineFit) -> Check:
    wanted = LEVELS[LEVELS.index("C7") : LEVELS.index("S1")]
    missing = [level for level in wanted if level not in fit.line_levels]
    if not missing:
        return Check(
            "levels",
            "Levels",
            "ok",
            "Every vertebra from C7 to L5 has skin behind it; the neck follows from them.",
        )
    return Check("levels", "Levels", "bad" if len(missing) > LEVELS_UNSEEN[1] else "warn",
        f"No line behind {_names(missing)}: known from their neighbours alone.")  # fmt: skip


def _convergence(fit: SpineFit) -> Check:
    solver = fit.solver.replace("_", " ")
    if fit.converged:
        return Check("convergence", "Fit", "ok", f"Converged in {fit.iterations} steps ({solver}).")
    return Check("convergence", "Fit", "bad",
        f"Did not converge in {fit.iterations} steps ({solver}): do not use the figures.")  # fmt: skip


def _agreement(fit: SpineFit) -> Check:
    worst = max(fit.cost_terms, key=lambda term: term.rms_sigma)
    flag = _above(worst.rms_sigma, TERM_SIGMA)
    if flag == "ok":
        named = TERMS.get(worst.name, worst.name)
        text = f"All evidence agrees; farthest off is the {named}, {worst.rms_sigma:.1f} sigma."
    else:
        odd = [t for t in fit.cost_terms if t.rms_sigma > TERM_SIGMA[0]]
        named = _names([f"{TERMS.get(t.name, t.name)} ({t.rms_sigma:.1f} sigma)" for t in odd])
        text = f"The fit cannot explain the {named}: this person is unlike the model, or a landmark is wrong."
    return Check("agreement", "Agreement", flag, text)


def _width(indices: Indices) -> Check:
    index = indices["cobb_deg"]
    low, high = index.interval or (np.nan, np.nan)
    flag = _above(high - low, COBB_INTERVAL_DEG) if np.isfinite(high - low) else "warn"
    advice = "" if flag == "ok" else "; too wide to tell a small curve from none"
    return Check("width", "Certainty", flag,
        f"The 90 % interval of the primary Cobb angle is {high - low:.0f}° wide{advice}.")  # fmt: skip


def _names(words: Sequence[str]) -> str:
    if len(words) > 4 and all(word in LEVELS for word in words):
        index = [LEVELS.index(word) for word in words]
        if index == list(range(index[0], index[-1] + 1)):
            return f"{words[0]} to {words[-1]}"
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
