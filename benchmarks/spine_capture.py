"""Simulated people before a depth camera: from its frames to vertebrae, against exact truth.

The people stand before a wall, beside a chair, sway and breathe; recording, surface, landmarks and fit are
those of `spine fit`. The camera's errors are those of `spine.synthetic.camera`: stereo noise
z^2 0.08 / (f B), of which 30 % of the variance repeats in every frame, disparity in steps, lost pixels and
pixels that fly at the outline, depth in counts of 0.1 mm. merged_noise_mm is the RMS difference of the
averaged depth from the exact skin in the pose of the frame it is given for: nothing is aligned, and what
repeats counts. SPINE_CAPTURE_PEOPLE sets another number of people.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks import BenchmarkResult
from benchmarks._spine_errors import over_people, rms
from benchmarks.spine_synthetic import FIGURES, Person, compared, true_landmarks
from spine.landmarks import find_landmarks
from spine.recorded import MergeOptions, RecordedSkin, merged_skin
from spine.scan import raw_scan
from spine.surface import back_surface
from spine.synthetic import D415, D435, DepthCamera, Scan, SimulatedSubject, record, simulate_subject
from spine.synthetic.camera import camera_behind
from spine.synthetic.recording import CHAIR, Room, Swaying, breaths_mm
from suite.data.rgbd import RgbdRecording, read_recording
from suite.errors import BadInput
from suite.geometry.mesh import PointCloud
from suite.geometry.rotations import so3_exp
from suite.progress import track
from suite.report.metric import Metric
from suite.report.table import Cell, Column, Table

FIRST_SEED = 7_200_000
"""Far from the people that anything was trained or tuned on."""
PEOPLE = int(os.environ.get("SPINE_CAPTURE_PEOPLE", "20"))
STEPS_PEOPLE = 3
"""With so many people it is shown what every step brings."""
FRAMES, FPS = 30, 30.0
DISTANCE_M = 0.8
TURN_SD_DEG = (1.5, 4.0, 1.0)
"""Pitch, yaw and roll of the camera against the person."""
ROOM = Room(1.6, CHAIR)
CAMERAS = (D415, D435)
STEPS: dict[str, MergeOptions] = {
    "median over time": MergeOptions(register=False, still_m=None, mean=False, edge_px=0),
    "+ outline taken off": MergeOptions(register=False, still_m=None, mean=False),
    "+ motion undone": MergeOptions(still_m=None, mean=False),
    "+ frames of one shape": MergeOptions(mean=False),
    "+ mean without outliers": MergeOptions(),
}


@dataclass(frozen=True)
class Behaviour:
    """How a person stands: sway (SD), breathing (amplitude at the thorax), and over how long frames are
    spread."""

    name: str
    sway_mm: float
    sway_deg: float
    breath_mm: float
    fps: float


QUIET = Behaviour("quiet, 1 s", 2.0, 0.3, 1.5, FPS)
RESTLESS = Behaviour("restless, 4 s", 5.0, 0.8, 4.0, 7.5)


@dataclass(frozen=True, eq=False)
class Captured:
    """One recording of one person, and what is exactly known about it."""

    subject: SimulatedSubject
    recording: RgbdRecording
    T_camera_body: Float[np.ndarray, "n 4 4"]
    breath_mm: Float[np.ndarray, " n"]
    person: Swaying

    def first(self, frames: int) -> RgbdRecording:
        """The same recording, cut short."""
        r = self.recording
        return replace(
            r,
            timestamps_s=r.timestamps_s[:frames],
            depth_files=r.depth_files[:frames],
            color_files=r.color_files[:frames],
        )

    def depth_errors_mm(self, skin: RecordedSkin) -> Float[np.ndarray, " n"]:
        """Merged depth less the exact depth of the reference frame; NaN for points beside the person."""
        k = skin.reference
        truth, _ = self.person.seen(self.T_camera_body[k], self.breath_mm[k])
        found = np.isfinite(skin.frame.depth_m)
        return 1000 * (skin.frame.depth_m[found] - truth[found])


@dataclass(frozen=True, eq=False)
class Fitted:
    """One result: of which camera and from how many frames, and the depth errors behind it."""

    camera: str
    frames: int
    person: Person
    depth_rms_mm: float
    wild_permille: float


def run() -> BenchmarkResult:
    """20 people before two cameras; about ten minutes on one core."""
    fitted, refused = [], []
    for k in track(range(PEOPLE), "Recording simulated people"):
        for camera in CAMERAS:
            with tempfile.TemporaryDirectory() as folder:
                captured = capture(simulate_subject(FIRST_SEED + k), camera, Path(folder), k, QUIET)
                for frames in (1, FRAMES):
                    try:
                        fitted += reconstructed(captured, camera, frames)
                    except BadInput as error:
                        refused.append(f"{FIRST_SEED + k}, {camera.name}, {frames} frames: {error}")
    return summarised(fitted, refused, [steps(QUIET), steps(RESTLESS)])


def capture(
    subject: SimulatedSubject, camera: DepthCamera, folder: Path, seed: int, behaviour: Behaviour
) -> Captured:
    """A recording of a person, on disk."""
    rng = np.random.default_rng([FIRST_SEED, seed, CAMERAS.index(camera)])
    first = standpoint(subject, rng)
    phase = rng.uniform()
    T = record(
        subject,
        folder / "recording",
        camera,
        rng=rng,
        n_frames=FRAMES,
        sway_mm=behaviour.sway_mm,
        sway_deg=behaviour.sway_deg,
        breath_mm=behaviour.breath_mm,
        breath_phase=phase,
        room=ROOM,
        fps=behaviour.fps,
        color=False,
        T_camera_body=first,
    )
    breath = breaths_mm(FRAMES, behaviour.breath_mm, phase, behaviour.fps)
    person = Swaying(subject, camera.camera, T[0], color=False)
    return Captured(subject, read_recording(folder / "recording"), T, breath, person)


def standpoint(subject: SimulatedSubject, rng: np.random.Generator) -> Float[np.ndarray, "4 4"]:
    """T_camera_body (m) of a camera on a stand that a person has placed by eye."""
    T = camera_behind(subject, DISTANCE_M * rng.uniform(0.95, 1.05))
    turn = np.eye(4)
    turn[:3, :3] = so3_exp(np.radians(TURN_SD_DEG) * np.clip(rng.normal(size=3), -2, 2))
    middle = np.eye(4)
    middle[:3, 3] = np.array([0.0, subject.vp_mm[1] / 2, subject.vp_mm[2] / 2]) / 1000
    return T @ middle @ turn @ np.linalg.inv(middle)


def reconstructed(captured: Captured, camera: DepthCamera, frames: int) -> list[Fitted]:
    """From the recording to the errors, with the line found automatically and with the true one."""
    skin = merged_skin(captured.first(frames))
    surface = back_surface(raw_scan(skin))
    T_mm = captured.T_camera_body[skin.reference].copy()
    T_mm[:3, 3] *= 1000
    scan = Scan(PointCloud(np.zeros((0, 3))), T_mm, 0.0)
    subject, off = captured.subject, captured.depth_errors_mm(skin)
    sized, wild = rms(off[np.isfinite(off)]), 1000 * float(np.mean(~(np.abs(off) < 8)))
    found = [
        compared(subject, scan, "true", *true_landmarks(subject, scan, surface)),
        compared(subject, scan, "automatic", *find_landmarks(surface)),
    ]
    return [Fitted(camera.name, frames, person, sized, wild) for person in found]


def steps(behaviour: Behaviour) -> Table:
    """What every step of the merging brings, D415."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    for k in track(range(STEPS_PEOPLE), f"Steps, {behaviour.name}"):
        with tempfile.TemporaryDirectory() as folder:
            captured = capture(simulate_subject(FIRST_SEED + k), D415, Path(folder), k, behaviour)
            rows.setdefault("one frame as it comes", []).append(_raw_errors(captured))
            one = merged_skin(captured.first(1), MergeOptions(edge_px=0))
            rows.setdefault("the person in one frame", []).append(_errors(captured, one))
            for name, options in STEPS.items():
                skin = merged_skin(captured.recording, options)
                rows.setdefault(name, []).append(_errors(captured, skin))
    columns = ["step", Column("frames used", decimals=0), Column("RMS error", "mm", 2)]
    columns += [Column("95 % below", "mm", 2), Column("off by 8 mm or beside", "per mille", 2)]
    columns += [Column("coverage", "%", 1)]
    table: list[list[Cell]] = [[name, *np.mean(values, axis=0).tolist()] for name, values in rows.items()]
    return Table(columns, table, f"What every step brings: {behaviour.name}, D415, mean of {STEPS_PEOPLE}")


