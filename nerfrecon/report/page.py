"""The page of a training: figures, its curve, held-out views beside what is rendered, sizes and costs."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nerfrecon.config import NerfreconConfig
from nerfrecon.evaluate import Judged
from nerfrecon.options import BigMlpFieldOptions
from nerfrecon.scene import Scene
from nerfrecon.training.course import Course
from nerfrecon.training.preview import side_by_side
from suite.report.figure import PALETTE, Figure, drawing
from suite.report.metric import Metric
from suite.report.page import Page
from suite.report.table import Cell, Table

MOST_PICTURES = 8
MOST_WIDTH_PX = 1200
_LABELS = {
    "psnr": "PSNR, held out",
    "ssim": "SSIM, held out",
    "train_cpu_s": "CPU time of the training",
    "field_mb": "Field on disk",
}
_MEASURED = (
    "PSNR is of a whole picture, in dB of the colours' range; the figure is the mean over views. SSIM is of "
    "windows of 11 px (Wang et al. 2004), a mean over channels. CPU-seconds are of all threads, and of "
    "carving, visibility and steps; reading pictures, looks, checkpoints and this page are not in them."
)


@dataclass(frozen=True, eq=False)
class Reported:
    """What a run ends with."""

    config: NerfreconConfig
    scene: Scene
    course: Course
    judged: Sequence[Judged]
    backend: str
    field_mb: float | int
    held_out: bool

    @property
    def psnr(self) -> float:
        """Mean over the views, in dB."""
        return float(np.mean([one.psnr for one in self.judged]))


def run_metrics(reported: Reported) -> list[Metric]:
    """The figures of a run; `psnr` and `ssim` only where views were held out."""
    course = reported.course
    found = []
    if reported.held_out:
        ssim = float(np.mean([one.ssim for one in reported.judged]))
        found += [Metric("psnr", reported.psnr, "dB", "higher"), Metric("ssim", ssim, "", "higher")]
    speed = course.samples_kept / course.cpu_s / 1e6 if course.cpu_s else float("nan")
    return [
        *found,
        Metric("train_cpu_s", course.cpu_s, "s", "lower"),
        Metric("steps", course.step, "", None),
        Metric("samples_per_cpu_s", speed, "M/s", "higher", note="trained on, by CPU time of the training"),
        Metric("field_mb", reported.field_mb, "MB", "lower"),
        Metric("rss_gb", peak_memory_gb(), "GB", "lower", note="largest of the process"),
    ]


def peak_memory_gb() -> float:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak / 1e6


def write_report(path: Path, reported: Reported) -> Path:
    """Write the page, whole or not at all; it opens offline and holds all its pictures."""
    config, course = reported.config, reported.course
    page = Page(config.name, f"{len(reported.scene.views)} views, trained by {reported.backend}")
    page.heading("At a glance")
    if not reported.held_out:
        page.note("warn", "No view was held out: nothing here says how the field looks from elsewhere.")
    if config.train.exposure:
        page.note("info", "Each judged view has the gain of each colour that suits it best.")
    if config.train.poses:
        page.note(
            "info",
            "Poses of the training views were refined, those of held-out views were not: figures suffer.",
        )
    if course.steps_refused:
        page.note("warn", f"{course.steps_refused} steps were not finite and were left out.")
    for note in (*reported.scene.notes, *course.notes):
        page.note("info", note)
    by_key = {metric.key: metric for metric in run_metrics(reported)}
    page.metrics([by_key[key] for key in _LABELS if key in by_key], _LABELS)
    if len(course.history) > 1:
        page.figure(curve(course), "PSNR of the views that were looked at while it trained.")
    page.heading("Views")
    page.text("Left the picture, then what is rendered, then its depth: near is bright.")
    for one in sorted(reported.judged, key=lambda judged: judged.psnr)[:MOST_PICTURES]:
        told = f"{one.name}: {one.psnr:.2f} dB, SSIM {one.ssim:.3f}"
        page.image(_narrow(side_by_side(one)), alt=told, caption=told, photo=True)
    rows: list[list[Cell]] = [[one.name, one.psnr, one.ssim] for one in reported.judged]
    page.table(Table(["View", "PSNR [dB]", "SSIM"], rows))
    page.heading("What it is and what it cost")
    page.table(Table(["Part", "Value"], [[key, value] for key, value in _summary(reported).items()]))
    page.heading("How it is measured")
    page.text(_MEASURED)
    return page.write(path)


def curve(course: Course) -> Figure:
    """PSNR over the CPU time of the steps."""
    with drawing(alt="PSNR over CPU-seconds while training") as (figure, axes):
        seconds = [row["cpu_s"] for row in course.history]
        axes.plot(seconds, [row["psnr"] for row in course.history], marker="o", color=PALETTE[0])
        axes.set_xlabel("CPU-seconds")
        axes.set_ylabel("PSNR [dB]")
    return figure


def _summary(reported: Reported) -> dict[str, Cell]:
    config, course, scene = reported.config, reported.course, reported.scene
    field = config.field
    kind = field.type
    if not isinstance(field, BigMlpFieldOptions):
        grid = field.grid
        kind += f", {grid.levels} levels x {grid.features}, tables of 2^{grid.log2_table}"
    size = np.ptp(scene.box, axis=0)
    return {
        "Field": kind,
        "Field on disk": f"{reported.field_mb:.1f} MB",
        "Backend": reported.backend,
        "Box": " x ".join(f"{side:.3g}" for side in size) + f" world units, from {scene.box_from}",
        "Steps": course.step,
        "Rays": course.rays,
        "Samples marched": course.samples_marched,
        "Samples trained on": course.samples_kept,
        "CPU time of the training": f"{course.cpu_s:.1f} s",
        "Largest memory": f"{peak_memory_gb():.2f} GB",
    }


def _narrow(pixels: np.ndarray) -> np.ndarray:
    """As wide as a page shows."""
    import cv2

    factor = MOST_WIDTH_PX / pixels.shape[1]
    if factor >= 1:
        return pixels
    size = (MOST_WIDTH_PX, max(1, round(pixels.shape[0] * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