def _errors(captured: Captured, skin: RecordedSkin) -> tuple[float, ...]:
    off = captured.depth_errors_mm(skin)
    size = np.abs(off[np.isfinite(off)])
    wild = 1000 * float(np.mean(~(np.abs(off) < 8)))
    return skin.quality.used, rms(size), float(np.percentile(size, 95)), wild, 100 * skin.quality.coverage


def _raw_errors(captured: Captured) -> tuple[float, ...]:
    """The same of the first frame, with wall, chair and flying pixels; its coverage is of the person."""
    depth_m = captured.recording[0].depth_m
    truth, _ = captured.person.seen(captured.T_camera_body[0], captured.breath_mm[0])
    off = 1000 * (depth_m - truth)
    size = np.abs(off[np.isfinite(off)])
    wild = 1000 * float(np.mean(~(np.abs(off[np.isfinite(depth_m)]) < 8)))
    covered = 100 * float(np.isfinite(depth_m[np.isfinite(truth)]).mean())
    return 1, rms(size), float(np.percentile(size, 95)), wild, covered


def depth_rms_mm(group: Sequence[Fitted]) -> float:
    """Of the merged depth of these recordings, all counting the same."""
    return rms(np.array([f.depth_rms_mm for f in group]))


def summarised(fitted: Sequence[Fitted], refused: Sequence[str], more: Sequence[Table]) -> BenchmarkResult:
    """Keys of the D415 with all frames and the automatic line, and the tables."""

    def chosen(camera: str, frames: int, line: str) -> list[Fitted]:
        return [f for f in fitted if (f.camera, f.frames, f.person.line) == (camera, frames, line)]

    keyed = chosen(D415.name, FRAMES, "automatic")
    people = [f.person for f in keyed]
    metrics = [
        Metric(key, figure(people), unit, "lower", over_people(people, figure), note)
        for key, (unit, figure, note) in FIGURES.items()
    ]
    note = f"{D415.name}, {FRAMES} frames, RMS of depth against the exact skin"
    spread = over_people(keyed, depth_rms_mm)
    metrics.append(Metric("merged_noise_mm", depth_rms_mm(keyed), "mm", "lower", spread, note))
    what = f"{D415.name}-like, {FRAMES} frames; {len(refused)} recordings refused"
    metrics.append(Metric("people", len(people), "", None, note=what))
    titles = ("lateral", "3D", "3D centred", "axial", "Cobb", "kyphosis", "lordosis", "line")
    units = [unit for unit, _, _ in FIGURES.values()]
    columns = ["camera", Column("frames", decimals=0), "line", "n", *map(Column, titles, units)]
    columns += [Column("depth", "mm", 2), Column("wild", "per mille", 2)]
    rows: list[list[Cell]] = []
    for camera in CAMERAS:
        for frames in (1, FRAMES):
            for line in ("automatic", "true"):
                group = chosen(camera.name, frames, line)
                if group:
                    figures = [figure([f.person for f in group]) for _, figure, _ in FIGURES.values()]
                    wild = float(np.mean([f.wild_permille for f in group]))
                    rows.append([camera.name, frames, line, len(group), *figures, depth_rms_mm(group), wild])
    caption = (
        "Against exact truth: places, line and depth RMS, angles mean absolute (axial RMS); wild: points "
        "beside the person or off by 8 mm"
    )
    if refused:
        caption += f"; {len(refused)} refused, the first: {refused[0]}"
    return BenchmarkResult(metrics, [Table(columns, rows, caption), *more])
